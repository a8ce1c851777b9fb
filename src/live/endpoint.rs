//! One address of a backend, with what must outlast every change of settings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::backend::{Backend, Ticket};
use super::latency::{Aged, Latency};
use super::standing::{ASIDE, EJECTED, FAILING, History, PROBING, Standing};
use crate::ir;

/// One address of a backend. What requests read and write comes first, so that it shares a cache line with the counts of
/// the `Arc`; what is rarely looked at fills a second one.
#[repr(C)]
pub struct Endpoint {
    /// Requests in flight, over all workers.
    pub in_flight: AtomicU32,
    /// Weight that counts now: [`Endpoint::base`] times [`FULL`], less while it is new and starts slowly.
    pub weight: AtomicU32,
    /// Bits of [`super::standing`]. Those that set it aside change under the lock of the backend only.
    pub(super) standing: AtomicU32,
    /// Failures in a row ([`super::standing::Run`]).
    pub(super) failures: AtomicU32,
    /// When its ejection is over, in microseconds since the backend's epoch.
    pub(super) until: AtomicU64,
    /// Time to the response head ([`Latency`]).
    pub(super) latency: AtomicU64,
    /// Written for the sake of writing ([`Endpoint::touch`]).
    touched: AtomicU32,
    /// Relative weight, 1 to 1000.
    base: AtomicU32,
    /// The address printed, for logs.
    pub text: Box<str>,
    /// Address and port.
    pub address: SocketAddr,
    pod: ArcSwapOption<Pod>,
    /// `None` as long as it was never set aside.
    pub(super) history: ArcSwapOption<History>,
    /// When it came, in tenths of a second since the backend's epoch.
    born: AtomicU32,
    /// When it was checked the last time, in tenths of a second since the backend's epoch; 0 = never.
    pub(super) checked: AtomicU32,
}

/// Who answers at an address.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pod {
    name: Option<Arc<str>>,
    key: Option<Key>,
}

impl Pod {
    /// `None` when nothing is known.
    fn of(endpoint: &ir::Endpoint) -> Option<Pod> {
        let pod = Pod { name: endpoint.pod.clone(), key: endpoint.key };
        (pod != Pod::default()).then_some(pod)
    }

    /// Whether `next` is certainly another one. Keys come and go with the affinity of the backend; of a Pod that was made
    /// anew under its old name only the key differs.
    pub fn is_other(&self, next: &Pod) -> bool {
        self.name != next.name || self.key.zip(next.key).is_some_and(|(before, now)| before != now)
    }
}

/// The counts of an `Arc` take 16 bytes.
const _: () = assert!(size_of::<Endpoint>() + 16 == 2 * 64, "an endpoint is two cache lines");

/// The second half of the sticky cookie of an endpoint ([`ir::Affinity`]).
pub type Key = [u8; 12];

/// The parts of a full weight: slow start gives so many steps.
pub const FULL: u32 = 10;

impl Endpoint {
    /// An endpoint that nobody uses yet, made at `born`, with its full weight.
    pub(super) fn new(endpoint: &ir::Endpoint, born: u32) -> Endpoint {
        let base = u32::from(endpoint.weight.max(1));
        Endpoint {
            in_flight: AtomicU32::new(0),
            weight: AtomicU32::new(base * FULL),
            standing: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            until: AtomicU64::new(0),
            latency: AtomicU64::new(0),
            touched: AtomicU32::new(0),
            text: endpoint.address.to_string().into(),
            address: endpoint.address,
            pod: ArcSwapOption::new(Pod::of(endpoint).map(Arc::new)),
            history: ArcSwapOption::empty(),
            base: AtomicU32::new(base),
            born: AtomicU32::new(born),
            checked: AtomicU32::new(0),
        }
    }

    /// Takes over the weight and the Pod of `endpoint`, which has the same address. Says whether the Pod is another one.
    pub(super) fn update(&self, endpoint: &ir::Endpoint) -> bool {
        let (base, before) = (u32::from(endpoint.weight.max(1)), self.base());
        if base != before {
            let step = self.weight.load(Ordering::Relaxed) / before;
            self.base.store(base, Ordering::Relaxed);
            self.weight.store(base * step, Ordering::Relaxed);
        }
        let next = Pod::of(endpoint);
        if self.pod.load().as_deref() == next.as_ref() {
            return false;
        }
        let before = self.who();
        self.pod.store(next.map(Arc::new));
        before.is_other(&self.who())
    }

