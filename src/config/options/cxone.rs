//! The options that say where CXone is and how to log in there, in the order in which people read about them.

use std::time::Duration;

use super::entry::{DURATION, DURATION_OR_OFF, DURATION_OR_ZERO, Entry, Fallback, Form, MS, options};

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
        meaning: "PEM bundle trusted in addition to the platform's roots, for the API and the token endpoint. A server certificate that is itself in the bundle is accepted (self-signed certificates, as curl does), its name and dates still checked",
    };
    /// Whether the upstream is looked up.
    DISCOVER = Entry {
        variable: "CXONE_DISCOVER",
        file_key: Some("upstream.discover"),
        flag: Some("discover"),
        default: Fallback::Value("false"),
        form: Form::Switch,
        accepts: "`true` or `false`",
        meaning: "`true` finds the tenant's API after log-in and on a schedule; excludes `base_url`",
    };
    /// The address that says where the upstream is.
    DISCOVERY_URL = Entry {
        variable: "CXONE_DISCOVERY_URL",
        file_key: Some("upstream.discovery_url"),
        flag: Some("discovery-url"),
        default: Fallback::Value("https://cxone.niceincontact.com/.well-known/cxone-configuration"),
        form: Form::Url,
        accepts: "`https://HOST/PATH` without user information and fragment; plain `http://` for a loopback host only",
        meaning: "what `discover` asks, with `tenantId` added as a query; same rule for plain `http`. An answer may name a loopback address only if this URL is loopback",
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
        meaning: "name resolution, connection (IPv6 and IPv4 raced, RFC 8305) and TLS together; then 504",
    };
    /// Time for the head of the upstream's response.
    RESPONSE_TIMEOUT = Entry {
        variable: "CXONE_PROXY_RESPONSE_TIMEOUT",
        file_key: Some("upstream.response_timeout"),
        flag: Some("response-timeout"),
        default: Fallback::Value("off"),
        form: Form::Duration { least: MS },
        accepts: DURATION_OR_OFF,
        meaning: "from the end of the request to the head of the response, or `off` (long polls take a minute and more); then 504",
    };
    /// The grant: how to log in.
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
        accepts: "the client secret alone, without white space or quotation marks around it",
        meaning: "OAuth client secret; surrounding white space, a byte order mark or quotation marks around it are an error that says so; not for `access_key`",
    };
    /// The file that holds the OAuth client secret.
    CLIENT_SECRET_FILE = Entry {
        variable: "CXONE_CLIENT_SECRET_FILE",
        file_key: Some("oauth.client_secret_file"),
        flag: Some("client-secret-file"),
        default: Fallback::Described(""),
        form: Form::File,
        accepts: "the path of a readable file that holds the client secret alone (one line end after it is ignored)",
        meaning: "file holding the secret (one trailing `\\n` or `\\r\\n` is ignored, the rest as above); excludes `CXONE_CLIENT_SECRET`; read again for every token request (if it is gone or invalid by then, the last good secret is used and the log says so); reading it never blocks the proxy or its end",
    };
    /// The command that prints the OAuth client secret.
    CLIENT_SECRET_COMMAND = Entry {
        variable: "CXONE_CLIENT_SECRET_COMMAND",
        file_key: Some("oauth.client_secret_command"),
        flag: Some("client-secret-command"),
        default: Fallback::Described(""),
        form: Form::Arguments,
        accepts: "a program and its arguments, without a shell: an array of strings in the file, separated by commas elsewhere; it prints the client secret alone on its standard output within 10 s and ends with status 0",
        meaning: "a program and its arguments that prints the secret on its standard output, for secret stores (at most 64 KiB within 10 s, read as the file is); no shell; run again for every token request, and where it fails the last good secret is used; excludes `CXONE_CLIENT_SECRET` and `CXONE_CLIENT_SECRET_FILE`",
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
        accepts: "the access key's secret alone, without white space or quotation marks around it",
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
    /// The command that prints the access key's secret.
    ACCESS_KEY_SECRET_COMMAND = Entry {
        variable: "CXONE_ACCESS_KEY_SECRET_COMMAND",
        file_key: Some("oauth.access_key_secret_command"),
        flag: Some("access-key-secret-command"),
        default: Fallback::Described(""),
        form: Form::Arguments,
        accepts: "a program and its arguments, without a shell: an array of strings in the file, separated by commas elsewhere; it prints the access key's secret alone on its standard output within 10 s and ends with status 0",
        meaning: "a program and its arguments that prints it, by the rules of the client secret's command; excludes `CXONE_ACCESS_KEY_SECRET` and `CXONE_ACCESS_KEY_SECRET_FILE`",
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
        accepts: DURATION_OR_ZERO,
        meaning: "how long before expiry a token is replaced; never more than a fifth of the token's lifetime",
    };
}
