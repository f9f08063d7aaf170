//! One peer must never harm another, and none may use up what all need.

mod connections;
mod cost;
mod flow_control;
mod http2_idle;
mod leftovers;
mod memory;
mod open_files;
mod replay_memory;
mod resets;
mod stalls;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{RawConnection, Setup, get, ok};

/// An upstream that takes every request to its end and responds to `/good` alone. Dropping it ends it.
struct Swallowing {
    base_url: String,
    _task: JoinSet<()>,
}

impl Swallowing {
    /// Where there is a `response`, all other requests get these bytes, which should not be a whole response.
    async fn start(response: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(swallow(RawConnection::over(stream), response.clone()));
            }
        });
        Self { base_url, _task: task }
    }
}

async fn swallow(mut connection: RawConnection, response: Option<Vec<u8>>) {
    while connection.first().await.is_some() {
        let Some(head) = connection.head().await else { return };
        if head.target() == "/good" {
            connection.send(ok("", "good")).await;
            continue;
        }
        if let Some(response) = &response
            && connection.try_send(response).await.is_err()
        {
            return;
        }
        while connection.first().await.is_some() {
            connection.some(64 * 1024).await;
        }
    }
}

/// A client with nothing special gets its response from a [`Swallowing`] upstream.
async fn a_good_client_is_served(setup: &Setup) {
    let response = setup.get("/good").await;
    assert_eq!((response.status(), response.text().as_str()), (200, "good"));
}

/// A GET whose response is not read.
async fn unread(setup: &Setup, target: &str) -> RawConnection {
    let mut client = setup.connect().await;
    client.send(get(target)).await;
    client
}
