//! Answers of the proxy's own making: one row of the table each. Pure.
//!
//! The content follows RFC 9457, `Proxy-Status` RFC 9209. Every row has a hint: the next step for
//! the person who reads it.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

/// Why the proxy answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request could not be parsed.
    Malformed,
    /// `OPTIONS *`
    Asterisk,
    /// A web origin that is not allowed.
    Origin,
    /// `CONNECT`
    Connect,
    /// The header section took too long.
    HeaderTimeout,
    /// The wrong host.
    WrongHost,
    /// The header section is too large.
    HeaderSize,
    /// The upstream's name does not resolve.
    UpstreamName,
    /// The upstream cannot be connected to.
    UpstreamUnreachable,
    /// The proxy on the way does not let through.
    ForwardProxy,
    /// The upstream's certificate is not trusted.
    UpstreamCertificate,
    /// TLS failed otherwise.
    UpstreamTls,
    /// The upstream broke off before it answered.
    UpstreamClosed,
    /// The upstream spoke no HTTP.
    UpstreamMalformed,
    /// The upstream's header section is too large.
    UpstreamHeaderSize,
    /// A 101 that nobody asked for.
    UnaskedUpgrade,
    /// Credentials, token endpoint or its certificate must be mended.
    TokenRefused,
    /// No token in time.
    TokenUnavailable,
    /// It is not known yet where the tenant's API is.
    Undiscovered,
    /// Too much in flight.
    TooMany,
    /// Connecting took too long.
    ConnectTimeout,
    /// The response took too long.
    ResponseTimeout,
    /// The request has come round.
    Loop,
    /// A fault of the proxy itself.
    Internal,
}

/// A row of the table.
struct Row {
    status: u16,
    slug: &'static str,
    title: &'static str,
    /// RFC 9209 section 2.3.
    error: &'static str,
    hint: &'static str,
}

impl ProblemKind {
    /// The response's status.
    pub fn status(self) -> u16 {
        self.row().status
    }

