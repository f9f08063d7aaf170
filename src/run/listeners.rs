//! The listeners that the configuration names, and the guard before them.

use super::error::StartError;
use crate::access::{self, AllowedHosts, HostName};
use crate::config::Config;
use crate::server::{self, Bound, Listen, Listener};

const PROXY: &str = "listen (CXONE_PROXY_LISTEN)";
const ADMIN: &str = "admin.listen (CXONE_PROXY_ADMIN_LISTEN)";
const PROFILE: &str = "profile.listen";

/// All listeners, bound.
pub(super) struct Listeners {
    /// The one that all profiles share, then those that profiles have for themselves.
    pub(super) proxy: Vec<Listener>,
    /// Where those are.
    pub(super) bound: Vec<Bound>,
    pub(super) admin: Option<Listener>,
}

impl Listeners {
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let own = config.profiles.iter().filter_map(|profile| profile.listen.as_ref());
        let all = std::iter::once((PROXY, &config.listen)).chain(own.map(|listen| (PROFILE, listen)));
        let proxy = all.map(|(name, listen)| bind(name, listen)).collect::<Result<Vec<_>, _>>()?;
        let admin = config.admin.as_ref().map(|listen| bind(ADMIN, listen)).transpose()?;
        let bound = proxy.iter().map(|listener| listener.bound.clone()).collect();
        Ok(Self { proxy, bound, admin })
    }
}

fn bind(name: &'static str, listen: &Listen) -> Result<Listener, StartError> {
    server::bind(listen).map_err(|error| StartError::Listen { name, error })
}

/// Who may use the proxy: the configured names, and those that select a profile.
pub(super) fn guard(config: &Config) -> access::Settings {
    let mut settings = config.guard.clone();
    if let AllowedHosts::Listed(names) = &mut settings.hosts {
        let selectors = config.profiles.iter().filter_map(|profile| profile.selector.host.as_ref());
        names.extend(selectors.filter_map(|host| host.parse::<HostName>().ok()));
    }
    settings
}

/// One line that says where the proxy is.
pub(super) fn log_listening(config: &Config, bound: &[Bound], admin: Option<&Bound>) {
    let own = bound.iter().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(",");
    let upstream = config.profiles.first().map(|profile| &profile.upstream);
    let fixed = upstream.filter(|upstream| upstream.discovery.is_none());
    tracing::info!(
        proxy = bound.first().map(tracing::field::display),
        admin = admin.map(tracing::field::display),
        upstream = fixed.map(|upstream| upstream.base_url.to_string()),
        profile_listeners = (!own.is_empty()).then_some(own),
        "listening"
    );
}
