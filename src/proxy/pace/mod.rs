//! Pace: a quota of the API is used, and not burned by requests that it rejects.
//!
//! The core alone, which learns the rate of one limit. Requests do not call it yet: each still backs off by
//! itself after a 429 ([`super::retry`]).

mod accepted;
mod controller;

pub use controller::Controller;
