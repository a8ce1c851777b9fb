//! Finds the cell of an identity again, and forgets it when nothing refers to it any more.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::transition::{News, Transition};
use super::{Backend, Cache, Endpoint, EndpointSet, Limits, Replicas, Silence, TlsIdentity};
use crate::ir;

/// Every live cell, by identity. Used by the control thread; workers reach cells through the table, so they never meet
/// the lock.
pub struct Registry {
    workers: usize,
    epoch: Instant,
    news: Arc<News>,
    cache: Arc<Cache>,
    entries: Mutex<Entries>,
    limits: Mutex<HashMap<ir::Name, Arc<Limits>, foldhash::fast::RandomState>>,
    identities: Mutex<Identities>,
    replicas: Arc<Replicas>,
}

/// What is spoken to backends over TLS, and how many there were so far.
#[derive(Default)]
struct Identities {
    known: BTreeMap<Arc<ir::BackendTls>, Weak<TlsIdentity>>,
    made: u32,
}

/// `--cache-size`, where nobody says another.
const DEFAULT_CACHE: u64 = 64 << 20;

type Entries = HashMap<ir::BackendId, Entry, foldhash::fast::RandomState>;

struct Entry {
    backend: Arc<Backend>,
    /// Endpoints that left: one that returns while requests run on it is the same cell again.
    leavers: Box<[Arc<Endpoint>]>,
}

impl Registry {
    /// No cells; each cell made later has room for `workers` workers.
    pub fn new(workers: usize) -> Registry {
        Registry::with_cache(workers, DEFAULT_CACHE)
    }

    /// The same, with a response cache of so many octets.
    pub fn with_cache(workers: usize, octets: u64) -> Registry {
        Registry {
            workers,
            epoch: Instant::now(),
            news: Arc::new(News::new()),
            cache: Arc::new(Cache::new(octets)),
            entries: Mutex::default(),
            limits: Mutex::default(),
            identities: Mutex::default(),
            replicas: Arc::default(),
        }
    }

    /// The response cache.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// How many replicas share limits.
    pub fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// Where changes of standing are heard. There is one such end: `None` if somebody has it.
    pub fn transitions(&self) -> Option<mpsc::Receiver<Transition>> {
        self.news.hear()
    }

    /// Whether changes of standing were not told since this was asked last, as too many waited.
    pub fn lost_transitions(&self) -> bool {
        self.news.is_lost()
    }

    /// The cell of a backend, made if there is none.
    pub fn backend(&self, id: &ir::BackendId) -> Arc<Backend> {
        Arc::clone(&self.entry(&mut self.entries(), id).backend)
    }

    /// The second road: replaces the endpoints of one backend. Endpoints that stay keep their counters; one that leaves
    /// keeps them until its last request ended. Only a backend that a table names, or will name before the next
    /// [`Registry::sweep`], keeps its endpoints.
    pub fn set_endpoints(&self, id: &ir::BackendId, set: &ir::EndpointSet) {
        self.set_starting(id, set, Duration::ZERO, Instant::now());
    }

    /// The same, where the weight of an endpoint that is new at `now` grows for `slow_start`. Says when
    /// [`Registry::ramp`] is due; `None` when all have their full weight.
    pub fn set_starting(
        &self,
        id: &ir::BackendId,
        set: &ir::EndpointSet,
        slow_start: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let mut entries = self.entries();
        let Entry { backend, leavers } = self.entry(&mut entries, id);
        let present = backend.endpoints.load_full();
        let stayers = present.iter().map(|endpoint| (endpoint, true));
        let both = stayers.chain(leavers.iter().map(|endpoint| (endpoint, false)));
        let mut known: HashMap<SocketAddr, (&Arc<Endpoint>, bool), foldhash::fast::RandomState> =
            both.map(|(endpoint, stays)| (endpoint.address, (endpoint, stays))).collect();
        let born = backend.tenths(now);
        let (mut due, mut others, mut returned) = (None, Vec::new(), Vec::new());
        let next = EndpointSet::new(set, &present, born, |endpoint| {
            let cell = match known.remove(&endpoint.address) {
                Some((cell, stays)) => {
                    let is_other = cell.update(endpoint);
                    if is_other {
                        others.push(Arc::clone(cell));
                    } else if !stays {
                        returned.push(Arc::clone(cell));
                    }
                    if is_other || !stays {
                        cell.reborn(born);
                    }
                    Arc::clone(cell)
                }
                None => Arc::new(Endpoint::new(endpoint, born)),
            };
            due = earliest(due, cell.ramp(tenths(slow_start), born));
            cell
        });
        *leavers = known.into_values().map(|(cell, _)| Arc::clone(cell)).collect();
        backend.replace(next, &others, &returned);
        due.map(|tenths| now + Duration::from_millis(100) * tenths)
    }

