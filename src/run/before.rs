//! What a reload finds, and what of it can be kept.

use std::collections::HashMap;

use super::prepared::Prepared;
use crate::config::{Config, Profile as Configured};
use crate::metrics::ProfileMetrics;

/// What was there before a reload.
#[derive(Clone, Copy)]
pub(super) struct Before<'b> {
    pub(super) config: &'b Config,
    pub(super) prepared: &'b [Prepared],
    pub(super) retired: &'b HashMap<String, ProfileMetrics>,
}

impl<'b> Before<'b> {
    pub(super) fn profile(self, name: &str) -> Option<(&'b Configured, &'b Prepared)> {
        self.config.profiles.iter().zip(self.prepared).find(|(profile, _)| profile.name == name)
    }

    pub(super) fn metrics(self, name: &str) -> Option<ProfileMetrics> {
        let known = self.profile(name).map(|(_, own)| &own.metrics);
        known.or_else(|| self.retired.get(name)).cloned()
    }

    /// One that gets its tokens as `profile` does.
    pub(super) fn with_tokens_of(self, config: &Config, profile: &Configured) -> Option<&'b Prepared> {
        let toward = |config: &Config| config.forward_proxy.toward(&profile.oauth.token_url).cloned();
        let is_alike = |old: &Configured| {
            old.oauth == profile.oauth
                && old.upstream.trust == profile.upstream.trust
                && toward(self.config) == toward(config)
                && self.config.redis == config.redis
        };
        let (_, own) = self.config.profiles.iter().zip(self.prepared).find(|(old, _)| is_alike(old))?;
        // Its secret may be another one by now, although it is in the same place.
        own.tokens.try_again();
        Some(own)
    }
}

/// True where two profiles reach their APIs in the same way.
pub(super) fn reaches_alike(
    (old_config, old): (&Config, &Configured),
    (config, new): (&Config, &Configured),
) -> bool {
    old.upstream == new.upstream
        && old_config.header_case == config.header_case
        && old_config.forward_proxy == config.forward_proxy
}
