//! The pages through the real server, over real sockets.

use proptest::prelude::*;
use stage::{Line, Seen, Stage};

use super::*;

mod stage;
mod standing;

#[tokio::test]
async fn every_page_is_of_this_moment_and_of_its_type() {
    let stage = Stage::play([Line::Grants(&["a"])]);
    stage.until("valid").await;
    for (path, media_type, start) in [
        ("/", "text/plain; charset=utf-8", "cxone-proxy 1.2.3\n"),
        ("/livez", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP cxone_proxy_"),
        ("/status", "application/json", "{\n  \"version\": \"1.2.3\","),
    ] {
        let seen = stage.get(path).await;
        assert_eq!(seen.status, 200, "{path}");
        assert!(seen.content.starts_with(start), "{path}: {}", seen.content);
        assert_eq!(seen.all("Content-Type"), [media_type], "{path}");
        assert_eq!(seen.all("Content-Length"), [seen.content.len().to_string()], "{path}");
        assert_eq!(seen.all("Cache-Control"), ["no-store"], "{path}");
        assert_eq!(seen.all("X-Content-Type-Options"), ["nosniff"], "{path}");
        assert!(seen.all("Date")[0].starts_with("Tue, 14 Nov 2023 22:13:"), "{path}: {}", seen.head);

        let with_query = stage.get(&format!("{path}?verbose=1&x=/y")).await;
        assert_eq!((with_query.status, with_query.all("Content-Type")), (200, vec![media_type]), "{path}");
        let absolute = stage.get(&format!("http://localhost:8081{path}?q")).await;
        assert_eq!((absolute.status, absolute.all("Content-Type")), (200, vec![media_type]), "{path}");
        let asked_head = stage.ask("HEAD", path).await;
        assert_eq!((asked_head.status, asked_head.content.as_str()), (200, ""), "{path}");
        assert_eq!(asked_head.all("Content-Type"), [media_type], "{path}");
        assert_ne!(asked_head.all("Content-Length"), ["0"], "{path}");
    }
}

#[tokio::test]
async fn the_index_names_every_page() {
    let index = Stage::play([]).get("/").await.content;
    for (path, ..) in RESOURCES {
        assert!(index.lines().any(|line| line.split(' ').next() == Some(path)), "{path}: {index}");
    }
}

#[tokio::test]
async fn a_connection_serves_one_page_after_the_other() {
    let stage = Stage::play([]);
    let two =
        "HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let seen = stage.send(two).await;
    assert_eq!(seen.all("Content-Length"), ["3"]);
    assert!(seen.content.starts_with("HTTP/1.1 200 OK\r\n"), "no content before it: {seen:?}");
    assert!(seen.content.ends_with("\r\n\r\nok\n"), "{seen:?}");
}

fn problem(seen: &Seen, status: u16) -> serde_json::Value {
    assert_eq!(seen.status, status, "{seen:?}");
    assert_eq!(seen.all("Content-Type"), ["application/problem+json"]);
    assert_eq!(seen.all("Proxy-Status"), ["cxone-proxy; error=http_request_error"]);
    assert_eq!(seen.all("Cache-Control"), ["no-store"]);
    let problem = seen.json();
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail", "hint"] {
        assert!(problem[member].as_str().unwrap().len() > 5, "{member}: {problem}");
    }
    problem
}

#[tokio::test]
async fn what_is_no_page_is_told_where_the_pages_are() {
    let stage = Stage::play([]);
    for target in ["/health", "/livez/", "//livez", "/LIVEZ", "/api/v2/users/me", "/metrics%2F"] {
        let hint = problem(&stage.get(target).await, 404)["hint"].to_string();
        for (path, ..) in RESOURCES {
            assert!(hint.contains(path), "{path}: {hint}");
        }
    }
    let long = format!("/{}", "x".repeat(5000));
    assert!(problem(&stage.get(&long).await, 404)["detail"].as_str().unwrap().len() < 300);
    assert_eq!(stage.ask("POST", "/nowhere").await.status, 404);
    assert_eq!(stage.ask("HEAD", "/nowhere").await.content, "");
}

#[tokio::test]
async fn the_pages_can_only_be_read() {
    let stage = Stage::play([]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"] {
        for (path, ..) in RESOURCES {
            let seen = stage.ask(method, path).await;
            let detail = problem(&seen, 405)["detail"].to_string();
            assert!(detail.contains(method), "{detail}");
            assert_eq!(seen.all("Allow"), ["GET, HEAD"]);
        }
    }
    let seen = stage.send("POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{\"a\": 1}\n").await;
    assert_eq!(seen.status, 405, "content is not read: {seen:?}");
}

