//! How a request's body is delimited, and its decoding (RFC 9112 6 and 7). Pure: bytes in, pieces out.
//!
//! Stricter than it need be: what real servers forgive is what requests are smuggled with, and the region is
//! here to notice.

use bytes::{Bytes, BytesMut};

use super::{Head, Line, Protocol};

/// The longest line of a chunked body: its sizes and trailers.
const LONGEST_LINE: usize = 16 * 1024;
/// The most lines of a trailer section.
const MOST_TRAILERS: usize = 128;

/// How far a request's body has been read.
#[derive(Debug)]
pub(super) enum Content {
    /// So many bytes are left.
    Length(u64),
    /// A line with a chunk's size comes next.
    Size,
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// The line end after a chunk comes next.
    ChunkEnd,
    /// Lines of trailers come next.
    Trailers(Vec<Line>),
    /// All has been read.
    End(Vec<Line>),
}

/// What one step of decoding brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A piece of the body.
    Piece(Bytes),
    /// Nothing until more bytes have arrived.
    Starved,
    /// The body has ended.
    End,
}

impl Content {
    /// What the head says of the body.
    pub(super) fn of(head: &Head) -> Result<Self, &'static str> {
        let mut lengths = head.values("content-length");
        let mut codings = head.values("transfer-encoding");
        match (lengths.next(), codings.next()) {
            (None, None) => Ok(Self::End(Vec::new())),
            (Some(_), Some(_)) => Err("Content-Length together with Transfer-Encoding"),
            (None, Some(coding)) => {
                if head.protocol == Protocol::Http10 {
                    Err("Transfer-Encoding in HTTP/1.0")
                } else if codings.next().is_some() || !coding.eq_ignore_ascii_case(b"chunked") {
                    Err("a Transfer-Encoding that is not `chunked` alone")
                } else {
                    Ok(Self::Size)
                }
            }
            (Some(length), None) => {
                if lengths.next().is_some() {
                    return Err("more than one Content-Length");
                }
                match digits(length, 10).ok_or("a Content-Length that is no number")? {
                    0 => Ok(Self::End(Vec::new())),
                    length => Ok(Self::Length(length)),
                }
            }
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::End(_))
    }

    /// The trailers, once the body has ended.
    pub(super) fn trailers(&self) -> &[Line] {
        match self {
            Self::End(trailers) => trailers,
            Self::Length(_) | Self::Size | Self::Chunk(_) | Self::ChunkEnd | Self::Trailers(_) => &[],
        }
    }

    /// Takes what it can from the front of `input`.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Step, &'static str> {
        loop {
            match self {
                Self::End(_) => return Ok(Step::End),
                Self::Length(left) | Self::Chunk(left) => {
                    if input.is_empty() {
                        return Ok(Step::Starved);
                    }
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let piece = input.split_to(length).freeze();
                    *left -= length as u64;
                    if *left == 0 {
                        let whole = matches!(self, Self::Length(_));
                        *self = if whole { Self::End(Vec::new()) } else { Self::ChunkEnd };
                    }
                    return Ok(Step::Piece(piece));
                }
                Self::ChunkEnd => match input.get(..2) {
                    None => return Ok(Step::Starved),
                    Some(b"\r\n") => {
                        let _ = input.split_to(2);
                        *self = Self::Size;
                    }
                    Some(_) => return Err("a chunk is longer than its size"),
                },
                Self::Size => {
                    let Some(line) = take_line(input)? else { return Ok(Step::Starved) };
                    let size = line.split(|&byte| byte == b';').next().unwrap_or_default();
                    let size = digits(size.trim_ascii_end(), 16).ok_or("a chunk size that is no number")?;
                    *self = if size == 0 { Self::Trailers(Vec::new()) } else { Self::Chunk(size) };
                }
                Self::Trailers(lines) => {
                    let Some(line) = take_line(input)? else { return Ok(Step::Starved) };
                    if line.is_empty() {
                        *self = Self::End(std::mem::take(lines));
                    } else if lines.len() == MOST_TRAILERS {
                        return Err("too many trailers");
                    } else {
                        lines.push(field_line(&line)?);
                    }
                }
            }
        }
    }
}

