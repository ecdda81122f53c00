//! Tiers, and operations under them.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::input::{Amount, Key, Numbers, Off, operations, wide};

#[derive(Debug)]
pub struct Tiers {
    /// How many buckets a key has: 1 to 3.
    pub room: u8,
    pub first: Vec<Numbers>,
    pub others: Vec<Vec<Numbers>>,
    pub operations: Vec<Operation>,
}

#[derive(Arbitrary, Clone, Debug)]
pub enum Operation {
    Check(Key, Tier, Amount),
    Peek(Key, Tier, Amount),
    Advance(Step),
    Rewind(Step),
    Replace(Tier, #[arbitrary(with = numbers)] Vec<Numbers>),
    Forget(Key),
    Sweep,
    /// Drops the handle to a tier, and makes a tier of another policy.
    Drop(Tier, #[arbitrary(with = numbers)] Vec<Numbers>),
}

/// A tier, modulo how many there are.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Tier(#[arbitrary(with = |u: &mut Unstructured| u.int_in_range(0..=4))] pub u8);

/// How far time moves, in ns.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    Nanos(u8),
    /// The time that this number of units of the tier's first quota takes, or 1 ns off.
    Units(Tier, u8, Off),
    /// The wait until the key may spend this amount, or 1 ns off.
    Retry(Key, Tier, Amount, Off),
    /// The wait until the key's buckets of the tier are full, or 1 ns off.
    Reset(Key, Tier, Off),
    /// The time until the end of the limiter's time, or 1 ns off.
    Horizon(Off),
    Wide(#[arbitrary(with = wide)] u64),
}

/// Returns one to three quotas.
fn numbers(u: &mut Unstructured) -> Result<Vec<Numbers>> {
    let count = u.int_in_range(1..=3)?;
    (0..count).map(|_| u.arbitrary()).collect()
}

impl<'a> Arbitrary<'a> for Tiers {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Tiers> {
        let room = u.int_in_range(1..=3)?;
        let first = numbers(u)?;
        let others = u.int_in_range(1..=4)?;
        Ok(Tiers {
            room,
            first,
            others: (0..others).map(|_| numbers(u)).collect::<Result<_>>()?,
            operations: operations(u)?,
        })
    }
}
