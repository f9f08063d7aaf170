//! Text that must not be seen: cleared from memory when dropped, never printed.

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::file;

/// The most of a secret file that is read. A secret is a line of text; a disk image that was named by
/// mistake must not be loaded into memory.
const LONGEST_FILE: u64 = 64 * 1024;

/// A command that has closed its output ends at once, or soon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A client secret, an access token or a refresh token.
///
/// `Debug` shows nothing of it and there is no `Display`; [`Secret::reveal`] is the only access to the text,
/// so that every use can be found by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Why a text, a file or a command gives no usable secret. Says nothing of the text itself.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The file could not be read.
    #[error("it cannot be read: {}", file::why(.0))]
    Unreadable(io::Error),
    /// The file is larger than any secret.
    #[error("it is larger than 64 KiB")]
    TooLarge,
    /// The file could not be read in time: a pipe without a writer, or a file system that hangs.
    #[error("it could not be read in time")]
    TooSlow,
    /// The command could not be started.
    #[error("it cannot be started: {}", file::why(.0))]
    NotStarted(io::Error),
    /// The command ended with another status than success. Says which.
    #[error("it ended with {0}")]
    Failed(String),
    /// The file holds bytes that are no UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// White space stands before or after the secret, as a careless copy leaves it.
    #[error("it has white space before or after the secret")]
    SurroundingSpace,
    /// A byte order mark stands before the secret, as some editors write it.
    #[error("it begins with a byte order mark")]
    ByteOrderMark,
    /// Quotation marks stand around the secret, as a copy out of a script leaves them.
    #[error("it has quotation marks around the secret")]
    Quoted,
}

impl From<io::Error> for SecretFault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            Self::TooSlow
        } else if error.kind() == io::ErrorKind::FileTooLarge {
            Self::TooLarge
        } else {
            Self::Unreadable(error)
        }
    }
}

/// Marks that enclose a text, opening and closing. No secret that CXone issues has them.
const QUOTATION_MARKS: [(char, char); 5] =
    [('"', '"'), ('\'', '\''), ('\u{201c}', '\u{201d}'), ('\u{2018}', '\u{2019}'), ('\u{ab}', '\u{bb}')];

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A secret as a person gives it: not empty; no white space, byte order mark or quotation marks around
    /// it.
    pub fn given(text: String) -> Result<Self, SecretFault> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            Err(SecretFault::Empty)
        } else if text.trim().starts_with('\u{feff}') {
            Err(SecretFault::ByteOrderMark)
        } else if text.trim() != text.as_str() {
            Err(SecretFault::SurroundingSpace)
        } else if is_quoted(&text) {
            Err(SecretFault::Quoted)
        } else {
            Ok(Self(text))
        }
    }

    /// The secret in a file. One line end (`\n` or `\r\n`) at its end is not part of it.
    ///
    /// Blocks as long as the file system does, which may be for ever: use [`Self::from_file_within`], or a
    /// thread that nobody waits for.
    pub fn from_file(path: &Path) -> Result<Self, SecretFault> {
        Self::from_bytes(&file::read(path, LONGEST_FILE)?)
    }

    /// The same, but blocks for `limit` at most. The thread that reads is left alone then: it does not stop
    /// the process from ending.
    pub fn from_file_within(path: &Path, limit: Duration) -> Result<Self, SecretFault> {
        Self::from_bytes(&file::read_within(path, LONGEST_FILE, limit)?)
    }

    /// The secret that a command prints on its standard output, read as a file is. Its standard error is not read: it
    /// might show the secret.
    ///
    /// Blocks for `limit` at most; then the command and what it has started is killed.
    pub fn from_command(command: &[String], limit: Duration) -> Result<Self, SecretFault> {
        let (program, arguments) = command.split_first().ok_or(SecretFault::Empty)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What it starts can be killed with it.
            .process_group(0)
            .spawn()
            .map_err(SecretFault::NotStarted)?;
        let finished = Self::output(&mut child, limit);
        if finished.is_err() {
            // All of them may have ended by themselves meanwhile.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
        }
        Self::from_bytes(&finished?)
    }

    /// What a command prints, once it has ended well.
    fn output(child: &mut Child, limit: Duration) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
        let began = Instant::now();
        let output = child.stdout.take();
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::Builder::new().name("command".to_owned()).spawn(move || {
            let mut bytes = Zeroizing::new(Vec::new());
            let read = output.map_or(Ok(0), |output| output.take(LONGEST_FILE + 1).read_to_end(&mut bytes));
            // Nobody receives what comes too late.
            let _ = sender.send(read.map(|_| bytes));
        })?;
        let bytes = receiver.recv_timeout(limit).map_err(|_| SecretFault::TooSlow)??;
        if bytes.len() as u64 > LONGEST_FILE {
            return Err(SecretFault::TooLarge);
        }
        loop {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok(bytes),
                Some(status) => return Err(SecretFault::Failed(status.to_string())),
                None if began.elapsed() >= limit => return Err(SecretFault::TooSlow),
                None => thread::sleep(BETWEEN_LOOKS),
            }
        }
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, SecretFault> {
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            // UTF-16, as some shells write it.
            return Err(SecretFault::ByteOrderMark);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| SecretFault::NotText)?;
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        Self::given(line.to_owned())
    }

    /// The text itself, for the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// True where a pair of quotation marks stands around the text.
