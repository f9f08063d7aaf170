//! HTTP/1.1 on the wire (RFC 9112): parsing heads, delimiting content, buffers. Knows neither
//! which side it stands on nor what the messages are for.
//!
//! Why not hyper's HTTP/1, when hyper serves HTTP/2 here? This proxy promises to pass HTTP through
//! exactly and to refuse what two parsers might read differently. hyper's parser accepts bare line
//! feeds, drops a `Content-Length` beside `Transfer-Encoding` before anybody can see it, refuses
//! request targets that its URI type does not like, sends only trailers that were announced,
//! closes a connection whose next head has half arrived when it drains, and keeps its buffers on
//! idle connections. And its connection and its caller are two tasks with a channel between them,
//! where one task can do the whole exchange.

mod buffer;
mod chunked;
mod framing;
mod outbox;
mod parse;
mod reader;
mod tunnel;

pub use buffer::Buffer;
pub use chunked::{Chunked, Step};
pub use framing::{FramingError, ResponseFraming, keeps_alive, request_framing, response_framing};
pub use outbox::Outbox;
pub use parse::{HeadError, PREFACE, parse_request, parse_response, parse_trailers};
pub use reader::{Body, ReadError, Reader};
pub use tunnel::{Tunnel, TunnelIo};
