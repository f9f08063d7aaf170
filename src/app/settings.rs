//! From the configuration to what each part goes by.

use std::net::IpAddr;

use crate::config::{self, AllowedHosts, Config, Listen, Scheme, SecretSource, Via};
use crate::oauth::{self, ClientAuth, Credentials, Grant};
use crate::proxy::retry::Rules;
use crate::proxy::{self, Base, fields, guard};
use crate::server::{self, Bound};
use crate::transport;
use crate::transport::tls::{self, TlsError};

/// The token endpoint's settings.
pub fn token(config: &Config) -> Result<oauth::Settings, TlsError> {
    Ok(oauth::Settings {
        token_url: config.oauth.token_url.clone(),
        scopes: config.oauth.scopes.clone(),
        refresh_margin: config.oauth.refresh_margin,
        tls: tls::client_config(config.upstream.ca_file.as_deref())?,
        forward_proxy: config.forward_proxy.toward(&config.oauth.token_url).cloned(),
    })
}

/// The way to log in at the token endpoint, with what proves there who we are.
pub fn grant(config: &Config) -> Grant {
    match &config.oauth.grant {
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

pub(super) fn transport(config: &Config) -> Result<transport::Settings, TlsError> {
    let upstream = &config.upstream;
    Ok(transport::Settings {
        secure: upstream.base_url.scheme == Scheme::Https,
        host: upstream.base_url.bare_host(),
        port: upstream.base_url.port,
        authority: upstream.base_url.authority(),
        connect_timeout: upstream.connect_timeout,
        response_timeout: upstream.response_timeout,
        tls: tls::client_config(upstream.ca_file.as_deref())?,
        forward_proxy: config.forward_proxy.toward_upstream(&upstream.base_url).cloned(),
    })
}

pub(super) fn proxy(config: &Config, bound: &Bound) -> proxy::Settings {
    let base_url = &config.upstream.base_url;
    let base = Base {
        secure: base_url.scheme == Scheme::Https,
        host: base_url.bare_host(),
        port: base_url.port,
        prefix: base_url.prefix.clone().into_bytes(),
    };
    proxy::Settings {
        guard: guard(config, bound, Some(&base)),
        base,
        via: match config.via {
            Via::Response => fields::Via::Response,
            Via::Both => fields::Via::Both,
            Via::Off => fields::Via::Off,
        },
        rules: Rules { rate_limit_retries: config.retry.rate_limit_retries, max_wait: config.retry.max_wait },
        replay_buffer: config.retry.replay_buffer,
        in_flight: config.limits.in_flight,
        loop_member: format!("{}-{:016x}", fields::PSEUDONYM, fastrand::u64(..)),
        listen_authority: match bound {
            Bound::Tcp(address) => address.to_string(),
            Bound::Unix(_) => "localhost".to_owned(),
        },
    }
}

pub(super) fn guard(config: &Config, bound: &Bound, upstream: Option<&Base>) -> guard::Settings {
    guard::Settings {
        hosts: match &config.guard.allowed_hosts {
            AllowedHosts::Listed(names) => guard::AllowedHosts::Names(names.clone()),
            AllowedHosts::Any => guard::AllowedHosts::Any,
        },
        origins: config.guard.allowed_origins.clone(),
        listen: listen_ip(bound),
        upstream: upstream.map(|base| (base.secure, base.host.clone(), base.port)),
    }
}

fn listen_ip(bound: &Bound) -> Option<IpAddr> {
    match bound {
        Bound::Tcp(address) => Some(address.ip()),
        Bound::Unix(_) => None,
    }
}

pub(super) fn limits(config: &Config) -> server::Limits {
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
