//! From the configuration to what each part goes by.

use std::net::SocketAddr;
use std::sync::Arc;

use url::Url;

use crate::config::{
    self, AllowedHosts, BaseUrl, Config, ForwardProxy, Listen, OAuth, Scheme, SecretSource, Selector,
    Upstream, Via,
};
use crate::discovery;
use crate::oauth::{self, ClientAuth, Credentials, Grant};
use crate::proxy::retry::Rules;
use crate::proxy::{self, Connect, Select, fields, guard};
use crate::server::{self, Bound};
use crate::transport::tls::{self, TlsError};
use crate::transport::{self, Base, Transport};

/// The token endpoint's settings.
pub fn token(
    oauth: &OAuth,
    upstream: &Upstream,
    forward: &ForwardProxy,
) -> Result<oauth::Settings, TlsError> {
    Ok(oauth::Settings {
        token_url: oauth.token_url.clone(),
        scopes: oauth.scopes.clone(),
        refresh_margin: oauth.refresh_margin,
        tls: tls::client_config(upstream.ca_file.as_deref())?,
        forward_proxy: forward.toward(&oauth.token_url).cloned(),
    })
}

/// The way to log in at the token endpoint, with what proves there who we are.
pub fn grant(oauth: &OAuth) -> Grant {
    match &oauth.grant {
        config::Grant::ClientCredentials { client, auth } => {
            Grant::ClientCredentials { client: credentials(client), auth: client_auth(*auth) }
        }
        config::Grant::Password { client, auth, key } => {
            Grant::Password { client: credentials(client), auth: client_auth(*auth), key: credentials(key) }
        }
        config::Grant::AccessKey { key } => Grant::AccessKey { key: credentials(key) },
    }
}

fn credentials(given: &config::Credentials) -> Credentials {
    let id = given.id.clone();
    match &given.secret {
        SecretSource::Value(secret) => Credentials::with_secret(id, secret.clone()),
        SecretSource::File { path, at_start } => {
            Credentials::with_secret_file(id, path.clone(), at_start.clone())
        }
    }
}

fn client_auth(auth: config::ClientAuth) -> ClientAuth {
    match auth {
        config::ClientAuth::Basic => ClientAuth::Basic,
        config::ClientAuth::BasicRaw => ClientAuth::BasicRaw,
        config::ClientAuth::Body => ClientAuth::Body,
    }
}

/// How requests reach a profile's upstream, wherever that is. Reads the CA bundle.
pub fn connect(upstream: &Upstream, forward: &ForwardProxy) -> Result<Connect, TlsError> {
    let upstream = upstream.clone();
    let forward = forward.clone();
    let tls = tls::client_config(upstream.ca_file.as_deref())?;
    Ok(Arc::new(move |base: Arc<Base>| {
        Transport::new(transport::Settings {
            forward_proxy: url_of(&base).and_then(|url| forward.toward(&url).cloned()),
            base,
            connect_timeout: upstream.connect_timeout,
            response_timeout: upstream.response_timeout,
            tls: tls.clone(),
        })
    }))
}

fn url_of(base: &Base) -> Option<Url> {
    let scheme = if base.secure { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{}/", base.authority)).ok()
}

/// How a profile's upstream is found, where it is to be.
pub fn discovery(
    upstream: &Upstream,
    forward: &ForwardProxy,
) -> Result<Option<discovery::Settings>, TlsError> {
    let Some(wanted) = &upstream.discovery else { return Ok(None) };
    Ok(Some(discovery::Settings {
        url: wanted.url.clone(),
        interval: wanted.interval,
        tls: tls::client_config(upstream.ca_file.as_deref())?,
        forward_proxy: forward.toward(&wanted.url).cloned(),
    }))
}

/// A discovered base URL, taken apart.
pub fn base_of(url: &Url) -> Base {
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Base {
        secure: url.scheme() == "https",
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port_or_known_default().unwrap_or(443),
        authority,
        prefix: url.path().strip_suffix('/').unwrap_or(url.path()).as_bytes().to_vec(),
    }
}

/// A base URL, taken apart.
pub fn base(base_url: &BaseUrl) -> Arc<Base> {
    Arc::new(Base {
        secure: base_url.scheme == Scheme::Https,
        host: base_url.bare_host(),
        port: base_url.port,
        authority: base_url.authority(),
        prefix: base_url.prefix.clone().into_bytes(),
    })
}

/// What a profile is selected by; `listener` is the place of its own one.
pub(super) fn select(selector: &Selector, listener: Option<usize>) -> Select {
    Select {
        listener,
        host: selector.host.clone(),
        path_prefix: selector.path_prefix.clone().unwrap_or_default().into_bytes(),
        strips_prefix: selector.strip_prefix,
    }
}

/// What the proxy goes by, with a member of `CDN-Loop` of this process's own.
pub fn proxy(config: &Config, bound: &[Bound]) -> proxy::Settings {
    proxy::Settings {
        guard: guard(config, bound),
        via: match config.via {
            Via::Response => fields::Via::Response,
            Via::Both => fields::Via::Both,
            Via::Off => fields::Via::Off,
        },
        rules: Rules { rate_limit_retries: config.retry.rate_limit_retries, max_wait: config.retry.max_wait },
        replay_buffer: config.retry.replay_buffer,
        in_flight: config.limits.in_flight,
        loop_member: format!("{}-{:016x}", fields::PSEUDONYM, fastrand::u64(..)),
        listeners: bound.iter().map(tcp_address).collect(),
    }
}

fn tcp_address(bound: &Bound) -> Option<SocketAddr> {
    match bound {
        Bound::Tcp(address) => Some(*address),
        Bound::Unix(_) => None,
    }
}

/// Who may use the proxy, and who may read the admin pages.
pub(super) fn guard(config: &Config, bound: &[Bound]) -> guard::Settings {
    let hosts = match &config.guard.allowed_hosts {
        AllowedHosts::Listed(names) => {
            let selectors = config.profiles.iter().filter_map(|profile| profile.select.host.clone());
            guard::AllowedHosts::Names(names.iter().cloned().chain(selectors).collect())
        }
        AllowedHosts::Any => guard::AllowedHosts::Any,
    };
    guard::Settings {
        hosts,
        origins: config.guard.allowed_origins.clone(),
        listen: bound.iter().filter_map(tcp_address).map(|address| address.ip()).collect(),
    }
}

/// How patient the server is.
pub fn limits(config: &Config) -> server::Limits {
    server::Limits {
        header_size: config.limits.header_size,
        header_timeout: config.limits.header_timeout,
        idle_timeout: config.limits.idle_timeout,
    }
}

pub(super) fn listen(listen: &Listen) -> server::Listen {
    match listen {
        Listen::Tcp(address) => server::Listen::Tcp(*address),
        Listen::Unix(path) => server::Listen::Unix(path.clone()),
    }
}
