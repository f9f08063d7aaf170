//! The latest failures, for a person who looks at the admin pages: equal ones are counted, not repeated.
//!
//! Nothing is looked at or kept for a request that succeeds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use http::StatusCode;

use super::problem::{Problem, ProblemKind};
use crate::text::printable_bytes;

/// So many different failures are kept. There are about forty kinds, and few of them at once.
const KEPT: usize = 20;

/// The latest failures of all profiles. Cheap to clone; all clones share them.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<Mutex<VecDeque<Failure>>>);

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The proxy responded with a problem.
    Problem(ProblemKind),
    /// The API responded so, and the proxy passed it on.
    Response(StatusCode),
}

/// One failure, with how often it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// The profile that it happened to.
    pub profile: String,
    /// The latest request: method and path without the query; `None` where no request could be read.
    pub request: Option<String>,
    /// What is special about the latest one, in whole sentences.
    pub detail: String,
    /// The next step for a person.
    pub hint: String,
    /// How many came.
    pub count: u64,
    /// When the first came.
    pub first: SystemTime,
    /// When the latest came.
    pub latest: SystemTime,
}

impl FailureKind {
    /// The status that the client got.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Problem(kind) => Problem::new(kind).status(),
            Self::Response(status) => status,
        }
    }

    /// In a few words.
    pub fn title(self) -> String {
        match self {
            Self::Problem(kind) => Problem::new(kind).detail_text().to_owned(),
            Self::Response(status) => format!("The CXone API answered {}", status.as_u16()),
        }
    }
}

impl Failures {
    /// The proxy answered a request of this profile with a problem.
    pub fn problem(&self, profile: &str, request: Option<(&str, &str)>, problem: &Problem, now: SystemTime) {
        self.add(Failure {
            kind: FailureKind::Problem(problem.kind()),
            profile: profile.to_owned(),
            request: request.map(line),
            detail: problem.detail_text().to_owned(),
            hint: problem.hint_text().into_owned(),
            count: 1,
            first: now,
            latest: now,
        });
    }

    /// A response of the API was passed on. Does nothing for a status that is no failure or none to look after.
    pub fn response(&self, profile: &str, request: (&str, &str), status: StatusCode, now: SystemTime) {
        let Some((detail, hint)) = explanation(status) else { return };
        self.add(Failure {
            kind: FailureKind::Response(status),
            profile: profile.to_owned(),
            request: Some(line(request)),
            detail: detail.to_owned(),
            hint: hint.to_owned(),
            count: 1,
            first: now,
            latest: now,
        });
    }

    /// The failures, the latest first.
    pub fn latest(&self) -> Vec<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn add(&self, new: Failure) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_equal = |own: &Failure| own.kind == new.kind && own.profile == new.profile;
        let place = failures.iter().position(is_equal);
        let before = place.and_then(|place| failures.remove(place));
        failures.push_front(match before {
            Some(before) => Failure { count: before.count.saturating_add(1), first: before.first, ..new },
            None => new,
        });
        failures.truncate(KEPT);
    }
}

/// Method and path; a query may hold what nobody else should see.
fn line((method, path): (&str, &str)) -> String {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    format!("{} {}", printable_bytes(method.as_bytes()), printable_bytes(path.as_bytes()))
}

/// What happened, and what to do, where somebody has to look after it. A 404 or a 422 is between the client and
/// the API.
fn explanation(status: StatusCode) -> Option<(&'static str, &'static str)> {
    Some(match status.as_u16() {
        401 => (
            "The API rejects the token for this path, a fresh one too, or there was no way to send the request again.",
            "Check in CXone that the client may use this API. The response's Proxy-Status says why it was passed on.",
        ),
        403 => (
            "The API knows the token, and does not allow this request with it.",
            "Grant the missing scope or permission to the client in CXone, and list it in CXONE_SCOPES if that is set.",
        ),
        429 => (
            "The API limits the rate, and the retries or the time for them were used up.",
            "Send fewer requests, or raise retry.max_wait (CXONE_PROXY_MAX_WAIT) and retry.rate_limit_retries.",
        ),
        500..=599 => (
            "The API failed, and the proxy passed its response on.",
            "Look at the response for the API's own reason. If it lasts, ask the operator of the API.",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn equal_failures_are_counted_and_the_latest_comes_first() {
        let failures = Failures::default();
        let many = Problem::new(ProblemKind::TooMany);
        failures.problem("a", Some(("GET", "/x?key=s3cret")), &many, at(1));
        failures.response("a", ("GET", "/y"), StatusCode::BAD_GATEWAY, at(2));
        failures.problem("a", Some(("GET", "/z\n")), &many.clone().detail("Again."), at(3));
        failures.problem("b", None, &many, at(4));
        let seen = failures.latest();
        let brief: Vec<_> = seen.iter().map(|own| (own.profile.as_str(), own.count)).collect();
        assert_eq!(brief, [("b", 1), ("a", 2), ("a", 1)]);
        assert_eq!((seen[1].first, seen[1].latest, seen[1].detail.as_str()), (at(1), at(3), "Again."));
        assert_eq!((seen[0].request.as_ref(), seen[2].request.as_deref()), (None, Some("GET /y")));
        assert!(!format!("{seen:?}").contains("s3cret") && !seen[1].request.as_ref().unwrap().contains('\n'));
        assert_eq!(seen[2].kind.title(), "The CXone API answered 502");
    }

    #[test]
    fn what_is_between_client_and_api_is_no_failure() {
        let failures = Failures::default();
        for status in [200, 304, 404, 422] {
            failures.response("a", ("GET", "/"), StatusCode::from_u16(status).unwrap(), at(1));
        }
        assert_eq!(failures.latest(), []);
    }

    #[test]
    fn only_so_many_are_kept() {
        let failures = Failures::default();
        for kind in ProblemKind::ALL {
            failures.problem("a", None, &Problem::new(*kind), at(1));
            assert_eq!(failures.latest()[0].kind.status(), Problem::new(*kind).status());
        }
        assert_eq!(failures.latest().len(), KEPT);
    }
}
