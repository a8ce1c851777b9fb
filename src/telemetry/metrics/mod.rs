//! Counters of bounded size: one cell for each worker, so that counting costs no shared cache line.

mod cell;
mod process;
mod route;
mod watch;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

pub use self::route::RouteMetrics;
use self::route::{BOUNDS, Routes};
pub use self::watch::WatchAge;
use self::worker::Totals;
pub use self::worker::{Copied, Gauge, WorkerMetrics};
use super::exposition::{Kind, Page};
use crate::ir::{Certificate, CertificateOrigin, Kind as ObjectKind, Name, Problem};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// All metrics of the process.
pub struct Metrics {
    per_ingress: bool,
    workers: Box<[WorkerMetrics]>,
    routes: Routes,
    control: Mutex<Control>,
    generation: AtomicU64,
    /// Not set where there is no Lease.
    leader: OnceLock<AtomicBool>,
    dropped: Arc<AtomicU64>,
    panics: AtomicU64,
}

/// What the control thread counts: rare, so a lock does.
#[derive(Default)]
struct Control {
    applied: [u64; BOUNDS.len() + 1],
    apply_nanos: u64,
    problems: BTreeMap<(&'static str, &'static str), u64>,
    certificates: Vec<(Name, i64)>,
    watches: Vec<(&'static str, Arc<WatchAge>)>,
    /// Verb, resource, status.
    refusals: BTreeMap<(&'static str, &'static str, u16), u64>,
    /// Those for which there was no room.
    other_refusals: u64,
}

/// Most refusals of the API server that are told apart: it may answer anything with any status.
const REFUSALS: usize = 24;

impl Metrics {
    /// Metrics for `workers` workers. `per_ingress` false leaves namespace, ingress and service empty.
    pub fn new(workers: usize, per_ingress: bool) -> Arc<Metrics> {
        Arc::new(Metrics {
            per_ingress,
            workers: (0..workers.max(1)).map(|_| WorkerMetrics::new()).collect(),
            routes: Routes::new(workers.max(1)),
            control: Mutex::default(),
            generation: AtomicU64::new(0),
            leader: OnceLock::new(),
            dropped: Arc::default(),
            panics: AtomicU64::new(0),
        })
    }

    /// The handle of one (namespace, ingress, service); equal arguments give the same series, and the series live as long
    /// as a handle does. No series is printed before its first use. Requests without a route count under empty names.
    pub fn route(
        &self,
        namespace: impl Into<Arc<str>>,
        ingress: impl Into<Arc<str>>,
        service: impl Into<Arc<str>>,
    ) -> RouteMetrics {
        if self.per_ingress { self.routes.handle(namespace, ingress, service) } else { self.routes.handle("", "", "") }
    }

    /// The cells of worker `index`, which only that worker writes. An index that does not exist gets those of the first.
    #[expect(clippy::expect_used, reason = "`new` makes at least one, and the number never changes")]
    pub fn worker(&self, index: usize) -> &WorkerMetrics {
        let first = self.workers.first();
        self.workers.get(index).or(first).expect("Metrics::new makes at least one worker")
    }

    /// Whether namespace, ingress and service are printed.
    pub fn is_per_ingress(&self) -> bool {
        self.per_ingress
    }

    /// Counts a table that is served `elapsed` after the event that led to it, and its generation.
    pub fn applied(&self, generation: u64, elapsed: Duration) {
        self.generation.store(generation, Ordering::Relaxed);
        let nanos = route::nanos(elapsed);
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = control.applied.get_mut(route::bucket(nanos)) {
            *bucket += 1;
        }
        control.apply_nanos = control.apply_nanos.wrapping_add(nanos);
    }

    /// Replaces the present problems.
    pub fn set_problems<'p>(&self, problems: impl IntoIterator<Item = &'p Problem>) {
        let mut counts = BTreeMap::new();
        for problem in problems {
            *counts.entry((problem.severity.as_str(), problem.reason.as_str())).or_default() += 1;
        }
        self.control.lock().unwrap_or_else(PoisonError::into_inner).problems = counts;
    }

