//! New connections, and why there is none.

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

use super::*;

fn settings(base_url: &str) -> Settings {
    Settings {
        base_url: Arc::new(base_url.parse().unwrap()),
        connect_timeout: Duration::from_secs(5),
        response_timeout: None,
        tls: tls::Trust::load(None).unwrap(),
        forward_proxy: ForwardProxy::default(),
        header_case: HeaderCase::Title,
    }
}

async fn refused(settings: Settings) -> SendError {
    let upstream = Upstream::new(settings).unwrap();
    let error = sending(&upstream, request(Method::POST, "/", "x")).error().await;
    assert_eq!(error.delivered, Delivered::Nothing);
    assert!(!error.answered);
    error
}

#[tokio::test]
async fn each_stage_has_its_own_error() {
    let error = refused(settings("https://upstream.invalid")).await;
    assert_eq!(error.kind, ErrorKind::Resolution);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = refused(settings(&format!("http://{nobody}"))).await;
    assert_eq!(error.kind, ErrorKind::Connection);
    // It accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = settings(&format!("https://{}", silent.local_addr().unwrap()));
    let error = refused(Settings { connect_timeout: Duration::from_millis(300), ..silent }).await;
    assert_eq!(error.kind, ErrorKind::ConnectTimeout(crate::cause::Stage::Tls));
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_told_from_one_that_is_not_trusted() {
    let plain = Origin::plain().await;
    let upstream = Upstream::new(settings(&format!("https://127.0.0.1:{}", plain.port()))).unwrap();
    let sent = sending(&upstream, get("/"));
    plain.accept().await.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_eq!(sent.error().await.kind, ErrorKind::Tls);

    let origin = Origin::tls(&[]).await;
    let upstream = Upstream::new(settings(&format!("https://127.0.0.1:{}", origin.port()))).unwrap();
    let sent = sending(&upstream, get("/"));
    let tcp = origin.accept_tcp().await;
    let handshake = origin.handshake(tcp);
    let (error, _) = tokio::join!(sent.error(), handshake);
    assert_eq!(error.kind, ErrorKind::Certificate);

    // Trusted, but for another name.
    let base_url = Arc::new(format!("https://127.0.0.2:{}", origin.port()).parse().unwrap());
    let other = TcpListener::bind(("127.0.0.2", origin.port())).await.unwrap();
    let upstream = Upstream::new(Settings { base_url, ..origin.settings() }).unwrap();
    let sent = sending(&upstream, get("/"));
    let tcp = soon("connection", other.accept()).await.unwrap().0;
    let (error, _) = tokio::join!(sent.error(), origin.handshake(tcp));
    assert_eq!(error.kind, ErrorKind::Certificate);
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap();
    let base = format!("http://127.0.0.1:{}", good.port()).parse().unwrap();
    let route = Route::new(&base, None, Duration::from_secs(5));
    let v6 = format!("[::1]:{}", good.port()).parse().unwrap();
    let v4 = format!("127.0.0.2:{}", good.port()).parse().unwrap();
    for addresses in [vec![v4, good], vec![v6, good], vec![v6, v4, good]] {
        let tcp = soon("a connection", route.connect(addresses)).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), good);
    }
    let nowhere = soon("an end", route.connect(Vec::new())).await.unwrap_err();
    assert_eq!(nowhere.kind, ErrorKind::Resolution);
}

#[tokio::test]
async fn an_address_that_does_not_answer_does_not_use_up_the_time_of_the_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap();
    // A listener whose queue is full answers no SYN.
    let full = TcpSocket::new_v4().unwrap();
    full.bind(format!("127.0.0.3:{}", good.port()).parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let mut pending = Vec::new();
    while let Ok(tcp) = tokio::time::timeout(
        Duration::from_millis(100),
        tokio::net::TcpStream::connect(full.local_addr().unwrap()),
    )
    .await
    {
        pending.push(tcp.unwrap());
        assert!(pending.len() < 100);
    }
    let base = format!("http://127.0.0.1:{}", good.port()).parse().unwrap();
    let route = Route::new(&base, None, Duration::from_secs(1));
    let tcp = soon("a connection", route.connect(vec![full.local_addr().unwrap(), good])).await.unwrap();
    assert_eq!(tcp.peer_addr().unwrap(), good);
}

