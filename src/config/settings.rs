//! The whole configuration: the settings of every module, each in that module's own types.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use super::source::Source;
use crate::{
    access,
    admin::ConfiguredValue,
    discovery,
    header_case::HeaderCase,
    log,
    proxy::{
        AccessLog, Selector, Via,
        pace::{PaceSettings, Rate},
        retry,
    },
    server::{self, Listen, TlsSettings},
    tokens::{self, RedisSettings},
    traces,
    upstream::{BaseUrl, ForwardProxy, tls::Trust},
};

/// The whole configuration. Its values are in range and consistent with each other.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: Listen,
    /// Where the admin pages are; `None` switches them off.
    pub admin: Option<Listen>,
    /// Where other proxies ask for tokens, where they do.
    pub auth: Option<Listen>,
    /// Where requests go, with which credentials, and which requests; at least one.
    pub profiles: Vec<Profile>,
    /// Who may send them.
    pub guard: access::Settings,
    /// How listeners of TCP speak TLS; `None` is plain HTTP.
    pub tls: Option<TlsSettings>,
    /// The clients that may send them, where they are identified.
    pub clients: Option<Vec<Client>>,
    /// Which of them may be sent.
    pub rules: access::Rules,
    /// Which messages get a `Via` field (RFC 9110 section 7.6.3).
    pub via: Via,
    /// Responses say in `Server-Timing` where the time went.
    pub server_timing: bool,
    /// How field names are written over HTTP/1.1.
    pub header_case: HeaderCase,
    /// When requests are sent again.
    pub retry: Retry,
    /// How much of everything one client may use, and how patient the server is.
    pub limits: server::Limits,
    /// The most requests and tunnels at once.
    pub in_flight: usize,
    /// How long the listeners go on accepting after SIGTERM.
    pub drain_delay: Duration,
    /// How long open requests may take to finish after that.
    pub drain_timeout: Duration,
    /// A change of a file that the configuration came from has it read again.
    pub watch: bool,
    /// Threads that serve clients; `None` is one for each core.
    pub threads: Option<NonZeroUsize>,
    /// What is logged, and how.
    pub log: log::Settings,
    /// Every option with its value and its source, for a person; secrets are withheld.
    pub values: Vec<ConfiguredValue>,
    /// Which requests are logged.
    pub access_log: AccessLog,
    /// Where replicas share their token, where they do.
    pub redis: Option<RedisSettings>,
    /// Where traces go, where they do.
    pub traces: Option<traces::Settings>,
    /// The proxy between this machine and upstream and token endpoint.
    pub forward_proxy: ForwardProxy,
}

/// One upstream with its credentials, and what selects it.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name; `default` where the file has no `[[profile]]`.
    pub name: String,
    /// What selects it.
    pub selector: Selector,
    /// Its own listener, where it has one: only requests that arrive there select it.
    pub listen: Option<Listen>,
    /// Where its requests go.
    pub upstream: Upstream,
    /// How to get tokens for them.
    pub oauth: tokens::Settings,
    /// The index of the first profile with the same credentials: they share one token.
    pub credentials: usize,
    /// Addresses below `_links` in JSON become local.
    pub rewrite_json_links: bool,
    /// When its requests may be sent.
    pub pace: PaceSettings,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its origin and path prefix, unless they are to be discovered.
    pub base_url: Arc<BaseUrl>,
    /// How the tenant's API is found; then `base_url` only says where the default token endpoint is.
    pub discovery: Option<discovery::Settings>,
    /// The certificates to trust, for the API, the token endpoint and the discovery.
    pub trust: Trust,
    /// For name resolution, connection and TLS together.
    pub connect_timeout: Duration,
    /// From the request's end to the response's head; `None` waits for ever.
    pub response_timeout: Option<Duration>,
}

/// A client of the proxy.
#[derive(Clone, Debug)]
pub struct Client {
    /// What it is known by, and what it may send.
    pub client: access::Client,
    /// The most requests in a window; more of them wait for their turn.
    pub rate: Option<Rate>,
    /// Where it stands in the clients file.
    pub origin: Source,
}

/// When requests are sent again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The most retries of one request, and the longest that it may wait.
    pub limits: retry::Limits,
    /// The most bytes of one request body that are kept for it.
    pub replay_buffer: usize,
    /// The most bytes of all request bodies together that are kept.
    pub replay_memory: usize,
}
