//! The script: what the store does for one check, in one round trip and on one key.
//!
//! The value of a key is its time `t` and the debt of each quota at `t`, as doubles of 8 bytes. A key that
//! is absent has no debt. With `now` from the store's clock:
//!
//! 1. `elapsed = max(0, now - t)`, and `t = max(t, now)`. If `t` is more than a second ahead, the clock was
//!    set back, and `t = now`: otherwise the key would be denied until the clock has caught up.
//! 2. The debt of each quota is repaid by `elapsed`.
//! 3. The request is allowed if every bucket holds the units. Then the debts grow by their costs, and the
//!    value is set. A denial writes nothing, unless the clock was set back.
//!
//! A key expires one second after its longest debt is repaid. So it is absent only if it is full, also after
//! a step back of the clock by at most a second.
//!
//! Numbers are compared, added and multiplied, all below 2^53 (see `terms`). The one division is that of the
//! expiry, whose error is far below its second of slack.

use crate::terms::{TOLERANCE, Terms};

/// What the script does with the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Spends nothing.
    Peek,
    /// Spends them if every bucket holds them.
    Spend,
    /// Adds them to every debt, up to the burst: they were spent while the store was unavailable.
    Charge,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Peek => "peek",
            Mode::Spend => "spend",
            Mode::Charge => "charge",
        }
    }
}

/// What the script replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply<const N: usize> {
    pub(crate) is_allowed: bool,
    /// How far the store's clock is behind the time of the key, in µs.
    pub(crate) behind: u64,
    /// The debts after the request, in parts. Those behind the last quota are 0.
    pub(crate) debts: [u64; N],
}

/// Returns the text of the script.
///
/// `ARGV` has the mode, and for each quota: rate, depth, cost. Tests append the time in µs.
pub(crate) fn text() -> &'static str {
    r#"-- tollgate-redis 1: one check of a token bucket.
