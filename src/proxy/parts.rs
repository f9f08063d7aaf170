//! What every exchange of one core works with, and what it goes by.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::fields::Via;
use super::guard;
use super::profile::Profile;
use super::retry::Rules;
use crate::clock::Clock;
use crate::metrics::Shards;

/// What the proxy goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may send requests.
    pub guard: guard::Settings,
    /// Which messages get `Via`.
    pub via: Via,
    /// When a request is sent again.
    pub rules: Rules,
    /// The most of one request's content that is kept for that, in bytes.
    pub replay_buffer: usize,
    /// The most exchanges at once, on all cores.
    pub in_flight: usize,
    /// This process's member of `CDN-Loop`.
    pub loop_member: String,
    /// Where each listener is; `None` for a Unix socket.
    pub listeners: Vec<Option<SocketAddr>>,
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) profiles: Vec<Profile>,
    pub(super) clock: Clock,
    pub(super) shards: Shards,
}

impl Shared {
    pub(super) fn wall(&self) -> SystemTime {
        self.clock.now().wall
    }
}
