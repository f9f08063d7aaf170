//! What happens between a request's arrival and its answer.
//!
//! [`exchange`](Proxy::exchange) is the walk; everything it decides is decided by its pure
//! siblings: `guard` (may it?), `target` (where to?), `fields` (with what?), `retry` (again?),
//! `problem` (what do we say ourselves?). `replay` remembers what was sent.

mod exchange;
mod failure;
pub mod fields;
pub mod guard;
mod lead;
mod links;
pub mod location;
mod parts;
pub mod problem;
pub mod profile;
pub mod replay;
mod reply;
pub mod retry;
pub mod target;
mod waits;
mod ways;

pub use exchange::Proxy;
pub use failure::not_admitted;
pub use parts::Settings;
pub use profile::{Connect, Profile, Select, Upstream};
pub use reply::{Reply, preflight_fields};
