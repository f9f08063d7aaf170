//! Reads a file that the configuration names, with a bound on its size and on the time.
//!
//! Such a file may be a pipe that nobody writes to, lie on a network file system that hangs, or be a disk image that
//! was named by mistake. None of them may hold the program up or fill its memory.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use zeroize::Zeroizing;

/// How long a file of the configuration may take.
pub const TIME_OUT: Duration = Duration::from_secs(5);

/// The most of a file that is configuration, or that holds certificates: 16 MiB. Ten thousand clients take 2 MiB.
pub const LONGEST: u64 = 16 * 1024 * 1024;

/// The content of the file. It may hold a private key, so it is cleared from memory when it is dropped.
///
/// Blocks for `limit` at most; then the error is [`ErrorKind::TimedOut`]. A file with more than `longest` bytes is
/// [`ErrorKind::FileTooLarge`]. A thread that still reads is left alone: it does not stop the process from ending.
pub fn read_within(path: &Path, longest: u64, limit: Duration) -> Result<Zeroizing<Vec<u8>>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let path = path.to_owned();
    std::thread::Builder::new().name("file".to_owned()).spawn(move || {
        // Nobody receives what comes too late.
        let _ = sender.send(read(&path, longest));
    })?;
    receiver.recv_timeout(limit).unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// The same, but blocks as long as the file system does, which may be for ever: for a thread that nobody waits for.
pub fn read(path: &Path, longest: u64) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Why a file cannot be read, for a person: our words for the usual reasons, else the system's.
pub fn why(error: &Error) -> String {
    let kind = error.kind();
    if kind == ErrorKind::NotFound {
        return "the file does not exist".to_owned();
    }
    if kind == ErrorKind::IsADirectory {
        return "it is a directory".to_owned();
    }
    if kind == ErrorKind::TimedOut {
        return "it is a pipe without a writer, or its file system does not respond".to_owned();
    }
    if kind == ErrorKind::PermissionDenied {
        let user = rustix::process::geteuid().as_raw();
        return format!("the user of this process (uid {user}) has no permission");
    }
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// The text of a file of the configuration, within [`TIME_OUT`] and [`LONGEST`]. Other bytes than UTF-8 are
/// [`ErrorKind::InvalidData`].
pub fn text(path: &Path) -> Result<String> {
    let bytes = read_within(path, LONGEST, TIME_OUT)?;
    std::str::from_utf8(&bytes).map(str::to_owned).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[test]
    fn what_is_there_is_read_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        std::fs::write(&path, "ä").unwrap();
        assert_eq!(read_within(&path, 2, TIME_OUT).unwrap().as_slice(), "ä".as_bytes());
        assert_eq!(text(&path).unwrap(), "ä");
        assert_eq!(read_within(&path, 1, TIME_OUT).unwrap_err().kind(), ErrorKind::FileTooLarge);
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(text(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(text(&place.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn the_reason_has_no_number_of_the_system() {
        for (number, words) in
            [(2, "the file does not exist"), (5, "Input/output error"), (21, "it is a directory")]
        {
            assert_eq!(why(&Error::from_raw_os_error(number)), words);
        }
    }

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let endless = read_within(Path::new("/dev/zero"), 1000, TIME_OUT);
        assert_eq!(endless.unwrap_err().kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_pipe_without_a_writer_is_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(read_within(&path, 1000, SOON).unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
