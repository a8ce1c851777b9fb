//! What is thought of an endpoint, and the rules by which that changes. Pure: state and time are arguments.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Taken out of use because of what became of requests.
pub const EJECTED: u32 = 1;
/// Taken out of use because a check says so.
pub const UNHEALTHY: u32 = 2;
/// One request is under way that decides whether the endpoint comes back.
pub const PROBING: u32 = 4;
/// Requests failed in a row, and it stays in use: no more may be ejected.
pub const FAILING: u32 = 8;
/// Whatever takes an endpoint out of use.
pub const ASIDE: u32 = EJECTED | UNHEALTHY;
/// Whatever is thought of an endpoint.
pub const TROUBLE: u32 = ASIDE | FAILING;

/// What is thought of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// In use.
    Ready,
    /// In use though requests failed in a row: no more may be ejected.
    Failing,
    /// Requests failed in a row.
    Ejected,
    /// Checks failed in a row.
    Unhealthy,
}

impl Standing {
    /// What the bits say; checks ask on purpose, so their word is the one that is shown.
    pub(super) fn of(bits: u32) -> Standing {
        if bits & UNHEALTHY != 0 {
            Standing::Unhealthy
        } else if bits & EJECTED != 0 {
            Standing::Ejected
        } else if bits & FAILING != 0 {
            Standing::Failing
        } else {
            Standing::Ready
        }
    }

    /// The word of the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Ready => "ready",
            Standing::Failing => "failing",
            Standing::Ejected => "ejected",
            Standing::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong with an attempt at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection.
    Connect,
    /// What answers does not speak HTTP.
    NotHttp,
    /// The connection broke before a response head.
    Reset,
    /// A status from 500 to 599.
    Status,
    /// No response head in time.
    Timeout,
}

impl Fault {
    const ALL: [Fault; 5] = [Fault::Connect, Fault::Reset, Fault::Timeout, Fault::NotHttp, Fault::Status];

    fn bit(self) -> u32 {
        match self {
            Fault::NotHttp => 1 << 27,
            Fault::Connect => 1 << 28,
            Fault::Reset => 1 << 29,
            Fault::Status => 1 << 30,
            Fault::Timeout => 1 << 31,
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Fault::Connect => "connect failures",
            Fault::NotHttp => "answers that are no HTTP",
            Fault::Reset => "resets",
            Fault::Status => "answers of 5xx",
            Fault::Timeout => "time-outs",
        }
    }
}

/// Failures in a row: how many, and of which kinds. A success makes it zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run(pub(super) u32);

impl Run {
    const COUNT: u32 = (1 << 27) - 1;

    /// One more.
    pub(super) fn with(self, fault: Fault) -> Run {
        let count = (self.count() + 1).min(Self::COUNT);
        Run(self.0 & !Self::COUNT | fault.bit() | count)
    }

    /// How many.
    pub(super) fn count(self) -> u32 {
        self.0 & Self::COUNT
    }
}

impl fmt::Display for Run {
    /// `5 connect failures`, or `5 failures: resets, time-outs`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds = Fault::ALL.into_iter().filter(|fault| self.0 & fault.bit() != 0).map(Fault::plural);
        let (first, second) = (kinds.next().unwrap_or("failures"), kinds.next());
        match (self.count(), second) {
            (1, None) if first == Fault::Status.plural() => f.write_str("an answer of 5xx"),
            (1, None) if first == Fault::NotHttp.plural() => f.write_str("an answer that is no HTTP"),
            (1, None) => f.write_str(first.strip_suffix('s').unwrap_or(first)),
            (count, None) => write!(f, "{count} {first}"),
            (count, Some(second)) => {
                write!(f, "{count} failures: {first}, {second}")?;
                kinds.try_for_each(|kind| write!(f, ", {kind}"))
            }
        }
    }
}

/// What is remembered of an endpoint that was set aside or failing once.
#[derive(Clone, Debug)]
pub struct History {
    /// When it was set aside or taken back the last time.
    pub since: Instant,
    /// Why.
    pub reason: Arc<str>,
    /// Since when it was failing the last time it was, and why.
    pub(super) failing: Option<(Instant, Arc<str>)>,
    /// Ejections, and how long it was in use between the last of them and `since`: see [`forgiven`].
    pub(super) ejections: u32,
    pub(super) in_use: Duration,
}

impl History {
    /// How long it was in use since the last ejection, when the bits of its standing were `bits` from `since` to `now`.
    pub(super) fn in_use(&self, bits: u32, now: Instant) -> Duration {
        let last = if bits & ASIDE == 0 { now.saturating_duration_since(self.since) } else { Duration::ZERO };
        self.in_use + last
    }
}

/// No ejection is longer, unless the first one is.
const LONGEST: Duration = Duration::from_secs(300);

/// How long the ejection lasts that comes after `before` others: each doubles the one before.
pub(super) fn ejection(first: Duration, before: u32) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
    doubled.min(LONGEST).max(first)
}

/// What is left of `ejections` after a time in use: as long in use as the last ejection lasted forgives that one, then the
/// one before. So an endpoint that comes back for good is soon as good as new, and one that is away most of the time goes
/// away for longer and longer.
pub(super) fn forgiven(first: Duration, ejections: u32, in_use: Duration) -> u32 {
    let (mut left, mut time) = (ejections, in_use);
    while left > 0 {
        let Some(rest) = time.checked_sub(ejection(first, left - 1)) else { break };
        (left, time) = (left - 1, rest);
    }
    left
}

/// How many failures in a row eject an endpoint: half as many where an ejection is not forgiven yet. One that fails only now
/// and then has long rows seldom, and would be back in use most of the time.
pub(super) fn most_failures(consecutive: u32, unforgiven: u32) -> u32 {
    let consecutive = consecutive.max(1);
    if unforgiven == 0 { consecutive } else { consecutive.div_ceil(2) }
}

