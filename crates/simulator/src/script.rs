//! Faults: what goes wrong, with which requests, and how often.
//!
//! A script is a list; the first fault that fits a request and is not used up happens to it. Written as JSON:
//!
//! ```json
//! { "faults": [
//!     { "when": { "endpoint": "api", "method": "POST", "path": "/api/v2/upload" },
//!       "skip": 1, "times": 2, "then": { "truncate": { "after": 100 } } },
//!     { "then": { "delay": { "ms": 50 } } }
//! ] }
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::wire::Head;

/// A list of faults; empty means that everything works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Tried in this order.
    pub faults: Vec<Fault>,
}

impl Script {
    /// A script of these faults.
    pub fn of(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { faults: faults.into_iter().collect() }
    }
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The requests that it happens to.
    #[serde(default)]
    pub when: When,
    /// How many fitting requests pass first.
    #[serde(default)]
    pub skip: u32,
    /// How many requests it happens to after that; all of them if this is missing.
    #[serde(default)]
    pub times: Option<u32>,
    /// In how many of a hundred it happens, chosen at random; in all of them if this is missing. Those that chance
    /// spares are not counted by `skip` and `times`.
    #[serde(default)]
    pub percent: Option<u8>,
    /// What happens to them.
    pub then: Action,
}

impl Fault {
    /// A fault that happens to every request.
    pub fn new(then: Action) -> Self {
        Self { when: When::default(), skip: 0, times: None, percent: None, then }
    }

    /// Only requests to this endpoint.
    #[must_use]
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.when.endpoint = endpoint;
        self
    }

    /// Only requests whose target starts so.
    #[must_use]
    pub fn path(mut self, prefix: &str) -> Self {
        self.when.path = Some(prefix.to_owned());
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.when.method = Some(method.to_owned());
        self
    }

    /// The first `count` fitting requests pass.
    #[must_use]
    pub fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Happens at random, in `percent` of a hundred.
    #[must_use]
    pub fn percent(mut self, percent: u8) -> Self {
        self.percent = Some(percent);
        self
    }

    /// Happens `count` times.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }
}

/// Which requests a fault is for; what is missing fits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Token requests, API requests, discovery, or all of them.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// The method, letter for letter.
    #[serde(default)]
    pub method: Option<String>,
    /// How the request target starts, as it was sent.
    #[serde(default)]
    pub path: Option<String>,
}

/// The kinds of endpoints of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// All of them.
    #[default]
    Any,
    /// The API.
    Api,
    /// The token endpoints.
    Token,
    /// The documents that say where things are.
    Discovery,
}

/// What goes wrong. Over HTTP/2, [`Ending::Reset`] resets the stream and [`Ending::Close`] drops the
/// connection; what HTTP/2 cannot express (malformed text, slow heads, bodies that end with the connection)
/// resets the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The response comes late.
    Delay {
        /// The delay in milliseconds.
        ms: u64,
    },
    /// The connection ends when the request's head is there: nothing was done, nothing is answered. (A token
    /// request is read to its end, for the referee's sake.)
    DropBefore {
        /// How it ends.
        #[serde(default)]
        how: Ending,
    },
    /// The request is carried out, then the connection ends without a response.
    DropAfter {
        /// How it ends.
        #[serde(default)]
        how: Ending,
    },
    /// The request is read, not carried out, and answered so.
    Status(Canned),
    /// The response comes while the request's body is still under way.
    EarlyResponse {
        /// What is answered.
        response: Canned,
        /// How many bytes of the body are read first.
        #[serde(default)]
        read: u64,
        /// What becomes of the rest.
        #[serde(default)]
        rest: Rest,
    },
    /// The request is carried out, but its response breaks off.
    Truncate {
        /// After this many bytes of its body.
        after: u64,
        /// How it ends.
        #[serde(default)]
        how: Ending,
    },
    /// The request is read and answered with something that is not HTTP, or not quite.
    Malformed {
        /// What it is.
        what: Malformation,
    },
    /// The request is read, this text is sent as it is, and the connection closed.
    Raw {
        /// What is sent.
        text: String,
    },
    /// The response's head drips out byte by byte.
    SlowHead {
        /// The pause before each byte in milliseconds.
        ms: u64,
    },
    /// The response's body has no length and ends where the connection does (RFC 9112 6.3, the last case).
    CloseDelimited {},
    /// The request is read and answered by a 101 that it did not ask for.
    Unasked101 {},
    /// An informational response comes before the real one.
    Informational {
        /// Its status, such as 103.
        status: u16,
        /// Its fields.
        #[serde(default)]
        fields: Vec<(String, String)>,
    },
    /// The connection is closed some time after the response, without having said so.
    CloseIdle {
        /// So many milliseconds after it.
        ms: u64,
    },
    /// All access tokens are revoked before the request is looked at.
    Revoke {},
}

