//! What one request on a pooled connection costs this thread.

use std::io::{Read as _, Write as _};

use super::*;

/// The bound is measured, with a few to spare: one more is worth a look, not a failure of the product.
const ALLOCATIONS: u64 = 9;

#[test]
fn a_get_on_a_pooled_connection_allocates_little() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = Arc::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut read = [0; 4096];
        while tcp.read(&mut read).is_ok_and(|count| count > 0) {
            tcp.write_all(OK.as_bytes()).unwrap();
        }
    });
    let settings = Settings {
        base_url,
        connect_timeout: Duration::from_secs(5),
        response_timeout: None,
        tls: tls::Trust::load(None).unwrap(),
        forward_proxy: ForwardProxy::default(),
        header_case: HeaderCase::Title,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let upstream = Upstream::<Full<Bytes>>::new(settings).unwrap();
    let send = async |count: u64| {
        for _ in 0..count {
            let request = Request::builder().uri("/api").body(Full::default()).unwrap();
            let response = upstream.send(request, SendOptions::default()).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
        }
    };
    runtime.block_on(send(100));
    let measured = allocation_counter::measure(|| runtime.block_on(send(100)));
    let each = measured.count_total / 100;
    println!("{each} allocations, {} bytes", measured.bytes_total / 100);
    assert!(each <= ALLOCATIONS, "{each}");
}
