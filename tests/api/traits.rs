//! The traits of the public types. To lose one breaks callers.

use std::{
    cell::Cell,
    collections::hash_map,
    error::Error,
    fmt::{Debug, Display},
    hash::{BuildHasher, Hash, Hasher},
    panic::{RefUnwindSafe, UnwindSafe, catch_unwind},
    str::FromStr,
    sync::{Arc, LazyLock},
};

use tollgate::limit::{Checked, Immediate};
use tollgate::{
    Builder, Clock, Decision, DecisionRef, DecisionSource, InvalidQuota, InvalidTier, ManualClock,
    NamedTiers, Policy, Quota, QuotaDecision, RandomState, RateLimiter, Reload, Replacement,
    SeededHasher, Tier, TierId, TieredBuilder, TieredKey, TieredLimiter, UnknownTier,
};

fn crosses<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug + 'static>() {}

#[test]
fn everything_crosses_threads_and_unwinding() {
    crosses::<RateLimiter<String>>();
    crosses::<RateLimiter<u64, 3>>();
    crosses::<RateLimiter<Arc<str>, 2, hash_map::RandomState>>();
    crosses::<RateLimiter<&'static str>>();
    crosses::<Builder<String>>();
    crosses::<Builder<u64, 3, hash_map::RandomState>>();
    crosses::<Clock>();
    crosses::<ManualClock>();
    crosses::<Decision>();
    crosses::<Decision<4>>();
    crosses::<QuotaDecision>();
    crosses::<DecisionRef<'static>>();
    crosses::<DecisionSource>();
    crosses::<Immediate<Decision<2>>>();
    crosses::<Checked<Decision, Immediate<Decision>>>();
    crosses::<Quota>();
    crosses::<Policy>();
    crosses::<Policy<4>>();
    crosses::<InvalidQuota>();
    crosses::<RandomState>();
    crosses::<SeededHasher>();
    crosses::<TieredLimiter<String>>();
    crosses::<TieredLimiter<Arc<str>, 2, hash_map::RandomState>>();
    crosses::<TieredBuilder<String>>();
    crosses::<TieredBuilder<u64, 3, hash_map::RandomState>>();
    crosses::<Tier<String>>();
    crosses::<Tier<u64, 3, hash_map::RandomState>>();
    crosses::<TieredKey<String, 2>>();
    crosses::<NamedTiers<String, 4>>();
    crosses::<TierId>();
    crosses::<Reload<2>>();
    crosses::<Replacement<2>>();
    crosses::<InvalidTier>();
    crosses::<UnknownTier>();
}

/// Whether a type has a trait. The inherent constant is used where its bound holds, and the trait's
/// constant elsewhere.
macro_rules! has {
    ($type:ty: $bound:path) => {{
        #[allow(dead_code)]
        trait Hasnt {
            const HAS: bool = false;
        }
        impl<T> Hasnt for T {}
        struct Ask<T>(std::marker::PhantomData<T>);
        #[allow(dead_code)]
        impl<T: $bound> Ask<T> {
            const HAS: bool = true;
        }
        <Ask<$type>>::HAS
    }};
}

/// Any thread may drop a key. A key that is not `Send` does not compile.
#[test]
fn a_limiter_is_shared_between_threads_if_its_keys_are() {
    assert!(has!(RateLimiter<String>: Send) && has!(RateLimiter<String>: Sync));
    assert!(!has!(RateLimiter<Cell<u8>>: Sync));
    assert!(has!(TieredLimiter<String>: Sync) && has!(Tier<String>: Sync));
    assert!(!has!(TieredLimiter<Cell<u8>>: Sync) && !has!(Tier<Cell<u8>>: Sync));
}

/// A limiter is shared by reference or in an `Arc`. A clone would look like a second limiter.
#[test]
fn a_limiter_has_no_clone() {
    assert!(!has!(RateLimiter<String>: Clone) && !has!(TieredLimiter<String>: Clone));
    assert!(has!(ManualClock: Clone) && has!(Clock: Clone));
}

#[test]
fn values_are_copied_and_compared() {
    fn is_value<T: Copy + Eq + Display + FromStr<Err = InvalidQuota>>() {}
    fn is_answer<T: Copy + Eq>() {}
    fn is_error<T: Error + Clone + Eq>() {}
    fn is_default<T: Default>() {}
    fn is_hash<T: Hash>() {}
    fn makes<T: BuildHasher<Hasher = H> + Clone + Default, H: Hasher + Clone>() {}
    fn is_clock<T: Into<Clock>>() {}
    is_value::<Quota>();
    is_value::<Policy>();
    is_value::<Policy<4>>();
    is_answer::<Decision>();
    is_answer::<Decision<4>>();
    is_answer::<QuotaDecision>();
    is_answer::<TierId>();
    is_error::<InvalidQuota>();
    is_error::<InvalidTier>();
    is_error::<UnknownTier>();
    is_default::<Quota>();
    is_default::<Policy>();
    is_default::<Clock>();
    is_default::<ManualClock>();
    is_hash::<Quota>();
    is_hash::<Policy>();
    is_hash::<Policy<4>>();
    is_hash::<TierId>();
    is_hash::<Tier<String>>();
    makes::<RandomState, SeededHasher>();
    is_clock::<Clock>();
    is_clock::<ManualClock>();
}

#[test]
fn a_limiter_lives_in_a_static() {
    static REQUESTS: LazyLock<RateLimiter<String>> =
        LazyLock::new(|| RateLimiter::new(Quota::per_day(1).burst(2)));
    assert!(REQUESTS.allow("alice"));
    let from_a_thread = std::thread::spawn(|| REQUESTS.allow("alice")).join();
    assert!(from_a_thread.unwrap());
    assert!(!catch_unwind(|| REQUESTS.allow("alice")).unwrap());
}
