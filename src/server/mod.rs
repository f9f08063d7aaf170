//! Accepts connections and reads requests off them. Knows nothing of proxying: what a request
//! comes to is a [`Service`]'s business.
//!
//! One worker a core, each with its own runtime; a connection stays on its worker for life.

mod connection;
mod content;
mod embed;
mod http2;
mod io;
mod listen;
mod sending;
mod tunnel;
mod worker;

use std::time::Duration;

pub use crate::drain::{Drain, Drainer, Phase, drain};
pub use content::ClientContent;
pub use embed::{BodyContent, Embeddable, Embedded, ReplyBody};
pub use listen::{Bound, Listen, ListenError, Listener, bind};
pub use worker::{Worker, workers};

use crate::http1::{FramingError, HeadError, Tunnel};
use crate::message::{Content, FieldSink, RequestHead};

/// How patient the server is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest header section, in bytes.
    pub header_size: usize,
    /// The longest that a header section may take from its first byte, or from the accept.
    pub header_timeout: Duration,
    /// How long a connection may stay open between requests.
    pub idle_timeout: Duration,
}

/// Why the server could not make a request of what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The head is malformed.
    Head(HeadError),
    /// It cannot be told where the content ends.
    Framing(FramingError),
    /// The header section took too long.
    TimedOut,
}

/// What answers requests.
pub trait Service: Clone + Send + Sync + 'static {
    /// An answer to a request whose content is a `C`.
    type Reply<C: Content + Send + Unpin>: Reply + Send + Unpin;

    /// Answers a request. Dropping the future gives the exchange up.
    fn exchange<C: Content + Send + Unpin>(
        &self,
        head: &RequestHead,
        content: C,
    ) -> impl Future<Output = Self::Reply<C>> + Send;

    /// Answers what could not be read.
    fn refuse<C: Content + Send + Unpin>(&self, why: Unreadable) -> Self::Reply<C>;
}

/// An answer: a head that is there, and content that follows.
pub trait Reply: Content {
    /// True where nothing is to be answered, because the client is gone.
    fn is_gone(&self) -> bool;
    /// 101, or 200 to 999.
    fn status(&self) -> u16;
    /// The reason phrase for HTTP/1.
    fn reason(&self) -> &[u8];
    /// Writes the fields, without those that concern the connection; with `Content-Length` where
    /// the framing is a length.
    fn fields(&self, request: &RequestHead, sink: &mut impl FieldSink);
    /// The far side, after a 101.
    fn into_tunnel(self) -> Option<Tunnel>;
}
