//! Profiles: an upstream with the credentials for it, and what selects it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::health::Health;
use super::pace::Pace;
use super::replay::ReplayBody;
use super::rewrite::{location::names_origin, strip_path_prefix};
use crate::access::Admitted;
use crate::access::target::split_authority;
use crate::cause::Origins;
use crate::metrics::ProfileMetrics;
use crate::tokens::TokenSource;
use crate::upstream::tls::TlsError;
use crate::upstream::{BaseUrl, Upstream};

/// What a request must be like to select a profile: all that is set must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// It names this host, in lower case.
    pub host: Option<String>,
    /// Its path begins with this, at a segment's end; without a trailing slash.
    pub path_prefix: Option<String>,
    /// That beginning is taken off before the request goes on.
    pub strip_prefix: bool,
}

/// One upstream with its credentials, for one core.
pub struct Profile {
    /// What people call it.
    pub name: Arc<str>,
    /// What selects it.
    pub selector: Selector,
    /// The index of its own listener; `None` where it shares the first one.
    pub listener: Option<usize>,
    /// Where its own listener is, for people.
    pub address: Option<String>,
    /// Its access tokens.
    pub tokens: TokenSource,
    /// Where its requests go.
    pub destination: Arc<Destination>,
    /// Addresses below `_links` in JSON become local.
    pub rewrites_json_links: bool,
    /// Where it is counted.
    pub metrics: ProfileMetrics,
    /// Where the values of its options were set.
    pub origins: Origins,
    /// What the log says of its API; all cores share it.
    pub health: Arc<Health>,
    /// When its requests may be sent; all cores share it.
    pub pace: Arc<Pace>,
    /// What it needs for as long as a request uses it: the tasks that keep its token fresh.
    pub keeps: Vec<Arc<dyn Send + Sync>>,
}

/// The way to one upstream, for one core.
pub type ApiUpstream = Upstream<ReplayBody>;

/// Makes the way to an upstream of this base URL.
pub type Connect = Arc<dyn Fn(Arc<BaseUrl>) -> Result<ApiUpstream, TlsError> + Send + Sync>;

/// Where a profile's requests go.
pub enum Destination {
    /// Always to the same upstream.
    Fixed(Arc<BaseUrl>, ApiUpstream),
    /// To where the tenant's API is found to be.
    Discovered {
        /// The latest finding.
        found: watch::Receiver<Option<Arc<BaseUrl>>>,
        /// How it is reached.
        connect: Connect,
        /// The way to the latest finding that was used.
        made: Mutex<Option<(Arc<BaseUrl>, ApiUpstream)>>,
    },
}

impl Destination {
    /// Where discovery found the API; nothing is connected yet.
    pub fn discovered(found: watch::Receiver<Option<Arc<BaseUrl>>>, connect: Connect) -> Self {
        Self::Discovered { found, connect, made: Mutex::default() }
    }

    /// Where the next request goes; `None` while that is not known.
    pub(super) fn current(&self) -> Option<(Arc<BaseUrl>, ApiUpstream)> {
        match self {
            Self::Fixed(base, upstream) => Some((base.clone(), upstream.clone())),
            Self::Discovered { found, connect, made } => {
                let base = found.borrow().clone()?;
                let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((known, upstream)) = &*made
                    && *known == base
                {
                    return Some((base, upstream.clone()));
                }
                let upstream = connect(base.clone())
                    .inspect_err(|error| tracing::error!(%error, "the discovered API cannot be used"))
                    .ok()?;
                *made = Some((base.clone(), upstream.clone()));
                Some((base, upstream))
            }
        }
    }

