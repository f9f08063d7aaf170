use std::time::SystemTime;

use super::*;
use crate::metrics::TokenObserver;
use crate::secret::Secret;
use crate::tokens::http_client::wire::{Server, network, response, text_response};
use crate::tokens::{self, ClientAuth, Credentials, Grant, Scopes, SecretSource};

fn endpoint(endpoint: &str, on_this_machine: bool) -> Result<String, DiscoveryError> {
    let document = serde_json::json!({ "api_endpoint": endpoint, "area": "na1" }).to_string();
    base_url(&document, on_this_machine)
}

#[test]
fn a_base_url_that_a_token_may_be_sent_to_is_taken_as_it_is_written() {
    for text in
        ["https://api-na1.example.com", "https://api.example.com:8443/x//y/", "HTTPS://api.example.com"]
    {
        assert_eq!(endpoint(text, false).unwrap(), text);
    }
}

#[test]
fn everything_else_is_refused() {
    for text in [
        "http://api.example.com",
        "ftp://api.example.com",
        "//api.example.com",
        "",
        "https://u@api.example.com",
        "https://api.example.com/?x",
        "https://api.example.com/#x",
        "http://localhost.example.com",
    ] {
        for on_this_machine in [false, true] {
            assert!(endpoint(text, on_this_machine).is_err(), "{text}");
        }
    }
    for document in ["{}", "[]", "<html>", "{\"api_endpoint\":7}"] {
        assert!(base_url(document, true).is_err(), "{document}");
    }
}

#[test]
fn this_machine_is_named_only_by_itself() {
    for host in [
        "localhost",
        "localhost.",
        "LocalHost",
        "api.localhost",
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "2130706433",
    ] {
        for scheme in ["http", "https"] {
            let text = format!("{scheme}://{host}:9000/x");
            assert!(endpoint(&text, false).is_err(), "{text}");
            assert_eq!(endpoint(&text, true).unwrap(), text);
        }
    }
    for url in ["http://localhost.:8080/x", "https://127.0.0.1/"] {
        assert!(is_loopback(&Url::parse(url).unwrap()), "{url}");
    }
    assert!(!is_loopback(&Url::parse("https://cxone.niceincontact.com/").unwrap()));
}

struct Deaf;

impl TokenObserver for Deaf {
    fn token_request(&self, _: &'static str, _: &'static str, _: std::ops::Range<std::time::SystemTime>) {}
    fn token_obtained(&self, _: SystemTime, _: SystemTime) {}
}

fn discoverer(server: &Server) -> Discoverer {
    let url = format!("http://{}/.well-known/cxone-configuration?v=2", server.address).parse().unwrap();
    Discoverer::new(Settings { url, interval: Duration::from_millis(20) }, network()).unwrap()
}

fn document(endpoint: &str) -> String {
    serde_json::json!({ "api_endpoint": endpoint, "area": "na1" }).to_string()
}

#[expect(clippy::unnecessary_wraps, reason = "what the discovery calls may fail")]
fn unchanged(text: &str) -> Result<String, Invalid> {
    Ok(text.to_owned())
}

#[tokio::test]
async fn the_tenant_is_asked_for_and_no_token_is_sent() {
    let marked = format!("\u{feff}{}", document("https://api.example.com/x"));
    let server = Server::plain(vec![text_response("200 OK", "", &marked)]).await;
    let found = discoverer(&server).find("a&b", unchanged).await;
    assert_eq!(found.unwrap(), "https://api.example.com/x");
    let seen = server.seen().pop().unwrap();
    assert_eq!(seen.lines[0], "GET /.well-known/cxone-configuration?v=2&tenantId=a%26b HTTP/1.1");
    assert_eq!(seen.field("authorization"), None);
}

#[tokio::test]
async fn a_response_that_names_no_base_url_is_an_error_that_says_why() {
    let good = document("https://api.example.com");
    for (bytes, expected) in [
        (text_response("404 Not Found", "", ""), "the discovery endpoint responded with 404"),
        (
            text_response("302 Found", "location: https://b.example/\r\n", &good),
            "the discovery endpoint responded with 302",
        ),
        (
            text_response("200 OK", "", &" ".repeat(70_000)),
            "the discovery endpoint sent an unusable response: it is larger than 64 KiB",
        ),
        (
            response("200 OK", "content-encoding: gzip\r\n", good.as_bytes()),
            "the discovery endpoint sent an unusable response: its body is not what its content coding gzip says",
        ),
        (Vec::new(), "the discovery endpoint closed the connection before it responded"),
    ] {
        let server = Server::plain(vec![bytes]).await;
        let error = discoverer(&server).find("t-1", unchanged).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let server = Server::plain(vec![text_response("200 OK", "", &good)]).await;
    let refuse = |_: &str| Err::<(), _>(Invalid::because("has no valid host"));
    let error = discoverer(&server).find("t-1", refuse).await.unwrap_err();
    assert!(error.to_string().ends_with("its api_endpoint has no valid host"), "{error}");
}

#[tokio::test]
async fn what_was_found_stays_in_force_while_asking_fails() {
    // `{"tenantId":"t-1"}` as a JWT.
    let token = r#"{"access_token":"abc","id_token":"e30.eyJ0ZW5hbnRJZCI6InQtMSJ9.c2ln"}"#;
    let token_endpoint = Server::plain(vec![text_response("200 OK", "", token)]).await;
    let secret = SecretSource::Value(Secret::new("s3cret".to_owned()));
    let client = Credentials { id: "app".to_owned(), secret };
    let settings = tokens::Settings {
        token_url: format!("http://{}/", token_endpoint.address).parse().unwrap(),
        grant: Grant::ClientCredentials { client, auth: ClientAuth::Body },
        scopes: Scopes::default(),
        refresh_margin: Duration::from_mins(5),
        origins: crate::cause::Origins::default(),
    };
    let (source, task) = tokens::new(settings, network(), Clock::System, Arc::new(Deaf), None).unwrap();
    let error = text_response("500 Internal Server Error", "", "");
    let good = text_response("200 OK", "", &document("https://api.example.com"));
    let other = text_response("200 OK", "", &document("https://api-eu.example.com"));
    let server = Server::plain(vec![error.clone(), good, error, other]).await;
    let (publish, mut found) = watch::channel(None);
    let test = async {
        let mut values = Vec::new();
        for _ in 0..2 {
            found.changed().await.unwrap();
            values.push(found.borrow_and_update().clone().unwrap());
        }
        assert_eq!(
            values,
            ["https://api.example.com", "https://api-eu.example.com"].map(|url| Arc::new(url.to_owned()))
        );
        assert_eq!(server.seen().len(), 4);
        assert!(server.seen()[3].lines[0].ends_with("tenantId=t-1 HTTP/1.1"));
    };
    tokio::select! {
        () = task.run(std::future::pending()) => {}
        () = run(discoverer(&server), source, Clock::System, unchanged, publish) => {}
        () = test => {}
    }
}
