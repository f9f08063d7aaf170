//! The API: who may use it, and which endpoint a path names.

mod bodies;
mod echo;
mod oddities;
mod query;
mod streams;
mod users;
mod websocket;

use std::borrow::Cow;

use serde_json::json;

use super::exchange::{After, Exchange};
use super::quota::Exceeded;
use super::tokens::{Issued, Verdict};
use super::wire::{Broken, Framing, Head, Response};
use crate::clock::Now;
pub use bodies::pattern;
use query::Query;
pub(super) use websocket::converse;

/// The path of a target, with runs of slashes counted as one and without the prefix; `None` where it does not
/// have that prefix or is no path.
pub(super) fn path<'h>(head: &'h Head, prefix: &str) -> Option<Cow<'h, str>> {
    let target = std::str::from_utf8(head.target()).ok()?;
    let path = target.split('?').next().filter(|path| path.starts_with('/'))?;
    if !path.contains("//") {
        return path.strip_prefix(prefix).map(Cow::Borrowed);
    }
    let mut collapsed = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        collapsed.push('/');
        collapsed.push_str(part);
    }
    if path.ends_with('/') {
        collapsed.push('/');
    }
    collapsed.strip_prefix(prefix).map(|path| Cow::Owned(path.to_owned()))
}

/// Answers an API request. Refusals come as soon as the head is there, while a body may be under way.
pub(super) async fn respond(exchange: &mut Exchange<'_, '_>, path: Option<&str>) -> Result<After, Broken> {
    let issued = match exchange.bearer() {
        Some(Verdict::Good(issued)) => issued,
        Some(Verdict::Expired(_)) => return unauthorized(exchange, "the token has expired").await,
        Some(Verdict::Revoked(_)) => return unauthorized(exchange, "the token has been revoked").await,
        Some(Verdict::Unknown) => {
            return unauthorized(exchange, "the token is not one of this region's").await;
        }
        None => return unauthorized(exchange, "exactly one bearer token is needed").await,
    };
    if let Err(Exceeded(retry_after)) = exchange.region.quotas.take(&issued.client, path, Now::read()) {
        let mut response = Response::new(429, Framing::None);
        if let Some(retry_after) = retry_after {
            response = response.field("Retry-After", retry_after);
        }
        return exchange.whole(response, &json!({ "error": "too_many_requests" })).await;
    }
    let Some(path) = path.and_then(|path| path.strip_prefix("/api/v2/")) else {
        return not_found(exchange).await;
    };
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match first {
        "bench" => bodies::bench(exchange, rest).await,
        "users" => users::respond(exchange, &issued, rest).await,
        "reports" => users::reports(exchange, &issued).await,
        "echo" => Box::pin(echo::describe(exchange, &issued)).await,
        "echo-body" => Box::pin(echo::body(exchange)).await,
        "upload" => Box::pin(echo::upload(exchange)).await,
        "stream" => Box::pin(streams::chunks(exchange)).await,
        "events" => Box::pin(streams::events(exchange)).await,
        "long-poll" => Box::pin(streams::long_poll(exchange)).await,
        "large" => Box::pin(bodies::large(exchange)).await,
        "gzip" => bodies::gzip(exchange).await,
        "trailers" => Box::pin(bodies::trailers(exchange)).await,
        "status" => oddities::status(exchange, rest).await,
        "redirect" => oddities::redirect(exchange).await,
        "cookies" => oddities::cookies(exchange).await,
        "ws" => Box::pin(websocket::respond(exchange)).await,
        _ => not_found(exchange).await,
    }
}

async fn unauthorized(exchange: &mut Exchange<'_, '_>, why: &'static str) -> Result<After, Broken> {
    let challenge = format!("Bearer realm=\"cxone\", error=\"invalid_token\", error_description=\"{why}\"");
    let response = Response::new(401, Framing::None).field("WWW-Authenticate", challenge);
    exchange.whole(response, &json!({ "error": "invalid_token", "error_description": why })).await
}

/// Refuses with 403 where the token lacks a scope (RFC 6750 3.1); with `?challenge=none` in the vendor's own
/// words alone.
async fn lacking(
    exchange: &mut Exchange<'_, '_>,
    issued: &Issued,
    scope: &str,
) -> Result<Option<After>, Broken> {
    if issued.scopes.iter().any(|held| held == scope) {
        return Ok(None);
    }
    let text = format!("Token does not have the required scope: {scope}");
    let mut response = Response::new(403, Framing::None).field("icStatusDescription", text.clone());
    if Query::of(exchange.head).text("challenge") != Some("none") {
        let challenge = format!("Bearer realm=\"cxone\", error=\"insufficient_scope\", scope=\"{scope}\"");
        response = response.field("WWW-Authenticate", challenge);
    }
    let refused = json!({ "error": "insufficient_scope", "scope": scope, "message": text });
    exchange.whole(response, &refused).await.map(Some)
}

async fn not_found(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    exchange.json(404, &json!({ "error": "not_found" })).await
}

async fn bad_request(exchange: &mut Exchange<'_, '_>, why: &str) -> Result<After, Broken> {
    exchange.json(400, &json!({ "error": "bad_request", "error_description": why })).await
}

/// Refuses with 405 where the method is not among those allowed.
async fn allow(exchange: &mut Exchange<'_, '_>, methods: &'static [&str]) -> Result<Option<After>, Broken> {
    if methods.contains(&exchange.head.method()) {
        return Ok(None);
    }
    let response = Response::new(405, Framing::None).field("Allow", methods.join(", "));
    exchange.whole(response, &json!({ "error": "method_not_allowed" })).await.map(Some)
}
