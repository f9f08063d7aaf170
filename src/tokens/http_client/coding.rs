//! Content codings of a response (RFC 9110 section 8.4). Pure.
//!
//! reqwest knows them too, but only in lower case.

use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zeroize::Zeroizing;

/// What is asked for, as the value of `Accept-Encoding`.
pub(super) const ACCEPTED: &str = "gzip, deflate";

/// Why a body cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is longer than allowed once it is decoded.
    TooLong,
    /// It is not what this coding says.
    Broken(String),
}

/// Undoes the codings that are known, the last one first. An unknown one stays, and the fields name it.
/// At most `limit` bytes come out.
pub(super) fn decode(
    headers: &HeaderMap,
    body: Zeroizing<Vec<u8>>,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let lines = headers.get_all(CONTENT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let codings: Vec<String> =
        lines.flat_map(|line| line.split(',')).map(|coding| coding.trim().to_ascii_lowercase()).collect();
    let mut body = body;
    for coding in codings.iter().rev() {
        body = match coding.as_str() {
            "" | "identity" => body,
            "gzip" | "x-gzip" => inflate(GzDecoder::new(body.as_slice()), coding, limit)?,
            "deflate" => inflate(ZlibDecoder::new(body.as_slice()), coding, limit)?,
            _ => return Ok(body),
        };
    }
    Ok(body)
}

/// True where every coding of these fields is undone by [`decode`].
pub(super) fn is_known(coding: &str) -> bool {
    ["", "identity", "gzip", "x-gzip", "deflate"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(coding.trim()))
}

fn inflate(source: impl Read, coding: &str, limit: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut decoded = Zeroizing::new(Vec::new());
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    source.take(most).read_to_end(&mut decoded).map_err(|_| Fault::Broken(coding.to_owned()))?;
    if decoded.len() > limit { Err(Fault::TooLong) } else { Ok(decoded) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(coding: &str, body: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        decode(&headers, Zeroizing::new(body), 1000).map(|bytes| bytes.to_vec())
    }

    #[test]
    fn codings_in_any_case_and_one_upon_the_other() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"token").unwrap();
        let zlib = zlib.finish().unwrap();
        for (coding, body) in [
            ("gzip", gzip(b"token")),
            ("GZip", gzip(b"token")),
            ("x-gzip, identity", gzip(b"token")),
            ("deflate", zlib.clone()),
            ("deflate, gzip", gzip(&zlib)),
            ("identity", b"token".to_vec()),
            ("br", b"token".to_vec()),
        ] {
            assert_eq!(decoded(coding, body).unwrap(), b"token", "{coding}");
        }
    }

    #[test]
    fn a_bomb_and_a_broken_body_are_refused() {
        assert_eq!(decoded("gzip", gzip(&[0; 1001])), Err(Fault::TooLong));
        assert_eq!(decoded("gzip", gzip(&[0; 1000])).unwrap().len(), 1000);
        assert_eq!(decoded("gzip", b"plain".to_vec()), Err(Fault::Broken("gzip".to_owned())));
    }
}