    /// Gives it the weight that is due at `now` (tenths of a second) when its weight grows for `slow_start`. Says in how
    /// many tenths the next step is due; `None` when it has its full weight.
    pub(super) fn ramp(&self, slow_start: u32, now: u32) -> Option<u32> {
        let age = now.saturating_sub(self.born.load(Ordering::Relaxed));
        let steps = u64::from(age) * u64::from(FULL) / u64::from(slow_start.max(1));
        let step = if slow_start == 0 { FULL } else { (1 + steps).min(u64::from(FULL)) as u32 };
        self.weight.store(self.base() * step, Ordering::Relaxed);
        let next = (u64::from(slow_start) * u64::from(step)).div_ceil(u64::from(FULL));
        (step < FULL).then(|| u32::try_from(next).unwrap_or(u32::MAX).saturating_sub(age).max(1))
    }

    /// It comes back at `now`: its slow start begins again, and how quick it was before says nothing any more. Else whoever
    /// chooses by latency would leave one that had hung alone for minutes.
    pub(super) fn reborn(&self, now: u32) {
        self.born.store(now, Ordering::Relaxed);
        self.latency.store(0, Ordering::Relaxed);
    }

    /// When it came, or came back the last time, in tenths of a second since the backend's epoch.
    pub(super) fn born(&self) -> u32 {
        self.born.load(Ordering::Relaxed)
    }

    /// Whether nothing has changed about it since `began`, which is `tenths` in tenths of a second of the backend.
    pub(super) fn is_same_since(&self, began: Instant, tenths: u32) -> bool {
        tenths >= self.born.load(Ordering::Relaxed) && self.history().is_none_or(|history| history.since <= began)
    }

    /// Relative weight, 1 to 1000, as it was asked for.
    pub fn base(&self) -> u32 {
        self.base.load(Ordering::Relaxed)
    }

    /// Who has the address now.
    pub fn who(&self) -> Arc<Pod> {
        self.pod.load_full().unwrap_or_default()
    }

    /// Name of the Pod.
    pub fn pod(&self) -> Option<Arc<str>> {
        self.pod.load().as_ref()?.name.clone()
    }

    /// The second half of its sticky cookie, where the backend has one.
    pub fn key(&self) -> Option<Key> {
        self.pod.load().as_ref()?.key
    }

    /// What is thought of it.
    pub fn standing(&self) -> Standing {
        self.standing_by(ASIDE)
    }

    /// What is thought of it, where only the bits of `minded` count.
    pub fn standing_by(&self, minded: u32) -> Standing {
        Standing::of(self.standing.load(Ordering::Relaxed) & minded)
    }

    /// Since when and why it has its standing; `None` if it was never set aside.
    pub fn history(&self) -> Option<Arc<History>> {
        self.history.load_full()
    }

    /// Since when and why it is failing, if it is and stays in use.
    pub fn failing(&self) -> Option<(Instant, Arc<str>)> {
        let is_failing = self.standing.load(Ordering::Relaxed) & FAILING != 0;
        self.history().filter(|_| is_failing)?.failing.clone()
    }

    /// The mean time to a response head; `None` before the first.
    pub fn latency(&self) -> Option<Duration> {
        Latency(self.latency.load(Ordering::Relaxed)).mean().map(|micros| Duration::from_secs_f32(micros / 1e6))
    }

    /// Nothing failed of late, and nothing is thought of it.
    pub fn is_spotless(&self) -> bool {
        self.failures.load(Ordering::Relaxed) | self.standing.load(Ordering::Relaxed) == 0
    }

    /// Whether there is a mean time to a response head.
    pub fn is_measured(&self) -> bool {
        self.latency.load(Ordering::Relaxed) != 0
    }

    /// The mean time to a response head, with its age; `now` in milliseconds of the backend.
    pub fn latency_at(&self, now: u64) -> Option<Aged> {
        Latency(self.latency.load(Ordering::Relaxed)).aged(now)
    }

    /// The same of one that may be set aside, where the bits of `minded` count: one that is to show whether it works again
    /// has none, since the one it had is that of its failures.
    pub fn latency_by(&self, minded: u32, now: u64) -> Option<Aged> {
        self.latency_at(now).filter(|_| self.standing.load(Ordering::Relaxed) & minded & ASIDE == 0)
    }

