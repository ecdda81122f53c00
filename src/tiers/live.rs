//! The policy of a tier, which can be replaced while checks read it.
//!
//! There are two copies. `replace` fills the idle one, publishes it, and then locks and releases every
//! shard once. A check reads the copy under the lock of its shard. So once `replace` has passed all
//! locks, no check reads the old copy any more, and the next `replace` may fill it. A check that locks
//! its shard later reads the new one.
//!
//! The cache of denied keys reads the policy under no lock. It compares the serial number before and
//! after, and does without what it read if the number has changed.

use std::array;

use super::quotas::SharedBucket;
use crate::arith::bucket::Bucket;
use crate::arith::evaluate::Buckets;
use crate::arith::state::{NO_QUOTA, QuotaId};
use crate::arith::terms::Terms;
use crate::policy::Policy;
use crate::quota::Quota;
use crate::sync::{AtomicU32, AtomicU64, OnceLock, Ordering, fence};

/// A policy as a tier has it.
#[derive(Clone, Copy)]
pub(crate) struct Placed<const N: usize> {
    pub(crate) terms: Terms<N>,
    /// The bucket of each quota of the policy, in its order.
    pub(crate) places: [u32; N],
    /// How many quotas there are.
    pub(crate) count: u16,
}

/// The order of a policy's quotas.
#[derive(Clone, Copy)]
pub(crate) struct Order<const N: usize> {
    /// The bucket of each.
    pub(crate) places: [u32; N],
    pub(crate) count: usize,
}

pub(crate) struct Live<const N: usize> {
    /// Twice a serial number that no other policy of the limiter has had, and which copy it is.
    current: AtomicU64,
    first: PolicyCopy<N>,
    /// Made by the first `replace`.
    second: OnceLock<Box<PolicyCopy<N>>>,
}

#[repr(C)]
struct PolicyCopy<const N: usize> {
    quotas: [AtomicU32; N],
    buckets: [SharedBucket; N],
    places: [AtomicU32; N],
    count: AtomicU32,
}

/// Which copy it is, and the number that says so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Serial(u64);

impl<const N: usize> Live<N> {
    pub(crate) fn new(policy: &Placed<N>, serial: u64) -> Live<N> {
        Live {
            current: AtomicU64::new(serial << 1),
            first: PolicyCopy::new(policy),
            second: OnceLock::new(),
        }
    }

    /// Returns the policy as it is now. The caller holds the lock of a shard, or that of the tier, until
    /// it has read what it needs.
    #[inline]
    pub(crate) fn read(&self) -> Reading<'_, N> {
        // Acquires what `publish` released, so that the copy is read as it was filled.
        let serial = Serial(self.current.load(Ordering::Acquire));
        let copy = self.copy(serial);
        Reading { serial, copy }
    }

    /// Reads the policy of this serial number without a lock: what decides a check. `None` if it is not the
    /// current policy. What is read from the `Reading` later is valid if the policy [is
    /// still](Live::is_still) the current one, and is not to be computed with before.
    #[inline]
    pub(crate) fn read_unlocked(&self, serial: Serial) -> Option<(Reading<'_, N>, [Bucket; N])> {
        let reading = self.read();
        if reading.serial != serial {
            return None;
        }
        let buckets = array::from_fn(|index| reading.bucket_for_check(index));
        self.is_still(serial).then_some((reading, buckets))
    }

    /// Whether all that was read of this policy is of no other.
    ///
    /// A thread that fills its copy again has published the other copy before, and then fenced
    /// ([`publish`](Live::publish)). If a word of that was read, the load below returns a later number.
    #[inline]
    pub(crate) fn is_still(&self, serial: Serial) -> bool {
        fence(Ordering::Acquire);
        self.current.load(Ordering::Relaxed) == serial.0
    }

    /// Makes a policy the current one. The caller holds the lock of the tier, and has passed the locks of
    /// all shards since the last call.
    pub(crate) fn publish(&self, policy: &Placed<N>, serial: u64) {
        let index = !self.current.load(Ordering::Relaxed) & 1;
        // Pairs with the fence in `is_still`: a thread that reads a word stored below also reads the number
        // published before this call.
        fence(Ordering::Release);
        match index {
            0 => self.first.store(policy),
            _ => self
                .second
                .get_or_init(|| Box::new(PolicyCopy::new(policy)))
                .store(policy),
        }
        self.current.store(serial << 1 | index, Ordering::Release);
    }

    #[inline]
    fn copy(&self, serial: Serial) -> &PolicyCopy<N> {
        if serial.0 & 1 == 0 {
            return &self.first;
        }
        // A number that names the second copy was published after it was made.
        self.second.get().map_or(&self.first, |copy| copy)
    }
}

