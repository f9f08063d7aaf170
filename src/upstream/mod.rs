//! Sends requests to one origin, over pooled connections or new ones. hyper speaks HTTP/1.1 and HTTP/2.
//!
//! Decides nothing about retries: [`SendError`] says what went wrong and whether anything can have been
//! delivered. One [`Upstream`] belongs to one core; its connections are tasks of the core's runtime.
//!
//! Read [`send`](Upstream::send) first; it takes a connection from the pool or has `connect` make one, and gives
//! the request to `http1` or `http2`. What hyper leaves open is closed by small layers, each with tests over
//! real sockets: `upstream_io` and `socket` (the byte stream under hyper), `wire` (what both sides tell each
//! other), `upload` and `response_body` (the bodies), `framing` (which fields frame).

mod base_url;
mod connect;
mod error;
mod forward_proxy;
mod framing;
mod http1;
mod http2;
mod pool;
mod response_body;
mod send;
mod settings;
mod socket;
pub mod tls;
mod tunnel;
mod upload;
mod upstream_io;
mod verifier;
mod wire;

pub use base_url::{BaseUrl, Scheme, is_loopback, refuse_clear_text, scheme_and_rest};
pub use connect::Route;
pub use error::{BoxError, Delivered, ErrorKind, SendError};
pub use forward_proxy::{ForwardProxy, NoProxy, ProxyUrl};
pub use response_body::ResponseBody;
pub use send::Upstream;
pub use settings::{Reuse, SendOptions, Settings};

#[cfg(test)]
mod tests;
