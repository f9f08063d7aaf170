//! Why there is no response, or no whole one, and whether the upstream can have seen the request.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use super::framing::Unusable;
use super::wire::Wire;
use crate::cause::{Cause, ForwardProxyProblem, NameProblem, Stage, io_cause, is_out_of_files, tls_cause};
use crate::certificate::CertificateProblem;

/// A boxed error of another module or library.
pub type BoxError = Box<dyn Error + Send + Sync>;

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
    /// How long it was waited for, where the time was over.
    after: Duration,
    source: Option<BoxError>,
}

/// More than 100 fields cannot be sent in fewer bytes: a name of one letter, the colon and the line's end each.
const SHORTEST_TOO_LARGE: usize = 400;

impl SendError {
    /// An error before anything was sent.
    pub(super) fn before_sending(kind: ErrorKind, source: Option<BoxError>) -> Self {
        let after = Duration::ZERO;
        Self { kind, delivered: Delivered::Nothing, answered: false, after, source }
    }

    /// Connecting took longer than `limit`.
    pub(super) fn connect_late(stage: Stage, limit: Duration, source: Option<BoxError>) -> Self {
        Self { after: limit, ..Self::before_sending(ErrorKind::ConnectTimeout(stage), source) }
    }

    /// An error of the response's body.
    pub(super) fn of_body(kind: ErrorKind, source: Option<BoxError>) -> Self {
        Self { delivered: Delivered::Maybe, answered: true, ..Self::before_sending(kind, source) }
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
        let (answered, source) = (wire.has_received(), Some(Box::from(error)));
        Self { delivered, answered, ..Self::before_sending(kind, source) }
    }

    /// No response's head over HTTP/2.
    pub(super) fn over_http2(error: hyper::Error, wire: &Wire) -> Self {
        if is_of_upload(&error, wire) {
            return Self::of_upload(Delivered::Maybe, wire);
        }
        let Reading { kind, unprocessed, rejected } = read(&error);
        let delivered = if unprocessed { Delivered::NotProcessed } else { Delivered::Maybe };
        Self { delivered, answered: rejected, ..Self::before_sending(kind, Some(Box::from(error))) }
    }

    fn of_upload(delivered: Delivered, wire: &Wire) -> Self {
        let error = Self::before_sending(ErrorKind::RequestBody, wire.take_failure());
        Self { delivered, ..error }
    }

    /// `response_timeout`, which is `limit`, is over.
    pub(super) fn late(wire: &Wire, limit: Option<Duration>) -> Self {
        let (after, answered) = (limit.unwrap_or_default(), wire.has_received());
        let error = Self::before_sending(ErrorKind::ResponseTimeout, None);
        Self { delivered: Delivered::Maybe, answered, after, ..error }
    }

    /// A response that must not be followed.
    pub(super) fn unusable(unusable: Unusable) -> Self {
        let kind = match unusable {
            Unusable::Coding | Unusable::Length => ErrorKind::Malformed,
            Unusable::Unasked => ErrorKind::UnaskedUpgrade,
        };
        Self::of_body(kind, Some(Box::new(unusable)))
    }

    /// The cause, in the words that the log, the pages and the problems have for it.
    pub fn cause(&self) -> Cause {
        if let Some(error) = self.io_sources().find(|error| is_out_of_files(error)) {
            tracing::debug!(%error, "no file can be opened");
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
            return Cause::OutOfFiles { limit };
        }
        match self.kind {
            ErrorKind::Resolution => Cause::Name(self.name_problem()),
            ErrorKind::Connection => Cause::Unreachable(self.how()),
            ErrorKind::ForwardProxy { status: Some(407) } => {
                Cause::ForwardProxy(ForwardProxyProblem::Unauthenticated)
            }
            ErrorKind::ForwardProxy { status: Some(status) } => {
                Cause::ForwardProxy(ForwardProxyProblem::Refused(Some(status)))
            }
            ErrorKind::ForwardProxy { status: None } => {
                Cause::ForwardProxy(ForwardProxyProblem::Unreachable(self.how()))
            }
            ErrorKind::Certificate => {
                match self.source.as_deref().and_then(|source| source.downcast_ref::<CertificateProblem>()) {
                    Some(problem) => Cause::Untrusted(problem.clone()),
                    None => Cause::Untrusted(CertificateProblem::UnknownIssuer { issuer: None }),
                }
            }
            ErrorKind::Tls => {
                let how = self.io_sources().next().map(tls_cause);
                Cause::Tls(how.unwrap_or_else(|| "the handshake failed".to_owned()))
            }
            ErrorKind::ConnectTimeout(stage) => Cause::TimedOut { stage, after: self.after },
            ErrorKind::ResponseTimeout => Cause::TimedOut { stage: Stage::Waiting, after: self.after },
            ErrorKind::Closed => Cause::Closed { in_response: self.answered },
            ErrorKind::Silent => Cause::Silent,
            ErrorKind::Malformed => Cause::NotHttp,
            ErrorKind::HeaderTooLarge => Cause::HeaderTooLarge,
            ErrorKind::UnaskedUpgrade => Cause::UnaskedUpgrade,
            ErrorKind::RequestBody => Cause::RequestBody,
        }
    }

    fn name_problem(&self) -> NameProblem {
        let problem = self.io_sources().find_map(|error| NameProblem::of(&error.to_string()));
        problem.unwrap_or(NameProblem::NoAddress)
    }

    /// How a connection failed. The libraries' own words are for the debug log.
    fn how(&self) -> String {
        let words = self.io_sources().find_map(|error| match NameProblem::of(&error.to_string()) {
            Some(_) => Some("its name cannot be resolved".to_owned()),
            None => io_cause(error),
        });
        words.unwrap_or_else(|| "there was no connection".to_owned())
    }

    fn io_sources(&self) -> impl Iterator<Item = &io::Error> {
        let first = self.source.as_deref().map(|source| source as &(dyn Error + 'static));
        std::iter::successors(first, |error| (*error).source()).filter_map(|error| error.downcast_ref())
    }

    /// True where the connection ended, or fell silent, before anything of the response came. A response
    /// that is late, malformed or broken off tells something about the upstream instead.
    pub fn is_of_dead_connection(&self) -> bool {
        matches!(self.kind, ErrorKind::Closed | ErrorKind::Silent) && !self.answered
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause().fmt(f)
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
