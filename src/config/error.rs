//! What is wrong with the configuration, in words for the person who has to correct it.
//!
//! Each fault names the key, its source, what was found (never a secret) and what would be accepted.

use std::{fmt, path::PathBuf};

use super::{
    arguments,
    options::{self, Entry, Form},
    source::Source,
};
use crate::{invalid::Invalid, log};

/// The configuration cannot be used: everything that is wrong with it.
#[derive(Debug)]
pub struct ConfigError {
    /// In reading order; at least one.
    pub faults: Vec<Fault>,
    /// The form of the log that would have been, so that the errors can take the same form.
    pub log_format: Option<log::Format>,
    /// The files that the configuration came from.
    pub files: Vec<PathBuf>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A value that its option does not accept.
    #[error("{} from {origin}: {}{unfit}; accepted: {}", entry.name(), shown(found.as_deref()), entry.accepts)]
    Value {
        /// The option.
        entry: &'static Entry,
        /// Where the value comes from.
        origin: Source,
        /// The value, where it may be shown.
        found: Option<String>,
        /// Why it does not fit.
        unfit: Invalid,
    },
    /// An option that must be set is not set.
    #[error("{0}")]
    Missing(Missing),
    /// Two options that exclude each other.
    #[error(
        "{} ({}) and {} ({}) exclude each other; accepted: one of them in each source",
        names[0], sources[0], names[1], sources[1]
    )]
    Exclusive {
        /// The options' names.
        names: [&'static str; 2],
        /// Where each of them is set.
        sources: [Source; 2],
    },
    /// An option that makes sense together with another one only.
    #[error("{set} is set, and {} is not; accepted: both together (the environment variable {}, or the key {} in the file)", missing.name(), missing.variable, missing.name())]
    Together {
        /// The option that is not set.
        missing: &'static Entry,
        /// The one that is.
        set: &'static str,
    },
    /// A key of the file that does not exist.
    #[error("unknown key {name} in {origin}{}; accepted: the keys that `cxone-proxy serve --help` lists", did_you_mean(*suggestion))]
    UnknownKey {
        /// The dotted key.
        name: String,
        /// Where it stands.
        origin: Source,
        /// What was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A value where a section belongs.
    #[error(
        "{name} in {origin}: has a value, but it is a section; accepted: `[{name}]` with its keys below it"
    )]
    NoSection {
        /// The section.
        name: String,
        /// Where it stands.
        origin: Source,
    },
    /// A `CXONE_…` variable that does not exist.
    #[error("unknown environment variable {name}{}; accepted: the variables that `cxone-proxy serve --help` lists; unset any other", did_you_mean(*suggestion))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// What was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A secret stands in the file.
    #[error(
        "{name} in {origin}: {} never goes into the configuration file; accepted: the environment variable {}, or a file of its own named by {}",
        the_secret(secret), secret.variable, file.name()
    )]
    SecretInFile {
        /// The dotted key.
        name: String,
        /// Where it stands.
        origin: Source,
        /// The secret's option.
        secret: &'static Entry,
        /// The option that names a file for it.
        file: &'static Entry,
    },
    /// An option that the grant does not use: one of the two is a mistake.
    #[error(
        "{name} from {origin}: is set, but the grant {needed_by} does not use it; accepted: leave it out, or set oauth.grant to {}",
        either(users)
    )]
    Unused {
        /// The option's name.
        name: &'static str,
        /// Where it is set.
        origin: Source,
        /// The grant.
        needed_by: Chosen,
        /// The grants that use it.
        users: &'static [&'static str],
    },
    /// Bytes that are not text.
    #[error("{name} from {origin}: is not valid UTF-8; accepted: text")]
    NotUnicode {
        /// The option's name.
        name: &'static str,
        /// Where the bytes are.
        origin: Source,
    },
    /// The configuration file cannot be read.
    #[error("configuration file {} from {origin}: {reason}; accepted: the path of a readable TOML file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The source that names it.
        origin: Source,
        /// Why it cannot be read.
        reason: String,
    },
    /// The configuration file is not TOML.
    #[error("{origin}: is not TOML ({reason}); accepted: lines such as `client_id = \"…\"` under `[oauth]`")]
    Syntax {
        /// The line with the error.
        origin: Source,
        /// What the parser says; never a piece of the file, which may hold a secret.
        reason: String,
    },
    /// A `[[profile]]` that cannot be used as it is.
    #[error("{key} in {origin}: {reason}")]
    Table {
        /// The dotted key.
        key: String,
        /// Where it stands.
        origin: Source,
        /// What is wrong, and what would be accepted.
        reason: String,
    },
    /// A listener that other machines can reach, without `allowed_hosts`.
    #[error(
        "{name} from {origin}: `{address}` can be reached from other machines, and everyone there could use your credentials; accepted: a loopback address or `unix:PATH`, or set guard.allowed_hosts (CXONE_PROXY_ALLOWED_HOSTS, --allowed-hosts) to the names that clients use for this machine"
    )]
    Public {
        /// The listener's option.
        name: &'static str,
        /// Where its address is set.
        origin: Source,
        /// The address.
        address: String,
    },
    /// Both listeners on one address.
    #[error(
        "listen is `{}` ({}) and admin.listen is `{}` ({}), which cannot both be listened on; accepted: two different addresses, or `off` for admin.listen",
        addresses[0], sources[0], addresses[1], sources[1]
    )]
    SameAddress {
        /// The addresses.
        addresses: [String; 2],
        /// Where each of them is set.
        sources: [Source; 2],
    },
    /// A variable that other programs read as well. It may hold a password, so it is not shown.
    #[error("environment variable {variable}: {unfit}; accepted: {accepts}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Why it does not fit.
        unfit: Invalid,
        /// What would.
        accepts: &'static str,
    },
}