    /// Waits until it is known where requests go. Cancel safe.
    pub(super) async fn known(&self) {
        if let Self::Discovered { found, .. } = self {
            // An error means that nobody looks any more; the caller's own time-out ends the wait.
            if found.clone().wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Host and port of the forward proxy on the way there.
    pub(super) fn forward_proxy(&self) -> Option<String> {
        self.current()?.1.forward_proxy()
    }

    /// Looks after idle connections.
    pub(super) fn sweep(&self) {
        let upstream = match self {
            Self::Fixed(_, upstream) => Some(upstream.clone()),
            Self::Discovered { made, .. } => {
                let made = made.lock().unwrap_or_else(PoisonError::into_inner);
                made.as_ref().map(|(_, upstream)| upstream.clone())
            }
        };
        if let Some(upstream) = upstream {
            upstream.sweep(tokio::time::Instant::now());
        }
    }

    /// The base URL of where the next request goes, as far as that is known.
    pub(super) fn base(&self) -> Option<Arc<BaseUrl>> {
        match self {
            Self::Fixed(base, _) => Some(base.clone()),
            Self::Discovered { found, .. } => found.borrow().clone(),
        }
    }
}

/// The profile that an admitted request selects.
pub(super) struct Selected {
    /// The profile's index.
    pub(super) index: usize,
    /// How much of the path's beginning is taken off, in bytes.
    pub(super) stripped: usize,
}

/// The profile for an admitted request. The most specific one wins: its own listener, then a host,
/// then the longest path prefix.
pub(super) fn select(profiles: &[Profile], listener: usize, admitted: &Admitted) -> Option<Selected> {
    if let ([only], 0) = (profiles, listener)
        && only.listener.is_none()
        && only.selector == Selector::default()
    {
        return Some(Selected { index: 0, stripped: 0 });
    }
    let fitting = profiles
        .iter()
        .enumerate()
        .filter_map(|(index, profile)| Some((index, profile, profile.rank(listener, admitted)?)));
    // Of equals the first: `max_by_key` would take the last.
    let (index, profile, _) = fitting.rev().max_by_key(|(_, _, rank)| *rank)?;
    // To an upstream that the client names itself, its path is the upstream's own.
    let strips = profile.selector.strip_prefix && admitted.upstream.is_none();
    Some(Selected { index, stripped: if strips { profile.selector.prefix().len() } else { 0 } })
}

impl Profile {
    /// True where an authority, spoken to in https or not, is that of its upstream.
    pub(super) fn is_at(&self, https: bool, authority: &str) -> bool {
        self.destination.base().is_some_and(|base| names_origin(https, authority, &base))
    }

    /// Host and perhaps port of its API, as far as that is known.
    pub(super) fn api(&self) -> String {
        self.destination.base().map_or_else(|| "not known yet".to_owned(), |base| base.authority().to_owned())
    }

    /// True where requests by this listener that name this host are for this profile.
    pub(super) fn is_selected_by_host(&self, listener: usize, host: &str) -> bool {
        self.listener.unwrap_or(0) == listener
            && self.selector.host.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(host))
    }

    /// How well a request fits; `None` where it does not.
    fn rank(&self, listener: usize, admitted: &Admitted) -> Option<(bool, bool, usize)> {
        if self.listener.unwrap_or(0) != listener {
            return None;
        }
        if let Some(https) = admitted.upstream {
            // Absolute form with an upstream's own origin says which one is meant.
            return self.is_at(https, admitted.host.as_ref()?.as_str()).then_some((true, true, usize::MAX));
        }
        if let Some(host) = &self.selector.host {
            let (own, _) = split_authority(admitted.host.as_ref()?.as_str())?;
            let own = own.strip_suffix('.').unwrap_or(own);
            own.eq_ignore_ascii_case(host).then_some(())?;
        }
        strip_path_prefix(admitted.path.as_str(), self.selector.prefix())?;
        Some((self.listener.is_some(), self.selector.host.is_some(), self.selector.prefix().len()))
    }

    /// What selects it, in words, for the hint to a request that fits no profile.
    pub(super) fn describe(&self) -> String {
        let mut words = Vec::new();
        if let Some(address) = &self.address {
            words.push(format!("the address {address}"));
        }
        if let Some(host) = &self.selector.host {
            words.push(format!("Host {host}"));
        }
        if !self.selector.prefix().is_empty() {
            words.push(format!("a path below {}", self.selector.prefix()));
        }
        if words.is_empty() { "anything else".to_owned() } else { words.join(" with ") }
    }
}

impl Selector {
    /// The path prefix, empty where there is none.
    pub(super) fn prefix(&self) -> &str {
        self.path_prefix.as_deref().unwrap_or_default()
    }
}
