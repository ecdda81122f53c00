//! The lines to copy: a limit for each key, and the response to each request.
//!
//! `cargo run --release --example quickstart`

use tollgate::{Quota, RateLimiter};

fn main() {
    // 100 requests a minute for each API key, at most 10 at once. Share it by `&` or `Arc`.
    let requests = RateLimiter::new(Quota::per_minute(100).burst(10));

    for number in 1..=12 {
        let decision = requests.check("key-of-alice");
        match decision.retry_after() {
            None => println!("request {number:2}: 200, {} left", decision.remaining()),
            Some(wait) => println!("request {number:2}: 429, retry after {wait:?}"),
        }
    }
    println!(
        "another key: {} left",
        requests.peek("key-of-bob").remaining()
    );

    // Ten turns a minute and sixty an hour for each user, as one decision.
    let turns = RateLimiter::new([Quota::per_minute(10), Quota::per_hour(60)]);
    let allowed = (0..100).filter(|_| turns.allow(&42)).count();
    let denied = turns.check(&42);
    println!(
        "turns: {allowed} allowed, then retry after {:?}",
        denied.retry_after()
    );
    println!(
        "the binding quota: {}",
        turns.policy().quotas()[denied.binding()]
    );

    // A background thread drops keys once their buckets are full again.
    println!("stored keys: {}", requests.len() + turns.len());
}
