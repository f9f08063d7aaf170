//! Why a connection, or the request on it, failed: in the words that the log and the pages have for it.

use std::{error::Error, io, sync::Arc, time::Duration};

use crate::{
    access::Problem,
    certificate::CertificateProblem,
    clock::Now,
    log, proxy,
    tokens::{self, Account, Cause, Failure, ForwardProxyProblem, GrantType},
    upstream::{ErrorKind, SendError},
};

/// In whose words a failure is described.
pub(super) enum Peer {
    /// The API, perhaps with the token endpoint at the same origin.
    Api,
    /// A token endpoint that has an origin of its own.
    TokenEndpoint {
        /// The endpoint, and the name of the program there.
        account: Arc<Account>,
        /// What a token is requested with.
        grant: GrantType,
    },
}

/// What went wrong.
#[derive(Debug)]
pub(super) struct Broken {
    kind: ErrorKind,
    /// The cause, where more is known than the kind.
    how: Option<String>,
    certificate: Option<CertificateProblem>,
}

impl From<&SendError> for Broken {
    fn from(error: &SendError) -> Self {
        tracing::debug!(error = log::causes(error), "the connection failed");
        match error.certificate() {
            Some(problem) => Self::of_certificate(problem.clone()),
            None => Self::new(error.kind, how(error)),
        }
    }
}

impl Broken {
    pub(super) fn new(kind: ErrorKind, how: Option<String>) -> Self {
        Self { kind, how, certificate: None }
    }

    pub(super) fn of_certificate(problem: CertificateProblem) -> Self {
        Self { kind: ErrorKind::Certificate, how: Some(problem.to_string()), certificate: Some(problem) }
    }

    /// A handshake that failed for another reason than the certificate.
    pub(super) fn of_tls(error: &io::Error, cause: Option<&rustls::Error>) -> Self {
        tracing::debug!(%error, "the TLS handshake failed");
        let how = match cause {
            Some(rustls::Error::InvalidMessage(_)) => "what responds there does not speak TLS".to_owned(),
            Some(rustls::Error::AlertReceived(alert)) => {
                format!("the other side refused the handshake ({alert:?})")
            }
            Some(_) | None => log::io_cause(error).unwrap_or_else(|| error.to_string()),
        };
        Self::new(ErrorKind::Tls, Some(how))
    }

    /// What happened, and the next step. `address` is where, for people; `time_out` is the time that a step
    /// had.
    pub(super) fn describe(
        &self,
        peer: &Peer,
        address: &str,
        time_out: Duration,
        now: Now,
    ) -> (String, String) {
        match peer {
            Peer::Api => (self.about_api(address), self.hint()),
            Peer::TokenEndpoint { account, grant } => {
                let failure = Failure {
                    cause: self.cause(time_out),
                    grant: *grant,
                    account: account.clone(),
                    at: now,
                    next_try: now,
                    is_remembered: false,
                };
                (failure.to_string(), failure.hint())
            }
        }
    }

    fn about_api(&self, address: &str) -> String {
        match &self.how {
            Some(how) => format!("{}: {how} ({address})", self.kind),
            None => format!("{} ({address})", self.kind),
        }
    }

    fn hint(&self) -> String {
        match &self.certificate {
            Some(problem) => problem.hint("CXONE_BASE_URL"),
            None => Problem::new(proxy::problem_kind(self.kind)).hint_text().into_owned(),
        }
    }

    /// The cause of which a token request would have failed.
    fn cause(&self, time_out: Duration) -> Cause {
        let how = || self.how.clone().unwrap_or_else(|| self.kind.to_string());
        match self.kind {
            ErrorKind::Resolution => Cause::Unreachable("its host name cannot be resolved".to_owned()),
            ErrorKind::ForwardProxy { status: Some(407) } => {
                Cause::ForwardProxy(ForwardProxyProblem::Unauthenticated)
            }
            ErrorKind::ForwardProxy { status: Some(_) } => Cause::ForwardProxy(ForwardProxyProblem::Refused),
            ErrorKind::ForwardProxy { status: None } => {
                Cause::ForwardProxy(ForwardProxyProblem::Unreachable(how()))
            }
            ErrorKind::ConnectTimeout(_) => {
                Cause::TimedOut { stage: tokens::Stage::Connecting, after: time_out }
            }
            ErrorKind::Tls => Cause::Unreachable(format!("TLS failed ({})", how())),
            ErrorKind::Certificate => match &self.certificate {
                Some(problem) => Cause::Untrusted(problem.clone()),
                None => Cause::Unreachable(how()),
            },
            ErrorKind::Connection
            | ErrorKind::Closed
            | ErrorKind::Silent
            | ErrorKind::Malformed
            | ErrorKind::HeaderTooLarge
            | ErrorKind::ResponseTimeout
            | ErrorKind::UnaskedUpgrade
            | ErrorKind::RequestBody => Cause::Unreachable(how()),
        }
    }
}

