//! A token endpoint that allows one live token, and another program with the same credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::{Process, RawConnection, Server, get, ok, serve, token_response};

/// An API and a token endpoint of which only the latest token is valid.
async fn with_one_live_token() -> (Server, Arc<AtomicU64>) {
    let latest = Arc::<AtomicU64>::default();
    let given = latest.clone();
    let server = Server::start(move |request| {
        if request.target() == "/token" {
            let number = given.fetch_add(1, Ordering::Relaxed) + 1;
            let json = format!(r#"{{"access_token":"{number}","token_type":"Bearer","expires_in":3600}}"#);
            return token_response(json);
        }
        let valid = format!("Bearer {}", given.load(Ordering::Relaxed));
        if request.only("authorization") == Some(valid.as_str()) {
            ok("", "served")
        } else {
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec()
        }
    })
    .await;
    (server, latest)
}

/// The warnings that name the likely cause.
fn warnings(process: &Process) -> usize {
    let names_it = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.contains("replica") || text.contains("another program") || text.contains("same credentials")
    };
    process.events().iter().filter(|event| event["level"] == "WARN" && names_it(&event.to_string())).count()
}

#[tokio::test]
async fn tokens_that_die_young_are_noticed_once_and_the_likely_cause_is_named() {
    let (server, given) = with_one_live_token().await;
    let launch =
        serve(&server.base_url()).variable("CXONE_TOKEN_URL", format!("{}/token", server.base_url()));
    let replicas = [launch.listening().await, launch.listening().await];
    for _ in 0..20 {
        for replica in &replicas {
            let mut client = RawConnection::to(replica.proxy_address()).await;
            let response = client.fetch(get("/x")).await;
            // Each renewal kills the other's token, and both still serve.
            assert_eq!((response.status(), response.text().as_str()), (200, "served"));
        }
    }
    assert!(given.load(Ordering::Relaxed) >= 10, "the tokens did not die young");
    for replica in &replicas {
        crate::support::eventually("the warning", async || (warnings(replica) > 0).then_some(())).await;
        assert_eq!(warnings(replica), 1, "{:#?}", replica.log());
    }
}

#[tokio::test]
async fn revocations_now_and_then_are_no_reason_for_a_warning() {
    let setup = crate::support::Setup::new().await;
    for _ in 0..2 {
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
        setup.region.revoke_all();
    }
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    assert_eq!(warnings(&setup.proxy), 0, "{:#?}", setup.proxy.log());
}
