//! The token endpoints: forms (RFC 6749 4.3, 4.4, 5, 6) or JSON in, JSON out.
//!
//! The request is read before the script is asked for a fault, so that the referee sees every refresh
//! token that was sent, whatever becomes of it.

mod access_key;
mod form;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use self::access_key::KeyRequest;
use self::form::{Form, Presented};
use super::exchange::{After, Exchange};
use super::faults::{self, Verdict};
use super::script::{self, Endpoint};
use super::settings::{AccessKey, ExpiresIn, Settings, Tenant};
use super::state::State;
use super::tokens::Holder;
use super::wire::{Broken, Framing, Response};
use crate::clock::Now;

/// The largest request.
const LARGEST_REQUEST: usize = 64 * 1024;

/// The token endpoints, each with its own grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenEndpoint {
    /// Client credentials, and refresh.
    Client,
    /// A client with an access key as user name and password, and refresh.
    Password,
    /// An access key alone, in JSON.
    AccessKey,
}

impl TokenEndpoint {
    /// Where it is, after the path prefix.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Client => "/api/v2/oauth/token",
            Self::Password => "/auth/token",
            Self::AccessKey => "/authentication/v1/token/access-key",
        }
    }
}

/// The token endpoint at this path.
pub(super) fn at_path(path: &str) -> Option<TokenEndpoint> {
    [TokenEndpoint::Client, TokenEndpoint::Password, TokenEndpoint::AccessKey]
        .into_iter()
        .find(|kind| kind.path() == path)
}

/// A request as it was read.
enum Said {
    Form { form: Form, presented: Result<Presented, Refusal> },
    Key(Option<KeyRequest>),
}

impl Said {
    fn of(exchange: &Exchange<'_, '_>, kind: TokenEndpoint, body: &Bytes) -> Self {
        if kind == TokenEndpoint::AccessKey {
            return Self::Key(serde_json::from_slice(body).ok());
        }
        let form = Form::of(body);
        let presented = Presented::of(exchange.head, &form, exchange.region.settings.raw_basic);
        Self::Form { form, presented }
    }

    /// Tells the referee who asks, and with what. A client may ask for several keys at once, though not
    /// twice for one.
    fn announce(&self, exchange: &mut Exchange<'_, '_>) {
        match self {
            Self::Key(request) => {
                let who = request.as_ref().map(|request| request.access_key_id.clone());
                exchange.token_request(&who.unwrap_or_default(), Some("access_key"), None);
            }
            Self::Form { form, presented } => {
                let refresh_token = form.first("refresh_token");
                let client = || presented.as_ref().map(|presented| presented.id.clone());
                let who = refresh_token
                    .and_then(|token| exchange.region.tokens.subject_of(token))
                    .or_else(|| form.first("username").map(str::to_owned))
                    .or_else(|| client().ok());
                exchange.token_request(&who.unwrap_or_default(), form.first("grant_type"), refresh_token);
            }
        }
    }
}

/// Answers a token request.
pub(super) async fn serve(exchange: &mut Exchange<'_, '_>, kind: TokenEndpoint) -> Result<After, Broken> {
    let body = exchange.body(LARGEST_REQUEST).await?;
    let said = Said::of(exchange, kind, &body);
    said.announce(exchange);
    let mut after = After::Next;
    if let Some(action) = exchange.region.script.next_action(Endpoint::Token, exchange.head, script::chance) {
        match faults::apply(exchange, action).await? {
            Verdict::Answered(after) => return Ok(after),
            Verdict::GoOn(said) => after = said.unwrap_or(after),
        }
    }
    let granted = match said {
        _ if exchange.head.method() != "POST" => Err(Refusal::Method),
        Said::Form { form, presented } => check(exchange, kind, &form, presented),
        Said::Key(request) => access_key::check(exchange, request),
    };
    let answered = match granted {
        Ok(holder) => give(exchange, kind, &holder).await?,
        Err(refusal) => refuse(exchange, kind, refusal).await?,
    };
    Ok(if after == After::Next { answered } else { after })
}

/// The error codes of RFC 6749 5.2, and the misuse of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Method,
    Request(&'static str),
    Client,
    Grant,
    GrantType,
    Scope,
}

fn check(
    exchange: &Exchange<'_, '_>,
    kind: TokenEndpoint,
    form: &Form,
    presented: Result<Presented, Refusal>,
) -> Result<Holder, Refusal> {
    if !has_media_type(exchange, form::MEDIA_TYPE) {
        return Err(Refusal::Request("the body is not a form"));
    }
    if form.has_repeated() {
        return Err(Refusal::Request("a parameter is repeated"));
    }
    let State { settings, tokens, .. } = exchange.region;
    let client = presented?.find(&settings.clients)?;
    let mut holder = match (form.first("grant_type"), kind) {
        (None, _) => return Err(Refusal::Request("grant_type is missing")),
        (Some("client_credentials"), TokenEndpoint::Client) => Holder {
            client: client.id.clone(),
            subject: client.id.clone(),
            scopes: client.scopes.clone(),
            tenant: tenant(settings, client.tenant.as_deref()),
        },
        (Some("password"), TokenEndpoint::Password) => {
            let pair = form.first("username").zip(form.first("password"));
            let (id, secret) = pair.ok_or(Refusal::Request("username or password is missing"))?;
            let key = find_key(settings, id, secret).ok_or(Refusal::Grant)?;
            held_by_key(settings, key, &client.id)
        }
        (Some("refresh_token"), _) => {
            let token = form.first("refresh_token").ok_or(Refusal::Request("refresh_token is missing"))?;
            tokens.redeem(token, &client.id).ok_or(Refusal::Grant)?
        }
        (Some(_), _) => return Err(Refusal::GrantType),
    };
    holder.scopes = narrow(&holder.scopes, form.first("scope"))?;
    Ok(holder)
}

