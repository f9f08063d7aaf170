//! The listeners that the configuration names, and the guard before them.

use super::error::StartError;
use crate::access::{self, AllowedHosts, HostName};
use crate::config::Config;
use crate::server::{self, Bound, Inherited, Listen, Listener, Tls};

const PROXY: &str = "listen (CXONE_PROXY_LISTEN)";
const ADMIN: &str = "admin.listen (CXONE_PROXY_ADMIN_LISTEN)";
/// `FileDescriptorName=` of the socket for the admin pages.
const ADMIN_NAME: &str = "admin";
const AUTH: &str = "auth.listen (CXONE_PROXY_AUTH_LISTEN)";
const PROFILE: &str = "profile.listen";

/// All listeners, bound.
pub(super) struct Listeners {
    /// The one that all profiles share, then those that profiles have for themselves.
    pub(super) proxy: Vec<Listener>,
    /// Where those are.
    pub(super) bound: Vec<Bound>,
    pub(super) admin: Option<Listener>,
    /// Where other proxies ask for tokens, and the place of that listener among those for clients.
    pub(super) auth: Option<(usize, Bound)>,
    /// What those of TCP speak, but for that of the admin pages.
    pub(super) tls: Option<Tls>,
}

impl Listeners {
    /// Sockets that were passed to the process are used where they fit: by their address, the admin listener's by
    /// the name `admin`, and in their order for the others. The rest is bound.
    pub(super) fn bind(config: &Config, mut passed: Inherited) -> Result<Self, StartError> {
        let own = config.profiles.iter().filter_map(|profile| profile.listen.as_ref());
        let all = std::iter::once((PROXY, &config.listen)).chain(own.map(|listen| (PROFILE, listen)));
        let wanted: Vec<(&'static str, &Listen)> = all.collect();
        let mut proxy: Vec<_> = wanted.iter().map(|(_, listen)| passed.at(listen)).collect();
        let by_name = |admin: &Listen| passed.named(ADMIN_NAME).or_else(|| passed.at(admin));
        let admin_passed = config.admin.as_ref().and_then(by_name);
        for place in proxy.iter_mut().filter(|place| place.is_none()) {
            *place = passed.first();
        }
        if let Some(left) = passed.first() {
            return Err(StartError::NeedlessSocket(left.bound.to_string()));
        }
        let proxy =
            proxy.into_iter().zip(wanted).map(|(passed, (name, listen))| adopt(config, passed, name, listen));
        let tls = config.tls.as_ref().map(Tls::new);
        let proxy = proxy.map(|own| match &tls {
            Some(tls) => own.map(|own| own.with_tls(tls)),
            None => own,
        });
        let mut proxy = proxy.collect::<Result<Vec<_>, _>>()?;
        let admin =
            config.admin.as_ref().map(|listen| adopt(config, admin_passed, ADMIN, listen)).transpose()?;
        let bound: Vec<_> = proxy.iter().map(|listener| listener.bound.clone()).collect();
        let auth = config.auth.as_ref().map(|listen| bind(AUTH, listen)).transpose()?;
        let place = auth.as_ref().map(|listener| (proxy.len(), listener.bound.clone()));
        proxy.extend(auth.map(|own| match &tls {
            // Who asks on this machine needs no TLS.
            Some(tls) if config.auth.as_ref().is_some_and(Listen::is_public) => own.with_tls(tls),
            Some(_) | None => own,
        }));
        Ok(Self { proxy, bound, admin, auth: place, tls })
    }
}

/// The socket that was passed, else a new one. The configuration has looked at its own address only, so one that was
/// passed must not let in more than that.
fn adopt(
    config: &Config,
    passed: Option<Listener>,
    name: &'static str,
    listen: &Listen,
) -> Result<Listener, StartError> {
    let Some(listener) = passed else { return bind(name, listen) };
    let is_public = listener.bound.addresses().iter().any(|address| Listen::Tcp(*address).is_public());
    if is_public && !config.guard.hosts.is_set() {
        return Err(StartError::PublicSocket { name, address: listener.bound.to_string() });
    }
    Ok(listener)
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
pub(super) fn log_listening(config: &Config, bound: &[Bound], admin: Option<&Bound>, auth: Option<&Bound>) {
    let own = bound.iter().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(",");
    let upstream = config.profiles.first().map(|profile| &profile.upstream);
    let fixed = upstream.filter(|upstream| upstream.discovery.is_none());
    tracing::info!(
        proxy = bound.first().map(tracing::field::display),
        tls = config.tls.is_some().then_some(true),
        admin = admin.map(tracing::field::display),
        auth = auth.map(tracing::field::display),
        upstream = fixed.map(|upstream| upstream.base_url.to_string()),
        profile_listeners = (!own.is_empty()).then_some(own),
        "listening"
    );
}
