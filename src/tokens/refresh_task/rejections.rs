//! What follows from a token that the upstream rejected, on a paused clock.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::script::{HOUR, Stage, USERS, fails, granted, key, pass, refused, slowly};
use super::*;
use crate::tokens::{NoRenewal, Reason};

#[tokio::test(start_paused = true)]
async fn two_hundred_rejected_requests_cause_one_renewal() {
    let stage = Stage::play([granted(HOUR), slowly(1, granted(HOUR))]);
    assert_eq!(stage.valid(30).await.unwrap(), 1);
    let mut waiting = JoinSet::new();
    for _ in 0..200 {
        let tokens = stage.tokens.clone();
        waiting.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(30);
            tokens.renew(1, USERS, deadline).await.map(|token| token.generation())
        });
    }
    for seen in waiting.join_all().await {
        assert_eq!(seen.unwrap(), 2);
    }
    assert_eq!(stage.renew(1, 30).await.unwrap(), 2, "a late caller finds it there");
    assert_eq!(stage.script.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn forced_renewals_are_spaced_out_only_while_fresh_tokens_are_rejected() {
    let stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    let too_soon = async |generation, path| {
        matches!(stage.renew_on(path, generation, 30).await, Err(NoRenewal::TooSoon))
    };
    assert_eq!(stage.renew_on("/a", 1, 30).await.unwrap(), 2, "the first is never too soon");
    assert!(too_soon(2, "/b").await);
    pass(1).await;
    assert_eq!(stage.renew_on("/c", 2, 30).await.unwrap(), 3);
    pass(1).await;
    assert!(too_soon(3, "/d").await, "doubled");
    stage.tokens.accepted(1, key("/d"));
    assert!(too_soon(3, "/d").await, "an old token's acceptance proves nothing");
    stage.tokens.accepted(3, key("/d"));
    assert_eq!(stage.renew_on("/d", 3, 30).await.unwrap(), 4, "at once");
    assert!(too_soon(4, "/e").await);
    pass(1).await;
    assert_eq!(stage.renew_on("/e", 4, 30).await.unwrap(), 5, "from one second again");
}

/// A path that always answers 401 for its own reasons, and good traffic beside it.
#[tokio::test(start_paused = true)]
async fn a_path_that_rejects_every_token_costs_one_renewal_a_minute() {
    let stage = Stage::play([]);
    assert_eq!(stage.valid(30).await.unwrap(), 1);
    stage.tokens.accepted(1, USERS);
    let mut passed_on = 0;
    for _ in 0..100 {
        let generation = stage.current().unwrap();
        match stage.renew_on("/forbidden", generation, 30).await {
            Ok(fresh) => stage.tokens.rejected_again(fresh, key("/forbidden")),
            Err(NoRenewal::PathRejected) => passed_on += 1,
            Err(other) => panic!("{other:?}"),
        }
        stage.tokens.accepted(stage.current().unwrap(), USERS);
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!((stage.script.requests(), passed_on), (2, 99), "50 s");
    let blocked = stage.tokens.snapshot(stage.clock.now());
    assert_eq!((blocked.rejecting_paths, blocked.is_rejected_everywhere), (1, false));

    // A real revocation is noticed at once, on every other path.
    let renewed = stage.renew(2, 1).await;
    assert_eq!(renewed.unwrap(), 3);
    stage.tokens.accepted(3, USERS);
    // The path has not rejected that one yet.
    assert_eq!(stage.renew_on("/forbidden", 2, 1).await.unwrap(), 3);
    stage.tokens.rejected_again(3, key("/forbidden"));
    assert!(matches!(stage.renew_on("/forbidden", 3, 1).await, Err(NoRenewal::PathRejected)));
    // Nor is it left alone for longer than it deserves.
    stage.tokens.accepted(3, key("/forbidden?x=1"));
    assert_eq!(stage.renew_on("/forbidden?y=2", 3, 1).await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn forced_renewals_have_a_budget() {
    let stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    let mut denied = 0;
    for number in 0..100 {
        let generation = stage.current().unwrap();
        let path = format!("/missing/{number}");
        match stage.renew_on(&path, generation, 30).await {
            Ok(fresh) => stage.tokens.rejected_again(fresh, key(&path)),
            Err(NoRenewal::BudgetSpent) => denied += 1,
            Err(other) => panic!("{other:?}"),
        }
        stage.tokens.accepted(stage.current().unwrap(), USERS);
    }
    assert_eq!((stage.script.requests(), denied), (61, 40));
    pass(5).await;
    assert_eq!(stage.renew(61, 1).await.unwrap(), 62, "refilled by one each five seconds");
    stage.tokens.accepted(62, USERS);
    let denial = stage.renew(62, 1).await.unwrap_err();
    assert!(matches!(denial, NoRenewal::BudgetSpent));
    assert_eq!(
        denial.to_string(),
        "too many renewals were forced by 401s, the next one is allowed within 5 seconds"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_sent_again_renews_without_waiting() {
    let stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    stage.tokens.rejected(1, USERS).unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(stage.current(), Some(2));
    assert!(matches!(stage.tokens.rejected(2, key("/other")), Err(NoRenewal::TooSoon)));
    pass(65).await;
    assert_eq!(stage.current(), Some(2), "that one is forgotten");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_always_rejected_is_left_alone_too() {
    let stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    stage.tokens.accepted(1, USERS);
    for _ in 0..40 {
        let _ = stage.tokens.rejected(stage.current().unwrap(), key("/upload"));
        pass(1).await;
        stage.tokens.accepted(stage.current().unwrap(), USERS);
    }
    assert_eq!(stage.script.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_during_a_renewal_is_about_the_token_before() {
    let stage = Stage::play([granted(HOUR), slowly(5, granted(HOUR))]);
    stage.valid(30).await.unwrap();
    stage.tokens.rejected(1, USERS).unwrap();
    pass(2).await;
    stage.tokens.rejected(1, USERS).unwrap();
    pass(60).await;
    assert_eq!(stage.script.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forced_renewal_that_fails_is_tried_again() {
    let stage = Stage::play([granted(HOUR), fails(Cause::ServerError(500)), fails(refused())]);
    stage.valid(30).await.unwrap();
    let refusal = stage.renew(1, 30).await.unwrap_err();
    let NoRenewal::Unavailable(unavailable) = refusal else { panic!("{refusal:?}") };
    assert_eq!(unavailable.failure().unwrap().cause, refused());
    assert_eq!(stage.current(), Some(1));
    pass(2).await;
    assert_eq!(stage.current(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_a_stopped_task_fails_at_once() {
    let mut stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    stage.tasks.shutdown().await;
    let began = Instant::now();
    let stopped = stage.renew(1, 30).await.unwrap_err();
    let NoRenewal::Unavailable(unavailable) = stopped else { panic!("{stopped:?}") };
    assert!(matches!(unavailable.reason, Reason::Stopped));
    assert!(began.elapsed() < Duration::from_secs(1));
}

/// Requests to an upstream that revokes every token every so often, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_revocations_costs_one_renewal_each() {
    let brisk = || (Duration::from_millis(5), granted(HOUR).1);
    let stage = Stage::play(std::iter::repeat_with(brisk).take(1000));
    stage.valid(30).await.unwrap();
    let good_from = Arc::new(AtomicU64::new(1));
    let mut requests = JoinSet::new();
    for _ in 0..64 {
        let (tokens, good_from) = (stage.tokens.clone(), Arc::clone(&good_from));
        requests.spawn(async move {
            for _ in 0..200 {
                let deadline = Instant::now() + Duration::from_secs(30);
                let mut token = tokens.valid(deadline).await.unwrap();
                if token.generation() < good_from.load(Ordering::SeqCst) {
                    match tokens.renew(token.generation(), USERS, deadline).await {
                        Ok(newer) => {
                            assert!(newer.generation() > token.generation());
                            token = newer;
                            if token.generation() < good_from.load(Ordering::SeqCst) {
                                tokens.rejected_again(token.generation(), USERS);
                            }
                        }
                        Err(NoRenewal::TooSoon) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
                if token.generation() >= good_from.load(Ordering::SeqCst) {
                    tokens.accepted(token.generation(), USERS);
                }
                sleep(Duration::from_millis(2)).await;
            }
        });
    }
    let mut revocations = 0;
    while !requests.is_empty() {
        tokio::select! {
            request = requests.join_next() => { request.unwrap().unwrap(); }
            () = sleep(Duration::from_millis(50)) => {
                good_from.store(stage.current().unwrap() + 1, Ordering::SeqCst);
                revocations += 1;
            }
        }
    }
    let renewals = stage.script.requests() - 1;
    assert!(revocations >= 4 && renewals >= 2, "{revocations} revocations, {renewals} renewals");
    assert!(renewals <= revocations, "{revocations} revocations, {renewals} renewals");
}
