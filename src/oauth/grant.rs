//! The ways to log in: from settings and credentials to one token request.
//!
//! Decides what a request says: form or JSON, and how the client proves who it is. Knows nothing of when
//! to ask ([`renewal`](super::renewal)), of connections ([`endpoint`](super::endpoint)), or of answers
//! ([`answer`](super::answer)). Another way to get a token is another variant of [`Grant`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Serialize;
use url::form_urlencoded::{self, byte_serialize};
use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::token::Ask;
use crate::secret::Secret;

/// Room for a form with a refresh token that is a JWT: growing would leave copies of it in memory.
const USUAL_LENGTH: usize = 4096;

/// One way to log in, with the credentials that it needs. `Debug` shows no secret.
#[derive(Debug)]
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

/// What a request asks with, in the words of logs and metrics.
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

/// A token request, but for where it goes.
pub(super) struct Request {
    pub(super) content_type: &'static str,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) content: Zeroizing<Vec<u8>>,
    /// What it says that nobody may see, also where the answer repeats it.
    pub(super) secrets: Vec<Secret>,
}

impl Grant {
    /// What this grant asks with.
    pub(super) fn grant_type(&self, ask: &Ask) -> GrantType {
        match (ask, self) {
            (Ask::Refresh(_), _) => GrantType::RefreshToken,
            (Ask::LogIn, Self::ClientCredentials { .. }) => GrantType::ClientCredentials,
            (Ask::LogIn, Self::Password { .. }) => GrantType::Password,
            (Ask::LogIn, Self::AccessKey { .. }) => GrantType::AccessKey,
        }
    }

    /// Whether the refresh tokens of its answers are of any use. The access key's endpoint gives one out
    /// that it does not take back.
    pub(super) fn can_refresh(&self) -> bool {
        !matches!(self, Self::AccessKey { .. })
    }

    /// The request. `scopes` are asked for at log-in; a refresh keeps those that were granted (RFC 6749
    /// section 6). Reads the secrets' files, each for two seconds at most. Cancel safe.
    pub(super) async fn request(&self, ask: Ask, scopes: Option<&str>) -> Request {
        let (client, auth, key) = match self {
            Self::ClientCredentials { client, auth } => (client, *auth, None),
            Self::Password { client, auth, key } => (client, *auth, Some(key)),
            Self::AccessKey { key } => return json(key).await,
        };
        let grant_type = self.grant_type(&ask);
        let secret = client.secret().await;
        let password = match (&ask, key) {
            (Ask::LogIn, Some(key)) => Some((key, key.secret().await)),
            (Ask::LogIn, None) | (Ask::Refresh(_), _) => None,
        };
        let mut form = Form::of(grant_type);
        let scopes = scopes.filter(|_| matches!(ask, Ask::LogIn));
        if let Ask::Refresh(token) = ask {
            form.add_secret("refresh_token", token.into_secret());
        }
        if let Some((key, password)) = password {
            form.add("username", key.id());
            form.add_secret("password", password);
        }
        form.authenticate(client.id(), secret, auth);
        if let Some(scopes) = scopes {
            form.add("scope", scopes);
        }
        form.finish()
    }
}

/// A form under construction, and what goes beside it.
struct Form {
    pairs: form_urlencoded::Serializer<'static, String>,
    authorization: Option<HeaderValue>,
    secrets: Vec<Secret>,
}

impl Form {
    fn of(grant_type: GrantType) -> Self {
        let pairs = form_urlencoded::Serializer::new(String::with_capacity(USUAL_LENGTH));
        let mut form = Self { pairs, authorization: None, secrets: Vec::new() };
        form.add("grant_type", grant_type.as_str());
        form
    }

    fn add(&mut self, name: &str, value: &str) {
        self.pairs.append_pair(name, value);
    }

    fn add_secret(&mut self, name: &str, value: Secret) {
        self.add(name, value.reveal());
        self.secrets.push(value);
    }

    fn authenticate(&mut self, id: &str, secret: Secret, auth: ClientAuth) {
        match auth {
            ClientAuth::Body => {
                self.add("client_id", id);
                self.add("client_secret", secret.reveal());
            }
            ClientAuth::Basic => {
                let encoded = Zeroizing::new(byte_serialize(secret.reveal().as_bytes()).collect::<String>());
                let id: String = byte_serialize(id.as_bytes()).collect();
                self.basic(&id, &encoded);
            }
            ClientAuth::BasicRaw => self.basic(id, secret.reveal()),
        }
        self.secrets.push(secret);
    }

    /// RFC 7617 section 2.
    fn basic(&mut self, id: &str, secret: &str) {
        let pair = Zeroizing::new(format!("{id}:{secret}"));
        let encoded = Secret::new(STANDARD.encode(pair.as_bytes()));
        // Every character of Base64 is legal in a field.
        self.authorization = HeaderValue::try_from(format!("Basic {}", encoded.reveal())).ok();
        if let Some(value) = &mut self.authorization {
            value.set_sensitive(true);
        }
        self.secrets.push(encoded);
    }

    fn finish(mut self) -> Request {
        Request {
            content_type: "application/x-www-form-urlencoded",
            authorization: self.authorization,
            content: Zeroizing::new(self.pairs.finish().into_bytes()),
            secrets: self.secrets,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyInJson<'a> {
    access_key_id: &'a str,
    access_key_secret: &'a str,
}

async fn json(key: &Credentials) -> Request {
    let secret = key.secret().await;
    let mut content = Zeroizing::new(Vec::with_capacity(USUAL_LENGTH));
    let said = KeyInJson { access_key_id: key.id(), access_key_secret: secret.reveal() };
    // Two texts always become JSON, and memory takes whatever is written.
    let _ = serde_json::to_writer(&mut *content, &said);
    let quoted = Zeroizing::new(serde_json::to_string(secret.reveal()).unwrap_or_default());
    let escaped = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
    let escaped = Secret::new(escaped.to_owned());
    // An answer may quote the request as it came, or say the secret in its own words.
    let secrets = if escaped == secret { vec![secret] } else { vec![escaped, secret] };
    Request { content_type: "application/json", authorization: None, content, secrets }
}

#[cfg(test)]
mod tests;
