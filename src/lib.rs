//! cxone-proxy: a local forwarder that attaches OAuth 2.0 bearer tokens to NICE CXone API requests.
//!
//! A legacy application sends plain HTTP to this program; the program adds a token that it keeps
//! fresh, passes the request on byte for byte, and sends it once more where the upstream says that
//! the token was bad (401) or that it was too soon (429).
//!
//! # The walk of a request
//!
//! ```text
//! socket -> server -> proxy::exchange -> transport -> upstream
//!                      |  ^
//!                      |  `-- oauth::tokens <-watch- oauth::keeper -> oauth::endpoint
//!                      `- guard, target, fields, retry, replay, reply, problem
//! ```
//!
//! In the order of a first reading, each step one call:
//!
//! 1. `main` parses the command line ([`cli`]) and runs the [`commands`]; `serve` loads the
//!    [`config`] and calls [`app`], the only place that wires.
//! 2. [`server`] accepts, on one of the workers (one thread and one runtime for each core), and
//!    `server::connection` reads a head with the parsers of [`http1`], or leaves an HTTP/2
//!    connection to `server::http2`.
//! 3. [`proxy::Proxy::exchange`] is the heart: one client request and its one answer.
//!    [`proxy::guard`] judges who asks (may it?), [`proxy::target`] reads the request target
//!    (where to?), [`proxy::profile`] selects the upstream, [`oauth::Tokens`] gives the token (as
//!    whom?; `proxy::waits` where there is none yet), [`proxy::fields`] writes the head (with
//!    what?), [`proxy::replay`] remembers the content that has been sent.
//! 4. [`transport`] sends one attempt over a pooled connection or a new one, inside the task of
//!    the connection that it serves.
//! 5. [`proxy::retry`] decides (again?): relay, refuse, resend after a wait, or renew and resend.
//!    Every attempt's head is written from the client's, never patched from the last attempt.
//! 6. `proxy::reply` streams what comes back through [`proxy::fields`] to the client, or what the
//!    proxy says itself: a row of [`proxy::problem`]. Addresses of upstreams become local on the
//!    way: `proxy::ways` knows the way to each, [`proxy::location`] and `proxy::links` rewrite.
//!
//! # The walk of a token
//!
//! [`config`] reads the client's identifier and secret; [`app`] makes [`oauth::Credentials`] of
//! them. `oauth::keeper` is the one task that asks for tokens. It asks `oauth::renewal`, a state
//! machine without a clock, when and on which grant; `oauth::endpoint` sends the form and
//! `oauth::answer` reads what comes back; `oauth::token` makes the value of the `Authorization`
//! field ready, once. [`oauth::Tokens`] publishes it, failure like success, to every exchange.
//! From there one word goes back: "this generation was rejected".
//!
//! # Floors
//!
//! Modules import downwards only, and no more than this table says. `tests/architecture.rs` reads
//! it and checks the code against it, test code exempt.
//!
//! | floor | modules | may import |
//! | --- | --- | --- |
//! | 0 | `backoff`, `clock`, `drain`, `invalid`, `log`, `message`, `metrics`, `secret` | nothing of ours |
//! | 1 | `http1` | `message` |
//! | 2 | `config` | `invalid`, `log`, `secret` |
//! | 2 | `server` | `drain`, `http1`, `message`, `metrics` |
//! | 2 | `simulator` | `clock`, `secret` |
//! | 2 | `transport` | `http1`, `message` |
//! | 3 | `oauth` | `backoff`, `clock`, `metrics`, `secret` |
//! | 4 | `discovery` | `backoff`, `clock`, `log`, `oauth` |
//! | 4 | `admin` | `clock`, `http1`, `message`, `metrics`, `oauth`, `server` |
//! | 4 | `proxy` | `backoff`, `clock`, `http1`, `log`, `message`, `metrics`, `oauth`, `transport` |
//! | 5 | `app` | `admin`, `clock`, `config`, `discovery`, `http1`, `message`, `metrics`, `oauth`, `proxy`, `server`, `transport` |
//! | 6 | `commands` | `app`, `clock`, `config`, `discovery`, `log`, `message`, `oauth`, `secret`, `server`, `simulator`, `transport` |
//! | 7 | `cli` | `commands`, `config` |
//!
//! What follows from it:
//!
//! - `config` is seen by `app`, `commands` and `cli` alone: each module has a small settings struct
//!   of its own, which `app` fills.
//! - `simulator` shares no protocol code with the proxy: two programs that share a parser agree on
//!   its mistakes.
//! - `server` knows nothing of proxying; it serves [`proxy`] and [`admin`] alike.
//!
//! Inside `proxy`, the walk (`exchange`) imports its siblings and none of them imports it.
//!
//! Pure files take values and return values: no async, no runtime, no log, no clock and no chance.
//! Each says so in its first lines, and these do:
//! `http1/framing.rs`, `http1/parse.rs`, `oauth/answer.rs`, `oauth/claims.rs`, `oauth/renewal.rs`,
//! `oauth/token.rs`, `proxy/fields.rs`, `proxy/guard.rs`, `proxy/links.rs`, `proxy/location.rs`,
//! `proxy/problem.rs`, `proxy/retry.rs`, `proxy/target.rs`.
//!
//! # Words
//!
//! - **client**: whoever talks to our listener. **upstream**: the API that we talk to.
//! - **exchange**: one client request and its one answer. **attempt**: one sending of it upstream.
//!   An exchange may **relay** an answer, **resend** the request, or **refuse** it.
//! - **field**: one line of a header or trailer section (RFC 9110 section 5). **content**: what
//!   follows the head, without its framing. **request target**: what the request line names
//!   (RFC 9112 section 3.2). **origin**: scheme, host and port. **tunnel**: a connection after 101.
//! - **credentials**: what proves to the **token endpoint** who we are. **grant**: by what it gives
//!   a token (RFC 6749). **scope**, **access token**, **refresh token**: as there.
//! - **renewal**: getting a new access token, by any grant; "refresh" only for that grant.
//! - **rejected**: the upstream said 401. Not **expired**, which the clock says.
//! - **generation**: the number of an access token, from 1. **lifetime**: how long it is good for.
//!   **margin**: how long before its end it is replaced. **deadline**: until when somebody waits.
//! - **problem**: an answer of our own (RFC 9457). **hint**: the next step for a person, in it.
//! - **region**: a simulated upstream with its token endpoint. **script**: what goes wrong there.
//!   **journal**: what it saw. **referee**: the rules that hold in every run.

// The ground.
pub mod backoff;
pub mod clock;
pub mod drain;
pub mod invalid;
pub mod log;
pub mod message;
pub mod metrics;
pub mod secret;

// The wire.
pub mod http1;

// What starts it: read first after `main`.
pub mod cli;
pub mod commands;

pub mod app;
pub mod config;

// A request.
pub mod server;

pub mod proxy;

pub mod transport;

// A token.
pub mod oauth;

// What is seen of both.
pub mod admin;

pub mod discovery;

// What stands in for the upstream.
pub mod simulator;
