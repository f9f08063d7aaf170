//! Finds a text in another one that may spell it differently: percent-encoded, with HTML entities, with
//! backslash escapes, or a mixture of them. Pure.

/// Where the spelling of `needle` ends that begins at `at` in `text`; the longest, where there are several.
pub(super) fn end_of(needle: &str, text: &str, at: usize) -> Option<usize> {
    let text = text.as_bytes();
    if !may_begin(needle, *text.get(at)?) {
        return None;
    }
    let mut ends = vec![at];
    let mut next = Vec::new();
    for c in needle.chars() {
        for end in ends.drain(..) {
            spellings(c, text, end, &mut next);
        }
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut ends, &mut next);
        if ends.is_empty() {
            return None;
        }
    }
    ends.last().copied()
}

/// Spares nearly all places of a text the full comparison.
fn may_begin(needle: &str, first: u8) -> bool {
    let is_other_spelling = matches!(first, b'%' | b'&' | b'\\' | b'+');
    is_other_spelling || needle.bytes().next().is_some_and(|byte| byte.eq_ignore_ascii_case(&first))
}

/// Adds the ends of all spellings of `c` that begin at `at`.
fn spellings(c: char, text: &[u8], at: usize, ends: &mut Vec<usize>) {
    let rest = text.get(at..).unwrap_or_default();
    let mut buffer = [0; 4];
    let plain = c.encode_utf8(&mut buffer).as_bytes();
    // An endpoint may have changed the case of ASCII letters.
    if rest.get(..plain.len()).is_some_and(|same| same.eq_ignore_ascii_case(plain)) {
        ends.push(at + plain.len());
    }
    match rest.first() {
        Some(b'+') if c == ' ' => ends.push(at + 1),
        Some(b'%') => percent(plain, rest, at, ends),
        Some(b'&') => ends.extend(entity(c, rest).map(|length| at + length)),
        Some(b'\\') => ends.extend(escape(c, rest).map(|length| at + length)),
        Some(_) | None => {}
    }
}

/// All bytes of a character as `%XX`, or as `%25XX` where that was encoded once more.
fn percent(plain: &[u8], rest: &[u8], at: usize, ends: &mut Vec<usize>) {
    for twice in [false, true] {
        let mut length = 0;
        let all = plain.iter().all(|byte| {
            let prefix: &[u8] = if twice { b"%25" } else { b"%" };
            let digits = rest.get(length..).and_then(|rest| rest.strip_prefix(prefix));
            length += prefix.len() + 2;
            digits.and_then(|digits| digits.get(..2)).and_then(hexadecimal) == Some(u32::from(*byte))
        });
        if all {
            ends.push(at + length);
        }
    }
}

/// The length of an HTML entity that means `c`.
fn entity(c: char, rest: &[u8]) -> Option<usize> {
    const NAMED: [(&[u8], char); 6] =
        [(b"amp", '&'), (b"lt", '<'), (b"gt", '>'), (b"quot", '"'), (b"apos", '\''), (b"nbsp", ' ')];
    /// As long as `&#x10FFFF;` with some leading zeros.
    const LONGEST: usize = 16;
    let end = rest.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let name = rest.get(1..end)?;
    let is_named = NAMED.iter().any(|(known, meaning)| *known == name && *meaning == c);
    let number = || match name.strip_prefix(b"#")? {
        [b'x' | b'X', digits @ ..] => hexadecimal(digits),
        digits => std::str::from_utf8(digits).ok()?.parse().ok(),
    };
    (is_named || number() == Some(u32::from(c))).then_some(end + 1)
}

/// The length of a backslash escape that means `c`.
fn escape(c: char, rest: &[u8]) -> Option<usize> {
    let code = |from: usize, digits: usize| {
        rest.get(from..from + digits).and_then(hexadecimal) == Some(u32::from(c))
    };
    match rest.get(1)? {
        b'u' if code(2, 4) => Some(6),
        b'x' if code(2, 2) => Some(4),
        byte if c.is_ascii_punctuation() && u32::from(*byte) == u32::from(c) => Some(2),
        _ => None,
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}