    /// Gives the endpoints of a backend the weights that are due at `now`. Says when it is due again; `None` when all have
    /// their full weight.
    pub fn ramp(&self, id: &ir::BackendId, slow_start: Duration, now: Instant) -> Option<Instant> {
        let backend = Arc::clone(&self.entries().get(id)?.backend);
        let present = backend.endpoints.load_full();
        let born = backend.tenths(now);
        let steps = present.iter().map(|endpoint| endpoint.ramp(tenths(slow_start), born));
        let due = steps.fold(None, earliest);
        backend.replace(present.again(), &[], &[]);
        due.map(|tenths| now + Duration::from_millis(100) * tenths)
    }

    /// Backends that are asked who may come in, and do not say.
    pub fn silent(&self) -> BTreeMap<ir::BackendId, Silence> {
        let entries = self.entries();
        let backends = entries.values().map(|entry| &entry.backend);
        backends.filter_map(|backend| Some((backend.id.clone(), backend.asked.fault()?))).collect()
    }

    /// Forgets cells that no table refers to and that have no request in flight.
    pub fn sweep(&self) {
        self.entries().retain(|_, Entry { backend, leavers }| {
            // A request in flight holds its endpoint, and so does a worker that has picked one and not yet counted in.
            if !leavers.is_empty() {
                *leavers = mem::take(leavers).into_iter().filter(|endpoint| Arc::strong_count(endpoint) > 1).collect();
            }
            Arc::strong_count(backend) > 1 || !leavers.is_empty() || backend.in_flight() > 0
        });
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, limits| Arc::strong_count(limits) > 1);
        self.identities().known.retain(|_, identity| identity.strong_count() > 0);
    }

    /// What clients have used of the limits of an Ingress, made if nobody has used any.
    pub fn limits(&self, ingress: &ir::Name) -> Arc<Limits> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            limits
                .entry(ingress.clone())
                .or_insert_with(|| Arc::new(Limits::new(self.epoch, Arc::clone(&self.replicas)))),
        )
    }

    /// The identity that has these settings, made if there is none. One that is back after it was forgotten is another.
    pub fn identity(&self, settings: &Arc<ir::BackendTls>) -> Arc<TlsIdentity> {
        let mut identities = self.identities();
        if let Some(known) = identities.known.get(settings).and_then(Weak::upgrade) {
            return known;
        }
        identities.made += 1;
        let made = Arc::new(TlsIdentity::new(identities.made, Arc::clone(settings)));
        identities.known.insert(Arc::clone(settings), Arc::downgrade(&made));
        made
    }

    fn identities(&self) -> MutexGuard<'_, Identities> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every backend, sorted by identity.
    pub fn backends(&self) -> Vec<Arc<Backend>> {
        let mut backends: Vec<_> = self.entries().values().map(|entry| Arc::clone(&entry.backend)).collect();
        backends.sort_by(|a, b| a.id.cmp(&b.id));
        backends
    }

    fn entry<'a>(&self, entries: &'a mut Entries, id: &ir::BackendId) -> &'a mut Entry {
        entries.entry(id.clone()).or_insert_with(|| Entry {
            backend: Arc::new(Backend::new(id.clone(), self.workers, self.epoch, Arc::clone(&self.news))),
            leavers: Box::default(),
        })
    }

    /// A panic elsewhere leaves the map whole: each change is one insert, one retain or one swap.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn earliest(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    a.into_iter().chain(b).min()
}

