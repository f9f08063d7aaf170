//! The region's own paths, under `/_region/`: nothing of CXone, and neither in the journal nor seen by the referee.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::json;

use super::exchange::After;
use super::script::Script;
use super::settings::{Quota, QuotaKind, RetryAfterForm};
use super::state::State;
use super::wire::{Broken, Framing, Head, Response, Wire};
use crate::clock::Now;

/// The largest script.
const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// What is at a path that is not the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `GET /.well-known/jwks.json` (RFC 7517).
    KeySet,
    /// `GET /_region/journal`
    Journal,
    /// `GET /_region/referee`
    Referee,
    /// `POST /_region/revoke`: access tokens; with `?refresh=1` refresh tokens as well.
    Revoke,
    /// `PUT` and `DELETE /_region/script`
    Script,
    /// `POST`, `GET` and `DELETE /_region/quota`
    Quota,
    /// `PUT /_region/api-endpoint` with `{"api_endpoint": "https://…"}`, and `DELETE`
    ApiEndpoint,
    /// `GET /_region/metrics`
    Metrics,
    /// Nothing.
    Nowhere,
}

/// The place that a target names, where it is one of these.
pub(super) fn place(head: &Head) -> Option<Place> {
    let path = head.target().split(|&byte| byte == b'?').next()?;
    if path == b"/.well-known/jwks.json" {
        return Some(Place::KeySet);
    }
    Some(match path.strip_prefix(b"/_region/")? {
        b"journal" => Place::Journal,
        b"referee" => Place::Referee,
        b"revoke" => Place::Revoke,
        b"script" => Place::Script,
        b"quota" => Place::Quota,
        b"api-endpoint" => Place::ApiEndpoint,
        b"metrics" => Place::Metrics,
        _ => Place::Nowhere,
    })
}

/// What `POST /_region/quota` takes: one quota, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum WantedQuotas {
    Several(Vec<WantedQuota>),
    One(WantedQuota),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedQuota {
    requests: u32,
    per_ms: NonZeroU64,
    #[serde(default)]
    kind: QuotaKind,
    #[serde(default)]
    burst: Option<u32>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    retry_after: RetryAfterForm,
}

impl From<WantedQuota> for Quota {
    fn from(wanted: WantedQuota) -> Self {
        let WantedQuota { requests, per_ms, kind, burst, path, retry_after } = wanted;
        Self { requests, per: Duration::from_millis(per_ms.get()), kind, burst, path, retry_after }
    }
}

/// Where the API is, as `PUT /_region/api-endpoint` takes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moved {
    api_endpoint: String,
}

/// Answers at such a place.
pub(super) async fn respond(
    region: &State,
    head: &Head,
    wire: &mut Wire<'_>,
    place: Place,
) -> Result<After, Broken> {
    let mut body = BytesMut::new();
    while let Some(piece) = wire.chunk().await? {
        if body.len() + piece.len() > LARGEST_BODY {
            return Err(Broken::Bad("a control request that is too large"));
        }
        body.extend_from_slice(&piece);
    }
    let (status, media_type, text) = outcome(region, head, place, &body);
    let framing = if status == 204 { Framing::None } else { Framing::Length(text.len() as u64) };
    let response = Response::new(status, framing).field("Content-Type", media_type);
    wire.whole(&response, &text.into()).await?;
    Ok(After::Next)
}

const JSON: &str = "application/json";

fn outcome(region: &State, head: &Head, place: Place, body: &[u8]) -> (u16, &'static str, String) {
    let done = (204, JSON, String::new());
    match (place, head.method()) {
        (Place::KeySet, "GET") => (200, JSON, region.tokens.key_set()),
        (Place::Journal, "GET") => (200, JSON, json!(region.journal.entries()).to_string()),
        (Place::Referee, "GET") => {
            let referee = json!({
                "count": region.referee.count(), "violations": region.referee.violations(),
            });
            (200, JSON, referee.to_string())
        }
        (Place::Revoke, "POST") => {
            region.tokens.revoke_all();
            if head.target().ends_with(b"?refresh=1") {
                region.tokens.revoke_refresh_tokens();
            }
            done
        }
        (Place::Script, "PUT") => match serde_json::from_slice::<Script>(body) {
            Ok(script) => {
                region.script.arm(script);
                done
            }
            Err(error) => bad(&error),
        },
        (Place::Script, "DELETE") => {
            region.script.arm(Script::default());
            done
        }
        (Place::Quota, "GET") => (200, JSON, quota_use(region)),
        (Place::Quota, "POST") => match serde_json::from_slice::<WantedQuotas>(body) {
            Ok(wanted) => {
                let wanted = match wanted {
                    WantedQuotas::One(wanted) => vec![wanted],
                    WantedQuotas::Several(wanted) => wanted,
                };
                region.quotas.set(wanted.into_iter().map(Quota::from).collect());
                done
            }
            Err(error) => bad(&error),
        },
        (Place::Quota, "DELETE") => {
            region.quotas.set(Vec::new());
            done
        }
        (Place::ApiEndpoint, "PUT") => match serde_json::from_slice::<Moved>(body) {
            Ok(Moved { api_endpoint }) => {
                region.set_api_endpoint(Some(api_endpoint));
                done
            }
            Err(error) => bad(&error),
        },
        (Place::ApiEndpoint, "DELETE") => {
            region.set_api_endpoint(None);
            done
        }
        (Place::Metrics, "GET") => {
            (200, "text/plain; version=0.0.4", region.counts.render(region.referee.count()))
        }
        (Place::Nowhere, _) => (404, JSON, json!({ "error": "no such control path" }).to_string()),
        (_, _) => (405, JSON, json!({ "error": "not with this method" }).to_string()),
    }
}

/// All attempts that were answered, and what each quota made of those that it is for.
fn quota_use(region: &State) -> String {
    json!({ "attempts": region.counts.attempts(), "quotas": region.quotas.usage(Now::read()) }).to_string()
}

fn bad(error: &serde_json::Error) -> (u16, &'static str, String) {
    (400, JSON, json!({ "error": error.to_string() }).to_string())
}
