//! Fields that make some servers act on another method or another path than the request line has. Pure.
//!
//! A request that has one is refused wherever there are rules: whether the API heeds them is not known, and a
//! client of CXone needs none of them.

use http::request::Parts;

/// In lower case. Servers that hand fields to programs as variables know no difference between `-` and `_`.
const OVERRIDES: [&str; 7] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
];
/// The parameter of a query that some frameworks read in place of the method.
const PARAMETER: &[u8] = b"_method";

/// The first such field, or the parameter, as a person would call it.
pub(super) fn override_of(head: &Parts) -> Option<String> {
    let is_override = |name: &&str| {
        OVERRIDES.iter().any(|known| {
            known.len() == name.len()
                && known
                    .bytes()
                    .zip(name.bytes())
                    .all(|(one, other)| one == other || (one == b'-' && other == b'_'))
        })
    };
    let field = head.headers.keys().map(http::HeaderName::as_str).find(is_override);
    if let Some(field) = field {
        return Some(field.to_owned());
    }
    let has_parameter = head.uri.query().is_some_and(|query| query.split(['&', ';']).any(is_parameter));
    has_parameter.then(|| "_method in its query".to_owned())
}

fn is_parameter(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    let name = percent_encoding::percent_decode_str(name).collect::<Vec<u8>>();
    name.eq_ignore_ascii_case(PARAMETER)
}
