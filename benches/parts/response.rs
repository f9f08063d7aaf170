//! What is decided about responses, counted of them and changed in them.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use cxone_proxy::access::{Problem, ProblemKind};
use cxone_proxy::metrics::Metrics;
use cxone_proxy::proxy::retry::{self, Facts, Limits, Spent};
use cxone_proxy::proxy::rewrite::{Mapping, cookies, json_links, location};
use cxone_proxy::upstream::BaseUrl;
use http::{Method, Response, StatusCode};

use super::Part;

const COOKIE: &str =
    "route=0123456789abcdef; Domain=api.example.com; Path=/v1; Secure; HttpOnly; SameSite=None";
const LOCATION: &str = "https://api.example.com/v1/contacts/4711?fields=all";
/// As many links as a page of results has.
const LINKS: usize = 25;

/// The three responses after which there is something to decide.
pub(super) fn decide() -> Part {
    let limits = Limits { rate_limit_retries: 3, max_wait: Duration::from_secs(30) };
    let statuses = [StatusCode::NOT_FOUND, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
    Part::new("retry_decide", move || {
        for status in statuses {
            let idempotent = retry::is_idempotent(black_box(&Method::POST));
            let facts = Facts { replayable: true, idempotent, unsent: false };
            let spent = Spent::default();
            black_box(retry::after_response(black_box(status), None, spent, facts, limits, 0.5));
        }
    })
}

/// Everything that is counted of a request that was answered at once.
pub(super) fn count() -> Part {
    let metrics = Metrics::new("bench", UNIX_EPOCH).profile("default");
    let taken = Duration::from_millis(20);
    Part::new("metrics_of_a_request", move || {
        let in_flight = metrics.enter(tokio::time::Instant::now());
        metrics.upstream_response(black_box(StatusCode::OK), taken);
        metrics.response(black_box(&Method::GET), StatusCode::OK);
        metrics.request_finished(taken);
        drop(in_flight);
    })
}

pub(super) fn cookie() -> Result<Part, Box<dyn Error>> {
    let base = base()?;
    Ok(Part::new("rewrite_cookie", move || {
        let local = cookies::local(black_box(COOKIE), &mapping(&base));
        assert!(black_box(local).is_some(), "its domain and its path are the upstream's");
    }))
}

pub(super) fn location() -> Result<Part, Box<dyn Error>> {
    let base = base()?;
    Ok(Part::new("rewrite_location", move || {
        let local = location::local(black_box(LOCATION), &[mapping(&base)]);
        assert!(black_box(local).is_some(), "it leads to the upstream");
    }))
}

/// Only for profiles that ask for it, but the one part that grows with the size of the body.
pub(super) fn json_links() -> Result<Part, Box<dyn Error>> {
    let base = base()?;
    let mut json = String::from("{\"contacts\":[");
    for number in 0..LINKS {
        let comma = if number == 0 { "" } else { "," };
        write!(
            json,
            "{comma}{{\"id\":{number},\"name\":\"Jane \\\"JD\\\" Doe\",\"state\":\"active\",\
             \"_links\":{{\"self\":{{\"href\":\"https://api.example.com/v1/contacts/{number}\"}}}}}}"
        )?;
    }
    json.push_str("]}");
    Ok(Part::new("rewrite_25_json_links", move || {
        let mappings = [mapping(&base)];
        let local =
            json_links::rewrite(black_box(json.as_bytes()), |address| location::local(address, &mappings));
        assert!(black_box(local).is_some(), "its links lead to the upstream");
    }))
}

/// A response of the proxy's own, which must stay cheap while everything else fails.
pub(super) fn problem() -> Part {
    Part::new("problem_response", || {
        let problem = Problem::new(ProblemKind::TooMany)
            .detail("512 requests are in flight already.")
            .retry_after(Duration::from_secs(1));
        let response: Response<Bytes> = problem.into_response(black_box(&Method::GET), UNIX_EPOCH);
        black_box(response);
    })
}

fn base() -> Result<BaseUrl, Box<dyn Error>> {
    Ok("https://api.example.com/v1".parse()?)
}

fn mapping(base: &BaseUrl) -> Mapping<'_> {
    Mapping {
        base,
        authority: Cow::Borrowed("localhost:8080"),
        local_https: false,
        local_prefix: "",
        kept_prefix: "",
    }
}
