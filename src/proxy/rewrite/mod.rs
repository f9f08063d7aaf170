//! Addresses of upstreams in responses become addresses of this proxy.
//!
//! A client that follows an upstream's own address would leave the proxy and stand there without a
//! token. Only configured upstreams are rewritten; every other address passes as it is.

pub mod cookies;
mod here;
pub mod json_links;
pub mod location;
mod mapping;

pub use mapping::{Mapping, strip_path_prefix};

pub(super) use here::{Arrived, bases, mappings};

#[cfg(test)]
mod fuzz;
