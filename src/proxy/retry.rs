//! Whether a request is sent again. Pure: what was seen and what was done go in, one closed verdict
//! that names its reason comes out. `exchange` acts on it.

use std::time::Duration;

use crate::backoff;

/// Where the backoff after a 429 without `Retry-After` starts.
const RATE_LIMIT_BASE: Duration = Duration::from_millis(500);
/// And where it stops growing.
const RATE_LIMIT_CAP: Duration = Duration::from_secs(10);

/// What came back from one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A response.
    Answer {
        /// Its status.
        status: u16,
        /// Its `Retry-After`, from now.
        retry_after: Option<Duration>,
    },
    /// No response's head.
    Failure {
        /// Nothing of the request can have arrived.
        undelivered: bool,
        /// A connection that had served before turned out dead.
        dead: bool,
    },
}

/// What the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// All of its content that was sent is still at hand.
    pub replayable: bool,
    /// Its method is idempotent (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// It has content, and nothing of that was sent.
    pub unbegun: bool,
}

/// What was done for this request before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoFar {
    /// Resends after a 401.
    pub unauthorized: u32,
    /// Resends after a 429.
    pub rate_limited: u32,
    /// Resends after a dead connection.
    pub connection: u32,
    /// All waiting, for backoffs and for tokens.
    pub waited: Duration,
}

/// The configured limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The most resends after 429.
    pub rate_limit_retries: u32,
    /// The longest that one request may wait in all.
    pub max_wait: Duration,
}

/// Why a request is sent again; the metrics' own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// 401
    Unauthorized,
    /// 429
    RateLimited,
    /// A dead pooled connection.
    Connection,
}

