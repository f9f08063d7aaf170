//! The listener's certificate, looked at once a day: a process may outlive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use crate::clock::Clock;
use crate::server::EXPIRES_SOON;

const DAY: Duration = Duration::from_hours(24);

/// Warns each day while the certificate expires soon, or has expired. `end` is its last moment in seconds of Unix time,
/// 0 where there is none. The start itself warns, and so does a reload. Never ends.
pub(super) async fn watch(end: Arc<AtomicU64>, clock: Clock) {
    loop {
        sleep(DAY).await;
        if let Some(warning) = warning(end.load(Ordering::Relaxed), clock.now().wall) {
            tracing::warn!("{warning}");
        }
    }
}

fn warning(end: u64, now: SystemTime) -> Option<String> {
    if end == 0 {
        return None;
    }
    let end = UNIX_EPOCH.checked_add(Duration::from_secs(end))?;
    let when = match end.duration_since(now) {
        Ok(left) if left > EXPIRES_SOON => return None,
        Ok(left) => {
            let days = left.as_secs() / DAY.as_secs();
            format!("expires in {days} {}", if days == 1 { "day" } else { "days" })
        }
        Err(_) => "has expired".to_owned(),
    };
    let date = jiff::Timestamp::try_from(end).ok()?.strftime("%Y-%m-%d %H:%M UTC");
    Some(format!(
        "the listener's certificate (tls.cert, CXONE_PROXY_TLS_CERT) {when}, on {date}. Replace the file: it is read again without \
         a restart"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::recorder::Recorder;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_warning_begins_a_week_before_the_end() {
        let end = 1_800_000_000;
        let day = DAY.as_secs();
        assert_eq!(warning(end, at(end - 8 * day)), None);
        assert_eq!(warning(0, at(end)), None);
        assert!(
            warning(end, at(end - 7 * day)).unwrap().contains("expires in 7 days, on 2027-01-15 08:00 UTC")
        );
        assert!(warning(end, at(end - day - 1)).unwrap().contains("expires in 1 day,"));
        assert!(warning(end, at(end - 5)).unwrap().contains("expires in 0 days,"));
        assert!(warning(end, at(end + 1)).unwrap().contains("has expired, on"));
    }

    #[tokio::test(start_paused = true)]
    async fn each_day_has_one_line_until_the_file_is_replaced() {
        let recorder = Recorder::default();
        let subscriber = tracing_subscriber::fmt().with_writer(recorder.clone()).with_ansi(false).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let start = 1_800_000_000;
        let end = Arc::new(AtomicU64::new(start + 9 * DAY.as_secs()));
        let watching = watch(Arc::clone(&end), Clock::anchored(at(start)));
        let replaced = async {
            sleep(4 * DAY + Duration::from_secs(1)).await;
            end.store(start + 90 * DAY.as_secs(), Ordering::Relaxed);
            sleep(10 * DAY).await;
        };
        tokio::select! {
            () = watching => unreachable!("it never ends"),
            () = replaced => {}
        }
        // On the second, third and fourth day.
        assert_eq!(recorder.take().lines().count(), 3);
    }
}
