//! One profile, stage by stage.
//!
//! Decides the order of the stages and which of them depend on which; what each means is decided by its
//! own module.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::json;
use url::{Host, Url};

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
    oauth::{self, AccessToken, Endpoint, EndpointError, shown},
    transport::{Base, Route, tls, tls::TlsError},
};

/// For the answer to `HEAD /` and to the request of `--path`; long polls are no harmless requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration cannot be carried out, although each of its values is good.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("upstream.ca_file: {0}; accepted: a PEM file of CA certificates")]
    Tls(#[from] TlsError),
    #[error("{} ({})", .0, cause(.0))]
    Endpoint(#[from] EndpointError),
}

fn cause(error: &EndpointError) -> String {
    std::error::Error::source(error).map_or_else(|| "no cause given".to_owned(), ToString::to_string)
}

/// A profile with all that can be made before anything is connected to.
pub(super) struct Subject<'a> {
    profile: &'a Profile,
    config: &'a Config,
    /// Whose token is used instead of an own one.
    owner: Option<&'a str>,
    endpoint: Endpoint,
    upstream: Origin,
    /// Where it is another origin than the upstream.
    token_endpoint: Option<Origin>,
    token_base: Arc<Base>,
    clock: Clock,
}

impl<'a> Subject<'a> {
    /// The profile at this place. Reads the CA bundle, connects nowhere.
    pub(super) fn new(
        config: &'a Config,
        place: usize,
        profile: &'a Profile,
        clock: Clock,
    ) -> Result<Self, Unfit> {
        let (upstream, oauth) = (&profile.upstream, &profile.oauth);
        let endpoint = Endpoint::new(
            settings::token(oauth, upstream, &config.forward_proxy)?,
            settings::grant(oauth),
            clock.clone(),
        )?;
        let base = settings::base(&upstream.base_url);
        let token_base = Arc::new(origin_of(&oauth.token_url));
        let tls = tls::client_config(upstream.ca_file.as_deref())?;
        let origin = |of, base: &Arc<Base>, protocols: &[&[u8]]| {
            let forward = url_of(base).and_then(|url| config.forward_proxy.toward(&url).cloned());
            let mut tls = tls.clone();
            tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Origin {
                of,
                base: base.clone(),
                route: Route::new(base, forward.as_ref()),
                forward_proxy: forward.as_ref().map(authority),
                tls,
                time_out: upstream.connect_timeout,
            }
        };
        let is_one =
            (token_base.secure, &token_base.host, token_base.port) == (base.secure, &base.host, base.port);
        let of = if is_one { "upstream and token endpoint" } else { "upstream" };
        let owner = config.profiles.get(profile.credentials).filter(|_| profile.credentials != place);
        Ok(Self {
            owner: owner.map(|owner| owner.name.as_str()),
            upstream: origin(of, &base, &[b"h2", b"http/1.1"]),
            token_endpoint: (!is_one).then(|| origin("token endpoint", &token_base, &[b"http/1.1"])),
            profile,
            config,
            endpoint,
            token_base,
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
        let own = self.token_endpoint.as_ref().filter(|_| self.owner.is_none());
        let first = probe::probe(own.unwrap_or(&self.upstream), &self.clock).await;
        let is_reachable = is_open(&first);
        stages.extend(first);
        let token = self.obtain(is_reachable, &mut stages).await;
        stages.push(Stage::skipped(Step::Discovery, "not configured"));
        let upstream_is_reachable = if own.is_some() {
            let upstream = probe::probe(&self.upstream, &self.clock).await;
            let is_reachable = is_open(&upstream);
            stages.extend(upstream);
            is_reachable
        } else {
            is_reachable
        };
        if let Some(path) = path {
            stages.push(match token.as_ref().or(shared) {
                None => Stage::skipped(Step::Request, "there is no token"),
                Some(_) if !upstream_is_reachable => {
                    Stage::skipped(Step::Request, "the upstream cannot be reached")
                }
                Some(token) => self.request(path, token).await,
            });
        }
        (Section { profile: self.profile.name.clone(), stages }, token)
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

    /// What is configured; nothing secret.
    fn facts(&self) -> Facts {
        let oauth = &self.profile.oauth;
        let mut facts = vec![
            ("upstream", json!(self.profile.upstream.base_url.to_string())),
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
        let question = Question { method: Method::HEAD, target: b"/".to_vec(), authorization: None };
        let (upstream, forward) = (&self.profile.upstream, &self.config.forward_proxy);
        let asked = self.clock.now();
        let reply = ask(self.token_base.clone(), upstream, forward, &question, PATIENCE).await;
        let answered = self.clock.now();
        let took = answered.steady - asked.steady;
        let stage = match reply {
            Ok(reply) => skew::judge(reply.fields.all(b"date").next(), asked.wall, answered.wall),
            Err(why) => Stage::skipped(Step::Clock, format!("no answer to HEAD /: {why}")),
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

    async fn request(&self, path: &str, token: &AccessToken) -> Stage {
        let (upstream, forward) = (&self.profile.upstream, &self.config.forward_proxy);
        let base = self.upstream.base.clone();
        let target = [base.prefix.as_slice(), path.as_bytes()].concat();
        let authorization = Some(token.authorization_bytes().to_vec());
        let question = Question { method: Method::GET, target, authorization };
        let started = self.clock.now();
        let reply = ask(base, upstream, forward, &question, PATIENCE).await;
        let took = started.steady.elapsed();
        let stage = match reply {
            Ok(reply) => {
                let base = upstream.base_url.to_string();
                let asked = Asked { base: &base, path, scopes: token.scopes(), secret: token.text() };
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

/// The origin of the token endpoint.
fn origin_of(url: &Url) -> Base {
    let secure = url.scheme() == "https";
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    Base { secure, host, port, authority, prefix: Vec::new() }
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