    /// Takes one more time to a response head into the mean. Of two workers that do so at once one may be lost.
    pub(super) fn measured(&self, latency: Duration, now: u64) {
        let before = Latency(self.latency.load(Ordering::Relaxed));
        self.latency.store(before.with(latency, now).0, Ordering::Relaxed);
    }

    /// The same for a failure ([`Latency::after_failure`]).
    pub(super) fn measured_failure(&self, latency: Duration, now: u64) {
        let before = Latency(self.latency.load(Ordering::Relaxed));
        self.latency.store(before.after_failure(latency, now).0, Ordering::Relaxed);
    }

    /// The same for one that was given up ([`Latency::at_least`]).
    pub(super) fn abandoned(&self, waited: Duration, now: u64) {
        let before = Latency(self.latency.load(Ordering::Relaxed));
        let after = before.at_least(waited, now);
        if after != before {
            self.latency.store(after.0, Ordering::Relaxed);
        }
    }

    /// Says to the processor that the counts are going to be written. It then fetches their cache line once, to write; else
    /// first to read and then again to write, and each time waits for the worker that had it last.
    pub fn touch(&self) {
        self.touched.store(0, Ordering::Relaxed);
    }

    /// Whether it may be picked, where the bits of `minded` count: it is not set aside, or its ejection is over and nobody
    /// tries it right now. `now`, in microseconds of the backend, is only asked for where it was ejected.
    pub fn is_open(&self, minded: u32, now: impl FnOnce() -> u64) -> bool {
        let standing = self.standing.load(Ordering::Relaxed);
        match standing & minded & ASIDE {
            0 => true,
            EJECTED => standing & PROBING == 0 && self.until.load(Ordering::Relaxed) <= now(),
            _ => false,
        }
    }

    /// Takes it for a request, after [`Endpoint::is_open`] said yes; `total`: the backend whose total counts, and the worker
    /// that counts. `None` if somebody else was quicker to try one that was ejected.
    pub fn claim(self: &Arc<Self>, minded: u32, total: Option<(&Backend, usize)>) -> Option<InFlight> {
        let is_probe = self.standing.load(Ordering::Relaxed) & minded & EJECTED != 0;
        if is_probe && self.standing.fetch_or(PROBING, Ordering::Relaxed) & PROBING != 0 {
            return None;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(InFlight {
            endpoint: Arc::clone(self),
            is_probe,
            wait: None,
            _ticket: total.and_then(|(backend, worker)| backend.ticket(worker)),
        })
    }

    /// Counts a request in; it counts until the guard is dropped.
    pub fn begin(self: Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { endpoint: self, is_probe: false, wait: None, _ticket: None }
    }
}

/// One request in flight at an endpoint.
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    /// It decides whether an ejected endpoint comes back.
    is_probe: bool,
    wait: Option<Wait>,
    /// Held so that it counts in the total of the backend.
    _ticket: Option<Arc<Ticket>>,
}

/// A wait for a response head that counts even if it has no end.
struct Wait {
    began: Instant,
    /// The same in milliseconds of the backend.
    millis: u64,
}

impl InFlight {
    /// From `began` on it waits for a response head. If it is dropped before [`InFlight::end_wait`], because the client left,
    /// whoever chooses by latency learns how long that was: else an endpoint that hangs would look as quick as before, and
    /// idle, as long as all its clients lose patience.
    pub fn wait(&mut self, backend: &Backend, began: Instant) {
        self.wait = Some(Wait { began, millis: backend.millis(began) });
    }

    /// The wait is over, and not because the client left.
    pub fn end_wait(&mut self) {
        self.wait = None;
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Lets others try the endpoint.
    pub(super) fn end_probe(&mut self) {
        if std::mem::take(&mut self.is_probe) {
            self.endpoint.standing.fetch_and(!PROBING, Ordering::Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.end_probe();
        if let Some(wait) = &self.wait {
            wait.abandoned(&self.endpoint);
        }
    }
}

impl Wait {
    /// Nobody waits any longer.
    #[cold]
    fn abandoned(&self, endpoint: &Endpoint) {
        let Wait { began, millis } = *self;
        let tenths = u32::try_from(millis / 100).map_or(u32::MAX, |tenths| tenths.saturating_add(1));
        if endpoint.is_same_since(began, tenths) {
            let waited = tokio::time::Instant::now().into_std().saturating_duration_since(began);
            let now = millis.wrapping_add(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
            endpoint.abandoned(waited, now);
        }
    }
}
