//! The chunked transfer coding (RFC 9112 section 7.1), as a state machine without a buffer of its
//! own: it is shown what has arrived and says what that is.

use super::parse::{HeadError, parse_trailers};
use crate::message::{ContentError, Fields};

/// The most that one chunk's extensions may take: nobody sends them, and unbounded ones would be a
/// way to keep the proxy reading without content.
const LINE_LIMIT: usize = 1024;

/// What the bytes at hand begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed to say.
    More,
    /// So many bytes of framing: to be dropped, then ask again.
    Skip(usize),
    /// At most so many bytes of content.
    Data(u64),
    /// The end, after so many bytes that are to be dropped with it.
    End(usize),
}

/// Where in the coding the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// A decoder of one message's content.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    trailers: Fields,
    trailer_limit: usize,
}

impl Chunked {
    /// A decoder at the start of the content; the trailer section may take `trailer_limit` bytes.
    pub fn new(trailer_limit: usize) -> Self {
        Self { state: State::Size, trailers: Fields::default(), trailer_limit }
    }

    /// Says what `bytes` begins with.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Step, ContentError> {
        match self.state {
            State::Size => self.size_line(bytes),
            State::Data(left) => Ok(if bytes.is_empty() { Step::More } else { Step::Data(left) }),
            State::DataEnd => match bytes {
                [] | [b'\r'] => Ok(Step::More),
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(Step::Skip(2))
                }
                _ => Err(ContentError::Malformed("a chunk does not end in CRLF")),
            },
            State::Trailers => match parse_trailers(bytes, self.trailer_limit, &mut self.trailers) {
                Ok(None) => Ok(Step::More),
                Ok(Some(length)) => {
                    self.state = State::Done;
                    Ok(Step::End(length))
                }
                Err(HeadError::TooLarge) => Err(ContentError::Malformed("the trailer section is too large")),
                Err(_) => Err(ContentError::Malformed("the trailer section is malformed")),
            },
            State::Done => Ok(Step::End(0)),
        }
    }

    /// Tells that `count` bytes of the content that [`Step::Data`] announced were taken.
    pub fn took(&mut self, count: u64) {
        if let State::Data(left) = self.state {
            let left = left.saturating_sub(count);
            self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
        }
    }

    /// True once the end was reached.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// What followed the content, once the end was reached.
    pub fn trailers(&self) -> Option<&Fields> {
        (self.state == State::Done && !self.trailers.is_empty()).then_some(&self.trailers)
    }

    fn size_line(&mut self, bytes: &[u8]) -> Result<Step, ContentError> {
        let Some(line_end) = memchr::memchr(b'\n', bytes) else {
            return if bytes.len() > LINE_LIMIT {
                Err(ContentError::Malformed("a chunk's size line is too long"))
            } else {
                Ok(Step::More)
            };
        };
        let line = bytes.get(..line_end).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(ContentError::Malformed("a chunk's size line does not end in CRLF"));
        };
        if line.len() > LINE_LIMIT || line.contains(&b'\r') {
            return Err(ContentError::Malformed("a chunk's size line is malformed"));
        }
        let size = chunk_size(line)?;
        self.state = if size == 0 { State::Trailers } else { State::Data(size) };
        Ok(Step::Skip(line_end + 1))
    }
}

/// `1*HEXDIG [ BWS ";" … ]`. Extensions are hop-by-hop and dropped.
fn chunk_size(line: &[u8]) -> Result<u64, ContentError> {
    let mut size: u64 = 0;
    let mut digits = 0;
    let mut rest = line;
    while let [byte, tail @ ..] = rest {
        let Some(digit) = char::from(*byte).to_digit(16) else { break };
        digits += 1;
        size = size
            .checked_mul(16)
            .and_then(|size| size.checked_add(u64::from(digit)))
            .ok_or(ContentError::Malformed("a chunk's size is too large"))?;
        rest = tail;
    }
    // Old servers pad the size with blanks.
    let well_followed = matches!(rest.trim_ascii_start(), [] | [b';', ..]);
    if digits == 0 || digits > 16 || !well_followed {
        return Err(ContentError::Malformed("a chunk's size is malformed"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes `wire`, of which `cut` more bytes become visible at a time.
    fn decode(wire: &[u8], cut: usize) -> Result<(Vec<u8>, usize, Vec<String>), ContentError> {
        let mut decoder = Chunked::new(1000);
        let (mut at, mut seen) = (0, 0);
        let mut content = Vec::new();
        loop {
            match decoder.step(&wire[at..seen])? {
                Step::More if seen == wire.len() => return Err(ContentError::Gone(None)),
                Step::More => seen = (seen + cut).min(wire.len()),
                Step::Skip(count) => at += count,
                Step::Data(most) => {
                    let count = usize::try_from(most).unwrap().min(seen - at);
                    content.extend_from_slice(&wire[at..at + count]);
                    decoder.took(count as u64);
                    at += count;
                }
                Step::End(count) => {
                    let trailers = decoder.trailers().map(|fields| {
                        fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
                    });
                    return Ok((content, at + count, trailers.unwrap_or_default()));
                }
            }
        }
    }

    #[test]
    fn sizes_extensions_and_trailers() {
        let wire = b"4;a=b\r\nwiki\r\nA  \r\n0123456789\r\n1 ;x\r\n!\r\n00\r\nX-Sum: 1\r\nY: 2\r\n\r\nrest";
        for cut in 1..wire.len() {
            let (content, end, trailers) = decode(wire, cut).unwrap();
            assert_eq!(content, b"wiki0123456789!");
            assert_eq!(end, wire.len() - 4);
            assert_eq!(trailers, ["X-Sum", "Y"]);
        }
    }

    #[test]
    fn broken_framing_is_refused() {
        for wire in [
            &b"4\nwiki\r\n0\r\n\r\n"[..],
            b"\r\n",
            b"-1\r\n",
            b"+4\r\nwiki\r\n0\r\n\r\n",
            b"0x4\r\nwiki\r\n0\r\n\r\n",
            b"4 4\r\nwiki\r\n0\r\n\r\n",
            b"4\r\nwikix\r\n0\r\n\r\n",
            b"4\r\nwiki\n0\r\n\r\n",
            b"4;a\rb\r\nwiki\r\n0\r\n\r\n",
            b"10000000000000000\r\n",
            b"00000000000000004\r\nwiki\r\n0\r\n\r\n",
            b"0\r\nX : 1\r\n\r\n",
            b"0\r\n x\r\n\r\n",
        ] {
            let error = decode(wire, 1000).unwrap_err();
            assert!(matches!(error, ContentError::Malformed(_)), "{:?}", String::from_utf8_lossy(wire));
        }
        assert!(decode(&[b'1'; 5000], 100).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_is_decoded(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..10),
            cut in 1_usize..50,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let (content, end, _) = decode(&wire, cut).unwrap();
            prop_assert_eq!(content, chunks.concat());
            prop_assert_eq!(end, wire.len());
        }

        #[test]
        fn any_bytes_are_survived(wire in proptest::collection::vec(any::<u8>(), 0..200), cut in 1_usize..50) {
            let _ = decode(&wire, cut);
        }
    }
}
