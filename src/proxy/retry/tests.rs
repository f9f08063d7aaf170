//! Every combination of a small domain, against the rules written as sentences.

use super::*;

const LIMITS: Limits = Limits { rate_limit_retries: 3, max_wait: Duration::from_secs(30) };

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn all_facts() -> impl Iterator<Item = Facts> {
    (0..8).map(|bits| Facts { replayable: bits & 1 > 0, idempotent: bits & 2 > 0, unsent: bits & 4 > 0 })
}

#[test]
fn responses() {
    for status in [200, 204, 400, 401, 403, 404, 429, 500, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        for retry_after in [None, Some(secs(0)), Some(secs(2)), Some(secs(29)), Some(secs(31))] {
            for unauthorized in 0..=2 {
                for rate_limited in 0..=4 {
                    for waited in [secs(0), secs(2), secs(30)] {
                        for facts in all_facts() {
                            let spent = Spent { unauthorized, rate_limited, waited, ..Spent::default() };
                            let decision = after_response(status, retry_after, spent, facts, LIMITS, 1.0);
                            check(status.as_u16(), retry_after, spent, facts, decision);
                        }
                    }
                }
            }
        }
    }
}

fn check(status: u16, retry_after: Option<Duration>, spent: Spent, facts: Facts, decision: AfterResponse) {
    let first_401 = status == 401 && spent.unauthorized == 0;
    let is_limited =
        status == 429 || (status == 503 && retry_after.is_some() && (facts.idempotent || facts.unsent));
    let longest = retry_after.unwrap_or(secs(10));
    match decision {
        AfterResponse::Renew => assert!(first_401 && facts.replayable),
        AfterResponse::Wait(wait) => {
            assert!(is_limited && facts.replayable && spent.rate_limited < 3);
            assert!(spent.waited + wait <= LIMITS.max_wait);
            assert!(retry_after.is_none_or(|due| wait == due), "never less than the server asked for");
            assert!(wait <= longest);
        }
        AfterResponse::Unreplayable(RetryReason::Unauthorized) => assert!(first_401 && !facts.replayable),
        AfterResponse::Unreplayable(reason) => {
            assert_eq!(reason, RetryReason::RateLimited);
            assert!(is_limited && !facts.replayable && spent.rate_limited < 3);
        }
        AfterResponse::Queue(_) => panic!("only the pace knows turns"),
        AfterResponse::Relay => {
            let may_wait = is_limited && spent.rate_limited < 3 && spent.waited + longest <= LIMITS.max_wait;
            assert!(!first_401 && !may_wait, "{status} {retry_after:?} {spent:?}");
        }
    }
}

#[test]
fn no_retries_at_all_passes_every_429_on() {
    let limits = Limits { rate_limit_retries: 0, ..LIMITS };
    for facts in all_facts() {
        let decision =
            after_response(StatusCode::TOO_MANY_REQUESTS, None, Spent::default(), facts, limits, 0.5);
        assert_eq!(decision, AfterResponse::Relay);
    }
}

#[test]
fn a_dead_connection_is_replaced_where_that_is_safe() {
    for facts in all_facts() {
        for delivered in [Delivered::Nothing, Delivered::NotProcessed, Delivered::Maybe] {
            for connection_died in [false, true] {
                for connection in 0..=5 {
                    let spent = Spent { connection, ..Spent::default() };
                    let decision = after_error(Failed { delivered, connection_died }, spent, facts);
                    let certain = delivered != Delivered::Maybe;
                    let may = connection_died
                        && facts.replayable
                        && (certain || facts.idempotent)
                        && connection < if certain { 4 } else { 1 };
                    assert_eq!(decision == AfterError::Again, may, "{facts:?} {delivered:?} {connection}");
                }
            }
        }
    }
}

#[test]
fn waits_add_up() {
    let mut spent = Spent::default();
    spent.count(RetryReason::RateLimited, secs(2));
    spent.count(RetryReason::RateLimited, secs(3));
    spent.count(RetryReason::Connection, secs(0));
    assert_eq!(spent, Spent { rate_limited: 2, connection: 1, waited: secs(5), ..Spent::default() });
}

#[test]
fn after_a_paced_429_the_turn_decides_and_the_backoff_where_no_time_was_named() {
    let facts = Facts { replayable: true, idempotent: false, unsent: false };
    let decide = |turn, spent, facts| after_paced_429(turn, None, spent, facts, LIMITS, 1.0);
    let spent = |rate_limited, waited| Spent { rate_limited, waited, ..Spent::default() };
    assert_eq!(decide(secs(3), spent(0, secs(0)), facts), AfterResponse::Queue(Duration::from_millis(500)));
    assert_eq!(decide(secs(3), spent(2, secs(0)), facts), AfterResponse::Queue(secs(2)));
    let told = after_paced_429(secs(3), Some(secs(3)), spent(2, secs(0)), facts, LIMITS, 1.0);
    assert_eq!(told, AfterResponse::Queue(Duration::ZERO), "the pause is all there is to wait for");
    assert_eq!(decide(secs(3), spent(3, secs(0)), facts), AfterResponse::Relay, "no retry is left");
    assert_eq!(decide(LIMITS.max_wait + secs(1), spent(0, secs(0)), facts), AfterResponse::Relay);
    assert_eq!(
        decide(secs(0), spent(0, LIMITS.max_wait), facts),
        AfterResponse::Relay,
        "no time to back off"
    );
    assert_eq!(
        decide(secs(3), spent(0, secs(0)), Facts { replayable: false, ..facts }),
        AfterResponse::Unreplayable(RetryReason::RateLimited)
    );
}
