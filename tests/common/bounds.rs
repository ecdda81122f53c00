//! Law T2: how much a key may be admitted under policies that change.

use num_bigint::BigInt;
use tollgate::Quota;

use super::tiers::{Terms, is_modelled};

/// A check of one unit or more.
#[derive(Clone, Debug)]
pub struct Checked {
    pub at: u64,
    pub terms: Terms,
    pub admitted: u64,
}

/// Returns the first bucket, and the first stretch of time from check to check, in which more was admitted
/// than the largest burst, and the largest rate of the quotas that it was checked under.
pub fn first_excess(room: usize, history: &[Checked]) -> Option<(usize, u64, u64)> {
    (0..room).find_map(|bucket| {
        let of_bucket = history.iter().filter_map(|checked| {
            let quota = checked.terms.iter().find(|(_, of)| *of == bucket)?.0;
            Some((checked.at, quota, checked.admitted))
        });
        let of_bucket: Vec<_> = of_bucket.collect();
        let mut excess = (0..of_bucket.len()).filter_map(|from| excess_from(&of_bucket[from..]));
        excess.next().map(|(from, to)| (bucket, from, to))
    })
}

fn excess_from(checks: &[(u64, Quota, u64)]) -> Option<(u64, u64)> {
    let (from, mut last, _) = checks[0];
    let (mut burst, mut fastest) = (0, last);
    let (mut admitted, mut changes, mut is_exact) = (BigInt::ZERO, 0_u64, true);
    for (at, quota, n) in checks {
        burst = burst.max(quota.burst_size());
        if is_faster(quota, &fastest) {
            fastest = *quota;
        }
        changes += u64::from(*quota != last);
        last = *quota;
        is_exact &= is_modelled(quota);
        admitted += *n;
        // Where an axis is not exact: 1 ns, and one more for each change.
        let slack = if is_exact { 0 } else { 1 + changes };
        let period = fastest.period().as_nanos();
        let most = BigInt::from(burst) * period
            + BigInt::from(fastest.units()) * (BigInt::from(at - from) + slack);
        if &admitted * period > most {
            return Some((from, *at));
        }
    }
    None
}

/// Whether the rate of a quota is higher than that of another.
pub fn is_faster(one: &Quota, other: &Quota) -> bool {
    BigInt::from(one.units()) * other.period().as_nanos()
        > BigInt::from(other.units()) * one.period().as_nanos()
}
