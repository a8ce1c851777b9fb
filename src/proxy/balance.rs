//! Which endpoint gets a request. No lock, no allocation, no socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::ir::Balance;
use crate::live::{Backend, Endpoint, EndpointSet};
use crate::table::BackendRef;

/// The endpoint for the next attempt: another than those tried, or one of them again when there is no other. `None` when
/// the backend has no endpoint. Only `worker` itself may name its index.
pub fn pick(backend: &BackendRef, worker: usize, tried: &[SocketAddr]) -> Option<Arc<Endpoint>> {
    let set = backend.live.endpoints.load();
    let choice = Choice { live: &backend.live, set: &set, worker, tried };
    let place = match backend.settings.balance {
        Balance::LeastConn => choice.least_conn(),
        Balance::RoundRobin => choice.round_robin(),
    };
    set.candidates.get(place?).map(Arc::clone)
}

/// What every algorithm chooses from. Each gives a place among the candidates.
struct Choice<'a> {
    live: &'a Backend,
    set: &'a EndpointSet,
    worker: usize,
    tried: &'a [SocketAddr],
}

/// Up to so many candidates least connections looks at all of them.
const LOOK_AT_ALL: usize = 32;
/// Above that it looks at so many.
const DRAWN: usize = 8;

impl Choice<'_> {
    /// Least (in flight + 1) / weight. Of equal ones the first from the worker's turn on, so that requests one after the
    /// other visit every endpoint; among drawn ones the turn is the first draw, for the same reason.
    fn least_conn(&self) -> Option<usize> {
        let count = self.set.candidates.len();
        let start = (self.live.turn(self.worker) as usize).checked_rem(count)?;
        let least = if count <= LOOK_AT_ALL {
            self.least((start..count).chain(0..start))
        } else {
            self.least((0..DRAWN).map(|draw| if draw == 0 { start } else { fastrand::usize(..count) }))
        };
        least.or_else(|| self.untried_from(start))
    }

    /// In turn, by weight where weights differ.
    fn round_robin(&self) -> Option<usize> {
        let turn = self.live.turn(self.worker) as usize;
        let place = match turn.checked_rem(self.set.turns.len()) {
            Some(turn) => *self.set.turns.get(turn)? as usize,
            None => turn.checked_rem(self.set.candidates.len())?,
        };
        self.untried_from(place)
    }

    /// The least loaded of `places` that was not tried.
    fn least(&self, places: impl Iterator<Item = usize>) -> Option<usize> {
        let mut best: Option<(usize, u64, u64)> = None;
        for place in places {
            let Some(endpoint) = self.untried(place) else { continue };
            let load = u64::from(endpoint.in_flight.load(Ordering::Relaxed)) + 1;
            let weight = u64::from(endpoint.weight.load(Ordering::Relaxed));
            if best.is_none_or(|(_, least, of)| load * of < least * weight) {
                best = Some((place, load, weight));
            }
        }
        best.map(|(place, _, _)| place)
    }

    /// `place` or the next one after it that was not tried; `place` when all were.
    fn untried_from(&self, place: usize) -> Option<usize> {
        let count = self.set.candidates.len();
        (place..count).chain(0..place).find(|&place| self.untried(place).is_some()).or((place < count).then_some(place))
    }

    fn untried(&self, place: usize) -> Option<&Endpoint> {
        self.set
            .candidates
            .get(place)
            .map(|endpoint| &**endpoint)
            .filter(|endpoint| !self.tried.contains(&endpoint.address))
    }
}
