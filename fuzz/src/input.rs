//! The input of the target `operations`: a policy or tiers, and operations under them.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use tollgate::Quota;

use crate::tiered_input::Tiers;

#[derive(Debug)]
pub enum Input {
    OnePolicy(OnePolicy),
    Tiers(Tiers),
}

#[derive(Debug)]
pub struct OnePolicy {
    /// Whether the clock steps back without a sweep before it.
    pub unforeseen: bool,
    pub first: Numbers,
    pub second: Option<Numbers>,
    pub operations: Vec<Operation>,
}

/// The numbers of a quota, which may be invalid.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    units: u64,
    period: Duration,
    burst: u64,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Operation {
    Check(Key, Amount),
    Advance(Step),
    Rewind(Step),
    Peek(Key, Amount),
    Forget(Key),
    Sweep,
    /// Forgets every key, one by one.
    Clear,
    /// Waits until every key's bucket is full, and sweeps.
    Settle,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Key(#[arbitrary(with = |u: &mut Unstructured| u.int_in_range(0..=2))] pub u8);

/// The number of units of a request.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Amount {
    Units(u8),
    /// The units in the bucket, or one off.
    Remaining(Off),
    /// The smaller burst, or one off.
    Burst(Off),
    Wide(#[arbitrary(with = wide)] u64),
}

/// How far time moves, in ns.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    Nanos(u8),
    /// The time that this number of units of the last quota takes, or 1 ns off.
    Units(u8, Off),
    /// The wait until the key may spend this amount, or 1 ns off.
    Retry(Key, Amount, Off),
    /// The wait until the key's bucket is full, or 1 ns off.
    Reset(Key, Off),
    /// The time until the end of the limiter's time, or 1 ns off.
    Horizon(Off),
    Wide(#[arbitrary(with = wide)] u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Off(#[arbitrary(with = |u: &mut Unstructured| u.int_in_range(-1..=1))] pub i64);

/// Returns a number of any magnitude, each as likely as any other.
pub(crate) fn wide(u: &mut Unstructured) -> Result<u64> {
    Ok(u64::arbitrary(u)? >> u.int_in_range(0..=63)?)
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Input> {
        let first = u8::arbitrary(u)?;
        if first & 2 != 0 {
            return Ok(Input::Tiers(u.arbitrary()?));
        }
        Ok(Input::OnePolicy(OnePolicy {
            unforeseen: first & 1 != 0,
            first: u.arbitrary()?,
            second: u.arbitrary()?,
            operations: operations(u)?,
        }))
    }
}

/// Returns at most 32 operations, so that no run takes long.
pub(crate) fn operations<'a, T: Arbitrary<'a>>(u: &mut Unstructured<'a>) -> Result<Vec<T>> {
    let mut operations = Vec::new();
    while !u.is_empty() && operations.len() < 32 {
        operations.push(u.arbitrary()?);
    }
    Ok(operations)
}

impl<'a> Arbitrary<'a> for Numbers {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Numbers> {
        const SECOND: u64 = 1_000_000_000;
        const PERIODS: [u64; 4] = [SECOND, 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND];
        let (units, nanos) = match u.int_in_range(0..=3)? {
            // Exact for every period.
            0 => (1, wide(u)?),
            1 => (u64::from(u16::arbitrary(u)?), *u.choose(&PERIODS)?),
            2 => (u64::from(u8::arbitrary(u)?), u64::from(u8::arbitrary(u)?)),
            _ => (wide(u)?, wide(u)?),
        };
        let burst = match u.int_in_range(0..=2)? {
            0 => units,
            1 => u64::from(u8::arbitrary(u)?),
            _ => wide(u)?,
        };
        Ok(Numbers {
            units,
            period: Duration::from_nanos(nanos),
            burst,
        })
    }
}

impl Numbers {
    /// Returns the quota, or the one with the largest valid burst if the burst is invalid. Returns
    /// `None` if the rate is invalid.
    pub(crate) fn quota(&self) -> Option<Quota> {
        let Numbers {
            units,
            period,
            burst,
        } = *self;
        let error = match Quota::new(units, period, burst) {
            Ok(quota) => return Some(quota),
            Err(error) => error.to_string(),
        };
        let accepted = |burst| Quota::new(units, period, burst).ok();
        let most = (0..64).rev().map(|bit| 1 << bit).fold(0, |most, bit| {
            if accepted(most | bit).is_some() {
                most | bit
            } else {
                most
            }
        });
        assert!(
            burst == 0 || burst > most,
            "accepts a burst of {most}, but: {error}"
        );
        let names_the_bound = error.ends_with(&format!("; expected at most {most}"));
        assert!(
            burst == 0 || names_the_bound == (most > 0),
            "accepts a burst of {most}, but: {error}"
        );
        accepted(most)
    }
}
