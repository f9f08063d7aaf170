//! What the contract promises, tested over real sockets with the built program: one module for each section.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails where there is less than it expects")]
#![expect(clippy::disallowed_methods, reason = "real time, and tasks that end with their test's runtime")]
#![expect(clippy::print_stderr, reason = "a failed test shows the program's log")]

mod access;
mod access_log;
mod admin;
mod auth;
mod commands;
mod configuration;
mod envoy;
mod forwarding;
mod grants;
mod guard;
mod isolation;
mod messages;
mod pace;
mod problems;
mod profiles;
mod redis;
mod reload;
mod service_manager;
mod shutdown;
mod support;
mod tls;
mod tokens;
mod traces;
