//! Profiles may have addresses below `_links` in JSON rewritten: those lead to the proxy, and nothing else changes.

use crate::support::{
    Http2Client, Incomplete, Launch, Message, QUIET, RawConnection, Setup, Upstream, eventually, get, request,
};
use tempfile::TempDir;

/// A program that rewrites, its upstream, and a connection to each.
struct Rewriting {
    setup: Setup,
    upstream: Upstream,
    client: RawConnection,
    connection: Option<RawConnection>,
    _files: TempDir,
}

impl Rewriting {
    async fn new() -> Self {
        Self::of("rewrite_json_links = true\n").await
    }

    async fn of(keys: &str) -> Self {
        let files = TempDir::new().unwrap();
        let file = files.path().join("proxy.toml");
        std::fs::write(&file, format!("[[profile]]\nname = 'one'\n{keys}")).unwrap();
        let upstream = Upstream::start().await;
        let setup = upstream.setup(|launch: Launch| launch.flag("config", &file)).await;
        let client = setup.connect().await;
        Self { setup, upstream, client, connection: None, _files: files }
    }

    /// The upstream's end of the next request.
    async fn connection(&mut self) -> &mut RawConnection {
        if self.connection.is_none() {
            self.connection = Some(self.upstream.accept().await);
        }
        let connection = self.connection.as_mut().unwrap();
        connection.request().await.unwrap();
        connection
    }

    /// Sends a GET to which the upstream responds with these bytes.
    async fn fetched(&mut self, response: impl AsRef<[u8]>) -> Message {
        self.client.send(get("/")).await;
        self.connection().await.send(response).await;
        self.client.response().await.unwrap()
    }

    /// JSON with an address of the upstream, and the same after rewriting.
    fn json(&self) -> (String, String) {
        let page = |origin: &str| {
            format!(
                r#"{{ "self": "{}/x", "_links": {{"next":"{origin}/x?p=2"}} }}"#,
                self.upstream.base_url()
            )
        };
        (page(&self.upstream.base_url()), page("http://localhost"))
    }
}

fn whole(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\nX-Last: 1\r\n\r\n{body}", body.len())
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn with_a_length() {
    let mut rewriting = Rewriting::new().await;
    let (json, expected) = rewriting.json();
    for media_type in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"] {
        let response = rewriting.fetched(whole(&format!("Content-Type: {media_type}\r\n"), &json)).await;
        assert_eq!(response.text(), expected, "{media_type}");
        assert_eq!(response.only("Content-Length"), Some(expected.len().to_string().as_str()));
        assert_eq!(response.only("Transfer-Encoding"), None);
    }
}

#[tokio::test]
async fn in_chunks_with_trailers() {
    let mut rewriting = Rewriting::new().await;
    let (json, expected) = rewriting.json();
    rewriting.client.send(request("GET", "/", "TE: trailers\r\n", "")).await;
    let connection = rewriting.connection().await;
    connection
        .send(format!("HTTP/1.1 200 OK\r\n{JSON}Trailer: X-Trailer\r\nTransfer-Encoding: chunked\r\n\r\n"))
        .await;
    for piece in json.as_bytes().chunks(7) {
        connection.send_chunk(piece).await;
    }
    connection.send("0\r\nX-Trailer: t\r\n\r\n").await;
    let response = rewriting.client.response().await.unwrap();
    assert_eq!(response.text(), expected);
    assert_eq!(response.only("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.trailers, [("X-Trailer".to_owned(), "t".to_owned())]);
    // The connection serves again on both sides.
    assert_eq!(rewriting.fetched(whole(JSON, &json)).await.text(), expected);
}

#[tokio::test]
async fn over_http2() {
    let mut rewriting = Rewriting::new().await;
    let (json, expected) = rewriting.json();
    let client = Http2Client::to(rewriting.setup.proxy.proxy_address()).await;
    let head = || http::Request::builder().uri("http://localhost/x");
    for chunked in [false, true] {
        let (response, _) = client.begin(head(), true).await;
        let answer = if chunked {
            let chunk = format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len());
            format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{chunk}")
        } else {
            whole(JSON, &json)
        };
        rewriting.connection().await.send(answer).await;
        let response = crate::support::whole(response.await.unwrap()).await.unwrap();
        assert_eq!(String::from_utf8(response.body).unwrap(), expected);
        let length = response.fields.get_all("content-length").iter().count();
        assert_eq!(length, usize::from(!chunked));
    }
}

#[tokio::test]
async fn with_escaped_slashes_and_in_every_shape_below_links() {
    let mut rewriting = Rewriting::new().await;
    let base = rewriting.upstream.base_url();
    let escaped = base.replace('/', "\\/");
    for (json, expected) in [
        (
            r#"{"_links":{"next":"E\/a\/b?c=\u0026"}}"#,
            r#"{"_links":{"next":"http://localhost/a/b?c=\u0026"}}"#,
        ),
        (
            r#"[{"_links":{"self":{"href":"B/a"}}},{"_links":["B/b"]}]"#,
            r#"[{"_links":{"self":{"href":"http://localhost/a"}}},{"_links":["http://localhost/b"]}]"#,
        ),
        (r#"{"_links":{"next":"B"}}"#, r#"{"_links":{"next":"http://localhost"}}"#),
    ] {
        let json = json.replace('E', &escaped).replace('B', &base);
        assert_eq!(rewriting.fetched(whole(JSON, &json)).await.text(), expected, "{json}");
    }
}

#[tokio::test]
async fn everything_else_passes_byte_for_byte() {
    let mut rewriting = Rewriting::new().await;
    let (json, _) = rewriting.json();
    let base = rewriting.upstream.base_url();
    for body in [
        r#"{"_links":{"next":"https://elsewhere.example/x","other":"B.evil.example/","text":"see B"}}"#,
        r#"{"links":{"next":"B/x"},"next":"B/y"}"#,
        r#"{"_links":{"next":"B/x"}"#,
        r#"{"_links":null}"#,
        "[]",
        "\u{feff} not json {\"_links",
    ] {
        let answer = whole(JSON, &body.replace('B', &base));
        let response = rewriting.fetched(&answer).await;
        assert_eq!(response.text(), body.replace('B', &base));
        let mut names: Vec<_> = response.fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["Content-Length", "Content-Type", "Via", "X-Last"]);
    }
    for fields in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/json-seq\r\n",
        "",
        "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        "Content-Type: application/json\r\nCache-Control: private, no-transform\r\n",
    ] {
        assert_eq!(rewriting.fetched(whole(fields, &json)).await.text(), json, "{fields}");
    }
    let part = whole(JSON, &json).replace("200 OK", "206 Partial Content");
    assert_eq!(rewriting.fetched(part).await.text(), json);
}

