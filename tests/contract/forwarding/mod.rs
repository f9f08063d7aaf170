//! Section 3: Forwarding.

mod targets;
