use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

const KINDS: [QuotaKind; 3] = [QuotaKind::Fixed, QuotaKind::Sliding, QuotaKind::Bucket];

fn now() -> Now {
    Now { steady: Instant::now(), wall: UNIX_EPOCH + Duration::from_millis(1_700_000_000_250) }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn seconds(text: &str) -> Result<(), Exceeded> {
    Err(Exceeded(Some(text.to_owned())))
}

#[test]
fn a_fixed_window_refuses_until_the_next_and_each_client_for_itself() {
    let quotas = Quotas::default();
    let start = now();
    assert_eq!(quotas.take("a", None, start), Ok(()), "no quota at all");
    quotas.set(vec![Quota::new(2, ms(2500))]);
    assert_eq!(quotas.take("a", None, start), Ok(()));
    assert_eq!(quotas.take("a", None, start), Ok(()));
    assert_eq!(quotas.take("a", None, start), seconds("3"));
    assert_eq!(quotas.take("b", None, start), Ok(()));
    let later = start.plus(ms(600));
    assert_eq!(quotas.take("a", None, later), seconds("2"));
    assert_eq!(quotas.take("a", None, start.plus(ms(2500))), Ok(()));
    // The windows have no gap: the third begins 5 s after the first, however late its first request is.
    for _ in 0..2 {
        assert_eq!(quotas.take("a", None, start.plus(ms(7400))), Ok(()));
    }
    assert_eq!(quotas.take("a", None, start.plus(ms(7400))), seconds("1"));
    assert_eq!(quotas.take("a", None, start.plus(ms(7500))), Ok(()));
}

#[test]
fn a_sliding_window_refuses_until_its_oldest_request_has_left() {
    let quotas = Quotas::default();
    quotas.set(vec![Quota::new(2, ms(1000)).kind(QuotaKind::Sliding)]);
    let start = now();
    assert_eq!(quotas.take("a", None, start), Ok(()));
    assert_eq!(quotas.take("a", None, start.plus(ms(900))), Ok(()));
    assert_eq!(quotas.take("a", None, start.plus(ms(999))), seconds("1"));
    assert_eq!(quotas.take("a", None, start.plus(ms(1000))), Ok(()), "the first has left");
    assert_eq!(quotas.take("a", None, start.plus(ms(1100))), seconds("1"), "the second has not");
    assert_eq!(quotas.take("a", None, start.plus(ms(1900))), Ok(()));
}

#[test]
fn a_bucket_lets_a_burst_pass_and_then_one_after_the_other() {
    let quotas = Quotas::default();
    let quota = Quota::new(10, ms(1000)).kind(QuotaKind::Bucket);
    let start = now();
    for (burst, passes) in [(None, 10), (Some(3), 3), (Some(1), 1), (Some(0), 1)] {
        quotas.set(vec![Quota { burst, ..quota.clone() }]);
        let passed = (0..20).filter(|_| quotas.take("a", None, start).is_ok()).count();
        assert_eq!(passed, passes, "{burst:?}");
        assert!(quotas.take("a", None, start.plus(ms(99))).is_err());
        assert_eq!(quotas.take("a", None, start.plus(ms(100))), Ok(()));
        assert_eq!(quotas.take("a", None, start.plus(ms(100))), seconds("1"));
    }
}

#[test]
fn a_quota_of_nothing_refuses_everything() {
    for kind in KINDS {
        let quotas = Quotas::default();
        quotas.set(vec![Quota::new(0, ms(1000)).kind(kind)]);
        let start = now();
        assert_eq!(quotas.take("a", None, start), seconds("1"), "{kind:?}");
        assert_eq!(quotas.take("a", None, start.plus(ms(5000))), seconds("1"), "{kind:?}");
    }
}

#[test]
fn a_quota_for_a_path_counts_what_begins_with_it_and_a_rejection_uses_up_nothing() {
    let quotas = Quotas::default();
    quotas.set(vec![
        Quota::new(3, ms(1000)),
        Quota::new(1, ms(5000)).path("/api/v2/media").retry_after(RetryAfterForm::None),
    ]);
    let start = now();
    let media = Some("/api/v2/media/7");
    assert_eq!(quotas.take("a", media, start), Ok(()));
    for _ in 0..5 {
        assert_eq!(quotas.take("a", media, start), Err(Exceeded(None)));
    }
    assert_eq!(quotas.take("a", Some("/api/v2/users"), start), Ok(()));
    assert_eq!(quotas.take("a", None, start), Ok(()));
    assert_eq!(quotas.take("a", Some("/api/v2/users"), start), seconds("1"));
    let usage = quotas.usage(start.plus(ms(700)));
    let counts: Vec<_> = usage.iter().map(|usage| (usage.accepted, usage.rejected, usage.age_ms)).collect();
    assert_eq!(counts, [(3, 1, 700), (1, 5, 700)]);
    assert_eq!(usage[1].path.as_deref(), Some("/api/v2/media"));
}

#[test]
fn dates_are_never_too_early() {
    let start = now();
    let date = retry_after(RetryAfterForm::Date, ms(800), start).unwrap();
    let said = httpdate::parse_http_date(&date).unwrap();
    assert_eq!(said, UNIX_EPOCH + Duration::from_secs(1_700_000_002));
    assert_eq!(retry_after(RetryAfterForm::None, Duration::from_secs(1), start), None);
}

proptest! {
    /// Whatever the pattern of requests: no more pass than the quota allows, and the next one passes exactly when
    /// the quota has said.
    #[test]
    fn no_kind_allows_more_than_it_says_and_each_keeps_its_word(
        requests in 1_u32..8,
        per in 1_u64..2000,
        gaps in proptest::collection::vec(0_u64..700, 1..200),
    ) {
        for kind in KINDS {
            let quota = Quota::new(requests, ms(per)).kind(kind);
            let start = now().steady;
            let mut window = Window::new(kind, start);
            let (mut at, mut passed) = (start, Vec::new());
            for gap in &gaps {
                at += ms(*gap);
                let wait = window.wait(&quota, at);
                if let Some(wait) = wait {
                    prop_assert!(wait > Duration::ZERO && wait <= ms(per), "{kind:?} {wait:?}");
                    let early = at + wait - Duration::from_nanos(1);
                    prop_assert!(window.wait(&quota, early).is_some(), "{kind:?}");
                    at += wait;
                    prop_assert_eq!(window.wait(&quota, at), None, "{:?}", kind);
                }
                window.count(&quota, at);
                passed.push(at);
            }
            // In any stretch of one window: twice as many for a bucket or at a border of fixed windows.
            let most = if kind == QuotaKind::Sliding { requests } else { 2 * requests };
            for (index, first) in passed.iter().enumerate() {
                let within = passed[index..].iter().take_while(|at| **at < *first + ms(per)).count();
                prop_assert!(within <= usize::try_from(most).unwrap(), "{kind:?}: {within}");
            }
        }
    }
}
