//! Why there is no response, or no whole one, and whether the upstream can have seen the request.

use std::error::Error;
use std::fmt;
use std::io;

use super::framing::Unusable;
use super::wire::Wire;
use crate::certificate::CertificateProblem;

/// A boxed error of another module or library.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What connecting was busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Resolving the name of the first hop.
    Resolution,
    /// Connecting to the first hop.
    Connection,
    /// Asking the forward proxy for a tunnel (RFC 9110 section 9.3.6).
    Tunnel,
    /// The TLS handshake.
    Tls,
    /// Waiting for the server's SETTINGS (RFC 9113 section 3.4).
    Http2,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The host's name could not be resolved.
    Resolution,
    /// No connection could be made.
    Connection,
    /// The forward proxy cannot be reached, or did not open the tunnel; `status` is its response where it spoke HTTP.
    ForwardProxy {
        /// The status of its response to CONNECT.
        status: Option<u16>,
    },
    /// The upstream's certificate is not trusted, or is not valid for this name or at this time.
    Certificate,
    /// TLS failed in another way.
    Tls,
    /// Connecting took longer than `connect_timeout`; the stage is the one that was not finished.
    ConnectTimeout(Stage),
    /// The connection or stream ended before the response did.
    Closed,
    /// The peer acknowledges nothing any more.
    Silent,
    /// What came is not HTTP.
    Malformed,
    /// The header section is larger than 256 KiB, or has more than 100 lines over HTTP/1.1.
    HeaderTooLarge,
    /// No response within `response_timeout` of the request's end.
    ResponseTimeout,
    /// A 101 without a request for it, or to another protocol.
    UnaskedUpgrade,
    /// The request's own body failed; the source is the body's error.
    RequestBody,
}

/// Whether the upstream can have seen the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Certainly nothing of it.
    Nothing,
    /// It may have arrived, but the server says that it did nothing with it (RFC 9113 section 8.7).
    NotProcessed,
    /// Possibly all of it.
    Maybe,
}

/// A failed attempt.
#[derive(Debug)]
pub struct SendError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Whether the request can have reached the upstream.
    pub delivered: Delivered,
    /// True where something of the response had arrived.
    pub answered: bool,
    source: Option<BoxError>,
}

/// More than 100 fields cannot be sent in fewer bytes: a name of one letter, the colon and the line's end each.
const SHORTEST_TOO_LARGE: usize = 400;

impl SendError {
    /// An error before anything was sent.
    pub(super) fn before_sending(kind: ErrorKind, source: Option<BoxError>) -> Self {
        Self { kind, delivered: Delivered::Nothing, answered: false, source }
    }

    /// An error of the response's body.
    pub(super) fn of_body(kind: ErrorKind, source: Option<BoxError>) -> Self {
        Self { kind, delivered: Delivered::Maybe, answered: true, source }
    }

    /// No response's head over HTTP/1.1.
    pub(super) fn over_http1(error: hyper::Error, wire: &Wire) -> Self {
        let delivered = if wire.has_written() { Delivered::Maybe } else { Delivered::Nothing };
        if is_of_upload(&error, wire) {
            return Self::of_upload(delivered, wire);
        }
        let mut kind = read(&error).kind;
        // For a length that does not fit hyper gives the same error as for a header section that does not.
        if kind == ErrorKind::HeaderTooLarge && wire.received() < SHORTEST_TOO_LARGE {
            kind = ErrorKind::Malformed;
        }
        Self { kind, delivered, answered: wire.has_received(), source: Some(Box::new(error)) }
    }

    /// No response's head over HTTP/2.
    pub(super) fn over_http2(error: hyper::Error, wire: &Wire) -> Self {
        if is_of_upload(&error, wire) {
            return Self::of_upload(Delivered::Maybe, wire);
        }
        let Reading { kind, unprocessed, rejected } = read(&error);
        let delivered = if unprocessed { Delivered::NotProcessed } else { Delivered::Maybe };
        Self { kind, delivered, answered: rejected, source: Some(Box::new(error)) }
    }

    fn of_upload(delivered: Delivered, wire: &Wire) -> Self {
        let (kind, source) = (ErrorKind::RequestBody, wire.take_failure());
        Self { kind, delivered, answered: false, source }
    }

    /// `response_timeout` is over.
    pub(super) fn late(wire: &Wire) -> Self {
        let (kind, answered) = (ErrorKind::ResponseTimeout, wire.has_received());
        Self { kind, delivered: Delivered::Maybe, answered, source: None }
    }

    /// A response that must not be followed.
    pub(super) fn unusable(unusable: Unusable) -> Self {
        let kind = match unusable {
            Unusable::Coding | Unusable::Length => ErrorKind::Malformed,
            Unusable::Unasked => ErrorKind::UnaskedUpgrade,
        };
        let source: Option<BoxError> = Some(Box::new(unusable));
        Self { kind, delivered: Delivered::Maybe, answered: true, source }
    }

