//! What a region is like: who may log in, how long tokens live, how much it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::script::Script;
use super::secret::Secret;

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
    /// The OAuth clients that may ask for tokens.
    pub clients: Vec<Client>,
    /// The access keys that may be used, by a client or alone.
    pub access_keys: Vec<AccessKey>,
    /// The tenants that live here; the first is that of clients and keys that name none.
    pub tenants: Vec<Tenant>,
    /// Whether HTTP Basic is read as it comes, without the decoding of RFC 6749 2.3.1.
    pub raw_basic: bool,
    /// How long an access token is good for.
    pub token_lifetime: Duration,
    /// When exactly a token stops being accepted.
    pub expiry: Expiry,
    /// Whether token responses carry a (single-use) refresh token.
    pub issue_refresh_tokens: bool,
    /// How token responses state the lifetime.
    pub expires_in: ExpiresIn,
    /// The `token_type` of token responses, to be read in any case of letters.
    pub token_type: String,
    /// How many API requests one client may make; a request must pass each quota for its path.
    pub quotas: Vec<Quota>,
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
            access_keys: vec![AccessKey::new(
                "demo-access-key",
                "demo-access-key-secret",
                &["users:read", "contacts:read"],
            )],
            tenants: vec![Tenant::new("11e85da0-0000-4000-8000-0242ac110003", "na1")],
            raw_basic: false,
            token_lifetime: Duration::from_hours(1),
            expiry: Expiry::Exact,
            issue_refresh_tokens: true,
            expires_in: ExpiresIn::Number,
            token_type: "Bearer".to_owned(),
            quotas: Vec::new(),
            script: Script::default(),
            journal: 4096,
            referee: true,
        }
    }
}

/// An OAuth client and what it may do.
#[derive(Clone, Debug)]
pub struct Client {
    /// The OAuth client identifier.
    pub id: String,
    /// The OAuth client secret.
    pub secret: Secret,
    /// The most that a token of this client can be good for; all of it where none is asked for.
    pub scopes: Vec<String>,
    /// The [`Tenant::id`] of its tenant; `None` for the first of the region's.
    pub tenant: Option<String>,
}

impl Client {
    /// A client of the first tenant with these credentials and scopes.
    pub fn new(id: &str, secret: &str, scopes: &[&str]) -> Self {
        Self {
            id: id.to_owned(),
            secret: Secret::new(secret.to_owned()),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            tenant: None,
        }
    }
}

/// A user's access key and what it may do.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// The access key's identifier.
    pub id: String,
    /// The access key's secret.
    pub secret: Secret,
    /// The most that a token of this key can be good for; all of it where none is asked for.
    pub scopes: Vec<String>,
    /// The [`Tenant::id`] of its tenant; `None` for the first of the region's.
    pub tenant: Option<String>,
}

impl AccessKey {
    /// An access key of the first tenant with these credentials and scopes.
    pub fn new(id: &str, secret: &str, scopes: &[&str]) -> Self {
        let Client { id, secret, scopes, tenant } = Client::new(id, secret, scopes);
        Self { id, secret, scopes, tenant }
    }
}

/// A tenant, and where it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// As tokens say it in `tenantId`.
    pub id: String,
    /// As tokens say it in `area`.
    pub area: String,
}

impl Tenant {
    /// A tenant of this area.
    pub fn new(id: &str, area: &str) -> Self {
        Self { id: id.to_owned(), area: area.to_owned() }
    }
}

/// How the region serves TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The names and addresses in its certificate.
    pub names: Vec<String>,
    /// The protocols it offers by ALPN, the preferred one first.
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

/// How a token response states the lifetime (RFC 6749 5.1 says a number; not everybody does).
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The requests that are served in one window.
    pub requests: u32,
    /// The window's length; more than zero.
    pub per: Duration,
    /// What a window is.
    pub kind: QuotaKind,
    /// How many requests a full bucket serves at once, at least one; `requests` where it is `None`. The other kinds
    /// ignore it.
    pub burst: Option<u32>,
    /// How the path of a request starts that this quota is for, such as `/api/v2/users` (without the region's own
    /// path prefix, runs of slashes counted as one); `None` for the whole API.
    pub path: Option<String>,
    /// How a refusal says when to come again.
    pub retry_after: RetryAfterForm,
}

impl Quota {
    /// So many requests in each fixed window, for the whole API, with `Retry-After` in seconds.
    pub fn new(requests: u32, per: Duration) -> Self {
        let (kind, retry_after) = (QuotaKind::default(), RetryAfterForm::default());
        Self { requests, per, kind, burst: None, path: None, retry_after }
    }

    /// Counted in this way.
    #[must_use]
    pub fn kind(mut self, kind: QuotaKind) -> Self {
        self.kind = kind;
        self
    }

    /// Only for paths that start so.
    #[must_use]
    pub fn path(mut self, prefix: &str) -> Self {
        self.path = Some(prefix.to_owned());
        self
    }

    /// With `Retry-After` in this form.
    #[must_use]
    pub fn retry_after(mut self, form: RetryAfterForm) -> Self {
        self.retry_after = form;
        self
    }
}

/// How a quota counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
    /// Windows follow one another, from the client's first request on. All requests of one may come at its start.
    #[default]
    Fixed,
    /// No stretch of time of one window's length holds more requests, wherever it begins.
    Sliding,
    /// A token bucket: it refills evenly, and holds no more than `burst`.
    Bucket,
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
