//! Who may use the proxy, and what the proxy says when it answers itself.
//!
//! The same rules stand before the proxy and before the admin pages, so they know neither. [`guard`]
//! decides about one request and [`Guard`] acts on it; a [`Problem`] is the response to a request that is
//! not served; [`cors`] lets the pages of allowed web origins read a response. [`Rules`] say which methods and paths may be used;
//! they are the API's, so they stand before the proxy alone. [`Clients`] say who a request comes from. [`GuardLayer`] puts all of
//! it before a tower service.

mod callers;
pub mod cors;
mod counting;
mod door;
mod failures;
pub mod guard;
mod layer;
mod max_forwards;
mod names;
mod problem;
mod rules;
pub mod target;

pub use callers::{Client, Clients, KEY_FIELD, Key, KeyDigest, NAMES, NamePattern, Unknown, is_client_name};
pub use counting::problem_counters;
pub use door::Guard;
pub use failures::{Failure, FailureKind, Failures};
pub use guard::{Admitted, Local, NamedHost, Refusal, Settings};
pub use layer::{GuardLayer, Guarded};
pub use max_forwards::{Hops, options_response, take_hop};
pub use names::{AllowedHosts, HostName, WebOrigin};
pub use problem::{API_METHODS, MEDIA_TYPE, PSEUDONYM, Problem, ProblemKind};
pub use rules::{Ambiguity, Denial, Rule, Rules};
