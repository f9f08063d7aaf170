//! What is remembered of paths: which reject fresh tokens, and which have accepted one. Pure.
//!
//! A path is known by a number that its caller computed from method and path, so that no path is kept.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Now;

/// How long a path that rejected a fresh token is left alone, and how long its first rejection counts as
/// evidence.
pub(super) const BLOCKED: Duration = Duration::from_mins(1);
/// How long a path that accepted a token is presumed to accept valid ones.
const TRUSTED: Duration = Duration::from_mins(10);
/// The most paths of each kind: more than a client uses in a minute, and few enough to look through on each
/// change. A flood of paths replaces the oldest.
const MOST: usize = 1024;
/// Bits of the mask that stand for paths.
const MASK_BITS: u64 = 63;

/// A method and a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PathId(pub(super) u64);

impl PathId {
    /// The path's bit in the mask of paths that have rejected a token.
    pub(super) fn bit(self) -> u64 {
        1 << (self.0 % MASK_BITS)
    }
}

/// What one path did with tokens.
#[derive(Clone, Copy, Debug)]
struct Rejection {
    /// The highest generation rejected.
    generation: u64,
    at: Now,
    /// It rejected a fresh token after it had rejected the one before.
    is_blocked: bool,
}

/// The memory of paths. Every entry ends by itself.
#[derive(Debug, Default)]
pub(super) struct PathMemory {
    rejections: HashMap<PathId, Rejection>,
    accepted_at: HashMap<PathId, Now>,
}

impl PathMemory {
    /// The path rejected the token of `generation`. Returns true where it is newly blocked: it has
    /// rejected an older token within the last minute and accepted none since.
    pub(super) fn rejected(&mut self, path: PathId, generation: u64, now: Now) -> bool {
        self.reject(path, generation, now, false)
    }

    /// The path rejected the token of `generation`, which was obtained for its sake. Returns true where it
    /// is newly blocked.
    pub(super) fn rejected_fresh(&mut self, path: PathId, generation: u64, now: Now) -> bool {
        self.reject(path, generation, now, true)
    }

    fn reject(&mut self, path: PathId, generation: u64, now: Now, is_fresh: bool) -> bool {
        let before = self.rejections.get(&path).copied().filter(|before| before.is_evidence(now));
        let was_blocked = before.is_some_and(|before| before.is_blocked);
        let is_newer = before.is_none_or(|before| generation > before.generation);
        let is_blocked = was_blocked || is_fresh || (before.is_some() && is_newer);
        // A blocked path is left alone for a minute from its last rejection of a token that was new to it.
        let at = before.filter(|_| !is_newer && was_blocked).map_or(now, |before| before.at);
        let generation = before.map_or(generation, |before| generation.max(before.generation));
        make_room(&mut self.rejections, path, now, BLOCKED, |rejection| rejection.at);
        self.rejections.insert(path, Rejection { generation, at, is_blocked });
        is_blocked && !was_blocked
    }

    /// The path accepted the token of `generation`: it is not blocked any more. Returns the older
    /// generation that it had rejected, where it had.
    pub(super) fn accepted(&mut self, path: PathId, generation: u64, now: Now) -> Option<u64> {
        let rejected = self.rejections.get(&path).filter(|rejection| generation >= rejection.generation);
        let older = rejected.map(|rejection| rejection.generation);
        if older.is_some() {
            self.rejections.remove(&path);
        }
        make_room(&mut self.accepted_at, path, now, TRUSTED, |at| *at);
        self.accepted_at.insert(path, now);
        older.filter(|older| *older < generation)
    }

    /// Whether the path is left alone now: it rejects the token of `generation`, however fresh.
    pub(super) fn is_blocked(&self, path: PathId, generation: u64, now: Now) -> bool {
        self.rejections.get(&path).is_some_and(|rejection| {
            rejection.is_blocked && rejection.generation >= generation && rejection.is_evidence(now)
        })
    }

    /// Whether the path has been blocked and has accepted no token since; its minute may be over.
    pub(super) fn rejects_fresh_tokens(&self, path: PathId) -> bool {
        self.rejections.get(&path).is_some_and(|rejection| rejection.is_blocked)
    }

    /// Whether the path accepted a token in the last minutes.
    pub(super) fn has_accepted(&self, path: PathId, now: Now) -> bool {
        self.accepted_at.get(&path).is_some_and(|at| !now.has_reached(at.plus(TRUSTED)))
    }

    /// The bits of all paths that have rejected a token.
    pub(super) fn mask(&self) -> u64 {
        self.rejections.keys().fold(0, |mask, path| mask | path.bit())
    }

    /// The number of paths that are left alone now.
    pub(super) fn blocked(&self, now: Now) -> usize {
        let blocked = |rejection: &&Rejection| rejection.is_blocked && rejection.is_evidence(now);
        self.rejections.values().filter(blocked).count()
    }

    /// Forgets what has ended. A blocked path is kept for longer than its minute, because it is no news
    /// when it rejects the next fresh token.
    pub(super) fn forget(&mut self, now: Now) {
        self.rejections.retain(|_, rejection| {
            let kept = if rejection.is_blocked { TRUSTED } else { BLOCKED };
            !now.has_reached(rejection.at.plus(kept))
        });
        self.accepted_at.retain(|_, at| !now.has_reached(at.plus(TRUSTED)));
    }
}

impl Rejection {
    fn is_evidence(&self, now: Now) -> bool {
        !now.has_reached(self.at.plus(BLOCKED))
    }
}

/// Makes room for one more entry: drops what is older than `age`, else the oldest.
fn make_room<T>(
    entries: &mut HashMap<PathId, T>,
    path: PathId,
    now: Now,
    age: Duration,
    at: impl Fn(&T) -> Now,
) {
    if entries.len() < MOST || entries.contains_key(&path) {
        return;
    }
    entries.retain(|_, entry| !now.has_reached(at(entry).plus(age)));
    if entries.len() >= MOST
        && let Some(oldest) = entries.iter().min_by_key(|(_, entry)| at(entry).steady).map(|(path, _)| *path)
    {
        entries.remove(&oldest);
    }
}

#[cfg(test)]
mod tests;
