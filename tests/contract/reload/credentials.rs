//! Credentials that change, and those that do not.

use std::time::Duration;

use tokio::time::Instant;

use super::{ME, Reloading, replace};
use crate::support::{CLIENT_SECRET, eventually};

const CREDENTIALS: &str = "[oauth]\nclient_secret_file = ";

async fn with_secret(secret: &str) -> (Reloading, String) {
    let files = tempfile::TempDir::new().unwrap().keep();
    let path = files.join("secret");
    std::fs::write(&path, secret).unwrap();
    let text = format!("{CREDENTIALS}'{}'\n", path.display());
    let own = Reloading::launched(&text, |launch| launch.without_variable("CXONE_CLIENT_SECRET")).await;
    (own, text)
}

#[tokio::test]
async fn a_corrected_secret_is_tried_at_once() {
    let (own, text) = with_secret("wrong").await;
    own.setup.token_state("refused").await;
    assert_eq!(own.status_of("GET", ME, "").await, 502);
    let path = text.split('\'').nth(1).unwrap();
    // Some tries later the next one is far away.
    eventually("a second refusal", async || (own.setup.region.token_requests() >= 2).then_some(())).await;
    replace(path.as_ref(), CLIENT_SECRET);
    let began = Instant::now();
    own.reload(&text).await;
    own.setup.token_state("valid").await;
    assert_eq!(own.status_of("GET", ME, "").await, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