/// A number that consists of digits and nothing else.
fn digits(text: &[u8], radix: u32) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(|byte| char::from(*byte).is_digit(radix));
    if plain { u64::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok() } else { None }
}

/// Takes a line off the front, without its end; `None` where its end has not arrived.
fn take_line(input: &mut BytesMut) -> Result<Option<Bytes>, &'static str> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return if input.len() > LONGEST_LINE { Err("a line of the body has no end") } else { Ok(None) };
    };
    let mut line = input.split_to(end + 1).freeze();
    line.truncate(end);
    match line.split_last() {
        Some((b'\r', rest)) if !rest.contains(&b'\r') => {
            line.truncate(end - 1);
            Ok(Some(line))
        }
        _ => Err("a line of the body that does not end in CR LF"),
    }
}

fn field_line(line: &[u8]) -> Result<Line, &'static str> {
    let colon = memchr::memchr(b':', line).ok_or("a trailer without a colon")?;
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    if name.is_empty() || name.iter().any(|byte| !byte.is_ascii_graphic()) {
        return Err("a trailer's name is no token");
    }
    Ok((String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes what arrives in these pieces.
    fn decode(content: &mut Content, arriving: &[&[u8]]) -> Result<(Vec<u8>, bool), &'static str> {
        let (mut input, mut body) = (BytesMut::new(), Vec::new());
        for piece in arriving {
            input.extend_from_slice(piece);
            loop {
                match content.decode(&mut input)? {
                    Step::Piece(piece) => body.extend_from_slice(&piece),
                    Step::Starved => break,
                    Step::End => return Ok((body, input.is_empty())),
                }
            }
        }
        Ok((body, false))
    }

    fn encode(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut text = Vec::new();
        for chunk in chunks {
            text.extend_from_slice(format!("{:X};x=\"y\"\r\n", chunk.len()).as_bytes());
            text.extend_from_slice(chunk);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"0\r\nX-One: 1\r\nX-Two:2 \r\n\r\n");
        text
    }

    fn cut(text: &[u8], places: &[usize]) -> Vec<Vec<u8>> {
        let mut places: Vec<_> = places.iter().map(|place| place % (text.len() + 1)).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        places.windows(2).map(|pair| text[pair[0]..pair[1]].to_vec()).collect()
    }

    proptest! {
        #[test]
        fn decodes_the_same_wherever_the_network_cuts(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            places in prop::collection::vec(any::<usize>(), 0..8),
        ) {
            let text = encode(&chunks);
            let pieces = cut(&text, &places);
            let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
            let mut content = Content::Size;
            prop_assert_eq!(decode(&mut content, &pieces), Ok((chunks.concat(), true)));
            let trailers = [("X-One".to_owned(), "1".to_owned()), ("X-Two".to_owned(), "2".to_owned())];
            prop_assert_eq!(content.trailers(), trailers);
        }

        #[test]
        fn never_takes_a_cut_off_body_for_a_whole_one(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..4),
            missing in 1..60usize,
        ) {
            let text = encode(&chunks);
            let kept = text.len().saturating_sub(missing);
            let mut content = Content::Size;
            let _ = decode(&mut content, &[&text[..kept]]);
            prop_assert!(!content.has_ended());
        }

        #[test]
        fn survives_anything(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((body, _)) = decode(&mut Content::Size, &[&bytes]) {
                prop_assert!(body.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn bounds_lines_and_trailers() {
        let endless = vec![b'0'; LONGEST_LINE + 1];
        assert!(decode(&mut Content::Size, &[&endless]).is_err());
        let many = format!("0\r\n{}\r\n", "X: 1\r\n".repeat(MOST_TRAILERS + 1));
        assert!(decode(&mut Content::Size, &[many.as_bytes()]).is_err());
        assert!(decode(&mut Content::Size, &[b"10000000000000000\r\n"]).is_err());
    }
}
