//! Judges what the nodes wrote: units over the bound, the longest check, and when the store was back in use.

use crate::node::{KEYS, Mode, NODES, RATE};
use crate::record::Record;
use crate::scenario::{Events, Loss, Scenario};

const SECOND: u64 = 1_000_000_000;

/// What separates two outages.
const PAUSE: u64 = SECOND / 4;

/// What a scenario gave under a mode.
pub struct Outcome {
    /// Units over b + t × rate, of the key with the most.
    pub over: u64,
    /// How many there may be, or `None` if nothing is promised. Under `Allow` it is what outages admitted.
    pub bound: Option<u64>,
    pub admitted: usize,
    pub admitted_in_outage: usize,
    pub undecided: usize,
    pub requests: usize,
    pub longest_ns: u64,
    pub stall_ns: u64,
    /// How long the store was away, if it was.
    pub away_ns: Option<u64>,
    /// From the return of the store until the last request without a decision, see [`back`].
    pub back_ns: Option<u64>,
}

impl Outcome {
    /// Judges the records of all nodes.
    pub fn of(scenario: Scenario, mode: Mode, records: &[Record], events: &Events) -> Outcome {
        let count = |is: fn(&Record) -> bool| records.iter().filter(|record| is(record)).count();
        let back_ns = events.returned.map(|returned| back(records, returned));
        let away_ns = events
            .returned
            .zip(events.began)
            .map(|(returned, began)| returned - began);
        let outage_ns = away_ns.zip(back_ns).map(|(away, back)| away + back);
        let keys = (0..KEYS).map(|key| {
            let of_key = records.iter().filter(|record| record.key == key);
            let of_key: Vec<Record> = of_key.copied().collect();
            let admitted = of_key.iter().filter(|record| record.end.is_admitted());
            let intervals: Vec<_> = admitted
                .map(|record| (record.sent, record.received))
                .collect();
            let over = over(&intervals, mode.burst(), events.drift_ns);
            (over, bound(scenario, mode, &of_key, events, outage_ns))
        });
        // Of the key that is the furthest beyond its bound.
        let beyond = |(over, bound): &(u64, Option<u64>)| {
            let bound = i128::from(bound.unwrap_or(0));
            (i128::from(*over) - bound, *over)
        };
        let (over, bound) = keys.max_by_key(beyond).unwrap();
        Outcome {
            over,
            bound,
            admitted: count(|record| record.end.is_admitted()),
            admitted_in_outage: count(|record| {
                record.end.is_admitted() && record.end.is_undecided()
            }),
            undecided: count(|record| record.end.is_undecided()),
            requests: records.len(),
            longest_ns: records
                .iter()
                .map(|record| record.received - record.sent)
                .max()
                .unwrap_or(0),
            stall_ns: events.stall_ns,
            away_ns,
            back_ns,
        }
    }

    pub fn is_within(&self) -> bool {
        self.bound.is_none_or(|bound| self.over <= bound)
    }
}

/// Returns the units over b + t × rate, in the worst stretch between any two admissions.
///
/// A unit was admitted at some time between `sent` and `received`. So all units whose interval lies in a stretch
/// were admitted in it, whatever the network did. The store counts by the wall clock, which may have drifted
/// from the clock of these times by `drift`, and ticks in µs.
pub fn over(intervals: &[(u64, u64)], burst: u64, drift: u64) -> u64 {
    let mut by_end = intervals.to_vec();
    by_end.sort_unstable_by_key(|(_, received)| *received);
    let mut most = 0;
    for (start, _) in intervals {
        let mut units = 0;
        for (sent, received) in &by_end {
            if sent >= start {
                units += 1;
                let time = received - start + drift + 1_000;
                let allowed = burst + time * RATE / SECOND;
                most = u64::max(most, u64::saturating_sub(units, allowed));
            }
        }
    }
    most
}

/// Returns how long after the return of the store a request was last without a decision.
///
/// A node without the store has such requests all the time. Those that come after a pause of [`PAUSE`] are of
/// something else: the machine stalled.
fn back(records: &[Record], returned: u64) -> u64 {
    let undecided = records.iter().filter(|record| record.end.is_undecided());
    let mut times: Vec<u64> = undecided.map(|record| record.received).collect();
    times.sort_unstable();
    let mut last = returned;
    for time in times.into_iter().filter(|time| *time > returned) {
        if time - last > PAUSE {
            break;
        }
        last = time;
    }
    last - returned
}

/// Returns how many units over b + t × rate a mode promises at most, or `None` if it promises nothing.
fn bound(
    scenario: Scenario,
    mode: Mode,
    of_key: &[Record],
    events: &Events,
    outage_ns: Option<u64>,
) -> Option<u64> {
    let lost = match scenario.loss() {
        Loss::Nothing => 0,
        // The bucket is full again.
        Loss::Everything => mode.burst(),
        // What the replica had not been sent: at most what was admitted in the last 100 ms.
        Loss::Lag => {
            let killed = events.began.unwrap();
            let late = killed.saturating_sub(SECOND / 10);
            let is_late = |record: &&Record| record.end.is_admitted() && record.received >= late;
            let before = |record: &&Record| record.sent <= killed;
            of_key.iter().filter(is_late).filter(before).count() as u64
        }
    };
    let in_outage = of_key
        .iter()
        .filter(|record| record.end.is_undecided() && record.end.is_admitted());
    let in_outage = in_outage.count() as u64;
    match mode {
        Mode::Window => None,
        Mode::Deny => Some(lost),
        // Without a limit: whatever outages admitted.
        Mode::Allow => Some(lost + in_outage),
        Mode::Local => {
            // The nodes return one after another: the first may spend what the store earned meanwhile, before
            // the others have charged their shares.
            let shares = outage_ns.map_or(in_outage, |outage| {
                let of_all = mode.burst() + (RATE * outage).div_ceil(SECOND);
                (u64::from(NODES - 1) * of_all).div_ceil(u64::from(NODES))
            });
            Some(lost + shares.min(in_outage))
        }
    }
}

/// Proves that the judge finds what is over, and nothing else.
///
/// # Panics
///
/// If it does not.
pub fn prove() {
    let burst = 20;
    let at_once = |n: usize| vec![(SECOND, SECOND + 100); n];
    assert_eq!(over(&at_once(20), burst, 0), 0);
    assert_eq!(over(&at_once(23), burst, 0), 3);
    // A burst, and each unit of the next second when it is earned. Then one too early.
    let gap = SECOND / RATE;
    let earned = |n: u64| (SECOND + n * gap, SECOND + n * gap + 100);
    let mut units = at_once(20);
    units.extend((1..=RATE).map(earned));
    assert_eq!(over(&units, burst, 0), 0);
    units.push(earned(RATE));
    assert_eq!(over(&units, burst, 0), 1);
    // Nothing is certain of units that were on their way for long.
    let slow = vec![(SECOND, 2 * SECOND); 70];
    assert_eq!(over(&slow, burst, 0), 0);
    // A stretch need not begin with the first unit.
    let mut late = vec![(0, 100)];
    late.extend(at_once(22));
    assert_eq!(over(&late, burst, 0), 2);
}