impl Reason {
    /// Its place in [`crate::metrics::RESENDS`].
    pub fn index(self) -> usize {
        match self {
            Self::Unauthorized => 0,
            Self::RateLimited => 1,
            Self::Connection => 2,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass the answer on. `unreplayable` names the resend that a too large body prevented.
    Relay {
        /// The resend that would have been.
        unreplayable: Option<Reason>,
    },
    /// Answer with a problem: there is no answer to pass on.
    Refuse,
    /// Send it again after a wait.
    Resend {
        /// Why.
        reason: Reason,
        /// How long to wait first.
        after: Duration,
    },
    /// Get a newer token, then send it again.
    RenewAndResend,
}

/// Judges one attempt. `roll` is a random number from 0 to 1.
pub fn decide(seen: Seen, so_far: SoFar, facts: Facts, rules: Rules, roll: f64) -> Verdict {
    match seen {
        Seen::Answer { status: 401, .. } => {
            judge(so_far.unauthorized == 0, facts, Reason::Unauthorized, Verdict::RenewAndResend)
        }
        Seen::Answer { status: 429, retry_after } => {
            let after = retry_after.unwrap_or_else(|| {
                backoff::full_jitter(RATE_LIMIT_BASE, RATE_LIMIT_CAP, so_far.rate_limited, roll)
            });
            let may = so_far.rate_limited < rules.rate_limit_retries
                && so_far.waited.saturating_add(after) <= rules.max_wait;
            judge(may, facts, Reason::RateLimited, Verdict::Resend { reason: Reason::RateLimited, after })
        }
        // A server that says when it will be back is taken at its word, where a repetition is safe.
        Seen::Answer { status: 503, retry_after: Some(after) } if facts.idempotent || facts.unbegun => {
            let may = so_far.rate_limited < rules.rate_limit_retries
                && so_far.waited.saturating_add(after) <= rules.max_wait;
            judge(may, facts, Reason::RateLimited, Verdict::Resend { reason: Reason::RateLimited, after })
        }
        Seen::Answer { .. } => Verdict::Relay { unreplayable: None },
        Seen::Failure { undelivered, dead } => {
            // Once, and only over a connection that may have died while it waited: a new one that
            // fails tells something about the upstream.
            let safe = undelivered || facts.idempotent;
            if dead && safe && facts.replayable && so_far.connection == 0 {
                Verdict::Resend { reason: Reason::Connection, after: Duration::ZERO }
            } else {
                Verdict::Refuse
            }
        }
    }
}

fn judge(may: bool, facts: Facts, reason: Reason, again: Verdict) -> Verdict {
    match (may, facts.replayable) {
        (true, true) => again,
        (true, false) => Verdict::Relay { unreplayable: Some(reason) },
        (false, _) => Verdict::Relay { unreplayable: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { rate_limit_retries: 3, max_wait: Duration::from_secs(30) };

    /// Every combination of the small domain, against the rules written as sentences.
    #[test]
    fn exhaustively() {
        let secs = Duration::from_secs;
        for status in [200, 204, 400, 401, 403, 404, 429, 500, 503] {
            for retry_after in [None, Some(secs(0)), Some(secs(2)), Some(secs(29)), Some(secs(31))] {
                for unauthorized in 0..=2 {
                    for rate_limited in 0..=4 {
                        for waited in [secs(0), secs(2), secs(30)] {
                            for replayable in [false, true] {
                                for (idempotent, unbegun) in [(false, false), (false, true), (true, false)] {
                                    let so_far = SoFar { unauthorized, rate_limited, connection: 0, waited };
                                    let facts = Facts { replayable, idempotent, unbegun };
                                    let seen = Seen::Answer { status, retry_after };
                                    check_answer(
                                        status,
                                        retry_after,
                                        so_far,
                                        facts,
                                        decide(seen, so_far, facts, RULES, 1.0),
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn check_answer(
        status: u16,
        retry_after: Option<Duration>,
        so_far: SoFar,
        facts: Facts,
        verdict: Verdict,
    ) {
        match verdict {
            Verdict::RenewAndResend => {
                assert!(status == 401 && so_far.unauthorized == 0 && facts.replayable);
            }
            Verdict::Resend { reason, after } => {
                assert_eq!(reason, Reason::RateLimited);
                assert!(status == 429 || tells_when_to_repeat(status, retry_after, facts));
                assert!(facts.replayable && so_far.rate_limited < 3);
                assert!(so_far.waited + after <= RULES.max_wait);
                assert!(retry_after.is_none_or(|due| after >= due));
                assert!(after <= Duration::from_secs(10).max(retry_after.unwrap_or_default()));
            }
            Verdict::Relay { unreplayable: Some(reason) } => {
                assert!(!facts.replayable);
                assert_eq!(reason, if status == 401 { Reason::Unauthorized } else { Reason::RateLimited });
            }
            Verdict::Relay { unreplayable: None } => {
                let first_401 = status == 401 && so_far.unauthorized == 0;
                let open_429 = (status == 429 || tells_when_to_repeat(status, retry_after, facts))
                    && so_far.rate_limited < 3
                    && so_far.waited + retry_after.unwrap_or(Duration::from_secs(10)) <= RULES.max_wait;
                assert!(!first_401 && !open_429, "{status} {retry_after:?} {so_far:?}");
            }
            Verdict::Refuse => panic!("an answer is never refused"),
        }
    }

    fn tells_when_to_repeat(status: u16, retry_after: Option<Duration>, facts: Facts) -> bool {
        status == 503 && retry_after.is_some() && (facts.idempotent || facts.unbegun)
    }

    #[test]
    fn a_dead_pooled_connection_is_replaced_once_where_that_is_safe() {
        for undelivered in [false, true] {
            for dead in [false, true] {
                for connection in 0..=1 {
                    for replayable in [false, true] {
                        for idempotent in [false, true] {
                            let so_far = SoFar { connection, ..SoFar::default() };
                            let seen = Seen::Failure { undelivered, dead };
                            let verdict = decide(
                                seen,
                                so_far,
                                Facts { replayable, idempotent, unbegun: false },
                                RULES,
                                0.5,
                            );
                            let due = dead && connection == 0 && replayable && (undelivered || idempotent);
                            assert_eq!(verdict != Verdict::Refuse, due);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn no_retries_at_all_passes_every_429_on() {
        let rules = Rules { rate_limit_retries: 0, ..RULES };
        let facts = Facts { replayable: false, idempotent: true, unbegun: false };
        let seen = Seen::Answer { status: 429, retry_after: None };
        assert_eq!(decide(seen, SoFar::default(), facts, rules, 0.5), Verdict::Relay { unreplayable: None });
    }
}
