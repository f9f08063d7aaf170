//! The state of the token, for people and probes. Holds no secret.

use std::sync::Arc;
use std::time::SystemTime;

use super::error::Failure;
use super::forced_renewals::ForcedRenewals;
use super::token::AccessToken;
use crate::clock::Now;

/// What the refresh task publishes after every token request.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    /// The latest token, valid or not.
    pub(super) token: Option<Arc<AccessToken>>,
    /// The latest failure, where no token came after it.
    pub(super) failure: Option<Arc<Failure>>,
}

/// The state of the token at one moment. Holds no secret.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// In one word.
    pub state: State,
    /// The scopes of the latest token, valid or not.
    pub scopes: Vec<String>,
    /// When the latest token came.
    pub obtained_at: Option<SystemTime>,
    /// The end of the latest token as its issuer states it.
    pub expires_at: Option<SystemTime>,
    /// The generation of the latest token; 0 before the first.
    pub generation: u64,
    /// The latest failure, where no token came after it: what happened, what to do, and the next try.
    pub failure: Option<Arc<Failure>>,
    /// The upstream has accepted a request with the latest token.
    pub is_accepted: bool,
    /// The upstream rejects fresh tokens, on whatever path they were tried.
    pub is_rejected_everywhere: bool,
    /// The paths that reject fresh tokens while others accept them, within the last minute.
    pub rejecting_paths: usize,
}

/// The state of the token, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// None has been obtained yet, and no attempt has failed.
    Absent,
    /// It may be used.
    Valid,
    /// It has expired, and no attempt to replace it has failed.
    Expired,
    /// There is none: the token endpoint refuses the credentials.
    Refused,
    /// There is none: the token endpoint cannot be reached, or sends no usable response.
    Unreachable,
}

impl State {
    /// The word for `/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Snapshot {
    pub(super) fn new(latest: &Published, forced: &ForcedRenewals, now: Now) -> Self {
        let Published { token, failure } = latest;
        let state = match (token, failure) {
            (Some(token), _) if token.is_valid(now) => State::Valid,
            (_, Some(failure)) if failure.cause.is_refusal() => State::Refused,
            (_, Some(_)) => State::Unreachable,
            (Some(_), None) => State::Expired,
            (None, None) => State::Absent,
        };
        Self {
            state,
            scopes: token.as_ref().map(|token| token.scopes().to_vec()).unwrap_or_default(),
            obtained_at: token.as_ref().map(|token| token.obtained_at().wall),
            expires_at: token.as_ref().map(|token| token.expires_at().wall),
            generation: token.as_ref().map_or(0, |token| token.generation()),
            failure: failure.clone(),
            is_accepted: forced.is_latest_accepted(),
            is_rejected_everywhere: forced.is_rejected_everywhere(),
            rejecting_paths: forced.blocked_paths(now),
        }
    }
}
