//! How long an endpoint takes to its response heads: a peak-sensitive moving average in one word.

use std::time::Duration;

/// How fast the past is forgotten, in seconds: what lies so far back counts 1/e (ingress-nginx and Finagle have the same).
const DECAY: f32 = 10.0;

/// A mean in microseconds (upper half, an `f32`) and when it was taken, in milliseconds that wrap after 49 days (lower
/// half). All zero: nothing measured yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latency(pub(super) u64);

impl Latency {
    /// The mean after one more measurement. One above the mean is believed at once: an endpoint that becomes slow must
    /// not look fast until the mean has followed.
    pub(super) fn with(self, measured: Duration, now: u64) -> Latency {
        let measured = (measured.as_secs_f32() * 1e6).max(1.0);
        let mean = match self.mean() {
            Some(mean) if mean > measured => {
                let kept = self.kept(now);
                mean * kept + measured * (1.0 - kept)
            }
            _ => measured,
        };
        Latency::new(mean, now)
    }

    /// The mean after a failure: twice what it was, and no less than the failure took. What fails quickly must not look
    /// quick, and what goes on failing is asked less and less.
    pub(super) fn after_failure(self, measured: Duration, now: u64) -> Latency {
        let doubled = self.now(now).map_or(0.0, |mean| mean * 2.0).clamp(LEAST_AFTER_FAILURE, MOST_AFTER_FAILURE);
        Latency::new(doubled.max(measured.as_secs_f32() * 1e6), now)
    }

    /// The mean after an attempt that was given up after `waited`, before it had an answer: the endpoint takes no less.
    /// That it would have taken more is all that is known, so the mean never sinks. Nor is it known whether something was
    /// wrong: whoever leaves a long poll may have waited for minutes, so it counts ten seconds at most, as many failures in a
    /// row do.
    pub(super) fn at_least(self, waited: Duration, now: u64) -> Latency {
        let waited = (waited.as_secs_f32() * 1e6).min(MOST_AFTER_FAILURE);
        if self.now(now).is_some_and(|mean| mean >= waited) { self } else { Latency::new(waited.max(1.0), now) }
    }

    fn new(mean: f32, now: u64) -> Latency {
        Latency(u64::from(mean.to_bits()) << 32 | (now & LOW))
    }

    /// The mean as it was last taken, in microseconds.
    pub(super) fn mean(self) -> Option<f32> {
        (self.0 != 0).then(|| f32::from_bits((self.0 >> 32) as u32))
    }

    /// The mean, and what its age divides it by, so that an endpoint that nobody asks any more is asked again some time.
    pub(super) fn aged(self, now: u64) -> Option<Aged> {
        self.mean().map(|mean| Aged { mean, age: self.age(now) })
    }

    /// The mean with its age taken off.
    fn now(self, now: u64) -> Option<f32> {
        self.aged(now).map(|aged| aged.mean / aged.age)
    }

    /// What is left of the past after the time since then.
    fn kept(self, now: u64) -> f32 {
        1.0 / self.age(now)
    }

    /// What the past is divided by: e^x, by its first terms. It is within 4 % up to 10 s, and grows always. It lags behind e^x
    /// later, where more terms would cost a pick more than they are worth: one that comes back begins anew anyway.
    fn age(self, now: u64) -> f32 {
        // Another worker's clock may have been read a little later than ours.
        let age = (now as u32).wrapping_sub(self.0 as u32).cast_signed().max(0);
        let x = age as f32 * (1.0 / (DECAY * 1e3));
        // In an order in which a processor does most of it at the same time.
        (1.0 + x) + x * x * (0.5 + x * (1.0 / 6.0))
    }
}

/// A mean of some time ago. What counts is `mean / age`; whoever compares two need not divide.
#[derive(Clone, Copy, Debug)]
pub struct Aged {
    mean: f32,
    /// From 1 on.
    pub age: f32,
}

impl Aged {
    /// The mean, in microseconds, as often as there are requests.
    pub fn times(self, requests: f32) -> f32 {
        self.mean * requests
    }
}

