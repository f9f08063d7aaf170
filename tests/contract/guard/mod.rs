//! Section 5: Who may use it.

mod hosts;
mod origins;

use crate::support::{Message, Stage};

/// Sends a request whose field lines are all given, each with its end.
async fn ask(stage: &Stage, line: &str, fields: &str) -> Message {
    stage.ask(format!("{line} HTTP/1.1\r\n{fields}\r\n")).await
}

/// How many requests have reached the API.
fn reached(stage: &Stage) -> usize {
    let journal = stage.region.journal();
    journal.iter().filter(|entry| entry.endpoint == cxone_proxy::simulator::Endpoint::Api).count()
}
