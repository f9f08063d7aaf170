//! One HTTP/2 stream (RFC 9113): a request and its response.

use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::{Broken, Framing, Head, Line, Response};

/// A stream that a client opened.
pub(crate) struct Stream {
    body: RecvStream,
    trailers: Option<Vec<Line>>,
    respond: SendResponse<Bytes>,
    sending: Option<SendStream<Bytes>>,
    head_request: bool,
    /// The response's last frame has been sent.
    finished: bool,
}

impl Stream {
    pub(crate) fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>) -> (Head, Self) {
        let (parts, body) = request.into_parts();
        let authority = parts.uri.authority().map(|authority| ("host", authority.as_str().as_bytes()));
        let target = parts.uri.path_and_query().map_or("*", http::uri::PathAndQuery::as_str);
        let fields = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let head = Head::compose(parts.method.as_str(), target, authority.into_iter().chain(fields));
        let head_request = parts.method == http::Method::HEAD;
        (head, Self { body, trailers: None, respond, sending: None, head_request, finished: false })
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.trailers.is_some() {
            return Ok(None);
        }
        if let Some(piece) = self.body.data().await {
            let piece = piece.map_err(gone)?;
            self.body.flow_control().release_capacity(piece.len()).map_err(gone)?;
            return Ok(Some(piece));
        }
        let trailers = self.body.trailers().await.map_err(gone)?.unwrap_or_default();
        let lines = trailers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        self.trailers = Some(lines.collect());
        Ok(None)
    }

    pub(super) fn trailers(&self) -> &[Line] {
        self.trailers.as_deref().unwrap_or_default()
    }

    pub(super) fn begin(&mut self, response: &Response, last: bool) -> Result<(), Broken> {
        let last = last || self.head_request || response.framing == Framing::None;
        let mut encoded = encoded(response)?;
        if let Framing::Length(length) = response.framing {
            encoded.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        let now = crate::clock::Now::read().wall;
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
            encoded.headers_mut().insert(http::header::DATE, date);
        }
        self.sending = Some(self.respond.send_response(encoded, last).map_err(gone)?);
        self.finished = last;
        Ok(())
    }

    pub(super) fn inform(&mut self, response: &Response) -> Result<(), Broken> {
        self.respond.send_informational(encoded(response)?).map_err(gone)
    }

    pub(super) async fn send(&mut self, mut piece: Bytes, last: bool) -> Result<(), Broken> {
        let Some(sending) = self.sending.as_mut().filter(|_| !self.finished) else { return Ok(()) };
        while !piece.is_empty() {
            sending.reserve_capacity(piece.len());
            let room = match poll_fn(|cx| sending.poll_capacity(cx)).await {
                Some(room) => room.map_err(gone)?,
                None => return Err(Broken::gone()),
            };
            let part = piece.split_to(room.min(piece.len()));
            self.finished = last && piece.is_empty();
            sending.send_data(part, self.finished).map_err(gone)?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, trailers: &[Line]) -> Result<(), Broken> {
        let Some(sending) = self.sending.as_mut().filter(|_| !self.finished) else { return Ok(()) };
        self.finished = true;
        if trailers.is_empty() {
            return sending.send_data(Bytes::new(), true).map_err(gone);
        }
        let mut fields = HeaderMap::new();
        for (name, value) in trailers {
            fields.append(field_name(name)?, field_value(value)?);
        }
        sending.send_trailers(fields).map_err(gone)
    }

    pub(super) async fn gone(&mut self) -> Broken {
        let reset = match self.sending.as_mut() {
            Some(sending) => poll_fn(|cx| sending.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
        match reset {
            Ok(_) => Broken::gone(),
            Err(error) => gone(error),
        }
    }

    /// Ends the stream at once (RFC 9113 8.1).
    pub(crate) fn reset(&mut self, reason: Reason) {
        match self.sending.as_mut() {
            Some(sending) => sending.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}

fn gone(error: h2::Error) -> Broken {
    Broken::Gone(io::Error::other(error))
}

fn encoded(response: &Response) -> Result<http::Response<()>, Broken> {
    let mut encoded = http::Response::new(());
    *encoded.status_mut() =
        http::StatusCode::from_u16(response.status).map_err(|_| Broken::Bad("a scripted status"))?;
    for (name, value) in &response.fields {
        encoded.headers_mut().append(field_name(name)?, field_value(value)?);
    }
    Ok(encoded)
}

fn field_name(name: &str) -> Result<HeaderName, Broken> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| Broken::Bad("a scripted field name"))
}

fn field_value(value: &str) -> Result<HeaderValue, Broken> {
    HeaderValue::from_str(value).map_err(|_| Broken::Bad("a scripted field value"))
}
