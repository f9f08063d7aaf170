//! The one table of options.
//!
//! Loading, `--help`, the suggestions in error messages and the documented table all come from it, so they
//! cannot disagree. What a value means is decided elsewhere; this module says which options exist, what
//! they are called, and what holds when nobody sets them.

mod access;
mod cxone;
mod entry;
mod pace;
mod serving;
mod table;

pub use self::{
    access::*,
    cxone::*,
    entry::{CONFIG_VARIABLE, Entry, Fallback, Form},
    pace::*,
    serving::*,
    table::TABLE,
};
