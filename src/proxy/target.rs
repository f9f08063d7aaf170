//! Where a request target points (RFC 9112 section 3.2). Pure. Bytes stay bytes: nothing is decoded
//! and nothing is normalised.

use std::borrow::Cow;

use http::Method;

/// The four forms of a request target, as far as a gateway serves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// `/path?query`
    Origin(&'a [u8]),
    /// `http://authority/path?query`
    Absolute {
        /// True for `https`.
        secure: bool,
        /// Host and port as written.
        authority: &'a [u8],
        /// Path and query; `/` where there is none.
        path: Cow<'a, [u8]>,
    },
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// `CONNECT`, which asks for a tunnel to anywhere.
    Connect,
    /// `*`: there is no one server that it could mean.
    Asterisk,
    /// None of the forms.
    Malformed,
}

/// Reads the form of `target`.
pub fn form<'a>(method: &Method, target: &'a [u8]) -> Result<Form<'a>, TargetError> {
    if method == Method::CONNECT {
        return Err(TargetError::Connect);
    }
    match target {
        b"*" => Err(TargetError::Asterisk),
        [b'/', ..] => Ok(Form::Origin(target)),
        _ => absolute(target).ok_or(TargetError::Malformed),
    }
}

fn absolute(target: &[u8]) -> Option<Form<'_>> {
    let (secure, rest) = strip_scheme(target)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || authority.contains(&b'@') {
        return None;
    }
    let path = match path {
        [] => Cow::Borrowed(&b"/"[..]),
        [b'/', ..] => Cow::Borrowed(path),
        _ => Cow::Owned([b"/", path].concat()),
    };
    Some(Form::Absolute { secure, authority, path })
}

/// `http://` or `https://`, in any case of letters; true for the latter.
pub fn strip_scheme(target: &[u8]) -> Option<(bool, &[u8])> {
    for (secure, scheme) in [(false, &b"http://"[..]), (true, b"https://")] {
        if let Some((own, rest)) = target.split_at_checked(scheme.len())
            && own.eq_ignore_ascii_case(scheme)
        {
            return Some((secure, rest));
        }
    }
    None
}

/// Host and port of an authority; the port is `None` where it is not written. `None` where the
/// authority is malformed.
pub fn split_authority(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let after_bracket = authority.iter().rposition(|byte| *byte == b']').map_or(0, |at| at + 1);
    let (head, tail) = authority.split_at(after_bracket);
    let Some(colon) = tail.iter().position(|byte| *byte == b':') else {
        return (!authority.is_empty()).then_some((authority, None));
    };
    let host = authority.get(..head.len() + colon)?;
    let port = tail.get(colon + 1..)?;
    if host.is_empty() {
        return None;
    }
    // RFC 3986 section 3.2.3: the port may be empty.
    if port.is_empty() {
        return Some((host, None));
    }
    if !port.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    Some((host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let get = Method::GET;
        assert_eq!(form(&get, b"//a?b"), Ok(Form::Origin(b"//a?b")));
        assert_eq!(form(&Method::OPTIONS, b"*"), Err(TargetError::Asterisk));
        assert_eq!(form(&Method::CONNECT, b"a:443"), Err(TargetError::Connect));
        for (target, secure, authority, path) in [
            ("http://a", false, "a", "/"),
            ("HTTP://a:1/x//y", false, "a:1", "/x//y"),
            ("https://[::1]:2?q", true, "[::1]:2", "/?q"),
        ] {
            let Ok(Form::Absolute { secure: s, authority: a, path: p }) = form(&get, target.as_bytes())
            else {
                panic!("{target}");
            };
            assert_eq!((s, a, &*p), (secure, authority.as_bytes(), path.as_bytes()));
        }
        for target in ["a", "ftp://a/", "http:///x", "http://u@a/", "http:/a"] {
            assert_eq!(form(&get, target.as_bytes()), Err(TargetError::Malformed), "{target}");
        }
    }

    #[test]
    fn authorities() {
        for (authority, due) in [
            ("localhost", Some(("localhost", None))),
            ("localhost:", Some(("localhost", None))),
            ("localhost:80", Some(("localhost", Some(80)))),
            ("[::1]", Some(("[::1]", None))),
            ("[::1]:80", Some(("[::1]", Some(80)))),
            ("localhost:http", None),
            ("localhost:99999", None),
            ("localhost:+80", None),
            (":80", None),
            ("", None),
            ("a:80:90", None),
        ] {
            let due = due.map(|(host, port): (&str, _)| (host.as_bytes(), port));
            assert_eq!(split_authority(authority.as_bytes()), due, "{authority}");
        }
    }
}
