//! `Max-Forwards` (RFC 9110 section 7.6.2): how far a request for the options of a server may go.
//! Pure.

use http::header::{ALLOW, MAX_FORWARDS};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::problem::API_METHODS;

/// Whether a request may be forwarded once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hops {
    /// It may.
    Left,
    /// It may not: the proxy itself is its recipient, see [`options_response`].
    UsedUp,
}

/// Takes one hop off the `Max-Forwards` of an OPTIONS request, in place. TRACE, the other method that
/// has the field, is not served; all other methods are left alone.
///
/// Where the field is repeated the smallest number counts, and one line leaves. What is no number has
/// no meaning, and passes as it is.
pub fn take_hop(method: &Method, headers: &mut HeaderMap) -> Hops {
    if method != Method::OPTIONS {
        return Hops::Left;
    }
    let Some(left) = smallest(headers) else { return Hops::Left };
    let Some(fewer) = left.checked_sub(1) else { return Hops::UsedUp };
    headers.insert(MAX_FORWARDS, HeaderValue::from(fewer));
    Hops::Left
}

/// `None` where there is none, or one that is no number. A number beyond 2^64 is as good as that.
fn smallest(headers: &HeaderMap) -> Option<u64> {
    let mut smallest = None;
    for value in headers.get_all(MAX_FORWARDS) {
        let digits = value.as_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = value.to_str().ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX);
        smallest = Some(smallest.map_or(number, |least: u64| least.min(number)));
    }
    smallest
}

/// The proxy's own response to OPTIONS: the methods that it forwards.
pub fn options_response<B: Default>() -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(API_METHODS));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(method: &Method, values: &[&str]) -> (Hops, Vec<String>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(MAX_FORWARDS, value.parse().unwrap());
        }
        let hops = take_hop(method, &mut headers);
        let left = headers.get_all(MAX_FORWARDS).iter();
        (hops, left.map(|value| value.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn one_hop_is_taken_off_options() {
        let options = Method::OPTIONS;
        for (values, hops, left) in [
            (&[][..], Hops::Left, &[][..]),
            (&["2"], Hops::Left, &["1"]),
            (&["1"], Hops::Left, &["0"]),
            (&["0"], Hops::UsedUp, &["0"]),
            (&["00"], Hops::UsedUp, &["00"]),
            (&["7", "3"], Hops::Left, &["2"]),
            (&["7", "0"], Hops::UsedUp, &["7", "0"]),
            (&["99999999999999999999999"], Hops::Left, &["18446744073709551614"]),
            (&["-1"], Hops::Left, &["-1"]),
            (&["+1"], Hops::Left, &["+1"]),
            (&[""], Hops::Left, &[""]),
            (&["0", "x"], Hops::Left, &["0", "x"]),
        ] {
            let due = left.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(after(&options, values), (hops, due), "{values:?}");
        }
        assert_eq!(after(&Method::GET, &["0"]), (Hops::Left, vec!["0".to_owned()]));
    }

    #[test]
    fn the_proxys_own_options_name_no_method_that_it_refuses() {
        let response: Response<()> = options_response();
        assert_eq!(response.status(), 204);
        let allowed = response.headers()[ALLOW].to_str().unwrap();
        assert!(allowed.contains("OPTIONS") && !allowed.contains("TRACE") && !allowed.contains("CONNECT"));
    }
}
