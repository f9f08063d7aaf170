//! The far ends of what is measured: the cheapest upstream that still does its job, and a client
//! that costs little. The upstream answers 200 only to the right bearer, so that a proxy that skips
//! the work fails the measurement; it is the token endpoint as well.
//!
//! Answers: `/1k` 1 KiB of JSON, `/1m` 1 MiB, `/b/N` N bytes, `/slow` 1 KiB after one second,
//! `/soon` after two milliseconds, everything else 2 bytes.

#![expect(dead_code, reason = "every bench takes the parts that it needs")]

pub(crate) mod answers;
pub(crate) mod client;
pub(crate) mod http1;
pub(crate) mod proxied;
pub(crate) mod tls;
