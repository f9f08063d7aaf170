//! Pace: a quota of the API is used, and not burned by requests that it rejects.
//!
//! A profile's [`Pace`] has one limit for each `[[rate_limit]]` and one for all other requests, each for the
//! whole process. What is decided is decided by pure files: `controller` learns the rate of one limit from its
//! rejections, `fixed` and `window` keep a configured one, `line` says whose turn it is, `spending` counts the
//! budget. `limit` has the lock and the waiting, `profile` says which limits a request has to wait for, `sharing` tells
//! other replicas of them.

mod accepted;
mod controller;
mod fixed;
mod limit;
mod line;
mod profile;
mod rate;
mod sharing;
mod spending;
mod window;

pub use fixed::FixedLimit;
pub use limit::{LimitState, Permit, Refused};
pub use line::Caller;
pub(super) use profile::Place;
pub use profile::{Pace, PaceSettings, PaceState, PathLimit};
pub use rate::Rate;
pub use sharing::share;
