//! Makes lines of text out of what files hold: decompresses, and decodes UTF-16.
//!
//! The first bytes tell what a file is. Its name does not, as logs are renamed or come through pipes.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;

/// In bytes: few system calls, and small enough for the processor's cache.
const BUFFER: usize = 64 * 1024;

/// How many bytes are decompressed at a time.
const SIP: usize = 512;

/// How many of the first bytes are looked at.
const HEAD: u64 = 4_096;

/// Returns the text of a file: decompressed, and in UTF-8 unless it is in no encoding at all.
///
/// # Errors
///
/// If the file cannot be read, or is of a kind that is not read. The text names the kind.
pub(super) fn text(raw: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let (head, raw) = peek(raw);
    let text: Box<dyn Read> = match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(Members::new(raw)),
        // A frame, or one to skip, as some programs write it first.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::Decoder::with_buffer(raw)?)
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Box::new(MultiBzDecoder::new(raw)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(XzReader::new(raw, true)),
        _ => return decoded(&head, raw),
    };
    let (head, text) = peek(Sips(text));
    decoded(&head, text)
}

/// Decodes what is not compressed, or not any more.
fn decoded(head: &[u8], text: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    if let Some(encoding) = wide_encoding(head)? {
        let decoder = DecodeReaderBytesBuilder::new()
            .encoding(Some(encoding))
            .build(text);
        return Ok(Box::new(BufReader::with_capacity(BUFFER, decoder)));
    }
    let is_text = |byte: &u8| *byte >= b' ' || byte.is_ascii_whitespace() || *byte == 0x1b;
    if let (Some(kind), false) = (infer::get(head), head.iter().all(is_text)) {
        return Err(unread(format_args!(
            "a file of type {} ({})",
            kind.extension(),
            kind.mime_type()
        )));
    }
    Ok(Box::new(text))
}

/// Returns the encoding of text whose characters take two bytes, by its byte order mark or by the
/// zeros beside its first two characters.
fn wide_encoding(head: &[u8]) -> io::Result<Option<&'static Encoding>> {
    match head {
        // UTF-16 may have a zero behind its mark, too, but then not two more.
        [0xff, 0xfe, 0, 0, _, _, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            Err(unread("text in UTF-32"))
        }
        [b' '..=b'~', 0, 0, 0, b' '..=b'~', 0, 0, 0, ..]
        | [0, 0, 0, b' '..=b'~', 0, 0, 0, b' '..=b'~', ..] => Err(unread("text in UTF-32")),
        [0xff, 0xfe, ..] | [b' '..=b'~', 0, b' '..=b'~', 0, ..] => Ok(Some(UTF_16LE)),
        [0xfe, 0xff, ..] | [0, b' '..=b'~', 0, b' '..=b'~', ..] => Ok(Some(UTF_16BE)),
        _ => Ok(None),
    }
}

fn unread(kind: impl fmt::Display) -> io::Error {
    let text = format!("{kind}: expected text, plain or compressed by gzip, zstd, bzip2 or xz");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Returns the first bytes, and a reader that starts with them.
fn peek<R: Read>(mut reader: R) -> (Vec<u8>, BufReader<impl Read + use<R>>) {
    let mut head = Vec::new();
    // What is damaged behind the first bytes is read up to there.
    let error = reader.by_ref().take(HEAD).read_to_end(&mut head).err();
    let whole = Cursor::new(head.clone()).chain(Raise(error)).chain(reader);
    (head, BufReader::with_capacity(BUFFER, whole))
}

/// Reads little at a time. Where a file is damaged, a decoder loses what it had read in the same call.
struct Sips<R>(R);

impl<R: Read> Read for Sips<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(SIP);
        self.0.read(&mut buffer[..length])
    }
}

/// Reads nothing but an error.
struct Raise(Option<io::Error>);

impl Read for Raise {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Reads all members of a gzip file, with zeros or nothing between them. What else is behind them is an
/// error: [`Garbage`].
struct Members<R: BufRead>(State<R>);

enum State<R: BufRead> {
    Member(GzDecoder<R>),
    /// Behind a member.
    Between(R),
    Ended(Option<Garbage>),
}

/// What is behind the last member of a gzip file and is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Garbage;

impl std::error::Error for Garbage {}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what is behind its last gzip member is no gzip, and was not read")
    }
}

/// Whether a reader ended because of [`Garbage`]. What was read before is whole.
pub(super) fn is_garbage(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Garbage>())
}

impl<R: BufRead> Members<R> {
    fn new(reader: R) -> Members<R> {
        Members(State::Member(GzDecoder::new(reader)))
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Where an error returns, it is not read on.
            self.0 = match std::mem::replace(&mut self.0, State::Ended(None)) {
                State::Member(mut member) => match member.read(buffer)? {
                    0 if !buffer.is_empty() => State::Between(member.into_inner()),
                    read => {
                        self.0 = State::Member(member);
                        return Ok(read);
                    }
                },
                State::Between(mut rest) => match first_but_zeros(&mut rest)? {
                    None => State::Ended(None),
                    Some(0x1f) => State::Member(GzDecoder::new(rest)),
                    Some(_) => State::Ended(Some(Garbage)),
                },
                State::Ended(None) => return Ok(0),
                State::Ended(Some(garbage)) => {
                    self.0 = State::Ended(Some(garbage));
                    return Err(io::Error::new(io::ErrorKind::InvalidData, garbage));
                }
            };
        }
    }
}

