//! cxone-proxy: a hyper-based forwarder that attaches OAuth 2.0 bearer tokens to NICE CXone API requests.
//!
//! A legacy application sends plain HTTP to this program. The program adds a token that it keeps fresh,
//! forwards the request, and sends it once more where the API says that the token was bad (401) or that
//! it came too soon (429).
//!
//! # The walk of a request
//!
//! ```text
//! client -> server -> proxy::Proxy::call(Request) -> Response -> client
//!           hyper      access   route   token   pace   upstream::send   response
//!                      (allowed?) (where) (token) (when)  hyper         (rewrite)
//!                                          ^
//!                      tokens::RefreshTask -publishes-> token endpoint (reqwest)
//! ```
//!
//! In the order of a first reading, each step one call:
//!
//! 1. `main` parses the command line ([`cli`]) and runs one of the [`commands`]; `serve` loads the
//!    [`config`] and calls [`run`], the only place that wires.
//! 2. [`server`] accepts on one of the workers (one thread and one runtime for each core). hyper reads
//!    the request; `server::connection` drives hyper, `server::target_gate` encodes what hyper would
//!    refuse in a request line, `server::client_io` is the socket as hyper sees it, and `server/tls.rs` stands
//!    before all of that where the listener speaks TLS.
//! 3. [`proxy::Proxy`] is a [`tower::Service`]. Its heart is `proxy/forward.rs`: one request from its
//!    head to its response. [`access`] decides whether it is served, `proxy/callers.rs` who sent it,
//!    `proxy/route.rs` where it goes,
//!    [`tokens::TokenSource`] has the token, [`proxy::pace`] says when it may go, `proxy/request.rs` decides
//!    which fields pass, `proxy/replay.rs` remembers the body that was sent, `proxy/trace.rs` has its spans,
//!    which [`traces`] sends. `proxy/authorize.rs` answers other proxies that ask for the token alone.
//! 4. [`upstream`] sends one attempt over a pooled connection of this core, or a new one. hyper's
//!    connection runs as a task on the same core.
//! 5. [`proxy::retry`] decides: pass the response on, fail, wait and send again, or renew the token and
//!    send again.
//! 6. `proxy/passed_on.rs` says of an error that the upstream has sent it, and `proxy/response.rs` makes the
//!    upstream's response the client's: addresses of the upstream become
//!    addresses of this proxy ([`proxy::rewrite`]). A response of the proxy's own is an
//!    [`access::Problem`].
//!
//! # The walk of a token
//!
//! [`config`] reads the client's identifier and secret into [`tokens::Grant`]. [`tokens::RefreshTask`] is
//! the one task that asks for tokens. It asks `tokens::schedule`, a state machine without a clock, when
//! and with which grant; `tokens::endpoint` sends the request and `tokens::token_response` reads the
//! response. Where replicas share a token, `tokens::shared` stands before the endpoint: it takes what another
//! replica has published. What came of it is published as one snapshot, failure like success, and each request
//! reads that through its [`tokens::TokenSource`]. One message goes back: "this generation was rejected".
//!
//! Through the same store [`proxy::pace::share`] tells other replicas of pauses.
//!
//! # Floors
//!
//! Modules import downwards only, and no more than this table says. `tests/architecture.rs` reads it
//! and checks the code against it, test code exempt. No two files import each other, except that a module
//! and those inside it may.
//!
//! | floor | modules | may import |
//! | --- | --- | --- |
//! | 0 | `backoff`, `clock`, `drain`, `fields`, `file`, `invalid`, `metrics`, `pause`, `peer`, `reloads`, `text` | nothing of ours |
//! | 1 | `secret` | `file` |
//! | 1 | `certificate`, `log` | `text` |
//! | 1 | `header_case` | `invalid` |
//! | 2 | `cause` | `certificate`, `text` |
//! | 3 | `access` | `clock`, `fields`, `invalid`, `log`, `metrics`, `peer`, `text` |
//! | 3 | `tokens` | `backoff`, `cause`, `certificate`, `clock`, `invalid`, `log`, `metrics`, `secret`, `text` |
//! | 3 | `traces` | `fields`, `log` |
//! | 3 | `upstream` | `cause`, `certificate`, `file`, `header_case`, `invalid` |
//! | 4 | `discovery` | `backoff`, `cause`, `clock`, `invalid`, `log`, `text`, `tokens` |
//! | 4 | `proxy` | `access`, `backoff`, `cause`, `clock`, `drain`, `fields`, `invalid`, `log`, `metrics`, `pause`, `peer`, `text`, `tokens`, `traces`, `upstream` |
//! | 4 | `server` | `certificate`, `drain`, `file`, `header_case`, `invalid`, `log`, `peer`, `text` |
//! | 5 | `admin` | `access`, `clock`, `drain`, `metrics`, `pause`, `proxy`, `reloads`, `text`, `tokens` |
//! | 6 | `config` | `access`, `admin`, `cause`, `clock`, `discovery`, `file`, `header_case`, `invalid`, `log`, `proxy`, `secret`, `server`, `tokens`, `traces`, `upstream` |
//! | 7 | `run` | `access`, `admin`, `cause`, `clock`, `config`, `discovery`, `drain`, `log`, `metrics`, `pause`, `peer`, `proxy`, `reloads`, `server`, `tokens`, `traces`, `upstream` |
//! | 8 | `commands` | `access`, `cause`, `certificate`, `clock`, `config`, `discovery`, `invalid`, `log`, `metrics`, `proxy`, `run`, `secret`, `server`, `text`, `tokens`, `upstream` |
//! | 9 | `cli` | `access`, `commands`, `config` |
//!
//! What follows from it:
//!
//! - Each module owns its settings and their types; [`config`] fills them. There is no second set.
//! - [`server`] knows nothing of proxying: it calls any [`tower::Service`] of `http` types.
//! - The simulated region is a crate of its own and shares no protocol code with the proxy: two programs
//!   that share a parser agree on its mistakes.
//!
//! Pure files take values and return values: no async, no runtime, no log, no clock and no chance. Each says
//! so in its first lines. They are `access/callers.rs`, `access/callers/key.rs`, `access/callers/names.rs`, `access/cors.rs`, `access/guard.rs`, `access/max_forwards.rs`,
//! `access/names.rs`, `access/problem.rs`, `access/rules.rs`, `access/rules/fields.rs`, `access/rules/path.rs`,
//! `access/target.rs`, `admin/history.rs`, `admin/page.rs`,
//! `admin/rfc3339.rs`, `cause.rs`, `cause/hint.rs`, `cause/io_cause.rs`, `cause/origins.rs`, `cause/peer.rs`, `cause/tls_cause.rs`,
//! `commands/check/suspicions.rs`, `config/arguments.rs`, `config/file.rs`, `config/rate.rs`, `config/schema.rs`, `config/spelling.rs`, `config/urls.rs`, `fields.rs`,
//! `log/repeats.rs`, `peer.rs`, `proxy/hop_by_hop.rs`, `proxy/pace/accepted.rs`, `proxy/pace/controller.rs`,
//! `proxy/pace/fixed.rs`, `proxy/pace/line.rs`, `proxy/pace/rate.rs`, `proxy/pace/spending.rs`,
//! `proxy/pace/window.rs`, `proxy/request.rs`, `proxy/retry.rs`, `proxy/rewrite/cookies.rs`,
//! `proxy/rewrite/json_links.rs`, `proxy/rewrite/location.rs`, `proxy/rewrite/mapping.rs`,
//! `proxy/server_timing.rs`, `proxy/via.rs`, `server/listen.rs`, `server/request_check.rs`, `server/states.rs`,
//! `server/target_gate.rs`, `text.rs`, `tokens/claims.rs`, `tokens/clock_skew.rs`,
//! `tokens/early_rejections.rs`, `tokens/forced_renewals.rs`, `tokens/http_client/coding.rs`,
//! `tokens/json_text.rs`, `tokens/path_memory.rs`, `tokens/redact.rs`, `tokens/redact/spelling.rs`,
//! `tokens/redact/words.rs`, `tokens/schedule.rs`, `tokens/token.rs`, `tokens/token_response.rs`, `traces/context.rs`,
//! `upstream/base_url.rs`, `upstream/forward_proxy.rs` and `upstream/framing.rs`.
//!
//! # Words
//!
//! - **client**: the program that talks to our listener. **caller**: an identified client. **upstream**:
//!   the API that we talk to; people read "the CXone API (HOST)".
//! - **request** and **response** have a **header**, a **body** and perhaps **trailers**. **attempt**: one
//!   sending of a request. **target**: what the request line names (RFC 9112 section 3.2).
//! - **profile**: one upstream with its credentials. **route**: where a request goes.
//! - **credentials**: what the **token endpoint** knows us by. **grant**: how it gives a token (RFC 6749).
//!   **scope**, **access token**, **refresh token**: as there.
//! - **renewal**: getting a new access token, by any grant; **refresh** only by that grant.
//! - **rejected**: the upstream said 401. **expired**: the clock says so. **generation**: the number of an
//!   access token, from 1.
//! - **deadline**: until when a request waits. **permit**: leave to send. **queue**: requests that wait for one.
//! - **problem**: a response of our own (RFC 9457). **hint**: the next step for a person, in it.
//! - **region**: a simulated upstream with its token endpoint. **script**: what goes wrong there.
//!   **journal**: what it saw. **referee**: the rules that hold in every run.

// The ground.
pub mod backoff;
pub mod cause;
pub mod certificate;
pub mod clock;
pub mod drain;
pub mod fields;
pub mod file;
pub mod header_case;
pub mod invalid;
pub mod log;
pub mod metrics;
pub mod pause;
pub mod peer;
pub mod reloads;
pub mod secret;
pub mod text;
pub mod traces;

// What starts the program: read first after `main`.
pub mod cli;
pub mod commands;

pub mod config;
pub mod run;

// A request.
pub mod server;

pub mod access;
pub mod proxy;
pub mod upstream;

// A token.
pub mod discovery;
pub mod tokens;

// What is seen of both.
pub mod admin;

// The parsers of what strangers send, fuzzed.
#[cfg(test)]
mod fuzz;
