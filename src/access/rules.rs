//! Which methods and paths may be used: `access.allow`, `access.deny`, `access.read_only`. Pure.
//!
//! A rule is written for the path as people read it, and a request can spell that path in many ways. The rules
//! see the path decoded and without repeated slashes; what two servers could read differently is refused
//! wherever a rule would have to decide about it ([`Ambiguity`]). Nothing is changed on the way to the API.

mod fields;
mod path;

use std::fmt;
use std::str::FromStr;

use http::Method;
use http::request::Parts;

use super::problem::{Problem, ProblemKind};
use crate::invalid::Invalid;
use fields::override_of;
pub use path::Ambiguity;
use path::plain;

/// What may be sent to the API. The default allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Where there is one, nothing else is allowed.
    pub allow: Vec<Rule>,
    /// These are denied, whatever allows them.
    pub deny: Vec<Rule>,
    /// Only GET, HEAD and OPTIONS.
    pub read_only: bool,
}

/// A method and a path: `GET /api/v2/users*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `None` is any method.
    method: Option<Method>,
    /// Without the star.
    path: String,
    /// Everything that begins with the path.
    is_prefix: bool,
}

/// Why a request is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// `read_only`, and the method is another one.
    ReadOnly,
    /// This rule of `deny` fits.
    Denied(Rule),
    /// There are rules of `allow`, and none of them fits.
    NotAllowed,
    /// Two servers could read the path differently.
    Ambiguous(Ambiguity),
    /// This field can make a server act on another method or path.
    Override(String),
}

impl Rules {
    /// True where everything is allowed.
    pub fn allow_everything(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty() && !self.read_only
    }

    /// Decides about a request by its head. `path` is what follows the base URL at the API, without a query.
    pub fn check(&self, head: &Parts, path: &str) -> Result<(), Denial> {
        if self.allow_everything() {
            return Ok(());
        }
        let method = &head.method;
        if self.read_only && ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
            return Err(Denial::ReadOnly);
        }
        if let Some(field) = override_of(head) {
            return Err(Denial::Override(field));
        }
        let depends_on_path = |rule: &&Rule| rule.is_for(method) && !rule.is_for_every_path();
        let path = if self.deny.iter().chain(&self.allow).any(|rule| depends_on_path(&rule)) {
            plain(path).map_err(Denial::Ambiguous)?
        } else {
            "/".to_owned()
        };
        if let Some(rule) = self.deny.iter().find(|rule| rule.is_for(method) && rule.may_mean(&path)) {
            return Err(Denial::Denied(rule.clone()));
        }
        let is_allowed = |rule: &Rule| rule.is_exactly_for(method) && rule.is_exactly(&path);
        if self.allow.is_empty() || self.allow.iter().any(is_allowed) {
            Ok(())
        } else {
            Err(Denial::NotAllowed)
        }
    }
}

impl Rule {
    /// For a rule that denies: a server may act on `delete` as on `DELETE`.
    fn is_for(&self, method: &Method) -> bool {
        self.method.as_ref().is_none_or(|own| own.as_str().eq_ignore_ascii_case(method.as_str()))
    }

    fn is_exactly_for(&self, method: &Method) -> bool {
        self.method.as_ref().is_none_or(|own| own == method)
    }

    fn is_for_every_path(&self) -> bool {
        self.is_prefix && self.path == "/"
    }

    /// For a rule that denies: servers may ignore the case of letters, and a slash at the end.
    fn may_mean(&self, path: &str) -> bool {
        let (own, path) = (self.path.to_lowercase(), path.to_lowercase());
        let ended = format!("{}/", path.trim_end_matches('/'));
        if self.is_prefix {
            return path.starts_with(&own) || ended.starts_with(&own);
        }
        own.trim_end_matches('/') == path.trim_end_matches('/')
    }

    /// For a rule that allows: nothing but what it says.
    fn is_exactly(&self, path: &str) -> bool {
        if self.is_prefix { path.starts_with(&self.path) } else { path == self.path }
    }
}

impl FromStr for Rule {
    type Err = Invalid;

    /// Reads `GET /api/v2/users*`, `* /authentication/*` or `POST /api/v2/contacts`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some((method, path)) = text.split_once(' ') else {
            return Err(Invalid::because("has no method before its path"));
        };
        let method = match method {
            "*" => None,
            // A method in small letters is another method, and nearly always a mistake here.
            word if word.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                return Err(Invalid::because("has a method in small letters"));
            }
            word => {
                Some(word.parse().map_err(|_| Invalid::because("begins with something that is no method"))?)
            }
        };
        let path = path.trim_start_matches(' ');
        let (path, is_prefix) = path.strip_suffix('*').map_or((path, false), |path| (path, true));
        if !path.starts_with('/') {
            return Err(Invalid::because("has a path that does not begin with a slash"));
        }
        if path.contains('*') {
            return Err(Invalid::because("has a star that is not at its end"));
        }
        if path.contains(['%', '?', '#']) {
            return Err(Invalid::because(
                "has a path with `%`, `?` or `#`: a rule has the path as people read it, without a query",
            ));
        }
        // The rest of the last segment is not there yet where the path is a beginning.
        let whole = if is_prefix { format!("{path}x") } else { path.to_owned() };
        match plain(&whole) {
            Ok(read) if read == whole => Ok(Self { method, path: path.to_owned(), is_prefix }),
            Ok(_) => {
                Err(Invalid::because("has a path with two slashes in a row, which no request is read with"))
            }
            Err(ambiguity) => {
                Err(Invalid(format!("has a path that no request may have, because it {ambiguity}")))
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_prefix { "*" } else { "" };
        write!(f, "{} {}{star}", self.method.as_ref().map_or("*", Method::as_str), self.path)
    }
}

impl Denial {
    /// Which problem it is for the client.
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::ReadOnly => ProblemKind::AccessReadOnly,
            Self::Denied(_) => ProblemKind::AccessDenied,
            Self::NotAllowed => ProblemKind::AccessNotAllowed,
            Self::Ambiguous(_) => ProblemKind::AmbiguousPath,
            Self::Override(_) => ProblemKind::MethodOverride,
        }
    }

    /// The response to the request with this method and path.
    pub fn problem(&self, method: &Method) -> Problem {
        let method = method.as_str();
        let detail = match self {
            Self::ReadOnly => format!("The method is {method}, and only GET, HEAD and OPTIONS are allowed."),
            Self::Denied(rule) => format!("The rule `{rule}` denies this method and path."),
            Self::NotAllowed => format!("No rule allows {method} for this path."),
            Self::Ambiguous(ambiguity) => {
                format!("The path {ambiguity}, so two servers could read it differently.")
            }
            Self::Override(field) => format!("The request has `{field}`."),
        };
        Problem::new(self.kind()).detail(detail)
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod spellings;
#[cfg(test)]
mod tests;
