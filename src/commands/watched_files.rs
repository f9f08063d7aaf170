//! Notices when a file of the configuration has changed.
//!
//! The files are looked at from time to time through all symbolic links. That sees every way in which files are
//! replaced (written in place, renamed over, Kubernetes' swap of a link to a directory, a volume of a network), and
//! none of them needs a descriptor or a right of its own.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the files are looked at, and how long they have to stay as they are: a writer may not have finished.
const EVERY: Duration = Duration::from_millis(500);

/// Files, and how they looked when they were last read.
#[derive(Debug)]
pub(super) struct WatchedFiles {
    paths: Vec<PathBuf>,
    /// As they were read.
    known: Vec<Look>,
    /// As they were when they were last looked at.
    latest: Vec<Look>,
    due: Interval,
    /// A file system of a network may keep the one who looks waiting: no more than one waits.
    looking: Option<JoinHandle<Vec<Look>>>,
}

/// What changes where a file's content does: device, number, length, time of the last change.
pub(super) type Look = Option<(u64, u64, u64, i64, i64)>;

impl WatchedFiles {
    /// These files, as they are now.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let known = look(&paths);
        let mut due = interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { latest: known.clone(), known, paths, due, looking: None }
    }

    /// The files that are watched.
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Watches these files from now on, against how they looked before they were read.
    pub(super) fn watch(&mut self, looks: Vec<(PathBuf, Look)>) {
        (self.paths, self.known) = looks.into_iter().unzip();
        self.latest = self.known.clone();
        self.looking = None;
    }

    /// Waits until one of the files has changed, and all have stayed the same since. Never, where there is none.
    /// Cancel safe: a change that nobody waited for is noticed by the next call.
    pub(super) async fn changed(&mut self) {
        if self.paths.is_empty() {
            std::future::pending::<()>().await;
        }
        loop {
            if self.looking.is_none() {
                self.due.tick().await;
            }
            let paths = &self.paths;
            let looking = self.looking.get_or_insert_with(|| {
                let paths = paths.clone();
                spawn_blocking(move || look(&paths))
            });
            let looked = looking.await;
            self.looking = None;
            let Ok(now) = looked else { continue };
            let has_settled = now == self.latest;
            self.latest.clone_from(&now);
            if has_settled && now != self.known {
                return;
            }
        }
    }
}

/// These files, and how they look now. Blocks as long as their file systems do.
pub(super) fn looks(paths: &[PathBuf]) -> Vec<(PathBuf, Look)> {
    paths.iter().cloned().zip(look(paths)).collect()
}

fn look(paths: &[PathBuf]) -> Vec<Look> {
    let one = |path: &PathBuf| {
        let own = fs::metadata(path).ok()?;
        // A pipe has nothing to read twice.
        own.is_file().then(|| (own.dev(), own.ino(), own.len(), own.mtime(), own.mtime_nsec()))
    };
    paths.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tokio::time::timeout;

    use super::*;

    async fn is_noticed(files: &mut WatchedFiles) -> bool {
        timeout(EVERY * 6, files.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_change_is_noticed_however_it_is_made() {
        let place = tempfile::TempDir::new().unwrap();
        let (file, link) = (place.path().join("file"), place.path().join("link"));
        fs::write(&file, "one").unwrap();
        let (old, new) = (place.path().join("old"), place.path().join("new"));
        for version in [&old, &new] {
            fs::create_dir(version).unwrap();
            fs::write(version.join("secret"), "same length").unwrap();
        }
        symlink(&old, &link).unwrap();
        let missing = place.path().join("missing");
        let mut files = WatchedFiles::new(vec![file.clone(), link.join("secret"), missing.clone()]);
        assert!(!is_noticed(&mut files).await);
        let changes: [&dyn Fn(); 4] = [
            &|| fs::write(&file, "other").unwrap(),
            &|| {
                fs::write(place.path().join("next"), "other").unwrap();
                fs::rename(place.path().join("next"), &file).unwrap();
            },
            // As Kubernetes does it.
            &|| {
                symlink(&new, place.path().join("swap")).unwrap();
                fs::rename(place.path().join("swap"), &link).unwrap();
            },
            &|| fs::write(&missing, "there").unwrap(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            change();
            assert!(is_noticed(&mut files).await, "change {index}");
            files.watch(looks(&files.paths.clone()));
            assert!(!is_noticed(&mut files).await, "after change {index}");
        }
    }

    #[tokio::test]
    async fn a_change_between_the_look_and_the_reading_is_noticed_afterwards() {
        let place = tempfile::TempDir::new().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "one").unwrap();
        let mut files = WatchedFiles::new(vec![file.clone()]);
        let before = looks(std::slice::from_ref(&file));
        fs::write(&file, "longer").unwrap();
        files.watch(before);
        assert!(is_noticed(&mut files).await);
    }

    /// Somebody who waits for other things as well asks again and again.
    #[tokio::test]
    async fn a_change_is_noticed_although_the_wait_is_interrupted() {
        let place = tempfile::TempDir::new().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "one").unwrap();
        let mut files = WatchedFiles::new(vec![file.clone()]);
        fs::write(&file, "longer").unwrap();
        let mut noticed = false;
        for _ in 0..60 {
            noticed |= timeout(EVERY / 10, files.changed()).await.is_ok();
        }
        assert!(noticed);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_to_watch_is_never_noticed() {
        assert!(!is_noticed(&mut WatchedFiles::new(Vec::new())).await);
    }
}