fn has_media_type(exchange: &Exchange<'_, '_>, wanted: &str) -> bool {
    let stated = exchange.head.only("content-type").and_then(|value| value.split(';').next());
    stated.is_some_and(|stated| stated.trim().eq_ignore_ascii_case(wanted))
}

fn find_key<'s>(settings: &'s Settings, id: &str, secret: &str) -> Option<&'s AccessKey> {
    settings.access_keys.iter().find(|key| key.id == id && key.secret.reveal() == secret)
}

fn held_by_key(settings: &Settings, key: &AccessKey, client: &str) -> Holder {
    Holder {
        client: client.to_owned(),
        subject: key.id.clone(),
        scopes: key.scopes.clone(),
        tenant: tenant(settings, key.tenant.as_deref()),
    }
}

/// The tenant with this identifier; the first where none is named.
fn tenant(settings: &Settings, id: Option<&str>) -> Option<Tenant> {
    settings.tenants.iter().find(|tenant| id.is_none_or(|id| tenant.id == id)).cloned()
}

/// The scopes asked for, all of them where none are; only out of `allowed`.
fn narrow(allowed: &[String], asked: Option<&str>) -> Result<Vec<String>, Refusal> {
    let asked: Vec<String> = asked.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    if asked.is_empty() {
        Ok(allowed.to_vec())
    } else if asked.iter().all(|scope| allowed.contains(scope)) {
        Ok(asked)
    } else {
        Err(Refusal::Scope)
    }
}

/// A token response (RFC 6749 5.1).
#[derive(Serialize)]
struct Given<'s> {
    access_token: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

async fn give(
    exchange: &mut Exchange<'_, '_>,
    kind: TokenEndpoint,
    holder: &Holder,
) -> Result<After, Broken> {
    let region = exchange.region;
    let settings = &region.settings;
    let now = Now::read().wall;
    let lifetime = settings.token_lifetime;
    let fresh = region.tokens.issue(holder, lifetime, settings.expiry, now)?;
    region.counts.tokens_issued.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    exchange.about_token(fresh.number);
    let seconds = lifetime.as_secs();
    let id_token = match kind {
        TokenEndpoint::Client => None,
        TokenEndpoint::Password | TokenEndpoint::AccessKey => {
            Some(region.tokens.identify(holder, lifetime, now)?)
        }
    };
    let is_oauth = kind != TokenEndpoint::AccessKey;
    let given = Given {
        access_token: &fresh.text,
        token_type: is_oauth.then_some(settings.token_type.as_str()),
        expires_in: match settings.expires_in {
            ExpiresIn::Number => Some(seconds.into()),
            ExpiresIn::Text => Some(seconds.to_string().into()),
            ExpiresIn::Absent => None,
        },
        refresh_token: settings.issue_refresh_tokens.then(|| region.tokens.issue_refresh(holder.clone())),
        id_token,
        scope: is_oauth.then(|| holder.scopes.join(" ")),
    };
    exchange.whole(uncached(200), &given).await
}

async fn refuse(
    exchange: &mut Exchange<'_, '_>,
    kind: TokenEndpoint,
    refusal: Refusal,
) -> Result<After, Broken> {
    let (status, error, description) = match refusal {
        Refusal::Method => (405, "invalid_request", "the token endpoint takes POST"),
        Refusal::Request(why) => (400, "invalid_request", why),
        Refusal::Client if kind == TokenEndpoint::AccessKey => {
            (401, "invalid_client", "the access key is not good")
        }
        Refusal::Client => (401, "invalid_client", "the client identifier or the secret is wrong"),
        Refusal::Grant if kind == TokenEndpoint::Client => {
            (400, "invalid_grant", "the refresh token is unknown, used or another client's")
        }
        Refusal::Grant => (400, "invalid_grant", "the access key or the refresh token is not good"),
        Refusal::GrantType if kind == TokenEndpoint::Client => {
            (400, "unsupported_grant_type", "client_credentials and refresh_token are granted")
        }
        Refusal::GrantType => (400, "unsupported_grant_type", "password and refresh_token are granted"),
        Refusal::Scope => (400, "invalid_scope", "the client may not have a scope it asks for"),
    };
    let mut response = uncached(status);
    if refusal == Refusal::Method {
        response = response.field("Allow", "POST");
    } else if refusal == Refusal::Client && kind != TokenEndpoint::AccessKey {
        response = response.field("WWW-Authenticate", "Basic realm=\"simulated region\"");
    }
    if kind == TokenEndpoint::AccessKey {
        // Not OAuth's form: all that can be relied on is the status.
        return exchange.whole(response, &json!({ "message": description })).await;
    }
    exchange.whole(response, &json!({ "error": error, "error_description": description })).await
}

fn uncached(status: u16) -> Response {
    Response::new(status, Framing::None).field("Cache-Control", "no-store").field("Pragma", "no-cache")
}
