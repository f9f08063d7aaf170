//! Addresses below `_links` in JSON, for profiles that ask for it: those lead here, and nothing else changes.

use std::time::Duration;

use crate::support::{Cut, Http2, Launch, Message, Stage, Upstream, Wire, eventually, get};
use tempfile::TempDir;

/// A program that rewrites, its upstream, and a connection to each.
struct Scene {
    stage: Stage,
    upstream: Upstream,
    near: Wire,
    far: Option<Wire>,
    _files: TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::of("rewrite_json_links = true\n").await
    }

    async fn of(keys: &str) -> Self {
        let files = TempDir::new().unwrap();
        let file = files.path().join("proxy.toml");
        std::fs::write(&file, format!("[[profile]]\nname = 'one'\n{keys}")).unwrap();
        let upstream = Upstream::start().await;
        let stage = upstream.stage(|launch: Launch| launch.flag("config", &file)).await;
        let near = stage.wire().await;
        Self { stage, upstream, near, far: None, _files: files }
    }

    /// The upstream's end of the next request.
    async fn far(&mut self) -> &mut Wire {
        if self.far.is_none() {
            self.far = Some(self.upstream.accept().await);
        }
        let far = self.far.as_mut().unwrap();
        far.request().await.unwrap();
        far
    }

    /// Has the upstream answer a GET with these bytes.
    async fn answered(&mut self, answer: impl AsRef<[u8]>) -> Message {
        self.near.send(get("/")).await;
        self.far().await.send(answer).await;
        self.near.reply().await.unwrap()
    }

    /// JSON with an address of the upstream, and what is to become of it.
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
    let mut scene = Scene::new().await;
    let (json, due) = scene.json();
    for media_type in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"] {
        let reply = scene.answered(whole(&format!("Content-Type: {media_type}\r\n"), &json)).await;
        assert_eq!(reply.text(), due, "{media_type}");
        assert_eq!(reply.only("Content-Length"), Some(due.len().to_string().as_str()));
        assert_eq!(reply.only("Transfer-Encoding"), None);
    }
}

#[tokio::test]
async fn in_chunks_with_trailers() {
    let mut scene = Scene::new().await;
    let (json, due) = scene.json();
    scene.near.send(get("/")).await;
    let far = scene.far().await;
    far.send(format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n")).await;
    for piece in json.as_bytes().chunks(7) {
        far.send_chunk(piece).await;
    }
    far.send("0\r\nX-Trailer: t\r\n\r\n").await;
    let reply = scene.near.reply().await.unwrap();
    assert_eq!(reply.text(), due);
    assert_eq!(reply.only("Transfer-Encoding"), Some("chunked"));
    assert_eq!(reply.trailers, [("X-Trailer".to_owned(), "t".to_owned())]);
    // The connection serves again on both sides.
    assert_eq!(scene.answered(whole(JSON, &json)).await.text(), due);
}

#[tokio::test]
async fn over_http2() {
    let mut scene = Scene::new().await;
    let (json, due) = scene.json();
    let client = Http2::to(scene.stage.proxy.proxy_address()).await;
    let head = || http::Request::builder().uri("http://localhost/x");
    for chunked in [false, true] {
        let (response, _) = client.begin(head(), true).await;
        let answer = if chunked {
            let chunk = format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len());
            format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{chunk}")
        } else {
            whole(JSON, &json)
        };
        scene.far().await.send(answer).await;
        let reply = crate::support::whole(response.await.unwrap()).await.unwrap();
        assert_eq!(String::from_utf8(reply.body).unwrap(), due);
        let length = reply.fields.get_all("content-length").iter().count();
        assert_eq!(length, usize::from(!chunked));
    }
}

#[tokio::test]
async fn with_escaped_slashes_and_in_every_shape_below_links() {
    let mut scene = Scene::new().await;
    let base = scene.upstream.base_url();
    let escaped = base.replace('/', "\\/");
    for (json, due) in [
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
        assert_eq!(scene.answered(whole(JSON, &json)).await.text(), due, "{json}");
    }
}

#[tokio::test]
async fn everything_else_passes_byte_for_byte() {
    let mut scene = Scene::new().await;
    let (json, _) = scene.json();
    let base = scene.upstream.base_url();
    for body in [
        r#"{"_links":{"next":"https://elsewhere.example/x","other":"B.evil.example/","text":"see B"}}"#,
        r#"{"links":{"next":"B/x"},"next":"B/y"}"#,
        r#"{"_links":{"next":"B/x"}"#,
        r#"{"_links":null}"#,
        "[]",
        "\u{feff} not json {\"_links",
    ] {
        let answer = whole(JSON, &body.replace('B', &base));
        let reply = scene.answered(&answer).await;
        assert_eq!(reply.text(), body.replace('B', &base));
        let names: Vec<_> = reply.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Content-Type", "Content-Length", "X-Last", "Via"]);
    }
    for fields in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/json-seq\r\n",
        "",
        "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        "Content-Type: application/json\r\nCache-Control: private, no-transform\r\n",
    ] {
        assert_eq!(scene.answered(whole(fields, &json)).await.text(), json, "{fields}");
    }
    let part = whole(JSON, &json).replace("200 OK", "206 Partial Content");
    assert_eq!(scene.answered(part).await.text(), json);
}

