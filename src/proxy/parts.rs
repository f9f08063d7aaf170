//! What every exchange of one core works with, and what it goes by.

use std::sync::Arc;
use std::time::SystemTime;

use super::fields::Via;
use super::guard;
use super::retry::Rules;
use crate::clock::Clock;
use crate::metrics::{Shard, Shards};
use crate::oauth::Tokens;
use crate::transport::Transport;

/// The base URL, taken apart.
#[derive(Clone, Debug)]
pub struct Base {
    /// `https`
    pub secure: bool,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The path without its trailing slash.
    pub prefix: Vec<u8>,
}

/// What the proxy goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where requests go.
    pub base: Base,
    /// Who may send them.
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
    /// How a client that names no host finds us.
    pub listen_authority: String,
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) tokens: Tokens,
    pub(super) transport: Transport,
    pub(super) clock: Clock,
    pub(super) shard: Arc<Shard>,
    pub(super) shards: Shards,
}

impl Shared {
    pub(super) fn wall(&self) -> SystemTime {
        self.clock.now().wall
    }
}
