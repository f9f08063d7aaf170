//! A refresh token is sent at most once; client credentials come next.

use std::time::Duration;

use cxone_simulator::{Action, Canned, Ending, Endpoint, Fault, Script};

use super::{grants, pauses};
use crate::support::{Setup, eventually};

/// A region that has given out a first token, and does this at the next token request.
async fn failing_once(action: Action) -> Setup {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    setup.region.script(Script::of([Fault::new(action).at(Endpoint::Token).times(1)]));
    setup.region.revoke_all();
    setup
}

#[tokio::test]
async fn a_renewal_uses_each_refresh_token_once() {
    let setup = Setup::new().await;
    for _ in 0..5 {
        assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
        setup.region.revoke_all();
    }
    let expected = ["client_credentials", "refresh_token", "refresh_token", "refresh_token", "refresh_token"];
    assert_eq!(grants(&setup.region), expected);
}

#[tokio::test]
async fn invalid_grant_falls_back_to_client_credentials() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    setup.region.revoke_refresh_tokens();
    setup.region.revoke_all();
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(grants(&setup.region), ["client_credentials", "refresh_token", "client_credentials"]);
}

#[tokio::test]
async fn a_refresh_token_is_gone_after_a_lost_or_bad_response() {
    for action in [
        Action::DropAfter { how: Ending::Reset },
        Action::DropBefore { how: Ending::Close },
        Action::Truncate { after: 10, how: Ending::Close },
        Action::Status(Canned::new(500)),
        Action::Status(Canned::new(401)),
        Action::Status(Canned::new(200).body("<html>")),
    ] {
        let name = format!("{action:?}");
        let setup = failing_once(action).await;
        eventually(&name, async || (setup.get("/api/v2/users/7").await.status() == 200).then_some(())).await;
        let expected = ["client_credentials", "refresh_token", "client_credentials"];
        assert_eq!(grants(&setup.region), expected, "{name}");
    }
}

#[tokio::test]
async fn the_next_try_comes_after_the_retry_after_of_a_failed_renewal() {
    let setup = failing_once(Action::Status(Canned::new(503).field("Retry-After", "1"))).await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(grants(&setup.region), ["client_credentials", "refresh_token", "client_credentials"]);
    let pauses = pauses(&setup.region);
    assert!(pauses[1] >= Duration::from_millis(995), "{pauses:?}");
}