/// A silent peer is found within a minute: 40 s without an acknowledgement, probes from 20 s on.
#[tokio::test]
async fn the_system_watches_for_silent_peers() {
    let origin = Origin::plain().await;
    let settings = origin.settings();
    let route = Route::new(&settings.base_url, None, Duration::from_secs(5));
    let tcp = route.connect(route.resolve().await.unwrap()).await.unwrap();
    assert!(tcp.nodelay().unwrap());
    let socket = SockRef::from(&tcp);
    assert!(socket.keepalive().unwrap());
    let first_probe = socket.tcp_keepalive_time().unwrap();
    let interval = socket.tcp_keepalive_interval().unwrap();
    assert!(first_probe + interval * 2 <= Duration::from_secs(50));
    #[cfg(target_os = "linux")]
    {
        let limit = socket.tcp_user_timeout().unwrap().unwrap();
        assert!(limit >= Duration::from_secs(30) && limit <= Duration::from_secs(50));
        // Otherwise the limit would end connections whose peer was never asked.
        assert!(first_probe + interval <= limit);
    }
}

#[tokio::test]
async fn a_connection_whose_client_left_serves_the_next_one() {
    let origin = Origin::tls(&[b"http/1.1"]).await;
    let upstream = origin.upstream();
    let leaves = sending(&upstream, get("/leaves"));
    let tcp = origin.accept_tcp().await;
    turns().await;
    drop(leaves);
    turns().await;
    let mut far = origin.accepted(tcp).await;
    // Nothing comes of it until it is in the pool.
    assert!(far.is_kept().await);
    let next = sending(&upstream, get("/next"));
    assert!(far.request().await.starts_with("GET /next "));
    far.send(OK).await;
    assert_eq!(next.text().await.0, 200);
    assert!(origin.is_left_alone().await);
}

/// The sender leaves when the connection is made already, but before it has heard of that.
#[tokio::test]
async fn a_connection_whose_client_leaves_at_the_last_moment_is_kept_as_well() {
    let origin = Origin::plain().await;
    let upstream = origin.upstream();
    {
        let mut leaves = std::pin::pin!(upstream.send(get("/leaves"), SendOptions::default()));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::future::Future::poll(leaves.as_mut(), &mut cx).is_pending());
        turns().await;
    }
    let mut far = origin.accept().await;
    turns().await;
    let next = sending(&upstream, get("/next"));
    assert!(far.request().await.starts_with("GET /next "));
    far.send(OK).await;
    assert_eq!(next.text().await.0, 200);
}

#[tokio::test]
async fn once_an_origin_is_known_to_speak_http_1_nobody_waits_for_another() {
    let origin = Origin::tls(&[b"http/1.1"]).await;
    let upstream = origin.upstream();
    let mut far = pooled(&origin, &upstream).await;
    let first = sending(&upstream, get("/"));
    far.request().await;
    let (second, third) = (sending(&upstream, get("/")), sending(&upstream, get("/")));
    // Both connect at once: the first of them needs no handshake before the second may begin.
    let tcp = [origin.accept_tcp().await, origin.accept_tcp().await];
    for tcp in tcp {
        let mut far = origin.accepted(tcp).await;
        far.request().await;
        far.send(OK).await;
        turns().await;
    }
    assert_eq!((second.text().await.0, third.text().await.0), (200, 200));
    drop(first);
}

#[tokio::test]
async fn a_large_response_over_tls_is_read_ahead() {
    let origin = Origin::tls(&[]).await;
    let upstream = origin.upstream();
    let mut far = pooled(&origin, &upstream).await;
    let body: String =
        (0..2_000_000_u32).map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap())).collect();
    for _ in 0..2 {
        let sent = sending(&upstream, get("/"));
        far.request().await;
        let raw = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let (found, ()) = tokio::join!(sent.text(), far.send(raw));
        assert!(found.1 == body);
        turns().await;
    }
}

#[test]
fn a_request_may_move_between_threads() {
    fn check<T: Send>(_: &T) {}
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let upstream = Upstream::<RequestBody>::new(settings("http://localhost")).unwrap();
    let sent = upstream.send(get("/"), SendOptions::default());
    check(&sent);
    assert!(size_of_val(&sent) < 4096, "{}", size_of_val(&sent));
}
