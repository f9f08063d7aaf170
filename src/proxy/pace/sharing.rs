//! One pace for all replicas: what a `Retry-After` has said to one of them, and how many they are.
//!
//! Each replica tells the others of the pauses that the API has asked it for itself; what it has heard from others it does
//! not tell on, so that no pause lives on by being repeated. What is configured is divided by the number of replicas. All
//! of this is best effort: a replica that hears nothing goes on by what it knows.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::profile::Pace;
use crate::log::Repeats;
use crate::tokens::{Replicas, StoreError};

/// How often the replicas exchange what they know.
const EVERY: Duration = Duration::from_millis(200);
/// How long a store is left alone that does not work.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What one replica tells the others.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    /// Limits, each with the milliseconds for which it is paused.
    pauses: Vec<(String, u64)>,
}

/// A pace that is shared, until this is dropped.
struct Sharing(Arc<Pace>);

impl Drop for Sharing {
    fn drop(&mut self) {
        self.0.share_no_more();
    }
}

/// Shares the pace of one profile, for as long as it is polled. Never ends. Cancel safe: dropping it closes the
/// connection, and the pace is this process's own again. The others notice after three seconds that this replica has gone.
pub async fn share(pace: Arc<Pace>, mut replicas: Replicas) {
    let sharing = Sharing(pace);
    let pace = &sharing.0;
    let mut failures = Repeats::new();
    loop {
        let pauses = pace.own_pauses().into_iter().map(|(name, rest)| (name, millis(rest))).collect();
        match replicas.exchange(Told { pauses }).await {
            Ok(heard) => {
                let now = Instant::now();
                let others = u32::try_from(heard.others).unwrap_or(u32::MAX);
                pace.share_among(NonZeroU32::MIN.saturating_add(others));
                for (told, age) in heard.news {
                    for (name, rest) in told.pauses {
                        pace.paused_elsewhere(&name, now, Duration::from_millis(rest).saturating_sub(age));
                    }
                }
                if failures.end(now).is_some() {
                    tracing::info!(
                        store = replicas.address(),
                        "the pace is shared through {} again",
                        replicas.address()
                    );
                }
                tokio::select! {
                    () = sleep(EVERY) => {}
                    () = pace.has_news() => {}
                }
            }
            Err(error) => {
                pace.hears_nobody();
                say(&mut failures, &replicas, &error);
                sleep(AFTER_FAILURE).await;
            }
        }
    }
}

fn say(failures: &mut Repeats<String>, replicas: &Replicas, error: &StoreError) {
    let reason = error.to_string();
    if let Some(due) = failures.met(reason.clone(), Instant::now()) {
        tracing::warn!(
            store = replicas.address(),
            more = due.more(),
            "the pace is not shared through {}: {reason}. This replica goes on by what it knows, and tries again each \
             second. {}",
            replicas.address(),
            error.hint()
        );
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