local argv = ARGV
local extra = (#argv - 1) % 3
local count = (#argv - 1 - extra) / 3
local now
if extra == 1 then
  now = tonumber(argv[#argv])
else
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local mode = argv[1]
local at, elapsed, held, set_back = now, 0, nil, false
local value = redis.call('GET', KEYS[1])
local layout = '<' .. string.rep('d', count + 1)
if value then
  if #value ~= 8 * (count + 1) then
    return redis.error_reply('TOLLGATE found a value of ' .. #value .. ' bytes, expected ' .. 8 * (count + 1))
  end
  held = {struct.unpack(layout, value)}
  at = held[1]
  if not (at >= 0 and at <= 9007199254740991) then
    return redis.error_reply('TOLLGATE found a value without a time')
  end
  at = math.ceil(at)
  elapsed = now - at
  set_back = elapsed < -1000000
  if elapsed < 0 then elapsed = 0 end
  if set_back or at < now then at = now end
end

local allowed = 1
local reply = {1, at - now}
for i = 1, count do
  local first = i * 3 - 1
  local depth = tonumber(argv[first + 1])
  local debt = 0
  if held then
    debt = held[i + 1]
    if not (debt >= 0 and debt <= depth) then
      return redis.error_reply('TOLLGATE found a value whose debt is out of range')
    end
    debt = math.ceil(debt) - elapsed * argv[first]
    if debt < 0 then debt = 0 end
  end
  reply[i + 2] = debt
  if debt + argv[first + 2] > depth then allowed = 0 end
end
reply[1] = allowed

local spends = mode == 'charge' or (mode == 'spend' and allowed == 1)
if spends or (set_back and mode == 'spend') then
  local longest = 0
  for i = 1, count do
    local first = i * 3 - 1
    local debt = reply[i + 2]
    if spends then
      debt = debt + argv[first + 2]
      local depth = tonumber(argv[first + 1])
      if debt > depth then debt = depth end
      reply[i + 2] = debt
    end
    local time = debt / argv[first]
    if time > longest then longest = time end
  end
  local expiry = string.format('%.0f', math.ceil((at - now + longest) / 1000) + 1000)
  redis.call('SET', KEYS[1], struct.pack(layout, at, unpack(reply, 3)), 'PX', expiry)
end
return reply
"#
}

/// Returns the arguments of the script for a request of `n` units.
pub(crate) fn arguments(mode: Mode, terms: &[Terms], n: u64) -> Vec<Argument> {
    let mut arguments = Vec::with_capacity(1 + 3 * terms.len());
    arguments.push(Argument::Text(mode.name()));
    for quota in terms {
        let numbers = [quota.rate, quota.depth, quota.cost(n)];
        arguments.extend(numbers.map(Argument::Number));
    }
    arguments
}

/// An argument of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    Text(&'static str),
    Number(u64),
}

impl<const N: usize> Reply<N> {
    /// Reads the integers that the script returned for `n` units, or `None` if they are not a reply.
    ///
    /// A denial lacks units in some bucket. Otherwise it would have no time to retry after.
    pub(crate) fn read(integers: &[i64], terms: &[Terms], n: u64) -> Option<Reply<N>> {
        let (&[allowed, behind], found) = integers.split_first_chunk()?;
        if found.len() != terms.len() || !(0..=1).contains(&allowed) {
            return None;
        }
        let behind = u64::try_from(behind)
            .ok()
            .filter(|behind| *behind <= TOLERANCE)?;
        let mut debts = [0; N];
        let places = debts.get_mut(..terms.len())?;
        for ((place, found), terms) in places.iter_mut().zip(found).zip(terms) {
            *place = u64::try_from(*found)
                .ok()
                .filter(|debt| *debt <= terms.depth)?;
        }
        let lacks = |(terms, debt): (&Terms, &u64)| terms.lacks(*debt, n);
        if allowed == 0 && !terms.iter().zip(&debts).any(lacks) {
            return None;
        }
        Some(Reply {
            is_allowed: allowed == 1,
            behind,
            debts,
        })
    }
}

#[cfg(test)]
mod tests {
    use tollgate::Policy;

    use super::*;

    fn terms() -> Vec<Terms> {
        let policy: Policy<2> = "10/minute; 60/hour".parse().unwrap();
        Terms::of(&policy).unwrap()
    }

    #[test]
    fn the_script_has_the_tolerance_of_the_terms() {
        assert!(text().contains(&format!("elapsed < -{TOLERANCE}\n")));
        assert!(text().contains(&format!("at <= {}", crate::terms::MAX)));
    }

    #[test]
    fn arguments_are_the_mode_and_three_numbers_for_each_quota() {
        let arguments = arguments(Mode::Spend, &terms(), 2);
        assert_eq!(arguments.len(), 7);
        assert_eq!(arguments[0], Argument::Text("spend"));
        let minute = [1, 60_000_000, 12_000_000].map(Argument::Number);
        assert_eq!(arguments[1..4], minute);
    }

    #[test]
    fn only_what_the_script_can_return_is_a_reply() {
        let read = |integers: &[i64]| Reply::<2>::read(integers, &terms(), 1);
        let reply = read(&[1, 5, 60_000_000, 0]).unwrap();
        assert_eq!(
            (reply.is_allowed, reply.behind, reply.debts),
            (true, 5, [60_000_000, 0])
        );
        assert!(read(&[0, 0, 54_000_001, 0]).is_some());
        for bad in [
            &[][..],
            &[1],
            &[1, 0],
            &[1, 0, 0],
            &[1, 0, 0, 0, 0],
            &[2, 0, 0, 0],
            &[0, 0, 54_000_000, 0],
            &[-1, 0, 0, 0],
            &[1, -1, 0, 0],
            &[1, 1_000_001, 0, 0],
            &[1, 0, -1, 0],
            &[1, 0, 60_000_001, 0],
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
