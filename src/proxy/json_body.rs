//! JSON responses whose links may name an upstream: held back as a whole, changed, passed on. Only for
//! profiles that ask for it.

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::body::{Ahead, Body};
use super::hop_by_hop::{members, remove_field};
use super::response::{Sent, note_changed_body};
use super::rewrite::{json_links, location};
use crate::upstream::{ResponseBody, SendError};

/// A longer body passes as it is: nobody's page of results is longer.
const LIMIT: usize = 1024 * 1024;

/// How much memory one response may take while it is held: its pieces, all of it in one piece, and what it is
/// changed to.
const ROOM: usize = 3 * LIMIT;

/// True for JSON that may be read and changed, were there a body.
pub(super) fn may_hold_links(response: &Response<ResponseBody>) -> bool {
    let headers = response.headers();
    // A part of a document is not a document; and RFC 9110 section 7.7 lets servers forbid it.
    is_json(headers)
        && members(headers, &CONTENT_ENCODING).all(|coding| coding.eq_ignore_ascii_case("identity"))
        && response.status() != StatusCode::PARTIAL_CONTENT
        && !members(headers, &CACHE_CONTROL).any(|word| word.eq_ignore_ascii_case("no-transform"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(first), None) = (types.next(), types.next()) else { return false };
    let media_type = first.to_str().ok().and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// Reads the body up to the limit, makes its links local, and passes it on. Where the memory for kept
/// bodies is used up, the response passes as it is.
pub(super) async fn relay(
    mut response: Response<ResponseBody>,
    sent: &Sent<'_>,
) -> Result<Response<Body>, SendError> {
    if response.body().is_end_stream() {
        sent.make_local(&mut response);
        // With a body the length might be another one (a response to HEAD, a 304).
        remove_field(response.headers_mut(), CONTENT_LENGTH);
        return Ok(response.map(Body::streamed));
    }
    let length = response.body().size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let is_small = length.is_none_or(|length| length <= LIMIT);
    let mut room = sent.shared.settings.replay_memory.reserved();
    if !is_small || !room.grow_to(length.map_or(ROOM, |length| 3 * length)) {
        sent.make_local(&mut response);
        return Ok(response.map(Body::streamed));
    }
    let Held { bytes, whole, trailers } = hold(response.body_mut()).await?;
    let rewritten = if whole {
        sent.with_mappings(|mappings| json_links::rewrite(&bytes, |text| location::local(text, mappings)))
    } else {
        None
    };
    // The client may take its time over what is kept for it. Where the new text finds no room, the old one passes.
    let rewritten = rewritten.filter(|text| room.grow_to(text.len()));
    if rewritten.is_none() {
        room.grow_to(bytes.len());
    }
    sent.make_local(&mut response);
    if rewritten.is_some() {
        note_changed_body(response.headers_mut());
    }
    let bytes = rewritten.map_or(bytes, Bytes::from);
    let ahead = Ahead { bytes, room };
    Ok(response.map(|rest| match (whole, trailers) {
        (false, _) => Body::continued(ahead, rest),
        (true, trailers) => Body::whole(ahead, trailers, length.is_some()),
    }))
}

/// What was read of a body.
struct Held {
    bytes: Bytes,
    /// It is all of it.
    whole: bool,
    trailers: Option<HeaderMap>,
}

async fn hold(body: &mut ResponseBody) -> Result<Held, SendError> {
    let mut pieces = Vec::new();
    let mut length = 0;
    let mut trailers = None;
    let whole = loop {
        if length > LIMIT {
            break false;
        }
        match body.frame().await {
            None => break true,
            Some(Err(error)) => return Err(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    length += data.len();
                    pieces.push(data);
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
        }
    };
    let mut bytes = BytesMut::with_capacity(length);
    for piece in pieces {
        bytes.extend_from_slice(&piece);
    }
    Ok(Held { bytes: bytes.freeze(), whole, trailers })
}
