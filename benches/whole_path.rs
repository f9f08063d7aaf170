//! The whole path over loopback, in one process: the upstream asked directly, and through the proxy
//! with its defaults, over plain HTTP and over TLS. `cargo bench --bench whole_path`.
//!
//! `elapsed` is the time per request of a closed loop over 64 connections, everything on this
//! machine's cores together; its throughput is requests per second. `cpu` is the time that the
//! proxy's own threads ran per request, which is what holds on a busy machine.

mod loopback;

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, io, thread};

use criterion::{Criterion, Throughput};
use cxone_proxy::config::Config;
use cxone_proxy::run;
use cxone_proxy::server::Bound;
use tokio::time::Instant;

use loopback::answers::TOKEN;
use loopback::client::{Client, GET};
use loopback::{http1, proxied};

const CONNECTIONS: usize = 64;
/// The name of the threads that serve clients.
const WORKER: &str = "worker";

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let plain = http1::start()?;
    let (secure, ca_pem) = loopback::tls::start()?;
    let ca_file = directory.path().join("ca.pem");
    fs::write(&ca_file, ca_pem)?;
    let over_plain = start_proxy(&format!("http://{plain}"), None)?;
    let over_tls = start_proxy(&format!("https://localhost:{}", secure.port()), Some(&ca_file))?;

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("whole_path");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(10));
    for (name, address) in [("direct", plain), ("plain", over_plain), ("tls", over_tls)] {
        // The proxy replaces the bearer; without it, the upstream refuses who comes directly.
        let mut load = Load::new(address, with_bearer(GET))?;
        group.bench_function(format!("elapsed/{name}"), |bencher| {
            bencher.iter_custom(|times| load.measure(times).elapsed);
        });
        if address != plain {
            group.bench_function(format!("cpu/{name}"), |bencher| {
                bencher.iter_custom(|times| load.measure(times).cpu);
            });
        }
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// A proxy that lives as long as the process.
fn start_proxy(base_url: &str, ca_file: Option<&Path>) -> Result<SocketAddr, Box<dyn Error>> {
    let config = proxied::configuration(base_url, ca_file)?;
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        if let Err(error) = serve(&config, &tell) {
            let _ = tell.send(Err(error.to_string()));
        }
    })?;
    let bound = told.recv()??;
    bound.addresses().first().copied().ok_or_else(|| "a port was asked for".into())
}

fn serve(config: &Config, tell: &mpsc::Sender<Result<Bound, String>>) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut running = run::start(config, None, run::Options::default())?;
        let _ = tell.send(Ok(running.proxy.clone()));
        running.failed().await;
        Ok(())
    })
}

fn with_bearer(request: &[u8]) -> Vec<u8> {
    let end = request.len() - 2;
    let (head, end) = request.split_at(end);
    [head, b"Authorization: Bearer ", TOKEN.as_bytes(), b"\r\n", end].concat()
}

struct Load {
    clients: Vec<Client>,
    request: Vec<u8>,
}

struct Spent {
    elapsed: Duration,
    cpu: Duration,
}

impl Load {
    fn new(address: SocketAddr, request: Vec<u8>) -> io::Result<Self> {
        let clients = (0..CONNECTIONS).map(|_| Client::new(address)).collect::<io::Result<_>>()?;
        Ok(Self { clients, request })
    }

    #[expect(clippy::expect_used, reason = "criterion has no way to be told of an error")]
    fn measure(&mut self, times: u64) -> Spent {
        self.run(times).expect("every request is answered with 200")
    }

    /// Sends `times` requests, as many at once as there are connections.
    fn run(&mut self, times: u64) -> io::Result<Spent> {
        let began = Instant::now();
        let cpu = worker_time()?;
        let mut left = usize::try_from(times).unwrap_or(usize::MAX);
        while left > 0 {
            let round = left.min(self.clients.len());
            let clients = self.clients.get_mut(..round).unwrap_or_default();
            for client in &mut *clients {
                client.send(&self.request)?;
            }
            for client in clients {
                client.receive()?;
            }
            left -= round;
        }
        Ok(Spent { elapsed: began.elapsed(), cpu: worker_time()?.saturating_sub(cpu) })
    }
}

/// How long the proxies' threads have run. Those of the one that is not asked sleep.
fn worker_time() -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if fs::read_to_string(path.join("comm"))?.trim_end() != WORKER {
            continue;
        }
        // Nanoseconds on a core come first (the kernel's Documentation/scheduler/sched-stats).
        let statistics = fs::read_to_string(path.join("schedstat"))?;
        let nanos = statistics.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default();
        sum += Duration::from_nanos(nanos);
    }
    Ok(sum)
}