#[tokio::test]
async fn the_gate_stands_before_every_page() {
    let gate: Gate = Arc::new(|head| {
        if head.fields.lists(b"Host", b"localhost") {
            return Ok(());
        }
        let fields = vec![("content-length", "999".to_owned()), ("Cache-Control", "private".to_owned())];
        Err(Denial { status: 421, fields, content: b"wrong host".to_vec() })
    });
    let stage = Stage::behind(gate, Arc::new(|_| Vec::new()), []);
    for path in RESOURCES.iter().map(|(path, ..)| *path).chain(["/nowhere"]) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        let seen = stage.send(&request).await;
        assert_eq!((seen.status, seen.content.as_str()), (421, "wrong host"), "{path}");
        assert_eq!(seen.all("Content-Length"), ["10"], "the true one only");
        assert_eq!(seen.all("Cache-Control"), ["private"], "its own");
        assert_eq!(seen.all("X-Content-Type-Options"), ["nosniff"]);
        let to_head = stage.send(&request.replace("GET", "HEAD")).await;
        assert_eq!((to_head.status, to_head.content.as_str()), (421, ""), "{path}");
    }
    assert_eq!(stage.get("/livez").await.status, 200);
}

#[tokio::test]
async fn an_allowed_web_origin_can_read_the_pages() {
    let gate: Gate = Arc::new(|head| match head.method {
        Method::OPTIONS => Err(Denial { status: 204, fields: Vec::new(), content: Vec::new() }),
        _ => Ok(()),
    });
    let additions: Additions = Arc::new(|head| {
        let origins = head.fields.all(b"Origin").map(|origin| String::from_utf8_lossy(origin).into_owned());
        origins.map(|origin| ("Access-Control-Allow-Origin", origin)).collect()
    });
    let stage = Stage::behind(gate, additions, []);
    for (method, path, status) in
        [("OPTIONS", "/status", 204), ("GET", "/status", 200), ("GET", "/nowhere", 404), ("PUT", "/", 405)]
    {
        let origin = "Origin: https://a.example\r\n";
        let seen = stage
            .send(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{origin}Connection: close\r\n\r\n"))
            .await;
        assert_eq!(seen.status, status);
        assert_eq!(seen.all("Access-Control-Allow-Origin"), ["https://a.example"], "{method} {path}");
        assert_eq!(seen.all("Content-Length").is_empty(), status == 204, "RFC 9110 section 8.6: {seen:?}");
    }
    assert_eq!(stage.get("/status").await.all("Access-Control-Allow-Origin"), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_by_the_second_function() {
    let stage = Stage::play([]);
    let seen = stage.send("GET /livez HTTP/1.1\r\nHost : a\r\n\r\n").await;
    assert_eq!((seen.status, seen.content.as_str()), (400, "Head(FieldName)"));
    assert_eq!(seen.all("Content-Length"), ["15"]);
}

#[tokio::test]
async fn http2_with_prior_knowledge_reads_the_same() {
    let stage = Stage::play([]);
    let stream = tokio::net::TcpStream::connect(stage.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(async move { drop(connection.await) });
    for (path, status, expected) in [("/livez?a", 200, "ok\n"), ("/readyz", 503, "not ready (absent)")] {
        let request = http::Request::get(format!("http://localhost{path}")).body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
        let mut body = answer.into_body();
        let mut content = Vec::new();
        while let Some(piece) = body.data().await {
            content.extend_from_slice(&piece.unwrap());
        }
        assert!(String::from_utf8(content).unwrap().starts_with(expected), "{path}");
    }
}

#[test]
fn the_path_is_what_stands_between_authority_and_query() {
    for (target, path) in [
        ("/", "/"),
        ("/livez", "/livez"),
        ("/livez?a=/b", "/livez"),
        ("/?http://a/livez", "/"),
        ("http://localhost", "/"),
        ("http://localhost:8081/livez", "/livez"),
        ("HTTP://[::1]:8081/livez?x", "/livez"),
        ("http://localhost?livez", "/"),
        ("//livez", "//livez"),
        ("", "/"),
    ] {
        assert_eq!(String::from_utf8_lossy(path_of(target.as_bytes())), path, "{target}");
    }
}

proptest! {
    #[test]
    fn a_query_and_an_authority_never_change_the_page(path in "(/[a-z/.%]{0,20})", query in "[ -~]{0,20}") {
        let plain = path_of(path.as_bytes()).to_vec();
        prop_assert_eq!(&plain, path.as_bytes());
        let whole = format!("{path}?{query}");
        prop_assert_eq!(path_of(whole.as_bytes()), &plain[..]);
        let absolute = format!("http://localhost:8081{whole}");
        prop_assert_eq!(path_of(absolute.as_bytes()), &plain[..]);
    }

    #[test]
    fn any_target_has_a_path(target in proptest::collection::vec(any::<u8>(), 0..40)) {
        prop_assert!(!path_of(&target).is_empty());
    }
}
