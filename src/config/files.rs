//! Why a file that an option names cannot be read, in words for the operator.

use std::{env, io, path::Path};

use crate::file;

/// The predicate of a sentence about the file at `path`. Reads the working directory and the user's number.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{}{}", reason(path, error), start_of_relative(path))
}

fn reason(path: &Path, error: &io::Error) -> String {
    // The directory of a relative path is not named: the path may be a secret in the wrong place.
    let missing = path.parent().filter(|parent| path.is_absolute() && !parent.exists());
    match (error.kind(), missing) {
        (io::ErrorKind::NotFound, Some(directory)) => {
            format!("cannot be read: the directory {} does not exist", directory.display())
        }
        (io::ErrorKind::InvalidData, _) => "is not UTF-8 text".to_owned(),
        (io::ErrorKind::TimedOut, _) => too_slow(),
        (io::ErrorKind::FileTooLarge, _) => {
            format!("is larger than {} MiB: is it the right file?", file::LONGEST / 1024 / 1024)
        }
        (_, _) => format!("cannot be read: {}", file::why(error)),
    }
}

/// The predicate for a file that took longer than [`file::TIME_OUT`].
pub(super) fn too_slow() -> String {
    format!(
        "cannot be read within {} s: it is a pipe without a writer, or its file system does not respond",
        file::TIME_OUT.as_secs()
    )
}

fn start_of_relative(path: &Path) -> String {
    match env::current_dir() {
        Ok(start) if path.is_relative() => format!(" (relative paths start in {})", start.display()),
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, kind: io::ErrorKind) -> String {
        unreadable(Path::new(path), &kind.into())
    }

    #[test]
    fn each_cause_has_its_sentence() {
        let user = rustix::process::geteuid().as_raw();
        for (path, kind, due) in [
            ("/secret", io::ErrorKind::NotFound, "cannot be read: the file does not exist".to_owned()),
            (
                "/no/where/secret",
                io::ErrorKind::NotFound,
                "cannot be read: the directory /no/where does not exist".to_owned(),
            ),
            (
                "/secret",
                io::ErrorKind::PermissionDenied,
                format!("cannot be read: the user of this process (uid {user}) has no permission"),
            ),
            ("/etc", io::ErrorKind::IsADirectory, "cannot be read: it is a directory".to_owned()),
            ("/x", io::ErrorKind::InvalidData, "is not UTF-8 text".to_owned()),
            (
                "/x",
                io::ErrorKind::TimedOut,
                "cannot be read within 5 s: it is a pipe without a writer, or its file system does not respond"
                    .to_owned(),
            ),
            ("/x", io::ErrorKind::FileTooLarge, "is larger than 16 MiB: is it the right file?".to_owned()),
            ("/x", io::ErrorKind::Interrupted, "cannot be read: operation interrupted".to_owned()),
        ] {
            assert_eq!(said(path, kind), due);
        }
    }

    #[test]
    fn a_relative_path_says_where_it_starts_and_shows_nothing_of_itself() {
        let start = env::current_dir().unwrap();
        assert_eq!(
            said("s3cr3t/part", io::ErrorKind::NotFound),
            format!("cannot be read: the file does not exist (relative paths start in {})", start.display())
        );
    }
}