#[tokio::test]
async fn what_is_larger_than_a_mebibyte_passes_byte_for_byte() {
    let mut scene = Scene::new().await;
    let (json, due) = scene.json();
    let filled = |to: usize| format!("{json}{}", " ".repeat(to - json.len()));
    for (size, rewritten) in [(1024 * 1024, true), (1024 * 1024 + 1, false), (3 * 1024 * 1024, false)] {
        let body = filled(size);
        let chunk = format!("{size:x}\r\n{body}\r\n0\r\n\r\n");
        let chunked = format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{chunk}");
        for answer in [whole(JSON, &body), chunked] {
            scene.near.send(get("/")).await;
            // Both sides at once: it is more than a socket holds.
            scene.far().await;
            let (far, near) = (scene.far.as_mut().unwrap(), &mut scene.near);
            let ((), reply) = tokio::join!(far.send(answer), near.reply());
            let text = reply.unwrap().text();
            let start = if rewritten { &due } else { &json };
            assert!(text.starts_with(start.as_str()), "{size}");
            assert!(text.len() == size - json.len() + start.len(), "{size}: {}", text.len());
            assert!(text[start.len()..].bytes().all(|byte| byte == b' '));
        }
    }
}

#[tokio::test]
async fn a_head_is_not_told_the_length_of_what_would_change() {
    let mut scene = Scene::new().await;
    for (content_type, due) in [("application/json", None), ("text/plain", Some("70"))] {
        scene.near.send(crate::support::request("HEAD", "/", "", "")).await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 70\r\n\r\n");
        scene.far().await.send(head).await;
        let reply = scene.near.head().await.unwrap();
        assert_eq!((reply.status(), reply.only("Content-Length")), (200, due));
    }
    assert_eq!(scene.answered(whole("", "after")).await.text(), "after");
}

#[tokio::test]
async fn an_answer_that_breaks_off_while_it_is_held_back_is_told_as_such() {
    let mut scene = Scene::new().await;
    scene.near.send(get("/")).await;
    scene.far().await.send(format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 100\r\n\r\n{{")).await;
    scene.far = None;
    let reply = scene.near.reply().await.unwrap();
    assert_eq!((reply.status(), reply.only("Proxy-Status").is_some()), (502, true));
}

#[tokio::test]
async fn a_client_that_leaves_meanwhile_ends_it() {
    let mut scene = Scene::new().await;
    scene.near.send(get("/")).await;
    scene
        .far()
        .await
        .send(format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"))
        .await;
    assert!(scene.near.is_quiet(Duration::from_millis(100)).await, "it is held back");
    let Scene { near, far, .. } = &mut scene;
    let far = far.as_mut().unwrap();
    *near = Wire::over(tokio::io::duplex(1).0);
    assert_eq!(far.some(1).await, b"", "the upstream's connection ends");
}

#[tokio::test]
async fn without_the_key_nothing_is_looked_into() {
    let mut scene = Scene::of("").await;
    let (json, _) = scene.json();
    assert_eq!(scene.answered(whole(JSON, &json)).await.text(), json);
    // Nothing is held back either.
    scene.near.send(get("/")).await;
    scene.far().await.send(format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 2\r\n\r\n[")).await;
    assert_eq!(scene.near.head().await.unwrap().status(), 200);
    assert_eq!(scene.near.some(1).await, b"[");
    scene.far = None;
    assert!(matches!(scene.near.reply().await, Err(Cut::Nothing)));
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
    let stage = upstream.stage(|launch: Launch| launch.flag("config", &file)).await;
    eventually("a token", async || (stage.admin("/readyz").await.status() == 200).then_some(())).await;
    let mut near = stage.wire().await;
    near.send(get("/")).await;
    let mut far = upstream.accept().await;
    far.request().await.unwrap();
    far.send(whole(JSON, r#"{"_links":{"a":"https://hub.example/v1/x","b":"https://hub.example/v2"}}"#))
        .await;
    let text = near.reply().await.unwrap().text();
    assert_eq!(text, r#"{"_links":{"a":"http://localhost/hub/x","b":"https://hub.example/v2"}}"#);
}
