//! A request on its way: what all of its attempts share.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::in_flight::InFlight;
use super::pace::Place;
use super::problems;
use super::replay::Replay;
use super::request::Template;
use super::retry::{self, Facts, Spent};
use super::route::Profile;
use crate::tokens::{AccessToken, RequestKey};
use crate::upstream::{ResponseBody, SendOptions};

/// A request on its way.
pub(super) struct Attempts {
    pub(super) template: Template,
    pub(super) replay: Replay,
    pub(super) token: Arc<AccessToken>,
    pub(super) how: SendOptions,
    /// Which limit it belongs to.
    pub(super) place: Place,
    /// What all attempts together took of the upstream's time.
    pub(super) upstream: Duration,
    /// The client's side of a tunnel, where it asks for one.
    pub(super) client_upgrade: Option<OnUpgrade>,
}

impl Attempts {
    /// What a response that is not a success says about the token.
    pub(super) fn note(
        &self,
        profile: &Profile,
        response: &Response<ResponseBody>,
        spent: &Spent,
        began: Instant,
    ) {
        let generation = self.token.generation();
        match response.status() {
            StatusCode::UNAUTHORIZED if spent.unauthorized > 0 => {
                profile.tokens.rejected_again(generation, self.key());
            }
            StatusCode::UNAUTHORIZED => {}
            status => {
                profile.tokens.accepted(generation, self.key());
                // An error of the server's own says nothing about a limit.
                if !status.is_server_error()
                    && status != StatusCode::TOO_MANY_REQUESTS
                    && !profile.pace.is_idle()
                {
                    profile.pace.accepted(self.place, began);
                }
                if status.is_client_error() || status.is_server_error() {
                    profile.health.not_a_success(&profile.name, &profile.api(), || {
                        format!("{} {}: {}", self.template.method(), self.template.path(), status.as_u16())
                    });
                }
                if status == StatusCode::FORBIDDEN {
                    problems::explain_forbidden(response.headers(), profile, &self.token, &self.template);
                }
            }
        }
    }

    pub(super) fn key(&self) -> RequestKey<'_> {
        RequestKey { method: self.template.method(), path: self.template.path() }
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            replayable: self.replay.is_replayable(),
            idempotent: retry::is_idempotent(self.template.method()),
            unsent: self.replay.is_unsent(),
        }
    }

    /// Counts what the proxy has added to the time of the request until `now`.
    pub(super) fn count_added(&self, profile: &Profile, in_flight: &InFlight, now: Instant) {
        let elapsed = now.saturating_duration_since(in_flight.began().steady);
        profile.metrics.added(elapsed.saturating_sub(self.upstream));
    }
}
