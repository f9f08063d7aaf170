//! Section 3: forwarding.

mod addresses;
mod behind_nginx;
mod bodies;
mod broken;
mod cookies;
mod fields;
mod forward_proxies;
mod header_case;
mod http2_upstream;
mod lengths;
mod methods;
mod prefixes;
mod repairs;
mod self_signed;
mod server_timing;
mod streaming;
mod targets;
mod tls;
mod upgrades;
mod versions;
