//! The configuration: valid by construction, and errors that say where they come from.
//!
//! First in the walk: the command line hands its flags and the environment to [`load`], which puts file
//! and defaults below them, and either all values are good and typed, or every fault is told at once. Here
//! alone is the environment read. This module knows the form of values, not what they are used for.

mod address;
mod build;
mod faults;
mod file;
mod forward_proxy;
mod grant;
mod judge;
pub mod options;
mod profiles;
mod reference;
mod sources;
mod spelling;
mod urls;
mod values;

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use url::Url;

pub use self::{
    address::Listen,
    faults::{Chosen, ConfigError, Fault, Missing},
    forward_proxy::ForwardProxy,
    reference::markdown_rows,
    sources::{Environment, Flags, Source},
    urls::{BaseUrl, Scheme, is_loopback},
    values::AllowedHosts,
};
use self::{options::CONFIG_VARIABLE, sources::Layers};
use crate::{log, secret::Secret};

/// Everything the program is told. Values are in range and consistent with each other.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: Listen,
    /// Where the admin pages are; `None` switches them off.
    pub admin: Option<Listen>,
    /// Where requests go; with several profiles, those of the first.
    pub upstream: Upstream,
    /// As whom they go there; with several profiles, those of the first.
    pub oauth: OAuth,
    /// Where requests go, as whom, and which ones; at least one.
    pub profiles: Vec<Profile>,
    /// Who may send them.
    pub guard: Guard,
    /// Which messages get a `Via` field (RFC 9110, 7.6.3).
    pub via: Via,
    /// When they are sent again.
    pub retry: Retry,
    /// How much of everything one client may use.
    pub limits: Limits,
    /// How long open exchanges may take to finish after SIGTERM.
    pub drain_timeout: Duration,
    /// What is logged, and how.
    pub log: log::Settings,
    /// The way to the upstream and the token endpoint.
    pub forward_proxy: ForwardProxy,
}

/// One upstream with its credentials, and what selects it.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What people call it; `default` where the file has no `[[profile]]`.
    pub name: String,
    /// What a request must be like to go its way.
    pub select: Selector,
    /// Where its requests go.
    pub upstream: Upstream,
    /// As whom they go there.
    pub oauth: OAuth,
    /// The place of the first profile with the same credentials: they share one token.
    pub credentials: usize,
    /// Addresses below `_links` in JSON become local.
    pub rewrite_json_links: bool,
}

/// What a request must be like to go a profile's way: all that is set must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The host that it names, in lower case.
    pub host: Option<String>,
    /// What its path begins with, at a segment's end; without a trailing slash.
    pub path_prefix: Option<String>,
    /// That beginning is taken off.
    pub strip_prefix: bool,
    /// The profile's own listener by which it comes in.
    pub listen: Option<Listen>,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its origin and path prefix, unless they are to be discovered.
    pub base_url: BaseUrl,
    /// How the tenant's API is found; then `base_url` only says where the default token endpoint is.
    pub discovery: Option<Discovery>,
    /// PEM bundle trusted beyond the platform's roots; it was readable and held a certificate at start.
    pub ca_file: Option<PathBuf>,
    /// For name resolution, connection and TLS together.
    pub connect_timeout: Duration,
    /// From the request's end to the response's head; `None` waits for ever.
    pub response_timeout: Option<Duration>,
}

/// How the tenant's API is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Who knows.
    pub url: Url,
    /// How often it is asked.
    pub interval: Duration,
}

/// As whom requests go upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth {
    /// The way to log in, with its credentials.
    pub grant: Grant,
    /// The scopes to ask for (RFC 6749, 3.3), separated by single spaces; `None` leaves it to the issuer.
    pub scopes: Option<String>,
    /// The token endpoint (RFC 6749, 3.2).
    pub token_url: Url,
    /// How long before its expiry a token is replaced.
    pub refresh_margin: Duration,
}

impl OAuth {
    /// The token endpoint as it may be shown: without its query, which may hold a key.
    pub fn token_endpoint(&self) -> String {
        let mut shown = self.token_url.clone();
        shown.set_query(None);
        shown.into()
    }
}

/// A way to log in, with the credentials that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// An OAuth client for itself (RFC 6749, 4.4).
    ClientCredentials {
        /// The client.
        client: Credentials,
        /// How it proves who it is.
        auth: ClientAuth,
    },
    /// An OAuth client for the user whose access key it has (RFC 6749, 4.3).
    Password {
        /// The client.
        client: Credentials,
        /// How it proves who it is.
        auth: ClientAuth,
        /// The access key.
        key: Credentials,
    },
    /// An access key alone.
    AccessKey {
        /// The access key.
        key: Credentials,
    },
}

impl Grant {
    /// Its word in the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Self::ClientCredentials { .. } => "client_credentials",
            Self::Password { .. } => "password",
            Self::AccessKey { .. } => "access_key",
        }
    }

    /// The OAuth client, where there is one.
    pub fn client(&self) -> Option<&Credentials> {
        match self {
            Self::ClientCredentials { client, .. } | Self::Password { client, .. } => Some(client),
            Self::AccessKey { .. } => None,
        }
    }

    /// The access key, where there is one.
    pub fn key(&self) -> Option<&Credentials> {
        match self {
            Self::ClientCredentials { .. } => None,
            Self::Password { key, .. } | Self::AccessKey { key } => Some(key),
        }
    }
}

