//! The keeper and the handle together, on a paused clock, with a script in place of the endpoint.

use std::sync::atomic::AtomicU64;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::script::{HOUR, MARGIN, Script, Stage, fails, granted, pass, refreshable, refused, slowly};
use super::*;
use crate::oauth::{NoNewer, State};

#[tokio::test(start_paused = true)]
async fn two_hundred_first_requests_cause_one_token_request() {
    let stage = Stage::play([slowly(3, granted(HOUR))]);
    let mut waiting = JoinSet::new();
    for _ in 0..200 {
        let (tokens, clock) = (stage.tokens.clone(), stage.clock.clone());
        waiting.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(30);
            tokens.valid(&clock, deadline).await.map(|token| token.generation())
        });
    }
    for seen in waiting.join_all().await {
        assert_eq!(seen.unwrap(), 1);
    }
    assert_eq!(stage.script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_refused_requests_cause_one_renewal() {
    let stage = Stage::play([granted(HOUR), slowly(1, granted(HOUR))]);
    assert_eq!(stage.valid(30).await.unwrap(), 1);
    let mut waiting = JoinSet::new();
    for _ in 0..200 {
        let (tokens, clock) = (stage.tokens.clone(), stage.clock.clone());
        waiting.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(30);
            tokens.newer_than(1, &clock, deadline).await.map(|token| token.generation())
        });
    }
    for seen in waiting.join_all().await {
        assert_eq!(seen.unwrap(), 2);
    }
    assert_eq!(stage.newer_than(1, 30).await.unwrap(), 2, "who comes late finds it there");
    assert_eq!(stage.script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_runs_out_and_served_meanwhile() {
    let stage = Stage::play([refreshable(HOUR), slowly(5, refreshable(HOUR))]);
    stage.valid(30).await.unwrap();
    pass(HOUR - 300 + 2).await;
    assert_eq!(stage.script.asked(), 2, "it is being renewed");
    assert_eq!(stage.current(), Some(1), "and nobody waits for it");
    pass(4).await;
    assert_eq!(stage.current(), Some(2));
    assert_eq!(stage.script.grants(), ["client_credentials", "refresh_token"]);
    assert_eq!(stage.tokens.snapshot(stage.clock.now()).scopes, ["asked"]);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_counts_from_the_asking() {
    let stage = Stage::play([slowly(9, granted(100))]);
    stage.valid(30).await.unwrap();
    let snapshot = stage.tokens.snapshot(stage.clock.now());
    let left = snapshot.expires_at.unwrap().duration_since(snapshot.obtained_at.unwrap()).unwrap();
    assert_eq!(left.as_secs(), 91, "the issuer may have started the clock when it was asked");
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_served_while_renewal_fails_and_never_after_its_end() {
    let mut lines = vec![granted(100)];
    lines.extend((0..1000).map(|_| fails(Why::Failed(503))));
    let stage = Stage::play(lines);
    stage.valid(30).await.unwrap();
    pass(98).await;
    assert!(stage.script.asked() > 3, "it keeps trying");
    assert_eq!(stage.current(), Some(1));
    assert_eq!(stage.state(), State::Valid);
    pass(1).await;
    assert_eq!(stage.current(), None);
    assert_eq!(stage.state(), State::Unreachable);
    let unavailable = stage.valid(3).await.unwrap_err();
    assert_eq!(*unavailable.why, Why::Failed(503));
}

#[tokio::test(start_paused = true)]
async fn the_keeper_outlives_every_failure() {
    let all = [
        refused(),
        Why::Unusable("it is empty".to_owned()),
        Why::Redirected { status: 302, to: None },
        Why::Untrusted("unknown issuer".to_owned()),
        Why::Unreachable("refused".to_owned()),
        Why::Failed(500),
        Why::RateLimited,
        Why::TimedOut,
    ];
    let outcomes: Vec<_> = all.iter().map(|why| ("client_credentials", why.outcome())).collect();
    let stage = Stage::play(all.map(fails));
    pass(60).await;
    assert_eq!(stage.current(), Some(1));
    assert_eq!(stage.script.asked(), 9);
    let play = stage.script.0.lock().unwrap();
    assert_eq!(play.outcomes[..8], outcomes);
    assert_eq!(play.outcomes[8], ("client_credentials", "ok"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_answered_at_once_and_tried_again_by_itself() {
    let stage = Stage::play((0..4).map(|_| fails(refused())));
    let asked = Instant::now();
    let unavailable = stage.valid(30).await.unwrap_err();
    assert_eq!(*unavailable.why, refused());
    assert!(unavailable.why.needs_mending());
    assert_eq!(stage.valid(30).await.unwrap_err(), unavailable);
    assert!(asked.elapsed() < Duration::from_millis(10), "nobody waits for what a person must mend");
    assert_eq!(stage.script.asked(), 1, "and nobody is hammered");
    assert_eq!(stage.state(), State::Refused);
    pass(20).await;
    let spacings = stage.script.spacings();
    for (spacing, least) in spacings.iter().zip([1000, 2000, 4000, 8000]) {
        assert!((least..least + 50).contains(spacing), "{spacings:?}");
    }
    assert_eq!(stage.current(), Some(1), "the credentials work now");
}

#[tokio::test(start_paused = true)]
async fn requests_wait_through_passing_failures() {
    let stage = Stage::play([fails(Why::Failed(500)), fails(Why::TimedOut)]);
    assert_eq!(stage.valid(30).await.unwrap(), 1);
    assert_eq!(stage.script.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_back_whoever_waits() {
    let limited = Failure { why: Why::RateLimited, retry_after: Some(Duration::from_secs(40)) };
    let stage = Stage::play([(Duration::ZERO, Err(limited))]);
    let unavailable = stage.valid(30).await.unwrap_err();
    assert_eq!(*unavailable.why, Why::RateLimited);
    assert!(!unavailable.why.needs_mending());
    assert!((9..=10).contains(&unavailable.retry_after.as_secs()), "{unavailable:?}");
    assert_eq!(stage.script.asked(), 1);
    assert_eq!(stage.valid(30).await.unwrap(), 1);
    assert!(stage.script.spacings()[0] >= 40_000);
}

#[tokio::test(start_paused = true)]
async fn before_the_first_answer_the_reason_is_that() {
    let stage = Stage::play([slowly(9, granted(HOUR))]);
    assert_eq!(stage.state(), State::Absent);
    assert_eq!(*stage.valid(2).await.unwrap_err().why, Why::Pending);
    assert_eq!(stage.script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn refresh_tokens_are_sent_once_whatever_comes() {
    let failures = [refused(), Why::TimedOut, Why::Failed(502), Why::Unusable("?".to_owned())];
    for why in failures {
        let stage = Stage::play([refreshable(100), refreshable(100), fails(why.clone()), refreshable(100)]);
        pass(80 + 80 + 19).await;
        let play = stage.script.0.lock().unwrap();
        let sent: Vec<_> = play.asked.iter().map(|(_, _, sent)| sent.as_deref()).collect();
        assert_eq!(sent, [None, Some("refresh-1"), Some("refresh-2"), None], "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_renewal_is_spaced_only_while_fresh_tokens_are_refused() {
    let stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    assert_eq!(stage.newer_than(1, 30).await.unwrap(), 2, "the first is never too soon");
    assert_eq!(stage.newer_than(2, 30).await.unwrap_err(), NoNewer::TooSoon);
    pass(1).await;
    assert_eq!(stage.newer_than(2, 30).await.unwrap(), 3);
    pass(1).await;
    assert_eq!(stage.newer_than(3, 30).await.unwrap_err(), NoNewer::TooSoon, "doubled");
    stage.tokens.accepted(1);
    assert_eq!(stage.newer_than(3, 30).await.unwrap_err(), NoNewer::TooSoon, "an old token's success");
    stage.tokens.accepted(3);
    assert_eq!(stage.newer_than(3, 30).await.unwrap(), 4, "at once, before the keeper was told");
    assert_eq!(stage.newer_than(4, 30).await.unwrap_err(), NoNewer::TooSoon);
    pass(1).await;
    assert_eq!(stage.newer_than(4, 30).await.unwrap(), 5, "from one second again");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_renews_without_anybody_waiting() {
    let stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    stage.tokens.reject(1);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(stage.current(), Some(2));
    stage.tokens.reject(2);
    pass(65).await;
    assert_eq!(stage.current(), Some(2), "that one came too soon and is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_during_a_renewal_is_about_the_token_before() {
    let stage = Stage::play([granted(HOUR), slowly(5, granted(HOUR))]);
    stage.valid(30).await.unwrap();
    stage.tokens.reject(1);
    pass(2).await;
    stage.tokens.reject(1);
    pass(60).await;
    assert_eq!(stage.script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forced_renewal_that_fails_is_not_forgotten() {
    let stage = Stage::play([granted(HOUR), fails(Why::Failed(500)), fails(refused())]);
    stage.valid(30).await.unwrap();
    let refusal = stage.newer_than(1, 30).await.unwrap_err();
    assert!(matches!(refusal, NoNewer::Unavailable(ref seen) if *seen.why == refused()), "{refusal:?}");
    assert_eq!(stage.current(), Some(1));
    pass(2).await;
    assert_eq!(stage.current(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_cancels_nothing() {
    let stage = Stage::play([slowly(5, granted(HOUR))]);
    assert!(tokio::time::timeout(Duration::from_secs(1), stage.valid(30)).await.is_err());
    pass(5).await;
    assert_eq!(stage.current(), Some(1));
    assert_eq!(stage.script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_keeper_is_not_waited_for() {
    let mut stage = Stage::play([granted(100)]);
    stage.valid(30).await.unwrap();
    stage.tasks.shutdown().await;
    assert_eq!(stage.valid(30).await.unwrap(), 1, "what is valid stays");
    let asked = Instant::now();
    let stopped = stage.newer_than(1, 30).await.unwrap_err();
    assert!(matches!(stopped, NoNewer::Unavailable(ref seen) if *seen.why == Why::Stopped), "{stopped:?}");
    assert!(asked.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn run_ends_with_its_stop_even_in_the_middle_of_a_request() {
    let script = Script::of([slowly(9, granted(HOUR))]);
    let (_tokens, keeper) = Keeper::new(script.clone(), MARGIN, Clock::System, Arc::new(script.clone()));
    let asked = Instant::now();
    keeper.run(pass(2)).await;
    assert_eq!(asked.elapsed().as_secs(), 2);
    assert_eq!(script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_a_request_wakes_the_keeper() {
    let stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    let woken = Instant::now();
    stage.clock.suspend(Duration::from_hours(8));
    assert_eq!(stage.current(), None, "expired by the calendar alone");
    assert_eq!(stage.state(), State::Expired);
    assert_eq!(stage.valid(30).await.unwrap(), 2);
    assert!(woken.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_the_keeper_finds_out_by_itself() {
    let stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    stage.clock.suspend(Duration::from_hours(8));
    pass(31).await;
    assert_eq!(stage.current(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_tells_all_but_the_token() {
    let stage = Stage::play([granted(HOUR), fails(refused())]);
    stage.valid(30).await.unwrap();
    let snapshot = stage.tokens.snapshot(stage.clock.now());
    assert_eq!((snapshot.generation, snapshot.state.as_str()), (1, "valid"));
    let (from, to) = (snapshot.obtained_at.unwrap(), snapshot.expires_at.unwrap());
    assert_eq!(to.duration_since(from).unwrap(), Duration::from_secs(HOUR));
    assert_eq!(stage.script.0.lock().unwrap().expires_at, Some(to));
    assert_eq!(snapshot.last_error, None);
    stage.newer_than(1, 1).await.unwrap_err();
    let snapshot = stage.tokens.snapshot(stage.clock.now());
    assert_eq!(snapshot.state, State::Valid);
    assert!(snapshot.last_error.as_ref().unwrap().contains("invalid_client"));
    assert!(!format!("{snapshot:?} {:?}", stage.tokens).contains("token-1"));
}

/// Exchanges against an upstream that revokes every token every so often, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_revocations_costs_one_renewal_each() {
    let brisk = || (Duration::from_millis(5), granted(HOUR).1);
    let stage = Stage::play(std::iter::repeat_with(brisk).take(1000));
    stage.valid(30).await.unwrap();
    let good_from = Arc::new(AtomicU64::new(1));
    let mut exchanges = JoinSet::new();
    for _ in 0..64 {
        let (tokens, clock, good_from) = (stage.tokens.clone(), stage.clock.clone(), Arc::clone(&good_from));
        exchanges.spawn(async move {
            for _ in 0..200 {
                let deadline = Instant::now() + Duration::from_secs(30);
                let mut token = tokens.valid(&clock, deadline).await.unwrap();
                if token.generation() < good_from.load(Ordering::SeqCst) {
                    match tokens.newer_than(token.generation(), &clock, deadline).await {
                        Ok(newer) => {
                            assert!(newer.generation() > token.generation());
                            token = newer;
                        }
                        Err(NoNewer::TooSoon) => {}
                        Err(NoNewer::Unavailable(unavailable)) => panic!("{unavailable:?}"),
                    }
                }
                if token.generation() >= good_from.load(Ordering::SeqCst) {
                    tokens.accepted(token.generation());
                }
                sleep(Duration::from_millis(2)).await;
            }
        });
    }
    let mut revocations = 0;
    while !exchanges.is_empty() {
        tokio::select! {
            exchange = exchanges.join_next() => { exchange.unwrap().unwrap(); }
            () = sleep(Duration::from_millis(50)) => {
                good_from.store(stage.current().unwrap() + 1, Ordering::SeqCst);
                revocations += 1;
            }
        }
    }
    let renewals = stage.script.asked() - 1;
    assert!(revocations >= 4 && renewals >= 2, "{revocations} revocations, {renewals} renewals");
    assert!(renewals <= revocations, "{revocations} revocations, {renewals} renewals");
}
