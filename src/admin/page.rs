//! `/`: the live page, one document with its style and its script in it. Pure.
//!
//! The policy names the two by their hashes, so that nothing else runs or loads, whatever a name or an error text
//! holds. The page reads `/status`, `/history` and `/configuration` from where it came.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

const DOCUMENT: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str =
    concat!(include_str!("page/dom.js"), include_str!("page/chart.js"), include_str!("page/page.js"));

/// The document.
pub(super) static HTML: LazyLock<String> =
    LazyLock::new(|| DOCUMENT.replacen("/* page.css */", STYLE, 1).replacen("/* page.js */", SCRIPT, 1));

/// What a browser may do with it (Content Security Policy Level 3). The icon is drawn by the script.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_holds_its_style_and_its_script_as_they_were_hashed() {
        assert!(HTML.contains(&format!("<style>{STYLE}</style>")));
        assert!(HTML.contains(&format!("<script type=\"module\">{SCRIPT}</script>")));
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
        assert!(POLICY.matches("'sha256-").count() == 2 && !POLICY.contains("unsafe"), "{}", *POLICY);
        // RFC 6234's "abc".
        assert_eq!(hash("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn nothing_comes_from_another_host() {
        let addresses = HTML
            .match_indices("://")
            .map(|(at, _)| HTML.get(at.saturating_sub(6)..at + 24).unwrap_or_default());
        for address in addresses {
            // The namespace of SVG is a name, not an address.
            let is_name = address.contains("http://www.w3.org/2000");
            let is_example = address.contains("http://127.0.0.1") || address.contains("http://${");
            assert!(is_name || is_example, "{address}");
        }
    }
}
