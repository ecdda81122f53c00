//! The response header fields of a limit.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sfv::{Integer, KeyRef, ListSerializer};

use crate::decision::{DecisionRef, QuotaDecision, whole_seconds};
use crate::quota::Quota;
use crate::tower::error::InvalidSetting;
use crate::tower::names::{self, Name};

static LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
static IETF_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static IETF_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A version of the IETF's header fields for rate limits. They are not a standard yet, and each draft
/// changes their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IetfDraft {
    /// draft-ietf-httpapi-ratelimit-headers-11, of May 2026.
    ///
    /// `RateLimit-Policy` has each quota as it was set: its units `q`, and its period `w` in seconds
    /// if that is whole.
    ///
    /// `RateLimit` has for each quota:
    ///
    /// - `r`: the units available now.
    /// - `t`: the seconds in which `r` units are earned (or the next unit, if `r` is 0), rounded up.
    ///   For a quota that denied the request it is at most `Retry-After`.
    ///
    /// A client that spends `r` faster is not rejected for it, and may also spend what is earned
    /// meanwhile: a bucket has no window that ends.
    Draft11,
}

/// Writes the response header fields for decisions, in a layer or in a handler without one.
///
/// The fields are `Retry-After` on a denial that a wait ends, `X-RateLimit-Limit`,
/// `X-RateLimit-Remaining` and `X-RateLimit-Reset`, and the [IETF's](RateLimitHeaders::ietf_fields) if
/// set.
///
/// ```
/// use http::{Request, Response};
/// use tollgate::tower::{Head, JsonResponse, RateLimitHeaders, Rejection, RejectionResponse};
/// use tollgate::{ManualClock, Quota, RateLimiter};
///
/// let quota = Quota::per_minute(60).burst(1);
/// let limiter = RateLimiter::builder(quota).clock(ManualClock::new()).build();
/// let headers = RateLimitHeaders::new(limiter.policy().quotas());
///
/// // A handler that limits by itself.
/// let handle = |request: Request<()>| -> Response<String> {
///     let decision = limiter.check("alice");
///     let mut response = if decision.is_allowed() {
///         Response::new("done".to_owned())
///     } else {
///         let head = Head::from(&request);
///         JsonResponse.respond(&Rejection::new(&head, decision.as_ref(), 1, &headers))
///     };
///     headers.insert_into(response.headers_mut(), decision.as_ref());
///     response
/// };
/// assert_eq!(handle(Request::new(())).headers()["x-ratelimit-remaining"], "0");
/// let rejected = handle(Request::new(()));
/// assert_eq!((rejected.status().as_u16(), &rejected.headers()["retry-after"]), (429, &"1".parse()?));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Debug)]
pub struct RateLimitHeaders {
    has_x_ratelimit: bool,
    /// The draft, and its field that is the same in every response.
    ietf: Option<(IetfDraft, HeaderValue)>,
    names: Vec<Name>,
    quotas: Vec<Quota>,
}

impl RateLimitHeaders {
    /// Returns the default fields for decisions under these quotas.
    #[must_use]
    pub fn new(quotas: &[Quota]) -> RateLimitHeaders {
        RateLimitHeaders {
            has_x_ratelimit: true,
            ietf: None,
            names: names::from_quotas(quotas),
            quotas: quotas.to_vec(),
        }
    }

    /// Leaves out `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    #[must_use]
    pub fn without_x_ratelimit(mut self) -> RateLimitHeaders {
        self.remove_x_ratelimit();
        self
    }

    /// Adds the fields `RateLimit-Policy` and `RateLimit` of this draft.
    #[must_use]
    pub fn ietf_fields(mut self, draft: IetfDraft) -> RateLimitHeaders {
        self.set_ietf(draft);
        self
    }

