//! Responses of the proxy's own making: one row of the table each. Pure.
//!
//! The body follows RFC 9457, `Proxy-Status` RFC 9209. Every row has a hint: the next step for the
//! person who reads it.

mod table;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

pub use table::ProblemKind;

/// Our name in `Via`, `Proxy-Status` and, with more behind it, `CDN-Loop`.
pub const PSEUDONYM: &str = "cxone-proxy";
/// The media type of a problem (RFC 9457 section 3).
pub const MEDIA_TYPE: &str = "application/problem+json";
/// The methods that are forwarded, as `Allow` has them. Others are forwarded too, but for `CONNECT` and
/// `TRACE`.
pub const API_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const MAYBE_CARRIED_OUT: &str = "The request may have been carried out: look before you repeat it.";

/// One response of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    maybe_carried_out: bool,
    retry_after: Option<Duration>,
}

/// RFC 9457 section 3.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    hint: &'a str,
}

impl Problem {
    /// A problem of which nothing more is known than its kind.
    pub fn new(kind: ProblemKind) -> Self {
        Self { kind, detail: Cow::Borrowed(""), hint: None, maybe_carried_out: false, retry_after: None }
    }

    /// With what is special about this occurrence, in whole sentences.
    #[must_use]
    pub fn detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// With a better hint than the table's.
    #[must_use]
    pub fn hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Says first in the hint that the API may have carried the request out.
    #[must_use]
    pub fn maybe_carried_out(self) -> Self {
        Self { maybe_carried_out: true, ..self }
    }

    /// With `Retry-After`.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Which row of the table it is.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// What is special about this occurrence, or the title where nothing is known.
    pub fn detail_text(&self) -> &str {
        if self.detail.is_empty() { self.kind.row().title } else { &self.detail }
    }

    /// The next step for a person.
    pub fn hint_text(&self) -> Cow<'_, str> {
        let hint = self.hint.as_deref().unwrap_or(self.kind.row().hint);
        if self.maybe_carried_out {
            Cow::Owned(format!("{MAYBE_CARRIED_OUT} {hint}"))
        } else {
            Cow::Borrowed(hint)
        }
    }

    /// The response's status.
    pub fn status(&self) -> StatusCode {
        self.kind.row().status
    }

    /// The response to a request with `method`, as of the time `wall`. Its length is the body's; to HEAD
    /// there is none, but the field says how long it would be (RFC 9110 section 9.3.2).
    pub fn into_response<B: From<Bytes>>(self, method: &Method, wall: SystemTime) -> Response<B> {
        let mut headers = self.headers(wall);
        let mut body = Bytes::from(self.json());
        if method == Method::HEAD {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            body.clear();
        }
        let mut response = Response::new(B::from(body));
        *response.status_mut() = self.status();
        *response.headers_mut() = headers;
        response
    }

    fn headers(&self, wall: SystemTime) -> HeaderMap {
        let row = self.kind.row();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        insert(&mut headers, PROXY_STATUS, format!("{PSEUDONYM}; error={}", row.error));
        insert(&mut headers, DATE, httpdate::fmt_http_date(wall));
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.kind.allowed_methods() {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if self.kind == ProblemKind::ClientUnknown {
            // Basic first: old clients look at the first line only, and know nothing else.
            for challenge in CHALLENGES {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        headers
    }

    /// The JSON document, with a line end behind it.
    pub fn json(&self) -> Vec<u8> {
        let row = self.kind.row();
        let document = Document {
            r#type: format!("urn:cxone-proxy:problem:{}", row.slug),
            title: row.title,
            status: row.status.as_u16(),
            detail: self.detail_text(),
            hint: &self.hint_text(),
        };
        // Serialising strings and a number cannot fail.
        let mut json = serde_json::to_vec_pretty(&document).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// `Retry-After` in whole seconds, never less than what is due, and never zero.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|after| (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1))
    }
}

impl From<ProblemKind> for Problem {
    fn from(kind: ProblemKind) -> Self {
        Self::new(kind)
    }
}

/// How a client can show its key (RFC 7617, RFC 6750).
const CHALLENGES: [&str; 2] =
    [r#"Basic realm="cxone-proxy", charset="UTF-8""#, r#"Bearer realm="cxone-proxy""#];

/// The values are of our own making and visible ASCII; one that is not would be left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
