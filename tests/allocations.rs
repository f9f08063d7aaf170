//! What one exchange allocates, counted on the proxy's own thread through real sockets, so that it
//! cannot grow unnoticed. Client and upstream have threads of their own, which do not count.
//!
//! The bounds are what was measured, with no room to spare: a change that needs one more allocation says
//! so here. Most are hyper's: it reads each head into a new buffer of 8 KiB on each side, and makes a map of its
//! fields. Over TLS two more come from rustls, which seals each record into a vector of its own. A request's
//! content adds six: hyper's channel for it, and what remembers it for a resend.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

#[path = "../benches/loopback/mod.rs"]
mod loopback;

use std::path::Path;
use std::pin::pin;
use std::sync::mpsc;
use std::thread;

use cxone_proxy::access::{Problem, ProblemKind};
use cxone_proxy::drain;
use cxone_proxy::proxy::{Arrival, Proxy};
use cxone_proxy::server::{self, ParseProblems};
use tokio::sync::oneshot;

use loopback::client::{Client, GET};
use loopback::{http1, proxied};

const WARM_UP: usize = 200;
const EXCHANGES: usize = 1000;

/// Allocations and bytes of one exchange.
#[derive(Debug)]
struct Cost {
    allocations: f64,
    bytes: f64,
}

impl Cost {
    /// A fraction more is what happens once in a while: the sweep of the pool, a timer.
    #[track_caller]
    fn is_at_most(&self, allocations: u32, bytes: u32) {
        let (allocations, bytes) = (f64::from(allocations), f64::from(bytes));
        assert!(
            self.allocations < allocations + 0.1 && self.bytes < bytes + 50.0,
            "one exchange makes {} allocations (at most {allocations}) of {} bytes (at most {bytes})",
            self.allocations,
            self.bytes
        );
    }
}

#[test]
fn a_get_over_plain_http() {
    let upstream = http1::start().unwrap();
    let cost = cost(&format!("http://{upstream}"), None, GET.to_vec());
    cost.is_at_most(11, 23_660);
}

#[test]
fn a_get_over_tls() {
    let cost = cost_over_tls(GET.to_vec());
    cost.is_at_most(13, 25_170);
}

#[test]
fn a_post_over_tls() {
    let mut request = b"POST /1k HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 1024\r\n\r\n"
        .to_vec();
    request.resize(request.len() + 1024, b'x');
    let cost = cost_over_tls(request);
    cost.is_at_most(17, 27_730);
}

fn cost_over_tls(request: Vec<u8>) -> Cost {
    let (upstream, ca_pem) = loopback::tls::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, ca_pem).unwrap();
    cost(&format!("https://localhost:{}", upstream.port()), Some(&ca_file), request)
}

/// Runs the proxy on this thread, with everything on that it has by default.
fn cost(base_url: &str, ca_file: Option<&Path>, request: Vec<u8>) -> Cost {
    let config = proxied::configuration(base_url, ca_file).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = server::bind(&config.listen).unwrap();
    let address = *listener.bound.addresses().first().unwrap();
    let (_drainer, drain) = drain::drain();
    let problems = ParseProblems::new(|_| {
        Problem::new(ProblemKind::Malformed).into_response(&http::Method::GET, std::time::UNIX_EPOCH)
    });
    let (mut workers, _) = server::workers(vec![listener], 1, config.limits, problems, &drain);
    let worker = workers.pop().unwrap();
    let proxy = runtime.block_on(async { Proxy::from_config(&config).unwrap() });
    let sweeping = proxy.clone();
    let make = move |arrival: &server::Arrival| {
        proxy.arriving(Arrival {
            listener: 0,
            local_ip: arrival.local.map(|address| address.ip()),
            is_secure: arrival.is_secure,
            peer: None,
        })
    };
    let mut serving = pin!(worker.run(make, move || sweeping.sweep()));
    let (warm, mut is_warm) = oneshot::channel();
    let (go, may_go) = mpsc::channel();
    let (done, mut is_done) = oneshot::channel();
    let client = thread::spawn(move || {
        let mut client = Client::new(address).unwrap();
        let mut ask = |times| {
            for _ in 0..times {
                client.send(&request).unwrap();
                client.receive().unwrap();
            }
        };
        ask(WARM_UP);
        warm.send(()).unwrap();
        may_go.recv().unwrap();
        ask(EXCHANGES);
        done.send(()).unwrap();
    });
    let mut serve_until = |signal: &mut oneshot::Receiver<()>| {
        runtime.block_on(async {
            tokio::select! {
                ended = &mut serving => panic!("the worker has ended: {ended:?}"),
                signalled = signal => signalled.expect("the client got every answer"),
            }
        });
    };
    serve_until(&mut is_warm);
    go.send(()).unwrap();
    let counted = allocation_counter::measure(|| serve_until(&mut is_done));
    client.join().unwrap();
    Cost { allocations: each(counted.count_total), bytes: each(counted.bytes_total) }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a short run")]
fn each(total: u64) -> f64 {
    total as f64 / EXCHANGES as f64
}
