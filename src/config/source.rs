//! Where a value comes from.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::admin::ConfiguredValue;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This flag of the command line (without hyphens).
    Flag(&'static str),
    /// This environment variable.
    Variable(&'static str),
    /// A line of the configuration file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line of the key, counted from 1.
        line: usize,
    },
    /// Nobody set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str(ConfiguredValue::DEFAULT),
        }
    }
}

/// Where the lines of a file begin.
pub(super) struct Lines<'a> {
    path: &'a Path,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Looks at each byte of `text` once: a file may have tens of thousands of lines.
    pub(super) fn of(path: &'a Path, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index + 1);
        Self { path, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The line of this byte, counted from 0.
    pub(super) fn at(&self, offset: usize) -> Source {
        let line = self.starts.partition_point(|start| *start <= offset);
        Source::File { path: self.path.to_owned(), line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_belongs_to_its_line() {
        let lines = Lines::of(Path::new("x"), "ab\n\ncd\r\nlast");
        let of = |offset| match lines.at(offset) {
            Source::File { line, .. } => line,
            Source::Flag(_) | Source::Variable(_) | Source::Default => 0,
        };
        assert_eq!([0, 2, 3, 4, 7, 8, 99].map(of), [1, 1, 2, 3, 3, 4, 4]);
        assert_eq!(Lines::of(Path::new("x"), "").at(0), Source::File { path: "x".into(), line: 1 });
    }
}
