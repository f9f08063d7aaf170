//! One answer of the admin listener: all of it is there from the start.

use std::task::{Context, Poll};
use std::time::SystemTime;

use http::StatusCode;
use serde::Serialize;

use crate::http1::Tunnel;
use crate::message::{Content, ContentError, FieldSink, Fields, Framing, Next, RequestHead};
use crate::server::Reply;

/// What every page says of itself: it is of this moment, and no browser should take it for anything
/// but what it is.
const ALWAYS: [(&str, &str); 2] = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")];

/// An answer in place of the page that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// 200 to 599.
    pub status: u16,
    /// Its fields. `Content-Length`, `Date`, and the fields that every page gets need not be there.
    /// No value holds a line end.
    pub fields: Vec<(&'static str, String)>,
    /// Its content; none may be there with 204.
    pub content: Vec<u8>,
}

/// RFC 9457 section 3.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    hint: &'a str,
}

impl Denial {
    /// A problem (RFC 9457) that the client has to mend.
    pub(super) fn problem(status: u16, slug: &str, title: &str, detail: &str, hint: &str) -> Self {
        let r#type = format!("urn:cxone-proxy:problem:{slug}");
        // Serialising strings and a number cannot fail.
        let mut content =
            serde_json::to_vec_pretty(&Problem { r#type, title, status, detail, hint }).unwrap_or_default();
        content.push(b'\n');
        let fields = vec![
            ("Content-Type", "application/problem+json".to_owned()),
            ("Proxy-Status", "cxone-proxy; error=http_request_error".to_owned()),
        ];
        Self { status, fields, content }
    }
}

/// An answer whose content is at hand.
#[derive(Debug)]
pub struct Page {
    status: u16,
    fields: Vec<(&'static str, String)>,
    content: Vec<u8>,
    /// How much of the content has been taken.
    at: usize,
    without_content: bool,
}

impl Page {
    pub(super) fn new(status: u16, media_type: &str, content: String, now: SystemTime) -> Self {
        let fields = vec![("Content-Type", media_type.to_owned())];
        Self::denied(Denial { status, fields, content: content.into_bytes() }, now)
    }

    pub(super) fn denied(denial: Denial, now: SystemTime) -> Self {
        let Denial { status, mut fields, content } = denial;
        fields.retain(|(name, _)| !is(name, "Content-Length") && !is(name, "Date"));
        // RFC 9110 section 8.6.
        if status != 204 {
            fields.push(("Content-Length", content.len().to_string()));
        }
        fields.push(("Date", httpdate::fmt_http_date(now)));
        for (name, value) in ALWAYS {
            if !fields.iter().any(|(own, _)| is(own, name)) {
                fields.push((name, value.to_owned()));
            }
        }
        Self { status, fields, content, at: 0, without_content: status == 204 }
    }

    /// With more fields.
    pub(super) fn and(mut self, fields: Vec<(&'static str, String)>) -> Self {
        self.fields.extend(fields);
        self
    }

    /// The same to a HEAD request (RFC 9110 section 9.3.2).
    pub(super) fn without_content(self) -> Self {
        Self { without_content: true, ..self }
    }
}

fn is(own: &str, name: &str) -> bool {
    own.eq_ignore_ascii_case(name)
}

impl Reply for Page {
    fn is_gone(&self) -> bool {
        false
    }

    fn status(&self) -> u16 {
        self.status
    }

    fn reason(&self) -> &[u8] {
        let status = StatusCode::from_u16(self.status).ok();
        status.and_then(|status| status.canonical_reason()).unwrap_or_default().as_bytes()
    }

    fn fields(&self, _: &RequestHead, sink: &mut impl FieldSink) {
        for (name, value) in &self.fields {
            sink.line(name.as_bytes(), value.as_bytes());
        }
    }

    fn into_tunnel(self) -> Option<Tunnel> {
        None
    }
}

impl Content for Page {
    fn framing(&self) -> Framing {
        if self.without_content { Framing::None } else { Framing::Length(self.content.len() as u64) }
    }

    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        Poll::Ready(Ok(if self.bytes().is_empty() { Next::End } else { Next::Bytes }))
    }

    fn bytes(&self) -> &[u8] {
        if self.without_content { &[] } else { self.content.get(self.at..).unwrap_or_default() }
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }

    fn trailers(&self) -> Option<&Fields> {
        None
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
