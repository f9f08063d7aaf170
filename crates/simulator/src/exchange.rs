//! One exchange: what the script, the journal and the referee have to do with it, around what the endpoint
//! answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use super::discovery::Document;
use super::faults::{self, Cut};
use super::journal::{Entry, Outcome, latin1};
use super::referee::UnderWay;
use super::script::{self, Ending, Endpoint};
use super::state::State;
use super::tokens::{Issued, Verdict};
use super::wire::{Broken, Framing, Head, Line, Response, Wire};
use super::{api, control, discovery, referee, token_endpoint};
use crate::clock::Now;

/// What the connection does after an exchange that went as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Serves the next request.
    Next,
    /// Closes its sending side and reads on for a while.
    Linger,
    /// Closes at once.
    Close,
    /// Closes after a while, having promised to stay open.
    CloseIdle(Duration),
    /// Speaks WebSocket from here on.
    WebSocket,
}

/// The last token of a connection: if it comes again, there is no need to look it up.
pub(super) type LastToken = Option<(Bytes, Arc<Issued>)>;

/// A request being answered.
pub(super) struct Exchange<'x, 'c> {
    pub(super) region: &'x State,
    pub(super) head: &'x Head,
    pub(super) endpoint: Endpoint,
    pub(super) wire: &'x mut Wire<'c>,
    last_token: &'x mut LastToken,
    entry: Option<u64>,
    outcome: Outcome,
    /// The client of a token request.
    pub(super) asking: Option<String>,
    under_way: Option<UnderWay<'x>>,
    body_bytes: u64,
    /// The request's body has been read to its end.
    has_ended: bool,
    /// The response is to be lost.
    pub(super) mute: Option<Ending>,
    /// The response is to break off.
    pub(super) cut: Option<Cut>,
    pub(super) close_delimited: bool,
}

/// Answers one request.
pub(super) async fn serve(
    region: &State,
    head: &Head,
    wire: &mut Wire<'_>,
    last_token: &mut LastToken,
) -> Result<After, Broken> {
    if let Some(place) = control::place(head) {
        return control::respond(region, head, wire, place).await;
    }
    let path = api::path(head, &region.settings.path_prefix);
    let kind = path.as_deref().and_then(token_endpoint::at_path);
    let document = discovery::document(head);
    let endpoint = match (kind, document) {
        (Some(_), _) => Endpoint::Token,
        (None, Some(_)) => Endpoint::Discovery,
        (None, None) => Endpoint::Api,
    };
    let mut exchange = Exchange::open(region, head, endpoint, wire, last_token);
    let result = if let Some(kind) = kind {
        Box::pin(token_endpoint::serve(&mut exchange, kind)).await
    } else {
        let action = region.script.next_action(endpoint, head, script::chance);
        match action {
            None => respond(&mut exchange, document, path.as_deref()).await,
            Some(action) => match Box::pin(faults::apply(&mut exchange, action)).await {
                Ok(faults::Verdict::GoOn(after)) => {
                    let result = respond(&mut exchange, document, path.as_deref()).await;
                    result.map(|served| after.unwrap_or(served))
                }
                Ok(faults::Verdict::Answered(after)) => Ok(after),
                Err(broken) => Err(broken),
            },
        }
    };
    exchange.outcome = match &result {
        Ok(_) => Outcome::Answered,
        Err(Broken::Scripted(_)) => Outcome::BrokenOff,
        Err(Broken::Gone(_)) => Outcome::ClientGone,
        Err(Broken::Bad(why)) => {
            region.referee.doubtful(why, region.at(Now::read()));
            Outcome::Refused
        }
    };
    result
}

async fn respond(
    exchange: &mut Exchange<'_, '_>,
    document: Option<Document>,
    path: Option<&str>,
) -> Result<After, Broken> {
    match document {
        Some(document) => Box::pin(discovery::respond(exchange, document)).await,
        None => api::respond(exchange, path).await,
    }
}

