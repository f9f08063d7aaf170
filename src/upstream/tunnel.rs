//! A tunnel through a forward proxy: CONNECT, spoken by hyper.

use std::fmt;
use std::io;
use std::pin::pin;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use url::Url;

use super::base_url::BaseUrl;
use super::error::{BoxError, ErrorKind, SendError};

/// The largest header section of the response to CONNECT.
const HEADER_LIMIT: usize = 64 * 1024;

/// What a forward proxy is asked for.
pub(super) struct Tunnel {
    /// `host:port`, IPv6 in brackets.
    target: String,
    /// `Proxy-Authorization`.
    authorization: Option<HeaderValue>,
}

impl Tunnel {
    /// A tunnel to `base`, with the user and password of the proxy's URL.
    pub(super) fn new(proxy: &Url, base: &BaseUrl) -> Self {
        Self { target: format!("{}:{}", base.host(), base.port()), authorization: authorization(proxy) }
    }

    /// Asks for the tunnel. Any 2xx response opens it (RFC 9110 section 9.3.6); what comes before,
    /// and its fields, mean nothing. Cancellation: the connection is dropped.
    pub(super) async fn open(&self, tcp: TcpStream) -> Result<TcpStream, SendError> {
        let request = self.request().map_err(|error| refused(None, error))?;
        let (mut sender, connection) = Builder::new()
            .title_case_headers(true)
            .max_buf_size(HEADER_LIMIT)
            .handshake(TokioIo::new(tcp))
            .await
            .map_err(|error| refused(None, error))?;
        let mut driven = pin!(connection.without_shutdown());
        let mut response = pin!(sender.send_request(request));
        let mut parts = None;
        let response = loop {
            tokio::select! {
                biased;
                response = &mut response => break response.map_err(|error| refused(None, error))?,
                ended = &mut driven, if parts.is_none() => parts = Some(ended),
            }
        };
        if !response.status().is_success() {
            return Err(SendError::before_sending(
                ErrorKind::ForwardProxy { status: Some(response.status().as_u16()) },
                None,
            ));
        }
        let ended = match parts {
            Some(ended) => ended,
            None => driven.await,
        };
        let parts = ended.map_err(|error| refused(None, error))?;
        if !parts.read_buf.is_empty() {
            let error = "the forward proxy sent more than its response before TLS began";
            return Err(refused(None, io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Ok(parts.io.into_inner())
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, http::Error> {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(self.target.as_str())
            .header(HOST, self.target.as_str())
            .body(Empty::new())?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }
}

fn authorization(proxy: &Url) -> Option<HeaderValue> {
    if proxy.username().is_empty() && proxy.password().is_none() {
        return None;
    }
    let user = percent_decode_str(proxy.username()).decode_utf8_lossy();
    let password = percent_decode_str(proxy.password().unwrap_or_default()).decode_utf8_lossy();
    let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn refused(status: Option<u16>, error: impl Into<BoxError>) -> SendError {
    SendError::before_sending(ErrorKind::ForwardProxy { status }, Some(error.into()))
}

/// Without the password.
impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("target", &self.target).finish_non_exhaustive()
    }
}
