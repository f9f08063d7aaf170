//! The journal: the last exchanges, in the order in which they began.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::script::Endpoint;

/// One exchange: a token request or an attempt at the API.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its place among all exchanges of the region, from 0.
    pub number: u64,
    /// When its head had arrived, since the region was made (milliseconds in JSON).
    #[serde(rename = "at_ms", serialize_with = "milliseconds")]
    pub at: Duration,
    /// When it was over; `None` while it is not.
    #[serde(rename = "ended_ms", serialize_with = "milliseconds_if_any")]
    pub ended: Option<Duration>,
    /// The endpoint that it was for.
    pub endpoint: Endpoint,
    /// The connection it came by.
    pub connection: u64,
    /// Its place among the requests of that connection, from 1.
    pub ordinal: u32,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The method.
    pub method: String,
    /// The request target as it arrived, each byte as the character of the same number.
    pub target: String,
    /// Every field line in order and case, values as in `target`; credentials are left out.
    pub fields: Vec<(String, String)>,
    /// The value of `X-Request-Id`, which attempts of one request share.
    pub request_id: Option<String>,
    /// The number (from 1) of the region's access token that the request carried, or that the token endpoint gave out.
    pub token: Option<u64>,
    /// The `grant_type` of a token request.
    pub grant: Option<String>,
    /// How many bytes of the request's body were read.
    pub body_bytes: u64,
    /// The status that was answered; `None` where there was no response, or not yet.
    pub status: Option<u16>,
    /// How it ended; `None` while it has not.
    pub outcome: Option<Outcome>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With a whole response.
    Answered,
    /// The script broke it off.
    BrokenOff,
    /// The client left before its response was whole, or the region was killed.
    ClientGone,
    /// The request was malformed.
    Refused,
}

/// The bytes as characters of the same numbers: nothing is lost and everything can be printed.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn milliseconds<S: serde::Serializer>(at: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(at.as_secs_f64() * 1000.0)
}

#[expect(clippy::ref_option, reason = "serde hands the field over by reference")]
fn milliseconds_if_any<S: serde::Serializer>(at: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => milliseconds(at, to),
        None => to.serialize_none(),
    }
}

/// A ring of entries.
#[derive(Debug)]
pub(super) struct Journal {
    capacity: usize,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    first: u64,
    entries: VecDeque<Entry>,
}

impl Journal {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, ring: Mutex::default() }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.capacity > 0
    }

    /// Writes an entry down; its number.
    pub(super) fn add(&self, mut entry: Entry) -> u64 {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        entry.number = ring.first + ring.entries.len() as u64;
        let number = entry.number;
        if ring.entries.len() >= self.capacity && ring.entries.pop_front().is_some() {
            ring.first += 1;
        }
        ring.entries.push_back(entry);
        number
    }

    /// Adds to an entry, unless it has been pushed out since.
    pub(super) fn amend(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let place = number.checked_sub(ring.first).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| ring.entries.get_mut(place)) {
            change(entry);
        }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).entries.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            number: 0,
            at: Duration::from_millis(1),
            ended: None,
            endpoint: Endpoint::Api,
            connection: 1,
            ordinal: 1,
            protocol: "HTTP/1.1",
            method: "GET".into(),
            target: "/".into(),
            fields: vec![],
            request_id: None,
            token: None,
            grant: None,
            body_bytes: 0,
            status: None,
            outcome: None,
        }
    }

    #[test]
    fn keeps_the_last_entries_and_amends_only_those() {
        let journal = Journal::new(2);
        let numbers: Vec<u64> = (0..3).map(|_| journal.add(entry())).collect();
        assert_eq!(numbers, [0, 1, 2]);
        for number in numbers {
            journal.amend(number, |entry| entry.status = Some(200 + u16::try_from(number).unwrap()));
        }
        let kept: Vec<_> = journal.entries().iter().map(|entry| (entry.number, entry.status)).collect();
        assert_eq!(kept, [(1, Some(201)), (2, Some(202))]);
    }
}
