//! Laws T1 to T7, of policies that change.
//!
//! 1. T1: a debt is carried in units, whatever the order of moves.
//! 2. T2: never over, by the policies that a key was checked under.
//! 3. T3: a denial or a peek spends nothing, and breaks no earlier promise.
//! 4. T4: a denial makes no wait longer.
//! 5. T5: the period of a quota decides which bucket it has.
//! 6. T6: a policy is replaced as a key's tier is changed.
//! 7. T7: an unknown name is an error.

mod bounds;
mod buckets;
mod model;
mod moves;
mod promises;
mod replaced;
mod subject;
