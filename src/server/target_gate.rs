//! The request line before hyper sees it: bytes that hyper would refuse in a target are
//! percent-encoded, so that old clients that send them are served.
//!
//! Pure: bytes in, bytes out. The gate sees the bytes of one head, in as many pieces as they come,
//! and changes nothing but the path and the query of the request line.
//!
//! Which bytes those are (http 1.5 `uri/path.rs`, `PATH_MAP` and `QUERY_MAP`; httparse 1.10
//! `URI_MAP` and `parse_uri`): in a path `<`, `>` and the backtick; in a query `"`, `<` and `>`; in
//! both what is not UTF-8. Everything else that old clients send (`{`, `|`, `}`, `^`, `\`, raw UTF-8,
//! and `"` in a path) passes through hyper as it is. A `#` would be cut off silently together with
//! what follows it, so the gate reports it. Control characters stay, for hyper to refuse.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Reads the beginning of one head. `Default` is the state before its first byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TargetGate {
    place: Place,
    /// Bytes of the target so far, as the client sent them.
    length: usize,
    /// The beginning of a character whose other bytes have not arrived.
    held: Held,
    /// The first byte of the head.
    first: u8,
}

/// Where in the head the next byte belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the method. Empty lines are skipped here (RFC 9112 section 2.2).
    #[default]
    Start,
    Method,
    /// The first byte of the target.
    Target,
    /// In an absolute form (RFC 9112 section 3.2.2) before its path: so many slashes have come.
    Authority(u8),
    Path,
    Query,
    /// After the target, or where hyper will refuse the head anyway.
    Passed,
}

/// What became of a piece of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// hyper takes it as it is.
    Unchanged,
    /// hyper is to have this in its place. May be empty: the bytes of a character are held back until
    /// all have arrived.
    Replaced(Vec<u8>),
    /// The target has a `#`: it cannot be served.
    Fragment,
}

/// What a byte means at its place.
enum Step {
    /// Passes.
    Keep,
    /// Passes, and moves on to another place.
    Enter(Place),
    /// Is percent-encoded.
    Encode,
    /// Belongs to a character of several bytes.
    High,
    /// Ends the examination with an error.
    Fragment,
}

impl TargetGate {
    /// Examines the next bytes of the head.
    pub(super) fn examine(&mut self, bytes: &[u8]) -> Finding {
        if self.place == Place::Passed {
            return Finding::Unchanged;
        }
        if self.held.is_empty() {
            for (index, &byte) in bytes.iter().enumerate() {
                match self.step(byte) {
                    Step::Keep => self.count(),
                    Step::Enter(place) => {
                        self.enter(place, byte);
                        if place == Place::Passed {
                            return Finding::Unchanged;
                        }
                    }
                    Step::Encode | Step::High => {
                        let (before, rest) = bytes.split_at(index);
                        return self.replace(before, rest);
                    }
                    Step::Fragment => return Finding::Fragment,
                }
            }
            return Finding::Unchanged;
        }
        self.replace(&[], bytes)
    }

    /// True once a head has begun to arrive: more than empty lines.
    pub(super) fn has_begun(&self) -> bool {
        self.place != Place::Start
    }

    /// The first byte of the head; zero before it has arrived.
    pub(super) fn first_byte(&self) -> u8 {
        self.first
    }

    /// True where a head that is too large is so because of its target: the target alone has more
    /// than `limit` bytes, or has not ended yet.
    pub(super) fn is_in_target(&self, limit: usize) -> bool {
        match self.place {
            Place::Target | Place::Authority(_) | Place::Path | Place::Query => true,
            Place::Start | Place::Method | Place::Passed => self.length > limit,
        }
    }

