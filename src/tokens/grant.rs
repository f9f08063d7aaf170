//! The grants that the program can log in with, and the account that they belong to.
//!
//! What a token request says is written in [`request`](super::request). Another kind of log-in is another
//! variant of [`Grant`].

use std::fmt;
use std::str::FromStr;
#[cfg(test)]
use std::sync::Arc;

use super::credentials::{Credentials, SecretPlace, SecretSource};
use super::token::TokenRequest;
use crate::cause::{self, Origins, Peer, Server};
use crate::invalid::Invalid;

/// One kind of log-in, with the credentials that it needs. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A client for itself (RFC 6749 section 4.4).
    ClientCredentials {
        /// Client identifier and secret.
        client: Credentials,
        /// How they are sent.
        auth: ClientAuth,
    },
    /// A client for the user whose access key it has (RFC 6749 section 4.3).
    Password {
        /// Client identifier and secret.
        client: Credentials,
        /// How they are sent.
        auth: ClientAuth,
        /// Access key identifier and secret, sent as user name and password.
        key: Credentials,
    },
    /// An access key alone, in JSON: CXone's own.
    AccessKey {
        /// Access key identifier and secret.
        key: Credentials,
    },
}

/// How a client proves who it is (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// HTTP Basic, identifier and secret form-encoded first, as the RFC says.
    Basic,
    /// HTTP Basic without that, as many endpoints expect it. The identifier can have no colon then.
    BasicRaw,
    /// `client_id` and `client_secret` in the form.
    Body,
}

/// What a token is requested with, in the words of logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// `client_credentials`
    ClientCredentials,
    /// `password`
    Password,
    /// `access_key`, which is no `grant_type` of OAuth.
    AccessKey,
    /// `refresh_token`
    RefreshToken,
}

/// A token endpoint and the program's name there. Nothing in it is secret.
#[derive(Clone, Debug)]
pub struct Account {
    /// The token endpoint's address, without its query.
    pub token_url: String,
    /// The identifier of the client, or of the access key where the grant has no client.
    pub id: String,
    /// The same as people say it: `client crm-sync`, `access key KEY`.
    pub holder: String,
    /// Where the values were set that decide; a secret that comes from a file goes by that.
    pub origins: Origins,
    /// Host and port of the forward proxy between here and the token endpoint, where there is one.
    pub forward_proxy: Option<String>,
}

impl Grant {
    /// The grant that the configuration names.
    pub fn grant_type(&self) -> GrantType {
        match self {
            Self::ClientCredentials { .. } => GrantType::ClientCredentials,
            Self::Password { .. } => GrantType::Password,
            Self::AccessKey { .. } => GrantType::AccessKey,
        }
    }

    /// The client's credentials, where the grant has a client.
    pub fn client(&self) -> Option<&Credentials> {
        match self {
            Self::ClientCredentials { client, .. } | Self::Password { client, .. } => Some(client),
            Self::AccessKey { .. } => None,
        }
    }

    /// The access key, where the grant has one.
    pub fn key(&self) -> Option<&Credentials> {
        match self {
            Self::ClientCredentials { .. } => None,
            Self::Password { key, .. } | Self::AccessKey { key } => Some(key),
        }
    }

    /// The grant type of a request.
    pub(super) fn type_of(&self, request: &TokenRequest) -> GrantType {
        if request.is_refresh() { GrantType::RefreshToken } else { self.grant_type() }
    }

    /// Whether the refresh tokens of its responses are of any use. The access key's endpoint issues some
    /// that it does not accept.
    pub(super) fn can_refresh(&self) -> bool {
        !matches!(self, Self::AccessKey { .. })
    }

