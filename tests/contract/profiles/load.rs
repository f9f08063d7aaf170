//! Tokens of different credentials are never mixed, not once in a hundred thousand requests.
//!
//! The upstream compares every token with the path, which says whose it must be, and responds with the path's
//! owner, so that a response to another request would be noticed as well. Clients pipeline, and tokens are
//! revoked all the while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{Message, RawConnection, Server, get, ok, request, serve, token_response};

const REQUESTS: u64 = 100_000;
const CONNECTIONS: u64 = 8;
/// So many requests leave before the first response is read.
const DEPTH: u64 = 50;
/// After so many requests the token of the last client is revoked.
const REVOKED_AFTER: u64 = 10_000;

/// Paths below `/a` and `/c` belong to one client, those below `/b` to another.
const OWNERS: [(&str, &str); 3] = [("/a", "alpha"), ("/b", "beta"), ("/c", "alpha")];

fn owner(path: &str) -> &'static str {
    let found = OWNERS.iter().find(|(prefix, _)| path.starts_with(prefix));
    found.unwrap_or_else(|| panic!("a path without an owner: {path}")).1
}

/// What the upstream has seen.
#[derive(Default)]
struct Seen {
    served: AtomicU64,
    mixed: AtomicU64,
    revoked: AtomicU64,
    token_requests: AtomicU64,
    /// The number of the valid token of each client, 0 before the first.
    valid: Mutex<HashMap<String, u64>>,
}

impl Seen {
    fn respond(&self, request: &Message) -> Vec<u8> {
        if request.target() == "/token" {
            return token_response(self.token(&request.text()));
        }
        let token = request.only("Authorization").unwrap().strip_prefix("Bearer ").unwrap();
        match self.owner_if_valid(request.target(), token) {
            Some(owner) => ok("", owner),
            None => b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    }

    /// The path's owner where the token is the owner's valid one.
    fn owner_if_valid(&self, path: &str, token: &str) -> Option<&'static str> {
        let owner = owner(path);
        let (name, number) = token.split_once('-').unwrap_or((token, ""));
        if name != owner {
            self.mixed.fetch_add(1, Ordering::Relaxed);
        }
        let mut valid = self.valid.lock().unwrap();
        let current = valid.get_mut(name).unwrap();
        if number != current.to_string() {
            self.revoked.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if (self.served.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(REVOKED_AFTER) {
            *current += 1;
        }
        Some(owner)
    }

    /// A token for the client that a form names.
    fn token(&self, form: &str) -> String {
        self.token_requests.fetch_add(1, Ordering::Relaxed);
        let name = form.split('&').find_map(|pair| pair.strip_prefix("client_id=")).unwrap();
        let mut valid = self.valid.lock().unwrap();
        let number = valid.entry(name.to_owned()).or_default();
        format!(r#"{{"access_token":"{name}-{number}","token_type":"Bearer","expires_in":3600}}"#)
    }
}

async fn upstream(seen: Arc<Seen>) -> Server {
    Server::start(move |request| seen.respond(request)).await
}

/// Sends its share of requests, in a mixture of paths that differs from connection to connection.
async fn send_share(mut client: RawConnection, number: u64) {
    let share = REQUESTS / CONNECTIONS;
    for batch in 0..share / DEPTH {
        let prefixes: Vec<_> = (0..DEPTH)
            .map(|index| OWNERS[usize::try_from((batch * 7 + index * index + number) % 3).unwrap()].0)
            .collect();
        client.send(prefixes.iter().map(|prefix| get(&format!("{prefix}/x"))).collect::<String>()).await;
        for prefix in prefixes {
            let response = client.response().await.unwrap();
            assert_eq!((response.status(), response.text().as_str()), (200, owner(prefix)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_never_mixed() {
    let seen = Arc::new(Seen::default());
    let upstream = upstream(seen.clone()).await;
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    std::fs::write(path("secret"), "beta's").unwrap();
    let text = format!(
        "[[profile]]\nname = 'a'\npath_prefix = '/a'\n\
         [[profile]]\nname = 'b'\npath_prefix = '/b'\n\
         [profile.oauth]\nclient_id = 'beta'\nclient_secret_file = '{}'\n\
         [[profile]]\nname = 'c'\npath_prefix = '/c'\ncredentials = 'a'\n",
        path("secret").display()
    );
    std::fs::write(path("proxy.toml"), text).unwrap();
    let proxy = serve(&upstream.base_url())
        .variable("CXONE_CLIENT_ID", "alpha")
        .variable("CXONE_TOKEN_URL", format!("{}/token", upstream.base_url()))
        .flag("config", path("proxy.toml"))
        .listening()
        .await;

    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        clients.spawn(send_share(RawConnection::to(proxy.proxy_address()).await, number));
    }
    // Ten times what it takes.
    timeout(Duration::from_mins(3), clients.join_all()).await.unwrap();

    assert_eq!(seen.mixed.load(Ordering::Relaxed), 0, "a token went where it must not");
    assert_eq!(seen.served.load(Ordering::Relaxed), REQUESTS);
    assert!(seen.revoked.load(Ordering::Relaxed) > 0, "no renewal was under way meanwhile");
    // Two sets of credentials, and at most one renewal for each revocation.
    let token_requests = seen.token_requests.load(Ordering::Relaxed);
    assert!((3..=2 + REQUESTS / REVOKED_AFTER).contains(&token_requests), "{token_requests}");
}

/// The test above can fail: it notices one request with the token of another client among many.
#[tokio::test]
async fn one_mixed_token_is_noticed() {
    let seen = Arc::new(Seen::default());
    let upstream = upstream(seen.clone()).await;
    let mut client = RawConnection::to(upstream.address()).await;
    for name in ["alpha", "beta"] {
        let token = client.fetch(request("POST", "/token", "", &format!("client_id={name}"))).await;
        assert_eq!(token.json()["access_token"], format!("{name}-0"));
    }
    let right = [("/a", "alpha-0"), ("/b", "beta-0"), ("/c", "alpha-0")];
    let all = right.into_iter().cycle().take(300).chain([("/c", "beta-0")]).chain(right);
    for (path, token) in all {
        let fields = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(client.fetch(request("GET", path, &fields, "")).await.status(), 200);
    }
    assert_eq!(seen.mixed.load(Ordering::Relaxed), 1);
}
