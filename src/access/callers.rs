//! Identified callers: which client a request comes from, and what that client may do. Pure.
//!
//! What a client shows is looked up by its SHA-256 in a map with keys of chance, so the time that it takes says
//! nothing about a key. A key with 256 bits of chance cannot be found from its digest either, which is all that the
//! clients file holds.

mod key;
mod names;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use http::HeaderMap;

pub use key::{Key, KeyDigest};
use key::{Presented, Seen, presented};
pub use names::NamePattern;

use super::problem::{Problem, ProblemKind};
use super::rules::Rules;
use crate::peer::{Peer, SubjectName};

/// The field with a client's key.
pub const KEY_FIELD: &str = "x-proxy-key";

/// One client: what it is known by, and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Its name in the log, in metrics and in the queue.
    pub name: Arc<str>,
    /// The digests of its keys.
    pub keys: Vec<KeyDigest>,
    /// The users of this machine that it runs as, where it comes by a Unix socket.
    pub uids: Vec<u32>,
    /// The names of its certificates.
    pub names: Vec<NamePattern>,
    /// What it may send, beyond the rules for everybody.
    pub rules: Rules,
    /// The profiles that it may use; all of them where there is none.
    pub profiles: Vec<String>,
}

/// So many names of a certificate are shown.
const SHOWN: usize = 3;
/// The longest name of a client, in characters: it is a label of metrics.
const LONGEST_NAME: usize = 64;

/// What a name of a client may be, for people.
pub const NAMES: &str = "1 to 64 letters, digits, `-`, `_`, `.`, `@`, `/` and spaces";

/// True where a client may have this name.
pub fn is_client_name(name: &str) -> bool {
    !name.is_empty()
        && name.trim() == name
        && name.chars().count() <= LONGEST_NAME
        && name.chars().all(|character| character.is_alphanumeric() || "-_.@/ ".contains(character))
}

/// All clients of a proxy.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    all: Vec<Client>,
    by_key: HashMap<KeyDigest, usize>,
    by_uid: HashMap<u32, usize>,
}

/// A request that comes from no client, and what it was looked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    seen: Seen,
    uid: Option<u32>,
    /// The names of its certificate.
    names: Vec<String>,
}

impl Clients {
    /// Of two clients that are known by the same, the later one counts; the configuration lets none through.
    pub fn new(all: Vec<Client>) -> Self {
        let mut clients = Self::default();
        for (index, client) in all.iter().enumerate() {
            clients.by_key.extend(client.keys.iter().map(|key| (*key, index)));
            clients.by_uid.extend(client.uids.iter().map(|uid| (*uid, index)));
        }
        Self { all, ..clients }
    }

    /// All of them, in the order of the file.
    pub fn all(&self) -> &[Client] {
        &self.all
    }

    /// The client that a request comes from, by its index.
    ///
    /// `peer` is what its connection proves. A key in `X-Proxy-Key` decides alone. What is in
    /// `Authorization` may be meant for the API, so where it is no client's, certificate and socket are looked at.
    pub fn identify(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<usize, Unknown> {
        let uid = peer.and_then(|peer| peer.uid);
        let names = peer.and_then(|peer| peer.names.as_deref());
        let (seen, decides) = match presented(headers) {
            Presented::Key { digest, seen } => match self.by_key.get(&digest) {
                Some(index) => return Ok(*index),
                None => (seen, seen == Seen::Field),
            },
            Presented::Unfit(seen) => (seen, seen == Seen::TwoFields),
        };
        if decides {
            return Err(Unknown { seen, uid: None, names: Vec::new() });
        }
        let names = names.unwrap_or_default();
        let known = self.by_names(names).or_else(|| self.by_uid.get(&uid?).copied());
        known.ok_or_else(|| Unknown { seen, uid, names: names.iter().take(SHOWN).map(names::text).collect() })
    }

    /// The client whose pattern says most about one of these names.
    fn by_names(&self, names: &[SubjectName]) -> Option<usize> {
        let fits = |pattern: &NamePattern| names.iter().filter_map(|name| pattern.fit(name)).max();
        let all = self.all.iter().enumerate();
        let fitting =
            all.filter_map(|(index, client)| Some((index, client.names.iter().filter_map(fits).max()?)));
        fitting.max_by_key(|(_, fit)| *fit).map(|(index, _)| index)
    }
}

impl Unknown {
    /// The response: what was looked for, and where.
    pub fn problem(&self) -> Problem {
        let mut detail = self.seen.to_string();
        if !self.names.is_empty() {
            let names = self.names.join(", ");
            // Writing to a String cannot fail.
            let _ = write!(detail, " No client has a name of the connection's certificate ({names}).");
        }
        if let Some(uid) = self.uid {
            let _ = write!(detail, " The user of the socket's other end (uid {uid}) is no client's either.");
        }
        Problem::new(ProblemKind::ClientUnknown).detail(detail)
    }
}

#[cfg(test)]
mod tests;
