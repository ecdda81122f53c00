//! A server that replies anything.

use std::time::Duration;

use arbitrary::Arbitrary;
use redis::Value;
use tollgate::Quota;
use tollgate_redis::SharedLimiter;

use super::{TOLERANCE, depth, parts, read, store};

/// What the server replies to a script.
#[derive(Arbitrary, Debug)]
pub(super) enum Reply {
    Integers(Vec<i64>),
    Text(Vec<u8>),
    Error(u8),
    Nil,
    /// The reply of a script, before the debts.
    Debts(bool, u32, [u64; 3]),
    Silence,
}

/// Checks while the server replies anything, and once it works again.
pub(super) async fn check(limiter: &SharedLimiter<3>, replies: &[Reply]) {
    let probe = || tokio::time::sleep(Duration::from_secs(1));
    let quotas = limiter.policy().quotas();
    for (check, reply) in replies.iter().enumerate().take(16) {
        let n = (check as u64) % 3;
        let reply = reply.value(quotas);
        // The script is not asked for more than a burst.
        let exceeds = quotas.iter().any(|quota| n > quota.burst_size());
        let sent = if exceeds { 0 } else { n };
        let expected = reply
            .as_ref()
            .and_then(|reply| outcome(quotas, reply, sent));
        store::set_reply(Some(reply));
        // The breaker lets one request through.
        probe().await;
        match limiter.check_n(&0_u8, n).await {
            Ok(decision) => {
                read(&decision);
                assert_eq!(
                    Some(decision.is_allowed()),
                    expected.map(|is| is && !exceeds)
                );
            }
            Err(outage) => {
                assert_eq!(expected, None, "{outage}");
                assert!(outage.is_allowed() && outage.was_asked(), "{outage}");
            }
        }
    }
    store::set_reply(None);
    probe().await;
    assert!(
        limiter
            .check(&1_u8)
            .await
            .is_ok_and(|decision| decision.is_allowed())
    );
    assert!(limiter.health().outage.is_none());
}

/// Returns what a reply of the script to a request of `n` units says, or `None` if it is none.
fn outcome(quotas: &[Quota], reply: &Value, n: u64) -> Option<bool> {
    let Value::Array(values) = reply else {
        return None;
    };
    let integer = |value: &Value| match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    let numbers: Vec<u64> = values.iter().map(integer).collect::<Option<_>>()?;
    let (&[allowed, behind], debts) = numbers.split_first_chunk()?;
    let are_debts = debts.len() == quotas.len()
        && debts
            .iter()
            .zip(quotas)
            .all(|(debt, quota)| *debt <= depth(quota));
    let lacks = |(debt, quota): (&u64, &Quota)| {
        u128::from(*debt) + u128::from(n) * parts(quota) > depth(quota).into()
    };
    let is_denial = debts.iter().zip(quotas).any(lacks);
    (allowed <= 1 && (allowed == 1 || is_denial) && behind <= TOLERANCE && are_debts)
        .then_some(allowed == 1)
}

impl Reply {
    /// Returns the reply, or `None` for silence.
    fn value(&self, quotas: &[Quota]) -> Option<Value> {
        const ERRORS: [&str; 12] = [
            "ERR",
            "OOM command not allowed",
            "READONLY",
            "LOADING",
            "NOSCRIPT",
            "MOVED 1 127.0.0.1:1",
            "ASK 1 127.0.0.1:1",
            "TRYAGAIN",
            "CLUSTERDOWN",
            "WRONGTYPE",
            "TOLLGATE",
            "NOAUTH",
        ];
        let array =
            |integers: Vec<i64>| Value::Array(integers.into_iter().map(Value::Int).collect());
        Some(match self {
            Reply::Integers(integers) => array(integers.clone()),
            Reply::Text(bytes) => Value::BulkString(bytes.clone()),
            Reply::Error(index) => store::server_error(ERRORS[usize::from(*index) % ERRORS.len()]),
            Reply::Nil => Value::Nil,
            Reply::Debts(allowed, behind, debts) => {
                // One beyond the depth at most.
                let debts = debts
                    .iter()
                    .zip(quotas)
                    .map(|(debt, quota)| debt % (depth(quota) + 2));
                let behind = u64::from(*behind) % (TOLERANCE + 2);
                let numbers = [u64::from(*allowed), behind].into_iter().chain(debts);
                array(numbers.map(|number| number as i64).collect())
            }
            Reply::Silence => return None,
        })
    }
}
