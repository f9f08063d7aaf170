//! Attempts that take over from each other, against the bytes that the client sent.

use std::collections::VecDeque;
use std::task::Waker;

use proptest::prelude::*;

use super::*;

/// A body that is there at once, in pieces, and fails at its end where the test wants it.
struct Pieces {
    left: VecDeque<Vec<u8>>,
    trailers: Option<HeaderMap>,
    fails: Option<std::io::ErrorKind>,
}

impl Pieces {
    fn of(pieces: &[&str]) -> Self {
        let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        Self { left: pieces, trailers: None, fails: None }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(piece) = self.left.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece.into()))));
        }
        if let Some(kind) = self.fails.take() {
            return Poll::Ready(Some(Err(kind.into())));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

fn poll(body: &mut ReplayBody) -> Option<Result<Frame<Bytes>, ReplayError>> {
    match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(polled) => polled,
        Poll::Pending => panic!("the body is there at once"),
    }
}

fn read(body: &mut ReplayBody) -> (Vec<u8>, Option<HeaderMap>) {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll(body) {
        match frame.unwrap().into_data() {
            Ok(piece) => data.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    (data, trailers)
}

#[test]
fn a_new_attempt_takes_over_in_the_middle() {
    let replay = Replay::new(Pieces::of(&["one", "two", "three"]), 100, &Budget::new(1 << 20));
    assert!(replay.is_unsent());
    let mut first = replay.reader();
    assert_eq!(poll(&mut first).unwrap().unwrap().into_data().unwrap(), "one");
    assert!(!replay.is_unsent() && replay.is_replayable());
    let mut second = replay.reader();
    assert!(matches!(poll(&mut first), Some(Err(ReplayError::Superseded))));
    assert_eq!(read(&mut second).0, b"onetwothree");
    assert_eq!(read(&mut replay.reader()).0, b"onetwothree");
}

#[test]
fn trailers_come_again_without_what_may_not_be_in_them() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "1".parse().unwrap());
    trailers.insert("authorization", "Bearer stolen".parse().unwrap());
    let body = Pieces { trailers: Some(trailers), ..Pieces::of(&["a"]) };
    let replay = Replay::new(body, 100, &Budget::new(1 << 20));
    for _ in 0..2 {
        let (data, trailers) = read(&mut replay.reader());
        assert_eq!(data, b"a");
        let trailers = trailers.unwrap();
        assert_eq!(trailers["x-checksum"], "1");
        assert!(!trailers.contains_key("authorization"));
    }
}

#[test]
fn a_body_that_failed_stays_failed() {
    for (kind, failure) in [
        (std::io::ErrorKind::UnexpectedEof, ClientFailure::Gone),
        (std::io::ErrorKind::InvalidInput, ClientFailure::Malformed("invalid input parameter".to_owned())),
    ] {
        let body = Pieces { fails: Some(kind), ..Pieces::of(&["a"]) };
        let replay = Replay::new(body, 100, &Budget::new(1 << 20));
        let mut reader = replay.reader();
        assert!(poll(&mut reader).unwrap().is_ok());
        for _ in 0..2 {
            assert!(matches!(poll(&mut reader), Some(Err(ReplayError::Client(found))) if found == failure));
        }
        assert_eq!(replay.client_failure(), Some(failure));
        assert!(!replay.is_replayable());
    }
}

#[test]
fn all_bodies_together_stay_within_the_budget() {
    let budget = Budget::new(1500);
    let one = Replay::new(Pieces::of(&["a"]), 4096, &budget);
    let two = Replay::new(Pieces::of(&["b"]), 4096, &budget);
    assert_eq!(read(&mut one.reader()).0, b"a");
    assert_eq!(read(&mut two.reader()).0, b"b", "it streams all the same");
    assert!(one.is_replayable() && !two.is_replayable());
    drop(one);
    let three = Replay::new(Pieces::of(&["c"]), 4096, &budget);
    assert_eq!(read(&mut three.reader()).0, b"c");
    assert!(three.is_replayable());
}

#[test]
fn an_empty_body_needs_no_memory() {
    let replay = Replay::new(http_body_util::Empty::<Bytes>::new(), 100, &Budget::new(0));
    assert!(matches!(replay, Replay::Empty));
    assert!(replay.is_replayable() && !replay.is_unsent() && replay.reader().is_end_stream());
}

proptest! {
    /// However far an attempt came before the next one began: the next one sends the same bytes from
    /// the start, for as long as no more than the limit was sent.
    #[test]
    fn every_attempt_sends_the_same_from_the_start(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 1..12),
        limit in 0_usize..200,
        attempts in proptest::collection::vec(0_usize..15, 1..6),
    ) {
        let whole = pieces.concat();
        let body = Pieces { left: pieces.into(), trailers: None, fails: None };
        let replay = Replay::new(body, limit, &Budget::new(1 << 20));
        let mut furthest = 0;
        for frames in attempts {
            if !replay.is_replayable() {
                prop_assert!(furthest > limit);
                break;
            }
            prop_assert!(furthest <= limit);
            let mut reader = replay.reader();
            let mut sent = Vec::new();
            for _ in 0..frames {
                let Some(frame) = poll(&mut reader) else {
                    prop_assert_eq!(&sent, &whole);
                    break;
                };
                sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            prop_assert!(whole.starts_with(&sent));
            furthest = furthest.max(sent.len());
        }
    }
}
