//! The endpoints of a backend at one moment, and what is worked out of them so that a pick is quick.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::alias::Alias;
use super::standing::{self, ASIDE};
use super::turns::turns;
use super::{Endpoint, Key, Rendezvous};
use crate::ir;

/// The endpoints of one moment.
#[derive(Default)]
pub struct EndpointSet {
    /// Those that get new requests.
    pub candidates: Box<[Arc<Endpoint>]>,
    /// Those that get nothing new: terminating, still serving.
    pub draining: Box<[Arc<Endpoint>]>,
    /// Round robin with unequal weights: places in `candidates`, in the order of the turns. Empty when all weigh the same.
    pub turns: Box<[u32]>,
    /// Candidates by weight, for draws.
    pub alias: Alias,
    /// The weights of all candidates together, as they count.
    pub weight: u64,
    /// Candidates that are set aside. Changes under the lock of the backend only, together with their bits.
    pub(super) aside: AtomicU32,
    rendezvous: OnceLock<Rendezvous>,
    /// Places of endpoints by their keys; empty where the backend has no sticky cookie. Candidates come first, so that of
    /// two addresses of one Pod the one in use is found.
    keys: Box<[(Key, u32)]>,
}

impl EndpointSet {
    /// The set that `endpoints` describe, each with the cell that `cell` gives for it. Draining ones are candidates when
    /// there is nothing else (kube-proxy's rule).
    pub(super) fn new(endpoints: &[ir::Endpoint], mut cell: impl FnMut(&ir::Endpoint) -> Arc<Endpoint>) -> EndpointSet {
        let all_drain = endpoints.iter().all(|endpoint| endpoint.draining);
        let (mut candidates, mut draining) = (Vec::new(), Vec::new());
        for endpoint in endpoints {
            let list = if endpoint.draining && !all_drain { &mut draining } else { &mut candidates };
            list.push(cell(endpoint));
        }
        EndpointSet::of(candidates.into(), draining.into())
    }

    /// The set of these cells, with the weights that they have now. Nobody may change a standing meanwhile.
    pub(super) fn of(candidates: Box<[Arc<Endpoint>]>, draining: Box<[Arc<Endpoint>]>) -> EndpointSet {
        let weights: Vec<u32> = candidates.iter().map(|endpoint| endpoint.weight.load(Ordering::Relaxed)).collect();
        let is_aside = |endpoint: &&Arc<Endpoint>| endpoint.standing.load(Ordering::Relaxed) & ASIDE != 0;
        let all = candidates.iter().chain(&draining);
        let mut keys: Vec<(Key, u32)> =
            all.zip(0..).filter_map(|(endpoint, place)| Some((endpoint.key()?, place))).collect();
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        EndpointSet {
            keys: keys.into(),
            turns: turns(&weights),
            alias: Alias::new(&weights),
            weight: weights.iter().map(|&weight| u64::from(weight)).sum(),
            aside: AtomicU32::new(candidates.iter().filter(is_aside).count() as u32),
            candidates,
            draining,
            rendezvous: OnceLock::new(),
        }
    }

    /// Candidates, then draining ones.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.candidates.iter().chain(&self.draining)
    }

    /// The endpoint that a sticky cookie names, and whether it is a candidate.
    pub fn keyed(&self, key: &Key) -> Option<(&Arc<Endpoint>, bool)> {
        let found = self.keys.binary_search_by(|(own, _)| own.cmp(key)).ok()?;
        let place = self.keys.get(found)?.1 as usize;
        let draining =
            || self.draining.get(place.checked_sub(self.candidates.len())?).map(|endpoint| (endpoint, false));
        self.candidates.get(place).map(|endpoint| (endpoint, true)).or_else(draining)
    }

    /// How many candidates are set aside.
    pub fn aside(&self) -> usize {
        self.aside.load(Ordering::Relaxed) as usize
    }

    /// Whether so few candidates are in use that all are used: fewer than `percent`, or none.
    pub fn is_panic(&self, percent: u8) -> bool {
        standing::is_panic(self.candidates.len(), self.aside(), percent)
    }

    /// Which candidate a hash belongs to. Made with the first hash that is asked for: most backends have no use for it.
    pub fn rendezvous(&self) -> &Rendezvous {
        self.rendezvous.get_or_init(|| {
            let seat = |endpoint: &Arc<Endpoint>| (endpoint.address, endpoint.weight.load(Ordering::Relaxed));
            Rendezvous::new(self.candidates.iter().map(seat))
        })
    }

    /// The weights of the candidates, as they count now.
    #[cfg(test)]
    pub(super) fn weights(&self) -> Vec<u32> {
        self.candidates.iter().map(|endpoint| endpoint.weight.load(Ordering::Relaxed)).collect()
    }
}
