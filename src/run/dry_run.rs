//! A dry run: the whole proxy, with a stub of its own in place of upstream and token endpoint.
//!
//! Requests go through guard, limits, retries and a real connection as ever, and nothing leaves the machine. The
//! stub is a listener on loopback, so the path of a request needs no branch for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::task::JoinHandle;

use super::error::StartError;
use super::workers::parse_problems;
use crate::access::Failures;
use crate::clock::Clock;
use crate::config::Config;
use crate::drain;
use crate::metrics::Metrics;
use crate::server::{self, Limits, Listen};
use crate::upstream::BaseUrl;

/// Where the stub gives out tokens. No API path starts so.
const TOKEN_PATH: &str = "/.dry-run/token";
/// Says that no upstream has seen the request.
static DRY_RUN: HeaderName = HeaderName::from_static("x-dry-run");
/// What the proxy adds to a client's header section must fit into the stub's limit.
const ADDED: usize = 64 * 1024;

/// The stub, which ends with this value.
#[derive(Debug)]
pub(super) struct Stub {
    task: JoinHandle<()>,
    address: String,
    _drainer: drain::Drainer,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a stub, and changes the configuration so that all requests and all token requests go there.
pub(super) fn divert(config: &Config) -> Result<(Config, Stub), StartError> {
    let listen = Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = server::bind(&listen).map_err(|error| StartError::Listen { name: "--dry-run", error })?;
    let address = listener.bound.to_string();
    let (drainer, drain) = drain::drain();
    let limits = Limits { header_size: config.limits.header_size.saturating_add(ADDED), ..config.limits };
    // What the stub cannot read is no problem of the proxy's own, so its counters are nobody's.
    let clock = Clock::System;
    let problems = parse_problems(&Metrics::new("", clock.now().wall), &clock, &Failures::default());
    let (workers, _) = server::workers(vec![listener], 1, limits, problems, &drain);
    let stub = Stub { task: serve(workers), address, _drainer: drainer };
    tracing::warn!(
        stub = stub.address,
        "dry run: no request goes to the CXone API or to the token endpoint; a stub answers 200 to everything"
    );
    Ok((stub.divert(config)?, stub))
}

impl Stub {
    /// The configuration with all requests and all token requests going here.
    pub(super) fn divert(&self, config: &Config) -> Result<Config, StartError> {
        let mut diverted = config.clone();
        // What is shared there is for those that ask the API.
        diverted.redis = None;
        let address = &self.address;
        for profile in &mut diverted.profiles {
            let prefix = profile.upstream.base_url.prefix();
            let base: Result<BaseUrl, _> = format!("http://{address}{prefix}").parse();
            profile.upstream.base_url = Arc::new(base.map_err(std::io::Error::other)?);
            profile.upstream.discovery = None;
            let token_url = format!("http://{address}{TOKEN_PATH}").parse();
            profile.oauth.token_url = token_url.map_err(std::io::Error::other)?;
        }
        Ok(diverted)
    }
}

#[expect(clippy::disallowed_methods, reason = "dropping the `Stub` ends it")]
fn serve(workers: Vec<server::Worker>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let router = Router::new().route(TOKEN_PATH, post(token)).fallback(respond);
        for worker in workers {
            let router = router.clone();
            if let Err(error) = worker.run(move |_: &server::Arrival| router.clone(), || ()).await {
                tracing::error!(%error, "the stub of the dry run cannot serve");
            }
        }
    })
}

/// A token that opens nothing.
async fn token() -> Response {
    let token = json!({ "access_token": "dry-run", "token_type": "Bearer", "expires_in": 3600 });
    document(&token)
}

/// Takes the whole request and says what arrived.
async fn respond(request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let mut body_bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        body_bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    document(&json!({
        "dry_run": true, "method": parts.method.as_str(), "target": target, "body_bytes": body_bytes,
    }))
}

fn document(value: &serde_json::Value) -> Response {
    let fields = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (DRY_RUN.clone(), HeaderValue::from_static("the CXone API was not asked")),
    ];
    (fields, value.to_string()).into_response()
}
