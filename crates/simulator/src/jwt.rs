//! Signs and verifies access tokens: RS256 (RFC 7515, RFC 7518 3.3) over the claims of RFC 9068.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: String,
    /// Seconds since 1970, as `exp`.
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) jti: String,
    pub(super) scope: String,
    #[serde(flatten)]
    pub(super) tenancy: Option<Tenancy>,
}

/// The claims of CXone's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tenancy {
    #[serde(rename = "tenantId")]
    pub(super) tenant_id: String,
    pub(super) area: String,
}

/// What an identity token says (`OpenID` Connect Core 1.0, section 2). It has no `jti`, so it can never be
/// taken for an access token.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Identity<'s> {
    pub(super) iss: &'s str,
    pub(super) sub: &'s str,
    pub(super) aud: &'s str,
    pub(super) iat: u64,
    pub(super) exp: u64,
    #[serde(flatten)]
    pub(super) tenancy: Option<Tenancy>,
}

/// A key that signs tokens.
pub(super) struct Signer {
    key: KeyPair,
    id: String,
}

/// Making an RSA key takes a good part of a second, and tests start many regions in one process. They share
/// one: a token's `iss` and `jti` tell whose it is.
static SHARED: Mutex<Option<Arc<Signer>>> = Mutex::new(None);

impl Signer {
    /// The process's key, made when it is first asked for.
    pub(super) fn shared() -> io::Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = shared.as_ref() {
            return Ok(Arc::clone(signer));
        }
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(io::Error::other)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.public_key().as_ref());
        let id = URL_SAFE_NO_PAD.encode(digest.as_ref().get(..12).unwrap_or_default());
        let signer = Arc::new(Self { key, id });
        *shared = Some(Arc::clone(&signer));
        Ok(signer)
    }

    /// A token of this type that says `claims`.
    pub(super) fn sign(&self, typ: &str, claims: &impl Serialize) -> io::Result<String> {
        let header = serde_json::json!({ "alg": "RS256", "typ": typ, "kid": self.id });
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(io::Error::other)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// What the token says, where this key has signed it.
    pub(super) fn verify(&self, token: &str) -> Option<Claims> {
        let (content, signature) = token.rsplit_once('.')?;
        let (header, claims) = content.split_once('.')?;
        let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.get("alg")?.as_str()? != "RS256" {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key().as_ref())
            .verify(content.as_bytes(), &signature)
            .ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// The public key as a JWK set (RFC 7517).
    pub(super) fn key_set(&self) -> String {
        let public = self.key.public_key();
        serde_json::json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
            "n": URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
            "e": URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
        }]})
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            iss: "http://127.0.0.1:1".into(),
            sub: "demo-client".into(),
            aud: "http://127.0.0.1:1".into(),
            iat: 1_700_000_000,
            exp: 1_700_003_600,
            jti: "r-1".into(),
            scope: "users:read".into(),
            tenancy: Some(Tenancy { tenant_id: "t-1".into(), area: "na1".into() }),
        }
    }

    #[test]
    fn verifies_what_it_signed_and_nothing_else() {
        let signer = Signer::shared().unwrap();
        let token = signer.sign("at+jwt", &claims()).unwrap();
        assert_eq!(signer.verify(&token), Some(claims()));

        let (content, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = content.split_once('.').unwrap();
        let forged = Claims { scope: "everything".into(), ..claims() };
        let forged = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&forged).unwrap());
        assert_eq!(signer.verify(&format!("{header}.{forged}.{signature}")), None);

        let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert_eq!(signer.verify(&format!("{unsigned}.{forged}.")), None);
        assert_eq!(signer.verify("no token at all"), None);
    }

    #[test]
    fn publishes_the_key_that_signs() {
        let signer = Signer::shared().unwrap();
        let set: serde_json::Value = serde_json::from_str(&signer.key_set()).unwrap();
        let key = &set["keys"][0];
        let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let public = aws_lc_rs::rsa::PublicKeyComponents { n: part("n"), e: part("e") };
        let token = signer.sign("at+jwt", &claims()).unwrap();
        let (content, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        public.verify(&RSA_PKCS1_2048_8192_SHA256, content.as_bytes(), &signature).unwrap();
    }
}
