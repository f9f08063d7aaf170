//! The next step for a person, by cause. Pure.

use super::{Cause, Credentials, ForwardProxyProblem, NameProblem, Origins, Peer, Server, Stage};

/// An imperative that names the variable or the file that the wrong value came from.
pub(super) fn of(cause: &Cause, peer: &Peer<'_>) -> String {
    let origins = peer.origins;
    let address = address_of(peer);
    match cause {
        Cause::Refused { status, error, description } => {
            refused(*status, error.as_deref(), description.as_deref(), peer)
        }
        Cause::Unusable(_) => unusable(peer, address),
        Cause::Redirected { .. } => format!(
            "Check {address} for a wrong host or path. Redirects are not followed, so that the credentials go to the \
             configured address only; do not configure the address of a sign-in page."
        ),
        Cause::Untrusted(problem) => problem.hint(address, origins.name("CXONE_CA_FILE")),
        Cause::Tls(_) => format!(
            "Check that {address} names an https port, and that no device on the way interferes with TLS."
        ),
        Cause::Name(NameProblem::Unknown | NameProblem::NoAddress) => {
            format!("Check the host in {address}, and this machine's name resolution (DNS).")
        }
        Cause::Name(NameProblem::NoNameServer) => {
            "Check this machine's name resolution: the name server of /etc/resolv.conf and the network to it."
                .to_owned()
        }
        Cause::Unreachable(_) => unreachable(peer, address),
        Cause::ForwardProxy(problem) => forward_proxy(problem, peer),
        Cause::ServerError(_) => {
            format!("Wait, or ask the operator of {}: it has a problem of its own.", name_of(peer.server))
        }
        Cause::RateLimited => format!(
            "Look for other programs that use the same credentials: {} limits how often it may be asked.",
            name_of(peer.server)
        ),
        Cause::TimedOut { stage, .. } => timed_out(*stage, peer),
        Cause::Closed { .. } => "Try again. If it happens often, look for a load balancer or firewall on the way that \
             closes connections."
            .to_owned(),
        Cause::Silent => {
            "Check the network: a firewall, a VPN or a load balancer has dropped the connection without a word."
                .to_owned()
        }
        Cause::NotHttp | Cause::UnaskedUpgrade => {
            format!("Check that {address} names {} and not another service.", name_of(peer.server))
        }
        Cause::HeaderTooLarge => "Ask for less, or report it to the API's operator.".to_owned(),
        Cause::RequestBody => {
            "Correct the client: it ended its request's body too early or framed it wrongly.".to_owned()
        }
        Cause::OutOfFiles { .. } => "Raise the limit of open files (LimitNOFILE= of systemd, `ulimit -n`), or lower \
             limits.in_flight (CXONE_PROXY_IN_FLIGHT)."
            .to_owned(),
    }
}

fn address_of<'a>(peer: &Peer<'a>) -> &'a str {
    peer.origins.name(match peer.server {
        Server::Api => "CXONE_BASE_URL",
        Server::TokenEndpoint => "CXONE_TOKEN_URL",
        Server::Discovery => "CXONE_DISCOVERY_URL",
    })
}

fn name_of(server: Server) -> &'static str {
    match server {
        Server::Api => "the API",
        Server::TokenEndpoint => "the token endpoint",
        Server::Discovery => "the discovery endpoint",
    }
}

fn unusable(peer: &Peer<'_>, address: &str) -> String {
    format!(
        "Check {address}: something other than {} responds there, such as a login page or a web filter.",
        name_of(peer.server)
    )
}

fn unreachable(peer: &Peer<'_>, address: &str) -> String {
    let proxy = peer.origins.name("HTTPS_PROXY");
    match peer.forward_proxy {
        Some(_) => format!("Check {address}, and whether the forward proxy of {proxy} leads there."),
        None => format!(
            "Check the host and the port in {address}, the network and the firewall. Where the internet is reached \
             through a forward proxy, set {proxy}."
        ),
    }
}

fn forward_proxy(problem: &ForwardProxyProblem, peer: &Peer<'_>) -> String {
    let (proxy, exceptions) = (peer.origins.name("HTTPS_PROXY"), peer.origins.name("NO_PROXY"));
    match problem {
        ForwardProxyProblem::Unauthenticated => {
            format!("Check the user name and the password in {proxy} (http://USER:PASSWORD@HOST:PORT).")
        }
        ForwardProxyProblem::Refused(_) => format!(
            "Allow connections to {} in the forward proxy, or name its host in {exceptions} if it is reached without \
             the forward proxy.",
            name_of(peer.server)
        ),
        ForwardProxyProblem::Unreachable(_) => {
            format!("Check {proxy}: its host, its port, and whether the forward proxy runs.")
        }
    }
}

