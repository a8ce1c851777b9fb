//! Algorithms that go by turns: round robin, and least connections, whose ties the turn decides.

use std::iter;

use super::{Choice, in_flight, weight};

/// Up to so many candidates least connections looks at all of them.
const LOOK_AT_ALL: usize = 32;
/// Above that it looks at so many.
const DRAWN: usize = 8;
/// So many turns of endpoints that are not in use are passed over before one is drawn.
const PASSED: usize = 64;

impl<const CLEAR: bool> Choice<'_, CLEAR> {
    /// In turn, by weight where weights differ. Turns of endpoints that are not in use are used up, so that the others
    /// keep to their shares; else the next one in order would get two.
    pub(super) fn round_robin(&self) -> Option<usize> {
        let mut place = self.turn()?;
        for _ in 0..PASSED {
            if self.open(place).is_some() {
                return Some(place);
            }
            place = self.turn()?;
        }
        // A long row is set aside, such as a pool of nodes: the first one after it must not get the turns of all.
        self.random()
    }

    /// Least (in flight + 1) / weight. The endpoint whose turn it is gets the request if it is idle, so that requests one
    /// after the other visit every endpoint as its weight says; and of equal ones the first from there on. Among drawn ones
    /// the turn is the first draw, for the same reason.
    pub(super) fn least_conn(&self) -> Option<usize> {
        let start = self.round_robin()?;
        let endpoint = self.set.candidates.get(start)?;
        endpoint.touch();
        if in_flight(endpoint) == 0 {
            return Some(start);
        }
        if self.set.candidates.len() <= LOOK_AT_ALL {
            self.least(self.from(start))
        } else {
            self.least(iter::once(start).chain((1..DRAWN).map(|_| self.draw())))
        }
    }

    /// The least loaded of `places` that is open.
    fn least(&self, places: impl Iterator<Item = usize>) -> Option<usize> {
        let mut best: Option<(usize, u64, u64)> = None;
        for place in places {
            let Some(endpoint) = self.open(place) else { continue };
            let (load, weight) = (in_flight(endpoint) + 1, weight(endpoint));
            if best.is_none_or(|(_, least, of)| load * of < least * weight) {
                best = Some((place, load, weight));
            }
        }
        best.map(|(place, _, _)| place)
    }

    /// The place whose turn it is, open or not. Retries take no turn from the requests that come: where every other request
    /// is tried twice, one of two endpoints would get all first attempts.
    fn turn(&self) -> Option<usize> {
        let is_retry = !self.ask.tried.is_empty();
        let turn = if is_retry { fastrand::u32(..) } else { self.live.turn(self.ask.worker) } as usize;
        match turn.checked_rem(self.set.turns.len()) {
            Some(turn) => self.set.turns.get(turn).map(|&place| place as usize),
            None => turn.checked_rem(self.set.candidates.len()),
        }
    }
}
