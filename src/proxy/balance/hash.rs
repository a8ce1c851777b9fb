//! Algorithms that keep a text or an address at its endpoint: consistent hashing with bounded loads (V. Mirrokni,
//! M. Thorup, M. Zadimoghaddam, 2016), and hash subsets.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Choice, in_flight, weight};
use crate::ir::{Algorithm, Template};
use crate::live::{self, Endpoint, Key};

/// So many requests for each that would be due by weight an endpoint may have, before it passes on the keys that it owns.
const BOUND: (u64, u64) = (5, 4);
/// So long a chain of owners is followed.
const CHAIN: usize = 32;

/// Whether the algorithm asks for the requests in flight at the whole backend.
pub(super) fn wants_total(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::IpHash | Algorithm::Hash(_))
}

/// Where the chain of a client begins whose endpoint cannot be taken: it always gets the same other one, or its session
/// would begin anew with each request. A key is a hash already.
pub(super) fn of_key(key: &Key) -> u64 {
    u64::from_be_bytes(key.first_chunk().copied().unwrap_or_default())
}

impl Choice<'_> {
    /// The owner of the text. If that cannot be taken, the next of a chain that depends on nothing but the text: the keys
    /// of an endpoint that is away go to all others, and come back with it. Without a text as least connections.
    pub(super) fn hashed(&self, by: Option<&Template>) -> Option<usize> {
        let Some(hash) = (self.ask.hash)(by) else { return self.least_conn() };
        let (mine, all) = self.bound();
        let is_below = |endpoint: &Arc<Endpoint>| {
            u128::from(in_flight(endpoint)) * u128::from(all) < u128::from(weight(endpoint)) * u128::from(mine)
        };
        let has_room = |place: usize| self.open(place).is_some_and(is_below);
        let (mut chain, mut place) = (hash, self.owner(hash)?);
        for _ in 0..CHAIN {
            if has_room(place) {
                return Some(place);
            }
            chain = live::next(chain);
            place = self.owner(chain)?;
        }
        // Nearly all are full or away: one at least is not, since the bound is above the mean.
        self.from(place).find(|&place| has_room(place)).or_else(|| self.open_from(place))
    }

    /// One of the first `size` owners of the text's chain.
    pub(super) fn subset(&self, by: &Template, size: usize) -> Option<usize> {
        let Some(hash) = (self.ask.hash)(Some(by)) else { return self.least_conn() };
        if size >= self.set.candidates.len() {
            return self.random();
        }
        let mut group: SmallVec<[usize; 8]> = SmallVec::new();
        let mut chain = hash;
        // Heavy endpoints come again and again, so a group of very unequal ones may stay smaller.
        for _ in 0..CHAIN + 4 * size {
            let place = self.owner(chain)?;
            if !group.contains(&place) {
                group.push(place);
            }
            if group.len() >= size.max(1) {
                break;
            }
            chain = live::next(chain);
        }
        group.retain(|place| self.open(*place).is_some());
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

    /// The requests that an endpoint may have before this one comes, for its weight, as a fraction: [`BOUND`] times all
    /// requests with this one, by the weight that is in use.
    fn bound(&self) -> (u64, u64) {
        let candidates = self.set.candidates.len();
        let in_use = if self.minded == 0 { candidates } else { candidates.saturating_sub(self.set.aside()).max(1) };
        let requests = u64::from(self.live.counted()) + 1;
        (BOUND.0 * requests * candidates as u64, BOUND.1 * self.set.weight * in_use as u64)
    }
}
