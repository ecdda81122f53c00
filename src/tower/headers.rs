//! The header fields that tell a client where it stands.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sfv::{Integer, KeyRef, ListSerializer};

use crate::decision::{Decision, QuotaDecision};
use crate::policy::Policy;
use crate::tower::names::{self, Names};
use crate::tower::rejection::{Rejection, whole_seconds};

static LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
static IETF_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static IETF_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A version of the IETF's fields for rate limits, which is not a standard yet: each draft changes
/// what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IetfDraft {
    /// draft-ietf-httpapi-ratelimit-headers-11, of May 2026.
    ///
    /// `RateLimit-Policy` has each quota as it was set: its units `q`, and its period `w` in
    /// seconds if that is whole. `RateLimit` has the units `r` that each bucket holds, and in `t`
    /// the seconds to spread them over: those in which as many are earned, or in which the first
    /// one is if there are none, rounded up. Whoever uses them faster is not rejected for it, and
    /// may use what is earned meanwhile: a bucket has no window that ends. For a quota that has
    /// denied the request it is not longer than `Retry-After`.
    Draft11,
}

/// Which fields a layer writes of the decisions under a policy.
#[derive(Clone, Debug)]
pub(super) struct Fields<const N: usize> {
    pub(super) x_ratelimit: bool,
    /// The draft, and the field of it that is the same in every response.
    ietf: Option<(IetfDraft, HeaderValue)>,
    names: Names<N>,
    policy: Policy<N>,
}

impl<const N: usize> Fields<N> {
    pub(super) fn new(policy: &Policy<N>) -> Fields<N> {
        Fields {
            x_ratelimit: true,
            ietf: None,
            names: names::of_policy(policy),
            policy: *policy,
        }
    }

    pub(super) fn names(&self) -> &Names<N> {
        &self.names
    }

    pub(super) fn set_names(&mut self, names: Names<N>) {
        self.names = names;
        if let Some((draft, _)) = self.ietf {
            self.set_ietf(draft);
        }
    }

    pub(super) fn set_ietf(&mut self, draft: IetfDraft) {
        let field = match draft {
            IetfDraft::Draft11 => ietf_policy(&self.policy, &self.names),
        };
        self.ietf = field.map(|field| (draft, field));
    }

    /// What the response to a request is to carry.
    pub(super) fn of(&self, decision: &Decision<N>) -> Written {
        let x_ratelimit = self.x_ratelimit.then(|| XRateLimit {
            limit: decision.limit(),
            remaining: decision.remaining(),
            reset: whole_seconds(decision.reset_after()),
        });
        let ietf = self.ietf.as_ref().and_then(|(draft, policy)| match draft {
            IetfDraft::Draft11 => {
                let limit = ietf_limit(decision, &self.names)?;
                Some(Box::new([policy.clone(), limit]))
            }
        });
        Written { x_ratelimit, ietf }
    }
}

/// The fields of one response, as short as they wait for it.
#[derive(Debug)]
pub(super) struct Written {
    x_ratelimit: Option<XRateLimit>,
    /// The policy and the limit.
    ietf: Option<Box<[HeaderValue; 2]>>,
}

#[derive(Debug)]
struct XRateLimit {
    limit: u64,
    remaining: u64,
    reset: u64,
}

impl Written {
    /// Adds the fields to a response. Each kind is left as it is where any of it is there: whoever
    /// wrote that, such as a layer within, knows of a limit that stands nearer to the work.
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        if let Some(numbers) = self.x_ratelimit
            && !has_any(headers, [&LIMIT, &REMAINING, &RESET])
        {
            headers.insert(&LIMIT, digits(numbers.limit));
            headers.insert(&REMAINING, digits(numbers.remaining));
            headers.insert(&RESET, digits(numbers.reset));
        }
        if let Some(fields) = self.ietf
            && !has_any(headers, [&IETF_POLICY, &IETF_LIMIT])
        {
            let [policy, limit] = *fields;
            headers.insert(&IETF_POLICY, policy);
            headers.insert(&IETF_LIMIT, limit);
        }
    }
}

