//! How a collector over HTTP is reached.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use reqwest::{Proxy, redirect, retry};
use tokio::runtime::Handle;
use url::Url;

/// The time-out that OpenTelemetry has for an export.
const TIME_OUT: Duration = Duration::from_secs(10);
/// The most of a response that is read.
const LONGEST_RESPONSE: usize = 64 * 1024;

/// Sends from any thread, on a runtime that somebody else drives.
#[derive(Debug)]
pub(super) struct Client {
    runtime: Handle,
    client: reqwest::Client,
}

impl Client {
    pub(super) fn new(
        runtime: Handle,
        mut tls: rustls::ClientConfig,
        forward_proxy: Option<Url>,
    ) -> Result<Self, reqwest::Error> {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .timeout(TIME_OUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // The configuration alone decides on a forward proxy.
            .no_proxy();
        if let Some(proxy) = forward_proxy {
            client = client.proxy(Proxy::all(proxy).map_err(reqwest::Error::without_url)?);
        }
        let client = client.build().map_err(reqwest::Error::without_url)?;
        Ok(Self { runtime, client })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        // Dropping the handle leaves the task to its time-out.
        let sending = self.runtime.spawn(async move {
            let mut response = client.execute(request).await?;
            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await? {
                let room = LONGEST_RESPONSE.saturating_sub(body.len());
                body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if room == 0 {
                    break;
                }
            }
            let mut answer = Response::new(body.freeze());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            Ok::<_, reqwest::Error>(answer)
        });
        Ok(sending.await??)
    }
}
