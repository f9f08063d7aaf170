//! A simulated region of CXone: token endpoints, discovery, an API, faults on demand, a journal, and a referee.
//!
//! Serves as the upstream of tests, `demo`, `simulate` and benches. It shares no protocol code with the proxy
//! (two programs that share a parser agree on its mistakes) and knows nothing of it.
//!
//! A request is read by `wire`, passed through `exchange` (journal, referee and script), and answered by
//! `token_endpoint`, `discovery`, `api` or `control`:
//!
//! ```text
//! Region -> connection -> wire -> exchange -> token_endpoint | discovery | api | control
//!                                  |- script, faults          (what goes wrong)
//!                                  |- tokens, jwt, quota      (who may)
//!                                  `- journal, referee        (what was seen)
//! ```
//!
//! A region that revokes all tokens before each API request but the first, and what it has seen at the end:
//!
//! ```
//! use cxone_simulator::{Action, Endpoint, Fault, Region, Script, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let fault = Fault::new(Action::Revoke {}).at(Endpoint::Api).skip(1);
//! let region = Region::start(Settings { script: Script::of([fault]), ..Settings::default() }).await?;
//! // Here the program under test sends its requests to `region.base_url()`.
//! assert_eq!(region.token_requests(), 0);
//! assert!(region.referee().is_empty(), "{:?}", region.referee());
//! region.stop().await;
//! # Ok(())
//! # }
//! ```

mod clock;
mod secret;

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
pub use quota::QuotaUse;
pub use referee::{Rule, Violation};
pub use region::Region;
pub use script::{Action, Canned, Ending, Endpoint, Fault, Malformation, Rest, Script, When};
pub use secret::Secret;
pub use settings::{
    AccessKey, Alpn, Client, ExpiresIn, Expiry, Quota, QuotaKind, RetryAfterForm, Settings, Tenant, Tls,
};
pub use state::Attempts;

#[cfg(test)]
mod tests;
