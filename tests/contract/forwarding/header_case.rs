//! `forwarding.header_case`: how field names are spelt over HTTP/1.1.

use crate::support::{Setup, Upstream, ok, request};

const SENT: &str = "x-lower: 1\r\nX-UPPER: 2\r\nx-MiXeD: 3\r\nETag-Like: 4\r\n";

/// The names of these lines as they are spelt in a message.
fn spelling(fields: &[(String, String)], values: &[&str]) -> Vec<String> {
    let named = |value: &&str| fields.iter().find(|(_, own)| own == value).map(|(name, _)| name.clone());
    values.iter().filter_map(named).collect()
}

async fn spelt(setting: Option<&str>) -> (Vec<String>, Vec<String>) {
    let upstream = Upstream::start().await;
    let setup = upstream
        .setup(|launch| match setting {
            Some(setting) => launch.flag("header-case", setting),
            None => launch,
        })
        .await;
    let mut client = setup.connect().await;
    client.send(request("GET", "/", SENT, "")).await;
    let mut connection = upstream.accept().await;
    let arrived = connection.request().await.unwrap();
    connection.send(ok(SENT, "ok")).await;
    let relayed = client.response().await.unwrap();
    let values = ["1", "2", "3", "4"];
    (spelling(&arrived.fields, &values), spelling(&relayed.fields, &values))
}

#[tokio::test]
async fn title_case_is_the_default() {
    let title = ["X-Lower", "X-Upper", "X-Mixed", "Etag-Like"].map(str::to_owned).to_vec();
    for setting in [None, Some("title")] {
        assert_eq!(spelt(setting).await, (title.clone(), title.clone()), "{setting:?}");
    }
}

#[tokio::test]
async fn preserve_keeps_the_sender_s_spelling_in_both_directions() {
    let sent = ["x-lower", "X-UPPER", "x-MiXeD", "ETag-Like"].map(str::to_owned).to_vec();
    assert_eq!(spelt(Some("preserve")).await, (sent.clone(), sent));
}

/// A request that is sent again says the same again.
#[tokio::test]
async fn preserve_holds_for_a_request_that_is_sent_again() {
    let setup = Setup::launched(|launch| launch.flag("header-case", "preserve")).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.region.revoke_all();
    let response = setup.fetch(request("GET", "/api/v2/echo", SENT, "")).await;
    assert_eq!(response.status(), 200);
    let fields = response.json()["fields"].to_string();
    for name in ["x-lower", "X-UPPER", "x-MiXeD", "ETag-Like"] {
        assert!(fields.contains(&format!("\"{name}\"")), "{name}: {fields}");
    }
}

#[tokio::test]
async fn repeated_fields_keep_their_order_under_preserve() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch.flag("header-case", "preserve")).await;
    let mut client = setup.connect().await;
    client.send(request("GET", "/", "X-a: 1\r\nx-A: 2\r\nX-A: 3\r\n", "")).await;
    let arrived = upstream.accept().await.request().await.unwrap();
    assert_eq!(arrived.all("x-a"), ["1", "2", "3"]);
}
