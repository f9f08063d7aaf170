//! What the contract promises, shown over real sockets with the built program: one module for each of
//! its sections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test fails where there is less than it expects")]
#![allow(clippy::disallowed_methods, reason = "real time, and tasks that end with their test's runtime")]
#![allow(clippy::print_stderr, reason = "a failed test shows the program's log")]

mod answers;
mod commands;
mod configuration;
mod ending;
mod forwarding;
mod guard;
mod profiles;
mod support;
mod tokens;
