//! Real sockets, a small service, and clients that send exactly what a test gives them.

mod bodies;
mod closing;
mod cost;
mod draining;
mod heads;
mod http2;
mod limits;
mod slowness;
mod spreading;
mod support;
mod tunnels;
