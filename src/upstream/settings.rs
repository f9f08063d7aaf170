//! Where requests go, and what is special about one of them.

use std::sync::Arc;
use std::time::Duration;

use super::base_url::BaseUrl;
use super::forward_proxy::ForwardProxy;
use super::tls::Trust;
use crate::header_case::HeaderCase;

/// Where requests go and how long that may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The origin. Its path prefix is the caller's business.
    pub base_url: Arc<BaseUrl>,
    /// Name resolution, connection and TLS together.
    pub connect_timeout: Duration,
    /// From the request's end to the response's head; `None` waits for ever.
    pub response_timeout: Option<Duration>,
    /// The trusted certificates.
    pub tls: Trust,
    /// Used where it stands between us and `base_url`.
    pub forward_proxy: ForwardProxy,
    /// How field names are written over HTTP/1.1.
    pub header_case: HeaderCase,
}

/// How a request may get its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// A pooled one, if there is one.
    #[default]
    Allowed,
    /// A new one, because another one has just turned out dead.
    Forbidden,
}

/// What is special about one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// How it may get its connection.
    pub reuse: Reuse,
    /// Ask for a WebSocket: HTTP/1.1 on a new connection, whatever ALPN would choose, with `Connection` and
    /// `Upgrade`.
    pub websocket: bool,
}
