//! Connections are spread over the workers, and each knows where it came from.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use http::{Request, Response};
use tower::service_fn;

use super::support::{Client, full, get, limits, problems, unix};
use crate::drain::{Phase, drain};
use crate::server::{Arrival, RequestBody, bind, workers};

#[tokio::test]
async fn each_connection_goes_to_the_worker_with_the_fewest() {
    const THREADS: usize = 3;
    let listener = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.bound.addresses()[0];
    let (drainer, drain) = drain();
    let (workers, connections) = workers(vec![listener], THREADS, limits(), problems(), &drain);
    let seen: Arc<Mutex<HashMap<ThreadId, usize>>> = Arc::default();
    let threads: Vec<_> = workers
        .into_iter()
        .map(|worker| {
            let seen = seen.clone();
            let make = move |_: &Arrival| {
                *seen.lock().unwrap().entry(thread::current().id()).or_default() += 1;
                service_fn(|_: Request<RequestBody>| async {
                    Ok::<_, Infallible>(Response::new(full("here")))
                })
            };
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(worker.run(make, || ())).unwrap();
            })
        })
        .collect();
    let mut clients = Vec::new();
    for _ in 0..THREADS * 4 {
        let mut client = Client::over(tokio::net::TcpStream::connect(address).await.unwrap());
        assert_eq!(client.ask(get("/a")).await.text(), "here");
        clients.push(client);
    }
    assert_eq!(connections.open(), THREADS * 4);
    assert_eq!(seen.lock().unwrap().values().copied().collect::<Vec<_>>(), [4; THREADS]);
    drainer.advance(Phase::Draining);
    for client in &mut clients {
        assert!(client.rest().await.is_empty());
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(connections.open(), 0);
}

#[tokio::test]
async fn a_service_is_told_where_its_connection_came_from() {
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("proxy.sock");
    let listens = ["127.0.0.1:0".to_owned(), "0.0.0.0:0".to_owned(), format!("unix:{}", path.display())];
    let listeners: Vec<_> = listens.iter().map(|listen| bind(&listen.parse().unwrap()).unwrap()).collect();
    let bound: Vec<SocketAddr> =
        listeners.iter().flat_map(|listener| listener.bound.addresses().to_vec()).collect();
    let (_drainer, drain) = drain();
    let (workers, _) = workers(listeners, 1, limits(), problems(), &drain);
    let make = |arrival: &Arrival| {
        let text = format!("{arrival:?}");
        service_fn(move |_: Request<RequestBody>| {
            let text = text.clone();
            async move { Ok::<_, Infallible>(Response::new(full(text))) }
        })
    };
    let worker = workers.into_iter().next().unwrap();
    super::support::spawn(async move { worker.run(make, || ()).await });
    for (listener, port) in [(0, bound[0].port()), (1, bound[1].port())] {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let peer = stream.local_addr().unwrap();
        let reply = Client::over(stream).ask(get("/")).await;
        // Never the unspecified address: the guard trusts it.
        let local: SocketAddr = ([127, 0, 0, 1], port).into();
        let due = Arrival::new(listener, Some(local), Some(peer));
        assert_eq!(reply.text(), format!("{due:?}"));
    }
    let reply = unix(&path).await.ask(get("/")).await;
    let uid = Some(rustix::process::geteuid().as_raw());
    assert_eq!(reply.text(), format!("{:?}", Arrival { uid, ..Arrival::new(2, None, None) }));
}

#[tokio::test]
async fn an_axum_router_is_served_as_it_is() {
    let listener = bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.bound.addresses()[0];
    let (_drainer, drain) = drain();
    let worker = workers(vec![listener], 1, limits(), problems(), &drain).0.pop().unwrap();
    let echo = axum::routing::post(async |body: String| body);
    let router = axum::Router::new().route("/echo", echo);
    super::support::spawn(async move { worker.run(move |_| router.clone(), || ()).await });
    let mut client = Client::over(tokio::net::TcpStream::connect(address).await.unwrap());
    assert_eq!(client.ask(super::support::post("/echo", "hello")).await.text(), "hello");
    assert_eq!(client.ask(get("/none")).await.status(), 404);
}
