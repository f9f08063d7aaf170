//! Addresses of upstreams inside JSON: the strings below a `_links` member. Pure.
//!
//! This is not a JSON parser. It goes over the tokens to know where it is, and copies all but the
//! strings that it rewrites, so that everything else stays byte for byte. What is not JSON passes as it is.

/// Where the walk stands inside.
#[derive(Clone, Copy)]
struct Level {
    is_object: bool,
    /// Strings here are addresses.
    links: bool,
}

/// JSON with the strings below `_links` replaced by what `local` makes of them; `None` where none
/// is. Escaped slashes are understood, other escapes never stand in an address.
pub fn rewrite(json: &[u8], local: impl Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    let mut levels: Vec<Level> = Vec::new();
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    // The member whose value comes next is `_links`.
    let mut named = false;
    let mut expects_name = false;
    while let Some(byte) = json.get(at) {
        let inherited = named || levels.last().is_some_and(|level| level.links);
        match byte {
            b'{' | b'[' => {
                let is_object = *byte == b'{';
                levels.push(Level { is_object, links: inherited });
                expects_name = is_object;
                named = false;
            }
            b'}' | b']' => {
                if levels.pop()?.is_object != (*byte == b'}') {
                    return None;
                }
                expects_name = false;
            }
            b',' => {
                expects_name = levels.last().is_some_and(|level| level.is_object);
                named = false;
            }
            b':' => expects_name = false,
            b'"' => {
                let end = string_end(json, at)?;
                let text = json.get(at + 1..end)?;
                if expects_name {
                    named = text == b"_links";
                } else if inherited
                    && let Ok(text) = std::str::from_utf8(&unescaped(text))
                    && let Some(address) = local(text)
                {
                    out.extend_from_slice(json.get(copied..=at)?);
                    // Other escapes than those before slashes are still in it.
                    out.extend_from_slice(address.as_bytes());
                    copied = end;
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 || !levels.is_empty() {
        return None;
    }
    out.extend_from_slice(json.get(copied..)?);
    Some(out)
}

/// The place of the quotation mark that ends the string which starts at `start`.
fn string_end(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Without the escapes before slashes.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            plain.push(*byte);
            continue;
        }
        // What is escaped belongs to its backslash, another backslash too.
        let escaped = bytes.next();
        if escaped != Some(&b'/') {
            plain.push(b'\\');
        }
        plain.extend(escaped);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn local(address: &str) -> Option<String> {
        address.strip_prefix("https://up/").map(|rest| format!("http://here/{rest}"))
    }

    fn rewritten(json: &str) -> Option<String> {
        rewrite(json.as_bytes(), local).map(|json| String::from_utf8(json).unwrap())
    }

    #[test]
    fn only_below_links_and_only_known_addresses() {
        for (json, expected) in [
            (r#"{"_links":{"next":"https://up/a"}}"#, Some(r#"{"_links":{"next":"http://here/a"}}"#)),
            (
                r#"{ "a":"https://up/a", "_links" : {"self":{"href":"https:\/\/up\/b?x=\"q\""},"o":"https://x/"}, "b":"https://up/c"}"#,
                Some(
                    r#"{ "a":"https://up/a", "_links" : {"self":{"href":"http://here/b?x=\"q\""},"o":"https://x/"}, "b":"https://up/c"}"#,
                ),
            ),
            (
                r#"[{"_links":["https://up/a",1]},"https://up/b"]"#,
                Some(r#"[{"_links":["http://here/a",1]},"https://up/b"]"#),
            ),
            (
                r#"{"_links":"https://up/a","n":"https://up/b"}"#,
                Some(r#"{"_links":"http://here/a","n":"https://up/b"}"#),
            ),
            (r#"{"_links":{"next":"https://up/a\\/b"}}"#, Some(r#"{"_links":{"next":"http://here/a\\/b"}}"#)),
            (
                r#"{"_links":{"a":{"b":[{"c":"https://up/a"}]}}}"#,
                Some(r#"{"_links":{"a":{"b":[{"c":"http://here/a"}]}}}"#),
            ),
            (r#"{"_links":{"https://up/a":1}}"#, None),
            (r#"{"_links":{},"next":"https://up/a"}"#, None),
            (r#"{"_links":["https://up/a"}]"#, None),
            (r#"{"links":{"next":"https://up/a"}}"#, None),
            (r#"{"x":"_links","next":"https://up/a"}"#, None),
            (r#"{"_links":{"next":"https://up/a"}"#, None),
            (r#"{"_links":{"next":"https://up/a}"#, None),
            ("", None),
            ("}", None),
        ] {
            assert_eq!(rewritten(json).as_deref(), expected, "{json}");
        }
    }

    proptest! {
        /// Whatever the bytes: no panic, and nothing but addresses changes.
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = rewrite(&bytes, local);
        }

        #[test]
        fn with_nothing_to_replace_nothing_changes(text in "[\\[\\]{}:,\"a_links\\\\/ ]{0,80}") {
            prop_assert_eq!(rewrite(text.as_bytes(), |_| None), None);
        }
    }
}
