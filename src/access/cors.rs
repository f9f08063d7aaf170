//! The Fetch standard's CORS protocol, for web origins that the guard allows. Pure.
//!
//! Not tower-http's `CorsLayer`: that takes every OPTIONS request for a preflight and so would answer
//! the API's own, and it adds `Vary` to the responses of clients that are no browsers.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// Asks whether a page of the public web may reach a private address.
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// True where a browser asks with this request whether another one may be sent.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The response to the preflight of an allowed origin: whatever it asks for is allowed. The proxy gives
/// it in place of the API, which need not know of the pages that use this proxy.
pub fn preflight_response<B: Default>(asked: &HeaderMap, origin: &HeaderValue) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    for (question, answer) in [
        (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
        (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
        (REQUEST_PRIVATE_NETWORK, ALLOW_PRIVATE_NETWORK),
    ] {
        for value in asked.get_all(question) {
            headers.append(answer.clone(), value.clone());
        }
    }
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    let varies = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    headers.insert(VARY, HeaderValue::from_static(varies));
    response
}

/// Lets pages of `origin` read a response. What the API said of other origins is replaced.
pub fn allow_origin(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: HeaderValue = HeaderValue::from_static("https://app.example");

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).fold(
            HeaderMap::new(),
            |mut headers, (name, value): (_, HeaderValue)| {
                headers.append(name, value);
                headers
            },
        )
    }

    #[test]
    fn only_a_browsers_question_is_a_preflight() {
        let asked = [("origin", "https://app.example"), ("access-control-request-method", "PUT")];
        assert!(is_preflight(&Method::OPTIONS, &headers(&asked)));
        assert!(!is_preflight(&Method::GET, &headers(&asked)));
        assert!(!is_preflight(&Method::OPTIONS, &headers(&asked[..1])));
        assert!(!is_preflight(&Method::OPTIONS, &headers(&asked[1..])));
    }

    #[test]
    fn a_preflight_is_granted_what_it_asks_for() {
        let asked = headers(&[
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "content-type"),
            ("access-control-request-headers", "x-request-id"),
            ("access-control-request-private-network", "true"),
        ]);
        let response: Response<()> = preflight_response(&asked, &APP);
        assert_eq!(response.status(), 204);
        let due = headers(&[
            ("access-control-allow-origin", "https://app.example"),
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-allow-headers", "x-request-id"),
            ("access-control-allow-private-network", "true"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "600"),
            ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]);
        assert_eq!(response.headers(), &due);
    }

    #[test]
    fn the_apis_own_word_on_origins_is_replaced_and_the_rest_stays() {
        let mut response = headers(&[
            ("access-control-allow-origin", "*"),
            ("access-control-allow-origin", "https://other.example"),
            ("access-control-expose-headers", "x-one"),
            ("vary", "Accept-Encoding"),
            ("x-other", "1"),
        ]);
        allow_origin(&mut response, &APP);
        let due = headers(&[
            ("access-control-allow-origin", "https://app.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "*"),
            ("vary", "Accept-Encoding"),
            ("vary", "Origin"),
            ("x-other", "1"),
        ]);
        assert_eq!(response, due);
    }
}
