//! What is published, encrypted: the store alone gives nobody a token.
//!
//! The key comes from the client secret by HKDF-SHA256 (RFC 5869), bound to whose token it is, and so does the name under
//! which it is stored. Replicas with another secret neither read nor overwrite each other's record. AES-256-GCM with
//! a nonce of chance for each record. A token is written about once in an hour. What replicas tell each other is written
//! five times in a second, under another key, which protects no token.

use std::fmt::Write as _;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Changes where the form of records does.
const VERSION: &[u8] = b"cxone-proxy shared token 2";
/// Bytes of the name.
const NAME: usize = 16;

/// Seals and opens the records of one set of credentials.
pub(super) struct Seal {
    key: Option<LessSafeKey>,
    name: [u8; NAME],
    identity: Vec<u8>,
}

struct NameLength;

impl KeyType for NameLength {
    fn len(&self) -> usize {
        NAME
    }
}

impl Seal {
    /// `secret` is what the credentials keep to themselves, `identity` what they are.
    pub(super) fn new(secret: &[u8], identity: &str) -> Self {
        let chance = Salt::new(HKDF_SHA256, VERSION).extract(secret);
        let identity = identity.as_bytes().to_vec();
        let key = chance.expand(&[b"key", &identity], &AES_256_GCM).map(UnboundKey::from).ok();
        let mut name = [0; NAME];
        // Fails only for names that are longer than 8 KiB.
        let _ = chance.expand(&[b"name", &identity], NameLength).and_then(|okm| okm.fill(&mut name));
        Self { key: key.map(LessSafeKey::new), name, identity }
    }

    /// Under which name the record is stored. Says nothing of the secret.
    pub(super) fn name(&self) -> String {
        self.name.iter().fold(String::new(), |mut name, byte| {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
            name
        })
    }

    /// The record, sealed. `None` where this machine gives no random numbers.
    pub(super) fn close(&self, record: &impl Serialize) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut text = serde_json::to_vec(record).ok()?;
        let aad = Aad::from(&self.identity);
        let nonce_for_key = Nonce::assume_unique_for_key(nonce);
        self.key.as_ref()?.seal_in_place_append_tag(nonce_for_key, aad, &mut text).ok()?;
        Some([&nonce[..], &text].concat())
    }

    /// The record; `None` where it was sealed otherwise, or is none.
    pub(super) fn open<T: DeserializeOwned>(&self, sealed: Vec<u8>) -> Option<T> {
        let mut sealed = Zeroizing::new(sealed);
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.key.as_ref()?.open_in_place(nonce, Aad::from(&self.identity), text).ok()?;
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Record;
    use super::*;

    fn record(token: &str) -> Record {
        Record {
            access_token: Zeroizing::new(token.to_owned()),
            scopes: Some(vec!["a".to_owned()]),
            tenant_id: None,
            area: Some("na1".to_owned()),
        }
    }

    #[test]
    fn only_the_same_credentials_open_it() {
        let own = Seal::new(b"secret", "who");
        let sealed = own.close(&record("t0ken")).unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"t0ken"));
        assert_ne!(sealed, own.close(&record("t0ken")).unwrap(), "each has a nonce of its own");
        let opened: Record = Seal::new(b"secret", "who").open(sealed.clone()).unwrap();
        assert_eq!(*opened.access_token, "t0ken");
        assert_eq!((opened.scopes, opened.area.as_deref()), (Some(vec!["a".to_owned()]), Some("na1")));
        for other in [Seal::new(b"secres", "who"), Seal::new(b"secret", "whu")] {
            assert!(other.open::<Record>(sealed.clone()).is_none());
            assert_ne!(other.name(), own.name());
        }
    }

    proptest! {
        #[test]
        fn what_was_changed_is_not_opened(at in 0_usize..200, bit in 0_u8..8) {
            let own = Seal::new(b"secret", "who");
            let mut sealed = own.close(&record("t0ken")).unwrap();
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert!(own.open::<Record>(sealed).is_none());
        }

        #[test]
        fn garbage_is_not_opened(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(Seal::new(b"secret", "who").open::<Record>(bytes).is_none());
        }
    }
}
