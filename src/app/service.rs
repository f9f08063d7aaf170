//! The proxy as the server sees it.

use crate::http1::{HeadError, Tunnel};
use crate::message::{Content, FieldSink, RequestHead};
use crate::proxy::problem::ProblemKind;
use crate::proxy::{self, Proxy};
use crate::server::{self, Unreadable};

impl server::Service for Proxy {
    type Reply<C: Content + Send + Unpin> = proxy::Reply<C>;

    async fn exchange<C: Content + Send + Unpin>(&self, head: &RequestHead, content: C) -> proxy::Reply<C> {
        Self::exchange(self, head, content).await
    }

    fn refuse<C: Content + Send + Unpin>(&self, why: Unreadable) -> proxy::Reply<C> {
        let (kind, detail) = unreadable(why);
        Self::refuse(self, kind, &detail)
    }
}

impl<C: Content + Send + Unpin> server::Reply for proxy::Reply<C> {
    fn is_gone(&self) -> bool {
        Self::is_gone(self)
    }
    fn status(&self) -> u16 {
        Self::status(self)
    }
    fn reason(&self) -> &[u8] {
        Self::reason(self)
    }
    fn fields(&self, request: &RequestHead, sink: &mut impl FieldSink) {
        Self::fields(self, request, sink);
    }
    fn into_tunnel(self) -> Option<Tunnel> {
        Self::into_tunnel(self)
    }
}

/// What the server could not read, as a problem.
pub(super) fn unreadable(why: Unreadable) -> (ProblemKind, String) {
    match why {
        Unreadable::Head(HeadError::TooLarge) => (ProblemKind::HeaderSize, String::new()),
        Unreadable::Head(error) => (ProblemKind::Malformed, format!("The request cannot be read: {error}.")),
        Unreadable::Framing(error) => {
            (ProblemKind::Malformed, format!("The request cannot be read: {error}."))
        }
        Unreadable::TimedOut => (ProblemKind::HeaderTimeout, String::new()),
    }
}
