//! One token request as bytes: the form or the JSON, and the header beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Serialize;
use url::form_urlencoded::{self, byte_serialize};
use zeroize::Zeroizing;

use super::grant::{ClientAuth, Grant, GrantType};
use super::redact::Redactor;
use super::scopes::Scopes;
use super::secret_reader::SecretReader;
use super::token::TokenRequest;
use crate::clock::Clock;
use crate::secret::Secret;

/// Room for a form with a refresh token that is a JWT: growing would leave copies of it in memory.
const USUAL_LENGTH: usize = 4096;

/// Writes token requests for one grant. `Debug` shows no secret.
#[derive(Debug)]
pub(super) struct RequestWriter {
    grant: Grant,
    client: Option<SecretReader>,
    key: Option<SecretReader>,
}

/// A token request, except for its address.
pub(super) struct EncodedRequest {
    pub(super) content_type: &'static str,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Knows every secret in the request, in case the response repeats one.
    pub(super) redactor: Redactor,
}

impl RequestWriter {
    pub(super) fn new(grant: Grant, clock: &Clock) -> Self {
        let reader = |credentials: Option<&super::Credentials>| {
            credentials.map(|credentials| SecretReader::new(credentials.secret.clone(), clock.clone()))
        };
        Self { client: reader(grant.client()), key: reader(grant.key()), grant }
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The secrets as they are now, one behind the other.
    pub(super) async fn key_material(&self) -> Zeroizing<Vec<u8>> {
        let (client, key) = tokio::join!(secret(self.client.as_ref()), secret(self.key.as_ref()));
        let mut material = Zeroizing::new(Vec::with_capacity(USUAL_LENGTH));
        for own in [&client, &key] {
            material.extend_from_slice(own.reveal().as_bytes());
            // No secret holds it, so two of them are not read as one.
            material.push(0);
        }
        material
    }

    /// The request. The scopes are requested at log-in; a refresh keeps those that were granted (RFC 6749
    /// section 6). Reads the secrets' files at once, for two seconds at most. Cancel safe.
    pub(super) async fn write(&self, request: TokenRequest, scopes: &Scopes) -> EncodedRequest {
        let is_refresh = request.is_refresh();
        let (client, key) =
            tokio::join!(secret(self.client.as_ref()), secret(self.key.as_ref().filter(|_| !is_refresh)));
        let mut form = Form::new(self.grant.type_of(&request));
        form.add_refresh_token(request);
        match &self.grant {
            Grant::AccessKey { key: credentials } => return json(&credentials.id, &key),
            Grant::Password { client: credentials, auth, key: key_credentials } => {
                if !is_refresh {
                    form.add("username", &key_credentials.id);
                    form.add_secret("password", &key);
                    form.redactor.add_pair(&key_credentials.id, &key);
                }
                form.authenticate(&credentials.id, &client, *auth);
            }
            Grant::ClientCredentials { client: credentials, auth } => {
                form.authenticate(&credentials.id, &client, *auth);
            }
        }
        if !is_refresh && !scopes.is_empty() {
            form.add("scope", &scopes.to_string());
        }
        form.finish()
    }
}

/// Empty where there is none to read.
async fn secret(reader: Option<&SecretReader>) -> Secret {
    match reader {
        Some(reader) => reader.secret().await,
        None => Secret::new(String::new()),
    }
}

/// A form under construction, and what goes beside it.
struct Form {
    pairs: form_urlencoded::Serializer<'static, String>,
    authorization: Option<HeaderValue>,
    redactor: Redactor,
}

impl Form {
    fn new(grant_type: GrantType) -> Self {
        let pairs = form_urlencoded::Serializer::new(String::with_capacity(USUAL_LENGTH));
        let mut form = Self { pairs, authorization: None, redactor: Redactor::default() };
        form.add("grant_type", grant_type.as_str());
        form
    }

    fn add(&mut self, name: &str, value: &str) {
        self.pairs.append_pair(name, value);
    }

    fn add_secret(&mut self, name: &str, value: &Secret) {
        self.add(name, value.reveal());
        self.redactor.add(value);
    }

    fn add_refresh_token(&mut self, request: TokenRequest) {
        match request {
            TokenRequest::LogIn => {}
            TokenRequest::Refresh(token) => self.add_secret("refresh_token", &token.into_secret()),
        }
    }

    fn authenticate(&mut self, id: &str, secret: &Secret, auth: ClientAuth) {
        match auth {
            ClientAuth::Body => {
                self.add("client_id", id);
                self.add("client_secret", secret.reveal());
            }
            ClientAuth::Basic => {
                let encoded = Secret::new(byte_serialize(secret.reveal().as_bytes()).collect());
                let id: String = byte_serialize(id.as_bytes()).collect();
                self.basic(&id, &encoded);
            }
            ClientAuth::BasicRaw => self.basic(id, secret),
        }
        self.redactor.add(secret);
        self.redactor.add_pair(id, secret);
    }

    /// RFC 7617 section 2.
    fn basic(&mut self, id: &str, secret: &Secret) {
        let pair = Zeroizing::new(format!("{id}:{}", secret.reveal()));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        // Every character of Base64 is legal in a header.
        self.authorization = HeaderValue::try_from(format!("Basic {}", *encoded)).ok();
        if let Some(value) = &mut self.authorization {
            value.set_sensitive(true);
        }
        self.redactor.add_pair(id, secret);
    }

    fn finish(mut self) -> EncodedRequest {
        EncodedRequest {
            content_type: "application/x-www-form-urlencoded",
            authorization: self.authorization,
            body: Zeroizing::new(self.pairs.finish().into_bytes()),
            redactor: self.redactor,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessKeyJson<'a> {
    access_key_id: &'a str,
    access_key_secret: &'a str,
}

fn json(id: &str, secret: &Secret) -> EncodedRequest {
    let mut body = Zeroizing::new(Vec::with_capacity(USUAL_LENGTH));
    // Two strings always become JSON, and memory takes whatever is written.
    let _ = serde_json::to_writer(
        &mut *body,
        &AccessKeyJson { access_key_id: id, access_key_secret: secret.reveal() },
    );
    let mut redactor = Redactor::default();
    redactor.add(secret);
    redactor.add_pair(id, secret);
    EncodedRequest { content_type: "application/json", authorization: None, body, redactor }
}

#[cfg(test)]
mod tests;
