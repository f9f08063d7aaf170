//! A program and its arguments in one text. Pure.

/// Stands behind each item of a file's array: none of them holds it.
const BETWEEN: char = '\u{1f}';

/// The text of an array.
pub(super) fn text_of(items: &[&str]) -> String {
    items.iter().flat_map(|item| [item, "\u{1f}"]).collect()
}

/// True for an item that a text cannot hold.
pub(super) fn is_unfit(item: &str) -> bool {
    item.contains(BETWEEN)
}

/// The program and its arguments: as an array had them, or separated by commas.
pub(super) fn read(text: &str) -> Vec<String> {
    let (text, separator) = match text.strip_suffix(BETWEEN) {
        Some(items) => (items, BETWEEN),
        None => (text, ','),
    };
    text.split(separator).map(str::to_owned).collect()
}

/// The program alone: an argument may be nobody's business.
pub(super) fn shown(text: &str) -> String {
    let command = read(text);
    let more = if command.len() > 1 { " …" } else { "" };
    format!("{}{more}", command.first().map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_variable_separates_by_commas_and_an_array_keeps_all() {
        assert_eq!(read("vault,kv,get"), ["vault", "kv", "get"]);
        assert_eq!(read(&text_of(&["/opt/a b", "x,y"])), ["/opt/a b", "x,y"]);
        assert_eq!(read(&text_of(&["/opt/a,b"])), ["/opt/a,b"]);
        assert_eq!((shown("vault,kv,s3cret"), shown("vault")), ("vault …".to_owned(), "vault".to_owned()));
    }

    proptest! {
        #[test]
        fn an_array_comes_back_as_it_was(items in prop::collection::vec("[ -~]{0,8}", 1..6)) {
            let items: Vec<&str> = items.iter().map(String::as_str).collect();
            prop_assert_eq!(read(&text_of(&items)), items);
        }
    }
}
