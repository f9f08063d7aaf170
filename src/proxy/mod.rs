//! The proxy: one client request in, one response out.
//!
//! [`Proxy`] is a [`tower::Service`] of `http` types, so a server of any kind can call it. What it does
//! with a request is in `forward`, from top to bottom; what it decides is decided by pure files
//! beside it: `request` and `response` (which fields pass), [`retry`] (is it sent again?), [`rewrite`]
//! (addresses of the upstream become addresses of this proxy). `replay` remembers what was sent.

mod access_log;
mod admit;
mod arrival;
mod attempts;
mod authorize;
mod body;
mod budget;
mod callers;
mod discard;
mod forward;
mod health;
mod hop_by_hop;
mod in_flight;
mod json_body;
pub mod pace;
mod passed_on;
mod problems;
mod queue;
mod refusals;
mod replay;
mod request;
mod response;
pub mod retry;
pub mod rewrite;
mod route;
mod server_timing;
mod service;
mod state;
mod trace;
mod tunnel;
mod via;
mod waits;

pub use access_log::{AccessLog, Which};
pub use arrival::Arrival;
pub use body::Body;
pub use budget::Budget;
pub use callers::Callers;
pub use health::Health;
pub use refusals::Refusals;
pub use replay::{BoxError, ReplayBody};
pub use route::{ApiUpstream, Connect, Destination, Profile, Selector};
pub use service::Proxy;
pub use state::Settings;
pub use via::Via;
