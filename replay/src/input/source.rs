//! Opens a log: a file, standard input or the built-in sample.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Sample,
    Stdin,
    File(PathBuf),
}

impl Source {
    /// Returns the sources that the arguments name, or the sample if there are none.
    pub(crate) fn all(files: &[PathBuf]) -> Vec<Source> {
        if files.is_empty() {
            return vec![Source::Sample];
        }
        let source = |path: &PathBuf| match path {
            path if path == Path::new("-") => Source::Stdin,
            path => Source::File(path.clone()),
        };
        files.iter().map(source).collect()
    }

    /// Returns the number of bytes, or `None` for a pipe.
    ///
    /// # Errors
    ///
    /// If the file is missing.
    pub(crate) fn length(&self) -> io::Result<Option<u64>> {
        match self {
            Source::Sample => Ok(Some(SAMPLE.len() as u64)),
            Source::Stdin => Ok(None),
            Source::File(path) => {
                let file = fs::metadata(path)?;
                Ok(file.is_file().then_some(file.len()))
            }
        }
    }

    /// Opens the log. A pipe can be opened once, as closing it would make its writer fail.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Source::Sample => Box::new(SAMPLE),
            Source::Stdin => Box::new(io::stdin()),
            Source::File(path) => Box::new(File::open(path)?),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Sample => f.write_str("built-in sample"),
            Source::Stdin => f.write_str("-"),
            Source::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Whether standard input is a file or a pipe, which the caller probably meant to be read.
#[cfg(unix)]
pub(crate) fn stdin_is_given() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;

    let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let kind = stdin.and_then(|stdin| stdin.metadata());
    kind.is_ok_and(|kind| kind.is_file() || kind.file_type().is_fifo())
}

#[cfg(not(unix))]
pub(crate) fn stdin_is_given() -> bool {
    false
}

const SAMPLE: &[u8] = include_bytes!("../../sample.log");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_stands_in_for_no_file() {
        assert_eq!(Source::all(&[]), [Source::Sample]);
        let named = ["-", "b.log"].map(PathBuf::from);
        assert_eq!(
            Source::all(&named),
            [Source::Stdin, Source::File("b.log".into())]
        );
    }
}
