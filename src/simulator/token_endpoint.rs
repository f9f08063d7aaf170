//! The token endpoint (RFC 6749 4.4, 5, 6): forms in, JSON out.
//!
//! The form is read before the script is asked what befalls the request, so that the referee sees every
//! refresh token that was sent, whatever becomes of it.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};

use super::exchange::{After, Exchange};
use super::faults::{self, Verdict};
use super::script::Endpoint;
use super::settings::{Client, ExpiresIn};
use super::wire::{Answer, Broken, Framing, Head};

/// Where it is, after the path prefix.
pub(super) const PATH: &str = "/api/v2/oauth/token";
/// The largest form.
const LARGEST_FORM: usize = 64 * 1024;

/// Answers a token request.
pub(super) async fn serve(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let form = Form::of(&exchange.body(LARGEST_FORM).await?);
    let presented = Presented::of(exchange.head, &form);
    let client = presented.as_ref().map(|presented| presented.id.clone()).unwrap_or_default();
    exchange.token_request(&client, form.first("grant_type"), form.first("refresh_token"));
    let mut after = After::Next;
    if let Some(action) = exchange.region.script.befalling(Endpoint::Token, exchange.head) {
        match faults::befall(exchange, action).await? {
            Verdict::Answered(after) => return Ok(after),
            Verdict::GoOn(said) => after = said.unwrap_or(after),
        }
    }
    let answered = match judge(exchange, &form, presented) {
        Ok(grant) => give(exchange, &grant).await?,
        Err(refusal) => refuse(exchange, refusal).await?,
    };
    Ok(if after == After::Next { answered } else { after })
}

/// A request that is to be granted.
struct Granted {
    client: String,
    scopes: Vec<String>,
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

fn judge(
    exchange: &Exchange<'_, '_>,
    form: &Form,
    presented: Result<Presented, Refusal>,
) -> Result<Granted, Refusal> {
    if exchange.head.method() != "POST" {
        return Err(Refusal::Method);
    }
    let media_type = exchange.head.only("content-type").and_then(|value| value.split(';').next());
    if !media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(FORM)) {
        return Err(Refusal::Request("the body is not a form"));
    }
    if form.has_repeated() {
        return Err(Refusal::Request("a parameter is repeated"));
    }
    let client = authenticate(&exchange.region.settings.clients, &presented?)?;
    let scopes = match form.first("grant_type") {
        None => return Err(Refusal::Request("grant_type is missing")),
        Some("client_credentials") => narrow(&client.scopes, form.first("scope"))?,
        Some("refresh_token") => {
            let token = form.first("refresh_token").ok_or(Refusal::Request("refresh_token is missing"))?;
            let scopes = exchange.region.tokens.redeem(token, &client.id).ok_or(Refusal::Grant)?;
            narrow(&scopes, form.first("scope"))?
        }
        Some(_) => return Err(Refusal::GrantType),
    };
    Ok(Granted { client: client.id.clone(), scopes })
}

const FORM: &str = "application/x-www-form-urlencoded";

fn authenticate<'c>(clients: &'c [Client], presented: &Presented) -> Result<&'c Client, Refusal> {
    clients
        .iter()
        .find(|client| client.id == presented.id && client.secret.reveal() == presented.secret)
        .ok_or(Refusal::Client)
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

/// A token answer (RFC 6749 5.1).
#[derive(Serialize)]
struct Said<'s> {
    access_token: &'s str,
    token_type: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    scope: String,
}

async fn give(exchange: &mut Exchange<'_, '_>, grant: &Granted) -> Result<After, Broken> {
    let region = exchange.region;
    let settings = &region.settings;
    let now = region.now().wall;
    let lifetime = settings.token_lifetime;
    let fresh = region.tokens.issue(&grant.client, &grant.scopes, lifetime, settings.expiry, now)?;
    region.counts.tokens_issued.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    exchange.about_token(fresh.number);
    let seconds = lifetime.as_secs();
    let refresh_token = settings
        .issue_refresh_tokens
        .then(|| region.tokens.issue_refresh(&grant.client, &grant.scopes).reveal().to_owned());
    let said = Said {
        access_token: fresh.text.reveal(),
        token_type: &settings.token_type,
        expires_in: match settings.expires_in {
            ExpiresIn::Number => Some(seconds.into()),
            ExpiresIn::Text => Some(seconds.to_string().into()),
            ExpiresIn::Absent => None,
        },
        refresh_token,
        scope: grant.scopes.join(" "),
    };
    exchange.whole(uncached(200), &said).await
}

async fn refuse(exchange: &mut Exchange<'_, '_>, refusal: Refusal) -> Result<After, Broken> {
    let (status, error, description) = match refusal {
        Refusal::Method => (405, "invalid_request", "the token endpoint takes POST"),
        Refusal::Request(why) => (400, "invalid_request", why),
        Refusal::Client => (401, "invalid_client", "the client identifier or the secret is wrong"),
        Refusal::Grant => (400, "invalid_grant", "the refresh token is unknown, used or another client's"),
        Refusal::GrantType => {
            (400, "unsupported_grant_type", "client_credentials and refresh_token are granted")
        }
        Refusal::Scope => (400, "invalid_scope", "the client may not have a scope it asks for"),
    };
    let mut answer = uncached(status);
    if refusal == Refusal::Method {
        answer = answer.field("Allow", "POST");
    } else if refusal == Refusal::Client {
        answer = answer.field("WWW-Authenticate", "Basic realm=\"simulated region\"");
    }
    exchange.whole(answer, &json!({ "error": error, "error_description": description })).await
}

fn uncached(status: u16) -> Answer {
    Answer::new(status, Framing::None).field("Cache-Control", "no-store").field("Pragma", "no-cache")
}

/// A form, its parameters in order.
struct Form(Vec<(String, String)>);

impl Form {
    fn of(body: &Bytes) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    /// The first value; [`judge`] refuses forms that have another.
    fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn has_repeated(&self) -> bool {
        self.0
            .iter()
            .enumerate()
            .any(|(at, (name, _))| self.0.iter().skip(at + 1).any(|(other, _)| other == name))
    }
}

/// The credentials that a request shows.
struct Presented {
    id: String,
    secret: String,
}

impl Presented {
    /// From the form or from HTTP Basic (RFC 6749 2.3.1), not both.
    fn of(head: &Head, form: &Form) -> Result<Self, Refusal> {
        let from_form = form.first("client_id").zip(form.first("client_secret"));
        match (head.only("authorization"), from_form) {
            (None, Some((id, secret))) => Ok(Self { id: id.to_owned(), secret: secret.to_owned() }),
            (Some(value), None) => Self::of_basic(value).ok_or(Refusal::Client),
            (Some(_), Some(_)) => Err(Refusal::Request("the client authenticates in two ways")),
            (None, None) => Err(Refusal::Client),
        }
    }

    fn of_basic(value: &str) -> Option<Self> {
        use base64::Engine as _;
        let (scheme, encoded) = value.split_once(' ')?;
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (id, secret) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let decode =
            |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8().ok().map(Into::into);
        Some(Self { id: decode(id)?, secret: decode(secret)? })
    }
}
