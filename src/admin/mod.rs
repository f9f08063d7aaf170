//! The pages for operators, probes and scrapers: `/livez`, `/readyz`, `/metrics`, `/status`.
//!
//! Decides what each page says. Knows nothing of connections, since [`Admin`] is served by the same
//! [`server`](crate::server) as the proxy, nor of who may read the pages: that is the [`Gate`]'s
//! business. No page can show a token, since nothing that is read here holds one.

mod page;
mod readiness;
mod status;

use std::sync::Arc;

use http::Method;

use crate::clock::{Clock, Now};
use crate::message::{Content, RequestHead};
use crate::metrics::{self, ProfileReadings, Readings, Shards, TokenCounters, exposition};
use crate::oauth::Tokens;
use crate::server::{Drain, Service, Unreadable};

pub use page::{Denial, Page};

/// May this request see the pages? The same guard as before the proxy, which this module does not
/// know. What it answers itself, such as an allowed web origin's preflight, is a denial too.
pub type Gate = Arc<dyn Fn(&RequestHead) -> Result<(), Denial> + Send + Sync>;

/// What is answered to something that could not be read.
pub type OnUnreadable = Arc<dyn Fn(Unreadable) -> Denial + Send + Sync>;

/// Fields that the answer to a request gets beyond its own, whatever it is: those that let an
/// allowed web origin read it.
pub type Additions = Arc<dyn Fn(&RequestHead) -> Vec<(&'static str, String)> + Send + Sync>;

/// What the pages tell of.
pub struct Pages {
    /// The profiles, at least one.
    pub profiles: Vec<ProfilePages>,
    /// Profiles are told apart: somebody configured them.
    pub named: bool,
    /// What time it is.
    pub clock: Clock,
    /// Where the process stands: the proxy's drain, not that of the listener that serves these pages.
    pub drain: Drain,
    /// The program's version.
    pub version: &'static str,
    /// When the process started.
    pub started: Now,
}

/// Where an upstream is at the moment of asking; `None` while that is not known.
pub type Whereabouts = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What the pages tell of one profile.
pub struct ProfilePages {
    /// What people call it.
    pub name: String,
    /// What is counted of its requests.
    pub shards: Shards,
    /// What is counted of token requests; `None` where its credentials are another profile's.
    pub token_counters: Option<Arc<TokenCounters>>,
    /// How things stand with its token.
    pub tokens: Tokens,
    /// Its upstream.
    pub base_url: Whereabouts,
    /// Its token endpoint. What the query says is not shown.
    pub token_url: String,
}

/// Serves the pages. Cheap to clone.
///
/// Cancellation: every page is made at once, and making it changes nothing.
#[derive(Clone)]
pub struct Admin {
    pages: Arc<Pages>,
    gate: Gate,
    unreadable: OnUnreadable,
    additions: Additions,
}

/// What there is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Index,
    Liveness,
    /// Of all profiles, or of the one at this place.
    Readiness(Option<usize>),
    Metrics,
    Status,
}

/// Every page: where it is, what it is, and what the index says of it.
const RESOURCES: [(&str, Resource, &str); 5] = [
    ("/", Resource::Index, "this list"),
    ("/livez", Resource::Liveness, "200 while the process runs"),
    ("/readyz", Resource::Readiness(None), "200 while requests can be served, else 503 with the reason"),
    ("/metrics", Resource::Metrics, "counters in the Prometheus text format"),
    ("/status", Resource::Status, "token, requests and retries as JSON"),
];

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Admin {
    /// Serves `pages` to whom `gate` lets through.
    pub fn new(pages: Pages, gate: Gate, unreadable: OnUnreadable) -> Self {
        Self { pages: Arc::new(pages), gate, unreadable, additions: Arc::new(|_| Vec::new()) }
    }

    /// With fields beyond the pages' own.
    #[must_use]
    pub fn with(mut self, additions: Additions) -> Self {
        self.additions = additions;
        self
    }

    async fn page(&self, head: &RequestHead) -> Page {
        let now = self.pages.clock.now();
        if let Err(denial) = (self.gate)(head) {
            return Page::denied(denial, now.wall);
        }
        let path = path_of(&head.target);
        let Some(resource) = self.pages.find(path) else {
            return Page::denied(unknown(path), now.wall);
        };
        if head.method != Method::GET && head.method != Method::HEAD {
            return Page::denied(wrong_method(&head.method), now.wall);
        }
        let (status, media_type, content) = match resource {
            Resource::Index => (200, PLAIN, self.pages.index()),
            Resource::Liveness => (200, PLAIN, "ok\n".to_owned()),
            Resource::Readiness(which) => match readiness::judge(&self.pages, which, now).await {
                Ok(()) => (200, PLAIN, "ready\n".to_owned()),
                Err(reason) => (503, PLAIN, reason),
            },
            Resource::Metrics => (200, metrics::MEDIA_TYPE, self.pages.exposition()),
            Resource::Status => (200, JSON, status::render(&self.pages, now)),
        };
        Page::new(status, media_type, content, now.wall)
    }
}

