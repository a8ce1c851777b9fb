//! The endpoints of a backend at one moment, and what is worked out of them so that a pick is quick.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::alias::Alias;
use super::standing::{self, ASIDE, Standing};
use super::turns::turns;
use super::{Endpoint, Key, Rendezvous};
use crate::ir;

/// The endpoints of one moment.
#[derive(Default)]
pub struct EndpointSet {
    /// Those that get new requests.
    pub candidates: Box<[Arc<Endpoint>]>,
    /// Those of other zones, while requests stay in ours: they get clients that they have, and what nobody in ours could
    /// serve. Else they are the last of the candidates.
    pub elsewhere: Box<[Arc<Endpoint>]>,
    /// Those that get nothing new: terminating, still serving.
    pub draining: Box<[Arc<Endpoint>]>,
    /// How many candidates are not of another zone.
    ours: usize,
    /// The candidates are draining ones: they may be gone with the next request.
    pub is_last_resort: bool,
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
    /// Nothing for most sets.
    remarks: Option<Arc<Remarks>>,
}

/// What nobody wants to know of a set but those who look at it.
struct Remarks {
    unready: Box<[ir::Unready]>,
    /// Since when those drain that do, in tenths of a second since the backend's epoch.
    draining_since: Box<[u32]>,
}

/// Who is who in a set.
struct Cells {
    candidates: Vec<Arc<Endpoint>>,
    ours: usize,
    elsewhere: Vec<Arc<Endpoint>>,
    draining: Vec<Arc<Endpoint>>,
    is_last_resort: bool,
    remarks: Option<Arc<Remarks>>,
}

/// Candidates that are set aside for the same reasons.
#[derive(Default)]
struct Aside {
    count: AtomicU32,
    /// Their weights together, as they count.
    weight: AtomicU64,
}

impl EndpointSet {
    /// The set that `described` describes at `now` (tenths of a second), each endpoint with the cell that `cell` gives for it,
    /// as if requests stayed in our zone ([`EndpointSet::settled`]). Draining ones are candidates when there is nothing else
    /// (kube-proxy's rule). What was worked out for `before` is kept as far as it is still right.
    pub(super) fn new(
        described: &ir::EndpointSet,
        before: &EndpointSet,
        now: u32,
        mut cell: impl FnMut(&ir::Endpoint) -> Arc<Endpoint>,
    ) -> EndpointSet {
        let ir::EndpointSet { endpoints, unready } = described;
        let all_drain = endpoints.iter().all(|endpoint| endpoint.draining);
        let (mut ours, mut elsewhere, mut draining) = (Vec::new(), Vec::new(), Vec::new());
        for endpoint in endpoints {
            let list = match endpoint {
                ir::Endpoint { draining: true, .. } if !all_drain => &mut draining,
                ir::Endpoint { elsewhere: true, .. } => &mut elsewhere,
                _ => &mut ours,
            };
            list.push(cell(endpoint));
        }
        let is_last_resort = all_drain && !endpoints.is_empty();
        let remarks = (!unready.is_empty() || !draining.is_empty()).then(|| {
            let since = draining.iter().map(|cell| before.drains_since(cell).unwrap_or(now)).collect();
            Arc::new(Remarks { unready: unready.as_slice().into(), draining_since: since })
        });
        let cells = Cells { ours: ours.len(), candidates: ours, elsewhere, draining, is_last_resort, remarks };
        EndpointSet::of(cells, before)
    }

    /// What the backend has besides and does not use.
    pub fn unready(&self) -> &[ir::Unready] {
        self.remarks.as_ref().map_or(&[], |remarks| &remarks.unready)
    }

    /// Since when an endpoint drains, in tenths of a second since the backend's epoch; `None` if it does not.
    pub(super) fn drains_since(&self, endpoint: &Endpoint) -> Option<u32> {
        let place = self.draining.binary_search_by_key(&endpoint.address, |cell| cell.address).ok()?;
        self.remarks.as_ref()?.draining_since.get(place).copied()
    }

    /// The same cells, with the weights that they have now.
    pub(super) fn again(&self) -> EndpointSet {
        let cells = Cells {
            ours: self.ours,
            candidates: self.candidates.to_vec(),
            elsewhere: self.elsewhere.to_vec(),
            draining: self.draining.to_vec(),
            is_last_resort: self.is_last_resort,
            remarks: self.remarks.clone(),
        };
        EndpointSet::of(cells, self)
    }

    /// The set to be used in place of this one, where requests are to stay in our zone and do not, or the other way round. The
    /// caller holds the lock.
    pub(super) fn settled(&self) -> Option<EndpointSet> {
        let (ours, others) = self.candidates.split_at_checked(self.ours)?;
        if others.is_empty() && self.elsewhere.is_empty() {
            return None;
        }
        let in_use = ours.iter().filter(|cell| cell.standing() == Standing::Ready).count();
        // All of the others: that many of them fail must not draw what they had into a few of ours.
        let stays = standing::stays_in_zone(ours.len(), in_use, others.len() + self.elsewhere.len());
        if stays != self.elsewhere.is_empty() {
            return None;
        }
        let (mut candidates, mut elsewhere) = (ours.to_vec(), [others, &self.elsewhere].concat());
        if !stays {
            candidates.append(&mut elsewhere);
        }
        let cells = Cells {
            candidates,
            ours: self.ours,
            elsewhere,
            draining: self.draining.to_vec(),
            is_last_resort: self.is_last_resort,
            remarks: self.remarks.clone(),
        };
        Some(EndpointSet::of(cells, self))
    }

    /// Whether requests stay in our zone though there are others.
    pub(super) fn stays_in_zone(&self) -> bool {
        !self.elsewhere.is_empty()
    }

    /// The set of these cells, with the weights that they have now. Nothing counts as set aside until [`EndpointSet::count`].
    fn of(cells: Cells, before: &EndpointSet) -> EndpointSet {
        let Cells { candidates, ours, elsewhere, draining, is_last_resort, remarks } = cells;
        let weights: Vec<u32> = candidates.iter().map(|endpoint| endpoint.weight.load(Ordering::Relaxed)).collect();
        let all = candidates.iter().chain(&elsewhere).chain(&draining);
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
            candidates: candidates.into(),
            ours,
            elsewhere: elsewhere.into(),
            draining: draining.into(),
            is_last_resort,
            rendezvous: rendezvous.map_or_else(OnceLock::new, OnceLock::from),
            remarks,
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

    /// Candidates, then those of other zones, then draining ones.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.candidates.iter().chain(&self.elsewhere).chain(&self.draining)
    }

    /// Those that would get requests if all were in use, of whatever zone.
    pub fn ready(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.candidates.iter().chain(&self.elsewhere)
    }

    /// The endpoint that a sticky cookie names, and whether it is a candidate.
    pub fn keyed(&self, key: &Key) -> Option<(&Arc<Endpoint>, bool)> {
        let found = self.keys.binary_search_by(|(own, _)| own.cmp(key)).ok()?;
        let place = self.keys.get(found)?.1 as usize;
        match place.checked_sub(self.candidates.len()) {
            None => self.candidates.get(place).map(|endpoint| (endpoint, true)),
            Some(rest) => self.elsewhere.iter().chain(&self.draining).nth(rest).map(|endpoint| (endpoint, false)),
        }
    }

    /// How many of those that are ready have none of the bits of `minded`.
    pub fn without(&self, minded: u32) -> usize {
        self.ready().filter(|endpoint| endpoint.standing.load(Ordering::Relaxed) & minded == 0).count()
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
