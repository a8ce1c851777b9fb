//! Which endpoint gets a request. No lock, no socket; no allocation but for pages of hashes that are seen for the first
//! time.

mod draw;
mod hash;
mod judge;
pub(super) mod key;
mod turn;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::ir::{Algorithm, Balancing, Template};
use crate::live::standing::{EJECTED, UNHEALTHY};
use crate::live::{Backend, Endpoint, EndpointSet, InFlight, Key};
use crate::table::BackendRef;

pub use self::judge::{Span, Verdict, judge};

/// What a pick needs to know of the request.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The worker that asks. Only it may name its index.
    pub worker: usize,
    /// Endpoints that were tried and failed.
    pub tried: &'a [SocketAddr],
    /// The endpoint that a sticky cookie names.
    pub pinned: Option<Key>,
    /// The time.
    pub now: Instant,
    /// The hash of a text of the request, or of the client's address where there is no template. Only asked for where the
    /// algorithm wants one; `None` when the text is empty.
    pub hash: &'a dyn Fn(Option<&Template>) -> Option<u64>,
}

/// The endpoint for the next attempt, with the request counted in: the one that the cookie names, else one that is in use
/// and was not tried, in our zone or else elsewhere. When there is none, one that is in use, and after that any. `None` when the backend has no endpoint.
pub fn pick(backend: &BackendRef, ask: &Ask<'_>) -> Option<InFlight> {
    let set = backend.live.endpoints.load();
    if !ask.tried.is_empty() || ask.pinned.is_some() || set.has_aside() {
        return pick_with_care(backend, &set, ask);
    }
    let algorithm = &backend.settings.balancing.algorithm;
    if let [only] = &*set.candidates {
        return only.claim(0, hash::total(algorithm, backend, ask));
    }
    let choice = Choice::<true> { live: &backend.live, set: &set, ask, tried: &[], minded: 0 };
    let endpoint = set.candidates.get(choice.place(algorithm)?)?;
    endpoint.claim(0, hash::total(algorithm, backend, ask))
}

/// The same where some endpoints may not be taken, or a certain one is wanted.
#[inline(never)]
fn pick_with_care(backend: &BackendRef, set: &EndpointSet, ask: &Ask<'_>) -> Option<InFlight> {
    let balancing = &*backend.settings.balancing;
    let minded = if set.has_aside() { minded(balancing, set) } else { 0 };
    let total = hash::total(&balancing.algorithm, backend, ask);
    let pinned = ask.pinned.as_ref().and_then(|key| Some((set.keyed(key)?, key)));
    if let Some(((endpoint, is_candidate), _)) = pinned {
        // What drains, and what is in another zone, is not among the candidates that are set aside.
        let minded = if is_candidate { minded } else { judged(balancing) };
        let is_open =
            !ask.tried.contains(&endpoint.address) && endpoint.is_open(minded, || backend.live.micros(ask.now));
        if let Some(flight) = is_open.then(|| endpoint.claim(minded, total)).flatten() {
            return Some(flight);
        }
    }
    // The same for all requests of a client, or its session would begin anew with each; another one for other clients, or
    // one endpoint had to bear all of two.
    let substitute = pinned.map(|(_, key)| hash::of_key(key) ^ (ask.hash)(None).unwrap_or_default());
    // What else there is, when all that are in use were tried, or none is open.
    let judged = judged(balancing);
    let among = |(tried, minded)| {
        let choice = Choice::<false> { live: &backend.live, set, ask, tried, minded };
        while let Some(place) = match substitute {
            Some(hash) => choice.on_chain(hash),
            None => choice.place(&balancing.algorithm),
        } {
            // An ejected one whose time is over may have got its one request meanwhile.
            if let Some(flight) = set.candidates.get(place)?.claim(minded, total) {
                return Some(flight);
            }
        }
        None
    };
    let elsewhere = || {
        let (before, after) = set.elsewhere.split_at_checked(fastrand::usize(..=set.elsewhere.len()))?;
        let is_open = |endpoint: &&Arc<Endpoint>| {
            !ask.tried.contains(&endpoint.address) && endpoint.is_open(judged, || backend.live.micros(ask.now))
        };
        after.iter().chain(before).filter(is_open).find_map(|endpoint| endpoint.claim(judged, total))
    };
    // Where checks are not believed, who has failed because of that asks one first that they do not set aside.
    let first = if ask.tried.is_empty() { minded } else { judged };
    among((ask.tried, first))
        .or_else(|| if first == minded { None } else { among((ask.tried, minded)) })
        // Our zone has nobody left to try.
        .or_else(elsewhere)
        .or_else(|| [(&[][..], minded), (ask.tried, 0), (&[], 0)].into_iter().find_map(among))
}

/// The bits of a standing that count: those of checks that are asked for. If too few are in use then, what active checks say,
/// or else what passive ones say, as far as that alone leaves enough; else none.
pub fn minded(balancing: &Balancing, set: &EndpointSet) -> u32 {
    let judged = judged(balancing);
    let is_believed = |bits: &u32| !set.is_panic(*bits, balancing.panic_threshold);
    [judged, judged & UNHEALTHY, judged & EJECTED].into_iter().find(is_believed).unwrap_or(0)
}

/// The bits of a standing that are asked for.
pub fn judged(balancing: &Balancing) -> u32 {
    let active = if balancing.active.is_some() { UNHEALTHY } else { 0 };
    let passive = if balancing.passive.is_some() { EJECTED } else { 0 };
    active | passive
}

/// What every algorithm chooses from. Each gives the place of a candidate that is open, or `None` if there is none.
/// `CLEAR`: all are open, as for most requests.
struct Choice<'a, const CLEAR: bool> {
    live: &'a Backend,
    set: &'a EndpointSet,
    ask: &'a Ask<'a>,
    tried: &'a [SocketAddr],
    minded: u32,
}

impl<const CLEAR: bool> Choice<'_, CLEAR> {
    fn place(&self, algorithm: &Algorithm) -> Option<usize> {
        match algorithm {
            Algorithm::LeastConn => self.least_conn(),
            Algorithm::RoundRobin => self.round_robin(),
            Algorithm::Random => self.random(),
            Algorithm::RandomTwo => self.random_two(),
            Algorithm::Ewma => self.ewma(),
            Algorithm::IpHash => self.hashed(None),
            Algorithm::Hash(by) => self.hashed(Some(by)),
            Algorithm::HashSubset { by, size } => self.subset(by, usize::from(*size)),
        }
    }

    /// The candidate at `place`, if it may get the request.
    fn open(&self, place: usize) -> Option<&Arc<Endpoint>> {
        let is_open = |endpoint: &&Arc<Endpoint>| {
            CLEAR
                || ((self.minded == 0 || endpoint.is_open(self.minded, || self.live.micros(self.ask.now)))
                    && !self.tried.contains(&endpoint.address))
        };
        self.set.candidates.get(place).filter(is_open)
    }

    /// The first open place from `start` on.
    fn open_from(&self, start: usize) -> Option<usize> {
        self.from(start).find(|&place| self.open(place).is_some())
    }

    /// Every place once, beginning with `start`.
    fn from(&self, start: usize) -> impl Iterator<Item = usize> + use<CLEAR> {
        let count = self.set.candidates.len();
        (start..count).chain(0..start.min(count))
    }
}

fn in_flight(endpoint: &Endpoint) -> u64 {
    endpoint.in_flight.load(Ordering::Relaxed).into()
}

fn weight(endpoint: &Endpoint) -> u64 {
    endpoint.weight.load(Ordering::Relaxed).into()
}

#[cfg(test)]
mod tests;
