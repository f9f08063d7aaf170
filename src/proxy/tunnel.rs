//! What follows a 101: a byte stream in both directions (RFC 9110 section 7.8).

use std::io;
use std::time::Duration;

use http::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use super::body::Body;
use super::pace::Permit;
use super::response::Sent;
use super::state::Shared;
use crate::drain::{Drain, Phase};
use crate::metrics::InFlight;
use crate::upstream::ResponseBody;

/// What waits in one direction at most, in bytes.
const BUFFER: usize = 16 * 1024;

/// Makes the response that opens the tunnel, and starts the task that runs it once both sides have
/// switched. The task ends with either connection, with the drain, or where the client stalls; the
/// server waits for it, since it holds the client's connection.
#[expect(
    clippy::disallowed_methods,
    reason = "the task holds the client's connection, whose end the server waits for"
)]
pub(super) fn start(
    shared: &Shared,
    mut response: Response<ResponseBody>,
    client: OnUpgrade,
    sent: &Sent<'_>,
    (counted, permits): (InFlight, Vec<Permit>),
) -> Response<Body> {
    let upstream = hyper::upgrade::on(&mut response);
    let (drain, stall) = (shared.drain.clone(), shared.settings.stall_timeout);
    tokio::spawn(async move {
        let ended = async {
            let (client, upstream) = tokio::try_join!(client, upstream).map_err(io::Error::other)?;
            run(client, upstream, stall, &drain).await
        };
        if let Err(error) = ended.await {
            tracing::debug!(%error, "a tunnel broke off");
        }
        drop((counted, permits));
    });
    sent.make_local(&mut response);
    response.map(|_| Body::default())
}

/// Copies in both directions until both have ended. An end in one direction is passed on; an error
/// ends both.
async fn run(client: Upgraded, upstream: Upgraded, stall: Option<Duration>, drain: &Drain) -> io::Result<()> {
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_upstream, to_upstream) = split(TokioIo::new(upstream));
    let up = copy(from_client, to_upstream, None);
    let down = copy(from_upstream, to_client, stall);
    tokio::select! {
        outcome = async { tokio::try_join!(up, down) } => outcome.map(|_| ()),
        () = drain.reached(Phase::Draining) => Ok(()),
    }
}

/// Copies one direction to its end. Bytes that nobody takes for `stall` end it.
async fn copy(
    mut from: ReadHalf<TokioIo<Upgraded>>,
    mut to: WriteHalf<TokioIo<Upgraded>>,
    stall: Option<Duration>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await;
        };
        let written = async {
            to.write_all(bytes).await?;
            to.flush().await
        };
        match stall {
            Some(stall) => timeout(stall, written).await.map_err(io::Error::from)??,
            None => written.await?,
        }
    }
}