fn timed_out(stage: Stage, peer: &Peer<'_>) -> String {
    let (proxy, server) = (peer.origins.name("HTTPS_PROXY"), name_of(peer.server));
    let step = match (stage, peer.server) {
        (Stage::Resolution, _) => "Check this machine's name resolution (DNS).".to_owned(),
        (Stage::Tunnel, _) => {
            format!("Check {proxy}, and whether the forward proxy can reach {server}.")
        }
        (Stage::Connection | Stage::Connecting | Stage::Tls | Stage::Http2, _) => format!(
            "Check the network between this machine and {server}: a firewall may drop the connection. Where the \
             internet is reached through a forward proxy, set {proxy}."
        ),
        (Stage::Waiting | Stage::Reading, Server::Api) => {
            return format!(
                "Raise upstream.response_timeout ({}) for long polls and slow reports, or ask the operator of the API why it is slow.",
                peer.origins.name("CXONE_PROXY_RESPONSE_TIMEOUT")
            );
        }
        (Stage::Waiting | Stage::Reading, Server::TokenEndpoint | Server::Discovery) => {
            return format!(
                "Wait, or ask the operator of {server}: it is overloaded, or a device on the way holds its response \
                 back."
            );
        }
    };
    match peer.server {
        Server::Api => format!(
            "{step} The limit is upstream.connect_timeout ({}).",
            peer.origins.name("CXONE_PROXY_CONNECT_TIMEOUT")
        ),
        Server::TokenEndpoint | Server::Discovery => step,
    }
}

/// Whether the endpoint says that it knows the credentials, but does not accept them any more.
fn says_inactive(description: &str) -> bool {
    let description = description.to_lowercase();
    ["disabled", "deactivated", "inactive", "not active", "locked", "suspended", "expired"]
        .into_iter()
        .any(|word| description.contains(word))
}

/// Whether the endpoint says that it does not know the client, so that the secret is not in question.
fn says_unknown(description: &str) -> bool {
    let description = description.to_lowercase();
    let is_client = description.contains("client");
    is_client
        && ["not found", "unknown", "does not exist", "no such"].iter().any(|word| description.contains(word))
}

fn refused(status: u16, error: Option<&str>, description: Option<&str>, peer: &Peer<'_>) -> String {
    let Credentials { grant, holder } =
        peer.credentials.unwrap_or(Credentials { grant: "client_credentials", holder: "the client" });
    if description.is_some_and(says_inactive) {
        let whose = if grant == "password" {
            format!("{holder} and the access key with its user")
        } else {
            holder.to_owned()
        };
        return format!(
            "Activate {whose} in CXone, or configure others: the token endpoint knows the credentials, and does not \
             accept them any more."
        );
    }
    let is_unknown = error == Some("invalid_client") && description.is_some_and(says_unknown);
    if is_unknown && grant != "access_key" {
        let id = peer.origins.name("CXONE_CLIENT_ID");
        return format!("Check {id}: copied whole, and registered in this tenant and region.");
    }
    refusal(status, error, grant, peer)
}

fn refusal(status: u16, error: Option<&str>, grant: &str, peer: &Peer<'_>) -> String {
    let origins: &Origins = peer.origins;
    let name = |variable| origins.name(variable);
    let (id, secret) = (name("CXONE_CLIENT_ID"), name("CXONE_CLIENT_SECRET"));
    let (key_id, key) = (name("CXONE_ACCESS_KEY_ID"), name("CXONE_ACCESS_KEY_SECRET"));
    let (url, scopes) = (name("CXONE_TOKEN_URL"), name("CXONE_SCOPES"));
    match (error, status, grant) {
        (None, 404 | 405, "access_key") if !url.contains(name("CXONE_AREA")) => {
            format!("Check {} (or {url}): there is no token endpoint at this address.", name("CXONE_AREA"))
        }
        (None, 404 | 405, _) => format!("Check {url}: there is no token endpoint at this address."),
        // Its endpoint does not speak OAuth, so its refusals have no more than a status.
        (_, _, "access_key") => format!(
            "Check {key_id} and {key}: copied whole, not deactivated, and made in the area named by {}.",
            name("CXONE_AREA")
        ),
        (Some("invalid_client") | None, 401, "password") | (Some("invalid_client"), _, "password") => {
            format!(
                "Check {id} and {secret}: those of the registered application, not of the access key. If they are right, \
             try CXONE_CLIENT_AUTH=basic_raw or body."
            )
        }
        (Some("invalid_client"), _, _) | (None, 401, _) => {
            format!(
                "Check {id} and {secret}: copied whole, not expired or revoked, and made for this region."
            )
        }
        (Some("invalid_scope"), _, _) => {
            format!("Request in {scopes} only scopes that this client was granted, separated by spaces.")
        }
        (Some("unauthorized_client" | "unsupported_grant_type"), _, "password") => format!(
            "Allow the password grant for this application where it was registered, and check {url} and {}.",
            name("CXONE_GRANT")
        ),
        (Some("unauthorized_client" | "unsupported_grant_type"), _, _) => format!(
            "Allow the client credentials grant for this client where it was registered, and check {url}."
        ),
        (Some("invalid_grant"), _, "password") => {
            format!("Check {key_id} and {key}: copied whole, not deactivated, and their user still active.")
        }
        (Some("invalid_grant"), _, _) => {
            "Check in CXone that this client is still active: the grant was revoked or has expired."
                .to_owned()
        }
        _ => format!("Check the client's registration, {scopes} and {url}."),
    }
}
