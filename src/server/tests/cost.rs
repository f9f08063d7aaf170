//! What a request costs beside hyper alone.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use allocation_counter::AllocationInfo;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tower::service_fn;

use super::support::{limits, problems};
use crate::drain::{Phase, drain};
use crate::server::{Arrival, RequestBody, bind, workers};

const REQUESTS: u64 = 1000;

/// As a proxy does, keeps the request until the response is there.
async fn respond<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    tokio::task::yield_now().await;
    drop(request);
    Ok(Response::new(Full::new(Bytes::from_static(b"here"))))
}

/// Sends requests one after the other, and leaves.
fn ask(address: SocketAddr) {
    let mut client = TcpStream::connect(address).unwrap();
    let mut buffer = [0; 1024];
    for _ in 0..REQUESTS {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(client.read(&mut buffer).unwrap() > 0);
    }
}

fn measure(serving: impl Future<Output = ()>) -> AllocationInfo {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    allocation_counter::measure(|| runtime.block_on(serving))
}

fn alone() -> AllocationInfo {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        stream.set_nonblocking(true).unwrap();
        measure(async move {
            let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
            let service = hyper::service::service_fn(respond);
            hyper::server::conn::http1::Builder::new()
                .title_case_headers(true)
                .auto_date_header(false)
                .serve_connection(stream, service)
                .await
                .unwrap();
        })
    });
    ask(address);
    serving.join().unwrap()
}

fn ours() -> AllocationInfo {
    let listener = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.bound.addresses()[0];
    let (drainer, drain) = drain();
    let worker = workers(vec![listener], 1, limits(), problems(), &drain).0.pop().unwrap();
    let make = |_: &Arrival| service_fn(respond::<RequestBody>);
    let serving = thread::spawn(move || measure(async { worker.run(make, || ()).await.unwrap() }));
    ask(address);
    drainer.advance(Phase::Draining);
    serving.join().unwrap()
}

#[test]
fn a_request_costs_no_allocation_that_hyper_does_not_make() {
    let (alone, ours) = (alone(), ours());
    let each = |info: AllocationInfo| (info.count_total / REQUESTS, info.bytes_total / REQUESTS);
    assert_eq!(each(ours).0, each(alone).0, "{ours:?} {alone:?}");
    assert!(each(ours).1 <= each(alone).1 + 50, "{ours:?} {alone:?}");
}
