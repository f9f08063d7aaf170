//! Responses that take their time.

use bytes::Bytes;

use super::query::Query;
use super::{After, Broken, Exchange, Framing, Response, bad_request, bodies};

/// `GET /api/v2/stream?chunks=&size=&interval_ms=`: pieces of the given number and size, with pauses between.
pub(super) async fn chunks(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let query = Query::of(exchange.head);
    let (Some(chunks), Some(size), Some(interval)) =
        (query.number("chunks", 10), query.number("size", 1024), query.milliseconds("interval_ms", 0))
    else {
        return bad_request(exchange, "chunks, size and interval_ms are numbers").await;
    };
    let response = Response::new(200, Framing::Chunked).field("Content-Type", "application/octet-stream");
    exchange.begin(response).await?;
    for chunk in 0..chunks {
        if chunk > 0 && !interval.is_zero() {
            exchange.pause(interval).await?;
        }
        bodies::send(exchange, chunk * size, size).await?;
    }
    exchange.finish(&[]).await
}

/// `GET /api/v2/events?count=&interval_ms=`: server-sent events, without end where no count is given.
pub(super) async fn events(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let query = Query::of(exchange.head);
    let (Some(count), Some(interval)) =
        (query.number("count", u64::MAX), query.milliseconds("interval_ms", 1000))
    else {
        return bad_request(exchange, "count and interval_ms are numbers").await;
    };
    let response = Response::new(200, Framing::Chunked)
        .field("Content-Type", "text/event-stream")
        .field("Cache-Control", "no-cache");
    exchange.begin(response).await?;
    for number in 1..=count {
        if number > 1 {
            exchange.pause(interval).await?;
        }
        let event = format!("id: {number}\nevent: contact\ndata: {{\"contact\":{number}}}\n\n");
        exchange.send(Bytes::from(event)).await?;
    }
    exchange.finish(&[]).await
}

/// `GET /api/v2/long-poll?seconds=` (or `ms=`): nothing for so long, then 304 as CXone's own polls end.
pub(super) async fn long_poll(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let query = Query::of(exchange.head);
    let seconds = query.number("seconds", 0).and_then(|seconds| seconds.checked_mul(1000));
    let wait = seconds.and_then(|seconds| query.milliseconds("ms", seconds));
    let Some(wait) = wait else { return bad_request(exchange, "seconds and ms are numbers").await };
    exchange.pause(wait).await?;
    exchange.bytes(Response::new(304, Framing::None).field("ETag", "\"unchanged\""), Bytes::new()).await
}
