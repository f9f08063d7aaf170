//! What went wrong on the way to the upstream, and whether anything can have been delivered.

use std::error::Error;
use std::fmt;

use crate::message::ContentError;

/// Why there is no answer, or no whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The host's name could not be resolved.
    Resolve,
    /// No connection could be made.
    Connect,
    /// Resolution, connection and TLS took too long.
    ConnectTimeout,
    /// The proxy on the way refused the tunnel.
    ForwardProxy,
    /// The upstream's certificate is not trusted, or not for this name.
    Certificate,
    /// TLS failed in another way.
    Tls,
    /// The connection or stream ended before the answer did.
    Closed,
    /// What came is not HTTP.
    Malformed,
    /// The response's head is larger than the limit.
    TooLarge,
    /// The response's head took too long.
    ResponseTimeout,
    /// The client went away.
    ClientGone,
    /// The client's content is malformed.
    ClientMalformed,
}

/// Whether the upstream can have seen the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Certainly nothing of it.
    Nothing,
    /// Possibly all of it.
    Maybe,
}

/// A failed attempt.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// Whether the request can have reached the upstream.
    pub delivered: Delivered,
    /// True where the connection had served an earlier request.
    pub reused: bool,
    /// True where something of the response had arrived.
    pub answered: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure before the request could be sent.
    pub(super) fn before_sending(kind: FailureKind, source: Option<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, delivered: Delivered::Nothing, reused: false, answered: false, source }
    }

    /// A failure while the request or its answer was on the way.
    pub(super) fn on_the_way(
        kind: FailureKind,
        delivered: Delivered,
        reused: bool,
        source: Option<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, delivered, reused, answered: false, source }
    }

    /// The client is no longer there.
    pub fn client_gone() -> Self {
        Self::on_the_way(FailureKind::ClientGone, Delivered::Maybe, false, None)
    }

    /// The client's content could not be read.
    pub(super) fn client(error: ContentError) -> Self {
        let kind = match error {
            ContentError::Gone(_) => FailureKind::ClientGone,
            ContentError::Malformed(_) => FailureKind::ClientMalformed,
        };
        Self::on_the_way(kind, Delivered::Maybe, false, Some(Box::new(error)))
    }

    pub(super) fn while_answering(mut self) -> Self {
        self.answered = true;
        self
    }

    /// True where a connection that had waited in the pool turned out dead: it ended before anything
    /// of the response came. A response that is late, malformed or broken off tells something about
    /// the upstream instead, and one stream that is reset leaves its connection alive.
    pub fn is_of_a_dead_connection(&self) -> bool {
        self.reused && self.kind == FailureKind::Closed && !self.answered
    }

    /// True where the client is the one who failed.
    pub fn is_the_clients(&self) -> bool {
        matches!(self.kind, FailureKind::ClientGone | FailureKind::ClientMalformed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            FailureKind::Resolve => "the upstream's name could not be resolved",
            FailureKind::Connect => "the upstream could not be connected to",
            FailureKind::ConnectTimeout => "connecting to the upstream took too long",
            FailureKind::ForwardProxy => "the forward proxy refused the tunnel to the upstream",
            FailureKind::Certificate => "the upstream's certificate is not trusted",
            FailureKind::Tls => "TLS with the upstream failed",
            FailureKind::Closed => "the upstream broke off",
            FailureKind::Malformed => "the upstream did not answer in HTTP",
            FailureKind::TooLarge => "the upstream's header section is too large",
            FailureKind::ResponseTimeout => "the upstream took too long to answer",
            FailureKind::ClientGone => "the client went away",
            FailureKind::ClientMalformed => "the client's content is malformed",
        })
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