fn is_quoted(text: &str) -> bool {
    let encloses =
        |(open, close): (char, char)| text.strip_prefix(open).is_some_and(|rest| rest.ends_with(close));
    QUOTATION_MARKS.into_iter().any(encloses)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(bytes: &[u8]) -> Result<Secret, SecretFault> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, bytes).unwrap();
        Secret::from_file(&path)
    }

    #[test]
    fn one_line_end_is_ignored() {
        for bytes in [b"s3cret".as_slice(), b"s3cret\n", b"s3cret\r\n"] {
            assert_eq!(in_file(bytes).unwrap().reveal(), "s3cret");
        }
        assert_eq!(in_file(b"two words").unwrap().reveal(), "two words");
    }

    #[test]
    fn other_white_space_is_an_error_that_says_so() {
        for bytes in [b" s3cret".as_slice(), b"s3cret ", b"s3cret\n\n", b"\ns3cret", b"s3cret\r", b"\n\n"] {
            let fault = in_file(bytes).unwrap_err();
            assert!(matches!(fault, SecretFault::SurroundingSpace), "{bytes:?}");
            assert!(!fault.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn what_editors_and_scripts_put_around_a_secret_is_an_error_that_says_so() {
        for text in
            ["\u{feff}s3cret", "\u{feff}s3cret\n", "\u{feff}", "\u{feff} \"s3cret\"", " \u{feff}s3cret"]
        {
            assert!(matches!(in_file(text.as_bytes()), Err(SecretFault::ByteOrderMark)), "{text:?}");
        }
        assert!(matches!(in_file(b"\xff\xfes\0"), Err(SecretFault::ByteOrderMark)), "UTF-16");
        for text in
            ["\"s3cret\"", "'s3cret'\n", "\u{201c}s3cret\u{201d}", "\u{ab}s3cret\u{bb}\r\n", "\"\"", "''"]
        {
            let fault = in_file(text.as_bytes()).unwrap_err();
            assert!(matches!(fault, SecretFault::Quoted), "{text:?}");
            assert!(!fault.to_string().contains("s3cret"));
        }
        for text in ["\"", "'", "a\"b", "\"s3cret", "s3cret'", "\"s3cret'", "s\u{feff}ecret"] {
            assert_eq!(in_file(text.as_bytes()).unwrap().reveal(), text);
        }
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let limit = Duration::from_millis(50);
        assert!(matches!(Secret::from_file_within(&path, limit), Err(SecretFault::TooSlow)));
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "s3cret\n").unwrap()
        });
        // The first thread still holds the pipe's other end, and may take what is written.
        let _ = Secret::from_file_within(&path, Duration::from_secs(5));
        writer.join().unwrap();
    }

    #[test]
    fn what_holds_no_secret_is_distinguished() {
        assert!(matches!(in_file(b""), Err(SecretFault::Empty)));
        assert!(matches!(in_file(b"\n"), Err(SecretFault::Empty)));
        assert!(matches!(in_file(b"\xff"), Err(SecretFault::NotText)));
        assert!(matches!(in_file(&vec![b'x'; 70_000]), Err(SecretFault::TooLarge)));
        assert!(matches!(Secret::from_file(Path::new("/nowhere/at/all")), Err(SecretFault::Unreadable(_))));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("s3cret".to_owned())), "Secret(…)");
    }
}
