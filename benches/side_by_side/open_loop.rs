//! An open-loop load generator: requests leave when they are due, whether earlier ones have been
//! answered or not, as those of many independent users do (a Poisson process). A closed loop would
//! wait for slow answers and so leave out the very moments that latency is about.
//!
//! `open_loop ADDRESS PATH RATE SECONDS [AUTHORIZATION]`. Prints a line of JSON. Latency counts from
//! the moment at which a request was due, so that waiting for a turn is part of it. One thread, no
//! runtime: it shares a core with what it measures.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

/// Far more than are ever busy at once at the rates that are measured.
const CONNECTIONS: usize = 32;
/// Not counted: caches, pools and the token have to be filled first.
const WARM_UP: Duration = Duration::from_millis(500);
/// The same arrivals for every system.
const SEED: u64 = 42;
/// Answers that have not come by then never will.
const PATIENCE: Duration = Duration::from_secs(5);

struct Connection {
    stream: TcpStream,
    /// When the request that it carries was due.
    due: Option<Instant>,
    received: Vec<u8>,
}

struct Load {
    connections: Vec<Connection>,
    request: Vec<u8>,
    waiting: VecDeque<Instant>,
    counted_from: Instant,
    /// In nanoseconds.
    latencies: Vec<u64>,
    /// With 200, the warm-up's too.
    answered: usize,
    bad: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, rate, seconds, rest @ ..] = arguments.as_slice() else {
        return Err("usage: open_loop ADDRESS PATH RATE SECONDS [AUTHORIZATION]".into());
    };
    let rate: f64 = rate.parse()?;
    let length = Duration::try_from_secs_f64(seconds.parse()?)?;
    // Without it the kernel lets arrivals slip by 50 microseconds to save wake-ups.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let authorization = rest.first().map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n");
    let start = Instant::now();
    let mut load = Load {
        connections: connect(address.parse()?)?,
        request: request.into_bytes(),
        waiting: VecDeque::new(),
        counted_from: start + WARM_UP,
        latencies: Vec::with_capacity(1 << 20),
        answered: 0,
        bad: 0,
    };
    load.run(rate, start + WARM_UP + length)?;
    load.report()?;
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<Vec<Connection>> {
    let connection = |_| {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, due: None, received: Vec::with_capacity(64 * 1024) })
    };
    (0..CONNECTIONS).map(connection).collect()
}

impl Load {
    fn run(&mut self, rate: f64, end: Instant) -> io::Result<()> {
        let mut chance = fastrand::Rng::with_seed(SEED);
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            while next <= now && next < end {
                self.waiting.push_back(next);
                // The time between arrivals of a Poisson process is exponential.
                next += Duration::from_secs_f64(-(1.0 - chance.f64()).ln() / rate);
            }
            self.send()?;
            let busy = self.connections.iter().any(|connection| connection.due.is_some());
            if next >= end && (now > end + PATIENCE || !busy && self.waiting.is_empty()) {
                break;
            }
            let wake = if next < end { next } else { end + PATIENCE };
            self.wait(wake.saturating_duration_since(Instant::now()))?;
            self.receive()?;
        }
        let busy = self.connections.iter().filter(|connection| connection.due.is_some()).count();
        self.bad += busy + self.waiting.len();
        Ok(())
    }

    /// Gives what is due to connections that are free.
    fn send(&mut self) -> io::Result<()> {
        let free = self.connections.iter_mut().filter(|connection| connection.due.is_none());
        for connection in free {
            let Some(due) = self.waiting.pop_front() else { break };
            connection.due = Some(due);
            connection.stream.write_all(&self.request)?;
        }
        Ok(())
    }

    fn wait(&self, at_most: Duration) -> io::Result<()> {
        let busy = self.connections.iter().filter(|connection| connection.due.is_some());
        let mut watched: Vec<_> =
            busy.map(|connection| PollFd::new(&connection.stream, PollFlags::IN)).collect();
        let at_most = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: at_most.subsec_nanos().into(),
        };
        match poll(&mut watched, Some(&at_most)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        for connection in &mut self.connections {
            let Some(due) = connection.due else { continue };
            if !connection.take()? {
                continue;
            }
            if connection.received.starts_with(b"HTTP/1.1 200") {
                self.answered += 1;
                if due >= self.counted_from {
                    let nanos = due.elapsed().as_nanos();
                    self.latencies.push(u64::try_from(nanos).unwrap_or(u64::MAX));
                }
            } else {
                self.bad += 1;
            }
            connection.due = None;
            connection.received.clear();
        }
        Ok(())
    }

    fn report(&mut self) -> io::Result<()> {
        self.latencies.sort_unstable();
        let good = self.latencies.len();
        let micros = |permille: usize| {
            let at = (good * permille / 1000).min(good.saturating_sub(1));
            let nanos = self.latencies.get(at).copied().unwrap_or_default();
            Duration::from_nanos(nanos).as_secs_f64() * 1e6
        };
        let (p50, p99, p999) = (micros(500), micros(990), micros(999));
        writeln!(
            io::stdout(),
            "{{\"answered\":{},\"bad\":{},\"p50_us\":{p50:.2},\"p99_us\":{p99:.2},\"p999_us\":{p999:.2}}}",
            self.answered,
            self.bad
        )
    }
}

impl Connection {
    /// Reads what is there; true once the answer is whole.
    fn take(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.received.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(is_whole(&self.received))
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return false };
    let head = answer.get(..end).unwrap_or_default().to_ascii_lowercase();
    let Some(at) = memchr::memmem::find(&head, b"content-length: ") else { return false };
    let digits = head.get(at + 16..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    answer.len() >= end + 4 + length
}
