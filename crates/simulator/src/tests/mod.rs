//! The region as its clients see it, over real sockets.

mod client;

mod api;
mod control;
mod discovery;
mod faults;
mod grants;
mod http2;
mod lifecycle;
mod rules;
mod streams;
mod token_endpoint;
mod websocket;
mod wire;
