//! Why no response came: from the HTTP client's chain of errors to a cause in our own words.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::super::redact::Redactor;
use crate::cause::{Cause, ForwardProxyProblem, NameProblem, Stage, io_cause, is_out_of_files, tls_words};
use crate::certificate::CertificateProblem;

/// The cause of a request that got no response. The library's own words are for the debug log.
pub(super) fn cause(error: reqwest::Error, connect_time_out: Duration, redactor: &Redactor) -> Cause {
    // The address may hold credentials.
    let error = error.without_url();
    tracing::debug!(error = ?error, "the token endpoint's connection failed");
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
    if find(&error, |error: &io::Error| is_out_of_files(error).then_some(())).is_some() {
        return Cause::OutOfFiles { limit: None };
    }
    if let Some(problem) = causes(&error).find_map(|cause| NameProblem::of(&cause.to_string())) {
        return Cause::Name(problem);
    }
    if let Some(tls) = find(&error, |error: &rustls::Error| Some(tls_words(error))) {
        return Cause::Tls(tls);
    }
    if find(&error, |error: &hyper::Error| error.is_parse().then_some(())).is_some() {
        return Cause::NotHttp;
    }
    if error.is_connect() { Cause::Unreachable(how(&error)) } else { Cause::Closed { in_response: false } }
}

fn how(error: &reqwest::Error) -> String {
    let closed = "the connection was closed before a response was complete";
    find(error, io_cause).unwrap_or_else(|| closed.to_owned())
}

/// hyper-util's errors about tunnels are private; their texts are tested over real sockets.
fn forward_proxy(error: &reqwest::Error) -> Option<ForwardProxyProblem> {
    let mut chain = causes(error);
    let tunnel =
        chain.find_map(|cause| cause.to_string().strip_prefix("tunnel error: ").map(str::to_owned))?;
    Some(if tunnel.starts_with("proxy authorization") {
        ForwardProxyProblem::Unauthenticated
    } else if tunnel.starts_with("failed to create underlying connection") || tunnel.starts_with("io error") {
        let how = find(error, io_cause).or_else(|| unresolved(error));
        ForwardProxyProblem::Unreachable(how.unwrap_or_else(|| "there was no connection".to_owned()))
    } else {
        ForwardProxyProblem::Refused(None)
    })
}

fn unresolved(error: &reqwest::Error) -> Option<String> {
    let is_name = causes(error).any(|cause| NameProblem::of(&cause.to_string()).is_some());
    is_name.then(|| "its name cannot be resolved".to_owned())
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