/// The grant, and where it was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its word.
    pub word: &'static str,
    /// Where it was chosen.
    pub origin: Source,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.word, self.origin)
    }
}

/// An option that must be set.
#[derive(Debug)]
pub struct Missing {
    /// The option.
    pub entry: &'static Entry,
    /// Another option that may be set in its place.
    pub instead: Option<&'static Entry>,
    /// The grant that needs it, where somebody chose one.
    pub needed_by: Option<Chosen>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry, instead, needed_by } = self;
        let either = || [Some(entry), instead.as_ref()].into_iter().flatten();
        write!(f, "{} is not set anywhere", entry.name())?;
        if let Some(chosen) = needed_by {
            write!(f, ", and the grant {chosen} needs it")?;
        }
        f.write_str("; accepted: ")?;
        for entry in either() {
            write!(f, "the environment variable {}, ", entry.variable)?;
        }
        for flag in either().filter_map(|entry| entry.flag) {
            write!(f, "the flag --{flag}, ")?;
        }
        let keys: Vec<_> = either().filter_map(|entry| entry.file_key).collect();
        write!(f, "or the key {} in the file named by --config", keys.join(" or "))
    }
}

fn the_secret(secret: &Entry) -> &'static str {
    if *secret == options::CLIENT_SECRET { "the client secret" } else { "the access key's secret" }
}

fn either(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|known| format!(" (did you mean {known}?)")).unwrap_or_default()
}

fn shown(found: Option<&str>) -> String {
    found.map_or_else(|| "the value ".to_owned(), |found| format!("{found} "))
}

/// A value as a message may show it: quoted, cut short, without what may be secret.
pub(super) fn quoted(entry: &Entry, text: &str) -> Option<String> {
    const LONGEST: usize = 80;
    let visible = match entry.form {
        Form::Url => without_secrets(text),
        Form::Arguments => arguments::shown(text),
        Form::File if is_misplaced(entry, text) => return None,
        _ if entry.is_secret() => return None,
        Form::Text
        | Form::File
        | Form::Address
        | Form::List
        | Form::Words
        | Form::OneOf(_)
        | Form::Switch
        | Form::Duration { .. }
        | Form::Rate
        | Form::Size { .. }
        | Form::Count { .. } => text.to_owned(),
    };
    let cut: String = visible.chars().take(LONGEST).collect();
    let more = if cut.len() < visible.len() { "…" } else { "" };
    Some(format!("`{}{more}`", cut.escape_debug()))
}

/// True where the value may be the secret itself, in place of its file's name.
fn is_misplaced(entry: &Entry, text: &str) -> bool {
    let holds_a_secret = [&options::CLIENT_SECRET_FILE, &options::ACCESS_KEY_SECRET_FILE].contains(&entry);
    holds_a_secret && !text.starts_with(['/', '.', '~'])
}

/// A URL without user information and without what its query and fragment say.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = match rest.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => rest.to_owned(),
    };
    let end = rest.find(['?', '#']).map_or(rest.len(), |at| at + 1);
    let (kept, hidden) = rest.split_at(end);
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{kept}{}", if hidden.is_empty() { "" } else { "…" })
}
