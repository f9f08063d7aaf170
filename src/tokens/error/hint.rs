//! The next step for a person after a failed token request. Pure: one table of causes.

use super::{Cause, ForwardProxyProblem, Stage};
use crate::tokens::grant::{Account, GrantType};

/// An imperative that names the variable or the file that the wrong value came from.
pub(in crate::tokens) fn of(cause: &Cause, grant: GrantType, account: &Account) -> String {
    match cause {
        Cause::Refused { description: Some(description), .. } if says_inactive(description) => inactive(grant, account),
        Cause::Refused { status, error, .. } => refusal(*status, error.as_deref(), grant, account),
        Cause::Unusable(_) => "Check CXONE_TOKEN_URL (or CXONE_BASE_URL): something other than a token \
             endpoint responds there, such as a login page or a web filter."
            .to_owned(),
        Cause::Redirected { .. } => "Check CXONE_TOKEN_URL for a wrong host or path. Redirects are not followed, so \
             that the credentials go to the configured address only; do not configure the address of a sign-in page."
            .to_owned(),
        Cause::Untrusted(problem) => problem.hint("CXONE_TOKEN_URL"),
        Cause::ForwardProxy(ForwardProxyProblem::Unauthenticated) => {
            "Put the forward proxy's user name and password into HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT)."
                .to_owned()
        }
        Cause::ForwardProxy(ForwardProxyProblem::Refused) => {
            "Allow connections to the token endpoint in the forward proxy, or name its host in NO_PROXY.".to_owned()
        }
        Cause::ForwardProxy(ForwardProxyProblem::Unreachable(_)) => {
            "Check HTTPS_PROXY: its host, its port, and whether the forward proxy runs.".to_owned()
        }
        Cause::Unreachable(_) => {
            "Check CXONE_TOKEN_URL, name resolution, the network and HTTPS_PROXY.".to_owned()
        }
        Cause::ServerError(_) => {
            "Wait, or ask the operator of the token endpoint: it has a problem of its own.".to_owned()
        }
        Cause::RateLimited => "Look for other programs that use the same credentials: the token endpoint limits how \
             often it may be asked."
            .to_owned(),
        Cause::TimedOut { stage: Stage::Connecting, .. } => {
            "Check the network between this machine and the token endpoint: a firewall may drop the connection. Where \
             the internet is reached through a forward proxy, set HTTPS_PROXY."
                .to_owned()
        }
        Cause::TimedOut { stage: Stage::Waiting | Stage::Reading, .. } => {
            "Wait, or ask the operator of the token endpoint: it is overloaded, or a device on the way holds its \
             response back."
                .to_owned()
        }
    }
}

/// Whether the endpoint says that it knows the credentials, but does not accept them any more.
fn says_inactive(description: &str) -> bool {
    let description = description.to_lowercase();
    ["disabled", "deactivated", "inactive", "not active", "locked", "suspended", "expired"]
        .into_iter()
        .any(|word| description.contains(word))
}

fn inactive(grant: GrantType, account: &Account) -> String {
    let whose = match grant {
        GrantType::Password => format!("{account} and the access key with its user"),
        GrantType::ClientCredentials | GrantType::AccessKey | GrantType::RefreshToken => account.to_string(),
    };
    format!(
        "Activate {whose} in CXone, or configure others: the token endpoint knows the credentials, and does not accept \
         them any more."
    )
}

fn refusal(status: u16, error: Option<&str>, grant: GrantType, account: &Account) -> String {
    let client = account.client_secret.as_deref().unwrap_or("CXONE_CLIENT_SECRET");
    let key = account.key_secret.as_deref().unwrap_or("CXONE_ACCESS_KEY_SECRET");
    match (error, status, grant) {
        (None, 404 | 405, GrantType::AccessKey) => {
            "Check CXONE_AREA (or CXONE_TOKEN_URL): there is no token endpoint at this address.".to_owned()
        }
        (None, 404 | 405, _) => {
            "Check CXONE_TOKEN_URL (or CXONE_BASE_URL): there is no token endpoint at this address.".to_owned()
        }
        // Its endpoint does not speak OAuth, so its refusals have no more than a status.
        (_, _, GrantType::AccessKey) => format!(
            "Check CXONE_ACCESS_KEY_ID and {key}: copied whole, not deactivated, and made in the area named by \
             CXONE_AREA."
        ),
        (Some("invalid_client") | None, 401, GrantType::Password)
        | (Some("invalid_client"), _, GrantType::Password) => format!(
            "Check CXONE_CLIENT_ID and {client}: those of the registered application, not of the access key. If they \
             are right, try CXONE_CLIENT_AUTH=basic_raw or body."
        ),
        (Some("invalid_client"), _, _) | (None, 401, _) => format!(
            "Check CXONE_CLIENT_ID and {client}: copied whole, not expired or revoked, and made for this region."
        ),
        (Some("invalid_scope"), _, _) => {
            "Request in CXONE_SCOPES only scopes that this client was granted, separated by spaces.".to_owned()
        }
        (Some("unauthorized_client" | "unsupported_grant_type"), _, GrantType::Password) => {
            "Allow the password grant for this application where it was registered, and check CXONE_TOKEN_URL and \
             CXONE_GRANT."
                .to_owned()
        }
        (Some("unauthorized_client" | "unsupported_grant_type"), _, _) => {
            "Allow the client credentials grant for this client where it was registered, and check CXONE_TOKEN_URL."
                .to_owned()
        }
        (Some("invalid_grant"), _, GrantType::Password) => format!(
            "Check CXONE_ACCESS_KEY_ID and {key}: copied whole, not deactivated, and their user still active."
        ),
        (Some("invalid_grant"), _, _) => {
            "Check in CXone that this client is still active: the grant was revoked or has expired.".to_owned()
        }
        _ => "Check the client's registration, CXONE_SCOPES and CXONE_TOKEN_URL.".to_owned(),
    }
}
