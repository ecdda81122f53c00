//! Counts the requests and denials of each client, exactly and in bounded memory.
//!
//! The counters of at most [`KEPT`] clients are in memory. When there are more, all are written to a
//! temporary file, in order of their keys: a *run*. At the end all runs are merged. A client that comes
//! back after its counters were written has several records, which are added up then.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;

use crate::key::Key;

/// How many clients have their counters in memory.
const KEPT: usize = 131_072;

/// How many runs there are before they are merged into one, as each is an open file.
const RUNS: usize = 64;

/// Counters of each client: its requests, and its denials by policy.
pub(crate) struct Clients {
    /// The most clients in memory.
    kept: usize,
    /// How many counters a client has.
    width: usize,
    /// Where the counters of a client are in `counters`.
    places: HashMap<Key, usize, RandomState>,
    counters: Vec<u64>,
    runs: Vec<File>,
}

impl Clients {
    pub(crate) fn new(policies: usize) -> Clients {
        Clients::keeping(KEPT, policies)
    }

    fn keeping(kept: usize, policies: usize) -> Clients {
        Clients {
            kept,
            width: 1 + policies,
            places: HashMap::default(),
            counters: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Counts a request of `key`, and the policies that denied it.
    ///
    /// # Errors
    ///
    /// If a temporary file cannot be written.
    pub(crate) fn count(
        &mut self,
        key: Key,
        is_denied: impl Iterator<Item = bool>,
    ) -> io::Result<()> {
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                if self.places.len() == self.kept {
                    self.write_run()?;
                }
                let place = self.counters.len();
                self.counters.resize(place + self.width, 0);
                self.places.insert(key, place);
                place
            }
        };
        let counters = &mut self.counters[place..][..self.width];
        counters[0] += 1;
        for (counter, is_denied) in counters[1..].iter_mut().zip(is_denied) {
            *counter += u64::from(is_denied);
        }
        Ok(())
    }

    /// Calls `each` once for each client, in no particular order, with its requests and its denials
    /// by policy.
    ///
    /// # Errors
    ///
    /// If a temporary file cannot be read or written.
    pub(crate) fn for_each(mut self, mut each: impl FnMut(&Key, u64, &[u64])) -> io::Result<()> {
        if self.runs.is_empty() {
            for (key, place) in &self.places {
                let counters = &self.counters[*place..][..self.width];
                each(key, counters[0], &counters[1..]);
            }
            return Ok(());
        }
        self.write_run()?;
        merge(&mut self.runs, self.width, |record| {
            each(
                &decode(&record.key),
                record.counters[0],
                &record.counters[1..],
            );
            Ok(())
        })
    }

    /// Writes all counters to a new run, and forgets them.
    fn write_run(&mut self) -> io::Result<()> {
        let mut sorted: Vec<_> = self
            .places
            .drain()
            .map(|(key, place)| (encode(&key), place))
            .collect();
        sorted.sort_unstable();
        let mut run = BufWriter::new(temporary_file()?);
        for (key, place) in sorted {
            write_record(&mut run, &key, &self.counters[place..][..self.width])?;
        }
        self.counters.clear();
        self.runs.push(run.into_inner()?);
        if self.runs.len() == RUNS {
            let mut merged = BufWriter::new(temporary_file()?);
            merge(&mut self.runs, self.width, |record| {
                write_record(&mut merged, &record.key, &record.counters)
            })?;
            self.runs = vec![merged.into_inner()?];
        }
        Ok(())
    }
}

fn temporary_file() -> io::Result<File> {
    tempfile::tempfile().map_err(|error| {
        let folder = std::env::temp_dir();
        let text = format!(
            "a temporary file for the counts of clients, in {}: {error}",
            folder.display()
        );
        io::Error::new(error.kind(), text)
    })
}

/// The counters of a client in a run. Its key is encoded.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    key: Vec<u8>,
    counters: Vec<u64>,
}

/// Calls `each` for all records of all runs, in order of their keys. Those of one key are one record.
fn merge(
    runs: &mut [File],
    width: usize,
    mut each: impl FnMut(&Record) -> io::Result<()>,
) -> io::Result<()> {
    let mut readers = Vec::new();
    for run in runs {
        run.rewind()?;
        readers.push(BufReader::new(run));
    }
    let mut heads = BinaryHeap::new();
    for (index, reader) in readers.iter_mut().enumerate() {
        let record = read_record(reader, width)?;
        heads.extend(record.map(|record| Reverse((record, index))));
    }
    let mut current: Option<Record> = None;
    while let Some(Reverse((record, index))) = heads.pop() {
        let next = read_record(&mut readers[index], width)?;
        heads.extend(next.map(|next| Reverse((next, index))));
        match &mut current {
            Some(current) if current.key == record.key => {
                for (sum, counter) in current.counters.iter_mut().zip(record.counters) {
                    *sum += counter;
                }
            }
            _ => {
                if let Some(done) = current.replace(record) {
                    each(&done)?;
                }
            }
        }
    }
    current.map_or(Ok(()), |last| each(&last))
}

