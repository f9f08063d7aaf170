//! Carries out what the script says.

use std::time::Duration;

use bytes::Bytes;

use super::exchange::{After, Exchange};
use super::script::{Action, Canned, Ending, Malformation, Rest};
use super::wire::{Broken, Framing, Response, Wire};

/// Where a response breaks off.
#[derive(Debug)]
pub(super) struct Cut {
    /// So many bytes of the body are still sent.
    pub(super) left: u64,
    pub(super) how: Ending,
}

/// What is left to do after a fault that did not end the exchange.
pub(super) enum Verdict {
    /// The request is carried out; what the connection does afterwards, where the script has a say in it.
    GoOn(Option<After>),
    /// It has been answered.
    Answered(After),
}

/// Applies `action` to the exchange.
pub(super) async fn apply(exchange: &mut Exchange<'_, '_>, action: Action) -> Result<Verdict, Broken> {
    match action {
        Action::Delay { ms } => exchange.pause(Duration::from_millis(ms)).await?,
        Action::DropBefore { how } => return Err(Broken::Scripted(how)),
        Action::DropAfter { how } => exchange.mute = Some(how),
        Action::Status(canned) => {
            exchange.drain().await?;
            return respond(exchange, canned).await.map(Verdict::Answered);
        }
        Action::EarlyResponse { response, read, rest } => {
            return respond_early(exchange, response, read, rest).await.map(Verdict::Answered);
        }
        Action::Truncate { after, how } => exchange.cut = Some(Cut { left: after, how }),
        Action::Malformed { what } => return send_raw(exchange, malformed(what)).await,
        Action::Raw { text } => return send_raw(exchange, text.into()).await,
        Action::SlowHead { ms } => match &mut *exchange.wire {
            Wire::Http1(stream) => stream.drip = Some(Duration::from_millis(ms)),
            Wire::Http2(_) => return Err(Broken::Scripted(Ending::Reset)),
        },
        Action::CloseDelimited {} => exchange.close_delimited = true,
        Action::Unasked101 {} => {
            let text = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: surprise\r\n\r\n";
            return send_raw(exchange, text.into()).await;
        }
        Action::Informational { status, fields } => {
            let canned = Canned { status, fields, ..Canned::new(status) };
            exchange.wire.inform(&head_of(&canned)).await?;
        }
        Action::CloseIdle { ms } => {
            return Ok(Verdict::GoOn(Some(After::CloseIdle(Duration::from_millis(ms)))));
        }
        Action::Revoke {} => exchange.region.tokens.revoke_all(),
    }
    Ok(Verdict::GoOn(None))
}

fn head_of(canned: &Canned) -> Response {
    let mut response = Response::new(canned.status, Framing::None);
    for (name, value) in &canned.fields {
        response = response.field(name.clone(), value.clone());
    }
    response
}

async fn respond(exchange: &mut Exchange<'_, '_>, canned: Canned) -> Result<After, Broken> {
    let head = head_of(&canned);
    exchange.bytes(head, canned.body.repeat(canned.repeat).into()).await
}

async fn respond_early(
    exchange: &mut Exchange<'_, '_>,
    canned: Canned,
    read: u64,
    rest: Rest,
) -> Result<After, Broken> {
    let mut left = read;
    while left > 0 {
        let Some(piece) = exchange.chunk().await? else { break };
        left = left.saturating_sub(piece.len() as u64);
    }
    if rest != Rest::Read
        && let Wire::Http1(stream) = &mut *exchange.wire
    {
        stream.close_after();
    }
    respond(exchange, canned).await?;
    Ok(match rest {
        Rest::Read => After::Next,
        Rest::Linger => After::Linger,
        Rest::Close => After::Close,
    })
}

/// Reads the request, sends what is no response, and closes the connection.
async fn send_raw(exchange: &mut Exchange<'_, '_>, text: Bytes) -> Result<Verdict, Broken> {
    exchange.drain().await?;
    exchange.is_no_longer_under_way();
    exchange.wire.raw(&text).await?;
    Err(Broken::Scripted(Ending::Close))
}

fn malformed(what: Malformation) -> Bytes {
    let text: &'static [u8] = match what {
        Malformation::Garbage => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xde\xad\xbe\xef\r\n\r\n",
        Malformation::StatusLine => b"HTTP/1.1 two hundred\r\nContent-Length: 2\r\n\r\nok",
        Malformation::Version => b"HTTP/7.3 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Malformation::FoldedField => b"HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\nContent-Length: 2\r\n\r\nok",
        Malformation::SpaceBeforeColon => b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        Malformation::ControlCharacter => b"HTTP/1.1 200 OK\r\nX-Odd: a\x00b\r\nContent-Length: 2\r\n\r\nok",
        Malformation::TwoLengths => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        Malformation::BadLength => b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        Malformation::LengthAndChunked => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        }
        Malformation::BadChunkSize => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\nok\r\n0\r\n\r\n"
        }
        Malformation::LongChunk => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n"
        }
        Malformation::UnknownCoding => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: rot13\r\n\r\nbx",
        Malformation::EndlessHead => {
            let mut text = b"HTTP/1.1 200 OK\r\nX-Endless: ".to_vec();
            text.resize(1024 * 1024, b'a');
            return text.into();
        }
    };
    Bytes::from_static(text)
}
