//! Statuses, redirects and cookies.

use bytes::Bytes;
use serde_json::json;

use super::query::Query;
use super::{After, Broken, Exchange, Framing, Response, bad_request, not_found};

/// Any method, `/api/v2/status/{code}?retry_after=&body=`: that status, once the body has been read.
pub(super) async fn status(exchange: &mut Exchange<'_, '_>, code: &str) -> Result<After, Broken> {
    let code = code.parse().ok().filter(|code| (200..=599).contains(code));
    let Some(code) = code else { return not_found(exchange).await };
    exchange.drain().await?;
    let query = Query::of(exchange.head);
    let mut response = Response::new(code, Framing::None);
    if let Some(retry_after) = query.text("retry_after") {
        if retry_after.contains(|char: char| char.is_control()) {
            return bad_request(exchange, "retry_after has control characters").await;
        }
        response = response.field("Retry-After", retry_after.to_owned());
    }
    match query.text("body") {
        Some(body) => {
            exchange.bytes(response.field("Content-Type", "text/plain"), body.to_owned().into()).await
        }
        None if matches!(code, 204 | 205 | 304) => exchange.bytes(response, Bytes::new()).await,
        None => exchange.whole(response, &json!({ "status": code })).await,
    }
}

/// Any method, `/api/v2/redirect?to=&status=&form=`: `Location` and `Content-Location` that name `to` (a path
/// after the prefix) at this region's origin (`form=absolute`, the default), as a path (`path`), at this
/// region's host in the other scheme (`scheme`), or at another host (`foreign`).
pub(super) async fn redirect(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    exchange.drain().await?;
    let query = Query::of(exchange.head);
    let status = query.number("status", 302).and_then(|status| u16::try_from(status).ok());
    let Some(status) = status.filter(|status| (200..=399).contains(status)) else {
        return bad_request(exchange, "status is none that redirects").await;
    };
    let to = query.text("to").unwrap_or("/api/v2/users/me");
    if to.contains(|char: char| char.is_control()) {
        return bad_request(exchange, "to has control characters").await;
    }
    let settings = &exchange.region.settings;
    let (scheme, other) = if settings.tls.is_some() { ("https", "http") } else { ("http", "https") };
    let host = exchange.head.only("host").unwrap_or_default();
    let prefix = &settings.path_prefix;
    let location = match query.text("form").unwrap_or("absolute") {
        "absolute" => format!("{scheme}://{host}{prefix}{to}"),
        "path" => format!("{prefix}{to}"),
        "scheme" => format!("{other}://{host}{prefix}{to}"),
        "foreign" => format!("https://elsewhere.example{to}"),
        _ => return bad_request(exchange, "form is absolute, path, scheme or foreign").await,
    };
    let response = Response::new(status, Framing::None)
        .field("Location", location.clone())
        .field("Content-Location", location);
    exchange.bytes(response, Bytes::new()).await
}

/// `GET /api/v2/cookies`: sets cookies of every kind, and says which ones came.
pub(super) async fn cookies(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let lines: Vec<_> = exchange.head.values("cookie").map(String::from_utf8_lossy).collect();
    let came: Vec<_> = lines.iter().flat_map(|line| line.split("; ")).map(str::to_owned).collect();
    let lines = lines.len();
    let host = exchange.head.only("host").unwrap_or_default();
    let domain = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let response = Response::new(200, Framing::None)
        .field("Set-Cookie", "plain=1; Path=/")
        .field("Set-Cookie", format!("domain=2; Domain={domain}; Path=/api; HttpOnly"))
        .field("Set-Cookie", "secure=3; Secure; SameSite=None; Path=/")
        .field("Set-Cookie", "__Host-strict=4; Secure; Path=/")
        .field("Set-Cookie", "foreign=5; Domain=elsewhere.example; Path=/");
    exchange.whole(response, &json!({ "cookies": came, "lines": lines })).await
}
