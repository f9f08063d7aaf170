//! What a failed connection means: in the words that the log and the pages have for it.

use std::sync::Arc;

use crate::{
    cause::{self, Cause, Origins, Server},
    tokens::{Account, GrantType},
};

/// In whose words a failure is described.
pub(super) enum Peer {
    /// The API, perhaps with the token endpoint at the same origin.
    Api {
        /// Where the values stand that lead there.
        origins: Origins,
    },
    /// A token endpoint that has an origin of its own.
    TokenEndpoint {
        /// The endpoint, and the name of the program there.
        account: Arc<Account>,
        /// What a token is requested with.
        grant: GrantType,
    },
}

impl Peer {
    /// What happened, and the next step. `address` is the API's host, `forward_proxy` host and port of the
    /// forward proxy on the way.
    pub(super) fn describe(
        &self,
        cause: &Cause,
        address: &str,
        forward_proxy: Option<&str>,
    ) -> (String, String) {
        let peer = match self {
            Self::Api { origins } => {
                cause::Peer { server: Server::Api, address, forward_proxy, credentials: None, origins }
            }
            Self::TokenEndpoint { account, grant } => account.peer(*grant),
        };
        (peer.sentence(cause), peer.hint(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cause::ForwardProxyProblem, certificate::CertificateProblem};

    #[test]
    fn of_the_api_the_log_s_words_are_used_with_its_address() {
        let peer = Peer::Api { origins: Origins::default() };
        let refused = Cause::Unreachable("the connection was refused".to_owned());
        let (what, hint) = peer.describe(&refused, "api.example", None);
        assert_eq!(what, "the CXone API (api.example) cannot be reached: the connection was refused");
        assert!(hint.contains("CXONE_BASE_URL") && hint.contains("firewall"), "{hint}");
        let untrusted = Cause::Untrusted(CertificateProblem::SelfSigned);
        let (what, hint) = peer.describe(&untrusted, "api.example", None);
        assert!(what.ends_with("has a certificate that is not trusted: it is self-signed"), "{what}");
        assert!(hint.contains("CXONE_CA_FILE") && hint.contains("CXONE_BASE_URL"), "{hint}");
    }

    #[test]
    fn of_a_token_endpoint_the_words_of_token_requests_are_used() {
        let account = Account {
            token_url: "https://auth.example/token".to_owned(),
            id: "app".to_owned(),
            holder: "client app".to_owned(),
            origins: Origins::default(),
            forward_proxy: Some("proxy.example:3128".to_owned()),
        };
        let peer = Peer::TokenEndpoint { account: Arc::new(account), grant: GrantType::ClientCredentials };
        let refused = Cause::ForwardProxy(ForwardProxyProblem::Unauthenticated);
        let (what, hint) = peer.describe(&refused, "auth.example", None);
        assert_eq!(
            what,
            "the token endpoint https://auth.example/token cannot be reached: the forward proxy proxy.example:3128 \
             (HTTPS_PROXY) demands a user name and a password (407)"
        );
        assert!(!hint.contains("CXONE_BASE_URL"), "{hint}");
    }
}
