//! One upstream with the credentials for it, and what selects it. How a client finds it here is told by
//! `ways`.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::guard::Admitted;
use super::location::{names_origin, strip_path_prefix};
use crate::metrics::Shard;
use crate::oauth::Tokens;
use crate::transport::tls::TlsError;
use crate::transport::{Base, Transport};

/// What a request must be like to go a profile's way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// It came in by this listener; `None` is the one that all profiles share.
    pub listener: Option<usize>,
    /// It names this host.
    pub host: Option<String>,
    /// Its path begins with this, at a segment's end; empty for any.
    pub path_prefix: Vec<u8>,
    /// That beginning is taken off.
    pub strips_prefix: bool,
}

/// One upstream with its credentials, for one core.
pub struct Profile {
    /// What people call it.
    pub name: Arc<str>,
    /// What selects it.
    pub select: Select,
    /// Where its own listener is, for people, where it has one.
    pub address: Option<String>,
    /// As whom its requests go.
    pub tokens: Tokens,
    /// Where they go.
    pub upstream: Upstream,
    /// Addresses below `_links` in JSON are rewritten.
    pub rewrites_links: bool,
    /// Where it is counted.
    pub shard: Arc<Shard>,
}

/// Makes a transport to a base URL.
pub type Connect = Arc<dyn Fn(Arc<Base>) -> Result<Transport, TlsError> + Send + Sync>;

/// Where a profile's requests go.
pub enum Upstream {
    /// Always there.
    Fixed(Arc<Base>, Transport),
    /// Where the tenant is found to be.
    Discovered {
        /// The latest finding.
        found: watch::Receiver<Option<Arc<Base>>>,
        /// How it is reached.
        connect: Connect,
        /// The transport to the latest finding that was used.
        made: Mutex<Option<(Arc<Base>, Transport)>>,
    },
}

impl Upstream {
    /// Where the next request goes; `None` while that is not known.
    pub(super) fn current(&self) -> Option<(Arc<Base>, Transport)> {
        match self {
            Self::Fixed(base, transport) => Some((base.clone(), transport.clone())),
            Self::Discovered { found, connect, made } => {
                let base = found.borrow().clone()?;
                let mut made = made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if let Some((known, transport)) = &*made
                    && *known == base
                {
                    return Some((base, transport.clone()));
                }
                let transport = connect(base.clone())
                    .inspect_err(|error| tracing::error!(%error, "the discovered upstream cannot be used"))
                    .ok()?;
                *made = Some((base.clone(), transport.clone()));
                Some((base, transport))
            }
        }
    }

    /// Waits until it is known where requests go. Cancel safe.
    pub(super) async fn known(&self) {
        if let Self::Discovered { found, .. } = self {
            // An error means that nobody looks any more; the caller's own time-out tells.
            if found.clone().wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn sweep(&self) {
        let transport = match self {
            Self::Fixed(_, transport) => Some(transport.clone()),
            Self::Discovered { made, .. } => {
                let made = made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                made.as_ref().map(|(_, transport)| transport.clone())
            }
        };
        if let Some(transport) = transport {
            transport.sweep(tokio::time::Instant::now());
        }
    }

    /// Where the next request goes, as far as that is known.
    pub(super) fn base(&self) -> Option<Arc<Base>> {
        match self {
            Self::Fixed(base, _) => Some(base.clone()),
            Self::Discovered { found, .. } => found.borrow().clone(),
        }
    }
}

/// The profile for an admitted request, and the path that its upstream gets. The most specific one
/// wins: its own listener, then a host, then the longest path prefix.
pub(super) fn select<'p, 'a>(
    profiles: &'p [Profile],
    listener: usize,
    admitted: &Admitted<'a>,
) -> Option<(usize, &'p Profile, Cow<'a, [u8]>)> {
    if let ([only], 0) = (profiles, listener)
        && only.select == Select::default()
    {
        return Some((0, only, admitted.path.clone()));
    }
    let fitting = profiles.iter().enumerate().filter_map(|(place, profile)| {
        Some((place, profile, profile.select.weigh(profile, listener, admitted)?))
    });
    // Of equals the first: `max_by_key` would take the last.
    let (place, profile, _) = fitting.rev().max_by_key(|(_, _, weight)| *weight)?;
    // To an upstream that the client names itself, its path is the upstream's own.
    let path =
        if admitted.upstream.is_some() { admitted.path.clone() } else { profile.select.path(&admitted.path) };
    Some((place, profile, path))
}

impl Profile {
    /// True where an authority, in https or not, is that of its upstream.
    pub(super) fn is_at(&self, secure: bool, authority: &[u8]) -> bool {
        let base = self.upstream.base();
        base.is_some_and(|base| names_origin(secure, authority, (base.secure, &base.host, base.port)))
    }
}

impl Select {
    /// How well a request fits; `None` where it does not.
    fn weigh(
        &self,
        profile: &Profile,
        listener: usize,
        admitted: &Admitted<'_>,
    ) -> Option<(bool, bool, usize)> {
        if self.listener.unwrap_or(0) != listener {
            return None;
        }
        if let Some(secure) = admitted.upstream {
            // Absolute form with an upstream's own origin says which one is meant.
            return profile.is_at(secure, admitted.authority?).then_some((true, true, usize::MAX));
        }
        if let Some(host) = &self.host {
            let (own, _) = super::target::split_authority(admitted.authority?)?;
            own.eq_ignore_ascii_case(host.as_bytes()).then_some(())?;
        }
        strip_path_prefix(&admitted.path, &self.path_prefix)?;
        Some((self.listener.is_some(), self.host.is_some(), self.path_prefix.len()))
    }

    /// True where requests by this listener that name this host are for its profile.
    pub(super) fn is_by_host(&self, listener: usize, host: &[u8]) -> bool {
        self.listener.unwrap_or(0) == listener
            && self.host.as_ref().is_some_and(|own| own.as_bytes().eq_ignore_ascii_case(host))
    }

    fn path<'a>(&self, path: &Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        if !self.strips_prefix || self.path_prefix.is_empty() {
            return path.clone();
        }
        let Some(rest) = strip_path_prefix(path, &self.path_prefix) else { return path.clone() };
        match path {
            Cow::Borrowed(path) if rest.starts_with(b"/") => {
                Cow::Borrowed(path.get(self.path_prefix.len()..).unwrap_or_default())
            }
            Cow::Owned(_) if rest.starts_with(b"/") => Cow::Owned(rest.to_vec()),
            Cow::Borrowed(_) | Cow::Owned(_) => Cow::Owned([b"/", rest].concat()),
        }
    }

    /// In words, for the hint to a request that fits no profile.
    pub(super) fn describe(&self, address: Option<&str>) -> String {
        let mut words = Vec::new();
        if let Some(address) = address {
            words.push(format!("the address {address}"));
        }
        if let Some(host) = &self.host {
            words.push(format!("Host {host}"));
        }
        if !self.path_prefix.is_empty() {
            words.push(format!("a path below {}", String::from_utf8_lossy(&self.path_prefix)));
        }
        if words.is_empty() { "anything else".to_owned() } else { words.join(" with ") }
    }
}