impl<const N: usize> PolicyCopy<N> {
    fn new(policy: &Placed<N>) -> PolicyCopy<N> {
        let copy = PolicyCopy {
            quotas: array::from_fn(|_| AtomicU32::new(NO_QUOTA)),
            buckets: array::from_fn(|_| SharedBucket::new(Bucket::ABSENT)),
            places: array::from_fn(|_| AtomicU32::new(0)),
            count: AtomicU32::new(0),
        };
        copy.store(policy);
        copy
    }

    #[inline]
    fn order(&self) -> Order<N> {
        // One quota has the one bucket.
        if N == 1 {
            return Order {
                places: [0_u32; N],
                count: 1,
            };
        }
        let load = |place: &AtomicU32| place.load(Ordering::Relaxed);
        Order {
            places: self.places.each_ref().map(load),
            count: self.count.load(Ordering::Relaxed) as usize,
        }
    }

    fn store(&self, policy: &Placed<N>) {
        for (index, bucket) in self.buckets.iter().enumerate() {
            bucket.store(policy.terms.buckets[index]);
            self.quotas[index].store(policy.terms.quotas[index], Ordering::Relaxed);
            self.places[index].store(policy.places[index], Ordering::Relaxed);
        }
        self.count.store(u32::from(policy.count), Ordering::Relaxed);
    }
}

/// A policy that is read under a lock, or between two looks at its serial number.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a, const N: usize> {
    pub(crate) serial: Serial,
    copy: &'a PolicyCopy<N>,
}

impl<const N: usize> Reading<'_, N> {
    #[inline]
    pub(crate) fn quotas(&self) -> [QuotaId; N] {
        let quotas = self.copy.quotas.each_ref();
        quotas.map(|id| id.load(Ordering::Relaxed))
    }

    /// Returns the bucket at this index, as far as it decides a check.
    #[inline]
    pub(crate) fn bucket_for_check(&self, index: usize) -> Bucket {
        self.copy.buckets[index].load_for_check()
    }

    /// Returns the burst of this bucket, in units.
    #[inline]
    pub(crate) fn burst(&self, index: usize) -> u64 {
        self.copy.buckets[index].burst()
    }

    /// Returns the bucket at this index, as far as a view has of it.
    #[inline]
    pub(crate) fn bucket_for_view(&self, index: usize) -> Bucket {
        self.copy.buckets[index].load_for_view()
    }

    pub(crate) fn terms(&self) -> Terms<N> {
        Terms {
            quotas: self.quotas(),
            buckets: Buckets::new(self.copy.buckets.each_ref().map(SharedBucket::load)),
        }
    }

    #[inline]
    pub(crate) fn order(&self) -> Order<N> {
        self.copy.order()
    }

    pub(crate) fn policy(&self) -> Policy<N> {
        let (buckets, Order { places, count }) = (self.terms().buckets, self.order());
        let quotas = places.map(|place| {
            let (rate, burst) = buckets[place as usize].quota();
            Quota::of_bucket(rate, burst)
        });
        Policy::of_placed(&quotas, count)
    }
}

#[cfg(all(test, tollgate_loom))]
mod models {
    use std::sync::Arc;

    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    /// Returns a policy that differs from another in three numbers.
    fn policy(burst: u32) -> Placed<1> {
        let quota = Quota::per_hour(1).burst(u64::from(burst));
        Placed {
            terms: Terms {
                quotas: [burst],
                buckets: Buckets::new([quota.bucket()]),
            },
            places: [0],
            count: 1,
        }
    }

    /// The thread reads without a lock. It finds the first policy, or none.
    #[test]
    fn what_is_read_without_a_lock_is_of_one_policy() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(4);
        model.check(|| {
            let live = Arc::new(Live::new(&policy(1), 1));
            let reading = {
                let live = Arc::clone(&live);
                loom::thread::spawn(move || {
                    let Some((reading, [bucket])) = live.read_unlocked(Serial(2)) else {
                        return;
                    };
                    assert_eq!((bucket.burst, bucket.depth), (1, HOUR));
                    let [quota] = reading.quotas();
                    assert!(quota == 1 || !live.is_still(Serial(2)));
                })
            };
            live.publish(&policy(2), 2);
            live.publish(&policy(3), 3);
            reading.join().unwrap();
        });
    }
}
