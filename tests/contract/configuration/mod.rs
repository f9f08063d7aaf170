//! Section 2: configuration.

mod layers;
mod mistakes;
mod secrets;
mod sockets;

use serde_json::Value;

use crate::support::Launch;

/// `cxone-proxy serve` that reaches no upstream: whatever its base URL is, it does not leave this machine.
fn offline() -> Launch {
    Launch::of("serve")
        .flag("listen", "127.0.0.1:0")
        .flag("admin-listen", "off")
        .flag("log-format", "json")
        .variable("HTTPS_PROXY", "http://127.0.0.1:9")
        .variable("CXONE_CLIENT_ID", "app")
        .variable("CXONE_CLIENT_SECRET", "s3cr3t-value")
}

/// The event with which the program says what it serves.
async fn listening(launch: &Launch) -> Value {
    launch.listening().await.event("listening").await
}
