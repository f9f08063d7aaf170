//! How much of a quota many callers use through the proxy, and how much they burn. `cargo bench --bench pace`.
//!
//! Each row is a simulated region with a quota of its own, a proxy with its defaults in front of it, and callers
//! that ask again as soon as they are answered. Four rows run at the same time, for 65 s; the first 5 s, in which the
//! limit is learned, are counted apart. `used` is the share of the quota, `rejected` the share of attempts that
//! the region answered 429, `failed` the responses to callers that were not 200.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use cxone_proxy::config::{self, Environment, Flags};
use cxone_proxy::run;
use cxone_simulator::{Quota, QuotaKind, Region, RetryAfterForm, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until};

const LEARNING: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_mins(1);
/// Rows that run at the same time: more would need more open files than many systems allow.
const AT_ONCE: usize = 4;
const REQUEST: &[u8] = b"GET /api/v2/users/me HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// One row of the table.
#[derive(Clone, Copy)]
struct Row {
    kind: QuotaKind,
    retry_after: RetryAfterForm,
    callers: usize,
    rate: u32,
}

/// What the callers saw.
#[derive(Default)]
struct Seen {
    durations: Vec<Duration>,
    failed: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for retry_after in [RetryAfterForm::None, RetryAfterForm::Seconds] {
        for kind in [QuotaKind::Bucket, QuotaKind::Fixed, QuotaKind::Sliding] {
            for (callers, rate) in [(20, 50), (100, 50), (400, 50), (1000, 100)] {
                rows.push(Row { kind, retry_after, callers, rate });
            }
        }
    }
    // `cargo test --benches` only sees whether it starts.
    let (learning, measured) = if std::env::args().any(|argument| argument == "--bench") {
        (LEARNING, MEASURED)
    } else {
        rows.truncate(1);
        (Duration::from_millis(100), Duration::from_millis(500))
    };
    println!(
        "| quota | Retry-After | callers | used | rejected | failed | median | 99th percentile | learning |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let local = LocalSet::new();
    for rows in rows.chunks(AT_ONCE) {
        let running: Vec<_> =
            rows.iter().map(|row| local.spawn_local(line(*row, learning, measured))).collect();
        runtime.block_on(local.run_until(async {
            for line in running {
                println!("{}", line.await.map_err(io::Error::other)??);
            }
            Ok::<_, io::Error>(())
        }))?;
    }
    Ok(())
}

async fn line(row: Row, learning: Duration, measured: Duration) -> io::Result<String> {
    let quota = Quota::new(row.rate, Duration::from_secs(1)).kind(row.kind).retry_after(row.retry_after);
    let region = Region::start(Settings { quotas: vec![quota], ..Settings::default() }).await?;
    let running = start(&region.base_url()).map_err(|error| io::Error::other(error.to_string()))?;
    let address = running.proxy.addresses().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let (begin, end) = (Instant::now() + learning, Instant::now() + learning + measured);
    let seen = Rc::new(RefCell::new(Seen::default()));
    for _ in 0..row.callers {
        tokio::task::spawn_local(caller(address, begin, end, Rc::clone(&seen)));
    }
    let used = || region.quota_use().first().map_or((0, 0), |used| (used.accepted, used.rejected));
    sleep_until(begin).await;
    let before = used();
    sleep_until(end).await;
    let after = used();
    // Callers end with their last response.
    sleep(Duration::from_millis(200)).await;
    // The next rows need the open files.
    running.drain(Duration::ZERO).await;
    region.stop().await;
    let (accepted, rejected) = (number(after.0 - before.0), number(after.1 - before.1));
    let mut seen = seen.borrow_mut();
    seen.durations.sort_unstable();
    let percentile = |percent: usize| {
        let index = (seen.durations.len() * percent / 100).min(seen.durations.len().saturating_sub(1));
        seen.durations.get(index).copied().unwrap_or_default().as_secs_f64()
    };
    let kind = match row.kind {
        QuotaKind::Bucket => "token bucket",
        QuotaKind::Fixed => "fixed windows",
        QuotaKind::Sliding => "sliding window",
    };
    Ok(format!(
        "| {kind}, {}/s | {} | {} | {:.1} % | {:.1} % | {} | {:.2} s | {:.2} s | {} of {} rejected |",
        row.rate,
        if row.retry_after == RetryAfterForm::None { "no" } else { "yes" },
        row.callers,
        100.0 * accepted / (f64::from(row.rate) * measured.as_secs_f64()),
        100.0 * rejected / (accepted + rejected).max(1.0),
        seen.failed,
        percentile(50),
        percentile(99),
        before.1,
        before.0 + before.1,
    ))
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A proxy with its defaults and one thread.
fn start(base_url: &str) -> Result<run::Running, Box<dyn Error>> {
    let values = [
        ("CXONE_BASE_URL", base_url),
        ("CXONE_CLIENT_ID", "demo-client"),
        ("CXONE_CLIENT_SECRET", "demo-secret"),
        ("CXONE_PROXY_LISTEN", "127.0.0.1:0"),
        ("CXONE_PROXY_ADMIN_LISTEN", "off"),
        ("CXONE_PROXY_THREADS", "1"),
    ];
    let environment: Environment = values.into_iter().collect();
    let loaded = config::load(&Flags::default(), &environment)?;
    Ok(run::start(&loaded.config, None, run::Options::default())?)
}

/// Asks again and again until the end.
async fn caller(
    address: SocketAddr,
    begin: Instant,
    end: Instant,
    seen: Rc<RefCell<Seen>>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let mut buffer = Vec::new();
    while Instant::now() < end {
        let asked = Instant::now();
        stream.write_all(REQUEST).await?;
        buffer.clear();
        while !is_whole(&buffer) {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if asked >= begin && Instant::now() < end {
            let mut seen = seen.borrow_mut();
            if buffer.starts_with(b"HTTP/1.1 200 ") {
                seen.durations.push(asked.elapsed());
            } else {
                seen.failed += 1;
            }
        }
    }
    Ok(())
}

/// All responses here have a length.
fn is_whole(response: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(response) else { return false };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}
