//! Where a request target points (RFC 9112 section 3.2). Pure. Nothing is decoded and nothing is
//! normalised: the path stays as it arrived, byte for byte.

use http::uri::{Authority, PathAndQuery};
use http::{Method, Uri, Version};

/// A request target, as far as a gateway serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `/path?query`, and every target of HTTP/2: the host is named elsewhere.
    Origin(PathAndQuery),
    /// `http://authority/path?query`
    Absolute {
        /// True for `https`.
        secure: bool,
        /// Host and port as written.
        authority: &'a Authority,
        /// Path and query; `/` where there is none.
        path: PathAndQuery,
    },
}

/// Why a target is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// `CONNECT`, which asks for a tunnel to anywhere.
    Connect,
    /// `*`: there is no one server that it could mean.
    Asterisk,
    /// Neither a path nor an `http` or `https` address.
    Malformed,
}

/// Reads the form of a target from what hyper has parsed.
///
/// Over HTTP/2 the authority is that of `:authority`, which stands for `Host`; absolute form does not
/// exist there (RFC 9113 section 8.3.1).
pub fn read<'a>(method: &Method, uri: &'a Uri, version: Version) -> Result<Target<'a>, TargetError> {
    if method == Method::CONNECT {
        return Err(TargetError::Connect);
    }
    // An authority alone (`GET evil:80`) has no path at all.
    let written = uri.path_and_query().ok_or(TargetError::Malformed)?;
    let path = match written.as_str().as_bytes() {
        [b'/', ..] => written.clone(),
        // Only an absolute form may leave the path out.
        [b'?', ..] if uri.authority().is_some() => {
            PathAndQuery::try_from(format!("/{}", written.as_str())).map_err(|_| TargetError::Malformed)?
        }
        b"*" => return Err(TargetError::Asterisk),
        _ => return Err(TargetError::Malformed),
    };
    let Some(authority) = uri.authority().filter(|_| version < Version::HTTP_2) else {
        return Ok(Target::Origin(path));
    };
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(_) | None => return Err(TargetError::Malformed),
    };
    if authority.as_str().is_empty() || authority.as_str().contains('@') {
        return Err(TargetError::Malformed);
    }
    Ok(Target::Absolute { secure, authority, path })
}

/// `http://` or `https://`, in any case of letters; true for the latter.
pub fn strip_scheme(address: &str) -> Option<(bool, &str)> {
    [(false, "http://"), (true, "https://")].into_iter().find_map(|(secure, scheme)| {
        let (own, rest) = address.split_at_checked(scheme.len())?;
        own.eq_ignore_ascii_case(scheme).then_some((secure, rest))
    })
}

/// Host and port of an authority; the port is `None` where it is not written. `None` where the
/// authority is malformed.
pub fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (head, tail) = authority.split_at_checked(after_bracket)?;
    let Some(colon) = tail.find(':') else {
        return (!authority.is_empty()).then_some((authority, None));
    };
    let (host, port) = authority.split_at_checked(head.len() + colon)?;
    let port = port.strip_prefix(':')?;
    if host.is_empty() {
        return None;
    }
    // RFC 3986 section 3.2.3: the port may be empty.
    if port.is_empty() {
        return Some((host, None));
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((host, Some(port.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(method: &Method, target: &str) -> Result<(Option<bool>, String, String), TargetError> {
        let uri: Uri = target.parse().unwrap();
        read(method, &uri, Version::HTTP_11).map(|target| match target {
            Target::Origin(path) => (None, String::new(), path.to_string()),
            Target::Absolute { secure, authority, path } => {
                (Some(secure), authority.to_string(), path.to_string())
            }
        })
    }

    #[test]
    fn forms() {
        let get = Method::GET;
        for (target, secure, authority, path) in [
            ("//a?b", None, "", "//a?b"),
            ("/", None, "", "/"),
            ("/a/../%2e/B//?x=/y?z", None, "", "/a/../%2e/B//?x=/y?z"),
            ("http://a", Some(false), "a", "/"),
            ("HTTP://a:1/x//y", Some(false), "a:1", "/x//y"),
            ("https://[::1]:2?q", Some(true), "[::1]:2", "/?q"),
            ("http://A.example:/", Some(false), "A.example:", "/"),
        ] {
            let due = (secure, authority.to_owned(), path.to_owned());
            assert_eq!(form(&get, target), Ok(due), "{target}");
        }
        assert_eq!(form(&Method::OPTIONS, "*"), Err(TargetError::Asterisk));
        assert_eq!(form(&Method::CONNECT, "a:443"), Err(TargetError::Connect));
        assert_eq!(form(&Method::CONNECT, "/"), Err(TargetError::Connect));
        for target in ["a", "a:80", "ftp://a/", "http://u@a/", "http://u:p@a/"] {
            assert_eq!(form(&get, target), Err(TargetError::Malformed), "{target}");
        }
    }

    #[test]
    fn http2_knows_no_absolute_form() {
        let uri: Uri = "https://api.example/x?y".parse().unwrap();
        let target = read(&Method::GET, &uri, Version::HTTP_2);
        assert_eq!(target, Ok(Target::Origin(PathAndQuery::from_static("/x?y"))));
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
            assert_eq!(split_authority(authority), due, "{authority}");
        }
    }

    proptest! {
        #[test]
        fn an_absolute_form_has_the_path_of_the_origin_form(path in "/[a-zA-Z0-9/.%?&=_~-]{0,40}") {
            let (_, _, origin) = form(&Method::GET, &path).unwrap();
            let (_, _, absolute) = form(&Method::GET, &format!("http://a.example:1{path}")).unwrap();
            prop_assert_eq!(&origin, &path);
            prop_assert_eq!(absolute, path);
        }

        #[test]
        fn any_authority_is_survived(authority in any::<String>()) {
            if let Some((host, port)) = split_authority(&authority) {
                prop_assert!(authority.starts_with(host));
                prop_assert!(port.is_none_or(|port| authority.contains(&port.to_string())));
            }
            let _ = strip_scheme(&authority);
        }
    }
}
