//! What a node writes down, and the clock that all processes of the machine share.

use std::{fs, path::Path, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Admitted,
    Denied,
    DeniedByCache,
    /// Without a decision.
    AdmittedInOutage,
    DeniedInOutage,
}

/// A request of a node. Times are ns of the monotonic clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub key: u32,
    pub end: End,
    pub sent: u64,
    pub received: u64,
}

const ENDS: [End; 5] = [
    End::Admitted,
    End::Denied,
    End::DeniedByCache,
    End::AdmittedInOutage,
    End::DeniedInOutage,
];

/// The bytes of a record.
const LENGTH: usize = 24;

impl End {
    pub fn is_admitted(self) -> bool {
        matches!(self, End::Admitted | End::AdmittedInOutage)
    }

    pub fn is_undecided(self) -> bool {
        matches!(self, End::AdmittedInOutage | End::DeniedInOutage)
    }
}

impl Record {
    pub fn bytes(&self) -> [u8; LENGTH] {
        let end = ENDS.iter().position(|end| *end == self.end).unwrap();
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&self.key.to_le_bytes());
        bytes[4..8].copy_from_slice(&(end as u32).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sent.to_le_bytes());
        bytes[16..].copy_from_slice(&self.received.to_le_bytes());
        bytes
    }

    /// Reads what a node wrote. A killed node may have left half a record, of a request that it did not answer.
    pub fn read_all(path: &Path) -> Vec<Record> {
        let bytes = fs::read(path).unwrap();
        let small = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        let large = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let records = bytes.chunks_exact(LENGTH).map(|record| Record {
            key: small(&record[..4]),
            end: ENDS[small(&record[4..8]) as usize],
            sent: large(&record[8..16]),
            received: large(&record[16..]),
        });
        records.collect()
    }
}

/// Returns the ns of the monotonic clock.
pub fn now() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Returns how far the wall clock, which is the store's, is ahead of the monotonic clock, in ns.
pub fn wall() -> i128 {
    // The largest of several: a thread may lose its core between the two readings, which makes it less.
    let difference = |_| i128::from(nanos(ClockId::Realtime)) - i128::from(now());
    (0..20).map(difference).max().unwrap()
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let time = Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    time.as_nanos() as u64
}