fn tenths(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / 100).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(port: u16) -> ir::BackendId {
        ir::BackendId::new(ir::Name::new("shop", "web"), ir::PortKey::Number(port))
    }

    fn set(endpoints: &[(&str, u16, bool)]) -> ir::EndpointSet {
        let endpoint = |&(address, weight, draining): &(&str, u16, bool)| ir::Endpoint {
            address: address.parse().unwrap(),
            pod: Some(format!("pod-{weight}").into()),
            weight,
            key: None,
            draining,
            elsewhere: false,
        };
        ir::EndpointSet::of(endpoints.iter().map(endpoint).collect())
    }

    fn one_of(backend: &Backend, address: &str) -> Arc<Endpoint> {
        let endpoints = backend.endpoints.load();
        Arc::clone(endpoints.iter().find(|endpoint| &*endpoint.text == address).unwrap())
    }

    #[test]
    fn an_endpoint_that_stays_is_the_same_cell_with_its_new_settings() {
        let registry = Registry::new(1);
        let backend = registry.backend(&id(80));
        registry.set_endpoints(&id(80), &set(&[("10.0.0.1:80", 1, false), ("10.0.0.2:80", 1, false)]));
        let before = one_of(&backend, "10.0.0.1:80");
        let flight = Arc::clone(&before).begin();
        registry.set_endpoints(&id(80), &set(&[("10.0.0.1:80", 7, true), ("10.0.0.3:80", 1, false)]));
        let after = one_of(&backend, "10.0.0.1:80");
        assert!(Arc::ptr_eq(&before, &after));
        assert_eq!((after.base(), after.pod().as_deref()), (7, Some("pod-7")));
        assert_eq!(backend.in_flight(), 1);
        assert_eq!(backend.endpoints.load().draining.len(), 1);
        drop(flight);
        assert_eq!(backend.in_flight(), 0);
    }

    #[test]
    fn an_endpoint_that_returns_while_its_requests_run_is_the_same_cell() {
        let registry = Registry::new(1);
        let backend = registry.backend(&id(80));
        registry.set_endpoints(&id(80), &set(&[("10.0.0.1:80", 1, false)]));
        let flight = one_of(&backend, "10.0.0.1:80").begin();
        for away in [set(&[]), set(&[("10.0.0.2:80", 1, false)])] {
            registry.set_endpoints(&id(80), &away);
            registry.sweep();
        }
        registry.set_endpoints(&id(80), &set(&[("10.0.0.1:80", 1, false)]));
        assert!(Arc::ptr_eq(flight.endpoint(), &one_of(&backend, "10.0.0.1:80")));
    }

    #[test]
    fn an_endpoint_that_left_is_forgotten_after_its_last_request() {
        let registry = Registry::new(1);
        let backend = registry.backend(&id(80));
        registry.set_endpoints(&id(80), &set(&[("10.0.0.1:80", 1, false)]));
        let flight = one_of(&backend, "10.0.0.1:80").begin();
        registry.set_endpoints(&id(80), &set(&[]));
        let cell = Arc::downgrade(flight.endpoint());
        registry.sweep();
        assert!(cell.upgrade().is_some());
        drop(flight);
        registry.sweep();
        assert!(cell.upgrade().is_none());
    }

    #[test]
    fn a_backend_is_forgotten_when_nothing_refers_to_it_and_nothing_runs() {
        let registry = Registry::new(1);
        let backend = registry.backend(&id(80));
        registry.set_endpoints(&id(80), &set(&[("10.0.0.1:80", 1, false)]));
        registry.backend(&id(81));
        let flight = one_of(&backend, "10.0.0.1:80").begin();
        registry.sweep();
        assert_eq!(registry.backends().len(), 1, "81 had no reference");
        drop(backend);
        registry.sweep();
        assert_eq!(registry.backends().len(), 1, "a request is in flight");
        drop(flight);
        registry.sweep();
        assert!(registry.backends().is_empty());
    }

    #[test]
    fn draining_endpoints_serve_when_there_is_nothing_else() {
        let registry = Registry::new(1);
        let backend = registry.backend(&id(80));
        registry.set_endpoints(&id(80), &set(&[("10.0.0.1:80", 1, true), ("10.0.0.2:80", 1, true)]));
        let endpoints = backend.endpoints.load();
        assert_eq!((endpoints.candidates.len(), endpoints.draining.len()), (2, 0));
        assert!(endpoints.is_last_resort);
        registry.ramp(&id(80), Duration::from_secs(10), Instant::now());
        assert!(backend.endpoints.load().is_last_resort, "weights do not matter");
        for others in [&[("10.0.0.1:80", 1, true), ("10.0.0.2:80", 1, false)][..], &[]] {
            registry.set_endpoints(&id(80), &set(others));
            assert!(!backend.endpoints.load().is_last_resort, "{others:?}");
        }
    }

    #[test]
    fn since_when_an_endpoint_is_there_and_since_when_it_drains_outlasts_changes_of_others() {
        let registry = Registry::new(1);
        let (backend, start) = (registry.backend(&id(80)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        // To the tenth, from the epoch on.
        let is_at = |moment: Instant, seconds| {
            let early = Duration::from_millis(100);
            moment <= at(seconds) && moment + early > at(seconds)
        };
        let tell = |described: &[(&str, u16, bool)], seconds| {
            registry.set_starting(&id(80), &set(described), Duration::ZERO, at(seconds));
        };
        let drains_since = |address| {
            let set = backend.endpoints.load();
            backend.drains_since(&set, &one_of(&backend, address))
        };
        let (one, two, three) = ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
        tell(&[(one, 1, false), (two, 1, false)], 10);
        assert_eq!(drains_since(one), None);
        tell(&[(one, 1, true), (two, 1, false)], 20);
        tell(&[(one, 1, true), (two, 1, false), (three, 1, true)], 30);
        registry.ramp(&id(80), Duration::ZERO, at(40));
        assert!(is_at(drains_since(one).unwrap(), 20) && is_at(drains_since(three).unwrap(), 30));
        assert!(is_at(backend.came(&one_of(&backend, two)), 10), "it was always there");
        let _kept = one_of(&backend, two).begin();
        tell(&[(one, 1, false)], 50);
        tell(&[(one, 1, false), (two, 1, false)], 60);
        assert!(is_at(backend.came(&one_of(&backend, two)), 60), "it came back");
        assert_eq!(drains_since(one), None);
    }

    #[test]
    fn turns_count_up_for_each_worker_alone() {
        let registry = Registry::new(2);
        let backend = registry.backend(&id(80));
        let first = backend.turn(0);
        backend.turn(1);
        assert_eq!(backend.turn(0), first.wrapping_add(1));
        assert_eq!(backend.turn(5), 0, "there is no worker 5");
    }

    #[test]
    fn the_weight_of_a_new_endpoint_grows_in_ten_steps() {
        let registry = Registry::new(1);
        let backend = registry.backend(&id(80));
        let (slow_start, start) = (Duration::from_secs(10), Instant::now());
        let old = ("10.0.0.1:80", 2, false);
        let later = start + Duration::from_secs(60);
        registry.set_starting(&id(80), &set(&[old]), slow_start, start);
        assert_eq!(registry.ramp(&id(80), slow_start, later), None, "it is old by now");
        let mut due = registry.set_starting(&id(80), &set(&[old, ("10.0.0.2:80", 3, false)]), slow_start, later);
        let mut seen = Vec::new();
        loop {
            let weights = backend.endpoints.load().weights();
            assert_eq!(weights[0], 20, "the old one has its full weight");
            seen.push(weights[1]);
            let Some(next) = due else { break };
            due = registry.ramp(&id(80), slow_start, next);
            assert!(seen.len() < 20, "{seen:?}");
        }
        assert_eq!(seen, [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]);
        let whole = registry.set_starting(&id(80), &set(&[old, ("10.0.0.3:80", 3, false)]), Duration::ZERO, later);
        assert_eq!((whole, backend.endpoints.load().weights()), (None, vec![20, 30]), "off is at once");
    }

    #[test]
    fn an_endpoint_that_comes_back_starts_as_slowly_as_a_new_one() {
        let registry = Registry::new(1);
        let backend = registry.backend(&id(80));
        let (slow_start, start) = (Duration::from_secs(10), Instant::now());
        let (both, one) = ([("10.0.0.1:80", 1, false), ("10.0.0.2:80", 1, false)], [("10.0.0.1:80", 1, false)]);
        registry.set_starting(&id(80), &set(&both), slow_start, start);
        let later = start + Duration::from_secs(60);
        registry.ramp(&id(80), slow_start, later);
        let flight = one_of(&backend, "10.0.0.2:80").begin();
        registry.set_starting(&id(80), &set(&one), slow_start, later);
        registry.set_starting(&id(80), &set(&both), slow_start, later);
        assert!(Arc::ptr_eq(flight.endpoint(), &one_of(&backend, "10.0.0.2:80")));
        assert_eq!(backend.endpoints.load().weights(), [10, 1]);
    }
}