/// What a failure counts at least, and what failures add up to at most that took less, in microseconds.
const LEAST_AFTER_FAILURE: f32 = 10e3;
const MOST_AFTER_FAILURE: f32 = 10e6;

const LOW: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_peak_is_taken_at_once_and_forgotten_slowly() {
        let calm = Latency::default().with(millis(2), 1_000);
        assert_eq!(calm.mean().map(f32::round), Some(2_000.0));
        let peak = calm.with(millis(50), 1_001);
        assert_eq!(peak.mean().map(f32::round), Some(50_000.0));
        let after_10s = peak.with(millis(2), 11_001).mean().unwrap();
        let due = 50_000.0 / std::f32::consts::E + 2_000.0 * (1.0 - 1.0 / std::f32::consts::E);
        assert!((after_10s / due - 1.0).abs() < 0.04, "{after_10s} for {due}");
    }

    #[test]
    fn many_quick_answers_bring_the_mean_down() {
        let mut latency = Latency::default().with(millis(100), 0);
        for ms in 0..60_000 {
            latency = latency.with(millis(1), ms);
        }
        assert!(latency.mean().unwrap() < 2_000.0, "{latency:?}");
    }

    #[test]
    fn nothing_measured_is_no_mean_and_an_old_one_counts_less_and_less() {
        assert_eq!(Latency::default().now(5), None);
        let latency = Latency::default().with(millis(8), 500);
        let seen: Vec<f32> = [500, 1_000, 10_500, 100_500].map(|now| latency.now(now).unwrap()).into();
        assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
        assert!((seen[2] / 8_000.0 - 1.0 / std::f32::consts::E).abs() < 0.02, "{seen:?}");
    }

    #[test]
    fn a_clock_that_was_read_earlier_makes_nothing_old() {
        let latency = Latency::default().with(millis(8), 1_000);
        assert_eq!(latency.now(998).map(f32::round), Some(8_000.0));
        assert_eq!(latency.with(millis(2), 998).mean().map(f32::round), Some(8_000.0));
    }

    #[test]
    fn failures_double_the_mean_up_to_ten_seconds() {
        let mut latency = Latency::default().with(millis(8), 0);
        let mut seen = Vec::new();
        for _ in 0..12 {
            latency = latency.after_failure(millis(1), 0);
            seen.push(latency.mean().unwrap() as u64 / 1_000);
        }
        assert_eq!(seen, [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 10_000, 10_000]);
        assert_eq!(Latency::default().after_failure(millis(1), 0).mean(), Some(10e3), "never measured is no excuse");
        let late = Latency::default().after_failure(Duration::from_secs(60), 0);
        assert_eq!(late.mean(), Some(60e6), "no less than it took");
    }

    #[test]
    fn what_was_given_up_raises_the_mean_and_never_lowers_it() {
        let latency = Latency::default().with(millis(8), 0);
        assert_eq!(latency.at_least(millis(2), 0), latency, "it may have taken 8");
        assert_eq!(latency.at_least(millis(500), 0).mean().map(f32::round), Some(500e3));
        assert_eq!(Latency::default().at_least(millis(500), 0).mean().map(f32::round), Some(500e3));
        assert_eq!(latency.at_least(Duration::from_secs(600), 0).mean(), Some(10e6), "ten seconds at most");
        let old = Latency::default().with(millis(500), 0);
        assert_eq!(old.at_least(millis(400), 0), old);
        assert_eq!(old.at_least(millis(400), 10_000).mean().map(f32::round), Some(400e3), "its age counts");
    }

    #[test]
    fn the_clock_may_wrap() {
        let latency = Latency::default().with(millis(8), u64::from(u32::MAX) - 100);
        let (just, later) =
            (latency.now(u64::from(u32::MAX)).unwrap(), latency.now(u64::from(u32::MAX) + 10_000).unwrap());
        assert!(just > 7_900.0 && later < 3_100.0, "{just} {later}");
    }
}
