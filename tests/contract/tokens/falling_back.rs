//! After a refused or unusable refresh, client credentials are tried at once, and the client notices nothing.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};

use super::grants;
use crate::support::Setup;

#[tokio::test]
async fn client_credentials_follow_a_bad_refresh_at_once() {
    let json = |body: &str| Canned::new(200).field("Content-Type", "application/json").body(body);
    let elsewhere = |status| Canned::new(status).field("Location", "https://elsewhere.example/token");
    for canned in [
        json("<html>Log in!</html>"),
        json("{}"),
        json(r#"{"access_token":"","token_type":"Bearer"}"#),
        json(r#"{"access_token":"abc","token_type":"mac"}"#),
        json(r#"{"access_token":"abc"#),
        Canned::new(204),
        elsewhere(301),
        elsewhere(302),
        elsewhere(307),
        Canned::new(400).body(r#"{"error":"invalid_grant"}"#),
        Canned::new(401).body(r#"{"error":"invalid_client"}"#),
        Canned::new(403),
        Canned::new(404),
    ] {
        let name = format!("{} {:.30}", canned.status, canned.body);
        let setup = Setup::new().await;
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
        let fault = Fault::new(Action::Status(canned)).at(Endpoint::Token).times(1);
        setup.region.script(Script::of([fault]));
        setup.region.revoke_all();
        let response = setup.get("/api/v2/users/me").await;
        assert_eq!(response.status(), 200, "{name}: {}", response.text());
        let expected = ["client_credentials", "refresh_token", "client_credentials"];
        assert_eq!(grants(&setup.region), expected, "{name}");
    }
}

/// Client credentials that fail in the same way are the end: the error is theirs.
#[tokio::test]
async fn client_credentials_that_fail_as_well_are_502() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    let html = Canned::new(200).body("<html>Log in!</html>");
    setup.region.script(Script::of([Fault::new(Action::Status(html)).at(Endpoint::Token)]));
    setup.region.revoke_all();
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 502);
    assert_eq!(grants(&setup.region), ["client_credentials", "refresh_token", "client_credentials"]);
}
