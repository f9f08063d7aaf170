//! The text of a JSON response, whatever Unicode encoding it is in. Pure.

use zeroize::Zeroizing;

/// The text of `bytes`, without a byte order mark. RFC 8259 section 8.1 wants UTF-8 without one; some
/// servers send one, or UTF-16, all the same. What is not valid becomes U+FFFD, which no token contains.
pub(crate) fn decode(bytes: &[u8]) -> Zeroizing<String> {
    let text = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // No JSON text begins with U+0000, so one of two zeros shows the order of UTF-16.
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => utf16(bytes, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    Zeroizing::new(text)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, _) = bytes.as_chunks();
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unicode_encoding_is_read_with_and_without_a_mark() {
        let text = "{\"a\":\"\u{e4}\u{1f600}\"}";
        let utf16 = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let (little, big) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [b"\xff\xfe", little.as_slice()].concat(),
            [b"\xfe\xff", big.as_slice()].concat(),
            little.clone(),
            big.clone(),
        ] {
            assert_eq!(decode(&bytes).as_str(), text, "{bytes:?}");
        }
        assert_eq!(decode(b"").as_str(), "");
        assert_eq!(decode(b"{\"a\":\"\xe4\"}").as_str(), "{\"a\":\"\u{fffd}\"}", "Latin-1");
    }
}
