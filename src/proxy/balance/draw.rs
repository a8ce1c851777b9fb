//! Algorithms that draw by weight: random, the better of two, and the better of two by latency.

use std::sync::atomic::Ordering;

use super::{Choice, in_flight, weight};
use crate::live::Endpoint;

/// So often a draw is repeated that fell on an endpoint which is not open.
const REDRAWN: usize = 32;
/// So often the second of two is drawn; if it is always the first again, the next one in order has to do.
const APART: usize = 4;

impl<const CLEAR: bool> Choice<'_, CLEAR> {
    /// Drawn by weight.
    pub(super) fn random(&self) -> Option<usize> {
        (0..REDRAWN)
            .map(|_| self.draw())
            .find(|&place| self.open(place).is_some())
            // Few are open: then from anywhere on, where a draw by weight would look as often at those that are not.
            .or_else(|| self.open_from(fastrand::usize(..self.set.candidates.len().max(1))))
    }

    /// Of two drawn by weight the one with fewer requests in flight for its weight: the second only if it has no more than
    /// the first once it has this one too. So idle endpoints get their shares, and a light one that is idle does not draw
    /// everything from a heavy one that is never.
    pub(super) fn random_two(&self) -> Option<usize> {
        self.better_of_two(|first, second| (in_flight(second) + 1) * weight(first) <= in_flight(first) * weight(second))
    }

    /// Of two drawn by weight the one that is likely to answer sooner: its mean latency times the requests that would be
    /// there for its weight. One that was not measured yet counts as quick as the other, so that it is not overrun. For a
    /// second that is lighter than the first, this request weighs more than it would there.
    pub(super) fn ewma(&self) -> Option<usize> {
        let now = self.live.millis(self.ask.now);
        self.better_of_two(|first, second| {
            let weight = |endpoint: &Endpoint| endpoint.weight.load(Ordering::Relaxed) as f32;
            let in_flight = |endpoint: &Endpoint| endpoint.in_flight.load(Ordering::Relaxed) as f32;
            let (a, b) = (weight(first), weight(second));
            // Both queues times both weights: requests wait for one of the full weight as long as for ten of a tenth.
            let first_queue = a * b + in_flight(first) * SCALE * b;
            let second_queue = a * b + (in_flight(second) * a + (a - b).max(0.0)) * SCALE;
            let latency = |endpoint: &Endpoint| match CLEAR {
                true => endpoint.latency_at(now),
                false => endpoint.latency_by(self.minded, now),
            };
            match (latency(first), latency(second)) {
                (Some(first), Some(second)) => {
                    second.times(second_queue) * first.age < first.times(first_queue) * second.age
                }
                _ => second_queue < first_queue,
            }
        })
    }

    /// Of two different ones drawn by weight the second if `is_better(first, second)`. The first if nothing else is open.
    fn better_of_two(&self, is_better: impl Fn(&Endpoint, &Endpoint) -> bool) -> Option<usize> {
        let first = self.random()?;
        let is_other = |place: &usize| *place != first && self.open(*place).is_some();
        let second = (0..APART).map(|_| self.draw()).find(is_other).or_else(|| self.from(first).find(is_other));
        let Some(second) = second else { return Some(first) };
        let (a, b) = (self.set.candidates.get(first)?, self.set.candidates.get(second)?);
        a.touch();
        b.touch();
        let is_better = is_better(a, b);
        // No branch: which of two is better cannot be foreseen.
        [first, second].get(usize::from(is_better)).copied()
    }

    /// A place drawn by weight, open or not.
    pub(super) fn draw(&self) -> usize {
        self.set.alias.place(fastrand::u64(..), self.set.candidates.len())
    }
}

/// Weights count in these parts of one.
const SCALE: f32 = crate::live::FULL as f32;
