//! Section 10: what may be sent, and by which client.

mod callers;
mod rules;

use cxone_simulator::Endpoint;

use crate::support::{Message, Setup, request};

/// How many requests have reached the API.
fn reached(setup: &Setup) -> usize {
    setup.region.journal().iter().filter(|entry| entry.endpoint == Endpoint::Api).count()
}

/// The last part of a problem's type.
fn problem(response: &Message) -> String {
    assert_eq!(response.only("content-type"), Some("application/problem+json"), "{}", response.start);
    let kind = response.json()["type"].as_str().unwrap().to_owned();
    kind.rsplit_once(':').unwrap().1.to_owned()
}

/// A request on a connection of its own.
async fn send(setup: &Setup, method: &str, target: &str, fields: &str) -> Message {
    setup.fetch(request(method, target, fields, "")).await
}
