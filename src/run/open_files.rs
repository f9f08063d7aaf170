//! How many files the process may have open: each request needs two, one for its client and one for the API.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::Limits;

/// Kept back from clients: for the admin listener, token requests, the log, what listens.
const KEPT_BACK: u64 = 64;
/// Fewer are worth a warning: even a small load needs more.
const FEW: u64 = 1024;

/// Raises the soft limit of open files to the hard one, and warns where that is small. The soft limit of many systems is
/// 1,024.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, the old limit is enough for fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Some(files) = limit_now().filter(|files| *files < FEW) {
        tracing::warn!(
            limit = files,
            connections = most_connections(files),
            "this process may have only {files} files open, which is enough for {} client connections at once; more wait. \
             Raise the limit: `ulimit -n` in a shell, LimitNOFILE= for systemd, --ulimit nofile= for a container.",
            most_connections(files)
        );
    }
}

/// The limits with no more client connections than the files allow, so that some are left for the admin listener.
pub(super) fn within_limit(limits: Limits) -> Limits {
    let most = limit_now().map_or(usize::MAX, most_connections);
    Limits { connections: limits.connections.min(most), ..limits }
}

fn limit_now() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

fn most_connections(files: u64) -> usize {
    usize::try_from(files.saturating_sub(KEPT_BACK) / 2).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_for_each_connection_and_some_are_kept_back() {
        for (files, connections) in [(0, 1), (64, 1), (66, 1), (200, 68), (1024, 480), (u64::MAX, 1 << 62)] {
            let most = most_connections(files);
            assert!(most == connections || files == u64::MAX && most >= connections, "{files}: {most}");
        }
    }
}
