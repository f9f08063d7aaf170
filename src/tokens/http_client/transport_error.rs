//! Why no response came: from the HTTP client's chain of errors to a cause in our own words.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::super::error::{Cause, ForwardProxyProblem, Stage};
use super::super::redact::Redactor;
use crate::certificate::CertificateProblem;
use crate::log;

/// The cause of a request that got no response.
pub(super) fn cause(error: reqwest::Error, connect_time_out: Duration, redactor: &Redactor) -> Cause {
    if let Some(problem) = find(&error, CertificateProblem::of) {
        return Cause::Untrusted(redacted(problem, redactor));
    }
    if let Some(problem) = forward_proxy(&error) {
        return Cause::ForwardProxy(problem);
    }
    if error.is_timeout() {
        // Ours are the only time-outs, or else it is the operating system's for the connection.
        return Cause::TimedOut { stage: Stage::Connecting, after: connect_time_out };
    }
    Cause::Unreachable(redactor.redact(&how(error)))
}

/// How a connection failed or broke off. The library's own words are for the debug log.
pub(super) fn how(error: reqwest::Error) -> String {
    // The address may hold credentials.
    let error = error.without_url();
    tracing::debug!(error = ?error, "the token endpoint's connection failed");
    if let Some(tls) = find(&error, |error: &rustls::Error| Some(error.to_string())) {
        return format!("TLS failed ({tls})");
    }
    if let Some(how) = find(&error, log::io_cause) {
        return how;
    }
    let innermost = causes(&error).last().map_or_else(|| error.to_string(), ToString::to_string);
    if innermost.starts_with("failed to lookup address") || innermost.contains("dns error") {
        return "its host name cannot be resolved".to_owned();
    }
    if find(&error, |error: &hyper::Error| error.is_parse().then_some(())).is_some() {
        return "what responds there does not speak HTTP".to_owned();
    }
    if find(&error, |error: &hyper::Error| error.is_incomplete_message().then_some(())).is_some() {
        return "the connection was closed before a response was complete".to_owned();
    }
    innermost
}

/// hyper-util's errors about tunnels are private; their texts are tested over real sockets.
fn forward_proxy(error: &reqwest::Error) -> Option<ForwardProxyProblem> {
    let mut chain = causes(error);
    let tunnel =
        chain.find_map(|cause| cause.to_string().strip_prefix("tunnel error: ").map(str::to_owned))?;
    Some(if tunnel.starts_with("proxy authorization") {
        ForwardProxyProblem::Unauthenticated
    } else if tunnel.starts_with("failed to create underlying connection") || tunnel.starts_with("io error") {
        let how = find(error, log::io_cause);
        ForwardProxyProblem::Unreachable(how.unwrap_or_else(|| "no connection".to_owned()))
    } else {
        ForwardProxyProblem::Refused
    })
}

fn redacted(problem: CertificateProblem, redactor: &Redactor) -> CertificateProblem {
    match problem {
        CertificateProblem::WrongName { expected, names } => {
            let names = names.iter().map(|name| redactor.redact(name)).collect();
            CertificateProblem::WrongName { expected, names }
        }
        CertificateProblem::Other(what) => CertificateProblem::Other(redactor.redact(&what)),
        CertificateProblem::UnknownIssuer { issuer } => {
            CertificateProblem::UnknownIssuer { issuer: issuer.map(|issuer| redactor.redact(&issuer)) }
        }
        other @ (CertificateProblem::SelfSigned
        | CertificateProblem::Expired { .. }
        | CertificateProblem::NotYetValid { .. }) => other,
    }
}

/// What `look` finds in the first cause of this type that it finds anything in.
fn find<E: Error + 'static, T>(error: &reqwest::Error, look: impl Fn(&E) -> Option<T>) -> Option<T> {
    causes(error).find_map(|cause| cause.downcast_ref().and_then(&look))
}

/// The chain of causes. An I/O error does not count the error inside it among its sources, so it is added.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |error| next_cause(*error))
}

fn next_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
