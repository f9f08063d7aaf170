//! The table, row by row, and how a row becomes a response.

use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use http_body_util::{BodyExt, Full};

use super::*;

fn at() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// RFC 9209 section 2.3.
const ERRORS: [&str; 14] = [
    "dns_error",
    "destination_unavailable",
    "connection_limit_reached",
    "connection_terminated",
    "connection_timeout",
    "tls_protocol_error",
    "tls_certificate_error",
    "http_request_error",
    "http_request_denied",
    "http_response_header_section_size",
    "http_response_timeout",
    "http_upgrade_failed",
    "http_protocol_error",
    "proxy_internal_error",
];

#[test]
fn every_row_is_complete_and_has_a_slug_of_its_own() {
    let mut slugs = BTreeSet::new();
    for kind in ProblemKind::ALL {
        let row = kind.row();
        assert!(slugs.insert(row.slug), "{}", row.slug);
        assert!(row.slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", row.slug);
        assert!(row.status.is_client_error() || row.status.is_server_error(), "{}", row.slug);
        let known = ["proxy_configuration_error", "proxy_loop_detected"];
        assert!(ERRORS.contains(&row.error) || known.contains(&row.error), "{}", row.error);
        assert!(row.title.len() > 5 && !row.title.ends_with('.'), "{}", row.title);
        assert!(row.hint.ends_with('.'), "a whole sentence: {}", row.hint);
        assert!(!row.title.contains("upstream") && !row.hint.contains("the upstream"), "{}", row.slug);
        let is_405 = row.status == StatusCode::METHOD_NOT_ALLOWED;
        assert_eq!(kind.allowed_methods().is_some(), is_405, "RFC 9110 section 15.5.6: {}", row.slug);
    }
}

#[tokio::test]
async fn a_problem_becomes_a_response() {
    let problem = Problem::new(ProblemKind::TooMany)
        .detail("10 requests are in flight already.")
        .retry_after(Duration::from_millis(1001));
    let response: Response<Full<Bytes>> = problem.into_response(&Method::GET, at());
    assert_eq!(response.status(), 503);
    let mut lines: Vec<String> = response
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "cache-control: no-store",
            "content-type: application/problem+json",
            "date: Tue, 14 Nov 2023 22:13:20 GMT",
            "proxy-status: cxone-proxy; error=connection_limit_reached",
            "retry-after: 2",
            "x-content-type-options: nosniff",
        ]
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let due = serde_json::json!({
        "type": "urn:cxone-proxy:problem:too-many-requests-in-flight",
        "title": "Too many requests are in flight",
        "status": 503,
        "detail": "10 requests are in flight already.",
        "hint": "Try again later, or raise limits.in_flight (CXONE_PROXY_IN_FLIGHT).",
    });
    assert_eq!(json, due);
}

#[tokio::test]
async fn to_head_the_length_is_said_and_no_body_sent() {
    let problem = Problem::new(ProblemKind::TooMany);
    let length = problem.json().len().to_string();
    let response: Response<Full<Bytes>> = problem.into_response(&Method::HEAD, at());
    assert_eq!(response.headers()[CONTENT_LENGTH], length.as_str());
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[test]
fn what_a_405_allows_is_said() {
    for (kind, due) in [
        (ProblemKind::Trace, API_METHODS),
        (ProblemKind::Connect, API_METHODS),
        (ProblemKind::ReadOnly, "GET, HEAD"),
    ] {
        let response: Response<Full<Bytes>> = Problem::new(kind).into_response(&Method::GET, at());
        assert_eq!(
            (response.status().as_u16(), &response.headers()[ALLOW]),
            (405, &HeaderValue::from_static(due))
        );
    }
}

#[test]
fn a_retry_is_never_asked_for_too_early() {
    for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
        let problem = Problem::new(ProblemKind::TooMany).retry_after(Duration::from_millis(millis));
        assert_eq!(problem.retry_after_seconds(), Some(seconds), "{millis}");
    }
    assert_eq!(Problem::new(ProblemKind::TooMany).retry_after_seconds(), None);
}

#[test]
fn the_hint_warns_of_a_request_that_may_have_been_carried_out_only_where_asked() {
    let hint = |problem: Problem| {
        let json: serde_json::Value = serde_json::from_slice(&problem.json()).unwrap();
        json["hint"].as_str().unwrap().to_owned()
    };
    for kind in ProblemKind::ALL {
        assert!(!hint((*kind).into()).contains("carried out"), "{kind:?}");
    }
    let warned = hint(Problem::new(ProblemKind::UpstreamClosed).hint("Wait.").maybe_carried_out());
    assert_eq!(warned, "The request may have been carried out: look before you repeat it. Wait.");
}
