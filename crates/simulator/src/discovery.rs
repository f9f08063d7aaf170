//! Where things are: the documents that a program reads to find the token endpoint and a tenant's API.
//!
//! They stand at the root whatever the path prefix, need no token, and are journalled and open to faults
//! like the API.

use serde_json::json;

use super::exchange::{After, Exchange};
use super::token_endpoint::TokenEndpoint;
use super::wire::{Broken, Framing, Head, Response};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// `GET /.well-known/openid-configuration` (`OpenID` Connect Discovery 1.0, section 4).
    OpenId,
    /// `GET /.well-known/cxone-configuration?tenantId=…`
    Tenant,
}

/// The document that a target names, if any.
pub(super) fn document(head: &Head) -> Option<Document> {
    match head.target().split(|&byte| byte == b'?').next()? {
        b"/.well-known/openid-configuration" => Some(Document::OpenId),
        b"/.well-known/cxone-configuration" => Some(Document::Tenant),
        _ => None,
    }
}

/// Answers with it.
pub(super) async fn respond(exchange: &mut Exchange<'_, '_>, document: Document) -> Result<After, Broken> {
    if !matches!(exchange.head.method(), "GET" | "HEAD") {
        let response = Response::new(405, Framing::None).field("Allow", "GET, HEAD");
        return exchange.whole(response, &json!({ "error": "method_not_allowed" })).await;
    }
    match document {
        Document::OpenId => open_id(exchange).await,
        Document::Tenant => tenant(exchange).await,
    }
}

async fn open_id(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let region = exchange.region;
    let document = json!({
        "issuer": region.base_url,
        "token_endpoint": format!("{}{}", region.base_url, TokenEndpoint::Password.path()),
        "jwks_uri": format!("{}/.well-known/jwks.json", region.origin),
        "grant_types_supported": ["password", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    exchange.json(200, &document).await
}

async fn tenant(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let query = exchange.head.target().splitn(2, |&byte| byte == b'?').nth(1).unwrap_or_default();
    let asked = url::form_urlencoded::parse(query).find(|(name, _)| name == "tenantId");
    let Some((_, id)) = asked else {
        return exchange.json(400, &json!({ "message": "tenantId is missing" })).await;
    };
    let region = exchange.region;
    let Some(tenant) = region.settings.tenants.iter().find(|tenant| tenant.id == id) else {
        return exchange.json(404, &json!({ "message": "there is no such tenant" })).await;
    };
    let mut document = json!({ "tenantId": tenant.id, "area": tenant.area, "api_endpoint": region.base_url });
    if let Some(elsewhere) = region.api_endpoint() {
        // This region does not know which area has taken over, so it names none.
        document = json!({ "tenantId": tenant.id, "api_endpoint": elsewhere });
    }
    exchange.json(200, &document).await
}
