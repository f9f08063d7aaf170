//! Section 4: tokens and retries.

mod asking;
mod connections;
mod dying_young;
mod encodings;
mod failing;
mod falling_back;
mod forbidden;
mod passed_on;
mod rate_limited;
mod refusing_paths;
mod renewing;
mod replaying;
mod secret_commands;
mod secret_files;
mod silence;
mod streams;
mod unauthorized;
mod unavailable;

use std::time::Duration;

use cxone_simulator::{Endpoint, Entry, Region};
use tokio::task::JoinSet;

use crate::support::{Message, Setup, request};

/// The attempts that arrived at the API, in order.
fn attempts(region: &Region) -> Vec<Entry> {
    region.journal().into_iter().filter(|entry| entry.endpoint == Endpoint::Api).collect()
}

/// The grants of all token requests, in order.
fn grants(region: &Region) -> Vec<String> {
    region.journal().into_iter().filter_map(|entry| entry.grant).collect()
}

/// How long after one another the token requests came.
fn pauses(region: &Region) -> Vec<Duration> {
    let asked = region.journal().into_iter().filter(|entry| entry.endpoint == Endpoint::Token);
    let at: Vec<_> = asked.map(|entry| entry.at).collect();
    at.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()
}

/// So many requests at once, each on a connection of its own.
async fn at_once(setup: &Setup, count: usize, target: &str) -> Vec<Message> {
    let mut asking = JoinSet::new();
    for number in 0..count {
        let mut client = setup.connect().await;
        let request = request("GET", target, &format!("X-Request-Id: {target} {number}\r\n"), "");
        asking.spawn(async move { client.fetch(request).await });
    }
    asking.join_all().await
}
