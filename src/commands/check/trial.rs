//! What the API's response to one harmless request means for the token and the address. Values in, a stage out.

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{
    ask::Reply,
    stage::{Stage, Step},
};
use crate::{secret::Secret, tokens::redact};

/// The request, and its token.
pub(super) struct Asked<'a> {
    /// The base URL.
    pub(super) base: &'a str,
    /// Path and query as they were given.
    pub(super) path: &'a str,
    /// The scopes of the token.
    pub(super) scopes: &'a [String],
    /// The token's text, which the response may repeat and nobody may see.
    pub(super) secret: &'a Secret,
}

impl Asked<'_> {
    /// The address without its query, which may hold personal data.
    fn address(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{}{path}", self.base)
    }

    fn scopes(&self) -> String {
        if self.scopes.is_empty() { "none named".to_owned() } else { self.scopes.join(" ") }
    }
}

/// The stage for this response.
pub(super) fn stage(asked: &Asked<'_>, reply: &Reply) -> Stage {
    let said = said(&reply.body, asked.secret);
    let facts =
        vec![("address", json!(asked.address())), ("status", json!(reply.status)), ("said", json!(said))];
    let (detail, hint) = match reply.status {
        200..=299 | 304 => {
            let facts = facts.into_iter().filter(|(name, _)| *name != "said").collect();
            return Stage::ok(Step::Request, facts);
        }
        300..=399 => (
            "the API responds with a redirect, which is never followed".to_owned(),
            "Set CXONE_BASE_URL to the API's final address.".to_owned(),
        ),
        401 => (
            "the API does not accept the token, although it is new".to_owned(),
            "Token and API have to be of the same region and tenant: compare CXONE_BASE_URL (or CXONE_REGION) with \
             CXONE_TOKEN_URL, and check that this API takes tokens of this grant (CXONE_GRANT)."
                .to_owned(),
        ),
        403 => forbidden(asked, reply),
        404 => missing(asked),
        429 => (
            "the API limits the rate of requests".to_owned(),
            "The token is good. Wait and try again; look for other programs with the same credentials.".to_owned(),
        ),
        500..=599 => (
            "the API has an error of its own".to_owned(),
            "The token was not refused. Try again later, or with another path.".to_owned(),
        ),
        _ => (
            "the API refuses the request itself".to_owned(),
            "The token was not refused. Try a path that is known to answer GET.".to_owned(),
        ),
    };
    Stage::failed(Step::Request, format!("{detail} ({})", reply.status), hint).with(facts)
}

fn forbidden(asked: &Asked<'_>, reply: &Reply) -> (String, String) {
    let has = asked.scopes();
    match missing_scope(&reply.headers, &reply.body, asked.secret) {
        Some(scope) => (
            format!("the token lacks the scope {scope}; it has: {has}"),
            format!(
                "Grant {scope} to the client in CXone, and add it to CXONE_SCOPES if that is set. Then start the proxy \
                 again, so that it asks for a new token."
            ),
        ),
        None => (
            format!("the token is good, but not for this; its scopes: {has}"),
            "Look up in the API's documentation which scope or permission this path needs, grant it to the client or \
             its user in CXone, and add it to CXONE_SCOPES if that is set."
                .to_owned(),
        ),
    }
}

/// The scope that is said to be missing: in the challenge (RFC 6750 section 3.1), else in the JSON.
fn missing_scope(headers: &HeaderMap, body: &[u8], secret: &Secret) -> Option<String> {
    let in_challenge = headers.get_all(WWW_AUTHENTICATE).iter().find_map(|challenge| {
        let challenge = std::str::from_utf8(challenge.as_bytes()).ok()?;
        let (_, rest) = challenge.split_once("scope=\"")?;
        rest.split('"').next().map(str::to_owned)
    });
    let in_body = || object(body)?.get("scope")?.as_str().map(str::to_owned);
    let scope = in_challenge.or_else(in_body)?;
    let scope = redact(&scope, &[secret]);
    (!scope.is_empty()).then_some(scope)
}

fn missing(asked: &Asked<'_>) -> (String, String) {
    let path = asked.path.split('?').next().unwrap_or_default();
    let first = path.split('/').find(|segment| !segment.is_empty()).map(|segment| format!("/{segment}"));
    let doubled = first.filter(|first| asked.base.ends_with(first.as_str()));
    let hint = match doubled {
        Some(first) => format!(
            "CXONE_BASE_URL ends with `{first}` and the path begins with it, so the address has it twice: remove it \
             from one of them."
        ),
        None => "Check the path, and in CXONE_BASE_URL the host and the path after it: the path is added to the base URL \
                 as it is."
            .to_owned(),
    };
    (format!("there is nothing at {}", asked.address()), hint)
}

