//! The beginning of an answer that is held back to look into it: JSON whose links may name an
//! upstream. Only for profiles that ask for it.

use std::future::poll_fn;
use std::task::Poll;

use super::failure::{self, Refused};

use crate::message::{Content, Framing, Next, ResponseHead, list_members};
use crate::transport::Answer;

/// Larger content passes as it is: nobody's page of results is longer.
const LIMIT: usize = 1024 * 1024;

/// What has been read of an answer's content, before any of it is passed on.
pub(super) struct Lead {
    /// The bytes, rewritten or not.
    pub(super) bytes: Vec<u8>,
    pub(super) at: usize,
    /// They are all of the content.
    pub(super) whole: bool,
}

/// True for whole JSON that may be looked into and changed.
pub(super) fn may_hold_links(head: &ResponseHead) -> bool {
    let is_json = head.fields.only(b"Content-Type").ok().flatten().is_some_and(|value| {
        let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        media_type.eq_ignore_ascii_case(b"application/json")
    });
    let plain = head
        .fields
        .all(b"Content-Encoding")
        .flat_map(list_members)
        .all(|coding| coding.eq_ignore_ascii_case(b"identity"));
    // A part of a document is not a document; and RFC 9110 section 7.7 lets servers forbid it.
    is_json && plain && head.status != 206 && !head.fields.lists(b"Cache-Control", b"no-transform")
}

impl Lead {
    /// True for an answer with content of a size that can be held.
    pub(super) fn can_hold(answer: &Answer) -> bool {
        match answer.framing() {
            Framing::None | Framing::Length(0) => false,
            Framing::Length(length) => length <= LIMIT as u64,
            Framing::Open => true,
        }
    }

    /// Reads the content up to the limit. The answer itself notices a client that leaves meanwhile.
    pub(super) async fn gather<C: Content>(
        mut answer: Answer,
        content: &mut C,
    ) -> Result<(Answer, Option<Self>), Refused> {
        let mut lead = Self { bytes: Vec::new(), at: 0, whole: false };
        poll_fn(|cx| {
            while lead.bytes.len() <= LIMIT {
                match answer.poll_next(cx, content) {
                    Poll::Ready(Ok(Next::Bytes)) => {
                        let count = answer.bytes().len();
                        lead.bytes.extend_from_slice(answer.bytes());
                        answer.consume(count);
                    }
                    Poll::Ready(Ok(Next::End)) => {
                        lead.whole = true;
                        break;
                    }
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure::refused(&failure))),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        Ok((answer, Some(lead)))
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}
