//! The table of problems: every response of the proxy's own has one row.

use http::StatusCode;

use super::API_METHODS;

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) status: StatusCode,
    /// What follows `urn:cxone-proxy:problem:`, and the label of the metric.
    pub(super) slug: &'static str,
    /// RFC 9209 section 2.3.
    pub(super) error: &'static str,
    pub(super) title: &'static str,
    pub(super) hint: &'static str,
}

macro_rules! table {
    ($($(#[$about:meta])* $kind:ident: $status:ident, $slug:literal, $error:literal, $title:literal, $hint:literal;)+) => {
        /// Why the proxy answers itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[$about])* $kind,)+
        }

        impl ProblemKind {
            /// All of them, in the order of the table, which is that of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            pub(super) fn row(self) -> Row {
                match self {
                    $(Self::$kind => Row {
                        status: StatusCode::$status,
                        slug: $slug,
                        error: $error,
                        title: $title,
                        hint: $hint,
                    },)+
                }
            }
        }
    };
}

table! {
    /// The request could not be parsed.
    Malformed: BAD_REQUEST, "malformed-request", "http_request_error",
        "The request is malformed",
        "Correct the client: the detail says what is wrong. HTTP/1.1 needs exactly one Host field, one way to delimit the body, and a request target without spaces and `#`.";
    /// `OPTIONS *`
    Asterisk: BAD_REQUEST, "asterisk", "http_request_error",
        "OPTIONS * is not served",
        "Send OPTIONS for a path of the API.";
    /// Another proxy asks for a token, and does not say what for.
    OriginalMissing: BAD_REQUEST, "original-request-missing", "http_request_error",
        "The original request is not named",
        "Have the other proxy send X-Original-Method and X-Original-URI (nginx), or X-Forwarded-Method and X-Forwarded-Uri (Traefik): there are rules for methods and paths (access.allow, access.deny, access.read_only).";
    /// Another proxy asks for a token, and what it says of the original request cannot be relied on.
    OriginalUnclear: FORBIDDEN, "original-request-unclear", "http_request_denied",
        "The original request is not named clearly",
        "Have the other proxy set one of the pairs X-Original-Method and X-Original-URI, or X-Forwarded-Method and X-Forwarded-Uri, and remove the other, so that no client can send them.";
    /// A TLS handshake at a port that speaks plain HTTP.
    TlsToPlainPort: BAD_REQUEST, "tls-to-plain-port", "http_request_error",
        "The client speaks TLS to a port for plain HTTP",
        "Write http:// instead of https:// in the client's address of the proxy: the way to the proxy is plain HTTP, the way from there to the CXone API is TLS.";
    /// It comes from none of the clients.
    ClientUnknown: UNAUTHORIZED, "client-unknown", "http_request_denied",
        "The proxy does not know this client",
        "Send the client's key as X-Proxy-Key, as a Bearer token in Authorization, or as the password of Basic. The proxy's operator makes one with `cxone-proxy key NAME` and adds it to the clients file (CXONE_PROXY_CLIENTS).";
    /// Plain HTTP at a port that speaks TLS.
    PlainToTlsPort: BAD_REQUEST, "plain-to-tls-port", "http_request_error",
        "The client speaks plain HTTP to a port for TLS",
        "Write https:// instead of http:// in the client's address of the proxy: tls.cert (CXONE_PROXY_TLS_CERT) is set.";
    /// A web origin that is not allowed.
    Origin: FORBIDDEN, "origin-not-allowed", "http_request_denied",
        "Web pages of this origin may not use the proxy",
        "If you trust the web application, add its origin to guard.allowed_origins (CXONE_PROXY_ALLOWED_ORIGINS).";
    /// An action of the admin listener is asked for from elsewhere.
    ActionDenied: FORBIDDEN, "action-not-allowed", "http_request_denied",
        "Actions are for this machine and for the admin page itself",
        "Use the admin page, or curl, on the machine where the proxy runs. Where admin.listen (CXONE_PROXY_ADMIN_LISTEN) is not a loopback address or a Unix socket, there are no actions.";
    /// Only reading is allowed.
    AccessReadOnly: FORBIDDEN, "access-read-only", "http_request_denied",
        "Only reading is allowed",
        "Use GET, HEAD or OPTIONS, or ask the proxy's operator to set access.read_only (CXONE_PROXY_READ_ONLY) to false.";
    /// A rule denies the method and path.
    AccessDenied: FORBIDDEN, "access-denied", "http_request_denied",
        "This method and path are denied",
        "Use another request, or ask the proxy's operator to change access.deny (CXONE_PROXY_DENY).";
    /// No rule allows the method and path.
    AccessNotAllowed: FORBIDDEN, "access-not-allowed", "http_request_denied",
        "This method and path are not allowed",
        "Use another request, or ask the proxy's operator to add it to access.allow (CXONE_PROXY_ALLOW).";
    /// The client may use other profiles only.
    ProfileNotAllowed: FORBIDDEN, "profile-not-allowed", "http_request_denied",
        "The client may not use this profile",
        "Use another host or path, or ask the proxy's operator to add the profile to `profiles` of this client in the clients file.";
    /// A path that two servers could read differently, where rules decide by the path.
    AmbiguousPath: FORBIDDEN, "ambiguous-path", "http_request_denied",
        "The path can be read in more than one way",
        "Write the path plainly. The proxy has rules for paths (access.allow, access.deny), and cannot say which of them this one falls under.";
    /// A field that replaces the method or the path, where there are rules for them.
    MethodOverride: FORBIDDEN, "method-override", "http_request_denied",
        "The request asks for another method or path than its first line has",
        "Send the method and the path in the request line. The proxy has rules for them (access.allow, access.deny, access.read_only).";
    /// No such admin page.
    UnknownPage: NOT_FOUND, "unknown-page", "http_request_error",
        "There is no such page",
        "The admin pages are listed at `/`. API requests belong to the proxy's own address (CXONE_PROXY_LISTEN).";
    /// `CONNECT`
    Connect: METHOD_NOT_ALLOWED, "connect", "http_request_denied",
        "CONNECT is not served",
        "Use the proxy's address as the API's base URL, not as an HTTP proxy: it is a gateway to one API.";
    /// `TRACE`
    Trace: METHOD_NOT_ALLOWED, "trace", "http_request_denied",
        "TRACE is not served",
        "Use another method: the API would send the request back with the access token in it.";
    /// An admin page can only be read.
    ReadOnly: METHOD_NOT_ALLOWED, "read-only", "http_request_error",
        "The admin pages can only be read",
        "Use GET or HEAD.";
    /// An action of the admin listener is not a page.
    PostOnly: METHOD_NOT_ALLOWED, "post-only", "http_request_error",
        "An action is asked for by POST",
        "Use POST, such as `curl -X POST http://127.0.0.1:8081/pause`.";
    /// The header section took too long.
    HeaderTimeout: REQUEST_TIMEOUT, "header-timeout", "http_request_error",
        "The header section took too long",
        "Send the header section at once, or raise limits.header_timeout (CXONE_PROXY_HEADER_TIMEOUT).";
    /// The request target is too long.
    TargetTooLong: URI_TOO_LONG, "target-too-long", "http_request_error",
        "The request target is too long",
        "Send fewer or shorter query parameters, or put them into a request body. The limit is 65,534 bytes, or limits.header_size (CXONE_PROXY_HEADER_SIZE) where that is less.";
    /// The wrong host.
    WrongHost: MISDIRECTED_REQUEST, "wrong-host", "http_request_denied",
        "The proxy is not this host",
        "Address the proxy as localhost or by its IP address, or add the name to guard.allowed_hosts (CXONE_PROXY_ALLOWED_HOSTS).";
    /// No profile fits.
    NoProfile: MISDIRECTED_REQUEST, "no-profile", "http_request_denied",
        "No profile serves this host and path",
        "Check the request's host and path against the [[profile]] tables of the configuration.";
    /// The request would have to wait for the API's rate limit beyond its time.
    RateLimitWait: TOO_MANY_REQUESTS, "rate-limit-wait", "http_request_denied",
        "The wait for the rate limit would be too long",
        "Try again after Retry-After, send fewer requests, or raise retry.max_wait (CXONE_PROXY_MAX_WAIT).";
    /// The configured budget of requests is used up.
    BudgetUsedUp: TOO_MANY_REQUESTS, "budget-used-up", "http_request_denied",
        "The budget of requests is used up",
        "Try again after Retry-After, or raise rate.budget (CXONE_PROXY_BUDGET).";
    /// An operator asks for tokens too often.
    TooManyRenewals: TOO_MANY_REQUESTS, "too-many-renewals", "http_request_denied",
        "Too many renewals of the token were forced",
        "Try again after Retry-After: all forced renewals together have a budget.";
    /// The header section is too large.
    HeaderSize: REQUEST_HEADER_FIELDS_TOO_LARGE, "header-size", "http_request_error",
        "The header section is too large",
        "Send fewer or smaller fields (cookies are the usual cause), or raise limits.header_size (CXONE_PROXY_HEADER_SIZE).";
    /// The proxy itself failed.
    Internal: INTERNAL_SERVER_ERROR, "internal", "proxy_internal_error",
        "The proxy failed",
        "Report it, with the log lines around this moment.";
    /// The upstream's name does not resolve.
    UpstreamName: BAD_GATEWAY, "upstream-name", "dns_error",
        "The CXone API's name could not be resolved",
        "Check CXONE_BASE_URL or CXONE_REGION, and this machine's name resolution.";
    /// The upstream cannot be connected to.
    UpstreamUnreachable: BAD_GATEWAY, "upstream-unreachable", "destination_unavailable",
        "The CXone API cannot be reached",
        "Check CXONE_BASE_URL, the network and the firewall; if this machine reaches the Internet through a forward proxy only, set HTTPS_PROXY.";
    /// The forward proxy on the way does not let through.
    ForwardProxy: BAD_GATEWAY, "forward-proxy", "destination_unavailable",
        "The forward proxy refused the connection to the CXone API",
        "Check HTTPS_PROXY (address, user and password) and that the forward proxy allows the API's host; NO_PROXY exempts hosts.";
    /// The upstream's certificate is not trusted.
    UpstreamCertificate: BAD_GATEWAY, "upstream-certificate", "tls_certificate_error",
        "The CXone API's certificate is not trusted",
        "If a company proxy or a private authority signs it, name its PEM bundle in CXONE_CA_FILE; otherwise check CXONE_BASE_URL and this machine's clock.";
    /// TLS failed otherwise.
    UpstreamTls: BAD_GATEWAY, "upstream-tls", "tls_protocol_error",
        "TLS with the CXone API failed",
        "Check that CXONE_BASE_URL names an https port.";
    /// The upstream broke off before it answered.
    UpstreamClosed: BAD_GATEWAY, "upstream-closed", "connection_terminated",
        "The CXone API closed the connection before it answered",
        "Try again. If it happens often, look for a load balancer or firewall on the way that closes connections.";
    /// The upstream spoke no HTTP.
    UpstreamMalformed: BAD_GATEWAY, "upstream-malformed", "http_protocol_error",
        "The CXone API did not answer in valid HTTP",
        "Check that CXONE_BASE_URL names the API and not another service.";
    /// The upstream's header section is too large.
    UpstreamHeaderSize: BAD_GATEWAY, "upstream-header-size", "http_response_header_section_size",
        "The header section of the CXone API's response is too large",
        "Ask for less, or report it to the API's operator.";
    /// A 101 that nobody asked for.
    UnaskedUpgrade: BAD_GATEWAY, "unasked-upgrade", "http_upgrade_failed",
        "The CXone API switched protocols although nobody asked",
        "Check that CXONE_BASE_URL names the API and not another service.";
    /// The credentials, the token endpoint or its certificate must be corrected.
    TokenRefused: BAD_GATEWAY, "token-refused", "proxy_configuration_error",
        "The token endpoint gives no token",
        "Run `cxone-proxy check` to see what is wrong.";
    /// No token in time.
    TokenUnavailable: SERVICE_UNAVAILABLE, "token-unavailable", "destination_unavailable",
        "No token in time",
        "Run `cxone-proxy check` to see what is wrong.";
    /// It is not known yet where the tenant's API is.
    Undiscovered: SERVICE_UNAVAILABLE, "undiscovered", "destination_unavailable",
        "It is not known yet where the tenant's API is",
        "See the log for the answer of the discovery, or set CXONE_BASE_URL to the API's address.";
    /// Too many requests wait for their turn.
    QueueFull: SERVICE_UNAVAILABLE, "queue-full", "connection_limit_reached",
        "Too many requests wait for their turn",
        "Send fewer requests at once, or raise rate.queue (CXONE_PROXY_QUEUE).";
    /// An operator has paused the proxy.
    Paused: SERVICE_UNAVAILABLE, "paused", "http_request_denied",
        "The proxy is paused",
        "Somebody has paused the proxy on its admin page. Resume it there, or with `curl -X POST` for /resume on the admin listener.";
    /// Too much in flight.
    TooMany: SERVICE_UNAVAILABLE, "too-many-requests-in-flight", "connection_limit_reached",
        "Too many requests are in flight",
        "Try again later, or raise limits.in_flight (CXONE_PROXY_IN_FLIGHT).";
    /// Connecting took too long.
    ConnectTimeout: GATEWAY_TIMEOUT, "connect-timeout", "connection_timeout",
        "Connecting to the CXone API took too long",
        "Check the network and the firewall, or raise upstream.connect_timeout (CXONE_PROXY_CONNECT_TIMEOUT).";
    /// The response took too long.
    ResponseTimeout: GATEWAY_TIMEOUT, "response-timeout", "http_response_timeout",
        "The CXone API took too long to answer",
        "Raise upstream.response_timeout (CXONE_PROXY_RESPONSE_TIMEOUT) for long polls.";
    /// The request has come round.
    Loop: LOOP_DETECTED, "loop", "proxy_loop_detected",
        "The request has come back to this proxy",
        "CXONE_BASE_URL points back to this proxy: set it to the API's address.";
}

impl ProblemKind {
    /// The problem of this type, by the last part of the type.
    pub fn of_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }

    /// The last part of the problem's type, and its label in metrics.
    pub fn slug(self) -> &'static str {
        self.row().slug
    }

    /// What `Allow` says (RFC 9110 section 15.5.6).
    pub(super) fn allowed_methods(self) -> Option<&'static str> {
        if self == Self::ReadOnly {
            return Some("GET, HEAD");
        }
        if self == Self::PostOnly {
            return Some("POST");
        }
        matches!(self, Self::Connect | Self::Trace).then_some(API_METHODS)
    }
}
