//! The threads that serve, and what they answer where no request could be read.

use std::io;
use std::sync::Arc;
use std::thread;

use http::Method;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::heartbeats::Heart;
use crate::access::{Failures, Problem, ProblemKind, problem_counters};
use crate::admin::Admin;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::proxy::{Arrival, Proxy};
use crate::server::{self, Limits, Listener, ParseProblem, ParseProblems, Tuning, Worker};

/// Gives a worker its thread and its runtime. The receiver resolves when the thread has ended.
pub(super) fn spawn(worker: Worker, proxy: Proxy, heart: Heart) -> io::Result<oneshot::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name("worker".to_owned()).spawn(move || {
        let sweeping = proxy.clone();
        let make = move |arrival: &server::Arrival| {
            let local_ip = arrival.local.map(|address| address.ip());
            proxy.arriving(Arrival {
                listener: arrival.listener,
                local_ip,
                is_secure: arrival.is_secure,
                peer: peer(arrival),
            })
        };
        let tick = || {
            sweeping.sweep();
            heart.beat();
        };
        if let Err(error) = runtime.block_on(worker.run(make, tick)) {
            tracing::error!(%error, "a worker cannot serve");
        }
        // Drops what was cut off. A name resolution that hangs is not waited for.
        runtime.shutdown_background();
        let _ = done.send(());
    })?;
    Ok(ended)
}

/// What a connection proves of its client, where that is anything.
fn peer(arrival: &server::Arrival) -> Option<Arc<Peer>> {
    let names = arrival.names.clone();
    let proves = arrival.uid.is_some() || names.is_some();
    proves.then(|| Arc::new(Peer { uid: arrival.uid, names }))
}

/// Serves the admin pages on the calling thread: they are few, and no client waits behind them.
#[expect(clippy::disallowed_methods, reason = "`Running::drain` waits for its end")]
pub(super) fn spawn_admin(
    listener: Listener,
    pages: Admin,
    limits: Limits,
    problems: ParseProblems,
    drain: &Drain,
) -> (JoinHandle<()>, Option<Tuning>) {
    let (workers, _) = server::workers(vec![listener], 1, limits, problems, drain);
    let tuning = workers.first().map(Worker::tuning);
    let task = tokio::spawn(async move {
        for worker in workers {
            let arriving = pages.clone();
            let make =
                move |arrival: &server::Arrival| arriving.service(arrival.local.map(|address| address.ip()));
            let served = tokio::select! {
                served = worker.run(make, || ()) => served,
                () = pages.sample() => Ok(()),
            };
            if let Err(error) = served {
                tracing::error!(%error, "the admin pages cannot be served");
            }
        }
    });
    (task, tuning)
}

/// The responses to clients that sent no request. They count as problems of the proxy.
pub(super) fn parse_problems(metrics: &Metrics, clock: &Clock, failures: &Failures) -> ParseProblems {
    let (counters, failures) = (problem_counters(metrics), failures.clone());
    let clock = clock.clone();
    ParseProblems::new(move |parse| {
        let problem = problem(parse);
        counters.add(problem.kind());
        // Which profile it was for is not known.
        failures.problem("", None, &problem, clock.now().wall);
        problem.into_response(&Method::GET, clock.now().wall)
    })
}

fn problem(parse: ParseProblem) -> Problem {
    match parse {
        ParseProblem::Malformed => Problem::new(ProblemKind::Malformed)
            .detail("What came is no HTTP request, or breaks a rule of HTTP."),
        ParseProblem::Tls => {
            Problem::new(ProblemKind::TlsToPlainPort).detail("What came begins a TLS handshake.")
        }
        ParseProblem::NoTls => {
            Problem::new(ProblemKind::PlainToTlsPort).detail("What came is a request without TLS.")
        }
        ParseProblem::Fragment => Problem::new(ProblemKind::Malformed)
            .detail("The request target has a `#`, which never belongs into a request."),
        ParseProblem::HeaderTimeout => Problem::new(ProblemKind::HeaderTimeout)
            .detail("It took longer than limits.header_timeout allows."),
        ParseProblem::TargetTooLong => Problem::new(ProblemKind::TargetTooLong)
            .detail("It is longer than 65,534 bytes, or than limits.header_size allows."),
        ParseProblem::HeadTooLarge => {
            Problem::new(ProblemKind::HeaderSize).detail("It is larger than limits.header_size allows.")
        }
    }
}
