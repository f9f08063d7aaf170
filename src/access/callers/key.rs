//! Keys of clients: how a request shows one, and what is kept of it. Pure.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::KEY_FIELD;
use crate::fields::{Repeated, only};
use crate::invalid::Invalid;

/// Old clients write Basic with and without padding.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Says to people and to scanners of secrets what it is.
const PREFIX: &str = "cxk_";

/// A new key: text for the client, never stored here.
pub struct Key(String);

/// The SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

/// What a request shows of itself.
pub(super) enum Presented {
    /// Something that may be a key.
    Key { digest: KeyDigest, seen: Seen },
    /// Nothing that could be one.
    Unfit(Seen),
}

/// Where a key was looked for, and what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A key in `X-Proxy-Key`.
    Field,
    /// Several lines of `X-Proxy-Key`.
    TwoFields,
    /// Neither field.
    Nothing,
    /// A Bearer token.
    Bearer,
    /// A password.
    Password,
    /// Basic that cannot be decoded.
    BadBasic,
    /// Another scheme.
    OtherScheme,
    /// Several lines of `Authorization`.
    TwoAuthorizations,
}

impl Key {
    /// The key that these bytes of chance make.
    pub fn from_chance(chance: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(chance)))
    }

    /// The text that the client sends.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the clients file has of it.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.0.as_bytes())
    }
}

impl KeyDigest {
    /// The digest of a key as it is sent.
    pub fn of(key: &[u8]) -> Self {
        // A SHA-256 always has 32 bytes.
        Self(digest(&SHA256, key).as_ref().try_into().unwrap_or_default())
    }
}

impl FromStr for KeyDigest {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex {
            return Err(Invalid::because("is not a SHA-256 in 64 hexadecimal digits"));
        }
        for (own, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            *own = u8::from_str_radix(pair, 16).unwrap_or_default();
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Field => "The key in X-Proxy-Key is no client's.",
            Self::TwoFields => "X-Proxy-Key comes more than once.",
            Self::Nothing => "The request has no key: there is neither X-Proxy-Key nor Authorization.",
            Self::Bearer => "The Bearer token in Authorization is no client's key.",
            Self::Password => "The password in Authorization (Basic) is no client's key.",
            Self::BadBasic => "What Authorization has as Basic credentials cannot be decoded.",
            Self::OtherScheme => {
                "Authorization has a scheme other than Bearer and Basic, and X-Proxy-Key is not there."
            }
            Self::TwoAuthorizations => "Authorization comes more than once.",
        })
    }
}

/// What a request shows: a key in `X-Proxy-Key`, else in `Authorization` (RFC 6750 section 2.1, RFC 7617).
pub(super) fn presented(headers: &HeaderMap) -> Presented {
    let key = |bytes: &[u8], seen| Presented::Key { digest: KeyDigest::of(bytes), seen };
    match only(headers, KEY_FIELD) {
        Ok(Some(value)) => return key(value.as_bytes().trim_ascii(), Seen::Field),
        Ok(None) => {}
        Err(Repeated) => return Presented::Unfit(Seen::TwoFields),
    }
    let value = match only(headers, AUTHORIZATION.as_str()) {
        Ok(Some(value)) => value.as_bytes().trim_ascii(),
        Ok(None) => return Presented::Unfit(Seen::Nothing),
        Err(Repeated) => return Presented::Unfit(Seen::TwoAuthorizations),
    };
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, credentials) = value.split_at(end);
    let credentials = credentials.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return key(credentials, Seen::Bearer);
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Presented::Unfit(Seen::OtherScheme);
    }
    let Ok(decoded) = BASIC.decode(credentials) else { return Presented::Unfit(Seen::BadBasic) };
    // The user's name says nothing: old clients want one.
    match decoded.iter().position(|byte| *byte == b':') {
        Some(colon) => key(decoded.get(colon + 1..).unwrap_or_default(), Seen::Password),
        None => Presented::Unfit(Seen::BadBasic),
    }
}
