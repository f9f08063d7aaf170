//! All options in one table.

use std::sync::LazyLock;

use super::{access, cxone, entry::Entry, pace, serving};

/// Every option, in the order in which people read about them.
pub static TABLE: LazyLock<Vec<&'static Entry>> =
    LazyLock::new(|| [cxone::ROWS, serving::ROWS, pace::ROWS, access::ROWS].concat());
