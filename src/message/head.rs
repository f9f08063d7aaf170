//! The heads of a request and of a response.

use http::Method;

use super::Fields;

/// The version that a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// What a client asks.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// RFC 9110 section 9; unknown ones pass too.
    pub method: Method,
    /// The request target exactly as it arrived (RFC 9112 section 3.2); of HTTP/2 the `:path`.
    pub target: Vec<u8>,
    /// `:authority` of HTTP/2; HTTP/1 has `Host` among its fields instead.
    pub authority: Option<Vec<u8>>,
    /// What the client speaks.
    pub version: Version,
    /// The field section.
    pub fields: Fields,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: Vec::new(),
            authority: None,
            version: Version::Http11,
            fields: Fields::default(),
        }
    }
}

impl RequestHead {
    /// Gives the memory of an idle connection's last request back.
    pub fn release(&mut self) {
        *self = Self::default();
    }
}

/// What the upstream answers.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase as it came; HTTP/2 has none.
    pub reason: Vec<u8>,
    /// What the upstream speaks.
    pub version: Version,
    /// The field section.
    pub fields: Fields,
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self { status: 200, reason: Vec::new(), version: Version::Http11, fields: Fields::default() }
    }
}