/// What the response says for people: CXone's and OAuth's usual members, else the text itself.
fn said(body: &[u8], secret: &Secret) -> Option<String> {
    let object = object(body);
    let member = |name| {
        let value = object.as_ref()?.get(name)?;
        value.as_str().map(str::to_owned)
    };
    let names = ["error_description", "icStatusDescription", "message", "errorMessage", "detail", "error"];
    let text = names.into_iter().find_map(member);
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let text = redact(&text, &[secret]);
    (!text.is_empty()).then_some(text)
}

fn object(body: &[u8]) -> Option<serde_json::Map<String, Value>> {
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::{super::stage::Outcome, *};

    fn asked(
        base: &'static str,
        path: &'static str,
        secret: &'static Secret,
        scopes: &'static [String],
    ) -> Asked<'static> {
        Asked { base, path, scopes, secret }
    }

    fn secret() -> &'static Secret {
        Box::leak(Box::new(Secret::new("t0ken".to_owned())))
    }

    fn examined(base: &'static str, path: &'static str, status: u16, challenge: &str, body: &str) -> Stage {
        let mut headers = HeaderMap::new();
        if !challenge.is_empty() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_bytes(challenge.as_bytes()).unwrap());
        }
        let reply = Reply { status, headers, body: body.into() };
        let scopes = Box::leak(Box::new(["users:read".to_owned()]));
        stage(&asked(base, path, secret(), scopes), &reply)
    }

    fn simple(status: u16) -> Stage {
        examined("https://api.example", "/api/v2/users/me?key=k3y", status, "", "")
    }

    #[test]
    fn success_says_where_and_how() {
        for status in [200, 204, 304] {
            let stage = simple(status);
            assert_eq!(stage.outcome, Outcome::Ok);
            let due = [("address", json!("https://api.example/api/v2/users/me")), ("status", json!(status))];
            assert_eq!(stage.facts, due);
        }
    }

    #[test]
    fn each_kind_of_failure_has_its_own_next_step() {
        let statuses = [302, 400, 401, 403, 404, 429, 503];
        let hints: std::collections::HashSet<_> = statuses.map(|status| simple(status).hint.unwrap()).into();
        assert_eq!(hints.len(), statuses.len());
        for status in statuses {
            let stage = simple(status);
            assert_eq!(stage.outcome, Outcome::Failed);
            assert!(stage.detail.unwrap().contains(&format!("({status})")));
        }
    }

    #[test]
    fn the_missing_scope_is_named_from_challenge_and_body() {
        let challenge = "Bearer realm=\"cxone\", error=\"insufficient_scope\", scope=\"reports:read\"";
        let body = "{\"error\":\"insufficient_scope\",\"scope\":\"reports:read\"}";
        for (challenge, body) in [(challenge, ""), ("", body), (challenge, body)] {
            let stage = examined("https://api.example", "/x", 403, challenge, body);
            let detail = stage.detail.unwrap();
            assert!(detail.contains("lacks the scope reports:read; it has: users:read"), "{detail}");
            assert!(stage.hint.unwrap().contains("reports:read"));
        }
    }

    #[test]
    fn a_prefix_in_the_address_twice_has_its_own_hint() {
        let twice = examined("https://api.example/api", "/api/v2/users", 404, "", "");
        assert!(twice.hint.unwrap().contains("twice"));
        assert!(twice.detail.unwrap().contains("https://api.example/api/api/v2/users"));
        assert!(!simple(404).hint.unwrap().contains("twice"));
    }

    #[test]
    fn what_the_upstream_says_is_redact() {
        for (body, due) in [
            ("{\"icStatusDescription\":\"No agent\",\"error\":\"x\"}", "No agent"),
            ("{\"error\":\"not_found\"}", "not_found"),
            ("plain", "plain"),
        ] {
            let stage = examined("https://api.example", "/x", 400, "", body);
            assert_eq!(stage.facts.last(), Some(&("said", json!(due))));
        }
    }

    proptest! {
        #[test]
        fn nothing_secret_and_no_line_end_of_others_gets_through(
            status in 200..600_u16, before in "\\PC{0,40}", after in "\\PC{0,40}", name in "[a-z_]{0,12}",
        ) {
            let echo = format!("{before}t0ken\n{after}");
            let in_field = format!("Bearer scope=\"{before}t0ken{after}\"");
            let stages = [
                examined("https://api.example", "/x", status, "", &echo),
                examined("https://api.example", "/x", status, &in_field, ""),
                examined("https://api.example", "/x", status, "", &json!({ "scope": echo, name: echo }).to_string()),
            ];
            for stage in stages {
                let text = format!("{stage:?}");
                prop_assert!(!text.contains("t0ken"), "{}", text);
                prop_assert!(stage.detail.is_none_or(|detail| !detail.contains('\n')));
            }
        }
    }
}
