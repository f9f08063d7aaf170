//! One profile, stage by stage.
//!
//! Decides the order of the stages and which of them depend on which; what each means is decided by its
//! own module.

use std::{error::Error, sync::Arc, time::Duration};

use http::Method;
use rustls::ClientConfig;
use serde_json::json;
use url::Url;

use super::{
    ask::{Question, ask},
    log_in,
    probe::{self, Origin, is_open},
    report::{Facts, Section, Stage, Step},
    skew,
    trial::{self, Asked},
};
use crate::{
    app::settings,
    clock::Clock,
    config::{Config, Profile},
    discovery::{Discoverer, DiscoveryError},
    oauth::{self, AccessToken, Endpoint, EndpointError, shown},
    transport::{Base, Route, tls, tls::TlsError},
};

/// A document that needs no token and says what time it is there, even where it does not exist (`OpenID`
/// Connect Discovery 1.0, section 4).
const PUBLIC: &[u8] = b"/.well-known/openid-configuration";
/// For the answer to that.
const PATIENCE_WITH_CLOCK: Duration = Duration::from_secs(10);
/// For the answer to the request of `--path`; long polls are no harmless requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the transport offers by ALPN (RFC 7301).
const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
/// What a token request is sent by.
const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// The configuration cannot be carried out, although each of its values is good.
#[derive(Debug, thiserror::Error)]
pub(super) enum Invalid {
    #[error("upstream.ca_file: {0}; accepted: a PEM file of CA certificates")]
    Tls(#[from] TlsError),
    #[error("{} ({})", .0, cause(.0))]
    Endpoint(#[from] EndpointError),
    #[error("{} ({})", .0, cause(.0))]
    Discovery(#[from] DiscoveryError),
}

fn cause(error: &impl Error) -> String {
    error.source().map_or_else(|| "no cause given".to_owned(), ToString::to_string)
}

/// A profile with all that can be made before anything is connected to.
pub(super) struct Subject<'a> {
    profile: &'a Profile,
    config: &'a Config,
    /// Whose token is used instead of an own one.
    owner: Option<&'a str>,
    endpoint: Endpoint,
    token_base: Arc<Base>,
    /// Where the API has to be found first.
    discoverer: Option<Discoverer>,
    tls: ClientConfig,
    clock: Clock,
}

/// Where the API is.
struct Place {
    base: Arc<Base>,
    /// The base URL.
    shown: String,
}

impl<'a> Subject<'a> {
    /// The profile at this place. Reads the CA bundle, connects nowhere.
    pub(super) fn new(
        config: &'a Config,
        place: usize,
        profile: &'a Profile,
        clock: Clock,
    ) -> Result<Self, Invalid> {
        let (upstream, oauth, forward) = (&profile.upstream, &profile.oauth, &config.forward_proxy);
        let token = settings::token(oauth, upstream, forward)?;
        let endpoint = Endpoint::new(token, settings::grant(oauth), clock.clone())?;
        let discoverer = settings::discovery(upstream, forward)?.map(Discoverer::new).transpose()?;
        let owner = config.profiles.get(profile.credentials).filter(|_| profile.credentials != place);
        Ok(Self {
            owner: owner.map(|owner| owner.name.as_str()),
            token_base: Arc::new(Base { prefix: Vec::new(), ..settings::base_of(&oauth.token_url) }),
            tls: tls::client_config(upstream.ca_file.as_deref())?,
            profile,
            config,
            endpoint,
            discoverer,
            clock,
        })
    }

    /// All stages, and the token where one was got. `shared` is the token of the profile that has the same
    /// credentials. Cancel safe: connections are dropped.
    pub(super) async fn examine(
        &self,
        configured: Stage,
        shared: Option<&AccessToken>,
        path: Option<&str>,
    ) -> (Section, Option<AccessToken>) {
        let mut stages = vec![configured.with(self.facts())];
        let fixed = self.discoverer.is_none().then(|| self.fixed());
        let is_one = fixed.as_ref().is_some_and(|place| is_same_origin(&place.base, &self.token_base));
        let (of, protocols) =
            if is_one { ("upstream and token endpoint", BOTH) } else { ("token endpoint", HTTP1) };
        let mut is_reachable = self.owner.is_some();
        if !is_reachable {
            is_reachable = self.probe(of, &self.token_base, protocols, &mut stages).await;
        }
        let token = self.obtain(is_reachable, &mut stages).await;
        let held = token.as_ref().or(shared);
        let place = match fixed {
            Some(place) => {
                stages.push(Stage::skipped(Step::Discovery, "not configured"));
                Some(place)
            }
            None => self.discover(held, &mut stages).await,
        };
        if !is_one || self.owner.is_some() {
            is_reachable = self.probe_upstream(place.as_ref(), &mut stages).await;
        }
        if let Some(path) = path {
            stages.push(match (place, held) {
                (_, None) => Stage::skipped(Step::Request, "there is no token"),
                (Some(place), Some(token)) if is_reachable => self.request(&place, path, token).await,
                (_, Some(_)) => Stage::skipped(Step::Request, "the upstream cannot be reached"),
            });
        }
        (Section { profile: self.profile.name.clone(), stages }, token)
    }

    fn fixed(&self) -> Place {
        let base_url = &self.profile.upstream.base_url;
        Place { base: settings::base(base_url), shown: base_url.to_string() }
    }

    /// Name, connection and TLS; whether all of it went well.
    async fn probe(
        &self,
        of: &'static str,
        base: &Arc<Base>,
        protocols: &[&[u8]],
        stages: &mut Vec<Stage>,
    ) -> bool {
        let forward = url_of(base).and_then(|url| self.config.forward_proxy.toward(&url).cloned());
        let mut tls = self.tls.clone();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let origin = Origin {
            of,
            base: base.clone(),
            route: Route::new(base, forward.as_ref()),
            forward_proxy: forward.as_ref().map(authority),
            tls,
            time_out: self.profile.upstream.connect_timeout,
        };
        let probed = probe::probe(&origin, &self.clock).await;
        let is_reachable = is_open(&probed);
        stages.extend(probed);
        is_reachable
    }

    async fn probe_upstream(&self, place: Option<&Place>, stages: &mut Vec<Stage>) -> bool {
        if let Some(place) = place {
            return self.probe("upstream", &place.base, BOTH, stages).await;
        }
        let steps = [Step::NameResolution, Step::Connection, Step::Tls];
        let skipped = steps.map(|step| Stage::skipped(step, "it is not known where the upstream is"));
        stages.extend(skipped.map(|stage| Stage { of: Some("upstream"), ..stage }));
        false
    }

    /// Asks where the tenant's API is.
    async fn discover(&self, token: Option<&AccessToken>, stages: &mut Vec<Stage>) -> Option<Place> {
        let (Some(discoverer), Some(token)) = (&self.discoverer, token) else {
            stages.push(Stage::skipped(Step::Discovery, "there is no token"));
            return None;
        };
        let started = self.clock.now();
        let found = match token.tenant_id() {
            None => Err(DiscoveryError::NoTenant),
            Some(tenant) => discoverer.find(tenant).await,
        };
        let took = started.steady.elapsed();
        let found = found.map(|url| Place {
            base: Arc::new(settings::base_of(&url)),
            shown: url.as_str().trim_end_matches('/').to_owned(),
        });
        let stage = match &found {
            Ok(place) => Stage::ok(Step::Discovery, vec![("upstream", json!(place.shown))]),
            Err(error) => {
                let cause = error.source().map(|cause| shown(&format!(": {cause}"), &[token.text()]));
                let detail = format!("{error}{}", cause.unwrap_or_default());
                Stage::failed(
                    Step::Discovery,
                    detail,
                    "Check CXONE_DISCOVERY_URL and the network, or set CXONE_BASE_URL instead of CXONE_DISCOVER.",
                )
            }
        };
        stages.push(Stage { took, ..stage });
        found.ok()
    }

    /// Clock, log-in and token, or why there is nothing to be done about them.
    async fn obtain(&self, is_reachable: bool, stages: &mut Vec<Stage>) -> Option<AccessToken> {
        let why = match self.owner {
            Some(owner) => format!("the credentials are those of profile {owner}"),
            None if !is_reachable => "the token endpoint cannot be reached".to_owned(),
            None => return self.log_in(stages).await,
        };
        let skipped = [Step::Clock, Step::LogIn, Step::Token].map(|step| Stage::skipped(step, why.clone()));
        stages.extend(skipped);
        None
    }

    fn upstream(&self) -> String {
        match &self.discoverer {
            None => self.profile.upstream.base_url.to_string(),
            Some(_) => "to be discovered".to_owned(),
        }
    }

    /// What is configured; nothing secret.
    fn facts(&self) -> Facts {
        let oauth = &self.profile.oauth;
        let mut facts = vec![
            ("upstream", json!(self.upstream())),
            ("token_endpoint", json!(oauth.token_endpoint())),
            ("grant", json!(oauth.grant.word())),
        ];
        facts.extend(oauth.grant.client().map(|client| ("client", json!(client.id))));
        facts.extend(log_in::client_auth(&oauth.grant).map(|auth| ("client_auth", json!(auth))));
        facts.extend(oauth.grant.key().map(|key| ("access_key", json!(key.id))));
        let scopes: Vec<&str> = oauth.scopes.iter().flat_map(|scopes| scopes.split(' ')).collect();
        facts.push(("scopes_asked_for", json!(scopes)));
        facts
    }

    /// Clock, log-in and token.
    async fn log_in(&self, stages: &mut Vec<Stage>) -> Option<AccessToken> {
        stages.push(self.compare_clocks().await);
        let started = self.clock.now();
        let asked = oauth::fetch_once(&self.endpoint, &self.clock).await;
        let took = started.steady.elapsed();
        match asked {
            Err(reason) => {
                let detail = log_in::in_plain_words(&reason.why);
                let hint = log_in::next_step(&reason.why, &self.profile.oauth);
                stages.push(Stage { took, ..Stage::failed(Step::LogIn, detail, hint) });
                stages.push(Stage::skipped(Step::Token, "log-in failed"));
                None
            }
            Ok(token) => {
                stages.push(Stage { took, ..Stage::ok(Step::LogIn, Vec::new()) });
                stages.push(self.describe(&token));
                Some(token)
            }
        }
    }

    async fn compare_clocks(&self) -> Stage {
        let question = Question { method: Method::HEAD, target: PUBLIC.to_vec(), authorization: None };
        let (upstream, forward) = (&self.profile.upstream, &self.config.forward_proxy);
        let asked = self.clock.now();
        let reply = ask(self.token_base.clone(), upstream, forward, &question, PATIENCE_WITH_CLOCK).await;
        let answered = self.clock.now();
        let took = answered.steady - asked.steady;
        let stage = match reply {
            Ok(reply) => skew::judge(reply.fields.all(b"date").next(), asked.wall, answered.wall),
            Err(why) => Stage::skipped(Step::Clock, format!("no answer: {why}")),
        };
        Stage { took, ..stage }
    }

    fn describe(&self, token: &AccessToken) -> Stage {
        let lifetime = token.lifetime();
        let margin = self.profile.oauth.refresh_margin.min(lifetime / 5);
        let scopes: Vec<String> = token.scopes().iter().map(|scope| shown(scope, &[token.text()])).collect();
        let mut facts = vec![
            ("lifetime_seconds", json!(lifetime.as_secs())),
            ("renewed_before_its_end_seconds", json!(margin.as_secs())),
            ("scopes", json!(scopes)),
        ];
        facts.extend(token.tenant_id().map(|tenant| ("tenant", json!(tenant))));
        facts.extend(token.area().map(|area| ("area", json!(area))));
        Stage::ok(Step::Token, facts)
    }

    async fn request(&self, place: &Place, path: &str, token: &AccessToken) -> Stage {
        let (upstream, forward) = (&self.profile.upstream, &self.config.forward_proxy);
        let base = place.base.clone();
        let target = [base.prefix.as_slice(), path.as_bytes()].concat();
        let authorization = Some(token.authorization_bytes().to_vec());
        let question = Question { method: Method::GET, target, authorization };
        let started = self.clock.now();
        let reply = ask(base, upstream, forward, &question, PATIENCE).await;
        let took = started.steady.elapsed();
        let stage = match reply {
            Ok(reply) => {
                let asked = Asked { base: &place.shown, path, scopes: token.scopes(), secret: token.text() };
                trial::judge(&asked, &reply)
            }
            Err(why) => Stage::failed(
                Step::Request,
                why,
                "The token was got; it is the upstream that does not answer. Try again, or with another path.",
            ),
        };
        Stage { took, ..stage }
    }
}

fn is_same_origin(one: &Base, other: &Base) -> bool {
    (one.secure, &one.host, one.port) == (other.secure, &other.host, other.port)
}

fn url_of(base: &Base) -> Option<Url> {
    let scheme = if base.secure { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{}/", base.authority)).ok()
}

/// A forward proxy without its user and password.
fn authority(proxy: &Url) -> String {
    let port = proxy.port_or_known_default().unwrap_or(80);
    format!("{}:{port}", proxy.host_str().unwrap_or_default())
}
