//! A refresh token is sent at most once; after it comes nothing but client credentials.

use std::time::Duration;

use cxone_proxy::simulator::{Action, Canned, Ending, Endpoint, Fault, Script};

use super::{grants, pauses};
use crate::support::{Stage, eventually};

/// A region whose next token request is befallen by `action`, after a first token.
async fn befallen(action: Action) -> Stage {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    stage.region.script(Script::of([Fault::new(action).at(Endpoint::Token).times(1)]));
    stage.region.revoke_all();
    stage
}

#[tokio::test]
async fn a_renewal_uses_each_refresh_token_once() {
    let stage = Stage::new().await;
    for _ in 0..5 {
        assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
        stage.region.revoke_all();
    }
    let due = ["client_credentials", "refresh_token", "refresh_token", "refresh_token", "refresh_token"];
    assert_eq!(grants(&stage.region), due);
}

#[tokio::test]
async fn invalid_grant_falls_back_to_client_credentials() {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    stage.region.revoke_refresh_tokens();
    stage.region.revoke_all();
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(grants(&stage.region), ["client_credentials", "refresh_token", "client_credentials"]);
}

#[tokio::test]
async fn a_refresh_token_whose_answer_was_lost_or_bad_is_gone() {
    for action in [
        Action::DropAfter { how: Ending::Reset },
        Action::DropBefore { how: Ending::Close },
        Action::Truncate { after: 10, how: Ending::Close },
        Action::Status(Canned::new(500)),
        Action::Status(Canned::new(401)),
        // Remembered for a second.
        Action::Status(Canned::new(200).body("<html>")),
    ] {
        let name = format!("{action:?}");
        let stage = befallen(action).await;
        eventually(&name, async || (stage.get("/api/v2/users/7").await.status() == 200).then_some(())).await;
        let due = ["client_credentials", "refresh_token", "client_credentials"];
        assert_eq!(grants(&stage.region), due, "{name}");
    }
}

#[tokio::test]
async fn the_next_try_comes_after_the_retry_after_of_a_failed_renewal() {
    let stage = befallen(Action::Status(Canned::new(503).field("Retry-After", "1"))).await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(grants(&stage.region), ["client_credentials", "refresh_token", "client_credentials"]);
    let pauses = pauses(&stage.region);
    assert!(pauses[1] >= Duration::from_millis(995), "{pauses:?}");
}