fn write_record(run: &mut impl Write, key: &[u8], counters: &[u64]) -> io::Result<()> {
    run.write_all(&(key.len() as u64).to_le_bytes())?;
    run.write_all(key)?;
    counters
        .iter()
        .try_for_each(|counter| run.write_all(&counter.to_le_bytes()))
}

/// Returns the next record of a run, or `None` at its end.
fn read_record(run: &mut impl Read, width: usize) -> io::Result<Option<Record>> {
    let length = match read_u64(run) {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut key = Vec::new();
    run.take(length).read_to_end(&mut key)?;
    let counters = (0..width)
        .map(|_| read_u64(run))
        .collect::<Result<_, _>>()?;
    Ok(Some(Record { key, counters }))
}

fn read_u64(run: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    run.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The first byte of a text's encoding. That of an address is a number of bytes.
const TEXT: u8 = 0;

fn encode(key: &Key) -> Vec<u8> {
    match key {
        Key::Address(IpAddr::V4(address)) => [&[4], &address.octets()[..]].concat(),
        Key::Address(IpAddr::V6(address)) => [&[16], &address.octets()[..]].concat(),
        Key::Text(text) => [&[TEXT], text.as_bytes()].concat(),
    }
}

/// Returns the key whose encoding this is.
fn decode(key: &[u8]) -> Key {
    let (kind, rest) = key.split_first().unwrap_or((&TEXT, &[]));
    if let (4, Ok(octets)) = (kind, <[u8; 4]>::try_from(rest)) {
        return Key::Address(Ipv4Addr::from(octets).into());
    }
    if let (16, Ok(octets)) = (kind, <[u8; 16]>::try_from(rest)) {
        return Key::Address(Ipv6Addr::from(octets).into());
    }
    Key::Text(String::from_utf8_lossy(rest).into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn keys() -> Vec<Key> {
        let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::", "4.4.4.4", "::"];
        let texts = ["", "a", "ab", "\u{4}\u{4}\u{4}\u{4}\u{4}", "\u{fc}"];
        let addresses = addresses.map(|address| Key::Address(address.parse().unwrap()));
        let texts = texts.map(|text| Key::Text(text.into()));
        addresses.into_iter().chain(texts).collect()
    }

    /// Counts 1,000 requests, of which the first policy denies every third and the second none.
    fn counted(kept: usize) -> BTreeMap<Key, (u64, Vec<u64>)> {
        let mut clients = Clients::keeping(kept, 2);
        let keys = keys();
        for request in 0..1_000 {
            let key = keys[request * request % 7 % keys.len() + request % 4].clone();
            let denied = [request % 3 == 0, false];
            clients.count(key, denied.into_iter()).unwrap();
        }
        let mut counted = BTreeMap::new();
        clients
            .for_each(|key, requests, denied| {
                let again = counted.insert(key.clone(), (requests, denied.to_vec()));
                assert_eq!(again, None, "each client comes once");
            })
            .unwrap();
        counted
    }

    #[test]
    fn the_counts_do_not_depend_on_how_many_clients_are_in_memory() {
        let all = counted(1_000);
        assert_eq!(
            all.values().map(|(requests, _)| requests).sum::<u64>(),
            1_000
        );
        assert_eq!(all.values().map(|(_, denied)| denied[0]).sum::<u64>(), 334);
        assert_eq!(all.values().map(|(_, denied)| denied[1]).sum::<u64>(), 0);
        // One client in memory makes more runs than may be open.
        for kept in [1, 2, 3, 5, 9] {
            assert_eq!(counted(kept), all, "{kept}");
        }
    }

    #[test]
    fn few_clients_are_in_memory_and_few_files_are_open() {
        let mut clients = Clients::keeping(2, 0);
        for number in 0..1_000_u32 {
            let key = Key::Address(Ipv4Addr::from(number).into());
            clients.count(key, std::iter::empty()).unwrap();
            assert!(clients.places.len() <= 2 && clients.runs.len() < RUNS);
        }
        assert_eq!(Clients::new(0).kept, KEPT);
    }

    #[test]
    fn every_key_survives_its_encoding() {
        for key in keys() {
            assert_eq!(decode(&encode(&key)), key);
        }
    }
}
