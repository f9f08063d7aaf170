//! A simulated region of CXone: token endpoints, discovery, an API, faults on demand, a journal, and a referee.
//!
//! Serves as the upstream of tests, `demo`, `simulate` and benches. It shares no protocol code with the proxy
//! (two programs that share a parser agree on its mistakes) and knows nothing of it.
//!
//! A request is read by `wire`, accompanied by `exchange` (journal, referee and script), and answered by
//! `token_endpoint`, `discovery`, `api` or `control`:
//!
//! ```text
//! Region -> connection -> wire -> exchange -> token_endpoint | discovery | api | control
//!                                  |- script, faults          (what goes wrong)
//!                                  |- tokens, jwt, quota      (who may)
//!                                  `- journal, referee        (what was seen)
//! ```

mod region;
mod settings;

mod connection;
mod tls;
mod wire;

mod exchange;
mod faults;
mod script;
mod state;

mod api;
mod control;
mod discovery;
mod token_endpoint;

mod jwt;
mod quota;
mod tokens;

mod journal;
mod referee;

pub use api::pattern;
pub use journal::{Entry, Outcome};
pub use referee::{Rule, Violation};
pub use region::Region;
pub use script::{Action, Canned, Ending, Endpoint, Fault, Malformation, Rest, Script, When};
pub use settings::{
    AccessKey, Alpn, Client, ExpiresIn, Expiry, Quota, RetryAfterForm, Settings, Tenant, Tls,
};

#[cfg(test)]
mod tests;
