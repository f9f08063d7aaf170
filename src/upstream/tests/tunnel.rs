//! Through a forward proxy.

use super::*;

/// Settings for an origin of another machine's name, behind a proxy that the test plays.
fn behind(origin: &Origin, proxy: &Origin) -> Settings {
    let url = format!("http://me:p%40ss@127.0.0.1:{}", proxy.port());
    Settings {
        base_url: Arc::new(format!("https://origin.example:{}", origin.port()).parse().unwrap()),
        connect_timeout: Duration::from_secs(2),
        forward_proxy: ForwardProxy::new(Some(url.parse().unwrap()), NoProxy::default()),
        ..origin.settings()
    }
}

/// Plays the proxy: reads CONNECT byte by byte, so that nothing of TLS is taken, and answers.
async fn connect(proxy: &Origin, raw: &str) -> (String, tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut tcp = proxy.accept_tcp().await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("CONNECT", tcp.read_u8()).await.unwrap());
    }
    tcp.write_all(raw.as_bytes()).await.unwrap();
    (String::from_utf8(head).unwrap(), tcp)
}

#[tokio::test]
async fn a_tunnel_is_asked_for_and_carries_tls() {
    for raw in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
        "HTTP/1.1 201 Whatever\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (origin, proxy) = (Origin::tls(&[b"http/1.1"]).await, Origin::plain().await);
        let sent = sending(&Upstream::new(behind(&origin, &proxy)).unwrap(), get("/"));
        let (head, tcp) = connect(&proxy, raw).await;
        let target = format!("origin.example:{}", origin.port());
        assert!(head.starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains(&format!("\r\nHost: {target}\r\n")), "{head}");
        assert!(head.contains("\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n"), "{head}");
        let mut far = origin.accepted(tcp).await;
        let head = far.request().await;
        assert!(!head.contains("Proxy-Authorization"), "{head}");
        far.send(OK).await;
        assert_eq!(sent.text().await, (200, "ok".to_owned()), "{raw:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_named() {
    for (raw, status) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nlog ", Some(407)),
        ("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n", Some(403)),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", Some(302)),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Some(101)),
        ("SSH-2.0-x\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\n\r\nmore than that", None),
        ("", None),
    ] {
        let (origin, proxy) = (Origin::tls(&[]).await, Origin::plain().await);
        let sent = sending(&Upstream::new(behind(&origin, &proxy)).unwrap(), get("/"));
        let (_, tcp) = connect(&proxy, raw).await;
        drop(tcp);
        let error = sent.error().await;
        let kind = ErrorKind::ForwardProxy { status };
        assert_eq!((error.kind, error.delivered), (kind, Delivered::Nothing), "{raw:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_blamed_itself() {
    let (origin, proxy) = (Origin::tls(&[]).await, Origin::plain().await);
    let settings = behind(&origin, &proxy);
    drop(proxy);
    let error = sending(&Upstream::new(settings).unwrap(), get("/")).error().await;
    assert_eq!(error.kind, ErrorKind::ForwardProxy { status: None });
    let proxy = Origin::plain().await;
    let settings = Settings { connect_timeout: Duration::from_millis(200), ..behind(&origin, &proxy) };
    let error = sending(&Upstream::new(settings).unwrap(), get("/")).error().await;
    assert_eq!(error.kind, ErrorKind::ConnectTimeout(crate::cause::Stage::Tunnel));
}
