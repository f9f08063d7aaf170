//! Section 3: Forwarding.

mod addresses;
mod bodies;
mod broken;
mod fields;
mod http2_upstream;
mod streaming;
mod targets;
mod tls;
mod upgrades;
mod versions;
