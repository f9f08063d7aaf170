//! What the tutorials ask for: users, and a report that needs a scope which nobody has by default.

use serde_json::{Value, json};

use super::{After, Broken, Exchange, Issued, allow, lacking, not_found};

/// `GET /api/v2/users/{id}`, `/api/v2/users/me` and `/api/v2/users`; needs `users:read`.
pub(super) async fn respond(
    exchange: &mut Exchange<'_, '_>,
    issued: &Issued,
    rest: &str,
) -> Result<After, Broken> {
    if let Some(refused) = allow(exchange, &["GET", "HEAD"]).await? {
        return Ok(refused);
    }
    if let Some(refused) = lacking(exchange, issued, "users:read").await? {
        return Ok(refused);
    }
    match rest {
        "" => exchange.json(200, &json!({ "users": [user("1"), user("2")], "totalRecords": 2 })).await,
        "me" => exchange.json(200, &user(&issued.client)).await,
        id if id.contains('/') => not_found(exchange).await,
        id => exchange.json(200, &user(id)).await,
    }
}

fn user(id: &str) -> Value {
    json!({
        "id": id,
        "userName": format!("{id}@example.com"),
        "firstName": "Ada",
        "lastName": "Agent",
        "status": "ACTIVE",
    })
}

/// `GET /api/v2/reports`; needs `reports:read`.
pub(super) async fn reports(exchange: &mut Exchange<'_, '_>, issued: &Issued) -> Result<After, Broken> {
    if let Some(refused) = lacking(exchange, issued, "reports:read").await? {
        return Ok(refused);
    }
    exchange.json(200, &json!({ "reports": [] })).await
}
