//! Fields of an event or a span as text, on one line whatever they hold.
//!
//! Much of what is logged was written by others: an upstream's description of an error, a path of a file.
//! The ready-made formatter passes such text on as it is, which would let it end a line and forge the next,
//! or control the reader's terminal.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

/// Writes `message name=value name=value`, control characters escaped.
pub(super) struct OneLine;

impl<'w> FormatFields<'w> for OneLine {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { out: Escaping(writer), is_empty: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    out: Escaping<'w>,
    is_empty: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn field(&mut self, name: &str, value: &dyn Debug) -> fmt::Result {
        if !self.is_empty {
            self.out.write_char(' ')?;
        }
        self.is_empty = false;
        if name == "message" { write!(self.out, "{value:?}") } else { write!(self.out, "{name}={value:?}") }
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Events of libraries that use the `log` crate repeat their target and place in such fields.
        let is_repetition = field.name().starts_with("log.");
        if self.result.is_ok() && !is_repetition {
            self.result = self.field(field.name().trim_start_matches("r#"), value);
        }
    }
}

struct Escaping<'w>(Writer<'w>);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(char::is_control) {
            let (clean, tail) = rest.split_at(at);
            self.0.write_str(clean)?;
            let mut tail = tail.chars();
            for control in tail.by_ref().take(1) {
                write!(self.0, "{}", control.escape_default())?;
            }
            rest = tail.as_str();
        }
        self.0.write_str(rest)
    }
}