    #[allow(clippy::too_many_lines, reason = "it is a table, and one row a line would be unreadable")]
    fn row(self) -> Row {
        let row = |status, slug, title, error, hint| Row { status, slug, title, error, hint };
        match self {
            Self::Malformed => row(
                400,
                "malformed-request",
                "The request is malformed",
                "http_request_error",
                "Correct the client: the detail says what it sent. HTTP/1.1 needs CRLF line ends, one Host field and one way to delimit the content.",
            ),
            Self::Asterisk => row(
                400,
                "asterisk",
                "OPTIONS * is not served",
                "http_request_error",
                "Send OPTIONS for a path of the API.",
            ),
            Self::Origin => row(
                403,
                "origin-not-allowed",
                "Web pages of this origin may not use the proxy",
                "http_request_denied",
                "If you trust the web application, add its origin to guard.allowed_origins (CXONE_PROXY_ALLOWED_ORIGINS).",
            ),
            Self::Connect => row(
                405,
                "connect",
                "CONNECT is not served",
                "http_request_denied",
                "Use the proxy's address as the API's base URL, not as an HTTP proxy: it is a gateway to one API.",
            ),
            Self::HeaderTimeout => row(
                408,
                "header-timeout",
                "The header section took too long",
                "http_request_error",
                "Send the header section at once, or raise limits.header_timeout (CXONE_PROXY_HEADER_TIMEOUT).",
            ),
            Self::WrongHost => row(
                421,
                "wrong-host",
                "The proxy is not this host",
                "http_request_denied",
                "Address the proxy as localhost or 127.0.0.1, or add the name to guard.allowed_hosts (CXONE_PROXY_ALLOWED_HOSTS).",
            ),
            Self::HeaderSize => row(
                431,
                "header-size",
                "The header section is too large",
                "http_request_error",
                "Send fewer or smaller fields (cookies are the usual cause), or raise limits.header_size (CXONE_PROXY_HEADER_SIZE).",
            ),
            Self::UpstreamName => row(
                502,
                "upstream-name",
                "The upstream's name could not be resolved",
                "dns_error",
                "Check CXONE_BASE_URL or CXONE_REGION and this machine's name resolution.",
            ),
            Self::UpstreamUnreachable => row(
                502,
                "upstream-unreachable",
                "The upstream cannot be reached",
                "destination_unavailable",
                "Check CXONE_BASE_URL, the network and the firewall; where the way out is a proxy, set HTTPS_PROXY.",
            ),
            Self::ForwardProxy => row(
                502,
                "forward-proxy",
                "The proxy on the way to the upstream refused",
                "destination_unavailable",
                "Check HTTPS_PROXY (address, user and password) and that it allows the upstream; NO_PROXY exempts hosts.",
            ),
            Self::UpstreamCertificate => row(
                502,
                "upstream-certificate",
                "The upstream's certificate is not trusted",
                "tls_certificate_error",
                "If a company proxy or a private authority signs it, name its PEM bundle in CXONE_CA_FILE; otherwise check CXONE_BASE_URL and this machine's clock.",
            ),
            Self::UpstreamTls => row(
                502,
                "upstream-tls",
                "TLS with the upstream failed",
                "tls_protocol_error",
                "Check that CXONE_BASE_URL names an https port.",
            ),
            Self::UpstreamClosed => row(
                502,
                "upstream-closed",
                "The upstream broke off before it answered",
                "connection_terminated",
                "The request may have been carried out. Look before you repeat it, unless it is safe to repeat.",
            ),
            Self::UpstreamMalformed => row(
                502,
                "upstream-malformed",
                "The upstream did not answer in HTTP",
                "http_protocol_error",
                "Check that CXONE_BASE_URL names the API and not another service.",
            ),
            Self::UpstreamHeaderSize => row(
                502,
                "upstream-header-size",
                "The upstream's header section is too large",
                "http_response_header_section_size",
                "Ask for less, or report it to the API's operator.",
            ),
            Self::UnaskedUpgrade => row(
                502,
                "unasked-upgrade",
                "The upstream switched protocols although nobody asked",
                "http_upgrade_failed",
                "Check that CXONE_BASE_URL names the API and not another service.",
            ),
            Self::TokenRefused => row(
                502,
                "token-refused",
                "The token endpoint gives no token",
                "proxy_configuration_error",
                "Run `cxone-proxy check` to see what is wrong.",
            ),
            Self::TokenUnavailable => row(
                503,
                "token-unavailable",
                "No token in time",
                "destination_unavailable",
                "Run `cxone-proxy check` to see what is wrong.",
            ),
            Self::Undiscovered => row(
                503,
                "undiscovered",
                "It is not known yet where the tenant's API is",
                "destination_unavailable",
                "See the log for what the discovery said, or set CXONE_BASE_URL to the API's address.",
            ),
            Self::TooMany => row(
                503,
                "too-many-requests-in-flight",
                "Too many requests are in flight",
                "connection_limit_reached",
                "Try again later, or raise limits.in_flight (CXONE_PROXY_IN_FLIGHT).",
            ),
            Self::ConnectTimeout => row(
                504,
                "connect-timeout",
                "Connecting to the upstream took too long",
                "connection_timeout",
                "Check the network and the firewall, or raise upstream.connect_timeout (CXONE_PROXY_CONNECT_TIMEOUT).",
            ),
            Self::ResponseTimeout => row(
                504,
                "response-timeout",
                "The upstream took too long to answer",
                "http_response_timeout",
                "The request may have been carried out. Raise upstream.response_timeout (CXONE_PROXY_RESPONSE_TIMEOUT) for long polls.",
            ),
            Self::Loop => row(
                508,
                "loop",
                "The request has come round",
                "proxy_loop_detected",
                "CXONE_BASE_URL points back to this proxy: set it to the API's address.",
            ),
            Self::Internal => row(
                500,
                "internal",
                "The proxy failed",
                "proxy_internal_error",
                "Report it, with the log around this moment.",
            ),
        }
    }
}

/// One answer of our own.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which row.
    pub kind: ProblemKind,
    detail: String,
    hint: Option<Cow<'static, str>>,
    /// Goes into `Retry-After`, rounded up to seconds.
    pub retry_after: Option<Duration>,
}

/// RFC 9457 section 3.
#[derive(Serialize)]
struct Content<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    hint: &'a str,
}

impl Problem {
    /// A problem with what is special about this occurrence.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), hint: None, retry_after: None }
    }

    /// With a better hint than the table's.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The value of `Proxy-Status`.
    pub fn proxy_status(&self) -> String {
        format!("{}; error={}", super::fields::PSEUDONYM, self.kind.row().error)
    }

    /// The JSON content.
    pub fn content(&self) -> Vec<u8> {
        let row = self.kind.row();
        let content = Content {
            r#type: format!("urn:cxone-proxy:problem:{}", row.slug),
            title: row.title,
            status: row.status,
            detail: if self.detail.is_empty() { row.title } else { &self.detail },
            hint: self.hint.as_deref().unwrap_or(row.hint),
        };
        // Serialising strings and a number cannot fail.
        let mut json = serde_json::to_vec_pretty(&content).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// `Retry-After` in whole seconds, never less than what is due.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|after| (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1))
    }

    /// In one line, for the log.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}
