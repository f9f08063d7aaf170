//! What every request passes before it is sent.

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cxone_proxy::access::{Settings, guard};
use cxone_proxy::clock::Clock;
use cxone_proxy::metrics::Metrics;
use cxone_proxy::tokens::{self, Network, RequestKey, TokenSource};
use http::Request;
use http::request::Parts;
use tokio::time::Instant;

use super::Part;
use crate::loopback::{http1, proxied};

/// A token from an upstream on this machine comes within a moment.
const TOKEN_WAIT: Duration = Duration::from_secs(10);

pub(super) fn admit() -> Result<Part, Box<dyn Error>> {
    let head = head()?;
    let settings = Settings::default();
    let local = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(Part::new("guard_admit", move || {
        let admitted = guard::admit(black_box(&head), &settings, local, |_, _| false);
        assert!(black_box(admitted).is_ok(), "it is a usual request");
    }))
}

/// The token that a request takes, and the report that it was accepted.
pub(super) fn current_token() -> Result<Part, Box<dyn Error>> {
    let clock = Clock::System;
    let tokens = tokens_at_hand(&clock)?;
    let now = clock.now();
    let head = head()?;
    Ok(Part::new("token_use", move || {
        let token = tokens.current(black_box(now));
        let generation = token.as_ref().map_or(0, |token| token.generation());
        tokens.accepted(generation, RequestKey { method: &head.method, path: head.uri.path() });
        assert!(black_box(token).is_some(), "it is good for a day");
    }))
}

/// Tokens that nothing renews any more. The runtime ends here, and the task with it: what it did beside
/// the part would be counted.
fn tokens_at_hand(clock: &Clock) -> Result<TokenSource, Box<dyn Error>> {
    let config = proxied::configuration(&format!("http://{}", http1::start()?), None)?;
    let profile = config.profiles.first().ok_or("there is a default profile")?;
    let network = Network { tls: profile.upstream.trust.client_config(&[]), forward_proxy: None };
    let observer = Metrics::new("bench", clock.now().wall).profile(&profile.name).token_observer();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (source, task) = tokens::new(profile.oauth.clone(), network, clock.clone(), observer, None)?;
        tokio::select! {
            () = task.run(std::future::pending()) => return Err("the task has ended".into()),
            token = source.valid(Instant::now() + TOKEN_WAIT) => token?,
        };
        Ok(source)
    })
}

/// What a client of the API sends.
fn head() -> Result<Parts, http::Error> {
    let request = Request::get("/api/v2/contacts/search?query=state%3Aactive&size=100")
        .header("host", "localhost:8080")
        .header("user-agent", "Java-http-client/17.0.9")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, deflate")
        .header("accept-language", "en-US,en;q=0.9")
        .header("connection", "keep-alive")
        .header("x-correlation-id", "0f8fad5b-d9cb-469f-a165-70867728950e")
        .header("cookie", "route=0123456789abcdef; locale=en")
        .body(())?;
    Ok(request.into_parts().0)
}
