//! The head of a request, kept as the bytes that arrived.

use bytes::Bytes;

/// A request's method, target and field lines: every one of them, in order, in their own case.
#[derive(Debug)]
pub(crate) struct Head {
    raw: Bytes,
    method: Span,
    target: Span,
    lines: Vec<(Span, Span)>,
    /// How it came.
    pub(crate) protocol: Protocol,
    /// The number of the connection it came by.
    pub(crate) connection: u64,
    /// Its place among the requests of that connection, from 1.
    pub(crate) ordinal: u32,
}

/// The versions that the region tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http10,
    Http11,
    Http2,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

impl Head {
    /// A head whose parts stand in `raw`, the bytes that were parsed.
    pub(super) fn of_http1(raw: Bytes, parsed: Parsed) -> Self {
        Self {
            method: parsed.method,
            target: parsed.target,
            lines: parsed.lines,
            protocol: parsed.protocol,
            connection: 0,
            ordinal: 0,
            raw,
        }
    }

    /// Writes a head down that did not arrive as text.
    pub(super) fn compose<'f>(
        method: &str,
        target: &str,
        fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Self {
        let mut raw = Vec::with_capacity(512);
        let mut keep = |bytes: &[u8]| {
            let start = raw.len();
            raw.extend_from_slice(bytes);
            Span { start, end: raw.len() }
        };
        let method = keep(method.as_bytes());
        let target = keep(target.as_bytes());
        let lines = fields.map(|(name, value)| (keep(name.as_bytes()), keep(value))).collect();
        Self { raw: raw.into(), method, target, lines, protocol: Protocol::Http2, connection: 0, ordinal: 0 }
    }

    pub(crate) fn method(&self) -> &str {
        std::str::from_utf8(self.bytes(self.method)).unwrap_or_default()
    }

    /// The request target, byte for byte.
    pub(crate) fn target(&self) -> &[u8] {
        self.bytes(self.target)
    }

    /// Every field line: name, value.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.iter().map(|&(name, value)| {
            (std::str::from_utf8(self.bytes(name)).unwrap_or_default(), self.bytes(value))
        })
    }

    /// The values of all lines of this field.
    pub(crate) fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.lines().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the field where it stands on exactly one line and is text.
    pub(crate) fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        let first = values.next()?;
        if values.next().is_some() { None } else { std::str::from_utf8(first).ok() }
    }

    fn bytes(&self, span: Span) -> &[u8] {
        self.raw.get(span.start..span.end).unwrap_or_default()
    }
}

/// Where the parts of a head stand in the bytes that arrived.
pub(super) struct Parsed {
    method: Span,
    target: Span,
    lines: Vec<(Span, Span)>,
    protocol: Protocol,
    /// The bytes up to and including the empty line.
    pub(super) length: usize,
}

/// The most field lines of one head.
const MOST_LINES: usize = 128;

/// Looks for a whole head at the start of `input`; `None` if there is more to come.
pub(super) fn parse(input: &[u8]) -> Result<Option<Parsed>, &'static str> {
    let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
    let mut request = httparse::Request::new(&mut lines);
    let length = match request.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err("too many field lines"),
        Err(_) => return Err("the head does not parse"),
    };
    let protocol = match request.version {
        Some(0) => Protocol::Http10,
        _ => Protocol::Http11,
    };
    let place = |part: &[u8]| {
        let start = (part.as_ptr() as usize).saturating_sub(input.as_ptr() as usize);
        Span { start, end: start + part.len() }
    };
    Ok(Some(Parsed {
        method: place(request.method.unwrap_or_default().as_bytes()),
        target: place(request.path.unwrap_or_default().as_bytes()),
        lines: request.headers.iter().map(|line| (place(line.name.as_bytes()), place(line.value))).collect(),
        protocol,
        length,
    }))
}
