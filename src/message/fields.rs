//! A field section: lines in their order, names in their case, values untouched.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Takes field lines one after the other: a buffer in wire format, a map for HTTP/2, a section.
pub trait FieldSink {
    /// Adds one line. The name is a token and the value holds no line end: both come from a parser
    /// that made sure of it, or are constants.
    fn line(&mut self, name: &[u8], value: &[u8]);
}

/// HTTP/1.1 wire format (RFC 9112 section 5).
impl FieldSink for Vec<u8> {
    fn line(&mut self, name: &[u8], value: &[u8]) {
        self.reserve(name.len() + value.len() + 4);
        self.extend_from_slice(name);
        self.extend_from_slice(b": ");
        self.extend_from_slice(value);
        self.extend_from_slice(b"\r\n");
    }
}

/// HTTP/2's list: names in lower case. A line that HTTP/2 cannot carry is left out.
impl FieldSink for HeaderMap {
    fn line(&mut self, name: &[u8], value: &[u8]) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            // A map has room for some ten thousands of names; what is beyond is left out as well.
            let _ = self.try_append(name, value);
        }
    }
}

/// The place of one line in its section's bytes.
#[derive(Clone, Copy)]
struct Line {
    name_start: u32,
    name_len: u32,
    value_start: u32,
    value_len: u32,
}

/// A field section that keeps its memory from one message to the next.
#[derive(Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    lines: Vec<Line>,
    /// Which lengths of names there are, one bit each: most look-ups end here.
    lengths: u64,
}

impl Fields {
    /// Forgets all lines, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.lengths = 0;
    }

    /// Gives the memory back.
    pub fn release(&mut self) {
        *self = Self::default();
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True where there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// All lines in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.lines.iter().map(|line| {
            (self.span(line.name_start, line.name_len), self.span(line.value_start, line.value_len))
        })
    }

    /// The values of every line called `name`, in any case of letters. A field may be repeated, so
    /// there is no way to ask for *the* value: see [`Fields::only`].
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone + 'a {
        let lines = if self.lengths & length_bit(name.len()) == 0 { &[][..] } else { &self.lines };
        let wanted = clamp(name.len());
        lines
            .iter()
            .filter(move |line| {
                line.name_len == wanted && self.span(line.name_start, wanted).eq_ignore_ascii_case(name)
            })
            .map(|line| self.span(line.value_start, line.value_len))
    }

    /// True where at least one line is called `name`.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.all(name).next().is_some()
    }

    /// The value of `name` where exactly one line carries it; `Err` where several do.
    pub fn only<'a>(&'a self, name: &'a [u8]) -> Result<Option<&'a [u8]>, Repeated> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(first) }
    }

    /// True where a line called `name` lists `member` (a token, in any case of letters).
    pub fn lists(&self, name: &[u8], member: &[u8]) -> bool {
        self.all(name).flat_map(list_members).any(|own| own.eq_ignore_ascii_case(member))
    }

    /// Takes the lines of an HTTP/2 message over, names in Title-Case for the HTTP/1 peers that
    /// compare them as text. Cookie lines, which HTTP/2 may split, are joined (RFC 9113 8.2.3).
    pub fn extend_from_map(&mut self, map: &HeaderMap) {
        let mut cookies = map.get_all(http::header::COOKIE).iter().peekable();
        if cookies.peek().is_some() {
            let mut joined = Vec::new();
            for cookie in cookies {
                if !joined.is_empty() {
                    joined.extend_from_slice(b"; ");
                }
                joined.extend_from_slice(cookie.as_bytes());
            }
            self.line(b"Cookie", &joined);
        }
        for (name, value) in map {
            if name != http::header::COOKIE {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(name.as_str().as_bytes());
                if let Some(own) = self.bytes.get_mut(start..) {
                    title_case(own);
                }
                self.push(start, name.as_str().len(), value.as_bytes());
            }
        }
    }

    /// Adds a line whose name is at the end of the bytes already.
    fn push(&mut self, name_start: usize, name_len: usize, value: &[u8]) {
        let value_start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.lengths |= length_bit(name_len);
        self.lines.push(Line {
            name_start: clamp(name_start),
            name_len: clamp(name_len),
            value_start: clamp(value_start),
            value_len: clamp(value.len()),
        });
    }

    fn span(&self, start: u32, len: u32) -> &[u8] {
        let start = start as usize;
        self.bytes.get(start..start + len as usize).unwrap_or_default()
    }
}

impl FieldSink for Fields {
    fn line(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.push(start, name.len(), value);
    }
}

/// Names only: values may be secret.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

/// Two lines where one was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

/// Lengths from 63 on share a bit.
fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Sections are bounded to far less than 4 GiB before they are kept.
fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The members of a comma-separated list without the white space around them, empty ones left out
/// (RFC 9110 section 5.6.1). Not for lists whose members hold quoted commas.
pub fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// `x-request-id` becomes `X-Request-Id`.
pub fn title_case(name: &mut [u8]) {
    let mut upper = true;
    for byte in name {
        if upper {
            byte.make_ascii_uppercase();
        }
        upper = *byte == b'-';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_lines_are_all_seen() {
        let mut fields = Fields::default();
        fields.line(b"Connection", b"close");
        fields.line(b"connection", b"X-A, ,x-b");
        assert!(fields.lists(b"CONNECTION", b"x-B"));
        assert!(fields.lists(b"connection", b"Close"));
        assert_eq!(fields.only(b"Connection"), Err(Repeated));
        assert_eq!(fields.only(b"Host"), Ok(None));
    }

    #[test]
    fn lines_of_http2_are_title_cased_and_cookies_joined() {
        let mut map = HeaderMap::new();
        map.append("x-request-id", HeaderValue::from_static("7"));
        map.append("cookie", HeaderValue::from_static("a=1"));
        map.append("cookie", HeaderValue::from_static("b=2"));
        let mut fields = Fields::default();
        fields.extend_from_map(&map);
        let lines: Vec<_> = fields.iter().collect();
        assert_eq!(lines, [(&b"Cookie"[..], &b"a=1; b=2"[..]), (&b"X-Request-Id"[..], &b"7"[..])]);
    }

    #[test]
    fn more_names_than_a_map_takes_are_survived() {
        let mut map = HeaderMap::new();
        for number in 0..40_000 {
            map.line(format!("x{number}").as_bytes(), b"1");
        }
        assert!(map.len() > 20_000);
    }

    #[test]
    fn debug_shows_no_value() {
        let mut fields = Fields::default();
        fields.line(b"Authorization", b"Bearer abc");
        assert!(!format!("{fields:?}").contains("abc"));
    }
}