#[tokio::test]
async fn what_is_larger_than_a_mebibyte_passes_byte_for_byte() {
    let mut rewriting = Rewriting::new().await;
    let (json, expected) = rewriting.json();
    let filled = |to: usize| format!("{json}{}", " ".repeat(to - json.len()));
    for (size, rewritten) in [(1024 * 1024, true), (1024 * 1024 + 1, false), (3 * 1024 * 1024, false)] {
        let body = filled(size);
        let chunk = format!("{size:x}\r\n{body}\r\n0\r\n\r\n");
        let chunked = format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{chunk}");
        for answer in [whole(JSON, &body), chunked] {
            rewriting.client.send(get("/")).await;
            // Both sides at once: it is more than a socket holds.
            rewriting.connection().await;
            let (connection, client) = (rewriting.connection.as_mut().unwrap(), &mut rewriting.client);
            let ((), response) = tokio::join!(connection.send(answer), client.response());
            let text = response.unwrap().text();
            let start = if rewritten { &expected } else { &json };
            assert!(text.starts_with(start.as_str()), "{size}");
            assert!(text.len() == size - json.len() + start.len(), "{size}: {}", text.len());
            assert!(text[start.len()..].bytes().all(|byte| byte == b' '));
        }
    }
}

#[tokio::test]
async fn a_head_response_has_no_length_where_rewriting_would_change_it() {
    let mut rewriting = Rewriting::new().await;
    for (content_type, expected) in [("application/json", None), ("text/plain", Some("70"))] {
        rewriting.client.send(crate::support::request("HEAD", "/", "", "")).await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 70\r\n\r\n");
        rewriting.connection().await.send(head).await;
        let response = rewriting.client.head().await.unwrap();
        assert_eq!((response.status(), response.only("Content-Length")), (200, expected));
    }
    assert_eq!(rewriting.fetched(whole("", "after")).await.text(), "after");
}

#[tokio::test]
async fn a_response_that_breaks_off_while_it_is_held_back_is_502() {
    let mut rewriting = Rewriting::new().await;
    rewriting.client.send(get("/")).await;
    rewriting
        .connection()
        .await
        .send(format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 100\r\n\r\n{{"))
        .await;
    rewriting.connection = None;
    let response = rewriting.client.response().await.unwrap();
    assert_eq!((response.status(), response.only("Proxy-Status").is_some()), (502, true));
}

#[tokio::test]
async fn a_client_that_leaves_meanwhile_ends_it() {
    let mut rewriting = Rewriting::new().await;
    rewriting.client.send(get("/")).await;
    rewriting
        .connection()
        .await
        .send(format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"))
        .await;
    assert!(rewriting.client.is_quiet(QUIET).await, "it is held back");
    let Rewriting { client, connection, .. } = &mut rewriting;
    let connection = connection.as_mut().unwrap();
    *client = RawConnection::over(tokio::io::duplex(1).0);
    assert_eq!(connection.some(1).await, b"", "the upstream's connection ends");
}

#[tokio::test]
async fn without_the_key_nothing_is_looked_into() {
    let mut rewriting = Rewriting::of("").await;
    let (json, _) = rewriting.json();
    assert_eq!(rewriting.fetched(whole(JSON, &json)).await.text(), json);
    // Nothing is held back either.
    rewriting.client.send(get("/")).await;
    rewriting.connection().await.send(format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 2\r\n\r\n[")).await;
    assert_eq!(rewriting.client.head().await.unwrap().status(), 200);
    assert_eq!(rewriting.client.some(1).await, b"[");
    rewriting.connection = None;
    assert!(matches!(rewriting.client.response().await, Err(Incomplete::Nothing)));
}

#[tokio::test]
async fn links_to_other_profiles_lead_there() {
    let files = TempDir::new().unwrap();
    let file = files.path().join("proxy.toml");
    let upstream = Upstream::start().await;
    std::fs::write(
        &file,
        "[[profile]]\nname = 'api'\nrewrite_json_links = true\n\
         [[profile]]\nname = 'hub'\npath_prefix = '/hub'\nstrip_prefix = true\ncredentials = 'api'\n\
         [profile.upstream]\nbase_url = 'https://hub.example/v1'\n",
    )
    .unwrap();
    let setup = upstream.setup(|launch: Launch| launch.flag("config", &file)).await;
    eventually("a token", async || (setup.admin("/readyz").await.status() == 200).then_some(())).await;
    let mut client = setup.connect().await;
    client.send(get("/")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection
        .send(whole(JSON, r#"{"_links":{"a":"https://hub.example/v1/x","b":"https://hub.example/v2"}}"#))
        .await;
    let text = client.response().await.unwrap().text();
    assert_eq!(text, r#"{"_links":{"a":"http://localhost/hub/x","b":"https://hub.example/v2"}}"#);
}
