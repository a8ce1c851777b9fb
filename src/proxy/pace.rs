//! How fast the body of an answer goes (`limit-rate` of ingress-nginx).
//!
//! At any time t after the head, at most `after + rate × (t + 1 s)` octets of the body were handed on: the first second's worth
//! goes at once, as nginx has it. Where the back end and the client keep up, it is less than that by a sixteenth of a second's
//! worth at most, and by what a timer is late, which is a few milliseconds.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::ir::Pace;

/// So much of a second's worth goes at a time, or what is left.
const PIECES: u64 = 16;
const SECOND: u128 = Duration::from_secs(1).as_nanos();

/// A body on its way out that may not go as fast as it could.
pub(super) struct Pacer {
    pace: Pace,
    began: Instant,
    /// Octets that went.
    gone: u64,
    held: VecDeque<Bytes>,
    held_octets: u64,
}

impl Pacer {
    /// Nothing went yet; its time begins `now`.
    pub(super) fn new(pace: Pace, now: Instant) -> Pacer {
        Pacer { pace, began: now, gone: 0, held: VecDeque::new(), held_octets: 0 }
    }

    /// Takes in what is to go.
    pub(super) fn hold(&mut self, data: Bytes) {
        self.held_octets += data.len() as u64;
        self.held.push_back(data);
    }

    /// Nothing waits to go.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What may go now: octets that stand together, at most `most`.
    pub(super) fn next(&mut self, now: Instant, most: usize) -> Option<Bytes> {
        let nanos = now.saturating_duration_since(self.began).as_nanos() + SECOND;
        let so_far = u128::from(self.pace.rate).saturating_mul(nanos) / SECOND + u128::from(self.pace.after);
        let may = usize::try_from(so_far.saturating_sub(u128::from(self.gone))).unwrap_or(usize::MAX).min(most);
        let front = self.held.front_mut()?;
        let data = front.split_to(may.min(front.len()));
        if front.is_empty() {
            self.held.pop_front();
        }
        self.gone += data.len() as u64;
        self.held_octets -= data.len() as u64;
        (!data.is_empty()).then_some(data)
    }

    /// When it is worth while to ask again.
    pub(super) fn due(&self) -> Instant {
        let piece = (self.pace.rate / PIECES).max(1).min(self.held_octets);
        let octets = u128::from((self.gone + piece).saturating_sub(self.pace.after));
        let nanos = (octets * SECOND).div_ceil(u128::from(self.pace.rate.max(1))).saturating_sub(SECOND);
        self.began + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX >> 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets that went after each time, in milliseconds, of a body that is all there.
    fn gone(pace: Pace, octets: usize, millis: &[u64]) -> Vec<u64> {
        let began = Instant::now();
        let mut pacer = Pacer::new(pace, began);
        pacer.hold(Bytes::from(vec![0; octets]));
        let at = |pacer: &mut Pacer, millis| {
            while pacer.next(began + Duration::from_millis(millis), 1000).is_some() {}
            pacer.gone
        };
        millis.iter().map(|millis| at(&mut pacer, *millis)).collect()
    }

    #[test]
    fn the_first_seconds_worth_and_what_is_free_go_at_once_and_the_rest_in_time() {
        let slow = Pace { rate: 16_000, after: 0 };
        assert_eq!(gone(slow, 100_000, &[0, 500, 1000, 1001, 5000]), [16_000, 24_000, 32_000, 32_016, 96_000]);
        assert_eq!(gone(Pace { after: 50_000, ..slow }, 100_000, &[0, 1000, 9000]), [66_000, 82_000, 100_000]);
        assert_eq!(gone(slow, 10, &[0]), [10]);
    }

    #[test]
    fn it_is_asked_again_when_a_piece_may_go_and_not_before() {
        let began = Instant::now();
        let mut pacer = Pacer::new(Pace { rate: 16_000, after: 0 }, began);
        pacer.hold(Bytes::from(vec![0; 17_100]));
        while pacer.next(began, 1 << 20).is_some() {}
        assert_eq!(pacer.due() - began, Duration::from_micros(62_500), "a sixteenth of a second's worth");
        assert_eq!(pacer.next(pacer.due(), 1 << 20).unwrap().len(), 1000);
        assert_eq!(pacer.due() - began, Duration::from_micros(62_500 + 6_250), "the rest is less than that");
        assert!(pacer.next(pacer.due() - Duration::from_nanos(1), 1 << 20).unwrap().len() < 100);
        assert!(!pacer.is_empty());
    }

    #[test]
    fn the_least_and_the_largest_rate_overflow_nothing() {
        for rate in [1, u64::from(u32::MAX) << 10] {
            let began = Instant::now();
            let mut pacer = Pacer::new(Pace { rate, after: u64::from(u32::MAX) << 10 }, began);
            pacer.gone = u64::MAX >> 1;
            pacer.hold(Bytes::from_static(b"abc"));
            assert!(pacer.next(began, 2).is_none());
            assert!(pacer.due() > began);
        }
    }
}