    /// What is wrong with the certificate, where that is what went wrong.
    pub fn certificate(&self) -> Option<&CertificateProblem> {
        self.source.as_deref()?.downcast_ref()
    }

    /// True where the connection ended, or fell silent, before anything of the response came. A response
    /// that is late, malformed or broken off tells something about the upstream instead.
    pub fn is_of_dead_connection(&self) -> bool {
        matches!(self.kind, ErrorKind::Closed | ErrorKind::Silent) && !self.answered
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolution => "the upstream's name could not be resolved",
            Self::Connection => "the upstream could not be connected to",
            Self::ForwardProxy { status: Some(status) } => {
                return write!(f, "the forward proxy answered CONNECT with {status}");
            }
            Self::ForwardProxy { status: None } => "the forward proxy did not open a tunnel to the upstream",
            Self::Certificate => "the upstream's certificate is not trusted",
            Self::Tls => "TLS with the upstream failed",
            Self::ConnectTimeout(stage) => {
                return write!(f, "connecting to the upstream took too long ({stage})");
            }
            Self::Closed => "the upstream closed the connection",
            Self::Silent => "the upstream does not acknowledge anything any more",
            Self::Malformed => "the upstream's response is not valid HTTP",
            Self::HeaderTooLarge => "the header section of the upstream's response is too large",
            Self::ResponseTimeout => "the upstream took too long to respond",
            Self::UnaskedUpgrade => "the upstream switched to a protocol that was not asked for",
            Self::RequestBody => "the request's body could not be read",
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolution => "name resolution",
            Self::Connection => "connection",
            Self::Tunnel => "tunnel through the forward proxy",
            Self::Tls => "TLS handshake",
            Self::Http2 => "HTTP/2 settings",
        })
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// What a failure of hyper or h2 means.
pub(super) struct Reading {
    pub(super) kind: ErrorKind,
    /// The server says that it did not process the request.
    pub(super) unprocessed: bool,
    /// The server reset this stream and keeps the connection: it has seen the request.
    pub(super) rejected: bool,
}

/// Reads hyper's error by its predicates and by the types of its sources. That the sources are h2's and the
/// system's own types is not promised by hyper; the tests over sockets hold it.
pub(super) fn read(error: &hyper::Error) -> Reading {
    let plain = |kind| Reading { kind, unprocessed: false, rejected: false };
    if error.is_parse_too_large() {
        return plain(ErrorKind::HeaderTooLarge);
    }
    if error.is_parse() {
        return plain(ErrorKind::Malformed);
    }
    if error.is_timeout() {
        return plain(ErrorKind::Silent);
    }
    if let Some(error) = source_of::<h2::Error>(error) {
        return read_h2(error);
    }
    if let Some(error) = source_of::<io::Error>(error) {
        return plain(kind_of_io(error));
    }
    plain(ErrorKind::Closed)
}

fn read_h2(error: &h2::Error) -> Reading {
    // Streams above the last one that GOAWAY names end with that GOAWAY, those below it in other ways.
    let unprocessed = error.reason() == Some(h2::Reason::REFUSED_STREAM) && error.is_remote()
        || error.is_go_away() && error.is_remote();
    let rejected = error.is_reset() && error.is_remote() && !unprocessed;
    let kind = match error.get_io() {
        Some(error) => kind_of_io(error),
        None if error.is_remote() => ErrorKind::Closed,
        // h2 found a violation of the protocol and ended the stream or connection itself.
        None => ErrorKind::Malformed,
    };
    Reading { kind, unprocessed, rejected }
}

fn kind_of_io(error: &io::Error) -> ErrorKind {
    use io::ErrorKind::{HostUnreachable, InvalidData, InvalidInput, NetworkUnreachable, TimedOut};
    if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) {
        return ErrorKind::Tls;
    }
    // The system gives up when nothing is acknowledged: TCP_USER_TIMEOUT, or unacknowledged keepalive probes.
    if matches!(error.kind(), TimedOut | HostUnreachable | NetworkUnreachable) {
        return ErrorKind::Silent;
    }
    // hyper's decoder of chunks says so.
    if matches!(error.kind(), InvalidData | InvalidInput) {
        return ErrorKind::Malformed;
    }
    ErrorKind::Closed
}

/// The request's body failed, or was not as long as it said.
fn is_of_upload(error: &hyper::Error, wire: &Wire) -> bool {
    wire.has_failed() || error.is_body_write_aborted()
}

fn source_of<T: Error + 'static>(error: &hyper::Error) -> Option<&T> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
