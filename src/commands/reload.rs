//! Reads the configuration again while the proxy serves.
//!
//! A thread that nobody waits for at the end does it: a file may be on a network file system that hangs.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::service_manager;
use super::watched_files::{Look, WatchedFiles, looks};
use crate::config::{self, Config, ConfigError, Environment, Flags, Loaded};
use crate::log::Log;
use crate::run::Running;

/// Where another configuration comes from, and whether it is being read.
pub(super) struct Reload<'l> {
    flags: Arc<Flags>,
    environment: Arc<Environment>,
    /// The running log, where its filter can be changed.
    log: Option<&'l Log>,
    files: WatchedFiles,
    reading: Option<JoinHandle<Read>>,
    /// Asked for while the files were being read, perhaps after the one that has changed.
    again: Option<&'static str>,
}

/// What was read, and how the files looked. Those that were known before are looked at before they are read, so that
/// no change gets lost.
pub(super) struct Read {
    outcome: Result<Loaded, ConfigError>,
    looks: Vec<(PathBuf, Look)>,
}

impl<'l> Reload<'l> {
    /// `files` are those that the running configuration came from.
    pub(super) fn new(
        flags: &Flags,
        environment: &Environment,
        log: Option<&'l Log>,
        files: Vec<PathBuf>,
    ) -> Self {
        Self {
            flags: Arc::new(flags.clone()),
            environment: Arc::new(environment.clone()),
            log,
            files: WatchedFiles::new(files),
            reading: None,
            again: None,
        }
    }

    /// Begins to read, now or after the reading that has begun already.
    pub(super) fn begin(&mut self, why: &'static str) {
        if self.reading.is_some() {
            self.again = Some(why);
            return;
        }
        tracing::debug!(why, "the configuration is read again");
        service_manager::reloading();
        let (flags, environment) = (self.flags.clone(), self.environment.clone());
        let known = self.files.paths().to_vec();
        self.reading = Some(spawn_blocking(move || {
            let before = looks(&known);
            let outcome = config::load(&flags, &environment);
            let files = match &outcome {
                Ok(loaded) => &loaded.files,
                Err(error) => &error.files,
            };
            let mut looks = looks(files);
            for (path, look) in &mut looks {
                if let Some((_, earlier)) = before.iter().find(|(known, _)| known == path) {
                    *look = *earlier;
                }
            }
            Read { outcome, looks }
        }));
    }

    /// Waits until the configuration has been read: because of [`Self::begin`], or, with `watch`, because a file has
    /// changed. Cancel safe.
    pub(super) async fn read(&mut self, watch: bool) -> Result<Read, JoinError> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = reading.await;
                self.reading = None;
                return read;
            }
            if let Some(why) = self.again.take() {
                self.begin(why);
            } else if watch {
                self.files.changed().await;
                self.begin("a file has changed");
            } else {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes over what was read. Where it cannot be used, the old one stays.
    pub(super) fn take_over(
        &mut self,
        read: Result<Read, JoinError>,
        running: &mut Running,
        config: &mut Config,
    ) {
        let taken_over = match read {
            Ok(Read { outcome, looks }) => {
                self.files.watch(looks);
                match outcome {
                    Ok(loaded) => {
                        for warning in loaded.warnings {
                            tracing::warn!("{warning}");
                        }
                        let taken_over = running.reload(&loaded.config, self.log);
                        if taken_over {
                            *config = loaded.config;
                        }
                        taken_over
                    }
                    Err(error) => {
                        running.reload_failed(&error.to_string().replace('\n', "; "));
                        false
                    }
                }
            }
            Err(fault) => {
                running.reload_failed(&format!("the program has a fault: {fault}"));
                false
            }
        };
        service_manager::ready(if taken_over { "reloaded" } else { "not reloaded: the log says why" });
    }
}
