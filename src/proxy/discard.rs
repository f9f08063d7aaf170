//! Responses that are not passed on.

use std::time::Duration;

use http::Response;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::upstream::ResponseBody;

/// What a response that is not passed on may still send, so that its connection can be used again.
const MOST_BYTES: usize = 64 * 1024;
/// How long that may take.
const LONGEST: Duration = Duration::from_secs(1);

/// Reads the rest of a response beside the request that is sent again, so that the connection can be
/// used again. A long or slow rest is cut off, and the connection with it.
#[expect(clippy::disallowed_methods, reason = "the task ends within a second, and nobody waits for it")]
pub(super) fn discard(response: Response<ResponseBody>) {
    let mut body = response.into_body();
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(async move {
        let drained = async {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, bytes::Bytes::len);
                if read > MOST_BYTES {
                    return;
                }
            }
        };
        let _ = timeout(LONGEST, drained).await;
    });
}
