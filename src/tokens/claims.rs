//! The claims of a JWT (RFC 7519), for display and discovery. Pure.
//!
//! Decides which claim counts. No signature is verified: the upstream decides whether a token is good, and
//! nothing here grants a right.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD_INDIFFERENT;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::redact::Redactor;

/// The longest identifier that is believed: a UUID with room to spare.
const LONGEST: usize = 128;

/// The tenant and the area of a token. Visible ASCII only, so that they can be shown and put into a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `tenantId`: CXone's discovery finds the tenant's API by it.
    pub tenant_id: Option<String>,
    /// `area`: the tenant's area when the token was issued.
    pub area: Option<String>,
}

impl Claims {
    /// For each claim the value of the first JWT that has it; never a secret.
    pub(super) fn of(jwts: &[Option<Map<String, Value>>], redactor: &Redactor) -> Self {
        let is_harmless = |text: &String| !redactor.finds_in(text);
        let value = |name| jwts.iter().flatten().find_map(|claims| claim(claims, name)).filter(is_harmless);
        Self { tenant_id: value("tenantId"), area: value("area") }
    }
}

/// The claims of a JWT in its compact form (RFC 7519 section 3); `None` where it is none.
pub(super) fn in_jwt(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let claims = Zeroizing::new(URL_SAFE_NO_PAD_INDIFFERENT.decode(claims).ok()?);
    serde_json::from_slice(&claims).ok()
}

/// The claim with the plain name; else the one below the issuer; else any with a name space before it (RFC
/// 7519 section 4.2), where all of those agree.
fn claim(claims: &Map<String, Value>, name: &str) -> Option<String> {
    let below_issuer = || {
        let issuer = claims.get("iss")?.as_str()?.trim_end_matches('/');
        identifier(claims.get(&format!("{issuer}/{name}"))?)
    };
    let namespaced = || {
        let mut values = claims
            .iter()
            .filter(|(key, _)| is_namespaced(key, name))
            .filter_map(|(_, value)| identifier(value));
        let first = values.next()?;
        values.all(|other| other == first).then_some(first)
    };
    claims.get(name).and_then(identifier).or_else(below_issuer).or_else(namespaced)
}

/// True for `https://login.example/tenantId`, `urn:example:tenantId` and the like.
fn is_namespaced(key: &str, name: &str) -> bool {
    let space = key.strip_suffix(name).and_then(|space| space.strip_suffix(['/', '#', ':']));
    space.is_some_and(|space| space.contains(':'))
}

fn identifier(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64()?.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_plain && !text.is_empty() && text.len() <= LONGEST).then_some(text)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::secret::Secret;

    fn jwt(claims: &Value) -> Option<Map<String, Value>> {
        in_jwt(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string())))
    }

    fn tenant(claims: &Value) -> Option<String> {
        Claims::of(&[jwt(claims)], &Redactor::default()).tenant_id
    }

    #[test]
    fn a_claim_is_found_with_and_without_a_name_space() {
        for claims in [
            json!({ "tenantId": "t-1", "area": "na1" }),
            json!({ "iss": "https://cxone.example", "https://cxone.example/tenantId": "t-1" }),
            json!({ "iss": "https://cxone.example/", "https://cxone.example/tenantId": "t-1" }),
            json!({ "https://other.example/claims#tenantId": "t-1" }),
            json!({ "urn:example:tenantId": "t-1" }),
        ] {
            assert_eq!(tenant(&claims).as_deref(), Some("t-1"), "{claims}");
        }
        assert_eq!(tenant(&json!({ "tenantId": 4_512_345 })).as_deref(), Some("4512345"));
    }

    #[test]
    fn the_plain_name_wins_over_the_issuer_s_and_that_over_any_other() {
        let mut claims = json!({
            "iss": "https://i", "tenantId": "plain", "https://i/tenantId": "issuer's",
            "https://other/tenantId": "other's",
        });
        assert_eq!(tenant(&claims).as_deref(), Some("plain"));
        claims["tenantId"] = json!("");
        assert_eq!(tenant(&claims).as_deref(), Some("issuer's"));
        claims["iss"] = json!(7);
        assert_eq!(tenant(&claims), None, "two name spaces that disagree");
        claims["https://i/tenantId"] = json!("other's");
        assert_eq!(tenant(&claims).as_deref(), Some("other's"));
    }

    #[test]
    fn values_that_are_no_identifiers_are_ignored() {
        for value in [json!("a b"), json!("a\nb"), json!("ü"), json!("x".repeat(129)), json!([1]), json!(-1)]
        {
            assert_eq!(tenant(&json!({ "tenantId": value })), None, "{value}");
        }
        for key in ["subTenantId", "xtenantId", "/tenantId", "my/tenantId"] {
            assert_eq!(tenant(&json!({ key: "t" })), None, "{key}");
        }
    }

    #[test]
    fn each_claim_comes_from_the_first_token_that_has_it() {
        let access = jwt(&json!({ "area": "na1" }));
        let identity = jwt(&json!({ "tenantId": "t-1", "area": "eu1" }));
        let both = Claims::of(&[access, identity], &Redactor::default());
        assert_eq!(both, Claims { tenant_id: Some("t-1".to_owned()), area: Some("na1".to_owned()) });
        assert_eq!(Claims::of(&[None, None], &Redactor::default()), Claims::default());
    }

    #[test]
    fn no_claim_shows_a_secret() {
        let mut redactor = Redactor::default();
        redactor.add(&Secret::new("s3cret".to_owned()));
        let claims = Claims::of(&[jwt(&json!({ "tenantId": "xs3cretx", "area": "na1" }))], &redactor);
        assert_eq!(claims, Claims { tenant_id: None, area: Some("na1".to_owned()) });
    }

    #[test]
    fn text_that_is_no_jwt_has_no_claims() {
        for token in ["", "abc", "e30.e30", "e30.e30.x.y", "e30.!.x", "e30.W10.x"] {
            assert_eq!(in_jwt(token), None, "{token}");
        }
    }

    proptest! {
        #[test]
        fn any_token_is_read_without_panic(token in "\\PC*|[a-zA-Z0-9._-]*", claims in "\\PC*") {
            let _ = Claims::of(&[in_jwt(&token)], &Redactor::default());
            let _ = in_jwt(&format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims)));
        }
    }
}
