//! What one value means: text in, a typed value or the reason why not.
//!
//! Pure, but for the secret in a file. A parser does not know the source of its text; its caller adds the
//! key and the source to the reason ([`super::error`]). A reason is the predicate of a sentence whose
//! subject is the value, and never repeats the value: some values must not be shown.

use std::{ops::RangeInclusive, path::Path, str::FromStr, time::Duration};

use tracing_subscriber::EnvFilter;

use super::files;
use crate::{
    file,
    invalid::Invalid,
    secret::{Secret, SecretFault},
    tokens::COMMAND_TIME_OUT,
};

/// A year: a longer duration is a slip of the keyboard, and sums with instants stay far from overflow.
const LONGEST: Duration = Duration::from_hours(8760);

/// The words of a switch.
pub(super) const SWITCH: [(&str, bool); 2] = [("true", true), ("false", false)];

/// Reads `10s`, `500ms`, `5m` or `1h`.
pub(super) fn duration(text: &str, least: Duration) -> Result<Duration, Invalid> {
    let (number, unit) = number_and_unit(text)?;
    let per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err(Invalid::because("has no unit")),
        _ => return Err(Invalid::because("has an unknown unit")),
    };
    let read = number.checked_mul(per_unit).map(Duration::from_millis);
    match read {
        Some(read) if read < least => Err(Invalid::because("is too short")),
        Some(read) if read <= LONGEST => Ok(read),
        Some(_) | None => Err(Invalid::because("is too long")),
    }
}

/// Reads a duration that is more than zero, for flags outside of the table of options.
pub fn positive_duration(text: &str) -> Result<Duration, Invalid> {
    duration(text, Duration::from_millis(1))
}

/// Reads a duration, or `off` as `None`.
pub(super) fn duration_or_off(text: &str, least: Duration) -> Result<Option<Duration>, Invalid> {
    if text == "off" { Ok(None) } else { duration(text, least).map(Some) }
}

/// Reads `512B`, `64KiB` or `1MiB` as a number of bytes.
pub(super) fn size(text: &str, bounds: &RangeInclusive<usize>) -> Result<usize, Invalid> {
    let (number, unit) = number_and_unit(text)?;
    let per_unit: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "" => return Err(Invalid::because("has no unit")),
        _ => return Err(Invalid::because("has an unknown unit")),
    };
    let bytes = number.checked_mul(per_unit).and_then(|bytes| usize::try_from(bytes).ok());
    within(bytes, bounds)
}

/// `None` is a number that is beyond all bounds.
fn within<T: PartialOrd>(number: Option<T>, bounds: &RangeInclusive<T>) -> Result<T, Invalid> {
    match number {
        Some(number) if number < *bounds.start() => Err(Invalid::because("is too small")),
        Some(number) if number <= *bounds.end() => Ok(number),
        Some(_) | None => Err(Invalid::because("is too large")),
    }
}

fn number_and_unit(text: &str) -> Result<(u64, &str), Invalid> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(Invalid::because("does not start with a whole number"));
    }
    // Only too many digits can fail here, and then any unit is too much.
    let number = number.parse().map_err(|_| Invalid::because("is too large"))?;
    Ok((number, unit))
}

/// Reads a whole number.
pub(super) fn count(text: &str, bounds: &RangeInclusive<u32>) -> Result<u32, Invalid> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Invalid::because("is not a whole number"));
    }
    within(text.parse().ok(), bounds)
}

/// Reads one of `words` and returns its value.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Invalid> {
    let known = words.iter().find(|(word, _)| *word == text);
    known.map(|(_, value)| *value).ok_or_else(|| Invalid::because("is none of the known words"))
}

/// Reads a path prefix, or says what would be accepted.
pub(super) fn path_prefix(text: &str) -> Result<String, &'static str> {
    let fits = text.starts_with('/')
        && text.len() > 1
        && !text.ends_with('/')
        && text.bytes().all(|byte| byte > b' ' && byte != 0x7f && !matches!(byte, b'?' | b'#'));
    if fits { Ok(text.to_owned()) } else { Err("a path such as `/digital`, without a slash at its end") }
}

/// Reads the identifier of a client (RFC 6749, A.1: printable ASCII) or of an access key.
pub(super) fn identifier(text: &str) -> Result<String, Invalid> {
    if text.is_empty() {
        return Err(Invalid::because("is empty"));
    }
    if text.trim() != text {
        return Err(Invalid::because("has white space before or after the identifier"));
    }
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        Ok(text.to_owned())
    } else {
        Err(Invalid::because("contains characters that are not printable ASCII"))
    }
}

