//! Secrets that are ordinary words. Pure.
//!
//! A person who tries the program out takes `secret` for a secret. "The secret is wrong" is an explanation
//! then, not a leak, and `the [withheld] is wrong` would give the secret away.

use std::ops::Range;

/// Words that token endpoints explain failures with, and that people take for secrets.
const ORDINARY: &str = "\
    a abc access account active admin allowed an and api application authentication authorization bad \
    basic bearer been call cannot changeme check client code correct credential credentials customer \
    cxone default demo denied dev disabled does error example exist expired failed field for found from \
    get given grant has have header id in inactive incorrect instance internal invalid is it key local \
    locked login malformed match mismatch missing name nice no not of or parameter pass password please \
    production proxy read refresh region registered rejected request required resource response revoked \
    scope secret secrets sent server service staging string supported system tenant test testing that \
    the this to token type unauthorized unknown unsupported url use used user username users valid value \
    was write wrong you your";

/// Shorter secrets stand in too many words by chance.
const SHORT: usize = 4;

/// Whether a secret is a word that explanations use, or as short as a part of one.
pub(super) fn is_ordinary(secret: &str) -> bool {
    let is_letters = secret.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_known = || ORDINARY.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(secret));
    secret.len() < SHORT || (is_letters && is_known())
}

/// Whether the word at `found` is quoted or assigned there, and not part of a sentence.
pub(super) fn is_quoted(text: &str, found: Range<usize>) -> bool {
    let before = text.get(..found.start).unwrap_or_default();
    let after = text.get(found.end..).unwrap_or_default();
    let joins = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if before.ends_with(joins) || after.starts_with(joins) {
        return false;
    }
    let is_alone = before.trim().is_empty() && after.trim().is_empty();
    let is_assigned = before.trim_end().ends_with([':', '=', '>']);
    let opens = |c: char| !(c.is_whitespace() || matches!(c, '(' | '[' | ',' | '.' | '/'));
    is_alone || is_assigned || before.ends_with(opens)
}
