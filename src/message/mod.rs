//! HTTP messages as both sides of the proxy see them: heads, field lines in their order and case,
//! and content that is pulled piece by piece.
//!
//! Deliberately not [`http::HeaderMap`]: that type lower-cases names, groups lines by name and
//! allocates for each of them. Here a head is one run of bytes and a list of spans, reused from
//! request to request, so that what arrives can leave byte for byte. HTTP/2 converts at its edge.

mod content;
mod fields;
mod head;

pub use content::{Content, ContentError, Empty, Framing, Next};
pub use fields::{FieldSink, Fields, list_members, title_case};
pub use head::{RequestHead, ResponseHead, Version};
