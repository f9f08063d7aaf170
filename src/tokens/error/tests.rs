use std::collections::HashSet;
use std::time::UNIX_EPOCH;

use super::*;
use crate::cause::{ForwardProxyProblem, Origins, Stage};
use crate::certificate::CertificateProblem;
use crate::clock::Clock;

fn account() -> Account {
    Account {
        token_url: "https://a.example/token".to_owned(),
        id: "app".to_owned(),
        holder: "client app".to_owned(),
        origins: Origins::default(),
        forward_proxy: Some("proxy.example:3128".to_owned()),
    }
}

fn failure(cause: Cause, grant: GrantType, account: Account) -> Failure {
    let now = Clock::anchored(UNIX_EPOCH + Duration::from_hours(1)).now();
    Failure {
        cause,
        grant,
        account: Arc::new(account),
        at: now,
        next_try: now,
        is_remembered: false,
        is_repeated: true,
    }
}

fn refused(status: u16, error: Option<&str>) -> Cause {
    Cause::Refused { status, error: error.map(str::to_owned), description: None }
}

fn hint(cause: Cause) -> String {
    failure(cause, GrantType::ClientCredentials, account()).hint()
}

fn causes() -> Vec<Cause> {
    let timed_out = |stage| Cause::TimedOut { stage, after: Duration::from_secs(8) };
    vec![
        refused(401, Some("invalid_client")),
        refused(400, Some("invalid_scope")),
        refused(400, Some("invalid_grant")),
        refused(400, Some("unauthorized_client")),
        refused(404, None),
        refused(403, None),
        Cause::Unusable("it is empty".to_owned()),
        Cause::Redirected { status: 302, to: Some("https://login.example/".to_owned()) },
        Cause::Untrusted(CertificateProblem::UnknownIssuer { issuer: None }),
        Cause::Untrusted(CertificateProblem::SelfSigned),
        Cause::Untrusted(CertificateProblem::WrongName { expected: None, names: Vec::new() }),
        Cause::Untrusted(CertificateProblem::Expired { at: None }),
        Cause::Untrusted(CertificateProblem::NotYetValid { from: None }),
        Cause::Untrusted(CertificateProblem::Other("its signature is wrong".to_owned())),
        Cause::Unreachable("the connection was refused".to_owned()),
        Cause::ForwardProxy(ForwardProxyProblem::Refused(None)),
        Cause::ForwardProxy(ForwardProxyProblem::Unauthenticated),
        Cause::ForwardProxy(ForwardProxyProblem::Unreachable("no route".to_owned())),
        Cause::ServerError(500),
        Cause::RateLimited,
        timed_out(Stage::Connecting),
        timed_out(Stage::Waiting),
    ]
}

#[test]
fn every_cause_has_its_own_sentence_and_an_imperative_as_its_next_step() {
    let hints: HashSet<_> = causes().into_iter().map(hint).collect();
    // A server error and a slow response have much in common, but not all.
    assert_eq!(hints.len(), causes().len());
    let sentences: HashSet<_> = causes().iter().map(ToString::to_string).collect();
    assert_eq!(sentences.len(), causes().len());
    for hint in hints {
        let verb = hint.split(' ').next().unwrap();
        assert!(["Check", "Allow", "Ask", "Request", "If", "Put", "Wait,", "Look"].contains(&verb), "{hint}");
        assert!(hint.ends_with('.'), "{hint}");
    }
    assert_eq!(hint(refused(401, None)), hint(refused(400, Some("invalid_client"))));
}

#[test]
fn a_redirect_leads_nobody_to_a_stranger_s_sign_in_page() {
    let hint = hint(Cause::Redirected { status: 302, to: Some("https://login.example/".to_owned()) });
    assert!(
        !hint.contains("login.example") && hint.contains("do not configure the address of a sign-in page"),
        "{hint}"
    );
}

