//! What a region is like: who may log in, how long tokens live, how much it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::script::Script;
use crate::secret::Secret;

/// Everything that is decided before a region starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 lets the system pick one.
    pub listen: SocketAddr,
    /// Put before every path, such as `/tenant-7`; empty for none. The control paths under `/_region/` and
    /// the key set stay at the root.
    pub path_prefix: String,
    /// TLS with a certificate authority made for this region; clear text without.
    pub tls: Option<Tls>,
    /// Who may ask for tokens.
    pub clients: Vec<Client>,
    /// How long an access token is good for.
    pub token_lifetime: Duration,
    /// When exactly a token stops being accepted.
    pub expiry: Expiry,
    /// Whether token answers carry a (single-use) refresh token.
    pub issue_refresh_tokens: bool,
    /// How token answers state the lifetime.
    pub expires_in: ExpiresIn,
    /// The `token_type` of token answers, to be read in any case of letters.
    pub token_type: String,
    /// How many API requests one client may make.
    pub quota: Option<Quota>,
    /// The faults to start with.
    pub script: Script,
    /// How many exchanges the journal remembers; 0 turns it off.
    pub journal: usize,
    /// Whether the referee watches.
    pub referee: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            path_prefix: String::new(),
            tls: None,
            clients: vec![Client::new("demo-client", "demo-secret", &["users:read", "contacts:read"])],
            token_lifetime: Duration::from_hours(1),
            expiry: Expiry::Exact,
            issue_refresh_tokens: true,
            expires_in: ExpiresIn::Number,
            token_type: "Bearer".to_owned(),
            quota: None,
            script: Script::default(),
            journal: 4096,
            referee: true,
        }
    }
}

/// One set of credentials and what they allow.
#[derive(Clone, Debug)]
pub struct Client {
    /// The OAuth client identifier.
    pub id: String,
    /// The OAuth client secret.
    pub secret: Secret,
    /// The most that a token of this client can be good for; all of it where none is asked for.
    pub scopes: Vec<String>,
}

impl Client {
    /// A client with these credentials and scopes.
    pub fn new(id: &str, secret: &str, scopes: &[&str]) -> Self {
        Self {
            id: id.to_owned(),
            secret: Secret::new(secret.to_owned()),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        }
    }
}

/// How the region serves TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The names and addresses in its certificate.
    pub names: Vec<String>,
    /// The protocols it offers by ALPN, its favourite first.
    pub alpn: Vec<Alpn>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(), alpn: vec![Alpn::Http1] }
    }
}

/// A protocol offered by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`
    Http1,
    /// `h2`
    Http2,
}

/// When a token stops being accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At the very end of the lifetime.
    Exact,
    /// As servers do that count in whole seconds: up to one second before the end.
    WholeSeconds,
}

/// How a token answer states the lifetime (RFC 6749 5.1 says a number; not everybody does).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiresIn {
    /// `"expires_in": 3600`
    Number,
    /// `"expires_in": "3600"`
    Text,
    /// Not at all; only the token's own `exp` tells.
    Absent,
}

/// So many requests in each window of time, counted for each client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The requests that are served in one window.
    pub requests: u32,
    /// The window's length.
    pub per: Duration,
    /// How a refusal says when the next window starts.
    pub retry_after: RetryAfterForm,
}

/// The forms of `Retry-After` (RFC 9110 10.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfterForm {
    /// A number of seconds.
    #[default]
    Seconds,
    /// An HTTP date.
    Date,
    /// No such field.
    None,
}
