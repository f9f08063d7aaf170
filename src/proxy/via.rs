//! The `Via` field (RFC 9110 section 7.6.3). Pure.

use std::str::FromStr;

use http::{HeaderValue, Version};

use crate::invalid::Invalid;

/// Which messages get a `Via` field (RFC 9110 section 7.6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// Responses.
    #[default]
    Response,
    /// Requests and responses.
    Both,
    /// None.
    Off,
}

impl FromStr for Via {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        match word {
            "response" => Ok(Self::Response),
            "both" => Ok(Self::Both),
            "off" => Ok(Self::Off),
            _ => Err(Invalid::because("is none of the known words")),
        }
    }
}

/// Protocol version and our pseudonym (RFC 9110 section 7.6.3), where requests get `Via`.
pub(super) fn via(setting: Via, version: Version) -> Option<HeaderValue> {
    (setting == Via::Both).then(|| via_value(version))
}

/// The value of `Via` for a message that came in this version.
pub(super) fn via_value(version: Version) -> HeaderValue {
    HeaderValue::from_static(if version == Version::HTTP_2 {
        "2.0 cxone-proxy"
    } else if version == Version::HTTP_10 {
        "1.0 cxone-proxy"
    } else {
        "1.1 cxone-proxy"
    })
}
