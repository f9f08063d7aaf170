//! A profile before there is one of it for each core.

use std::sync::Arc;

use tokio::sync::watch;

use super::error::StartError;
use super::tasks::TaskGuard;
use crate::cause::Origins;
use crate::metrics::ProfileMetrics;
use crate::proxy::pace::Pace;
use crate::proxy::{Connect, Destination, Health, Profile, Selector};
use crate::tokens::TokenSource;
use crate::upstream::BaseUrl;

/// A profile before there is one of it for each core.
pub(super) struct Prepared {
    pub(super) name: Arc<str>,
    pub(super) selector: Selector,
    pub(super) listener: Option<usize>,
    pub(super) address: Option<String>,
    pub(super) tokens: TokenSource,
    /// The tasks that it needs, and others perhaps as well.
    pub(super) tasks: Vec<TaskGuard>,
    pub(super) place: Place,
    /// It is reached as the profile of this name was before.
    pub(super) is_reached_as_before: bool,
    pub(super) connect: Connect,
    pub(super) rewrites_json_links: bool,
    pub(super) metrics: ProfileMetrics,
    pub(super) origins: Origins,
    pub(super) health: Arc<Health>,
    pub(super) pace: Arc<Pace>,
    /// Shares it with other replicas.
    pub(super) sharing: Option<TaskGuard>,
}

/// Where a profile's requests go.
#[derive(Clone)]
pub(super) enum Place {
    Fixed(Arc<BaseUrl>),
    Discovered(watch::Receiver<Option<Arc<BaseUrl>>>),
}

impl Prepared {
    /// The profile for one core; `before` is the one of this name that the core had.
    pub(super) fn on_this_core(&self, before: Option<&Profile>) -> Result<Profile, StartError> {
        let same_way = before.filter(|_| self.is_reached_as_before);
        let destination = match same_way {
            // With its open connections.
            Some(before) => Arc::clone(&before.destination),
            None => Arc::new(match &self.place {
                Place::Fixed(base) => Destination::Fixed(base.clone(), (self.connect)(base.clone())?),
                Place::Discovered(found) => Destination::discovered(found.clone(), self.connect.clone()),
            }),
        };
        Ok(Profile {
            name: self.name.clone(),
            selector: self.selector.clone(),
            listener: self.listener,
            address: self.address.clone(),
            tokens: self.tokens.clone(),
            destination,
            keeps: self.tasks.iter().map(|task| Arc::clone(&task.0) as Arc<dyn Send + Sync>).collect(),
            rewrites_json_links: self.rewrites_json_links,
            metrics: before.map_or_else(|| self.metrics.for_core(), |before| before.metrics.clone()),
            origins: self.origins.clone(),
            health: Arc::clone(&self.health),
            pace: Arc::clone(&self.pace),
        })
    }
}
