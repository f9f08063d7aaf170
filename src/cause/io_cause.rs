//! Why the network or the system failed, in words of our own. Pure.

use std::io;

const CLOSED: &str = "the connection was closed by the other side";

const WORDS: [(io::ErrorKind, &str); 8] = [
    (io::ErrorKind::ConnectionRefused, "the connection was refused: nothing listens there"),
    (io::ErrorKind::ConnectionReset, CLOSED),
    (io::ErrorKind::ConnectionAborted, CLOSED),
    (io::ErrorKind::BrokenPipe, CLOSED),
    (io::ErrorKind::HostUnreachable, "no route leads to its host"),
    (io::ErrorKind::NetworkUnreachable, "no route leads to its network"),
    (io::ErrorKind::TimedOut, "the other side did not respond in time"),
    (io::ErrorKind::UnexpectedEof, "the connection was closed before a response was complete"),
];

/// The cause for a person: our words for the usual ones, else the system's. `None` where the error is that
/// of a library in disguise.
pub fn io_cause(error: &io::Error) -> Option<String> {
    let known = WORDS.iter().find(|(kind, _)| *kind == error.kind()).map(|(_, words)| (*words).to_owned());
    known.or_else(|| error.raw_os_error().map(|_| error.to_string()))
}

/// True where the process, or the machine, has all the files open that it may have.
pub fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_causes_have_our_words_and_those_of_libraries_have_none() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(io_cause(&refused).unwrap(), "the connection was refused: nothing listens there");
        assert!(io_cause(&io::Error::from_raw_os_error(1)).is_some());
        assert_eq!(io_cause(&io::Error::other("of a library")), None);
    }
}
