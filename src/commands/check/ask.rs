//! One request without a body, sent as requests of clients are, and the beginning of its response.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{ACCEPT, AUTHORIZATION, USER_AGENT},
    uri::{PathAndQuery, Uri},
};
use http_body_util::{BodyExt, Empty};
use tokio::time::timeout;

use crate::{
    config::{Config, Profile},
    upstream::{self, BaseUrl, ResponseBody, Reuse, SendError, SendOptions, Settings, tls::TlsError},
};

/// A response explains itself in its first bytes.
const ENOUGH: usize = 4096;

/// A request that changes nothing (RFC 9110 section 9.2.1).
pub(super) struct Question {
    pub(super) method: Method,
    /// Path and query as they leave.
    pub(super) target: String,
    /// The `Authorization` field's value.
    pub(super) authorization: Option<HeaderValue>,
}

/// As much of the response as a report needs.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// The first bytes of the body.
    pub(super) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReply {
    /// The target cannot be written into a request.
    #[error("the path has characters that must be percent-encoded")]
    Target(#[from] http::uri::InvalidUri),
    /// A field cannot be written into a request.
    #[error("the request cannot be written")]
    Request(#[from] http::Error),
    /// The host cannot be the name of a certificate.
    #[error(transparent)]
    Name(#[from] TlsError),
    /// It was not sent, or nothing came back.
    #[error(transparent)]
    Failed(#[from] SendError),
    /// It took longer than this.
    #[error("no response within {} s", .0.as_secs())]
    Late(Duration),
}

/// Asks `base`, reached like the profile's API, within `limit`. Cancel safe: dropping it closes the
/// connection.
pub(super) async fn ask(
    base: &Arc<BaseUrl>,
    config: &Config,
    profile: &Profile,
    question: Question,
    limit: Duration,
) -> Result<Reply, NoReply> {
    let upstream = upstream::Upstream::new(Settings {
        base_url: base.clone(),
        connect_timeout: profile.upstream.connect_timeout,
        response_timeout: None,
        tls: profile.upstream.trust.clone(),
        forward_proxy: config.forward_proxy.clone(),
        header_case: config.header_case,
    })?;
    let request = question.into_request()?;
    let options = SendOptions { reuse: Reuse::Forbidden, websocket: false };
    let asking = async {
        let (head, mut body) = upstream.send(request, options).await?.into_parts();
        let body = beginning(&mut body).await;
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    };
    timeout(limit, asking).await.unwrap_or(Err(NoReply::Late(limit)))
}

impl Question {
    fn into_request(self) -> Result<Request<Empty<Bytes>>, NoReply> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(Uri::from(PathAndQuery::try_from(self.target)?))
            .header(USER_AGENT, concat!("cxone-proxy/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .body(Empty::new())?;
        if let Some(authorization) = self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        Ok(request)
    }
}

/// A body that breaks off may explain enough.
async fn beginning(body: &mut ResponseBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < ENOUGH {
        let Some(Ok(frame)) = body.frame().await else { break };
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
    }
    bytes.truncate(ENOUGH);
    bytes
}
