//! Requests by the client that they come from.

use http::StatusCode;
use prometheus::IntCounterVec;

/// Counts requests of identified clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientRequests(IntCounterVec);

impl ClientRequests {
    pub(super) const NAME: &str = "cxone_proxy_client_requests_total";

    pub(super) fn new(family: IntCounterVec) -> Self {
        Self(family)
    }

    /// One more request of this client has got its response. `client` must be a name of the configuration.
    pub fn add(&self, client: &str, status: StatusCode) {
        self.0.with_label_values(&[client, status.as_str()]).inc();
    }
}
