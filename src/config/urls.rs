//! The addresses of token endpoints. Pure.

use url::Url;

use crate::invalid::Invalid;
use crate::upstream::{BaseUrl, refuse_clear_text, scheme_and_rest};

/// Reads the token endpoint's URL (RFC 6749, 3.2: a query may be there, a fragment must not).
pub(super) fn token_url(text: &str) -> Result<Url, Invalid> {
    let (scheme, rest) = scheme_and_rest(text)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Invalid::because("contains user information"));
    }
    // The standard's parser looks for a host further on, and reads backslashes as slashes.
    if authority.is_empty() || authority.contains('\\') {
        return Err(Invalid::because("has no valid host"));
    }
    if text.contains('#') {
        return Err(Invalid::because("contains a fragment"));
    }
    let url = Url::parse(text).map_err(|error| Invalid(format!("is not a URL ({error})")))?;
    let host = url.host().ok_or_else(|| Invalid::because("has no valid host"))?;
    refuse_clear_text(scheme, &host)?;
    Ok(url)
}

/// The token endpoint of a CXone region.
pub(super) fn token_url_of(base: &BaseUrl) -> Result<Url, Invalid> {
    token_url(&format!("{base}/api/v2/oauth/token"))
}

/// The token endpoint of the `password` grant: one for all areas.
pub(super) const PASSWORD_TOKEN_URL: &str = "https://cxone.niceincontact.com/auth/token";

/// The endpoint of an area that gives tokens for access keys.
pub(super) fn access_key_url_of(area: &str) -> Result<Url, Invalid> {
    token_url(&format!("https://{area}.nice-incontact.com/authentication/v1/token/access-key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_is_for_this_machine() {
        for host in ["a.example", "localhost.a.example", "10.0.0.1", "[2001:db8::1]", "0.0.0.0"] {
            let Err(Invalid(reason)) = token_url(&format!("http://{host}/")) else { panic!("{host}") };
            assert_eq!(reason, "would send credentials in the clear to another machine", "{host}");
        }
        for host in ["localhost", "localhost.", "127.0.0.1", "[::1]"] {
            assert!(token_url(&format!("http://{host}/")).is_ok(), "{host}");
        }
    }

    #[test]
    fn the_token_endpoint_may_have_a_query_only() {
        assert!(token_url("https://a.example/token?tenant=1").is_ok());
        for (text, why) in [
            ("https://a.example/token#x", "contains a fragment"),
            ("https://me:pass@a.example/token", "contains user information"),
            ("https://@a.example/token", "contains user information"),
            ("https:///token", "has no valid host"),
            ("https://a.example\\@b.example/", "contains user information"),
            ("https://a.example\\x/", "has no valid host"),
            ("https://a.example:x/", "is not a URL"),
            ("a.example/token", "has no scheme"),
            ("https://a.example/to ken", "contains white space"),
        ] {
            match token_url(text) {
                Err(Invalid(reason)) => assert!(reason.starts_with(why), "{text}: {reason}"),
                Ok(url) => panic!("{text} became {url}"),
            }
        }
    }
}
