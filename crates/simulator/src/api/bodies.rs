//! Bodies that are known beforehand.

use std::ops::Range;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use bytes::Bytes;

use super::echo::hex;
use super::query::Query;
use super::{After, Broken, Exchange, Framing, Response, bad_request, not_found};

/// The pattern's period: a prime, so that pieces that are lost or swapped show at any block size.
const PERIOD: u64 = 251;
/// The pattern, enough periods of it for 64 KiB in one piece.
static PATTERN: [u8; 251 * 264] = {
    let mut pattern = [0; 251 * 264];
    let mut at = 0;
    while at < pattern.len() {
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of 251 is less than 256")]
        #[expect(clippy::indexing_slicing, reason = "the loop's own bound; checked when compiled")]
        {
            pattern[at] = (at % 251) as u8;
        }
        at += 1;
    }
    pattern
};

/// The bytes of `/api/v2/large` and `/api/v2/stream`, from `offset` on; as many as come in one piece, at most
/// `length`.
pub fn pattern(offset: u64, length: u64) -> Bytes {
    let start = usize::try_from(offset % PERIOD).unwrap_or_default();
    let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(start).min(PATTERN.len());
    Bytes::from_static(PATTERN.get(start..end).unwrap_or_default())
}

/// Sends this many bytes of the pattern.
pub(super) async fn send(exchange: &mut Exchange<'_, '_>, offset: u64, length: u64) -> Result<(), Broken> {
    let mut sent = 0;
    while sent < length {
        let piece = pattern(offset + sent, length - sent);
        sent += piece.len() as u64;
        exchange.send(piece).await?;
    }
    Ok(())
}

fn sha256(range: Range<u64>) -> String {
    let mut digest = Digest::new(&SHA256);
    let mut at = range.start;
    while at < range.end {
        let piece = pattern(at, range.end - at);
        digest.update(&piece);
        at += piece.len() as u64;
    }
    hex(digest)
}

/// `GET /api/v2/large?bytes=`: this many bytes of the pattern, with their SHA-256: in the field
/// `X-Checksum-Sha256`, or with `framing=chunked` in a trailer of that name. A single range is honoured
/// (RFC 9110 14.2) and has a digest of its own.
pub(super) async fn large(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let query = Query::of(exchange.head);
    let Some(total) = query.number("bytes", 1 << 20) else {
        return bad_request(exchange, "bytes is no number").await;
    };
    let chunked = query.text("framing") == Some("chunked");
    let (status, range) = match wanted(exchange.head.only("range"), total) {
        Wanted::All => (200, 0..total),
        Wanted::Part(range) => (206, range),
        Wanted::Nothing => {
            let response =
                Response::new(416, Framing::None).field("Content-Range", format!("bytes */{total}"));
            return exchange.bytes(response, Bytes::new()).await;
        }
    };
    let length = range.end - range.start;
    let framing = if chunked { Framing::Chunked } else { Framing::Length(length) };
    let mut response = Response::new(status, framing)
        .field("Content-Type", "application/octet-stream")
        .field("Accept-Ranges", "bytes");
    if status == 206 {
        response =
            response.field("Content-Range", format!("bytes {}-{}/{total}", range.start, range.end - 1));
    }
    let digest = sha256(range.clone());
    response = if chunked {
        response.field("Trailer", "X-Checksum-Sha256")
    } else {
        response.field("X-Checksum-Sha256", digest.clone())
    };
    exchange.begin(response).await?;
    if exchange.head.method() != "HEAD" {
        send(exchange, range.start, length).await?;
    }
    exchange.finish(&[("X-Checksum-Sha256".to_owned(), digest)]).await
}

/// What a `Range` field asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Nothing,
}

/// Whatever is not a single range that can be understood counts as not sent (RFC 9110 14.2).
fn wanted(range: Option<&str>, total: u64) -> Wanted {
    let bounds = range.and_then(|range| range.strip_prefix("bytes=")).and_then(|range| range.split_once('-'));
    let parsed = match bounds {
        None => return Wanted::All,
        Some(("", last)) => last.parse::<u64>().map(|last| total.saturating_sub(last)..total),
        Some((first, "")) => first.parse().map(|first| first..total),
        Some((first, last)) => first
            .parse::<u64>()
            .and_then(|first| last.parse::<u64>().map(|last| first..last.saturating_add(1).min(total))),
    };
    match parsed {
        Err(_) => Wanted::All,
        Ok(range) if range.is_empty() => Wanted::Nothing,
        Ok(range) => Wanted::Part(range),
    }
}

