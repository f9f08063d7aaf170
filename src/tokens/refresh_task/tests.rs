//! The refresh task and the handle together, on a paused clock, with a script in place of the endpoint.

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::script::{
    HOUR, MARGIN, Script, Stage, USERS, fails, granted, late, pass, refreshable, refused, slowly,
};
use super::*;
use crate::certificate::CertificateProblem;
use crate::tokens::{Reason, State, Unavailable};

fn cause(unavailable: &Unavailable) -> &Cause {
    &unavailable.failure().unwrap().cause
}

#[tokio::test(start_paused = true)]
async fn two_hundred_first_requests_cause_one_token_request() {
    let stage = Stage::play([slowly(3, granted(HOUR))]);
    let mut waiting = JoinSet::new();
    for _ in 0..200 {
        let tokens = stage.tokens.clone();
        waiting.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(30);
            tokens.valid(deadline).await.map(|token| token.generation())
        });
    }
    for seen in waiting.join_all().await {
        assert_eq!(seen.unwrap(), 1);
    }
    assert_eq!(stage.script.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_expires_and_served_meanwhile() {
    let stage = Stage::play([refreshable(HOUR), slowly(5, refreshable(HOUR))]);
    stage.valid(30).await.unwrap();
    pass(HOUR - 300 + 2).await;
    assert_eq!(stage.script.requests(), 2, "it is being renewed");
    assert_eq!(stage.current(), Some(1), "and no request waits for it");
    pass(4).await;
    assert_eq!(stage.current(), Some(2));
    assert_eq!(stage.script.grants(), ["client_credentials", "refresh_token"]);
    assert_eq!(stage.tokens.snapshot(stage.clock.now()).scopes, ["users:read"]);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_counts_from_the_request() {
    let stage = Stage::play([slowly(9, granted(100))]);
    stage.valid(30).await.unwrap();
    let snapshot = stage.tokens.snapshot(stage.clock.now());
    let left = snapshot.expires_at.unwrap().duration_since(snapshot.obtained_at.unwrap()).unwrap();
    assert_eq!(left.as_secs(), 91, "the issuer may have started the clock at the request");
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_served_while_renewal_fails_and_not_after_its_end() {
    let mut lines = vec![granted(100)];
    lines.extend((0..1000).map(|_| fails(Cause::ServerError(503))));
    let stage = Stage::play(lines);
    stage.valid(30).await.unwrap();
    pass(98).await;
    assert!(stage.script.requests() > 3, "it keeps trying");
    assert_eq!(stage.current(), Some(1));
    assert_eq!(stage.state(), State::Valid);
    pass(1).await;
    assert_eq!(stage.current(), None);
    assert_eq!(stage.state(), State::Unreachable);
    let unavailable = stage.valid(3).await.unwrap_err();
    assert_eq!(*cause(&unavailable), Cause::ServerError(503));
}

#[tokio::test(start_paused = true)]
async fn the_task_outlives_every_failure() {
    let all = [
        refused(),
        Cause::Unusable("it is empty".to_owned()),
        Cause::Redirected { status: 302, to: None },
        Cause::Untrusted(CertificateProblem::UnknownIssuer { issuer: None }),
        Cause::Unreachable("refused".to_owned()),
        Cause::ServerError(500),
        Cause::RateLimited,
        late(),
    ];
    let outcomes: Vec<_> = all.iter().map(|cause| ("client_credentials", cause.outcome())).collect();
    let stage = Stage::play(all.map(fails));
    pass(60).await;
    assert_eq!(stage.current(), Some(1));
    assert_eq!(stage.script.requests(), 9);
    let play = stage.script.play();
    assert_eq!(play.outcomes[..8], outcomes);
    assert_eq!(play.outcomes[8], ("client_credentials", "ok"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_returned_at_once_and_tried_again_by_itself() {
    let stage = Stage::play((0..4).map(|_| fails(refused())));
    let began = Instant::now();
    for _ in 0..2 {
        let unavailable = stage.valid(30).await.unwrap_err();
        assert_eq!(*cause(&unavailable), refused());
        assert!(unavailable.needs_fixing());
    }
    assert!(began.elapsed() < Duration::from_millis(10), "waiting does not fix it");
    assert_eq!(stage.script.requests(), 1, "and the endpoint is left alone");
    assert_eq!(stage.state(), State::Refused);
    pass(20).await;
    let spacings = stage.script.spacings();
    for (spacing, least) in spacings.iter().zip([1000, 2000, 4000, 8000]) {
        assert!((least..least + 50).contains(spacing), "{spacings:?}");
    }
    assert_eq!(stage.current(), Some(1), "the credentials work now");
}

#[tokio::test(start_paused = true)]
async fn requests_wait_through_temporary_failures() {
    let stage = Stage::play([fails(Cause::ServerError(500)), fails(late())]);
    assert_eq!(stage.valid(30).await.unwrap(), 1);
    assert_eq!(stage.script.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_back_all_that_wait() {
    let limited = RequestError { cause: Cause::RateLimited, retry_after: Some(Duration::from_secs(40)) };
    let stage = Stage::play([(Duration::ZERO, Err(limited))]);
    let unavailable = stage.valid(30).await.unwrap_err();
    assert_eq!(*cause(&unavailable), Cause::RateLimited);
    assert!(!unavailable.needs_fixing());
    assert!((9..=10).contains(&unavailable.retry_after.as_secs()), "{unavailable:?}");
    assert_eq!(stage.script.requests(), 1);
    assert_eq!(stage.valid(30).await.unwrap(), 1);
    assert!(stage.script.spacings()[0] >= 40_000);
}

#[tokio::test(start_paused = true)]
async fn before_the_first_response_the_reason_is_that() {
    let stage = Stage::play([slowly(9, granted(HOUR))]);
    assert_eq!(stage.state(), State::Absent);
    assert!(matches!(stage.valid(2).await.unwrap_err().reason, Reason::Pending));
    assert_eq!(stage.script.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn refresh_tokens_are_sent_once_whatever_comes() {
    for cause in [refused(), late(), Cause::ServerError(502), Cause::Unusable("?".to_owned())] {
        let stage = Stage::play([refreshable(100), refreshable(100), fails(cause.clone()), refreshable(100)]);
        pass(80 + 80 + 19).await;
        let play = stage.script.play();
        let sent: Vec<_> = play.requests.iter().map(|(_, _, sent)| sent.as_deref()).collect();
        assert_eq!(sent, [None, Some("refresh-1"), Some("refresh-2"), None], "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_refresh_that_is_refused_redirected_or_unusable_the_log_in_follows_at_once() {
    for cause in [refused(), Cause::Unusable("?".to_owned()), Cause::Redirected { status: 302, to: None }] {
        let stage = Stage::play([refreshable(HOUR), fails(cause.clone())]);
        stage.valid(30).await.unwrap();
        let deadline = Instant::now() + Duration::from_millis(10);
        let renewed = stage.tokens.renew(1, USERS, deadline).await;
        assert_eq!(renewed.unwrap().generation(), 2, "{cause}: no client sees the failure");
        assert_eq!(stage.script.grants(), ["client_credentials", "refresh_token", "client_credentials"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_waiting_cancels_nothing() {
    let stage = Stage::play([slowly(5, granted(HOUR))]);
    assert!(tokio::time::timeout(Duration::from_secs(1), stage.valid(30)).await.is_err());
    pass(5).await;
    assert_eq!(stage.current(), Some(1));
    assert_eq!(stage.script.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_task_is_not_waited_for() {
    let mut stage = Stage::play([granted(100)]);
    stage.valid(30).await.unwrap();
    stage.tasks.shutdown().await;
    assert_eq!(stage.valid(30).await.unwrap(), 1, "what is valid stays");
    pass(100).await;
    let began = Instant::now();
    assert!(matches!(stage.valid(30).await.unwrap_err().reason, Reason::Stopped));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn run_ends_with_its_stop_even_in_the_middle_of_a_request() {
    let script = Script::of([slowly(9, granted(HOUR))]);
    let (_tokens, task) = RefreshTask::new(script.clone(), MARGIN, Clock::System, Arc::new(script.clone()));
    let began = Instant::now();
    task.run(pass(2)).await;
    assert_eq!(began.elapsed().as_secs(), 2);
    assert_eq!(script.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_a_request_wakes_the_task() {
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
async fn after_a_suspension_the_task_finds_out_by_itself() {
    let stage = Stage::play([]);
    stage.valid(30).await.unwrap();
    stage.clock.suspend(Duration::from_hours(8));
    pass(31).await;
    assert_eq!(stage.current(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_shows_all_but_the_token() {
    let stage = Stage::play([granted(HOUR), fails(refused())]);
    stage.valid(30).await.unwrap();
    let snapshot = stage.tokens.snapshot(stage.clock.now());
    assert_eq!((snapshot.generation, snapshot.state.as_str()), (1, "valid"));
    assert!(!snapshot.is_accepted);
    let (from, to) = (snapshot.obtained_at.unwrap(), snapshot.expires_at.unwrap());
    assert_eq!(to.duration_since(from).unwrap(), Duration::from_secs(HOUR));
    assert_eq!(stage.script.play().expires_at, Some(to));
    assert!(snapshot.failure.is_none());
    stage.tokens.accepted(1, USERS);
    assert!(stage.tokens.snapshot(stage.clock.now()).is_accepted);
    stage.tokens.renew(1, USERS, Instant::now() + Duration::from_secs(1)).await.unwrap_err();
    let snapshot = stage.tokens.snapshot(stage.clock.now());
    assert_eq!(snapshot.state, State::Valid);
    let failure = snapshot.failure.as_ref().unwrap();
    assert_eq!(
        failure.to_string(),
        "the token endpoint https://auth.example/token refused client app: 401 invalid_client"
    );
    assert!(failure.hint().contains("CXONE_CLIENT_ID and CXONE_CLIENT_SECRET"), "{}", failure.hint());
    assert_eq!(failure.next_try.steady - failure.at.steady, Duration::from_secs(1));
    assert!(!format!("{snapshot:?} {:?}", stage.tokens).contains("token-1"));
}
