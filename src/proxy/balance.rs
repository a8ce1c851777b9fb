//! Which endpoint gets a request. No lock, no allocation, no socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::ir::Algorithm;
use crate::live::{Backend, Endpoint, EndpointSet};
use crate::table::BackendRef;

/// The endpoint for the next attempt: another than those tried, or one of them again when there is no other. `None` when
/// the backend has no endpoint. Only `worker` itself may name its index.
pub fn pick(backend: &BackendRef, worker: usize, tried: &[SocketAddr]) -> Option<Arc<Endpoint>> {
    let set = backend.live.endpoints.load();
    let choice = Choice { live: &backend.live, set: &set, worker, tried };
    let place = match &backend.settings.balancing.algorithm {
        Algorithm::LeastConn => choice.least_conn(),
        Algorithm::RoundRobin => choice.round_robin(),
        _ => choice.least_conn(),
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::ir::Algorithm::{LeastConn, RoundRobin};
    use crate::live::InFlight;
    use crate::table::fixture::World;

    const THREE: &[(&str, u16)] = &[("10.0.0.1:80", 1), ("10.0.0.2:80", 1), ("10.0.0.3:80", 1)];

    fn many(count: u16) -> Vec<(String, u16)> {
        (0..count).map(|place| (format!("10.1.{}.{}:80", place / 250, place % 250), 1)).collect()
    }

    fn counts(backend: &BackendRef, worker: usize, picks: usize) -> BTreeMap<SocketAddr, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..picks {
            *counts.entry(pick(backend, worker, &[]).unwrap().address).or_default() += 1;
        }
        counts
    }

    #[test]
    fn no_endpoint_is_no_pick() {
        for balance in [LeastConn, RoundRobin] {
            assert!(pick(&World::new().backend(balance, &[]), 0, &[]).is_none());
        }
    }

    #[test]
    fn requests_one_after_the_other_visit_every_endpoint() {
        for balance in [LeastConn, RoundRobin] {
            for count in [1, 2, 32, 33, 500] {
                let endpoints = many(count);
                let endpoints: Vec<_> = endpoints.iter().map(|(address, weight)| (&**address, *weight)).collect();
                let backend = World::new().backend(balance.clone(), &endpoints);
                assert_eq!(counts(&backend, 1, count.into()).len(), usize::from(count), "{balance:?} of {count}");
            }
        }
    }

    #[test]
    fn least_connections_counts_requests_for_the_weight() {
        let world = World::new();
        let backend = world.backend(LeastConn, &[("10.0.0.1:80", 3), ("10.0.0.2:80", 1)]);
        let flights: Vec<InFlight> = (0..400).map(|_| pick(&backend, 0, &[]).unwrap().begin()).collect();
        let heavy = flights.iter().filter(|flight| &*flight.endpoint().text == "10.0.0.1:80").count();
        assert_eq!(heavy, 300);
        drop(flights);
        assert_eq!(backend.live.in_flight(), 0);
    }

    #[test]
    fn least_connections_avoids_the_slow_endpoint() {
        for count in [3, 100] {
            let endpoints = many(count);
            let endpoints: Vec<_> = endpoints.iter().map(|(address, weight)| (&**address, *weight)).collect();
            let backend = World::new().backend(LeastConn, &endpoints);
            let slow = pick(&backend, 0, &[]).unwrap();
            let _waiting = Arc::clone(&slow).begin();
            let picked = counts(&backend, 0, 1_000);
            assert_eq!(picked.get(&slow.address), None, "of {count}");
        }
    }

    #[test]
    fn round_robin_is_exact_for_each_worker() {
        for weights in [[1, 1, 1], [5, 1, 1], [300, 200, 100], [1000, 999, 1]] {
            let endpoints: Vec<_> =
                THREE.iter().zip(weights).map(|((address, _), weight)| (*address, weight)).collect();
            let backend = World::new().backend(RoundRobin, &endpoints);
            let sum: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
            for worker in [0, 1] {
                let picked: Vec<usize> = counts(&backend, worker, sum).into_values().collect();
                assert_eq!(picked, weights.map(usize::from), "worker {worker}");
            }
        }
    }

    #[test]
    fn round_robin_goes_on_where_it_was_when_endpoints_change() {
        let world = World::new();
        let backend = world.backend(RoundRobin, THREE);
        let first = pick(&backend, 0, &[]).unwrap().address;
        world.set_endpoints(&backend.settings.id, &[("10.0.0.1:80", 2), ("10.0.0.2:80", 2), ("10.0.0.3:80", 2)]);
        assert_ne!(pick(&backend, 0, &[]).unwrap().address, first);
    }

    #[test]
    fn another_endpoint_than_those_tried_comes_first() {
        for balance in [LeastConn, RoundRobin] {
            for count in [2, 3, 40] {
                let endpoints = many(count);
                let endpoints: Vec<_> = endpoints.iter().map(|(address, weight)| (&**address, *weight)).collect();
                let backend = World::new().backend(balance.clone(), &endpoints);
                let mut tried = Vec::new();
                for _ in 0..count {
                    tried.push(pick(&backend, 0, &tried).unwrap().address);
                }
                let distinct: BTreeSet<_> = tried.iter().collect();
                assert_eq!(distinct.len(), usize::from(count), "{balance:?} of {count}");
                assert!(pick(&backend, 0, &tried).is_some(), "all were tried: one of them again");
            }
        }
    }

    #[test]
    fn a_lone_endpoint_is_tried_again() {
        for balance in [LeastConn, RoundRobin] {
            let backend = World::new().backend(balance.clone(), &THREE[..1]);
            let only = pick(&backend, 0, &[]).unwrap().address;
            assert_eq!(pick(&backend, 0, &[only]).unwrap().address, only);
        }
    }
}