impl Service for Admin {
    type Reply<C: Content + Send + Unpin> = Page;

    async fn exchange<C: Content + Send + Unpin>(&self, head: &RequestHead, _: C) -> Page {
        let page = self.page(head).await.and((self.additions)(head));
        if head.method == Method::HEAD { page.without_content() } else { page }
    }

    fn refuse<C: Content + Send + Unpin>(&self, why: Unreadable) -> Page {
        Page::denied((self.unreadable)(why), self.pages.clock.now().wall)
    }
}

impl Pages {
    fn find(&self, path: &[u8]) -> Option<Resource> {
        if let Some(name) = path.strip_prefix(b"/readyz/") {
            let place = self.profiles.iter().position(|profile| profile.name.as_bytes() == name)?;
            return Some(Resource::Readiness(Some(place)));
        }
        let found = RESOURCES.into_iter().find(|(known, ..)| known.as_bytes() == path);
        found.map(|(_, resource, _)| resource)
    }

    fn index(&self) -> String {
        let lines = RESOURCES.map(|(path, _, about)| format!("{path:<10}{about}\n"));
        format!("cxone-proxy {}\n\n{}", self.version, lines.concat())
    }

    fn exposition(&self) -> String {
        exposition(&Readings {
            profiles: self.profiles.iter().map(|profile| profile.readings(self.named)).collect(),
            draining: self.drain.has_begun(),
            version: self.version,
            started: self.started.wall,
        })
    }
}

impl ProfilePages {
    fn readings(&self, named: bool) -> ProfileReadings<'_> {
        ProfileReadings {
            name: named.then_some(self.name.as_str()),
            shards: &self.shards,
            tokens: self.token_counters.as_deref(),
        }
    }
}

/// The path of a request target in origin or absolute form (RFC 9112 section 3.2), without query.
/// The authority has been judged by the gate.
fn path_of(target: &[u8]) -> &[u8] {
    let whole = if target.starts_with(b"/") {
        target
    } else {
        let authority = target.windows(3).position(|window| window == b"://").map_or(0, |at| at + 3);
        let rest = target.get(authority..).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        rest.get(end..).unwrap_or_default()
    };
    let end = whole.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(whole.len());
    match whole.get(..end) {
        None | Some([]) => b"/",
        Some(path) => path,
    }
}

fn unknown(path: &[u8]) -> Denial {
    let shown = String::from_utf8_lossy(path.get(..200).unwrap_or(path));
    let pages: Vec<&str> = RESOURCES.iter().map(|(path, ..)| *path).collect();
    Denial::problem(
        404,
        "unknown-page",
        "There is no such page",
        &format!("The admin listener has no page at `{shown}`."),
        &format!(
            "The pages are {}. API requests belong to the proxy's own address (CXONE_PROXY_LISTEN).",
            pages.join(", ")
        ),
    )
}

fn wrong_method(method: &Method) -> Denial {
    let mut denial = Denial::problem(
        405,
        "read-only",
        "The admin pages can only be read",
        &format!("The method is `{}`.", method.as_str().get(..40).unwrap_or(method.as_str())),
        "Use GET or HEAD.",
    );
    denial.fields.push(("Allow", "GET, HEAD".to_owned()));
    denial
}

#[cfg(test)]
mod tests;