/// Whether an endpoint may be ejected when then `aside` of `candidates` are set aside: at most `percent` of them, but one in
/// any case unless that is 0, and never the only one.
pub(super) fn may_eject(candidates: usize, aside: usize, percent: u8) -> bool {
    candidates > 1 && percent > 0 && (aside <= 1 || aside * 100 <= candidates * usize::from(percent))
}

/// So many endpoints in use are enough for a zone, whatever others there are; else a third of all, those included that are
/// elsewhere and set aside.
const ENOUGH: usize = 3;

/// Whether requests stay in our zone, of whose `ours` endpoints `in_use` are in use, where `others` are elsewhere. A zone with
/// few would be overrun, and one of which most is set aside is left.
pub(super) fn stays_in_zone(ours: usize, in_use: usize, others: usize) -> bool {
    let is_enough = in_use >= ENOUGH || in_use > 0 && 3 * in_use >= in_use + others;
    is_enough && 2 * in_use >= ours
}

/// Whether so few of `candidates` are in use that all are used: fewer than `percent`, or none.
pub(super) fn is_panic(candidates: usize, aside: usize, percent: u8) -> bool {
    let in_use = candidates.saturating_sub(aside);
    in_use == 0 || in_use * 100 < candidates * usize::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn each_ejection_doubles_the_one_before_up_to_five_minutes() {
        let lengths: Vec<u64> = (0..8).map(|before| ejection(TEN, before).as_secs()).collect();
        assert_eq!(lengths, [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(ejection(TEN, u32::MAX), LONGEST);
        assert_eq!(ejection(Duration::from_secs(600), 3).as_secs(), 600, "a longer first one is meant");
    }

    #[test]
    fn time_in_use_forgives_one_ejection_after_the_other() {
        let left = |seconds| forgiven(TEN, 3, Duration::from_secs(seconds));
        assert_eq!([0, 39, 40, 59, 60, 69, 70, 9_999].map(left), [3, 3, 2, 2, 1, 1, 0, 0]);
        assert_eq!(forgiven(Duration::ZERO, 3, Duration::ZERO), 0, "an ejection of no time is forgiven at once");
    }

    #[test]
    fn an_endpoint_that_came_back_has_half_the_credit_until_it_is_forgiven() {
        assert_eq!([0, 1, 2, 3, 5].map(|consecutive| most_failures(consecutive, 0)), [1, 1, 2, 3, 5]);
        assert_eq!([0, 1, 2, 3, 5].map(|consecutive| most_failures(consecutive, 1)), [1, 1, 1, 2, 3]);
    }

    #[test]
    fn only_a_share_may_be_ejected_and_never_the_only_one() {
        let most =
            |candidates: usize, percent| (1..=candidates).take_while(|&n| may_eject(candidates, n, percent)).count();
        assert_eq!([1, 2, 3, 4, 10].map(|n| most(n, 50)), [0, 1, 1, 2, 5]);
        assert_eq!([1, 2, 10].map(|n| most(n, 100)), [0, 2, 10]);
        assert_eq!([1, 2, 10].map(|n| most(n, 0)), [0, 0, 0]);
        assert_eq!([1, 2, 9, 10, 19, 20].map(|n| most(n, 10)), [0, 1, 1, 1, 1, 2], "a small share is one at least");
    }

    #[test]
    fn a_zone_keeps_its_requests_while_enough_of_it_is_in_use() {
        let stays = stays_in_zone;
        assert_eq!([stays(1, 1, 2), stays(1, 1, 3), stays(2, 2, 5), stays(3, 3, 90)], [true, false, false, true]);
        assert_eq!([stays(6, 3, 6), stays(8, 3, 8), stays(3, 2, 3), stays(3, 1, 3)], [true, false, true, false]);
        assert_eq!([stays(1, 0, 0), stays(1, 0, 5), stays(0, 0, 3), stays(2, 2, 0)], [false, false, false, true]);
    }

    #[test]
    fn fewer_in_use_than_the_threshold_is_panic_and_none_always() {
        let first = |candidates, percent| (0..=candidates).find(|&aside| is_panic(candidates, aside, percent));
        assert_eq!(
            [(10, 50), (3, 50), (10, 0), (10, 100), (1, 0)].map(|(n, p)| first(n, p)),
            [6, 2, 10, 1, 1].map(Some)
        );
    }

    #[test]
    fn a_run_counts_and_says_what_it_was() {
        let run = |faults: &[Fault]| faults.iter().fold(Run::default(), |run, &fault| run.with(fault));
        assert_eq!(run(&[]).count(), 0);
        assert_eq!(run(&[Fault::Connect; 5]).to_string(), "5 connect failures");
        assert_eq!(run(&[Fault::Connect]).to_string(), "connect failure");
        assert_eq!(run(&[Fault::Status]).to_string(), "an answer of 5xx");
        assert_eq!(run(&[Fault::NotHttp]).to_string(), "an answer that is no HTTP");
        let mixed = run(&[Fault::Timeout, Fault::Reset, Fault::Timeout]);
        assert_eq!((mixed.count(), mixed.to_string()), (3, "3 failures: resets, time-outs".to_owned()));
        let full = Run(Run::COUNT).with(Fault::Reset);
        assert_eq!((full.count(), full.0 >> 28), (Run::COUNT, 2), "it stays full");
    }

    #[test]
    fn what_checks_say_is_shown_first() {
        let shown = [0, PROBING, EJECTED, EJECTED | PROBING, UNHEALTHY, ASIDE].map(|bits| Standing::of(bits).as_str());
        assert_eq!(shown, ["ready", "ready", "ejected", "ejected", "unhealthy", "unhealthy"]);
    }
}
