//! The laws as properties, over the whole parameter space, against an exact oracle.
//!
//! 1. Never over: in any stretch of time t at most burst + t * rate units.
//! 2. No drift: exact where a unit takes whole ns, else less than 1 ns away, for a century.
//! 3. `retry_after` is tight.
//! 4. `remaining` is exact.
//! 5. `reset_after` is exact.
//! 6. A denial spends nothing, stores no key and changes nothing.
//! 7. All or nothing, over several quotas, in any order.
//! 8. Forgetting is invisible.
//! 9. Time that stands still or steps back admits nothing extra and locks no key out.
//! 10. No panic and no overflow, and debug and release builds decide alike.
//!
//! `tiers.rs` has laws T1 to T7, of policies that change.
//!
//! `planted.py` plants bugs against each law, and sees its property fail.

#[path = "../common/core.rs"]
mod common;

mod any_input;
mod one_quota;
mod several_quotas;
mod subject;
mod tiers;
mod time;