    fn step(&self, byte: u8) -> Step {
        match self.place {
            Place::Start => match byte {
                b'\r' | b'\n' => Step::Keep,
                _ if is_token(byte) => Step::Enter(Place::Method),
                _ => Step::Enter(Place::Passed),
            },
            Place::Method => match byte {
                b' ' => Step::Enter(Place::Target),
                _ if is_token(byte) => Step::Keep,
                _ => Step::Enter(Place::Passed),
            },
            Place::Target => match byte {
                b'/' => Step::Enter(Place::Path),
                b'#' => Step::Fragment,
                0..=b' ' | 0x7f => Step::Enter(Place::Passed),
                _ => Step::Enter(Place::Authority(0)),
            },
            Place::Authority(slashes) => match byte {
                b'/' if slashes == 2 => Step::Enter(Place::Path),
                b'/' => Step::Enter(Place::Authority(slashes + 1)),
                b'?' => Step::Enter(Place::Query),
                b'#' => Step::Fragment,
                0..=b' ' | 0x7f => Step::Enter(Place::Passed),
                _ => Step::Keep,
            },
            Place::Path => match byte {
                b'<' | b'>' | b'`' => Step::Encode,
                b'?' => Step::Enter(Place::Query),
                b'#' => Step::Fragment,
                0..=b' ' | 0x7f => Step::Enter(Place::Passed),
                0x80.. => Step::High,
                _ => Step::Keep,
            },
            Place::Query => match byte {
                b'"' | b'<' | b'>' => Step::Encode,
                b'#' => Step::Fragment,
                0..=b' ' | 0x7f => Step::Enter(Place::Passed),
                0x80.. => Step::High,
                _ => Step::Keep,
            },
            Place::Passed => Step::Keep,
        }
    }

    fn enter(&mut self, place: Place, byte: u8) {
        if self.place == Place::Start {
            self.first = byte;
        }
        // The space before the target is none of its bytes, and neither is the one after it.
        if !matches!(place, Place::Method | Place::Target | Place::Passed) {
            self.length += 1;
        }
        self.place = place;
    }

    fn count(&mut self) {
        if matches!(self.place, Place::Authority(_) | Place::Path | Place::Query) {
            self.length += 1;
        }
    }

    /// Goes on where a byte has to be changed, or may have to be.
    fn replace(&mut self, before: &[u8], rest: &[u8]) -> Finding {
        let mut out = Vec::with_capacity(before.len() + rest.len() + 32);
        out.extend_from_slice(before);
        for (index, &byte) in rest.iter().enumerate() {
            let step = self.step(byte);
            if !matches!(step, Step::High) {
                self.held.encode(&mut out);
            }
            match step {
                Step::Keep => {
                    self.count();
                    out.push(byte);
                }
                Step::Enter(place) => {
                    self.enter(place, byte);
                    out.push(byte);
                    if place == Place::Passed {
                        out.extend_from_slice(rest.get(index + 1..).unwrap_or_default());
                        break;
                    }
                }
                Step::Encode => {
                    self.count();
                    encode(byte, &mut out);
                }
                Step::High => {
                    self.count();
                    self.held.push(byte, &mut out);
                }
                Step::Fragment => return Finding::Fragment,
            }
        }
        Finding::Replaced(out)
    }
}

/// The bytes of one character, as far as they have come: a beginning of valid UTF-8.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    bytes: [u8; 4],
    length: usize,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Takes one more byte. What has become a character goes out as it is, what cannot become one is
    /// encoded.
    fn push(&mut self, byte: u8, out: &mut Vec<u8>) {
        // There is room: four bytes are a character, or no beginning of one.
        if let Some(free) = self.bytes.get_mut(self.length) {
            *free = byte;
            self.length += 1;
        }
        match std::str::from_utf8(self.filled()) {
            Ok(_) => {
                out.extend_from_slice(self.filled());
                self.length = 0;
            }
            Err(error) if error.error_len().is_none() => {}
            // What was held was a beginning, so the new byte is what is wrong: it may begin the next.
            Err(_) if self.length > 1 => {
                self.length -= 1;
                self.encode(out);
                self.push(byte, out);
            }
            Err(_) => self.encode(out),
        }
    }

    /// Gives up: no character comes of it.
    fn encode(&mut self, out: &mut Vec<u8>) {
        for &byte in self.filled() {
            encode(byte, out);
        }
        self.length = 0;
    }
}

fn encode(byte: u8, out: &mut Vec<u8>) {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 0xf)]);
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
