//! The options themselves, in the order in which people read about them.

use std::time::Duration;

use super::{Entry, Fallback, Form};

const MS: Duration = Duration::from_millis(1);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const DURATION: &str =
    "an integer with `ms`, `s`, `m` or `h`, such as `10s` or `500ms`, more than nought and at most `8760h`";
const DURATION_OR_NOUGHT: &str =
    "an integer with `ms`, `s`, `m` or `h`, such as `10s` or `500ms`, at most `8760h`";
const ADDRESS: &str =
    "an address and port such as `127.0.0.1:8080` or `[::1]:8080`, `localhost:8080`, or `unix:PATH`";

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident = $entry:expr;)*) => {
        $($(#[$doc])* pub static $name: Entry = $entry;)*

        /// Every option, in the order in which people read about them.
        pub static TABLE: &[&Entry] = &[$(&$name),*];
    };
}

options! {
    /// The CXone region.
    REGION = Entry {
        variable: "CXONE_REGION",
        file_key: Some("upstream.region"),
        flag: Some("region"),
        default: Fallback::Value("global"),
        form: Form::OneOf(&["global", "eu", "usgov"]),
        accepts: "`global`, `eu` or `usgov`",
        meaning: "`global` = https://api.cxone.com, `eu` = https://api.eu.cxone.com, `usgov` = https://api.usgov.cxone.com",
    };
    /// The upstream's base URL.
    BASE_URL = Entry {
        variable: "CXONE_BASE_URL",
        file_key: Some("upstream.base_url"),
        flag: Some("base-url"),
        default: Fallback::Described("from the region"),
        form: Form::Url,
        accepts: "`https://HOST`, with an optional port and path prefix, without query, fragment and user information; plain `http://` for a loopback host only",
        meaning: "scheme, host, optional port and path prefix of the upstream (one trailing `/` is dropped; query, fragment and user information are errors); excludes `region`. Plain `http` is refused unless the host is loopback",
    };
    /// Certificates trusted beyond the platform's.
    CA_FILE = Entry {
        variable: "CXONE_CA_FILE",
        file_key: Some("upstream.ca_file"),
        flag: Some("ca-file"),
        default: Fallback::Described("platform roots"),
        form: Form::File,
        accepts: "the path of a readable PEM file that holds at least one certificate",
        meaning: "PEM bundle trusted in addition to the platform's roots, for the API and the token endpoint",
    };
    /// Whether the upstream is looked up.
    DISCOVER = Entry {
        variable: "CXONE_DISCOVER",
        file_key: Some("upstream.discover"),
        flag: Some("discover"),
        default: Fallback::Value("false"),
        form: Form::Switch,
        accepts: "`true` or `false`",
        meaning: "`true` asks CXone where the tenant's API is, after each start and on a schedule, and goes there; excludes `base_url`",
    };
    /// Who knows where the upstream is.
    DISCOVERY_URL = Entry {
        variable: "CXONE_DISCOVERY_URL",
        file_key: Some("upstream.discovery_url"),
        flag: Some("discovery-url"),
        default: Fallback::Value("https://cxone.niceincontact.com/.well-known/cxone-configuration"),
        form: Form::Url,
        accepts: "`https://HOST/PATH` without user information and fragment; plain `http://` for a loopback host only",
        meaning: "whom `discover` asks, with `tenantId` added as a query; same rule for plain `http`",
    };
    /// How often the upstream is looked up.
    DISCOVER_INTERVAL = Entry {
        variable: "CXONE_PROXY_DISCOVER_INTERVAL",
        file_key: Some("upstream.discover_interval"),
        flag: Some("discover-interval"),
        default: Fallback::Value("5m"),
        form: Form::Duration { least: Duration::from_secs(1) },
        accepts: "an integer with `s`, `m` or `h`, such as `5m`, at least `1s` and at most `8760h`",
        meaning: "how often `discover` asks again: tenants fail over to other areas",
    };
    /// Time to reach the upstream.
    CONNECT_TIMEOUT = Entry {
        variable: "CXONE_PROXY_CONNECT_TIMEOUT",
        file_key: Some("upstream.connect_timeout"),
        flag: Some("connect-timeout"),
        default: Fallback::Value("10s"),
        form: Form::Duration { least: MS },
        accepts: DURATION,
        meaning: "name resolution, connection and TLS together; then 504",
    };
    /// Time for the upstream's answer.
    RESPONSE_TIMEOUT = Entry {
        variable: "CXONE_PROXY_RESPONSE_TIMEOUT",
        file_key: Some("upstream.response_timeout"),
        flag: Some("response-timeout"),
        default: Fallback::Value("off"),
        form: Form::Duration { least: MS },
        accepts: "an integer with `ms`, `s`, `m` or `h`, such as `90s`, more than nought and at most `8760h`, or `off`",
        meaning: "from the request's end to the response's head, or `off` (long polls take a minute and more); then 504",
    };
    /// The way to log in.
    GRANT = Entry {
        variable: "CXONE_GRANT",
        file_key: Some("oauth.grant"),
        flag: Some("grant"),
        default: Fallback::Value("client_credentials"),
        form: Form::OneOf(&["client_credentials", "password", "access_key"]),
        accepts: "`client_credentials`, `password` or `access_key`",
        meaning: "how to log in: `client_credentials` (an OAuth client for itself), `password` (an OAuth client and a user's access key), or `access_key` (an access key alone)",
    };
    /// The OAuth client identifier.
    CLIENT_ID = Entry {
        variable: "CXONE_CLIENT_ID",
        file_key: Some("oauth.client_id"),
        flag: Some("client-id"),
        default: Fallback::Required,
        form: Form::Text,
        accepts: "the client identifier as CXone shows it: printable ASCII without surrounding white space",
        meaning: "OAuth client identifier; not for `access_key`",
    };
    /// The OAuth client secret.
    CLIENT_SECRET = Entry {
        variable: "CXONE_CLIENT_SECRET",
        file_key: None,
        flag: None,
        default: Fallback::Required,
        form: Form::Text,
        accepts: "the client secret alone, without surrounding white space",
        meaning: "OAuth client secret; surrounding white space is an error that says so; not for `access_key`",
    };
    /// The file that holds the OAuth client secret.
    CLIENT_SECRET_FILE = Entry {
        variable: "CXONE_CLIENT_SECRET_FILE",
        file_key: Some("oauth.client_secret_file"),
        flag: Some("client-secret-file"),
        default: Fallback::Described(""),
        form: Form::File,
        accepts: "the path of a readable file that holds the client secret alone (one line end after it is ignored)",
        meaning: "file holding the secret (one trailing `\\n` or `\\r\\n` is ignored, other surrounding white space is the same error); excludes `CXONE_CLIENT_SECRET`; read again for every token request (where it is gone or bad by then, the last good secret is used and the log says so)",
    };
    /// How the OAuth client proves who it is.
    CLIENT_AUTH = Entry {
        variable: "CXONE_CLIENT_AUTH",
        file_key: Some("oauth.client_auth"),
        flag: Some("client-auth"),
        default: Fallback::Described("`body` for `client_credentials`, `basic` for `password`"),
        form: Form::OneOf(&["basic", "basic_raw", "body"]),
        accepts: "`basic`, `basic_raw` or `body`",
        meaning: "how client identifier and secret are sent: `basic` (HTTP Basic, percent-encoded first as RFC 6749 says), `basic_raw` (HTTP Basic as they are) or `body` (in the form); not for `access_key`",
    };
    /// The access key's identifier.
    ACCESS_KEY_ID = Entry {
        variable: "CXONE_ACCESS_KEY_ID",
        file_key: Some("oauth.access_key_id"),
        flag: Some("access-key-id"),
        default: Fallback::RequiredFor("`password` and `access_key`"),
        form: Form::Text,
        accepts: "the access key identifier as CXone shows it: printable ASCII without surrounding white space",
        meaning: "access key identifier of a CXone user; not for `client_credentials`",
    };
    /// The access key's secret.
    ACCESS_KEY_SECRET = Entry {
        variable: "CXONE_ACCESS_KEY_SECRET",
        file_key: None,
        flag: None,
        default: Fallback::RequiredFor("`password` and `access_key`"),
        form: Form::Text,
        accepts: "the access key's secret alone, without surrounding white space",
        meaning: "access key secret, by the rules of the client secret",
    };
    /// The file that holds the access key's secret.
    ACCESS_KEY_SECRET_FILE = Entry {
        variable: "CXONE_ACCESS_KEY_SECRET_FILE",
        file_key: Some("oauth.access_key_secret_file"),
        flag: Some("access-key-secret-file"),
        default: Fallback::Described(""),
        form: Form::File,
        accepts: "the path of a readable file that holds the access key's secret alone (one line end after it is ignored)",
        meaning: "file holding it, by the rules of the client secret's file; excludes `CXONE_ACCESS_KEY_SECRET`",
    };
    /// The area whose endpoint takes access keys.
    AREA = Entry {
        variable: "CXONE_AREA",
        file_key: Some("oauth.area"),
        flag: Some("area"),
        default: Fallback::RequiredFor("`access_key` unless `oauth.token_url` is set"),
        form: Form::Text,
        accepts: "the area's name alone, such as `na1` or `eu1`: letters, digits and inner hyphens",
        meaning: "area of the tenant, for the token endpoint of `access_key`; excludes `oauth.token_url`",
    };
    /// The scopes to ask for.
    SCOPES = Entry {
        variable: "CXONE_SCOPES",
        file_key: Some("oauth.scopes"),
        flag: Some("scopes"),
        default: Fallback::Described("none"),
        form: Form::Words,
        accepts: "scopes separated by spaces, each of printable ASCII without `\"` and `\\`",
        meaning: "scopes asked for, separated by spaces; not for `access_key`",
    };
    /// The token endpoint.
    TOKEN_URL = Entry {
        variable: "CXONE_TOKEN_URL",
        file_key: Some("oauth.token_url"),
        flag: Some("token-url"),
        default: Fallback::Described("`{base_url}/api/v2/oauth/token`"),
        form: Form::Url,
        accepts: "an `https://` URL without fragment and user information; plain `http://` for a loopback host only",
        meaning: "token endpoint; same rule for plain `http`. For `password` the default is https://cxone.niceincontact.com/auth/token, for `access_key` `https://{area}.nice-incontact.com/authentication/v1/token/access-key`",
    };
    /// How early a token is replaced.
    REFRESH_MARGIN = Entry {
        variable: "CXONE_PROXY_REFRESH_MARGIN",
        file_key: Some("oauth.refresh_margin"),
        flag: Some("refresh-margin"),
        default: Fallback::Value("5m"),
        form: Form::Duration { least: Duration::ZERO },
        accepts: DURATION_OR_NOUGHT,
        meaning: "how long before expiry a token is replaced; never more than a fifth of the token's lifetime",
    };
    /// Where clients connect.
    LISTEN = Entry {
        variable: "CXONE_PROXY_LISTEN",
        file_key: Some("listen"),
        flag: Some("listen"),
        default: Fallback::Value("127.0.0.1:8080"),
        form: Form::Address,
        accepts: ADDRESS,
        meaning: "address and port (0 picks one), or `unix:PATH` (mode 0600; a left-over socket that nobody serves is replaced; removed at the end)",
    };
    /// Where the admin pages are.
    ADMIN_LISTEN = Entry {
        variable: "CXONE_PROXY_ADMIN_LISTEN",
        file_key: Some("admin.listen"),
        flag: Some("admin-listen"),
        default: Fallback::Value("127.0.0.1:8081"),
        form: Form::Address,
        accepts: "an address and port such as `127.0.0.1:8081` or `[::1]:8081`, `localhost:8081`, `unix:PATH`, or `off`",
        meaning: "the same, or `off`",
    };
    /// Names accepted in `Host`.
    ALLOWED_HOSTS = Entry {
        variable: "CXONE_PROXY_ALLOWED_HOSTS",
        file_key: Some("guard.allowed_hosts"),
        flag: Some("allowed-hosts"),
        default: Fallback::Described("this machine's own"),
        form: Form::List,
        accepts: "host names or IP addresses without scheme, port and path, or `*` for any",
        meaning: "names accepted in `Host` beyond the built-in ones; `*` accepts any",
    };
    /// Web origins that may call.
    ALLOWED_ORIGINS = Entry {
        variable: "CXONE_PROXY_ALLOWED_ORIGINS",
        file_key: Some("guard.allowed_origins"),
        flag: Some("allowed-origins"),
        default: Fallback::Described("none"),
        form: Form::List,
        accepts: "web origins such as `https://app.example` or `http://localhost:3000`, without a path",
        meaning: "web origins whose pages may call the proxy",
    };
    /// Which messages get a `Via` field.
    VIA = Entry {
        variable: "CXONE_PROXY_VIA",
        file_key: Some("forwarding.via"),
        flag: Some("via"),
        default: Fallback::Value("response"),
        form: Form::OneOf(&["response", "both", "off"]),
        accepts: "`response`, `both` or `off`",
        meaning: "which messages get a `Via` field: `response`, `both` or `off`",
    };
    /// Memory for one request's body.
    REPLAY_BUFFER = Entry {
        variable: "CXONE_PROXY_REPLAY_BUFFER",
        file_key: Some("retry.replay_buffer"),
        flag: Some("replay-buffer"),
        default: Fallback::Value("1MiB"),
        form: Form::Size { least: 0, most: 1024 * MIB },
        accepts: "an integer with `B`, `KiB` or `MiB`, such as `512KiB`, at most `1024MiB`",
        meaning: "the most of one request body that is kept in memory for a retry",
    };
    /// Retries after 429.
    RATE_LIMIT_RETRIES = Entry {
        variable: "CXONE_PROXY_RATE_LIMIT_RETRIES",
        file_key: Some("retry.rate_limit_retries"),
        flag: Some("rate-limit-retries"),
        default: Fallback::Value("3"),
        form: Form::Count { least: 0, most: 1000 },
        accepts: "an integer from 0 to 1000",
        meaning: "the most retries after 429 for one request; `0` passes every 429 through (load tests)",
    };
    /// The longest one request may wait.
    MAX_WAIT = Entry {
        variable: "CXONE_PROXY_MAX_WAIT",
        file_key: Some("retry.max_wait"),
        flag: Some("max-wait"),
        default: Fallback::Value("30s"),
        form: Form::Duration { least: Duration::ZERO },
        accepts: DURATION_OR_NOUGHT,
        meaning: "the longest one request may wait, all its backoffs and its wait for a token together",
    };
    /// The largest header section.
    HEADER_SIZE = Entry {
        variable: "CXONE_PROXY_HEADER_SIZE",
        file_key: Some("limits.header_size"),
        flag: Some("header-size"),
        default: Fallback::Value("64KiB"),
        form: Form::Size { least: KIB, most: 16 * MIB },
        accepts: "an integer with `B`, `KiB` or `MiB`, such as `64KiB`, from `1KiB` to `16MiB`",
        meaning: "the largest header section of a request; then 431",
    };
    /// The longest a header section may take.
    HEADER_TIMEOUT = Entry {
        variable: "CXONE_PROXY_HEADER_TIMEOUT",
        file_key: Some("limits.header_timeout"),
        flag: Some("header-timeout"),
        default: Fallback::Value("10s"),
        form: Form::Duration { least: MS },
        accepts: DURATION,
        meaning: "the longest a client may take over its header section, from its first byte (from the accept for the first one, an HTTP/2 preface included); then 408 or the connection is closed",
    };
    /// How long a connection may idle.
    IDLE_TIMEOUT = Entry {
        variable: "CXONE_PROXY_IDLE_TIMEOUT",
        file_key: Some("limits.idle_timeout"),
        flag: Some("idle-timeout"),
        default: Fallback::Value("5m"),
        form: Form::Duration { least: MS },
        accepts: DURATION,
        meaning: "how long a connection may stay open between requests",
    };
    /// The most exchanges at once.
    IN_FLIGHT = Entry {
        variable: "CXONE_PROXY_IN_FLIGHT",
        file_key: Some("limits.in_flight"),
        flag: Some("in-flight"),
        default: Fallback::Value("10000"),
        form: Form::Count { least: 1, most: 1_000_000 },
        accepts: "an integer from 1 to 1000000",
        meaning: "the most exchanges at once; then 503 with `Retry-After`",
    };
    /// How long the end may take.
    DRAIN_TIMEOUT = Entry {
        variable: "CXONE_PROXY_DRAIN_TIMEOUT",
        file_key: Some("drain_timeout"),
        flag: Some("drain-timeout"),
        default: Fallback::Value("30s"),
        form: Form::Duration { least: Duration::ZERO },
        accepts: DURATION_OR_NOUGHT,
        meaning: "how long open exchanges may take to finish after SIGTERM",
    };
    /// What is logged.
    LOG = Entry {
        variable: "CXONE_PROXY_LOG",
        file_key: Some("log.filter"),
        flag: Some("log"),
        default: Fallback::Value("info"),
        form: Form::Text,
        accepts: "`off`, `error`, `warn`, `info`, `debug` or `trace`, or directives such as `info,cxone_proxy::oauth=debug`",
        meaning: "filter in `tracing` directive syntax",
    };
    /// How it is logged.
    LOG_FORMAT = Entry {
        variable: "CXONE_PROXY_LOG_FORMAT",
        file_key: Some("log.format"),
        flag: Some("log-format"),
        default: Fallback::Described("`text` on a terminal, else `json`"),
        form: Form::OneOf(&["text", "json"]),
        accepts: "`text` or `json`",
        meaning: "`text` or `json`",
    };
}