impl<'x, 'c> Exchange<'x, 'c> {
    fn open(
        region: &'x State,
        head: &'x Head,
        endpoint: Endpoint,
        wire: &'x mut Wire<'c>,
        last_token: &'x mut LastToken,
    ) -> Self {
        let now = Now::read();
        let at = region.at(now);
        if endpoint == Endpoint::Token {
            region.counts.token_requests.fetch_add(1, Ordering::Relaxed);
        }
        let entry = region.journal.is_kept().then(|| region.journal.add(entry(head, endpoint, at)));
        region.referee.head(endpoint, head, at);
        if endpoint == Endpoint::Api
            && let Some(id) = head.only("x-request-id")
        {
            region.referee.attempt(id, head, now, at);
        }
        Self {
            region,
            head,
            endpoint,
            wire,
            last_token,
            entry,
            outcome: Outcome::ClientGone,
            asking: None,
            under_way: None,
            body_bytes: 0,
            has_ended: false,
            mute: None,
            cut: None,
            close_delimited: false,
        }
    }

    /// The token request is under way until its response begins.
    pub(super) fn token_request(&mut self, client: &str, grant: Option<&str>, refresh_token: Option<&str>) {
        let now = Now::read();
        self.asking = Some(client.to_owned());
        self.under_way = self.region.referee.token_request(client, refresh_token, now, self.region.at(now));
        self.amend(|entry| entry.grant = grant.map(str::to_owned));
    }

    /// Notes which of the region's tokens this exchange is about.
    pub(super) fn about_token(&self, number: u64) {
        self.amend(|entry| entry.token = Some(number));
    }

    /// Checks the bearer token; `None` if there is none, or more than one.
    pub(super) fn bearer(&mut self) -> Option<Verdict> {
        let mut values = self.head.values("authorization");
        let token = referee::bearer(values.next()?)?;
        if values.next().is_some() {
            return None;
        }
        let now = Now::read();
        let verdict = match &*self.last_token {
            Some((text, issued)) if *text == token.as_bytes() => {
                self.region.tokens.still_good(Arc::clone(issued), now.wall)
            }
            _ => self.region.tokens.check(token, now.wall),
        };
        if let Verdict::Good(issued) = &verdict
            && self.last_token.as_ref().is_none_or(|(_, last)| last.number != issued.number)
        {
            *self.last_token = Some((Bytes::copy_from_slice(token.as_bytes()), Arc::clone(issued)));
        }
        if let Verdict::Good(issued) | Verdict::Expired(issued) | Verdict::Revoked(issued) = &verdict {
            self.about_token(issued.number);
            self.region.referee.token_sent(issued.number, issued.stated_end, now, self.region.at(now));
        }
        Some(verdict)
    }

