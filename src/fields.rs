//! Lines of header fields. Pure.

use http::header::{AsHeaderName, HeaderMap, HeaderValue};

/// A field of which there should be one line has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

/// The only line of a field (RFC 9110 section 5.3). Two programs that each look at another line of a repeated one
/// would disagree, so where there are several, none of them counts.
pub fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&HeaderValue>, Repeated> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    if lines.next().is_some() { Err(Repeated) } else { Ok(first) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_lines_are_no_line() {
        let mut headers = HeaderMap::new();
        assert_eq!(only(&headers, "host"), Ok(None));
        headers.append("host", HeaderValue::from_static("a"));
        assert_eq!(only(&headers, "host"), Ok(Some(&HeaderValue::from_static("a"))));
        headers.append("host", HeaderValue::from_static("a"));
        assert_eq!(only(&headers, "host"), Err(Repeated));
    }
}
