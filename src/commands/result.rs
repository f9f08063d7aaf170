//! What a command gives, on standard output.

use std::io::Write;

use super::{complaint::complain, ending::Ending};

/// Writes `text`, all of it, to standard output. `what` says what it is, where that fails.
pub(super) fn write(what: &str, text: &[u8], out: &mut impl Write) -> Ending {
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ending::Well,
        Err(error) => {
            complain(&format!("{what} cannot be written to standard output: {error}"));
            Ending::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_a_failure() {
        let mut full: [u8; 0] = [];
        assert_eq!(write("the text", b"text", &mut full.as_mut_slice()), Ending::Failed);
        let mut out = Vec::new();
        assert_eq!(write("the text", b"text", &mut out), Ending::Well);
        assert_eq!(out, b"text");
    }
}