    pub(super) fn account(
        &self,
        token_url: String,
        forward_proxy: Option<String>,
        mut origins: Origins,
    ) -> Account {
        let (client, key) = (self.client(), self.key());
        for (variable, credentials) in [("CXONE_CLIENT_SECRET", client), ("CXONE_ACCESS_KEY_SECRET", key)] {
            let place = match credentials.map(|credentials| &credentials.secret) {
                Some(SecretSource::Read { place: SecretPlace::File(path), .. }) => {
                    format!("the secret in {}", path.display())
                }
                Some(SecretSource::Read { place, .. }) => format!("what {place} prints"),
                Some(SecretSource::Value(_)) | None => continue,
            };
            origins = origins.with(variable, place);
        }
        let id = client.or(key).map(|credentials| credentials.id.clone()).unwrap_or_default();
        Account {
            token_url,
            holder: format!("{} {id}", if client.is_none() { "access key" } else { "client" }),
            id,
            origins,
            forward_proxy,
        }
    }
}

#[cfg(test)]
impl Account {
    /// That of a scripted token endpoint.
    pub(crate) fn scripted() -> Arc<Self> {
        Arc::new(Self {
            token_url: "https://auth.example/token".to_owned(),
            id: "app".to_owned(),
            holder: "client app".to_owned(),
            origins: Origins::default(),
            forward_proxy: None,
        })
    }
}

impl Account {
    /// The token endpoint, and what it is asked with, as a person knows them.
    pub fn peer(&self, grant: GrantType) -> Peer<'_> {
        Peer {
            server: Server::TokenEndpoint,
            address: &self.token_url,
            forward_proxy: self.forward_proxy.as_deref(),
            credentials: Some(cause::Credentials { grant: grant.as_str(), holder: &self.holder }),
            origins: &self.origins,
        }
    }
}

impl GrantType {
    /// The word; but for `access_key` it is also the form's `grant_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::AccessKey => "access_key",
            Self::RefreshToken => "refresh_token",
        }
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A grant that can be configured: `refresh_token` is none.
impl FromStr for GrantType {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::ClientCredentials, Self::Password, Self::AccessKey]
            .into_iter()
            .find(|grant| grant.as_str() == text)
            .ok_or_else(|| Invalid::because("is none of the known words"))
    }
}

impl ClientAuth {
    /// The word that the configuration has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::BasicRaw => "basic_raw",
            Self::Body => "body",
        }
    }
}

impl FromStr for ClientAuth {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Basic, Self::BasicRaw, Self::Body]
            .into_iter()
            .find(|auth| auth.as_str() == text)
            .ok_or_else(|| Invalid::because("is none of the known words"))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn words_are_read_back() {
        for auth in [ClientAuth::Basic, ClientAuth::BasicRaw, ClientAuth::Body] {
            assert_eq!(auth.as_str().parse(), Ok(auth));
        }
        for grant in [GrantType::ClientCredentials, GrantType::Password, GrantType::AccessKey] {
            assert_eq!(grant.as_str().parse(), Ok(grant));
        }
        for text in ["refresh_token", "implicit", "", "Password"] {
            assert!(text.parse::<GrantType>().is_err(), "{text}");
        }
        assert!("post".parse::<ClientAuth>().is_err());
    }

    #[test]
    fn an_account_names_the_file_of_a_secret_and_never_the_secret() {
        let secret = Secret::new("s3cret".to_owned());
        let client = Credentials { id: "app".to_owned(), secret: SecretSource::Value(secret.clone()) };
        let in_file = SecretSource::Read { place: SecretPlace::File("/run/key".into()), at_start: secret };
        let key = Credentials { id: "KEY".to_owned(), secret: in_file };
        let grant = Grant::Password { client, auth: ClientAuth::Basic, key: key.clone() };
        let account = grant.account("https://a.example/token".to_owned(), None, Origins::default());
        assert_eq!(account.to_string(), "client app");
        let name = |variable| account.origins.name(variable);
        assert_eq!(name("CXONE_CLIENT_SECRET"), "CXONE_CLIENT_SECRET");
        assert_eq!(name("CXONE_ACCESS_KEY_SECRET"), "the secret in /run/key");
        let account = Grant::AccessKey { key }.account(String::new(), None, Origins::default());
        assert_eq!(account.to_string(), "access key KEY");
        assert!(!format!("{grant:?} {account:?}").contains("s3cret"));
    }
}
