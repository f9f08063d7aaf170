//! Section 9: when requests are sent to the API.

mod configured;
mod learned;
mod mistakes;

use std::time::Duration;

use cxone_simulator::{Endpoint, Region, Settings};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{Launch, Message, Setup, get};

/// When the attempts at the API came, since the first one, in milliseconds.
fn starts(region: &Region) -> Vec<u128> {
    let api = region.journal().into_iter().filter(|entry| entry.endpoint == Endpoint::Api);
    let at: Vec<Duration> = api.map(|entry| entry.at).collect();
    at.iter().map(|start| start.saturating_sub(at[0]).as_millis()).collect()
}

/// So many requests at once, each on a connection of its own.
async fn at_once(setup: &Setup, count: usize, target: &str) -> Vec<Message> {
    let mut asking = JoinSet::new();
    for _ in 0..count {
        let mut client = setup.connect().await;
        let request = get(target);
        asking.spawn(async move { client.fetch(request).await });
    }
    asking.join_all().await
}

fn statuses(responses: &[Message]) -> Vec<u16> {
    let mut statuses: Vec<u16> = responses.iter().map(Message::status).collect();
    statuses.sort_unstable();
    statuses
}

/// A region and a program with this configuration file.
async fn with_file(settings: Settings, text: &str, launch: impl FnOnce(Launch) -> Launch) -> Setup {
    let files = TempDir::new().unwrap();
    let path = files.path().join("proxy.toml");
    std::fs::write(&path, text).unwrap();
    // The file is read once, at start.
    Setup::with(settings, |program| launch(program.flag("config", &path))).await
}
