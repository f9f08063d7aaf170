//! One profile, stage by stage.
//!
//! Decides the order of the stages and which of them depend on which; what each means is decided by its
//! own module.

use std::{sync::Arc, time::Duration};

use http::{Method, header::DATE};
use serde_json::json;
use url::Url;

use super::{
    super::obtain,
    ask::{NoReply, Question, Reply, ask},
    peer::Peer,
    probe::{self, Origin, is_open},
    serving, skew,
    stage::{Facts, Section, Stage, Step},
    suspicions::suspicions,
    trial::{self, Asked},
};
use crate::{
    cause::{self, Cause, Server},
    clock::Clock,
    config::{Config, Profile},
    discovery::{Discoverer, DiscoveryError},
    invalid, log,
    tokens::{
        self, AccessToken, Account, ClientAuth, Endpoint, Grant, HttpClientError, Network,
        TokenEndpoint as _, Unavailable, redact,
    },
    upstream::{BaseUrl, Route},
};

/// A document that needs no token and says what time it is there, even where it does not exist (`OpenID`
/// Connect Discovery 1.0, section 4).
const PUBLIC: &str = "/.well-known/openid-configuration";
/// For the response to that.
const PATIENCE_WITH_CLOCK: Duration = Duration::from_secs(10);
/// For the response to the request of `--path`; long polls are no harmless requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// What requests to the API offer by ALPN (RFC 7301).
const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
/// What a token request is sent by.
const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// The configuration cannot be used, although each of its values is good.
#[derive(Debug, thiserror::Error)]
pub(super) enum Invalid {
    #[error("oauth.token_url {0}")]
    TokenUrl(invalid::Invalid),
    #[error("the token endpoint cannot be asked as configured: {}", log::causes(.0))]
    TokenEndpoint(HttpClientError),
    #[error("the discovery endpoint cannot be asked as configured: {}", log::causes(.0))]
    Discovery(HttpClientError),
}

/// A profile with all that can be made before anything is connected to.
pub(super) struct Subject<'a> {
    profile: &'a Profile,
    config: &'a Config,
    /// The profile whose token is used, where it is not this one's own.
    owner: Option<&'a str>,
    endpoint: Endpoint,
    /// The origin of the token endpoint.
    token_base: Arc<BaseUrl>,
    /// Finds the API, where it has to be discovered first.
    discoverer: Option<Discoverer>,
    clock: Clock,
}

