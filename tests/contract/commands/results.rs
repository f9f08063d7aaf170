//! What `check` and `token` write on standard output, and how they end.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};

use super::with_region;
use crate::support::{CLIENT_SECRET, Launch, RawConnection};

#[tokio::test]
async fn check_says_what_it_got() {
    let (region, launch) = with_region("check").await;
    let (status, output, log) = launch.variable("CXONE_PROXY_LOG", "trace").run().await;
    assert_eq!(status.code(), Some(0), "{log}");
    for expected in ["3600s", "users:read contacts:read", &region.token_url()] {
        assert!(output.contains(expected), "{expected}: {output}");
    }
    for text in [&output, &log] {
        assert!(!text.contains(CLIENT_SECRET) && !text.contains("eyJ"), "{text}");
    }
    assert_eq!(region.token_requests(), 1);
    assert_eq!(region.referee(), []);
}

#[tokio::test]
async fn check_says_what_is_wrong_with_the_configuration() {
    let (region, launch) = with_region("check").await;
    let (status, output, _) = launch.without_variable("CXONE_CLIENT_ID").flag("via", "maybe").run().await;
    assert_eq!(status.code(), Some(2));
    for expected in ["CXONE_CLIENT_ID", "--via", "`response`, `both` or `off`"] {
        assert!(output.contains(expected), "{expected}: {output}");
    }
    assert_eq!(region.token_requests(), 0);
}

#[tokio::test]
async fn check_says_how_to_fix_refused_credentials() {
    let (region, launch) = with_region("check").await;
    let (status, output, log) = launch.variable("CXONE_CLIENT_SECRET", "wr0ng-secret").run().await;
    assert_eq!(status.code(), Some(1), "{log}");
    for expected in ["invalid_client", "CXONE_CLIENT_SECRET", &region.token_url()] {
        assert!(output.contains(expected), "{expected}: {output}");
    }
    assert!(!output.contains("wr0ng-secret") && !log.contains("wr0ng-secret"), "{output}{log}");
}

#[tokio::test]
async fn check_tells_an_unreachable_endpoint_and_an_unusable_one_apart() {
    let (region, launch) = with_region("check").await;
    region.script(Script::of([
        Fault::new(Action::Status(Canned::new(200).body("<html>hello</html>"))).at(Endpoint::Token)
    ]));
    let (status, unusable, _) = launch.run().await;
    assert_eq!(status.code(), Some(1), "{unusable}");
    region.kill().await;
    let (status, unreachable, _) = launch.run().await;
    assert_eq!(status.code(), Some(1), "{unreachable}");
    let next_step = |output: &str| {
        let line = output.lines().find(|line| line.starts_with("next step: "));
        line.unwrap_or_else(|| panic!("no next step: {output}")).to_owned()
    };
    assert_ne!(next_step(&unusable), next_step(&unreachable));
}

#[tokio::test]
async fn config_print_says_each_value_and_where_it_was_set_and_no_secret() {
    let (region, launch) = with_region("config").await;
    let launch = launch.argument("print").flag("max-wait", "5s");
    let (status, output, log) = launch.clone().argument("--origin").run().await;
    assert_eq!((status.code(), log.as_str()), (Some(0), ""), "{output}");
    let line = |name: &str| {
        let line = output.lines().find(|line| line.split("  ").next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name}: {output}"))
    };
    assert!(line("retry.max_wait").contains("5s") && line("retry.max_wait").ends_with("  flag --max-wait"));
    assert!(line("oauth.client_id").ends_with("  environment variable CXONE_CLIENT_ID"));
    assert!(line("CXONE_CLIENT_SECRET").contains("(withheld)"));
    assert!(line("retry.replay_buffer").ends_with("  default"));
    let (_, json, _) = launch.clone().argument("--json").run().await;
    let values: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert!(values.iter().any(|own| own["name"] == "retry.max_wait" && own["value"] == "5s"), "{json}");
    assert!(!output.contains(CLIENT_SECRET) && !json.contains(CLIENT_SECRET));
    assert_eq!(region.token_requests(), 0, "nobody is asked");
    let (status, output, log) = launch.flag("via", "maybe").run().await;
    assert_eq!((status.code(), output.as_str()), (Some(2), ""));
    assert!(log.contains("`response`, `both` or `off`"), "{log}");
}

#[tokio::test]
async fn completions_and_manual_pages_are_printed() {
    let (status, script, _) = Launch::of("completions").argument("bash").run().await;
    assert_eq!(status.code(), Some(0));
    assert!(script.contains("--admin-listen"), "{script}");
    let (status, page, _) = Launch::of("man").argument("check").run().await;
    assert_eq!(status.code(), Some(0));
    assert!(page.contains(".TH cxone-proxy-check 1"), "{page}");
}

#[tokio::test]
async fn token_prints_a_token_that_is_valid_and_nothing_else() {
    let (region, launch) = with_region("token").await;
    let (status, output, log) = launch.variable("CXONE_PROXY_LOG", "trace").run().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let token = output.strip_suffix('\n').unwrap();
    assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{output:?}");
    let request = format!(
        "GET /api/v2/users/me HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
        region.address()
    );
    assert_eq!(RawConnection::to(region.address()).await.fetch(request).await.status(), 200);
    assert!(!log.contains(token) && !log.contains(CLIENT_SECRET), "{log}");
    assert_eq!(region.referee(), []);
}

#[tokio::test]
async fn token_prints_nothing_where_there_is_none() {
    let (region, launch) = with_region("token").await;
    let (status, output, log) = launch.clone().variable("CXONE_CLIENT_SECRET", "wr0ng-secret").run().await;
    assert_eq!((status.code(), output.as_str()), (Some(1), ""));
    assert!(log.contains("invalid_client") && !log.contains("wr0ng-secret"), "{log}");
    let (status, output, log) = launch.clone().without_variable("CXONE_CLIENT_SECRET").run().await;
    assert_eq!((status.code(), output.as_str()), (Some(2), ""));
    assert!(log.contains("CXONE_CLIENT_SECRET"), "{log}");
    region.kill().await;
    let (status, output, log) = launch.run().await;
    assert_eq!((status.code(), output.as_str()), (Some(1), ""));
    assert!(!log.is_empty());
}