    /// The next piece of the request's body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        let piece = self.wire.chunk().await?;
        if let Some(piece) = &piece {
            self.body_bytes += piece.len() as u64;
        } else if !std::mem::replace(&mut self.has_ended, true) && !self.wire.trailers().is_empty() {
            let names = self.wire.trailers().iter().map(|(name, _)| name);
            self.region.referee.trailers(self.head, names, self.region.at(Now::read()));
        }
        Ok(piece)
    }

    /// The whole of a small body.
    pub(super) async fn body(&mut self, limit: usize) -> Result<Bytes, Broken> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if body.len() + piece.len() > limit {
                return Err(Broken::Bad("a body that is too large for its endpoint"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// Reads the body and lets it go.
    pub(super) async fn drain(&mut self) -> Result<(), Broken> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }

    /// The request's trailers, after its body.
    pub(super) fn trailers(&self) -> &[Line] {
        self.wire.trailers()
    }

    /// Answers with a value as JSON.
    pub(super) async fn json(&mut self, status: u16, value: &impl Serialize) -> Result<After, Broken> {
        self.whole(Response::new(status, Framing::None), value).await
    }

    /// Answers with a value as JSON and with the fields of `response`.
    pub(super) async fn whole(
        &mut self,
        response: Response,
        value: &impl Serialize,
    ) -> Result<After, Broken> {
        let body = serde_json::to_vec(value).map_err(std::io::Error::other)?;
        self.bytes(response.field("Content-Type", "application/json"), body.into()).await
    }

    /// Answers with these bytes; their length is what frames them.
    pub(super) async fn bytes(&mut self, mut response: Response, body: Bytes) -> Result<After, Broken> {
        response.framing = match response.status {
            100..=199 | 204 | 304 => Framing::None,
            _ => Framing::Length(body.len() as u64),
        };
        if self.cut.is_some() {
            self.begin(response).await?;
            self.send(body).await?;
            return self.finish(&[]).await;
        }
        self.before_response(&mut response).await?;
        self.wire.whole(&response, &body).await?;
        Ok(After::Next)
    }

    /// Begins a response whose body comes in pieces.
    pub(super) async fn begin(&mut self, mut response: Response) -> Result<(), Broken> {
        self.before_response(&mut response).await?;
        self.wire.begin(&response).await
    }

    /// Sends a piece of the body.
    pub(super) async fn send(&mut self, mut piece: Bytes) -> Result<(), Broken> {
        if let Some(cut) = &mut self.cut {
            let part = piece.split_to(usize::try_from(cut.left).unwrap_or(usize::MAX).min(piece.len()));
            cut.left -= part.len() as u64;
            let (left, how) = (cut.left, cut.how);
            self.wire.send(part).await?;
            if left > 0 {
                return Ok(());
            }
            self.wire.settle().await;
            return Err(Broken::Scripted(how));
        }
        self.wire.send(piece).await
    }

    /// Ends the body.
    pub(super) async fn finish(&mut self, trailers: &[Line]) -> Result<After, Broken> {
        if let Some(cut) = &self.cut {
            let how = cut.how;
            self.wire.settle().await;
            return Err(Broken::Scripted(how));
        }
        self.wire.finish(trailers).await?;
        Ok(After::Next)
    }

    /// Waits, unless the client leaves.
    pub(super) async fn pause(&mut self, duration: Duration) -> Result<(), Broken> {
        tokio::select! {
            () = tokio::time::sleep(duration) => Ok(()),
            broken = self.wire.gone() => Err(broken),
        }
    }

    /// Does what must be done before the client sees the first byte of a response, since its next request may come
    /// right after that.
    async fn before_response(&mut self, response: &mut Response) -> Result<(), Broken> {
        self.note_response(response);
        if let Some(how) = self.mute {
            self.drain().await?;
            return Err(Broken::Scripted(how));
        }
        if self.close_delimited && response.framing != Framing::None {
            response.framing = Framing::Close;
        }
        self.region.counts.response(self.endpoint, response.status);
        self.is_no_longer_under_way();
        Ok(())
    }

    /// The client is about to see that its token request is over.
    pub(super) fn is_no_longer_under_way(&mut self) {
        self.under_way = None;
    }

    /// Notes a response in the journal and for the referee.
    pub(super) fn note_response(&mut self, response: &Response) {
        let (status, retry_after) = (response.status, response.first("retry-after"));
        self.amend(|entry| entry.status = Some(status));
        let now = Now::read();
        if let Some(client) = &self.asking {
            self.region.referee.token_response(client, retry_after, now);
        } else if let Some(id) = self.head.only("x-request-id") {
            self.region.referee.response(id, status, retry_after, now);
        }
    }

    fn amend(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(number) = self.entry {
            self.region.journal.amend(number, change);
        }
    }
}

/// An exchange that is dropped, because its client left or the region was killed, is over as well.
impl Drop for Exchange<'_, '_> {
    fn drop(&mut self) {
        self.amend(|entry| {
            entry.ended = Some(self.region.at(Now::read()));
            entry.outcome = Some(self.outcome);
            entry.body_bytes = self.body_bytes;
        });
    }
}

fn entry(head: &Head, endpoint: Endpoint, at: Duration) -> Entry {
    let fields = head.lines().map(|(name, value)| {
        let secret = name.eq_ignore_ascii_case("authorization");
        (name.to_owned(), if secret { "…".to_owned() } else { latin1(value) })
    });
    Entry {
        number: 0,
        at,
        ended: None,
        endpoint,
        connection: head.connection,
        ordinal: head.ordinal,
        protocol: head.protocol.name(),
        method: head.method().to_owned(),
        target: latin1(head.target()),
        fields: fields.collect(),
        request_id: head.only("x-request-id").map(str::to_owned),
        token: None,
        grant: None,
        body_bytes: 0,
        status: None,
        outcome: None,
    }
}
