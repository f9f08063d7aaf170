//! The sentence of a cause: who did what, where, with which credentials. Pure.

use std::fmt;
use std::time::Duration;

use super::{Cause, ForwardProxyProblem, NameProblem, Origins, Stage, hint};
use crate::text::spoken;

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The CXone API.
    Api,
    /// The token endpoint.
    TokenEndpoint,
    /// The endpoint that says where a tenant's API is.
    Discovery,
}

/// What a request was sent with.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The grant, in the words of the configuration, or `refresh_token`.
    pub grant: &'a str,
    /// Whose they are: `client crm-sync`.
    pub holder: &'a str,
}

/// A server that a request was sent to, as a person knows it.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Which one.
    pub server: Server,
    /// Its address: host and perhaps port of the API, else the URL without its query.
    pub address: &'a str,
    /// Host and port of the forward proxy between here and there.
    pub forward_proxy: Option<&'a str>,
    /// What the request was sent with, where it is a token request.
    pub credentials: Option<Credentials<'a>>,
    /// Where the values stand that decide.
    pub origins: &'a Origins,
}

impl Peer<'_> {
    /// What happened, where, and with which credentials: a sentence without its capital and its full stop.
    pub fn sentence(&self, cause: &Cause) -> String {
        let what = match self.credentials {
            Some(Credentials { grant: "refresh_token", holder }) => format!("the refresh token of {holder}"),
            Some(Credentials { holder, .. }) => holder.to_owned(),
            None => "the request".to_owned(),
        };
        let sentence = format!("{self} {}", predicate(cause, &what));
        match self.reason(cause) {
            Some(reason) => format!("{sentence}: {reason}"),
            None => sentence,
        }
    }

    /// What a title leaves out: where, after how long, and why.
    pub fn detail(&self, cause: &Cause, after: Duration) -> String {
        let why = self.reason(cause).map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{}, after {}{why}.", self.address, spoken(after))
    }

    /// The next step: an imperative that names the variable or the file that the wrong value came from.
    pub fn hint(&self, cause: &Cause) -> String {
        hint::of(cause, self)
    }

    fn reason(&self, cause: &Cause) -> Option<String> {
        let forward_proxy =
            self.forward_proxy.map(|address| format!("{address} ({})", self.origins.name("HTTPS_PROXY")));
        reason(cause, forward_proxy.as_deref())
    }
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server {
            Server::Api => write!(f, "the CXone API ({})", self.address),
            Server::TokenEndpoint => write!(f, "the token endpoint {}", self.address),
            Server::Discovery => write!(f, "the discovery endpoint {}", self.address),
        }
    }
}

/// What the server did, with `what` it was sent.
pub(super) fn predicate(cause: &Cause, what: &str) -> String {
    match cause {
        Cause::Refused { .. } => format!("refused {what}"),
        Cause::Unusable(_) => "sent an unusable response".to_owned(),
        Cause::Redirected { status, to } => {
            let to = to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            format!("redirected the request ({status}){to}")
        }
        Cause::Untrusted(_) => "has a certificate that is not trusted".to_owned(),
        Cause::Tls(_) => "cannot be spoken to: TLS failed".to_owned(),
        Cause::Name(_) | Cause::Unreachable(_) | Cause::ForwardProxy(_) => "cannot be reached".to_owned(),
        Cause::ServerError(status) => format!("failed ({status})"),
        Cause::RateLimited => "limits the rate of requests (429)".to_owned(),
        Cause::TimedOut { stage, after } => timed_out(*stage, *after),
        Cause::Closed { in_response: false } => "closed the connection before it responded".to_owned(),
        Cause::Closed { in_response: true } => {
            "closed the connection before its response was complete".to_owned()
        }
        Cause::Silent => "does not acknowledge anything any more".to_owned(),
        Cause::NotHttp => "did not respond in valid HTTP".to_owned(),
        Cause::HeaderTooLarge => "sent a header section that is too large".to_owned(),
        Cause::UnaskedUpgrade => "switched to another protocol although nobody had asked".to_owned(),
        Cause::RequestBody => "did not get the whole request".to_owned(),
        Cause::OutOfFiles { .. } => "was not asked".to_owned(),
    }
}

/// Why, where more is known. `forward_proxy` is its address with its variable.
pub(super) fn reason(cause: &Cause, forward_proxy: Option<&str>) -> Option<String> {
    Some(match cause {
        Cause::Refused { status, error, description } => {
            let error = error.as_ref().map(|error| format!(" {error}")).unwrap_or_default();
            let description = description.as_ref().map(|text| format!(" \"{text}\"")).unwrap_or_default();
            format!("{status}{error}{description}")
        }
        Cause::Untrusted(problem) => problem.to_string(),
        Cause::Unusable(how) | Cause::Tls(how) | Cause::Unreachable(how) => how.clone(),
        Cause::Name(problem) => match problem {
            NameProblem::Unknown => "its name is not known (DNS)",
            NameProblem::NoNameServer => "the name server did not respond (DNS)",
            NameProblem::NoAddress => "its name has no address (DNS)",
        }
        .to_owned(),
        Cause::ForwardProxy(problem) => {
            let name = forward_proxy.map(|name| format!(" {name}")).unwrap_or_default();
            format!("the forward proxy{name} {problem}")
        }
        Cause::TimedOut { stage: Stage::Tunnel, .. } => {
            format!(
                "the forward proxy{} opened no connection",
                forward_proxy.map(|name| format!(" {name}")).unwrap_or_default()
            )
        }
        Cause::HeaderTooLarge => "more than 256 KiB, or more than 100 lines".to_owned(),
        Cause::RequestBody => "the request's body could not be read".to_owned(),
        Cause::OutOfFiles { limit } => match limit {
            Some(limit) => format!("this process has all the {limit} files open that it may have"),
            None => "this process has all the files open that it may have".to_owned(),
        },
        Cause::Redirected { .. }
        | Cause::ServerError(_)
        | Cause::RateLimited
        | Cause::TimedOut { .. }
        | Cause::Closed { .. }
        | Cause::Silent
        | Cause::NotHttp
        | Cause::UnaskedUpgrade => return None,
    })
}

fn timed_out(stage: Stage, after: Duration) -> String {
    let what = match stage {
        Stage::Resolution => "cannot be reached: its name was not resolved",
        Stage::Connection => "cannot be reached: there was no connection",
        Stage::Tunnel => "could not be reached",
        Stage::Tls => "did not finish the TLS handshake",
        Stage::Http2 => "accepted the connection and did not begin HTTP/2",
        Stage::Connecting => "could not be connected to",
        Stage::Waiting => "accepted the request and did not respond",
        Stage::Reading => "began a response and did not finish it",
    };
    format!("{what} within {}", spoken(after))
}

impl fmt::Display for ForwardProxyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(how) => write!(f, "cannot be reached ({how})"),
            Self::Unauthenticated => f.write_str("demands a user name and a password (407)"),
            Self::Refused(Some(status)) => write!(f, "refused to open a connection ({status})"),
            Self::Refused(None) => f.write_str("refused to open a connection"),
        }
    }
}
