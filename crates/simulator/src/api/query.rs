//! The parameters of a target.

use std::time::Duration;

use crate::wire::Head;

/// Name and value of each parameter, decoded, in order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(head: &Head) -> Self {
        let mut parts = head.target().splitn(2, |&byte| byte == b'?');
        let query = parts.nth(1).unwrap_or_default();
        Self(url::form_urlencoded::parse(query).into_owned().collect())
    }

    /// The last value: a later parameter overrides an earlier one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A number, `default` where it is missing, `None` where it is none.
    pub(super) fn number(&self, name: &str, default: u64) -> Option<u64> {
        self.text(name).map_or(Some(default), |text| text.parse().ok())
    }

    /// A number of milliseconds.
    pub(super) fn milliseconds(&self, name: &str, default: u64) -> Option<Duration> {
        self.number(name, default).map(Duration::from_millis)
    }
}