/// Adds to an answer when to retry, unless it says so.
pub(super) fn add_retry_after<const N: usize>(
    headers: &mut HeaderMap,
    rejection: &Rejection<'_, N>,
) {
    if let Some(seconds) = rejection.retry_after_seconds()
        && !headers.contains_key(header::RETRY_AFTER)
    {
        headers.insert(header::RETRY_AFTER, digits(seconds));
    }
}

/// Each name is compared and none hashed: responses have few headers, and most of them names that
/// are known to be others without a look at their letters.
fn has_any<const M: usize>(headers: &HeaderMap, names: [&HeaderName; M]) -> bool {
    headers.keys().any(|name| names.contains(&name))
}

/// A number as a value. Up to three digits are not allocated, which most of these numbers have.
fn digits(number: u64) -> HeaderValue {
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    let start = match number {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    let digits = DIGITS.get(index).map(|digits| &digits[start..]);
    match digits.map(std::str::from_utf8) {
        Some(Ok(digits)) => HeaderValue::from_static(digits),
        _ => HeaderValue::from(number),
    }
}

/// The numbers below 1,000, each of three digits.
static DIGITS: [[u8; 3]; 1_000] = {
    let mut numbers = [*b"000"; 1_000];
    let mut index = 1;
    while index < numbers.len() {
        let mut next = numbers[index - 1];
        let mut place = 2;
        while next[place] == b'9' {
            next[place] = b'0';
            place -= 1;
        }
        next[place] += 1;
        numbers[index] = next;
        index += 1;
    }
    numbers
};

/// `"minute";q=10;w=60, "hour";q=60;w=3600`
fn ietf_policy<const N: usize>(policy: &Policy<N>, names: &Names<N>) -> Option<HeaderValue> {
    const UNITS: &KeyRef = KeyRef::constant("q");
    const WINDOW: &KeyRef = KeyRef::constant("w");
    let mut list = ListSerializer::new();
    for (quota, name) in policy.quotas().iter().zip(names) {
        let item = list.bare_item(name.as_structured());
        let item = item.parameter(UNITS, integer(quota.units()));
        let period = quota.period();
        // The draft has no parts of a second.
        if period.subsec_nanos() == 0 {
            _ = item.parameter(WINDOW, integer(period.as_secs()));
        }
    }
    field(list)
}

/// `"minute";r=9;t=54, "hour";r=59;t=3540`
fn ietf_limit<const N: usize>(decision: &Decision<N>, names: &Names<N>) -> Option<HeaderValue> {
    const AVAILABLE: &KeyRef = KeyRef::constant("r");
    const WINDOW: &KeyRef = KeyRef::constant("t");
    let retry_after = decision.retry_after();
    let mut list = ListSerializer::new();
    for (quota, name) in decision.quotas().iter().zip(names) {
        let window = match (quota.retry_after(), retry_after) {
            // Whoever asked for more than there is may try again before that much is earned.
            (Some(_), Some(wait)) => effective_window(quota).min(wait),
            _ => effective_window(quota),
        };
        let item = list.bare_item(name.as_structured());
        _ = item
            .parameter(AVAILABLE, integer(quota.remaining()))
            .parameter(WINDOW, integer(whole_seconds(window)));
    }
    field(list)
}

/// The time in which the remaining units are earned: used over as long, they never run out. A full
/// bucket is thus not advertised as a burst that comes again at once.
fn effective_window(quota: &QuotaDecision) -> Duration {
    match quota.remaining() {
        0 => quota.available_after(1).unwrap_or_default(),
        remaining => quota.time_to_earn(remaining).unwrap_or_default(),
    }
}

/// An integer of a structured field has 15 digits at most.
fn integer(number: u64) -> Integer {
    Integer::try_from(number).unwrap_or(Integer::MAX)
}

fn field(list: ListSerializer<String>) -> Option<HeaderValue> {
    HeaderValue::try_from(list.finish()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_number() {
        for number in (0..2_000).chain([u64::MAX]) {
            assert_eq!(digits(number), number.to_string());
        }
    }
}