/// Skips zeros, which tapes and block devices append. Returns the next byte, which is not consumed.
fn first_but_zeros(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = reader.fill_buf()?;
        let length = buffer.len();
        match buffer.iter().position(|byte| *byte != 0) {
            Some(at) => {
                let byte = buffer[at];
                reader.consume(at);
                return Ok(Some(byte));
            }
            None if length == 0 => return Ok(None),
            None => reader.consume(length),
        }
    }
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

    type Compress = fn(&[u8]) -> Vec<u8>;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(text: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(text: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::XzOptions::with_preset(0);
        let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstandard(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    fn utf_16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// Returns what can be read, and the error that ends it.
    fn read(raw: impl Into<Vec<u8>>) -> (Vec<u8>, Option<io::Error>) {
        let mut read = Vec::new();
        let error = text(Trickle(Cursor::new(raw.into())))
            .and_then(|mut text| text.read_to_end(&mut read))
            .err();
        (read, error)
    }

    fn text_of(raw: impl Into<Vec<u8>>) -> String {
        let (text, error) = read(raw);
        assert!(error.is_none(), "{error:?}");
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn each_compression_is_known_by_its_first_bytes_and_read_to_its_last_member() {
        for compress in [gzip as Compress, bzip2, xz, zstandard] {
            assert_eq!(text_of(compress(b"a line\n")), "a line\n");
            let members = [compress(b"one\n"), compress(b""), compress(b"two\nthree")];
            assert_eq!(text_of(members.concat()), "one\ntwo\nthree");
        }
    }

    #[test]
    fn frames_that_are_to_be_skipped_may_come_first() {
        let skipped = b"\x50\x2a\x4d\x18\x04\0\0\0abcd";
        let frames = [
            skipped,
            &zstandard(b"one\n")[..],
            skipped,
            &zstandard(b"two\n"),
        ]
        .concat();
        assert_eq!(text_of(frames), "one\ntwo\n");
    }

    #[test]
    fn text_is_text() {
        for text in ["", "a", "a line\n", "BZhost - -\n", "BMW.example\n"] {
            assert_eq!(text_of(text), text);
        }
    }

    #[test]
    fn utf_16_is_decoded() {
        let text = "192.0.2.1 \u{fc}\n";
        assert_eq!(text_of(utf_16(text)), text);
        assert_eq!(text_of(utf_16(&format!("\u{feff}{text}"))), text);
        let big_endian: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(text_of(big_endian.as_slice()), text);
        assert_eq!(text_of([b"\xfe\xff", &big_endian[..]].concat()), text);
        assert_eq!(text_of(gzip(&utf_16(text))), text);
    }

    #[test]
    fn what_is_not_read_is_named() {
        let tar = |mut header: Vec<u8>| {
            header.resize(257, 0);
            header.extend(b"ustar\x0000");
            header.resize(1_024, 0);
            header
        };
        for (raw, name) in [
            (b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(), "zip"),
            (b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "7z"),
            (b"\x1f\x9d\x90abc".to_vec(), "type Z"),
            (b"\x04\x22\x4d\x18\x64\x40".to_vec(), "lz4"),
            (tar(b"access.log".to_vec()), "tar"),
            (gzip(&tar(b"access.log".to_vec())), "tar"),
            (b"\xff\xfe\0\0a\0\0\0".to_vec(), "UTF-32"),
            (b"1\0\0\x009\0\0\0".to_vec(), "UTF-32"),
            (b"\0\0\x001\0\0\x009".to_vec(), "UTF-32"),
        ] {
            let (_, error) = read(raw);
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(name), "{name}: {error}");
            assert!(error.contains("expected text, plain or compressed by gzip"));
        }
    }

    #[test]
    fn what_is_before_a_damage_is_read() {
        // Random enough that the text does not fit into one block.
        let mut state = 1_u64;
        let text: Vec<u8> = (0..300_000)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                b'a' + (state >> 60) as u8
            })
            .collect();
        for compress in [gzip as Compress, bzip2, zstandard] {
            let mut cut = compress(&text);
            cut.truncate(cut.len() * 9 / 10);
            let (read, error) = read(cut);
            assert!(error.is_some_and(|error| !is_garbage(&error)));
            assert!(read.len() > 60_000, "{}", read.len());
            assert!(text.starts_with(&read));
        }
    }

    #[test]
    fn garbage_behind_a_member_loses_nothing() {
        for garbage in [&b"garbage"[..], b"\0\0x", b"a"] {
            let (text, error) = read([&gzip(b"one\n"), &gzip(b"two\n"), garbage].concat());
            assert_eq!(text, b"one\ntwo\n");
            assert!(error.is_some_and(|error| is_garbage(&error)));
        }
        let padded = [gzip(b"one\n"), vec![0; 70_000]].concat();
        assert_eq!(text_of(padded.as_slice()), "one\n");
        assert_eq!(text_of([padded, gzip(b"two\n")].concat()), "one\ntwo\n");
    }

    #[test]
    fn a_checksum_that_is_wrong_is_a_damage() {
        let mut wrong = gzip(b"a line\n");
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        let (text, error) = read(wrong);
        assert_eq!(text, b"a line\n");
        assert!(error.is_some_and(|error| !is_garbage(&error)));
    }
}