/// A response that is written down in a script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canned {
    /// Its status.
    pub status: u16,
    /// Its fields, in addition to `Date` and `Content-Length`.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
    /// Its body.
    #[serde(default)]
    pub body: String,
    /// How many times the body comes, one after the other.
    #[serde(default = "once")]
    pub repeat: usize,
}

fn once() -> usize {
    1
}

impl Canned {
    /// A response without a body.
    pub fn new(status: u16) -> Self {
        Self { status, repeat: 1, ..Self::default() }
    }

    /// With one more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }
}

/// How a connection or a stream ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Closed, without a word from TLS either.
    #[default]
    Close,
    /// Torn down by a TCP reset.
    Reset,
    /// Not at all: silence until the other side gives up.
    Stall,
}

/// What becomes of the rest of an upload after an early response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// It is read, and the connection goes on.
    #[default]
    Read,
    /// The response says `Connection: close`; the sending side is closed and the rest read for a while.
    Linger,
    /// The response says `Connection: close`, and the connection is closed with the rest unread.
    Close,
}

/// Responses that are not HTTP, or not quite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Malformation {
    /// Bytes that are no text at all.
    Garbage,
    /// A status line with a status that is no number.
    StatusLine,
    /// An HTTP version that does not exist.
    Version,
    /// A field line that goes on in the next line (RFC 9112 5.2).
    FoldedField,
    /// White space between a field's name and the colon.
    SpaceBeforeColon,
    /// A control character in a field's value.
    ControlCharacter,
    /// Two lengths that differ.
    TwoLengths,
    /// A length that is no number.
    BadLength,
    /// A length together with a transfer coding.
    LengthAndChunked,
    /// A chunk whose size is no number.
    BadChunkSize,
    /// A chunk that is longer than it says.
    LongChunk,
    /// A transfer coding that is not `chunked`.
    UnknownCoding,
    /// A head that has no end.
    EndlessHead,
}

/// The script that is in force, with what has been used of it.
#[derive(Debug, Default)]
pub(super) struct Armed {
    any: AtomicBool,
    faults: Mutex<Vec<(Fault, u32)>>,
}

impl Armed {
    pub(super) fn arm(&self, script: Script) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!script.faults.is_empty(), Ordering::Release);
        *faults = script.faults.into_iter().map(|fault| (fault, 0)).collect();
    }

    /// The fault that happens to this request, if any; counts it as having happened. `chance` is one of 0 to 99.
    pub(super) fn next_action(
        &self,
        endpoint: Endpoint,
        head: &Head,
        chance: impl Fn() -> u8,
    ) -> Option<Action> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        for (fault, seen) in faults.iter_mut() {
            let used_up = fault.times.is_some_and(|times| *seen >= fault.skip.saturating_add(times));
            if used_up || !fault.when.fits(endpoint, head) || fault.is_spared(&chance) {
                continue;
            }
            *seen = seen.saturating_add(1);
            if *seen > fault.skip {
                return Some(fault.then.clone());
            }
        }
        None
    }
}

impl Fault {
    /// True where chance is against it.
    fn is_spared(&self, chance: impl Fn() -> u8) -> bool {
        self.percent.is_some_and(|percent| chance() >= percent)
    }
}

/// One of 0 to 99.
pub(super) fn chance() -> u8 {
    fastrand::u8(..100)
}

impl When {
    fn fits(&self, endpoint: Endpoint, head: &Head) -> bool {
        (self.endpoint == Endpoint::Any || self.endpoint == endpoint)
            && self.method.as_ref().is_none_or(|method| method == head.method())
            && self.path.as_ref().is_none_or(|path| head.target().starts_with(path.as_bytes()))
    }
}
