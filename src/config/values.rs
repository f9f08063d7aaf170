//! What one value means: text in, a typed value or the reason why not.
//!
//! PURE. A parser knows nothing of where its text came from; whoever called it adds the key and the
//! source to the reason ([`super::faults`]). Reasons are the middle of a sentence whose subject is the
//! value, and never repeat the value: some must not be shown.

use std::{ops::RangeInclusive, path::Path, str::FromStr, time::Duration};

use tracing_subscriber::EnvFilter;
use url::Host;

use crate::invalid::Invalid;
use crate::secret::{Secret, SecretFault};

/// A year: beyond it a duration is a slip of the keyboard, and sums with instants stay far from overflow.
const LONGEST: Duration = Duration::from_hours(8760);

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

/// `None` stands for a number that is beyond all bounds.
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

/// Reads one of `words` and answers what belongs to it.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Invalid> {
    let known = words.iter().find(|(word, _)| *word == text);
    known.map(|(_, value)| *value).ok_or_else(|| Invalid::because("is none of the known words"))
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

/// Reads a secret out of its file. Blocks while the file system does.
pub(super) fn secret_in_file(path: &Path) -> Result<Secret, Invalid> {
    Secret::from_file(path).map_err(unfit_secret)
}

fn unfit_secret(fault: SecretFault) -> Invalid {
    match fault {
        SecretFault::Unreadable(error) => Invalid(format!("cannot be read ({error})")),
        SecretFault::TooLarge => Invalid::because("is larger than 64 KiB"),
        SecretFault::NotText => Invalid::because("is not valid UTF-8"),
        SecretFault::Empty => Invalid::because("is empty"),
        SecretFault::SurroundingSpace => {
            Invalid::because("has white space before or after the secret, as a careless copy leaves it")
        }
    }
}

/// Reads scopes (RFC 6749, 3.3) into the form that goes on the wire; `None` where there are none.
pub(super) fn scopes(text: &str) -> Result<Option<String>, Invalid> {
    let scopes: Vec<&str> = text.split_ascii_whitespace().collect();
    let legal = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if !scopes.iter().all(|scope| scope.bytes().all(legal)) {
        return Err(Invalid::because("contains a character that no scope may have"));
    }
    Ok((!scopes.is_empty()).then(|| scopes.join(" ")))
}

/// Splits a list as variables and flags hold it; empty places count for nothing.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Which names `Host` may have beyond the built-in ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHosts {
    /// These names, in lower case, IPv6 addresses in brackets; perhaps none.
    Listed(Vec<String>),
    /// Any name at all.
    Any,
}

impl AllowedHosts {
    /// True where the operator has named somebody: what a public listener needs.
    pub fn is_set(&self) -> bool {
        match self {
            Self::Listed(names) => !names.is_empty(),
            Self::Any => true,
        }
    }
}

/// Reads the list of allowed hosts.
pub(super) fn allowed_hosts(text: &str) -> Result<AllowedHosts, Invalid> {
    if list(text).any(|name| name == "*") {
        return Ok(AllowedHosts::Any);
    }
    list(text).map(host_name).collect::<Result<_, _>>().map(AllowedHosts::Listed)
}

fn host_name(name: &str) -> Result<String, Invalid> {
    let about = |reason: &str| Invalid(format!("names `{}`, which {reason}", name.escape_debug()));
    if name.contains("://") {
        return Err(about("has a scheme: leave the name alone"));
    }
    if name.contains('*') {
        return Err(about("is a pattern: only whole names count, or `*` alone"));
    }
    if name.contains(['/', '@', '?', '#', '%', '\\']) || name.contains(char::is_whitespace) {
        return Err(about("is more than a host name"));
    }
    if let Ok(address) = name.parse::<std::net::Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    let port = name.rsplit_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| !port.contains(']')) {
        return Err(about("has a port: every port is accepted, so leave it out"));
    }
    Host::parse(name).map(|host| host.to_string()).map_err(|_| about("is not a host name"))
}

/// Reads the list of allowed web origins into the form that browsers send (RFC 6454, 6.2).
pub(super) fn allowed_origins(text: &str) -> Result<Vec<String>, Invalid> {
    list(text).map(origin).collect()
}

fn origin(text: &str) -> Result<String, Invalid> {
    let about = |reason: &str| Invalid(format!("names `{}`, which {reason}", text.escape_debug()));
    if text == "*" {
        return Err(about("would let every web page in the world use these credentials: name the origins"));
    }
    if text == "null" {
        return Err(about("is what every sandboxed page and local file calls itself: name the origins"));
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        return Err(about("has no scheme"));
    };
    if authority.contains('@') {
        return Err(Invalid::because("names an origin with user information"));
    }
    if authority.contains(['/', '?', '#', '\\']) {
        return Err(about("goes on after the host: an origin has no path"));
    }
    if authority.contains('*') {
        return Err(about("is a pattern: only whole origins count"));
    }
    if text.contains(char::is_whitespace) {
        return Err(about("contains white space"));
    }
    let url = url::Url::parse(text).map_err(|_| about("is not a web origin"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(about("has no host"));
    }
    Ok(match url.origin() {
        tuple @ url::Origin::Tuple(..) => tuple.ascii_serialization(),
        // Schemes of app shells (`capacitor://localhost`): opaque to the URL standard, yet sent as they are.
        url::Origin::Opaque(_) => {
            format!("{}://{}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase())
        }
    })
}

/// Checks a log filter and answers it unchanged.
///
/// A lone word that is no level is a legal directive: it switches everything off but the module of that
/// name. Where it looks like a slip of the keyboard it is refused, since it would silence the log.
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
    EnvFilter::from_str(text)
        .map(|_| text.to_owned())
        .map_err(|error| Invalid(format!("is not a filter ({error})")))
}

#[cfg(test)]
mod tests;
