//! Opens a log: a file, standard input or the built-in sample.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufRead, BufReader, Cursor, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;

use crate::progress::Progress;

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
    /// If the file is missing or cannot be opened.
    pub(crate) fn length(&self) -> io::Result<Option<u64>> {
        match self {
            Source::Sample => Ok(Some(SAMPLE.len() as u64)),
            Source::Stdin => Ok(None),
            Source::File(path) => {
                // A named pipe has no length. It is opened only once, as closing it would make its
                // writer fail.
                if fs::metadata(path)?.is_file() {
                    Ok(Some(File::open(path)?.metadata()?.len()))
                } else {
                    Ok(None)
                }
            }
        }
    }

    /// Opens the log and returns its text.
    pub(crate) fn open(&self, progress: &Progress) -> io::Result<Box<dyn BufRead>> {
        let raw: Box<dyn Read> = match self {
            Source::Sample => Box::new(SAMPLE),
            Source::Stdin => Box::new(io::stdin()),
            Source::File(path) => Box::new(File::open(path)?),
        };
        plain(progress.counting(raw))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Sample => f.write_str("sample.log"),
            Source::Stdin => f.write_str("-"),
            Source::File(path) => write!(f, "{}", path.display()),
        }
    }
}

const SAMPLE: &[u8] = include_bytes!("../sample.log");

/// In bytes: few system calls, and small enough for the processor's cache.
const BUFFER: usize = 64 * 1024;

/// The first bytes of every member of a gzip file. No line of a log starts with them.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Decompresses `raw` if its first bytes are those of gzip. File names do not tell, as logs are
/// renamed or come through pipes.
fn plain(mut raw: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut head = Vec::new();
    raw.by_ref()
        .take(GZIP.len() as u64)
        .read_to_end(&mut head)?;
    let is_gzip = head == GZIP;
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(raw));
    Ok(if is_gzip {
        // Reads all members: compressed logs are often concatenated.
        let text = MultiGzDecoder::new(whole);
        Box::new(BufReader::with_capacity(BUFFER, text))
    } else {
        Box::new(whole)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// Returns one byte per read, as a slow pipe may.
    struct Trickle(Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn text_of(raw: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        plain(Trickle(Cursor::new(raw)))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes() {
        assert_eq!(text_of(gzip("a line\n")).unwrap(), "a line\n");
    }

    #[test]
    fn every_member_of_a_gzip_file_is_read() {
        let members = [gzip("one\n"), gzip(""), gzip("two\nthree")].concat();
        assert_eq!(text_of(members).unwrap(), "one\ntwo\nthree");
    }

    #[test]
    fn input_that_is_not_gzip_is_text() {
        for text in ["", "a", "a line\n"] {
            assert_eq!(text_of(text.into()).unwrap(), text);
        }
    }

    #[test]
    fn gzip_that_is_cut_off_is_an_error() {
        let mut cut = gzip("a line\n");
        cut.truncate(cut.len() - 5);
        assert_eq!(
            text_of(cut).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

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
