//! Algorithms that keep a text or an address at its endpoint: consistent hashing with bounded loads (V. Mirrokni,
//! M. Thorup, M. Zadimoghaddam, 2016), and hash subsets.

use std::cell::OnceCell;

use smallvec::SmallVec;

use super::{Ask, Choice, in_flight, weight};
use crate::ir::{Algorithm, Template};
use crate::live::{self, Backend, Endpoint, Key};
use crate::table::BackendRef;

/// So many requests for each that would be due by weight an endpoint may have, before it passes on the keys that it owns.
const BOUND: (u64, u64) = (5, 4);
/// What is added to a bound to round it up always.
const WHOLE: u64 = 1 << 32;
/// So long a chain of owners is followed.
const CHAIN: usize = 32;

/// Where a request is counted if the algorithm asks for those in flight at the whole backend.
pub(super) fn total<'a>(algorithm: &Algorithm, backend: &'a BackendRef, ask: &Ask<'_>) -> Option<(&'a Backend, usize)> {
    matches!(algorithm, Algorithm::IpHash | Algorithm::Hash(_)).then_some((&*backend.live, ask.worker))
}

/// A key is a hash already.
pub(super) fn of_key(key: &Key) -> u64 {
    u64::from_be_bytes(key.first_chunk().copied().unwrap_or_default())
}

impl<const CLEAR: bool> Choice<'_, CLEAR> {
    /// The owner of the text. If that cannot be taken, the next of a chain that depends on nothing but the text: the keys
    /// of an endpoint that is away go to all others, and come back with it. Without a text as least connections.
    pub(super) fn hashed(&self, by: Option<&Template>) -> Option<usize> {
        let Some(hash) = (self.ask.hash)(by) else { return self.least_conn() };
        // With the requests of this worker alone the bound is only lower. Those of the others count where that is not enough.
        let own = self.bound(self.live.counted_by(self.ask.worker));
        let all = OnceCell::new();
        let lately = || self.bound(self.live.counted_lately(self.ask.worker, self.ask.now));
        let has_room = |place: usize, up: u64| {
            self.open(place).is_some_and(|endpoint| {
                endpoint.touch();
                own.has_room(endpoint, up) || all.get_or_init(lately).has_room(endpoint, up)
            })
        };
        let (mut chain, mut place) = (hash, self.owner(hash)?);
        for _ in 0..CHAIN {
            // Each text rounds the bound in its own way, by those bits that do not say who the owner is: so all texts
            // together give an endpoint what is due.
            if has_room(place, 1 + chain % WHOLE) {
                return Some(place);
            }
            chain = live::next(chain);
            place = self.owner(chain)?;
        }
        // Nearly all are full or away: one at least is not, since the bound is above the mean of all that are there now.
        let now = self.bound(self.live.counted());
        let has_room = |place: &usize| self.open(*place).is_some_and(|endpoint| now.has_room(endpoint, WHOLE));
        self.from(place).find(has_room).or_else(|| self.open_from(place))
    }

    /// One of the first `size` owners of the text's chain: different ones where all weigh the same. Else a heavy one may
    /// stand there several times, so that it gets what is due to its weight.
    pub(super) fn subset(&self, by: &Template, size: usize) -> Option<usize> {
        let Some(hash) = (self.ask.hash)(Some(by)) else { return self.least_conn() };
        if size >= self.set.candidates.len() && self.set.turns.is_empty() {
            return self.random();
        }
        let mut group: SmallVec<[usize; 8]> = SmallVec::new();
        let mut chain = hash;
        let is_even = self.set.turns.is_empty();
        for _ in 0..CHAIN + 4 * size {
            let place = self.owner(chain)?;
            if !is_even || !group.contains(&place) {
                group.push(place);
            }
            if group.len() >= size.max(1) {
                break;
            }
            chain = live::next(chain);
        }
        if !CLEAR {
            group.retain(|place| self.open(*place).is_some());
        }
        if !group.is_empty() {
            return group.get(fastrand::usize(..group.len())).copied();
        }
        self.on_chain(chain)
    }

    /// The first of the chain that is open.
    pub(super) fn on_chain(&self, mut chain: u64) -> Option<usize> {
        let mut place = self.owner(chain)?;
        for _ in 0..CHAIN {
            if self.open(place).is_some() {
                return Some(place);
            }
            chain = live::next(chain);
            place = self.owner(chain)?;
        }
        self.open_from(place)
    }

    fn owner(&self, hash: u64) -> Option<usize> {
        self.set.rendezvous().owner(hash)
    }

    /// The bound where there are `counted` requests and this one: [`BOUND`] times all, by the weight that is in use.
    fn bound(&self, counted: u64) -> Bound {
        let aside = if self.minded == 0 { 0 } else { self.set.weight_aside(self.minded) };
        Bound { requests: BOUND.0 * (counted + 1), weight: BOUND.1 * self.set.weight.saturating_sub(aside).max(1) }
    }
}

/// The requests that an endpoint may have for each one of its weight, as a fraction.
struct Bound {
    requests: u64,
    weight: u64,
}

impl Bound {
    /// Whether the endpoint may have one request more. What is due is seldom a whole number: `up`, from nothing to
    /// [`WHOLE`], is added before the rest is cut off. Where endpoints have one or two requests each, always rounding up
    /// would allow a slow one far more than is due. One request is always allowed.
    fn has_room(&self, endpoint: &Endpoint, up: u64) -> bool {
        let requests = in_flight(endpoint);
        if requests == 0 {
            return true;
        }
        let needed = u128::from(requests + 1) * u128::from(self.weight);
        let lacking = needed.saturating_sub(u128::from(weight(endpoint)) * u128::from(self.requests));
        lacking * u128::from(WHOLE) < u128::from(up) * u128::from(self.weight)
    }
}
