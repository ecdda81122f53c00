//! Laws T1 to T7, of policies that change.
//!
//! 1. T1: a debt is carried in units, whatever the order of moves.
//! 2. T2: never over, by the policies that a key was checked under.
//! 3. T3: a denial or a peek spends nothing, and breaks no earlier promise.
//! 4. T4: a denial makes no wait longer.
//! 5. T5: the period of a quota decides which bucket it has.
//! 6. T6: a policy is replaced as a key's tier is changed.
//! 7. T7: an unknown name is an error.

/// Calls a check in a limiter that has room for this many quotas, from 1 to 3.
macro_rules! with_room {
    ($room:expr, $check:ident($($argument:expr),*)) => {
        match $room {
            1 => $check::<1>($($argument),*)?,
            2 => $check::<2>($($argument),*)?,
            _ => $check::<3>($($argument),*)?,
        }
    };
}

mod bounds;
mod buckets;
mod model;
mod moves;
mod promises;
mod replaced;
mod subject;
