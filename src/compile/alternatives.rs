//! Which canary stands beside which backend, remembered from one compile to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use super::canary;
use super::claim::CanaryClaim;
use crate::ir::{BackendId, HostPattern, Problem};

/// The place of a canary among those beside one backend: the place of its Ingress by age, its host, and its number there.
pub(super) type Place<A> = (A, HostPattern, usize);

/// Canaries by the backends beside which they stand.
pub(super) struct Alternatives<A> {
    beside: BTreeMap<BackendId, BTreeMap<Place<A>, Arc<CanaryClaim>>>,
    of_host: BTreeMap<HostPattern, Vec<(BackendId, Place<A>)>>,
    chosen: BTreeMap<BackendId, Arc<CanaryClaim>>,
    mains: BTreeMap<BackendId, BTreeSet<BackendId>>,
}

/// What a choice changed.
pub(super) struct Chosen {
    /// The canary that counted before.
    pub(super) before: Option<BackendId>,
    /// The one that counts now.
    pub(super) now: Option<BackendId>,
    /// What those are told that do not count.
    pub(super) problems: Vec<Problem>,
}

impl<A: Clone + Ord> Alternatives<A> {
    /// None.
    pub(super) fn new() -> Self {
        Alternatives {
            beside: BTreeMap::new(),
            of_host: BTreeMap::new(),
            chosen: BTreeMap::new(),
            mains: BTreeMap::new(),
        }
    }

    /// Replaces the canaries of a host; `touched` gets the backends beside which one stands or stood.
    pub(super) fn set(
        &mut self,
        host: &HostPattern,
        canaries: Vec<(BackendId, A, Arc<CanaryClaim>)>,
        touched: &mut BTreeSet<BackendId>,
    ) {
        if canaries.is_empty() && !self.of_host.contains_key(host) {
            return;
        }
        for (main, place) in self.of_host.remove(host).unwrap_or_default() {
            if let Some(claims) = self.beside.get_mut(&main) {
                claims.remove(&place);
                if claims.is_empty() {
                    self.beside.remove(&main);
                }
            }
            touched.insert(main);
        }
        for (number, (main, age, claim)) in canaries.into_iter().enumerate() {
            let place = (age, host.clone(), number);
            self.of_host.entry(host.clone()).or_default().push((main.clone(), place.clone()));
            self.beside.entry(main.clone()).or_default().insert(place, claim);
            touched.insert(main);
        }
    }

    /// Chooses anew among those beside `main`.
    pub(super) fn choose(&mut self, main: &BackendId) -> Chosen {
        let mut problems = Vec::new();
        let claims = self.beside.get(main).into_iter().flat_map(BTreeMap::values);
        let chosen = canary::choose(main, claims.map(Arc::as_ref), &mut problems).map(|claim| Arc::new(claim.clone()));
        let now = chosen.as_ref().map(|claim| claim.backend.clone());
        let before = match chosen {
            Some(claim) => self.chosen.insert(main.clone(), claim),
            None => self.chosen.remove(main),
        };
        let before = before.map(|claim| claim.backend.clone());
        if before != now {
            if let Some(before) = &before
                && let Some(mains) = self.mains.get_mut(before)
            {
                mains.remove(main);
                if mains.is_empty() {
                    self.mains.remove(before);
                }
            }
            if let Some(now) = &now {
                self.mains.entry(now.clone()).or_default().insert(main.clone());
            }
        }
        Chosen { before, now, problems: mem::take(&mut problems) }
    }

    /// The canary that counts beside `main`.
    pub(super) fn of(&self, main: &BackendId) -> Option<&CanaryClaim> {
        self.chosen.get(main).map(Arc::as_ref)
    }

    /// The backends beside which `canary` stands.
    pub(super) fn mains(&self, canary: &BackendId) -> impl Iterator<Item = &BackendId> {
        self.mains.get(canary).into_iter().flatten()
    }
}