    /// Replaces the certificates whose expiry is shown: those that a Secret holds.
    pub fn set_certificates<'c>(&self, certificates: impl IntoIterator<Item = &'c Certificate>) {
        let of_secret = |certificate: &'c Certificate| match &certificate.origin {
            CertificateOrigin::SelfMade => None,
            CertificateOrigin::Secret(name) => Some((name.clone(), certificate.not_after)),
        };
        let list = certificates.into_iter().filter_map(of_secret).collect();
        self.control.lock().unwrap_or_else(PoisonError::into_inner).certificates = list;
    }

    /// A watch of `kind`, which is heard from now on.
    pub fn watch(&self, kind: ObjectKind) -> Arc<WatchAge> {
        let age = Arc::new(WatchAge::new());
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        control.watches.push((kind.as_str(), Arc::clone(&age)));
        age
    }

    /// Counts a request that the API server answered with the status of an error.
    pub fn api_refused(&self, verb: &'static str, resource: &'static str, code: u16) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (verb, resource, code);
        if control.refusals.len() < REFUSALS || control.refusals.contains_key(&key) {
            *control.refusals.entry(key).or_default() += 1;
        } else {
            control.other_refusals += 1;
        }
    }

    /// Says whether this process holds the Lease; until then nothing is shown of it.
    pub fn set_leader(&self, is_leader: bool) {
        self.leader.get_or_init(AtomicBool::default).store(is_leader, Ordering::Relaxed);
    }

    /// The counter of log lines that found no room; the logs add to it.
    pub fn dropped_lines(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Counts a panic outside of the workers.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Panics so far, of all threads.
    pub fn panics(&self) -> u64 {
        Totals(&self.workers).panics() + self.panics.load(Ordering::Relaxed)
    }

    /// Writes every family that is counted here. `now` is in seconds since the epoch.
    pub fn write(&self, page: &mut Page, now: i64) {
        self.write_requests(page);
        self.write_workers(page);
        self.write_control(page, now);
        page.family(Kind::Counter, "fairlead_log_dropped_total", "Log lines that found no room in the queue.")
            .count(&[], self.dropped.load(Ordering::Relaxed));
        page.family(Kind::Counter, "fairlead_panics_total", "Panics; each ended one connection at most.")
            .count(&[], self.panics());
        page.family(Kind::Gauge, "fairlead_build_info", "The running version; always 1.")
            .count(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        process::write(page);
    }

    fn write_requests(&self, page: &mut Page) {
        let routes = self.routes.totals();
        let mut requests = page.family(Kind::Counter, "fairlead_requests_total", "Requests answered.");
        for ((namespace, ingress, service), totals) in &routes {
            for (class, count) in CLASSES.iter().zip(totals.classes).filter(|(_, count)| *count > 0) {
                let labels =
                    [("namespace", &**namespace), ("ingress", ingress), ("service", service), ("class", class)];
                requests.count(&labels, count);
            }
        }
        let help = "Time from the first byte of a request to the last byte of its answer.";
        let mut seconds = page.family(Kind::Histogram, "fairlead_request_seconds", help);
        for ((namespace, ingress, service), totals) in &routes {
            let labels = [("namespace", &**namespace), ("ingress", ingress), ("service", service)];
            seconds.histogram(&labels, &BOUNDS, &totals.buckets, totals.seconds);
        }
        let mut retries = page.family(Kind::Counter, "fairlead_retries_total", "Attempts after the first.");
        for ((namespace, service), count) in self.routes.retries() {
            retries.count(&[("namespace", &namespace), ("service", &service)], count);
        }
    }

    fn write_workers(&self, page: &mut Page) {
        let totals = Totals(&self.workers);
        let mut failures = page.family(Kind::Counter, "fairlead_failures_total", "Requests failed or refused.");
        for (reason, count) in totals.failures() {
            failures.count(&[("reason", reason)], count);
        }
        let mut present = page.family(Kind::Gauge, "fairlead_connections", "Client connections now.");
        for (listener, _, active, idle) in totals.connections() {
            present.count(&[("listener", listener), ("state", "active")], active);
            present.count(&[("listener", listener), ("state", "idle")], idle);
        }
        let mut accepted = page.family(Kind::Counter, "fairlead_connections_total", "Client connections accepted.");
        for (listener, opened, ..) in totals.connections() {
            accepted.count(&[("listener", listener)], opened);
        }
        let mut limits = page.family(Kind::Counter, "fairlead_limit_hits_total", "Breaches of a limit.");
        for (limit, count) in totals.limits() {
            limits.count(&[("limit", limit)], count);
        }
        let (hits, misses) = totals.lookups();
        let help = "Requests on routes with a cache that the backend was asked for.";
        for (name, help, count) in [
            ("fairlead_cache_hits_total", "Requests that the cache answered.", hits),
            ("fairlead_cache_misses_total", help, misses),
        ] {
            let mut family = page.family(Kind::Counter, name, help);
            if count > 0 {
                family.count(&[], count);
            }
        }
        let mut copies = page.family(Kind::Counter, "fairlead_mirror_copies_total", "Copies of requests.");
        for (result, count) in totals.copies() {
            copies.count(&[("result", result)], count);
        }
        let mut handshakes = page.family(Kind::Counter, "fairlead_tls_handshakes_total", "TLS handshakes of clients.");
        for (version, resumed, result, count) in totals.handshakes() {
            handshakes.count(&[("version", version), ("resumed", resumed), ("result", result)], count);
        }
        let help = "TLS connections that were passed on unopened and ended, or that nobody took.";
        let mut passed = page.family(Kind::Counter, "fairlead_passthrough_connections_total", help);
        for (result, count) in totals.passed_on() {
            passed.count(&[("result", result)], count);
        }
    }

    fn write_control(&self, page: &mut Page, now: i64) {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let mut earliest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (name, not_after) in &control.certificates {
            let namespace = if self.per_ingress { &*name.namespace } else { "" };
            let entry = earliest.entry((namespace, &name.name)).or_insert(*not_after);
            *entry = (*entry).min(*not_after);
        }
        let help = "Seconds until the certificate expires; negative afterwards.";
        let mut expiry = page.family(Kind::Gauge, "fairlead_certificate_expiry_seconds", help);
        for ((namespace, secret), not_after) in earliest {
            // Exact: no date is 2^53 seconds away.
            expiry.value(&[("namespace", namespace), ("secret", secret)], not_after.saturating_sub(now) as f64);
        }
        let help = "Time from a change of the configuration until it is served.";
        let mut apply = page.family(Kind::Histogram, "fairlead_apply_seconds", help);
        if control.applied.iter().any(|count| *count > 0) {
            let seconds = Duration::from_nanos(control.apply_nanos).as_secs_f64();
            apply.histogram(&[], &BOUNDS, &control.applied, seconds);
        }
        page.family(Kind::Gauge, "fairlead_table_generation", "Tables published since the start.")
            .count(&[], self.generation.load(Ordering::Relaxed));
        let mut leader = page.family(Kind::Gauge, "fairlead_leader", "Whether this process holds the Lease.");
        if let Some(is_leader) = self.leader.get() {
            leader.count(&[], u64::from(is_leader.load(Ordering::Relaxed)));
        }
        let help = "Seconds since the API server last said something about this kind of object.";
        let mut ages = page.family(Kind::Gauge, "fairlead_watch_age_seconds", help);
        let mut oldest: BTreeMap<&str, Duration> = BTreeMap::new();
        for (kind, age) in &control.watches {
            let oldest = oldest.entry(*kind).or_default();
            *oldest = (*oldest).max(age.age());
        }
        for (kind, age) in oldest {
            ages.value(&[("kind", kind)], age.as_secs_f64());
        }
        let help = "Requests that the API server refused.";
        let mut refusals = page.family(Kind::Counter, "fairlead_api_refusals_total", help);
        for ((verb, resource, code), count) in &control.refusals {
            refusals.count(&[("verb", verb), ("resource", resource), ("code", &code.to_string())], *count);
        }
        if control.other_refusals > 0 {
            let other = [("verb", "other"), ("resource", "other"), ("code", "other")];
            refusals.count(&other, control.other_refusals);
        }
        let mut problems = page.family(Kind::Gauge, "fairlead_problems", "Things wrong with the configuration now.");
        for ((severity, reason), count) in &control.problems {
            problems.count(&[("severity", severity), ("reason", reason)], *count);
        }
    }
}

#[cfg(test)]
mod tests;
