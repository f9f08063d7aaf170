//! What arrived: described, counted or sent back.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use serde_json::json;

use super::query::Query;
use super::{After, Broken, Exchange, Framing, Issued, Response, bad_request};
use crate::journal::latin1;

/// A digest in hexadecimal digits.
pub(super) fn hex(digest: Digest) -> String {
    digest.finish().as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Any method, `/api/v2/echo` and everything below: what arrived, as JSON. Target and field values are given
/// with each byte as the character of the same number, so that nothing is lost.
pub(super) async fn describe(exchange: &mut Exchange<'_, '_>, issued: &Issued) -> Result<After, Broken> {
    let (bytes, sha256) = read(exchange, Duration::ZERO).await?;
    let head = exchange.head;
    let fields: Vec<_> = head.lines().map(|(name, value)| (name, latin1(value))).collect();
    let description = json!({
        "method": head.method(),
        "target": latin1(head.target()),
        "protocol": head.protocol.name(),
        "connection": head.connection,
        "fields": fields,
        "body": { "bytes": bytes, "sha256": sha256 },
        "trailers": exchange.trailers(),
        "client": issued.client,
        "token": issued.number,
    });
    exchange.json(200, &description).await
}

/// `POST /api/v2/upload`: length and digest of the body. `pause_ms` makes a slow reader of the region.
pub(super) async fn upload(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let query = Query::of(exchange.head);
    let Some(pause) = query.milliseconds("pause_ms", 0) else {
        return bad_request(exchange, "pause_ms is no number").await;
    };
    let (bytes, sha256) = read(exchange, pause).await?;
    let summary = json!({ "bytes": bytes, "sha256": sha256, "trailers": exchange.trailers() });
    exchange.json(200, &summary).await
}

async fn read(exchange: &mut Exchange<'_, '_>, pause: Duration) -> Result<(u64, String), Broken> {
    let mut digest = Digest::new(&SHA256);
    let mut bytes = 0;
    while let Some(piece) = exchange.chunk().await? {
        digest.update(&piece);
        bytes += piece.len() as u64;
        if !pause.is_zero() {
            // Not `Exchange::pause`, which would read ahead.
            tokio::time::sleep(pause).await;
        }
    }
    Ok((bytes, hex(digest)))
}

/// Any method, `/api/v2/echo-body`: sends each piece of the body back when it arrives, with the same framing,
/// media type and trailers.
pub(super) async fn body(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let length = exchange.head.only("content-length").and_then(|length| length.parse().ok());
    let mut response = Response::new(200, length.map_or(Framing::Chunked, Framing::Length));
    if let Some(media_type) = exchange.head.only("content-type") {
        response = response.field("Content-Type", media_type.to_owned());
    }
    exchange.begin(response).await?;
    while let Some(piece) = exchange.chunk().await? {
        exchange.send(piece).await?;
    }
    let trailers = exchange.trailers().to_vec();
    exchange.finish(&trailers).await
}
