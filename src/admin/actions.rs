//! What an operator can do on the page: pause, resume, and get a new token.
//!
//! An action changes what the proxy does, so it is asked for by POST, on this machine, and by nobody's web page
//! but the proxy's own. A web origin that may read the pages may not do this.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use axum::http::{HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Pages, Site};
use crate::access::{Problem, ProblemKind};
use crate::text::printable_bytes;
use crate::tokens::NoRenewal;

/// The budget of forced renewals grows by one in this time.
const RENEWAL_RETRY: Duration = Duration::from_secs(5);

/// Refuses those that may not act.
pub(super) async fn only_here(State(site): State<Site>, request: Request, next: Next) -> Response {
    if request.method() == Method::POST && !(site.has_actions && is_own(request.headers(), request.uri())) {
        let wall = site.pages.load().clock.now().wall;
        return Problem::new(ProblemKind::ActionDenied).into_response(request.method(), wall);
    }
    next.run(request).await
}

pub(super) async fn pause(State(pages): State<Arc<Pages>>) -> Response {
    if pages.pause.begin(pages.clock.now().wall) {
        tracing::warn!("paused by an operator: requests are answered 503 until somebody resumes");
    }
    document(&json!({ "paused": true }))
}

pub(super) async fn resume(State(pages): State<Arc<Pages>>) -> Response {
    if pages.pause.end() {
        tracing::info!("resumed by an operator");
    }
    document(&json!({ "paused": false }))
}

/// For all profiles. Those that share credentials share one token request.
pub(super) async fn renew(State(pages): State<Arc<Pages>>) -> Response {
    renewed(&pages, |_| true)
}

pub(super) async fn renew_one(State(pages): State<Arc<Pages>>, Path(name): Path<String>) -> Response {
    if pages.profiles.iter().any(|profile| profile.metrics.name() == name) {
        return renewed(&pages, |own| own == name);
    }
    Problem::new(ProblemKind::UnknownPage)
        .detail(format!("There is no profile `{}`.", printable_bytes(name.as_bytes())))
        .into_response(&Method::POST, pages.clock.now().wall)
}

pub(super) async fn post_only(State(pages): State<Arc<Pages>>, method: Method, uri: Uri) -> Response {
    Problem::new(ProblemKind::PostOnly)
        .detail(format!(
            "The method is `{}`, and `{}` is an action.",
            printable_bytes(method.as_str().as_bytes()),
            printable_bytes(uri.path().as_bytes())
        ))
        .into_response(&method, pages.clock.now().wall)
}

fn renewed(pages: &Pages, is_meant: impl Fn(&str) -> bool) -> Response {
    let meant = pages.profiles.iter().filter(|profile| is_meant(profile.metrics.name()));
    for profile in meant {
        match profile.tokens.replace() {
            Ok(()) => tracing::info!(profile = profile.metrics.name(), "an operator asks for a new token"),
            Err(NoRenewal::BudgetSpent | NoRenewal::TooSoon | NoRenewal::PathRejected) => {
                return Problem::new(ProblemKind::TooManyRenewals)
                    .retry_after(RENEWAL_RETRY)
                    .into_response(&Method::POST, pages.clock.now().wall);
            }
            Err(NoRenewal::Unavailable(unavailable)) => {
                return Problem::new(ProblemKind::TokenUnavailable)
                    .detail(unavailable.to_string())
                    .hint(unavailable.hint())
                    .into_response(&Method::POST, pages.clock.now().wall);
            }
        }
    }
    document(&json!({ "renewal": "requested" }))
}

fn document(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

/// True for the page itself, and for what is no browser: browsers say with every POST where it comes from.
fn is_own(headers: &HeaderMap, uri: &Uri) -> bool {
    let site_is_own = headers.get_all("sec-fetch-site").iter().all(|site| site == "same-origin");
    let host = uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| headers.get_all(HOST).iter().next().map(HeaderValue::as_bytes));
    let is_host = |origin: &HeaderValue| {
        origin
            .as_bytes()
            .strip_prefix(b"http://")
            .is_some_and(|own| host.is_some_and(|host| own.eq_ignore_ascii_case(host)))
    };
    site_is_own && headers.get_all(ORIGIN).iter().all(is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        is_own(&headers, &Uri::from_static("/pause"))
    }

    #[test]
    fn only_the_page_itself_and_programs_may_act() {
        let host = ("host", "localhost:8081");
        let same = ("origin", "http://localhost:8081");
        assert!(own(&[host]));
        assert!(own(&[host, same]));
        assert!(own(&[host, same, ("sec-fetch-site", "same-origin")]));
        for fields in [
            &[host, ("origin", "https://app.example")][..],
            &[host, ("origin", "https://localhost:8081")],
            &[host, ("origin", "http://localhost:8080")],
            &[host, ("origin", "null")],
            &[host, same, ("origin", "http://evil.example")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "none")],
            &[same],
        ] {
            assert!(!own(fields), "{fields:?}");
        }
    }
}
