//! What hyper lets pass and a proxy must not: heads that two parsers may read differently, and heads
//! that are too large over HTTP/2.
//!
//! Pure: a head in, a problem out.

use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;

use super::ParseProblem;

/// The most fields of one header section, over both versions. Above hyper's 100 the parser needs
/// memory for each request (see `connection`), and a header map of so many takes 160 KiB.
pub(super) const FIELDS: usize = 1024;
/// What a field has beside its name and its value over HTTP/1.1.
const FIELD_MARKS: usize = ": \r\n".len();
/// The longest target that `http::Uri` takes.
const LONGEST_TARGET: usize = 65_534;

/// Checks a head that came over HTTP/1 and announces a body. hyper has refused most of what is in
/// doubt, but it looks at the last coding only (`role.rs`), so that `gzip, chunked` would lose its
/// first one.
pub(super) fn check_http1(head: &HeaderMap) -> Option<ParseProblem> {
    let mut codings = head.get_all(TRANSFER_ENCODING).iter();
    let is_plain = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    (!is_plain || !is_length_plain(head)).then_some(ParseProblem::Malformed)
}

/// Checks a head that came over HTTP/2, measured as it would be written over HTTP/1.1, so that both
/// versions have the same limits.
pub(super) fn check_http2(head: &Parts, header_size: usize) -> Option<ParseProblem> {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > header_size.min(LONGEST_TARGET) {
        return Some(ParseProblem::TargetTooLong);
    }
    let fields = &head.headers;
    let size: usize =
        fields.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_MARKS).sum();
    if fields.len() > FIELDS || size + target > header_size {
        return Some(ParseProblem::HeadTooLarge);
    }
    (!is_length_plain(fields)).then_some(ParseProblem::Malformed)
}

/// True where all lines of `Content-Length` say the same number (RFC 9110 section 8.6), below 2^63 as
/// many parsers count.
fn is_length_plain(head: &HeaderMap) -> bool {
    let mut first = None;
    head.get_all(CONTENT_LENGTH).iter().all(|line| {
        let digits = line.as_bytes();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok());
        is_number && number.is_some() && *first.get_or_insert(number) == number
    })
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, HeaderValue};
    use http::{Request, Uri};

    use super::*;

    fn head(lines: &[(&HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| ((*name).clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn bodies_whose_end_is_in_doubt_are_malformed() {
        let (te, length) = (&TRANSFER_ENCODING, &CONTENT_LENGTH);
        for lines in [
            &[][..],
            &[(te, "chunked")],
            &[(te, " Chunked ")],
            &[(length, "5")],
            &[(length, "9223372036854775807")],
            &[(length, "5"), (length, "5")],
        ] {
            assert_eq!(check_http1(&head(lines)), None, "{lines:?}");
        }
        for lines in [
            &[(te, "chunked"), (te, "chunked")][..],
            &[(te, "gzip, chunked")],
            &[(te, "chunked, chunked")],
            &[(te, ",chunked")],
            &[(te, "gzip"), (te, "chunked")],
            &[(te, "xchunked")],
            &[(length, "")],
            &[(length, "+5")],
            &[(length, "9223372036854775808")],
            &[(length, "5"), (length, "6")],
            &[(length, "5"), (length, "05x")],
        ] {
            assert_eq!(check_http1(&head(lines)), Some(ParseProblem::Malformed), "{lines:?}");
        }
    }

    #[test]
    fn http2_heads_are_measured_as_http1_would_write_them() {
        let parts = |target: &str, fields: HeaderMap| {
            let mut request = Request::new(());
            *request.uri_mut() = target.parse::<Uri>().unwrap();
            *request.headers_mut() = fields;
            request.into_parts().0
        };
        let name = HeaderName::from_static("x-a");
        let one = |length: usize| head(&[(&name, &"v".repeat(length))]);
        assert_eq!(check_http2(&parts("/", one(1000 - 8)), 1000), None);
        assert_eq!(check_http2(&parts("/", one(1000 - 7)), 1000), Some(ParseProblem::HeadTooLarge));
        let long = format!("/{}", "x".repeat(1000));
        assert_eq!(check_http2(&parts(&long, head(&[])), 1000), Some(ParseProblem::TargetTooLong));
        assert_eq!(check_http2(&parts(&long, head(&[])), 1001), None);
        let many: Vec<_> = (0..=FIELDS).map(|_| (&name, "")).collect();
        assert_eq!(check_http2(&parts("/", head(&many[1..])), 100_000), None);
        assert_eq!(check_http2(&parts("/", head(&many)), 100_000), Some(ParseProblem::HeadTooLarge));
        let bare = head(&[(&CONTENT_LENGTH, "")]);
        assert_eq!(check_http2(&parts("/", bare), 1000), Some(ParseProblem::Malformed));
    }
}
