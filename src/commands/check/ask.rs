//! One request without content, over the transport that serves clients, and the beginning of its answer.

use std::{error::Error as _, future::poll_fn, sync::Arc, time::Duration};

use http::Method;
use tokio::time::timeout;

use crate::{
    app::settings,
    config::{ForwardProxy, Upstream},
    message::{Empty, FieldSink, Fields, Next, Version},
    transport::{Answer, Base, Failure, Outgoing, Reuse},
};

/// What explains an answer stands at its beginning.
const ENOUGH: usize = 4096;

/// A request that changes nothing (RFC 9110 section 9.2.1).
pub(super) struct Question {
    pub(super) method: Method,
    /// Path and query as they leave.
    pub(super) target: Vec<u8>,
    /// The `Authorization` field's value.
    pub(super) authorization: Option<Vec<u8>>,
}

/// As much of the answer as a report needs.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) fields: Fields,
    /// The first bytes of the content.
    pub(super) content: Vec<u8>,
}

impl Outgoing for Question {
    fn method(&self) -> &Method {
        &self.method
    }

    fn target(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.target);
    }

    fn fields(&self, sink: &mut impl FieldSink, _: Version) {
        sink.line(b"User-Agent", concat!("cxone-proxy/", env!("CARGO_PKG_VERSION")).as_bytes());
        sink.line(b"Accept", b"application/json");
        if let Some(authorization) = &self.authorization {
            sink.line(b"Authorization", authorization);
        }
    }

    fn upgrades(&self) -> bool {
        false
    }
}

/// Asks `base`, reached like the upstream, within `limit`. The error says what went wrong, in words.
/// Cancel safe: dropping it closes the connection.
pub(super) async fn ask(
    base: Arc<Base>,
    upstream: &Upstream,
    forward: &ForwardProxy,
    question: &Question,
    limit: Duration,
) -> Result<Reply, String> {
    let connect = settings::connect(upstream, forward).map_err(|error| error.to_string())?;
    let transport = connect(base).map_err(|error| error.to_string())?;
    let asking = async {
        let mut answer = transport
            .send(question, &mut Empty, Reuse::Forbidden)
            .await
            .map_err(|failure| words(&failure))?;
        let content = beginning(&mut answer).await;
        let head = answer.head();
        Ok(Reply { status: head.status, fields: head.fields.clone(), content })
    };
    timeout(limit, asking).await.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}

fn words(failure: &Failure) -> String {
    match failure.source() {
        Some(cause) => format!("{failure}: {cause}"),
        None => failure.to_string(),
    }
}

/// Content that breaks off is as good an explanation as any.
async fn beginning(answer: &mut Answer) -> Vec<u8> {
    let mut content = Vec::new();
    while content.len() < ENOUGH {
        let next = poll_fn(|cx| answer.poll_next(cx, &mut Empty)).await;
        if !matches!(next, Ok(Next::Bytes)) {
            break;
        }
        let length = answer.bytes().len();
        content.extend_from_slice(answer.bytes());
        answer.consume(length);
    }
    content.truncate(ENOUGH);
    content
}