impl<'a> Subject<'a> {
    /// The profile at this index. Connects nowhere.
    pub(super) fn new(
        config: &'a Config,
        index: usize,
        profile: &'a Profile,
        clock: Clock,
    ) -> Result<Self, Invalid> {
        let endpoint = obtain::endpoint(config, profile, &clock).map_err(Invalid::TokenEndpoint)?;
        let token_base = profile.oauth.token_url.origin().ascii_serialization().parse();
        let discoverer = profile.upstream.discovery.as_ref().map(|settings| {
            let forward_proxy = config.forward_proxy.toward(&settings.url).cloned();
            let network = Network { tls: profile.upstream.trust.client_config(&[]), forward_proxy };
            Discoverer::new(settings.clone(), network)
        });
        let owner = config.profiles.get(profile.credentials).filter(|_| profile.credentials != index);
        Ok(Self {
            owner: owner.map(|owner| owner.name.as_str()),
            token_base: Arc::new(token_base.map_err(Invalid::TokenUrl)?),
            discoverer: discoverer.transpose().map_err(Invalid::Discovery)?,
            profile,
            config,
            endpoint,
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
        let fixed = self.discoverer.is_none().then(|| self.profile.upstream.base_url.clone());
        let is_one = fixed.as_ref().is_some_and(|base| base.without_prefix() == *self.token_base);
        let (of, peer, protocols) = if is_one {
            ("API and token endpoint", self.api(), BOTH)
        } else {
            ("token endpoint", self.token_endpoint(), HTTP1)
        };
        let mut is_reachable = self.owner.is_some();
        if !is_reachable {
            is_reachable = self.probe(of, peer, &self.token_base, protocols, &mut stages).await;
        }
        let token = self.obtain(is_reachable, &mut stages).await;
        let held = token.as_ref().or(shared);
        let base = match fixed {
            Some(base) => {
                stages.push(Stage::not_configured(Step::Discovery));
                Some(base)
            }
            None => self.discover(held, &mut stages).await,
        };
        if !is_one || self.owner.is_some() {
            is_reachable = self.probe_upstream(base.as_ref(), &mut stages).await;
        }
        if let Some(path) = path {
            stages.push(match (base, held) {
                (_, None) => Stage::skipped(Step::Request, "there is no token"),
                (Some(base), Some(token)) if is_reachable => self.request(&base, path, token).await,
                (_, Some(_)) => Stage::skipped(Step::Request, "the API cannot be reached"),
            });
        }
        (Section { profile: self.profile.name.clone(), stages }, token)
    }

    fn api(&self) -> Peer {
        Peer::Api { origins: self.profile.oauth.origins.clone() }
    }

    fn token_endpoint(&self) -> Peer {
        let account = self.endpoint.account().clone();
        Peer::TokenEndpoint { account, grant: self.profile.oauth.grant.grant_type() }
    }

    /// Name, connection and TLS; whether all of it went well.
    async fn probe(
        &self,
        of: &'static str,
        peer: Peer,
        base: &Arc<BaseUrl>,
        protocols: &[&[u8]],
        stages: &mut Vec<Stage>,
    ) -> bool {
        let forward_proxy = self.config.forward_proxy.toward_base(base);
        let upstream = &self.profile.upstream;
        let origin = Origin {
            of,
            peer,
            base: base.clone(),
            route: Route::new(base, forward_proxy, upstream.connect_timeout),
            forward_proxy: forward_proxy.map(authority),
            tls: upstream.trust.client_config(protocols),
            time_out: upstream.connect_timeout,
        };
        let probed = probe::probe(&origin, &self.clock).await;
        let is_reachable = is_open(&probed);
        stages.extend(probed);
        is_reachable
    }

    async fn probe_upstream(&self, base: Option<&Arc<BaseUrl>>, stages: &mut Vec<Stage>) -> bool {
        if let Some(base) = base {
            return self.probe("API", self.api(), base, BOTH, stages).await;
        }
        let steps = [Step::NameResolution, Step::Connection, Step::Tls];
        let skipped = steps.map(|step| Stage::skipped(step, "the address of the API is not known"));
        stages.extend(skipped.map(|stage| Stage { of: Some("API"), ..stage }));
        false
    }

    /// Asks where the tenant's API is.
    async fn discover(&self, token: Option<&AccessToken>, stages: &mut Vec<Stage>) -> Option<Arc<BaseUrl>> {
        let (Some(discoverer), Some(token)) = (&self.discoverer, token) else {
            stages.push(Stage::skipped(Step::Discovery, "there is no token"));
            return None;
        };
        let started = self.clock.now();
        let found: Result<BaseUrl, _> = match token.tenant_id() {
            None => Err(DiscoveryError::NoTenant),
            Some(tenant) => discoverer.find(tenant, str::parse).await,
        };
        let took = started.steady.elapsed();
        let stage = match &found {
            Ok(base) => Stage::ok(Step::Discovery, vec![("upstream", json!(base.to_string()))]),
            Err(error) => Stage::failed(Step::Discovery, error.to_string(), self.discovery_hint(error)),
        };
        stages.push(Stage { took, ..stage });
        found.ok().map(Arc::new)
    }

    /// Clock, log-in and token, or the reason why they are skipped.
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
        let (oauth, account): (_, &Account) = (&self.profile.oauth, self.endpoint.account());
        let mut facts = vec![
            ("upstream", json!(self.upstream())),
            ("token_endpoint", json!(account.token_url)),
            ("grant", json!(oauth.grant.grant_type().as_str())),
        ];
        facts.extend(oauth.grant.client().map(|client| ("client", json!(client.id))));
        facts.extend(client_auth(&oauth.grant).map(|auth| ("client_auth", json!(auth.as_str()))));
        facts.extend(oauth.grant.key().map(|key| ("access_key", json!(key.id))));
        facts.push(("scopes_asked_for", json!(oauth.scopes.names())));
        facts.extend(serving::facts(self.config, self.clock.now().wall));
        facts
    }

    /// Clock, log-in and token.
    async fn log_in(&self, stages: &mut Vec<Stage>) -> Option<AccessToken> {
        stages.push(self.compare_clocks().await);
        let started = self.clock.now();
        let asked = tokens::log_in_once(&self.endpoint, &self.clock).await;
        let took = started.steady.elapsed();
        match asked {
            Err(unavailable) => {
                let failed = Stage::failed(Step::LogIn, unavailable.to_string(), self.hint(&unavailable));
                stages.push(Stage { took, ..failed });
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

    /// What looks wrong in the configuration, and then the usual next step.
    fn hint(&self, unavailable: &Unavailable) -> String {
        let failure = unavailable.failure();
        let mut steps =
            failure.map(|failure| suspicions(&failure.cause, &self.profile.oauth)).unwrap_or_default();
        steps.push(unavailable.hint());
        steps.join(" ")
    }

    fn discovery_hint(&self, error: &DiscoveryError) -> String {
        let origins = &self.profile.oauth.origins;
        match error {
            DiscoveryError::NoTenant => "Remove CXONE_DISCOVER once CXONE_BASE_URL is set.".to_owned(),
            DiscoveryError::Failed(cause @ Cause::Untrusted(_)) => {
                let (server, credentials, forward_proxy) = (Server::Discovery, None, None);
                cause::Peer { server, address: "", forward_proxy, credentials, origins }.hint(cause)
            }
            DiscoveryError::Failed(_) | DiscoveryError::Status(_) => format!(
                "Check {} and the network, or set CXONE_BASE_URL instead of CXONE_DISCOVER.",
                origins.name("CXONE_DISCOVERY_URL")
            ),
        }
    }

    async fn compare_clocks(&self) -> Stage {
        let question = Question { method: Method::HEAD, target: PUBLIC.to_owned(), authorization: None };
        let asked = self.clock.now();
        let reply = self.ask(&self.token_base, question, PATIENCE_WITH_CLOCK).await;
        let answered = self.clock.now();
        let took = answered.steady - asked.steady;
        let stage = match reply {
            Ok(reply) => {
                // A proxy on the path may have added its own after the server's.
                let date = reply.headers.get_all(DATE).iter().next();
                skew::compare(date.map(http::HeaderValue::as_bytes), asked.wall, answered.wall)
            }
            Err(error) => Stage::skipped(Step::Clock, self.explain(&error, &self.token_base).0),
        };
        Stage { took, ..stage }
    }

    async fn ask(&self, base: &Arc<BaseUrl>, question: Question, limit: Duration) -> Result<Reply, NoReply> {
        ask(base, self.config, self.profile, question, limit).await
    }

    /// What a missing response means, and the next step.
    fn explain(&self, error: &NoReply, base: &BaseUrl) -> (String, String) {
        match error {
            NoReply::Failed(error) => {
                let forward_proxy = self.config.forward_proxy.toward_base(base).map(authority);
                self.api().describe(&error.cause(), base.authority(), forward_proxy.as_deref())
            }
            NoReply::Target(_) | NoReply::Request(_) | NoReply::Name(_) | NoReply::Late(_) => {
                (error.to_string(), "Try again, or with another path.".to_owned())
            }
        }
    }

    fn describe(&self, token: &AccessToken) -> Stage {
        let lifetime = token.lifetime();
        let margin = self.profile.oauth.refresh_margin.min(lifetime / 5);
        let scopes: Vec<String> = token.scopes().iter().map(|scope| redact(scope, &[token.text()])).collect();
        let mut facts = vec![
            ("lifetime_seconds", json!(lifetime.as_secs())),
            ("renewed_before_its_end_seconds", json!(margin.as_secs())),
            ("scopes", json!(scopes)),
        ];
        facts.extend(token.tenant_id().map(|tenant| ("tenant", json!(tenant))));
        facts.extend(token.area().map(|area| ("area", json!(area))));
        Stage::ok(Step::Token, facts)
    }

    async fn request(&self, base: &Arc<BaseUrl>, path: &str, token: &AccessToken) -> Stage {
        let target = format!("{}{path}", base.prefix());
        let authorization = Some(token.authorization().clone());
        let question = Question { method: Method::GET, target, authorization };
        let started = self.clock.now();
        let reply = self.ask(base, question, PATIENCE).await;
        let took = started.steady.elapsed();
        let stage = match reply {
            Ok(reply) => {
                let base = &base.to_string();
                trial::stage(&Asked { base, path, scopes: token.scopes(), secret: token.text() }, &reply)
            }
            Err(error) => {
                let (detail, hint) = self.explain(&error, base);
                Stage::failed(Step::Request, detail, hint)
            }
        };
        Stage { took, ..stage }
    }
}

fn client_auth(grant: &Grant) -> Option<ClientAuth> {
    match grant {
        Grant::ClientCredentials { auth, .. } | Grant::Password { auth, .. } => Some(*auth),
        Grant::AccessKey { .. } => None,
    }
}

/// A forward proxy without its user and password.
fn authority(proxy: &Url) -> String {
    let port = proxy.port_or_known_default().unwrap_or(80);
    format!("{}:{port}", proxy.host_str().unwrap_or_default())
}