#[test]
fn a_refusal_names_what_this_grant_has_sent() {
    for (grant, status, error, step) in [
        (GrantType::Password, 400, Some("invalid_grant"), "CXONE_ACCESS_KEY_SECRET"),
        (GrantType::Password, 401, Some("invalid_grant"), "CXONE_ACCESS_KEY_SECRET"),
        (GrantType::Password, 401, Some("invalid_client"), "basic_raw"),
        (GrantType::Password, 400, Some("invalid_client"), "basic_raw"),
        (GrantType::Password, 401, None, "basic_raw"),
        (GrantType::Password, 400, Some("unauthorized_client"), "password grant"),
        (GrantType::Password, 400, Some("invalid_scope"), "CXONE_SCOPES"),
        (GrantType::AccessKey, 401, None, "CXONE_AREA"),
        (GrantType::AccessKey, 400, Some("anything"), "CXONE_ACCESS_KEY_ID"),
        (GrantType::AccessKey, 404, None, "CXONE_AREA"),
        (GrantType::RefreshToken, 400, Some("invalid_client"), "CXONE_CLIENT_ID"),
    ] {
        let hint = failure(refused(status, error), grant, account()).hint();
        assert!(hint.contains(step), "{grant:?} {status} {error:?}: {hint}");
        assert!(grant != GrantType::AccessKey || !hint.contains("CLIENT"), "{hint}");
    }
}

#[test]
fn credentials_that_are_no_longer_accepted_are_not_called_wrong() {
    let refused = |description: &str, grant| {
        let description = Some(description.to_owned());
        failure(
            Cause::Refused { status: 400, error: Some("invalid_client".to_owned()), description },
            grant,
            account(),
        )
        .hint()
    };
    for description in ["Client is Disabled", "the secret has expired", "user locked"] {
        let hint = refused(description, GrantType::ClientCredentials);
        assert!(hint.starts_with("Activate client app in CXone"), "{hint}");
        assert!(refused(description, GrantType::Password).contains("the access key"), "{description}");
    }
    assert!(refused("no such client", GrantType::ClientCredentials).starts_with("Check CXONE_CLIENT_ID"));
}

#[test]
fn a_secret_out_of_a_file_is_not_looked_for_in_a_variable() {
    let secret = "the secret in /run/secret.txt".to_owned();
    let origins = Origins::default().with("CXONE_CLIENT_SECRET", secret);
    let account = Account { origins, ..account() };
    let hint = failure(refused(401, Some("invalid_client")), GrantType::ClientCredentials, account).hint();
    assert!(hint.starts_with("Check CXONE_CLIENT_ID and the secret in /run/secret.txt: "), "{hint}");
}

#[test]
fn a_failure_says_what_happened_where_and_as_which_client() {
    let sentence = |cause, grant| failure(cause, grant, account()).to_string();
    for (cause, expected) in [
        (refused(400, Some("invalid_scope")), "refused client app: 400 invalid_scope"),
        (Cause::ServerError(503), "failed (503)"),
        (
            Cause::ForwardProxy(ForwardProxyProblem::Unauthenticated),
            "cannot be reached: the forward proxy proxy.example:3128 (HTTPS_PROXY) demands a user name and a password (407)",
        ),
        (
            Cause::TimedOut { stage: Stage::Waiting, after: Duration::from_secs(10) },
            "accepted the request and did not respond within 10 s",
        ),
    ] {
        let sentence = sentence(cause, GrantType::ClientCredentials);
        assert_eq!(sentence, format!("the token endpoint https://a.example/token {expected}"));
    }
    let refresh = sentence(refused(400, Some("invalid_grant")), GrantType::RefreshToken);
    assert!(refresh.ends_with("refused the refresh token of client app: 400 invalid_grant"), "{refresh}");
}

#[test]
fn what_waiting_does_not_fix() {
    for cause in causes() {
        let is_fixed_by_waiting = matches!(
            cause,
            Cause::Unreachable(_)
                | Cause::ForwardProxy(_)
                | Cause::ServerError(_)
                | Cause::RateLimited
                | Cause::TimedOut { .. }
        );
        assert_eq!(cause.needs_fixing(), !is_fixed_by_waiting, "{cause}");
    }
}

#[test]
fn failures_are_equal_whatever_their_explanation_says() {
    let explained = |description: &str| Cause::Refused {
        status: 400,
        error: Some("invalid_client".to_owned()),
        description: Some(description.to_owned()),
    };
    assert!(explained("at 10:00").is_like(&explained("at 10:01")));
    assert!(!explained("").is_like(&refused(401, Some("invalid_client"))));
    assert!(!explained("").is_like(&refused(400, Some("invalid_scope"))));
    assert!(!Cause::RateLimited.is_like(&Cause::ServerError(429)));
}

#[test]
fn no_client_is_sent_back_at_once() {
    let now = Clock::anchored(UNIX_EPOCH + Duration::from_hours(1)).now();
    let failure = failure(Cause::RateLimited, GrantType::ClientCredentials, account());
    assert_eq!(Unavailable::failed(Arc::new(failure), now).retry_after, Duration::from_secs(1));
}
