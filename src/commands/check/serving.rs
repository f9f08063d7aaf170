//! What `check` says of the proxy's own side: its certificate, its clients, the store that replicas share.

use std::time::SystemTime;

use serde_json::json;

use super::stage::Facts;
use crate::{
    certificate::Certificate,
    config::Config,
    tokens::{self, RedisSettings},
};

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// What there is of it in the configuration.
pub(super) fn facts(config: &Config, now: SystemTime) -> Facts {
    let certificate =
        config.tls.as_ref().map(|tls| ("listener_certificate", json!(described(&tls.certificate, now))));
    let clients = config.clients.as_ref().map(|clients| {
        let names: Vec<&str> = clients.iter().map(|own| &*own.client.name).collect();
        ("clients", json!(names))
    });
    let store = config.redis.as_ref().map(|redis| ("shared_store", json!(redis.url)));
    let traces = config.traces.as_ref().map(|traces| ("traces", json!(traces.shown())));
    [certificate, clients, store, traces].into_iter().flatten().collect()
}

/// `localhost, 127.0.0.1; issued by CN=test CA; valid until 2027-02-25 (90 days)`.
fn described(certificate: &Certificate, now: SystemTime) -> String {
    let names = certificate.names.join(", ");
    let names = if names.is_empty() { certificate.subject.clone() } else { names };
    let until = certificate.not_after.map_or_else(String::new, |end| {
        let left = jiff::Timestamp::try_from(now).map(|now| (end.as_second() - now.as_second()) / DAY);
        let left =
            left.map(|days| if days < 0 { " (expired)".to_owned() } else { format!(" ({days} days)") });
        format!("; valid until {}{}", end.strftime("%Y-%m-%d"), left.unwrap_or_default())
    });
    format!("{names}; issued by {}{until}", certificate.issuer)
}

/// Tries the store. A warning where it cannot be used: the proxy works without it.
pub(super) async fn store_warning(redis: Option<&RedisSettings>) -> Option<String> {
    let settings = redis?;
    let error = tokens::try_store(settings).await.err()?;
    Some(format!(
        "the shared store {} cannot be used: {error}. Each process gets a token of its own then. {}",
        settings.url,
        error.hint()
    ))
}
