use std::num::NonZeroU32;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::super::rate::Rate;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limit(fixed: FixedLimit, most: usize) -> Arc<Limit> {
    let counts = Counts { active: AtomicUsize::new(0), waiting: AtomicUsize::new(0), most };
    Arc::new(Limit::new("default".to_owned(), &Arc::new(counts), fixed))
}

fn one_a_second() -> FixedLimit {
    let rate = Rate { count: NonZeroU32::MIN, per: SECOND };
    FixedLimit { rate: Some(rate), ..FixedLimit::default() }
}

fn one_at_once() -> FixedLimit {
    FixedLimit { concurrent: NonZeroU32::new(1), ..FixedLimit::default() }
}

fn request(patience: Duration) -> Request {
    let now = Instant::now();
    Request { caller: None, arrived: now, deadline: now + patience }
}

/// Polls once.
fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    future.now_or_never().is_none()
}

fn waiting(limit: &Limit) -> usize {
    limit.counts.waiting.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn the_first_that_came_goes_first_and_each_when_its_turn_has_come() {
    let limit = limit(one_a_second(), 100);
    let start = Instant::now();
    let starts = join_all((0..5).map(|_| async {
        limit.acquire(request(10 * SECOND)).await.unwrap();
        start.elapsed().as_secs()
    }));
    assert_eq!(starts.await, [0, 1, 2, 3, 4]);
    assert_eq!((waiting(&limit), limit.state(Instant::now()).waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_turn_beyond_the_deadline_is_refused_at_once_with_the_honest_wait() {
    let limit = limit(one_a_second(), 100);
    let start = Instant::now();
    let outcomes = join_all((0..5).map(|_| limit.acquire(request(SECOND * 5 / 2)))).await;
    let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused, [Refused::TooLong(3 * SECOND), Refused::TooLong(3 * SECOND)]);
    assert_eq!(start.elapsed(), 2 * SECOND, "the others were served");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_but_not_a_request_that_need_not_wait() {
    let limit = limit(one_a_second(), 1);
    limit.acquire(request(SECOND)).await.unwrap();
    let waits = limit.join(request(10 * SECOND)).unwrap();
    assert_eq!(limit.join(request(10 * SECOND)).err(), Some(Refused::Full(2 * SECOND)));
    drop(waits);
    limit.acquire(request(10 * SECOND)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_leaves_gives_its_place_back_and_the_next_is_woken() {
    let limit = limit(one_at_once(), 100);
    let permit = limit.acquire(request(SECOND)).await.unwrap().unwrap();
    let mut leaves = Box::pin(limit.acquire(request(10 * SECOND)));
    let mut stays = Box::pin(limit.acquire(request(10 * SECOND)));
    assert!(is_pending(&mut leaves) && is_pending(&mut stays));
    drop(permit);
    drop(leaves);
    assert_eq!(waiting(&limit), 1);
    let start = Instant::now();
    let second = stays.await.unwrap();
    assert_eq!((start.elapsed(), waiting(&limit)), (Duration::ZERO, 0));
    let third = limit.acquire(request(SECOND)).await;
    assert!(matches!(third, Err(Refused::TooLong(_))), "one at once");
    drop(second);
    limit.acquire(request(SECOND)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_rejection_pauses_everybody_and_those_that_cannot_wait_know_it_at_once() {
    let limit = limit(FixedLimit::default(), 100);
    assert!(!limit.is_active());
    let now = Instant::now();
    limit.rejected(now, now, Some(2 * SECOND));
    assert!(limit.is_active());
    let (mut patient, mut other) =
        (Box::pin(limit.acquire(request(60 * SECOND))), Box::pin(limit.acquire(request(10 * SECOND))));
    assert!(is_pending(&mut patient) && is_pending(&mut other));
    limit.rejected(now, now, Some(30 * SECOND));
    assert_eq!(other.await.err(), Some(Refused::TooLong(30 * SECOND)));
    assert_eq!(now.elapsed(), Duration::ZERO, "at once");
    patient.await.unwrap();
    assert_eq!(now.elapsed(), 30 * SECOND, "never less");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_not_met_any_more_is_forgotten() {
    let limit = limit(FixedLimit::default(), 100);
    let now = Instant::now();
    limit.rejected(now, now, None);
    assert_eq!(limit.counts.active.load(Ordering::Relaxed), 1);
    tokio::time::advance(61 * SECOND).await;
    assert_eq!(limit.state(Instant::now()), LimitState::default());
    assert!(!limit.is_active());
    assert_eq!(limit.counts.active.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn identified_callers_take_turns() {
    let limit = limit(one_a_second(), 1000);
    let served = join_all((0..22).map(|number| {
        let caller: Caller = Some(if number % 11 == 10 { "few" } else { "many" }.into());
        let limit = &limit;
        async move {
            let request = Request { caller: caller.clone(), ..request(100 * SECOND) };
            limit.acquire(request).await.unwrap();
            (Instant::now(), caller)
        }
    }));
    let mut served = served.await;
    served.sort();
    let few = served.iter().take(6).filter(|(_, caller)| caller.as_deref() == Some("few")).count();
    assert_eq!(few, 2, "both of the few, although ten of the many came before the second");
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_another_replica_holds_here_and_is_not_told_on() {
    let limit = limit(FixedLimit::default(), 100);
    let start = Instant::now();
    limit.paused_elsewhere(start, start + 3 * SECOND);
    assert!(limit.is_active());
    assert_eq!(limit.own_pause(start), None);
    limit.acquire(request(10 * SECOND)).await.unwrap();
    assert_eq!(start.elapsed(), 3 * SECOND);
    // The same again is no other pause, and a shorter one ends none.
    let now = Instant::now();
    limit.paused_elsewhere(now, now);
    assert!(limit.state(now).paused.is_none());
    limit.rejected(now, now, Some(2 * SECOND));
    assert_eq!(limit.own_pause(now + SECOND), Some(SECOND));
    assert_eq!(limit.own_pause(now + 2 * SECOND), None);
}

#[tokio::test(start_paused = true)]
async fn replicas_share_what_is_configured() {
    let rate = Rate { count: NonZeroU32::new(4).unwrap(), per: SECOND };
    let limit = limit(FixedLimit { rate: Some(rate), ..FixedLimit::default() }, 100);
    limit.share_among(NonZeroU32::new(2).unwrap());
    let start = Instant::now();
    let starts = join_all((0..4).map(|_| async {
        limit.acquire(request(10 * SECOND)).await.unwrap();
        start.elapsed().as_secs()
    }));
    assert_eq!(starts.await, [0, 0, 1, 1]);
}
