//! An access key alone, in JSON.

use serde::Deserialize;

use super::{Exchange, Holder, Refusal, find_key, has_media_type, held_by_key};

/// What is sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyRequest {
    pub(super) access_key_id: String,
    access_key_secret: String,
}

/// Checks it; `None` is a body that is not such a request.
pub(super) fn check(exchange: &Exchange<'_, '_>, request: Option<KeyRequest>) -> Result<Holder, Refusal> {
    if !has_media_type(exchange, "application/json") {
        return Err(Refusal::Request("the body is not JSON"));
    }
    let request = request.ok_or(Refusal::Request("accessKeyId or accessKeySecret is missing"))?;
    let settings = &exchange.region.settings;
    let key =
        find_key(settings, &request.access_key_id, &request.access_key_secret).ok_or(Refusal::Client)?;
    // No client can redeem the refresh token that comes with it.
    Ok(held_by_key(settings, key, ""))
}
