//! Accepts client connections and serves them: HTTP/1.1, HTTP/1.0 and HTTP/2 with prior knowledge on
//! one port, by hyper. Knows nothing of proxying: each connection gets a `tower::Service`.
//!
//! One worker a core, each with its own runtime; a connection stays on its worker for life.
//!
//! | file | says |
//! | --- | --- |
//! | `listen`, `listener` | where; opens the sockets |
//! | `worker`, `acceptor`, `connections` | accepts, spreads over the cores, limits, drains |
//! | `connection`, `setup` | one connection: parked, served, closed; what all have in common |
//! | `http1`, `http2` | drive hyper; time-outs by one alarm |
//! | `silence`, `waiting`, `alarm` | how long what may last |
//! | `client_io`, `stream`, `target_gate` | the byte stream under hyper |
//! | `request_check`, `checked_response` | what hyper lets pass and we do not |
//! | `request_body`, `response_body`, `signals`, `states`, `streams` | what goes on, passed between them |
//! | `tls` | the handshake, and the names of the client's certificate |
//! | `closing` | the last words: our own documents, and a close that loses nothing |

mod acceptor;
mod alarm;
mod checked_response;
mod client_io;
mod closing;
mod connection;
mod connections;
mod http1;
mod http2;
mod listen;
mod listener;
mod request_body;
mod request_check;
mod response_body;
mod setup;
mod signals;
mod silence;
mod states;
mod stream;
mod streams;
mod target_gate;
mod tls;
mod waiting;
mod worker;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

pub use connections::Connections;
pub use http1::{Payload, RequestService};
pub use listen::Listen;
pub use listener::{Bound, InheritError, Inherited, ListenError, Listener, bind};
pub use request_body::{ClientError, RequestBody};
pub use setup::Tuning;
pub use tls::{EXPIRES_SOON, Tls, TlsFault, TlsFile, TlsSettings};
pub use worker::{Worker, workers};

use crate::header_case::HeaderCase;
use crate::peer::SubjectName;

/// Any error, as hyper and tower pass them on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How much, and how patient, the server is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest header section of a request, in bytes, request line included.
    pub header_size: usize,
    /// The longest that a header section may take from its first byte, or from the accept.
    pub header_timeout: Duration,
    /// How long a connection may stay open between requests.
    pub idle_timeout: Duration,
    /// How long a request or a tunnel may stand still because of the client; `None` for ever.
    pub stall_timeout: Option<Duration>,
    /// The most client connections at once, over all listeners.
    pub connections: usize,
    /// How names of fields are written over HTTP/1.
    pub header_case: HeaderCase,
}

/// Where a connection came from.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The index of its listener.
    pub listener: usize,
    /// The address that the client connected to; `None` on a Unix socket.
    pub local: Option<SocketAddr>,
    /// The client's address; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The user at the other end of a Unix socket, where the system says so.
    pub uid: Option<u32>,
    /// The connection is TLS.
    pub is_secure: bool,
    /// The names of the client's certificate; `None` where it showed none.
    pub names: Option<Arc<[SubjectName]>>,
}

impl Arrival {
    /// Plain, so far.
    fn new(listener: usize, local: Option<SocketAddr>, peer: Option<SocketAddr>) -> Self {
        Self { listener, local, peer, uid: None, is_secure: false, names: None }
    }
}

/// Why no request could be made of what a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseProblem {
    /// It is no HTTP: 400.
    Malformed,
    /// It is TLS, and the listener speaks none: 400.
    Tls,
    /// It is no TLS, and the listener speaks nothing else: 400.
    NoTls,
    /// The target has a `#`: 400.
    Fragment,
    /// The header section took too long: 408.
    HeaderTimeout,
    /// The target is too long: 414.
    TargetTooLong,
    /// The header section is too large, or has too many fields: 431.
    HeadTooLarge,
}

/// Gives the responses to [`ParseProblem`]s: a document each, complete but for `Content-Length` and
/// `Connection`.
#[derive(Clone)]
pub struct ParseProblems(Arc<ProblemResponse>);

type ProblemResponse = dyn Fn(ParseProblem) -> Response<Full<Bytes>> + Send + Sync;

impl ParseProblems {
    /// Problems whose responses `response` makes.
    pub fn new(response: impl Fn(ParseProblem) -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(response))
    }

    fn response(&self, problem: ParseProblem) -> Response<Full<Bytes>> {
        (self.0)(problem)
    }
}

impl fmt::Debug for ParseProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParseProblems").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