/// An identifier and its secret: a client's (RFC 6749, 2.2 and 2.3) or an access key's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The identifier. Not secret.
    pub id: String,
    /// The secret, or where it is kept.
    pub secret: SecretSource,
}

/// How an OAuth client proves who it is (RFC 6749, 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// By HTTP Basic, percent-encoded first.
    Basic,
    /// By HTTP Basic as it is.
    BasicRaw,
    /// In the form.
    Body,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// It was given.
    Value(Secret),
    /// It stands in a file, which is to be read again for every token request.
    File {
        /// The file.
        path: PathBuf,
        /// What it held at start: the last good secret until it is read again.
        at_start: Secret,
    },
}

/// Who may send requests.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Names accepted in `Host` beyond the built-in ones.
    pub allowed_hosts: AllowedHosts,
    /// Web origins whose pages may call, as browsers write them (RFC 6454, 6.2).
    pub allowed_origins: Vec<String>,
}

/// Which messages get a `Via` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Responses alone.
    Response,
    /// Requests and responses.
    Both,
    /// None.
    Off,
}

/// When requests are sent again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The most bytes of one request body that are kept for it.
    pub replay_buffer: usize,
    /// The most retries after 429 for one request.
    pub rate_limit_retries: u32,
    /// The longest one request may wait, all waits together.
    pub max_wait: Duration,
}

/// How much of everything one client may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest header section in bytes.
    pub header_size: usize,
    /// The longest a client may take over its header section.
    pub header_timeout: Duration,
    /// How long a connection may stay open between requests.
    pub idle_timeout: Duration,
    /// The most exchanges at once.
    pub in_flight: usize,
}

/// A configuration, and what ought to be said about it once there is a log.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What works but should be looked at.
    pub warnings: Vec<Warning>,
}

/// Something that works but should be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Every user of the machine can read a secret's file.
    SecretReadableByAll(PathBuf),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretReadableByAll(path) => write!(
                f,
                "every user of this machine can read the secret in {}: `chmod 600` takes that away",
                path.display()
            ),
        }
    }
}

/// Puts flags, environment, file and defaults together, the stronger before the weaker.
///
/// Reads the configuration file, the secret's file and the CA bundle; opens nothing else. The error holds
/// every fault there is, not the first alone.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut faults = Vec::new();
    let mut levels = vec![flags.read(&mut faults), environment.read(&mut faults)];
    let file::Said { found, profiles } = read_file(flags, environment, &mut faults);
    levels.extend([found, sources::defaults()]);
    let layers = Layers(levels);
    let forward_proxy = ForwardProxy::read(environment, &mut faults);
    build::config(&layers, &profiles, faults, forward_proxy, no_color(environment))
}

/// What is logged and how, for commands that need no upstream: all the rest is neither read nor judged.
pub fn load_log(flags: &Flags, environment: &Environment) -> Result<log::Settings, ConfigError> {
    let names = [options::LOG.variable, options::LOG_FORMAT.variable];
    let mut faults = Vec::new();
    let layers = Layers(vec![
        flags.read(&mut faults),
        environment.only(&names).read(&mut faults),
        Vec::new(),
        sources::defaults(),
    ]);
    build::log_alone(&layers, faults, no_color(environment))
}

/// Where the admin pages are, for the command that asks them; `None` where they are off. The file is read
/// as a whole, yet of its values, as of the environment's, this one alone is judged.
pub fn load_admin(flags: &Flags, environment: &Environment) -> Result<Option<Listen>, ConfigError> {
    let mut faults = Vec::new();
    let layers = Layers(vec![
        flags.read(&mut faults),
        environment.only(&[options::ADMIN_LISTEN.variable]).read(&mut faults),
        read_file(flags, environment, &mut faults).found,
        sources::defaults(),
    ]);
    build::admin_alone(&layers, faults)
}

/// True where `NO_COLOR` asks for none (<https://no-color.org>: set and not empty).
fn no_color(environment: &Environment) -> bool {
    environment.value("NO_COLOR").is_some()
}

fn read_file(flags: &Flags, environment: &Environment, faults: &mut Vec<Fault>) -> file::Said {
    let by_flag = flags.config.as_deref().map(|path| (path, Source::Flag("config")));
    let by_variable = || environment.value(CONFIG_VARIABLE).map(|p| (p, Source::Variable(CONFIG_VARIABLE)));
    let Some((path, origin)) = by_flag.or_else(by_variable) else { return file::Said::default() };
    read_named(path, origin, faults)
}

fn read_named(path: &OsStr, origin: Source, faults: &mut Vec<Fault>) -> file::Said {
    let path = Path::new(path);
    match std::fs::read_to_string(path) {
        Ok(text) => file::read(path, &text, faults),
        Err(error) => {
            faults.push(Fault::Unreadable { path: path.to_owned(), origin, error });
            file::Said::default()
        }
    }
}

#[cfg(test)]
mod tests;