/// Reads the name of an area, which becomes the first label of a host name (RFC 1123, 2.1), into lower case.
pub(super) fn area(text: &str) -> Result<String, Invalid> {
    if text.is_empty() {
        return Err(Invalid::because("is empty"));
    }
    if text.len() > 63 {
        return Err(Invalid::because("is longer than 63 characters"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Invalid::because("contains a character that is no letter, digit or hyphen"));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(Invalid::because("starts or ends with a hyphen"));
    }
    Ok(text.to_ascii_lowercase())
}

/// Reads a secret as a variable holds it.
pub(super) fn secret(text: &str) -> Result<Secret, Invalid> {
    Secret::given(text.to_owned()).map_err(unfit_secret)
}

/// Reads a secret out of its file. Blocks for [`file::TIME_OUT`] at most.
pub(super) fn secret_in_file(path: &Path) -> Result<Secret, Invalid> {
    Secret::from_file_within(path, file::TIME_OUT).map_err(|fault| {
        if let SecretFault::Unreadable(error) = fault {
            Invalid(files::unreadable(path, &error))
        } else {
            unfit_secret(fault)
        }
    })
}

/// Has a command print a secret. Blocks for [`COMMAND_TIME_OUT`] at most.
pub(super) fn secret_of_command(command: &[String]) -> Result<Secret, Invalid> {
    Secret::from_command(command, COMMAND_TIME_OUT).map_err(|fault| match fault {
        SecretFault::TooSlow => Invalid(format!("did not end within {} s", COMMAND_TIME_OUT.as_secs())),
        SecretFault::NotStarted(error) => Invalid(format!("cannot be started: {}", file::why(&error))),
        SecretFault::Failed(status) => {
            Invalid(format!("ended with {status}: run it by hand, as the user of this process"))
        }
        SecretFault::Empty => Invalid::because("prints nothing on its standard output"),
        fault @ (SecretFault::Unreadable(_)
        | SecretFault::TooLarge
        | SecretFault::NotText
        | SecretFault::SurroundingSpace
        | SecretFault::ByteOrderMark
        | SecretFault::Quoted) => unfit_secret(fault),
    })
}

fn unfit_secret(fault: SecretFault) -> Invalid {
    match fault {
        SecretFault::Unreadable(error) => Invalid(format!("cannot be read: {}", file::why(&error))),
        SecretFault::NotStarted(error) => Invalid(format!("cannot be started: {error}")),
        SecretFault::Failed(status) => Invalid(format!("ended with {status}")),
        SecretFault::TooLarge => Invalid::because("is larger than 64 KiB"),
        SecretFault::TooSlow => Invalid(files::too_slow()),
        SecretFault::NotText => Invalid::because("is not valid UTF-8"),
        SecretFault::Empty => Invalid::because("is empty"),
        SecretFault::SurroundingSpace => Invalid::because(
            "has white space before or after the secret, which often comes of copying it: remove it",
        ),
        SecretFault::ByteOrderMark => Invalid::because(
            "begins with a byte order mark, which some editors write: save the secret without it",
        ),
        SecretFault::Quoted => Invalid::because(
            "has quotation marks around the secret, which would be sent as a part of it: remove them",
        ),
    }
}

/// Splits a list as variables and flags hold it, and leaves empty items out.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Checks a log filter and returns it unchanged.
///
/// A lone word that is no level is a legal directive: it switches everything off but the module of that
/// name. Where it looks like a misspelled level it is refused, since it would silence the log.
pub(super) fn log_filter(text: &str) -> Result<String, Invalid> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    const NEARLY: [&str; 5] = ["warning", "err", "verbose", "none", "all"];
    for directive in list(text) {
        let word = directive.to_ascii_lowercase();
        let near = |level: &str| strsim::damerau_levenshtein(level, &word) == 1;
        if !LEVELS.contains(&word.as_str())
            && (LEVELS.iter().any(|level| near(level)) || NEARLY.contains(&&*word))
        {
            return Err(Invalid(format!("names `{}`, which is not a level", directive.escape_debug())));
        }
    }
    // The library's parser slices other text within characters, and panics.
    if let Some(other) = text.chars().find(|character| !character.is_ascii()) {
        return Err(Invalid(format!("has the character `{}`, which no filter has", other.escape_unicode())));
    }
    EnvFilter::from_str(text)
        .map(|_| text.to_owned())
        .map_err(|error| Invalid(format!("is not a filter ({error})")))
}

#[cfg(test)]
mod tests;
