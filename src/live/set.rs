//! The endpoints of a backend at one moment, and what is worked out of them so that a pick is quick.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
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
    /// Candidates that are set aside, by the bits of their standing. Changes under the lock of the backend only, together
    /// with the bits.
    aside: [Aside; ASIDE as usize + 1],
    rendezvous: OnceLock<Arc<Rendezvous>>,
    /// Places of endpoints by their keys; empty where the backend has no sticky cookie. Candidates come first, so that of
    /// two addresses of one Pod the one in use is found.
    keys: Box<[(Key, u32)]>,
}

/// Candidates that are set aside for the same reasons.
#[derive(Default)]
struct Aside {
    count: AtomicU32,
    /// Their weights together, as they count.
    weight: AtomicU64,
}

impl EndpointSet {
    /// The set that `endpoints` describe, each with the cell that `cell` gives for it. Draining ones are candidates when
    /// there is nothing else (kube-proxy's rule). What was worked out for `before` is kept as far as it is still right.
    pub(super) fn new(
        endpoints: &[ir::Endpoint],
        before: &EndpointSet,
        mut cell: impl FnMut(&ir::Endpoint) -> Arc<Endpoint>,
    ) -> EndpointSet {
        let all_drain = endpoints.iter().all(|endpoint| endpoint.draining);
        let (mut candidates, mut draining) = (Vec::new(), Vec::new());
        for endpoint in endpoints {
            let list = if endpoint.draining && !all_drain { &mut draining } else { &mut candidates };
            list.push(cell(endpoint));
        }
        EndpointSet::of(candidates.into(), draining.into(), before)
    }

    /// The set of these cells, with the weights that they have now. Nothing counts as set aside until [`EndpointSet::count`].
    pub(super) fn of(
        candidates: Box<[Arc<Endpoint>]>,
        draining: Box<[Arc<Endpoint>]>,
        before: &EndpointSet,
    ) -> EndpointSet {
        let weights: Vec<u32> = candidates.iter().map(|endpoint| endpoint.weight.load(Ordering::Relaxed)).collect();
        let all = candidates.iter().chain(&draining);
        let mut keys: Vec<(Key, u32)> =
            all.zip(0..).filter_map(|(endpoint, place)| Some((endpoint.key()?, place))).collect();
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        let seats = candidates.iter().zip(&weights).map(|(endpoint, weight)| (endpoint.address, *weight));
        let rendezvous = before.rendezvous.get().map(|before| Rendezvous::after(before, seats));
        EndpointSet {
            keys: keys.into(),
            turns: turns(&weights),
            alias: Alias::new(&weights),
            weight: weights.iter().map(|&weight| u64::from(weight)).sum(),
            aside: Default::default(),
            candidates,
            draining,
            rendezvous: rendezvous.map_or_else(OnceLock::new, OnceLock::from),
        }
    }

    /// Counts what is set aside. The caller holds the lock and makes it the set of the backend.
    pub(super) fn count(&self) {
        for endpoint in &self.candidates {
            let bits = endpoint.standing.load(Ordering::Relaxed) & ASIDE;
            self.counted(endpoint, 0, bits);
        }
    }

    /// Takes note that a candidate has other bits than before. The caller holds the lock.
    pub(super) fn counted(&self, endpoint: &Endpoint, before: u32, bits: u32) {
        let weight = u64::from(endpoint.weight.load(Ordering::Relaxed));
        let cell = |bits: u32| self.aside.get((bits & ASIDE) as usize).filter(|_| bits & ASIDE != 0);
        if let Some(aside) = cell(before) {
            aside.count.fetch_sub(1, Ordering::Relaxed);
            aside.weight.fetch_sub(weight, Ordering::Relaxed);
        }
        if let Some(aside) = cell(bits) {
            aside.count.fetch_add(1, Ordering::Relaxed);
            aside.weight.fetch_add(weight, Ordering::Relaxed);
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

    /// Whether any candidate is set aside, for whatever reason.
    pub fn has_aside(&self) -> bool {
        self.aside.iter().any(|aside| aside.count.load(Ordering::Relaxed) != 0)
    }

    /// How many candidates are set aside, where the bits of `judged` count.
    pub fn aside(&self, judged: u32) -> usize {
        self.those_aside(judged).map(|aside| aside.count.load(Ordering::Relaxed) as usize).sum()
    }

    /// Their weights together, as they count.
    pub fn weight_aside(&self, judged: u32) -> u64 {
        self.those_aside(judged).map(|aside| aside.weight.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    fn those_aside(&self, judged: u32) -> impl Iterator<Item = &Aside> {
        (0..).zip(&self.aside).filter(move |(bits, _)| bits & judged != 0).map(|(_, aside)| aside)
    }

    /// Whether so few candidates are in use that all are used: fewer than `percent`, or none.
    pub fn is_panic(&self, judged: u32, percent: u8) -> bool {
        standing::is_panic(self.candidates.len(), self.aside(judged), percent)
    }

    /// Which candidate a hash belongs to. Made with the first hash that is asked for: most backends have no use for it.
    pub fn rendezvous(&self) -> &Rendezvous {
        self.rendezvous.get_or_init(|| {
            let seat = |endpoint: &Arc<Endpoint>| (endpoint.address, endpoint.weight.load(Ordering::Relaxed));
            Arc::new(Rendezvous::new(self.candidates.iter().map(seat)))
        })
    }

    /// The weights of the candidates, as they count now.
    #[cfg(test)]
    pub(super) fn weights(&self) -> Vec<u32> {
        self.candidates.iter().map(|endpoint| endpoint.weight.load(Ordering::Relaxed)).collect()
    }
}
