//! The options that say what may be sent to the API, in the order in which people read about them.

use super::entry::{Entry, Fallback, Form, options};

/// Accepted for rules.
pub(in crate::config) const RULES: &str = "rules such as `GET /api/v2/users*`, `POST /api/v2/contacts` or `* /authentication/*`: a method or `*`, a space, \
     and a path, with one star at its end where it is the beginning of a path";

options! {
    /// The listener's certificate.
    TLS_CERT = Entry {
        variable: "CXONE_PROXY_TLS_CERT",
        file_key: Some("tls.cert"),
        flag: Some("tls-cert"),
        default: Fallback::Described("none: plain HTTP"),
        form: Form::File,
        accepts: "the path of a readable PEM file with the listener's certificate first, then those that lead to its authority; together with tls.key",
        meaning: "clients then speak TLS 1.2 or 1.3 to `listen`, with HTTP/2 and HTTP/1.1 by ALPN, except over Unix sockets",
    };
    /// The key of that certificate.
    TLS_KEY = Entry {
        variable: "CXONE_PROXY_TLS_KEY",
        file_key: Some("tls.key"),
        flag: Some("tls-key"),
        default: Fallback::Described("none"),
        form: Form::File,
        accepts: "the path of a readable PEM file with the private key of tls.cert, without a password",
        meaning: "the private key of `tls.cert`",
    };
    /// Who issues certificates of clients.
    TLS_CLIENT_CA = Entry {
        variable: "CXONE_PROXY_TLS_CLIENT_CA",
        file_key: Some("tls.client_ca"),
        flag: Some("tls-client-ca"),
        default: Fallback::Described("none: clients show no certificate"),
        form: Form::File,
        accepts: "the path of a readable PEM file with at least one certificate authority; together with tls.cert",
        meaning: "every client must then show a certificate that one of these authorities has issued",
    };
    /// Who may use the proxy.
    CLIENTS = Entry {
        variable: "CXONE_PROXY_CLIENTS",
        file_key: Some("clients_file"),
        flag: Some("clients"),
        default: Fallback::Described("none: everybody who reaches the proxy"),
        form: Form::File,
        accepts: "the path of a readable TOML file with `[[client]]` tables, such as `cxone-proxy key NAME` prints",
        meaning: "the clients that may use the proxy, by key or by the user of a Unix socket, each with rate, rules and profiles of its own; others are answered 401",
    };
    /// What may be sent.
    ALLOW = Entry {
        variable: "CXONE_PROXY_ALLOW",
        file_key: Some("access.allow"),
        flag: Some("allow"),
        default: Fallback::Described("everything"),
        form: Form::List,
        accepts: RULES,
        meaning: "the only requests that are forwarded: a list of `METHOD /path/prefix*`, `*` for any method; others are answered 403",
    };
    /// What may not be sent.
    DENY = Entry {
        variable: "CXONE_PROXY_DENY",
        file_key: Some("access.deny"),
        flag: Some("deny"),
        default: Fallback::Described("nothing"),
        form: Form::List,
        accepts: RULES,
        meaning: "requests that are answered 403, in the same form; wins over `allow`",
    };
    /// Only reading.
    READ_ONLY = Entry {
        variable: "CXONE_PROXY_READ_ONLY",
        file_key: Some("access.read_only"),
        flag: Some("read-only"),
        default: Fallback::Value("false"),
        form: Form::Switch,
        accepts: "`true` or `false`",
        meaning: "`true` forwards GET, HEAD and OPTIONS only; others are answered 403",
    };
}