/// The cause in our own words, where it has some. Those of libraries are for the debug log.
fn how(error: &SendError) -> Option<String> {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.find_map(|cause| {
        let error = cause.downcast_ref::<io::Error>()?;
        name_resolution(&error.to_string()).map(str::to_owned).or_else(|| log::io_cause(error))
    })
}

/// What the system's resolver says, which has no kind of its own.
fn name_resolution(text: &str) -> Option<&'static str> {
    if !text.starts_with("failed to lookup address") {
        return None;
    }
    Some(if text.contains("Temporary failure") {
        "the name server did not respond (DNS)"
    } else {
        "the name is not known"
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::SystemTime};

    use super::*;
    use crate::{clock::Clock, upstream::Stage};

    const KINDS: [ErrorKind; 8] = [
        ErrorKind::Resolution,
        ErrorKind::Connection,
        ErrorKind::ForwardProxy { status: Some(407) },
        ErrorKind::ForwardProxy { status: Some(403) },
        ErrorKind::ForwardProxy { status: None },
        ErrorKind::Certificate,
        ErrorKind::Tls,
        ErrorKind::ConnectTimeout(Stage::Tls),
    ];

    fn token_endpoint() -> Peer {
        let account = Account {
            token_url: "https://auth.example/token".to_owned(),
            id: "app".to_owned(),
            is_access_key: false,
            client_secret: None,
            key_secret: None,
            forward_proxy: Some("proxy.example:3128".to_owned()),
        };
        Peer::TokenEndpoint { account: Arc::new(account), grant: GrantType::ClientCredentials }
    }

    fn described(broken: &Broken, peer: &Peer) -> (String, String) {
        let now = Clock::anchored(SystemTime::UNIX_EPOCH).now();
        broken.describe(peer, "api.example", Duration::from_secs(3), now)
    }

    fn broken(kind: ErrorKind) -> Broken {
        if kind == ErrorKind::Certificate {
            Broken::of_certificate(CertificateProblem::SelfSigned)
        } else {
            Broken::new(kind, Some("it broke".to_owned()))
        }
    }

    #[test]
    fn of_the_api_the_log_s_words_are_used_with_its_address() {
        let (what, hint) = described(&broken(ErrorKind::Connection), &Peer::Api);
        assert_eq!(what, "the upstream could not be connected to: it broke (api.example)");
        assert!(hint.contains("CXONE_BASE_URL") && hint.contains("firewall"), "{hint}");
        let (what, hint) = described(&broken(ErrorKind::Certificate), &Peer::Api);
        assert_eq!(what, "the upstream's certificate is not trusted: it is self-signed (api.example)");
        assert!(hint.contains("CXONE_CA_FILE") && hint.contains("CXONE_BASE_URL"), "{hint}");
    }

    #[test]
    fn of_a_token_endpoint_the_words_of_token_requests_are_used() {
        for (kind, due) in [
            (ErrorKind::Resolution, "cannot be reached: its host name cannot be resolved"),
            (ErrorKind::Connection, "cannot be reached: it broke"),
            (
                ErrorKind::ForwardProxy { status: Some(407) },
                "cannot be reached: the forward proxy proxy.example:3128 demands a user name and a password (407)",
            ),
            (ErrorKind::Certificate, "has a certificate that is not trusted: it is self-signed"),
            (ErrorKind::Tls, "cannot be reached: TLS failed (it broke)"),
            (ErrorKind::ConnectTimeout(Stage::Connection), "could not be connected to within 3 s"),
        ] {
            let (what, hint) = described(&broken(kind), &token_endpoint());
            assert_eq!(what, format!("the token endpoint https://auth.example/token {due}"));
            assert!(!hint.contains("CXONE_BASE_URL"), "{hint}");
        }
    }

    #[test]
    fn no_two_kinds_are_described_alike() {
        for peer in [Peer::Api, token_endpoint()] {
            let sentences: HashSet<_> = KINDS.map(|kind| described(&broken(kind), &peer).0).into();
            assert_eq!(sentences.len(), KINDS.len(), "{sentences:#?}");
        }
    }

    #[test]
    fn names_that_do_not_resolve_have_two_causes() {
        let text = "failed to lookup address information: Temporary failure in name resolution";
        assert_eq!(name_resolution(text), Some("the name server did not respond (DNS)"));
        let text = "failed to lookup address information: Name or service not known";
        assert_eq!(name_resolution(text), Some("the name is not known"));
        assert_eq!(name_resolution("connection refused"), None);
    }

    #[test]
    fn what_speaks_no_tls_is_said_in_our_words() {
        let cause = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        let error = io::Error::new(io::ErrorKind::InvalidData, cause.clone());
        let (what, _) = described(&Broken::of_tls(&error, Some(&cause)), &Peer::Api);
        assert_eq!(
            what,
            "TLS with the upstream failed: what responds there does not speak TLS (api.example)"
        );
        let closed = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        let (what, _) = described(&Broken::of_tls(&closed, None), &Peer::Api);
        assert!(what.contains("the connection was closed before"), "{what}");
    }
}
