//! Tokens for proxies that are there already: nginx' `auth_request`, Traefik's `forwardAuth`, Envoy's `ext_authz`.
//!
//! Such a proxy asks before each request whether that may pass, and gets the access token with the answer. It sends
//! the request itself, so nothing of it is sent again here: `POST /auth/rejected` reports a 401 of the API.

mod grpc;

use std::sync::Arc;

use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};

use super::arrival::Arrival;
use super::body::Body;
use super::callers::Caller;
use super::hop_by_hop::remove_field;
use super::in_flight::InFlight;
use super::problems;
use super::replay::ClientBody;
use super::route::{self, Profile};
use super::state::Shared;
use crate::access::{Admitted, Local, Problem, ProblemKind};
use crate::fields::{self, Repeated};
use crate::text::printable_bytes;
use crate::tokens::{AccessToken, RequestKey};

/// Method and path of the request that is asked about, by the proxies that say so.
const ORIGINAL: [(HeaderName, HeaderName); 2] = [
    (HeaderName::from_static("x-original-method"), HeaderName::from_static("x-original-uri")),
    (HeaderName::from_static("x-forwarded-method"), HeaderName::from_static("x-forwarded-uri")),
];
static GENERATION: HeaderName = HeaderName::from_static("x-token-generation");

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    /// May this request pass, and with which token?
    Token,
    /// The API has rejected a token.
    Rejected,
}

/// The request that is asked about.
struct Original {
    method: Method,
    /// Without its query.
    path: String,
}

impl Original {
    /// Of a method, and of a path perhaps with its query.
    fn read(method: &[u8], uri: &str) -> Result<Self, Problem> {
        let method = Method::from_bytes(method).map_err(|_| unclear("has no method"))?;
        let path = uri.split(['?', '#']).next().unwrap_or_default();
        if !path.starts_with('/') {
            return Err(unclear("has no path"));
        }
        Ok(Self { method, path: path.to_owned() })
    }
}