const ONE_K: usize = 1024;
/// A JSON document of exactly 1024 bytes.
static BENCH_1K: [u8; ONE_K] = {
    let mut document = [b'x'; ONE_K];
    let (start, end) = (b"{\"pad\":\"", b"\"}");
    let mut at = 0;
    #[expect(clippy::indexing_slicing, reason = "the loops' own bounds; checked when compiled")]
    {
        while at < start.len() {
            document[at] = start[at];
            at += 1;
        }
        at = 0;
        while at < end.len() {
            document[ONE_K - end.len() + at] = end[at];
            at += 1;
        }
    }
    document
};

/// `/api/v2/bench/1k`, `16k` and `64k`: as little work as can be; any method, whose body is read.
pub(super) async fn bench(exchange: &mut Exchange<'_, '_>, size: &str) -> Result<After, Broken> {
    let body = match size {
        "1k" => Bytes::from_static(&BENCH_1K),
        "16k" => pattern(0, 16 * 1024),
        "64k" => pattern(0, 64 * 1024),
        _ => return not_found(exchange).await,
    };
    exchange.drain().await?;
    exchange.bytes(Response::new(200, Framing::None).field("Content-Type", "application/json"), body).await
}

/// `{"compressed":"…"}` as gzip wrote it; nothing here could write it again byte for byte.
static GZIPPED: &[u8] = include_bytes!("hello.json.gz");

/// `GET /api/v2/gzip`: a body that was compressed once and must arrive so.
pub(super) async fn gzip(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let response = Response::new(200, Framing::None)
        .field("Content-Type", "application/json")
        .field("Content-Encoding", "gzip")
        .field("Vary", "Accept-Encoding");
    exchange.bytes(response, Bytes::from_static(GZIPPED)).await
}

/// `GET /api/v2/trailers`: two pieces, then trailers, one of them repeated.
pub(super) async fn trailers(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let response = Response::new(200, Framing::Chunked)
        .field("Content-Type", "text/plain")
        .field("Trailer", "X-Checksum, X-Repeated");
    exchange.begin(response).await?;
    exchange.send(Bytes::from_static(b"one ")).await?;
    exchange.send(Bytes::from_static(b"two")).await?;
    let trailers = [("X-Checksum", "onetwo"), ("X-Repeated", "first"), ("X-Repeated", "second")];
    exchange.finish(&trailers.map(|(name, value)| (name.to_owned(), value.to_owned()))).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn understands_single_ranges() {
        assert_eq!(wanted(None, 10), Wanted::All);
        assert_eq!(wanted(Some("bytes=0-3"), 10), Wanted::Part(0..4));
        assert_eq!(wanted(Some("bytes=4-"), 10), Wanted::Part(4..10));
        assert_eq!(wanted(Some("bytes=-3"), 10), Wanted::Part(7..10));
        assert_eq!(wanted(Some("bytes=5-99"), 10), Wanted::Part(5..10));
        assert_eq!(wanted(Some("bytes=10-"), 10), Wanted::Nothing);
        assert_eq!(wanted(Some("bytes=0-1,3-4"), 10), Wanted::All);
        assert_eq!(wanted(Some("lines=0-1"), 10), Wanted::All);
    }

    #[test]
    fn the_bench_document_is_json_of_one_kilobyte() {
        let document: serde_json::Value = serde_json::from_slice(&BENCH_1K).unwrap();
        assert_eq!(document["pad"].as_str().unwrap().len(), ONE_K - 10);
        assert_eq!(BENCH_1K.len(), 1024);
    }

    proptest! {
        #[test]
        fn the_pattern_is_the_same_wherever_it_is_cut(offset in 0..10_000_000u64, length in 1..100_000u64) {
            let piece = pattern(offset, length);
            prop_assert!(!piece.is_empty() && piece.len() as u64 <= length);
            for (at, byte) in piece.iter().enumerate() {
                prop_assert_eq!(u64::from(*byte), (offset + at as u64) % PERIOD);
            }
        }
    }
}
