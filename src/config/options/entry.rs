//! What one row of the table of options says.

use std::time::Duration;

/// One option: its names in the three places that can set it, its default, its form.
#[derive(Debug)]
pub struct Entry {
    /// The environment variable.
    pub variable: &'static str,
    /// The dotted key in the file; `None` for what must never stand in a file.
    pub file_key: Option<&'static str>,
    /// The flag without its two hyphens; `None` for what must never stand on a command line.
    pub flag: Option<&'static str>,
    /// What holds when nobody sets it.
    pub default: Fallback,
    /// The form of its values.
    pub form: Form,
    /// What would be accepted, as the end of a sentence.
    pub accepts: &'static str,
    /// What it does, in Markdown.
    pub meaning: &'static str,
}

/// What holds when nobody sets an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// It must be set.
    Required,
    /// It must be set in these cases: in words, in Markdown.
    RequiredFor(&'static str),
    /// Nothing, or something that follows from elsewhere: in words, in Markdown.
    Described(&'static str),
    /// This value, which is read like any other.
    Value(&'static str),
}

/// The form of an option's values: decides its type in the file and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Free text.
    Text,
    /// A URL; its user information and its query are never shown.
    Url,
    /// A path.
    File,
    /// An address to listen on.
    Address,
    /// A TOML array, or text separated by commas.
    List,
    /// Text separated by spaces; a TOML array is accepted as well.
    Words,
    /// A program and its arguments: a TOML array, or text separated by commas.
    Arguments,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Switch,
    /// A duration of at least this much.
    Duration {
        /// The shortest that makes sense.
        least: Duration,
    },
    /// A number of requests in a window of time.
    Rate,
    /// A number of bytes between these two, inclusive.
    Size {
        /// The fewest bytes that make sense.
        least: usize,
        /// The most bytes that are accepted.
        most: usize,
    },
    /// A TOML integer between these two, inclusive.
    Count {
        /// The smallest accepted.
        least: u32,
        /// The largest accepted.
        most: u32,
    },
}

/// The variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "CXONE_PROXY_CONFIG";

impl PartialEq for Entry {
    /// Every option has a variable of its own.
    fn eq(&self, other: &Self) -> bool {
        self.variable == other.variable
    }
}

impl Eq for Entry {}

impl Entry {
    /// The name that messages use: the file key where it has one.
    pub fn name(&self) -> &'static str {
        self.file_key.unwrap_or(self.variable)
    }

    /// True for values that nobody may see.
    pub fn is_secret(&self) -> bool {
        // An option has no file key because anybody may come to read the file.
        self.file_key.is_none()
    }

    /// The word for its value in `--help`.
    pub fn value_name(&self) -> &'static str {
        match self.form {
            Form::Text => "TEXT",
            Form::Url => "URL",
            Form::File => "FILE",
            Form::Address => "ADDRESS",
            Form::List => "LIST",
            Form::Words => "WORDS",
            Form::Arguments => "COMMAND",
            Form::OneOf(_) => "WORD",
            Form::Switch => "true|false",
            Form::Duration { .. } => "DURATION",
            Form::Rate => "RATE",
            Form::Size { .. } => "SIZE",
            Form::Count { .. } => "COUNT",
        }
    }
}

/// The shortest duration that is more than none.
pub(super) const MS: Duration = Duration::from_millis(1);

/// Accepted for durations.
pub(super) const DURATION: &str =
    "an integer with `ms`, `s`, `m` or `h`, such as `10s` or `500ms`, more than zero and at most `8760h`";

/// Accepted for durations that may be switched off.
pub(super) const DURATION_OR_OFF: &str =
    "an integer with `ms`, `s`, `m` or `h`, such as `90s`, more than zero and at most `8760h`, or `off`";

/// Accepted for durations that may be zero.
pub(super) const DURATION_OR_ZERO: &str =
    "an integer with `ms`, `s`, `m` or `h`, such as `10s` or `500ms`, at most `8760h`";

/// Defines options, and their rows in order as `ROWS`.
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident = $entry:expr;)*) => {
        $($(#[$doc])* pub static $name: Entry = $entry;)*

        /// The options of this file, in the order in which people read about them.
        pub(super) static ROWS: &[&Entry] = &[$(&$name),*];
    };
}

pub(super) use options;