impl Shared {
    /// Answers another proxy. Cancellation: a client that leaves while the token is fetched changes nothing.
    pub(super) async fn authorize<B: ClientBody>(
        &self,
        arrival: Arrival,
        head: &mut Parts,
        body: B,
        in_flight: &mut InFlight,
    ) -> Result<Response<Body>, Problem> {
        if grpc::is_check(head) {
            return Box::pin(self.answer_envoy(arrival, head, body, in_flight)).await;
        }
        let local = Local { ip: arrival.local_ip, is_secure: arrival.is_secure };
        let admitted = self.guard.admit(head, local, |_, _| false)?;
        let question = question(&head.method, admitted.path.path())?;
        let caller = self.caller(&arrival, head, in_flight)?;
        let original = original(&head.headers)?;
        let query = admitted.path.query().unwrap_or_default();
        let named = query.split('&').find_map(|part| part.strip_prefix("profile="));
        let profile = self.profile_of(named, original.as_ref())?;
        in_flight.belongs_to(profile);
        if question == Question::Rejected {
            if let Some(caller) = caller {
                caller.check_profile(&profile.name)?;
            }
            return self.rejected(profile, head, original.as_ref());
        }
        let token = self.grant(caller, profile, head, original.as_ref(), in_flight).await?;
        let mut response = Response::new(Body::default());
        let headers = response.headers_mut();
        headers.insert(AUTHORIZATION, token.authorization().clone());
        headers.insert(GENERATION.clone(), HeaderValue::from(token.generation()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// The token for a request of another proxy, where the rules let it pass. `head` is the other proxy's.
    async fn grant(
        &self,
        caller: Option<Caller<'_>>,
        profile: &Profile,
        head: &mut Parts,
        original: Option<&Original>,
        in_flight: &mut InFlight,
    ) -> Result<Arc<AccessToken>, Problem> {
        self.make_room(in_flight.total())?;
        let has_rules = !self.settings.rules.allow_everything()
            || caller.is_some_and(|caller| !caller.client.rules.allow_everything());
        if let Some(original) = original {
            head.method = original.method.clone();
            // They are the other proxy's word for the request, and not the client's wish for another one.
            for (method, uri) in &ORIGINAL {
                remove_field(&mut head.headers, method);
                remove_field(&mut head.headers, uri);
            }
            self.check(head, &original.path)?;
        } else if has_rules {
            return Err(Problem::new(ProblemKind::OriginalMissing));
        }
        if let Some(caller) = caller {
            let path = original.map_or("/", |original| &original.path);
            let checked = caller.check(head, &profile.name, path);
            checked.inspect_err(|problem| self.note_refusal(problem, head, path))?;
            Box::pin(self.clients_turn(caller, head, in_flight)).await?;
        }
        self.token(profile, &mut in_flight.spent).await
    }

    /// The profile that the other proxy names; else the one that the original request would select here.
    fn profile_of(&self, named: Option<&str>, original: Option<&Original>) -> Result<&Profile, Problem> {
        if let Some(name) = named {
            let known = self.profiles.iter().find(|profile| &*profile.name == name);
            return known.ok_or_else(|| {
                Problem::new(ProblemKind::NoProfile).detail(format!(
                    "No profile has the name `{}`, which the other proxy asks for.",
                    printable_bytes(name.as_bytes())
                ))
            });
        }
        let path = original.map_or(Ok(PathAndQuery::from_static("/auth")), |original| {
            PathAndQuery::try_from(original.path.as_str())
        });
        let path = path.map_err(|_| problems::no_profile(&self.profiles))?;
        let asked = Admitted { path, host: None, upstream: None, origin: None, preflight: false };
        let selected = route::select(&self.profiles, 0, &asked);
        let selected = selected.and_then(|selected| self.profiles.get(selected.index));
        selected.ok_or_else(|| problems::no_profile(&self.profiles))
    }

    /// The API has answered 401: the token is renewed under the same limits as for requests that pass here.
    fn rejected(
        &self,
        profile: &Profile,
        head: &Parts,
        original: Option<&Original>,
    ) -> Result<Response<Body>, Problem> {
        let current = profile.tokens.current(self.clock.now());
        let one = |name: &HeaderName| fields::only(&head.headers, name).ok().flatten();
        let shown = one(&AUTHORIZATION);
        let numbered = one(&GENERATION).and_then(|number| number.to_str().ok()?.parse::<u64>().ok());
        if shown.is_none() && numbered.is_none() {
            return Err(Problem::new(ProblemKind::Malformed).detail(
                "The rejected token is not named: send it in Authorization as it was, or its X-Token-Generation.",
            ));
        }
        let is_current = |token: &AccessToken| {
            numbered
                .map_or_else(|| shown == Some(token.authorization()), |number| number == token.generation())
        };
        if let Some(token) = current.filter(|token| is_current(token)) {
            let key = RequestKey {
                method: original.map_or(&Method::GET, |original| &original.method),
                path: original.map_or("/", |original| &original.path),
            };
            // Why it is not renewed is in the log; the other proxy can do nothing about it.
            let _ = profile.tokens.rejected(token.generation(), key);
        }
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

fn question(method: &Method, path: &str) -> Result<Question, Problem> {
    match path {
        "/auth" if [Method::GET, Method::HEAD].contains(method) => Ok(Question::Token),
        "/auth/rejected" if method == Method::POST => Ok(Question::Rejected),
        "/auth" => Err(Problem::new(ProblemKind::ReadOnly).hint("Ask with GET /auth.")),
        "/auth/rejected" => Err(Problem::new(ProblemKind::PostOnly).hint("Use POST for /auth/rejected.")),
        _ => Err(Problem::new(ProblemKind::UnknownPage)
            .hint("This listener (CXONE_PROXY_AUTH_LISTEN) has GET /auth and POST /auth/rejected.")),
    }
}

/// What the other proxy says of the original request. A client could send the fields that its proxy does not set, so
/// two accounts that differ are none.
fn original(headers: &HeaderMap) -> Result<Option<Original>, Problem> {
    let only = |name| {
        let line = fields::only(headers, name).map_err(|Repeated| unclear("is said more than once"))?;
        Ok::<_, Problem>(line.filter(|line| !line.is_empty()))
    };
    let mut found: Option<Original> = None;
    for (method, uri) in &ORIGINAL {
        let (Some(method), Some(uri)) = (only(method)?, only(uri)?) else { continue };
        let own = Original::read(method.as_bytes(), uri.to_str().unwrap_or_default())?;
        if found.as_ref().is_some_and(|other| (&other.method, &other.path) != (&own.method, &own.path)) {
            return Err(unclear("is said in two ways that differ"));
        }
        found = Some(own);
    }
    Ok(found)
}

fn unclear(what: &str) -> Problem {
    Problem::new(ProblemKind::OriginalUnclear).detail(format!("The original request {what}."))
}