    /// Names the quotas, in the order of the policy, in the IETF's fields and in
    /// [`ProblemResponse`](super::ProblemResponse).
    ///
    /// By default a quota has the name of its period: `minute`, `7 days`. Quotas of equal periods have
    /// their text: `100/minute burst 10`.
    ///
    /// # Errors
    ///
    /// If there are not as many names as quotas. If a name is empty, occurs twice, or has a character
    /// that is not printable ASCII.
    pub fn quota_names<T>(
        mut self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<RateLimitHeaders, InvalidSetting>
    where
        T: Into<String>,
    {
        let names = names.into_iter().map(Into::into).collect();
        self.set_names(names)?;
        Ok(self)
    }

    /// Inserts the fields of a decision into the headers of a response.
    ///
    /// Each kind of field is left as it is if the headers have any field of that kind: a layer within
    /// wrote it, whose limit is nearer to the work.
    pub fn insert_into(&self, headers: &mut HeaderMap, decision: DecisionRef<'_>) {
        insert_retry_after(headers, decision.retry_after_seconds());
        self.for_decision(decision)
            .prepare(decision)
            .add_to(headers);
    }

    /// Returns the same fields with the names of a decision's own quotas.
    ///
    /// They differ only under a [tier](crate::Tier) that has other quotas than these fields were made for.
    /// Its quotas have the default names.
    #[must_use]
    #[inline]
    pub fn for_decision(&self, decision: DecisionRef<'_>) -> Cow<'_, RateLimitHeaders> {
        // The names of an allowed request are in the fields of the IETF alone.
        let needs_names = self.ietf.is_some() || !decision.is_allowed();
        if decision.tier().is_none() || !needs_names {
            return Cow::Borrowed(self);
        }
        self.for_tier(decision)
    }

    #[inline(never)]
    fn for_tier(&self, decision: DecisionRef<'_>) -> Cow<'_, RateLimitHeaders> {
        let quotas = decision.quotas().iter().map(QuotaDecision::quota);
        if quotas.clone().eq(self.quotas.iter().copied()) {
            return Cow::Borrowed(self);
        }
        let mut of_tier = RateLimitHeaders::new(&quotas.collect::<Vec<_>>());
        of_tier.has_x_ratelimit = self.has_x_ratelimit;
        if let Some((draft, _)) = self.ietf {
            of_tier.set_ietf(draft);
        }
        Cow::Owned(of_tier)
    }

    pub(super) fn remove_x_ratelimit(&mut self) {
        self.has_x_ratelimit = false;
    }

    pub(super) fn set_ietf(&mut self, draft: IetfDraft) {
        let field = match draft {
            IetfDraft::Draft11 => ietf_policy(&self.quotas, &self.names),
        };
        self.ietf = field.map(|field| (draft, field));
    }

    pub(super) fn set_names(&mut self, names: Vec<String>) -> Result<(), InvalidSetting> {
        self.names = names::chosen(names, self.quotas.len())?;
        if let Some((draft, _)) = self.ietf {
            self.set_ietf(draft);
        }
        Ok(())
    }

    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    /// Returns what the response to a request will carry, which may come much later.
    #[inline]
    pub(super) fn prepare(&self, decision: DecisionRef<'_>) -> Prepared {
        let x_ratelimit = self.has_x_ratelimit.then(|| XRateLimit {
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
        Prepared { x_ratelimit, ietf }
    }
}

/// The fields of one response, in the fewest bytes while they wait for it.
#[derive(Debug)]
pub(super) struct Prepared {
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

impl Prepared {
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

/// Inserts `Retry-After` if a wait of so many seconds helps, and if it is not there.
pub(super) fn insert_retry_after(headers: &mut HeaderMap, seconds: Option<u64>) {
    if let Some(seconds) = seconds
        && !headers.contains_key(header::RETRY_AFTER)
    {
        headers.insert(header::RETRY_AFTER, digits(seconds));
    }
}

/// Compares each name and hashes none: responses have few headers, and most names differ in their
/// length or in their first letters.
fn has_any<const M: usize>(headers: &HeaderMap, names: [&HeaderName; M]) -> bool {
    headers.keys().any(|name| names.contains(&name))
}

/// Returns a number as a value. One of at most three digits, as most of these have, is not allocated.
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

/// Returns `"minute";q=10;w=60, "hour";q=60;w=3600`.
fn ietf_policy(quotas: &[Quota], names: &[Name]) -> Option<HeaderValue> {
    const UNITS: &KeyRef = KeyRef::constant("q");
    const WINDOW: &KeyRef = KeyRef::constant("w");
    let mut list = ListSerializer::new();
    for (quota, name) in quotas.iter().zip(names) {
        let item = list.bare_item(name.as_structured());
        let item = item.parameter(UNITS, integer(quota.units()));
        let period = quota.period();
        // The draft has no fractions of a second.
        if period.subsec_nanos() == 0 {
            _ = item.parameter(WINDOW, integer(period.as_secs()));
        }
    }
    field(list)
}

/// Returns `"minute";r=9;t=54, "hour";r=59;t=3540`.
fn ietf_limit(decision: DecisionRef<'_>, names: &[Name]) -> Option<HeaderValue> {
    const AVAILABLE: &KeyRef = KeyRef::constant("r");
    const WINDOW: &KeyRef = KeyRef::constant("t");
    let retry_after = decision.retry_after();
    let mut list = ListSerializer::new();
    for (quota, name) in decision.quotas().iter().zip(names) {
        let window = match (quota.retry_after(), retry_after) {
            // A client that requested more than there is may try again before that much is earned.
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

/// Returns the time in which the remaining units are earned. Spent over this time, they never run
/// out. So a full bucket is not advertised as a burst that is there again at once.
fn effective_window(quota: &QuotaDecision) -> Duration {
    let window = match quota.remaining() {
        0 => quota.available_after(1),
        remaining => quota.time_to_earn(remaining),
    };
    window.unwrap_or_default()
}

/// An integer of a structured field has at most 15 digits.
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
