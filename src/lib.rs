//! cxone-proxy: a local forwarder that attaches OAuth 2.0 bearer tokens to NICE CXone API requests.
//!
//! # The walk of a request
//!
//! ```text
//! socket -> server -> proxy::exchange -> transport -> upstream
//!                      |  ^
//!                      |  `-- oauth::tokens <-watch- oauth::keeper -> oauth::endpoint
//!                      `- guard, target, fields, retry, replay, tunnel, problem
//! ```

pub mod backoff;
pub mod clock;
pub mod http1;
pub mod log;
pub mod message;
pub mod metrics;
pub mod secret;

pub mod config;
pub mod server;
pub mod simulator;
pub mod transport;

pub mod oauth;

pub mod admin;
pub mod proxy;

pub mod app;

pub mod cli;
pub mod commands;
