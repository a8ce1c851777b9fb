//! Counters of requests by Ingress and Service, with one set of cells for each worker that uses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::cell::Cell;
use crate::telemetry::PerWorker;

/// Upper bounds of the buckets of every histogram, in seconds.
pub(super) const BOUNDS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0];
const BOUNDS_NANOS: [u64; 6] = [5_000_000, 25_000_000, 100_000_000, 500_000_000, 1_000_000_000, 5_000_000_000];

/// Counters of the requests of one (namespace, ingress, service). Cheap to clone.
#[derive(Clone)]
pub struct RouteMetrics {
    series: Arc<RouteSeries>,
}

impl RouteMetrics {
    /// Counts one finished request. `worker` is the caller's own index: two threads must not use the same one.
    pub fn record(&self, worker: usize, status: u16, elapsed: Duration) {
        let Some(cells) = self.series.cells.cell(worker, RouteCells::default) else { return };
        if let Some(class) = cells.classes.get(usize::from(status / 100).clamp(1, 5) - 1) {
            class.add(1);
        }
        let nanos = nanos(elapsed);
        if let Some(bucket) = cells.buckets.get(bucket(nanos)) {
            bucket.add(1);
        }
        cells.nanos.add(nanos);
    }

    /// Counts one further attempt, under the same rule for `worker`.
    pub fn retry(&self, worker: usize) {
        if let Some(cell) = self.series.service.cells.cell(worker, Cell::default) {
            cell.add(1);
        }
    }
}

/// Nanoseconds; 584 years at most.
pub(super) fn nanos(elapsed: Duration) -> u64 {
    elapsed.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(elapsed.subsec_nanos()))
}

/// Index of the bucket: a duration equal to a bound is within it.
pub(super) fn bucket(nanos: u64) -> usize {
    BOUNDS_NANOS.iter().map(|bound| usize::from(nanos > *bound)).sum()
}

struct RouteSeries {
    service: Arc<ServiceSeries>,
    cells: PerWorker<RouteCells>,
}

struct ServiceSeries {
    cells: PerWorker<Cell>,
}

#[derive(Default)]
struct RouteCells {
    classes: [Cell; 5],
    buckets: [Cell; BOUNDS.len() + 1],
    nanos: Cell,
}

/// The requests of one route, over all workers.
#[derive(Default)]
pub(super) struct RouteTotals {
    /// By class, 1xx first.
    pub(super) classes: [u64; 5],
    /// In each bucket.
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    /// Time in all, seconds.
    pub(super) seconds: f64,
}

/// Namespace, ingress, service.
pub(super) type RouteKey = (Arc<str>, Arc<str>, Arc<str>);
/// Namespace, service.
pub(super) type ServiceKey = (Arc<str>, Arc<str>);

/// Every series with a living handle.
pub(super) struct Routes {
    workers: usize,
    maps: Mutex<Maps>,
}

struct Maps {
    routes: BTreeMap<RouteKey, Weak<RouteSeries>>,
    services: BTreeMap<ServiceKey, Weak<ServiceSeries>>,
    /// Forgotten series are removed when there are more entries than this, so that the cost is spread evenly.
    sweep_at: usize,
}

impl Routes {
    pub(super) fn new(workers: usize) -> Routes {
        let maps = Maps { routes: BTreeMap::new(), services: BTreeMap::new(), sweep_at: 64 };
        Routes { workers, maps: Mutex::new(maps) }
    }

    /// The handle of a key; the same series as long as any handle of it lives.
    pub(super) fn handle(
        &self,
        namespace: impl Into<Arc<str>>,
        ingress: impl Into<Arc<str>>,
        service: impl Into<Arc<str>>,
    ) -> RouteMetrics {
        let key: RouteKey = (namespace.into(), ingress.into(), service.into());
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = maps.routes.get(&key).and_then(Weak::upgrade) {
            return RouteMetrics { series };
        }
        if maps.routes.len() >= maps.sweep_at {
            maps.sweep();
            maps.sweep_at = 2 * maps.routes.len() + 64;
        }
        let service_key: ServiceKey = (Arc::clone(&key.0), Arc::clone(&key.2));
        let service = maps.services.get(&service_key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let service = Arc::new(ServiceSeries { cells: PerWorker::new(self.workers) });
            maps.services.insert(service_key, Arc::downgrade(&service));
            service
        });
        let series = Arc::new(RouteSeries { service, cells: PerWorker::new(self.workers) });
        maps.routes.insert(key, Arc::downgrade(&series));
        RouteMetrics { series }
    }

    /// Routes that had requests.
    pub(super) fn totals(&self) -> Vec<(RouteKey, RouteTotals)> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        maps.sweep();
        let live = maps.routes.iter().filter_map(|(key, series)| Some((key, series.upgrade()?)));
        live.filter_map(|(key, series)| Some((key.clone(), total(&series)?))).collect()
    }

    /// Services that had retries.
    pub(super) fn retries(&self) -> Vec<(ServiceKey, u64)> {
        let maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let live = maps.services.iter().filter_map(|(key, series)| Some((key, series.upgrade()?)));
        let counted = live.map(|(key, series)| (key.clone(), series.cells.used().map(Cell::load).sum()));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// Entries kept, living or not.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.maps.lock().unwrap().routes.len()
    }
}

impl Maps {
    fn sweep(&mut self) {
        self.routes.retain(|_, series| series.strong_count() > 0);
        self.services.retain(|_, series| series.strong_count() > 0);
    }
}

fn total(series: &RouteSeries) -> Option<RouteTotals> {
    let mut totals = RouteTotals::default();
    let mut nanos = 0_u64;
    for cells in series.cells.used() {
        for (total, cell) in totals.classes.iter_mut().zip(&cells.classes) {
            *total = total.wrapping_add(cell.load());
        }
        for (total, cell) in totals.buckets.iter_mut().zip(&cells.buckets) {
            *total = total.wrapping_add(cell.load());
        }
        nanos = nanos.wrapping_add(cells.nanos.load());
    }
    totals.seconds = Duration::from_nanos(nanos).as_secs_f64();
    totals.buckets.iter().any(|count| *count > 0).then_some(totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_equal_to_a_bound_is_within_it() {
        for (nanos, index) in
            [(0, 0), (5_000_000, 0), (5_000_001, 1), (1_000_000_000, 4), (5_000_000_000, 5), (u64::MAX, 6)]
        {
            assert_eq!(bucket(nanos), index, "{nanos}");
        }
        for (seconds, nanos) in BOUNDS.iter().zip(BOUNDS_NANOS) {
            assert_eq!((seconds * 1e9) as u64, nanos);
        }
    }

    #[test]
    fn statuses_outside_of_1xx_to_5xx_count_at_the_nearest_class() {
        let routes = Routes::new(1);
        let route = routes.handle("n", "i", "s");
        for status in [0, 101, 204, 301, 499, 502, 999] {
            route.record(0, status, Duration::ZERO);
        }
        assert_eq!(routes.totals()[0].1.classes, [2, 1, 1, 1, 2]);
    }

    #[test]
    fn equal_keys_share_a_series_and_workers_add_up() {
        let routes = Routes::new(2);
        let (one, two) = (routes.handle("n", "i", "s"), routes.handle("n", "i", "s"));
        one.record(0, 200, Duration::from_millis(500));
        two.record(1, 200, Duration::from_millis(250));
        one.record(2, 200, Duration::ZERO);
        let totals = routes.totals();
        assert_eq!(totals.len(), 1);
        assert_eq!(totals[0].1.classes, [0, 2, 0, 0, 0], "there is no third worker");
        assert_eq!(totals[0].1.buckets, [0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(totals[0].1.seconds, 0.75);
    }

    #[test]
    fn a_series_lives_as_long_as_a_handle_and_is_forgotten_then() {
        let routes = Routes::new(1);
        let old = routes.handle("n", "i", "s");
        old.record(0, 200, Duration::ZERO);
        let new = routes.handle("n", "i", "s");
        drop(old);
        assert_eq!(routes.totals()[0].1.classes[1], 1, "a new table took the handle before the old one let go");
        drop(new);
        assert!(routes.totals().is_empty());
        let back = routes.handle("n", "i", "s");
        back.record(0, 200, Duration::ZERO);
        assert_eq!(routes.totals()[0].1.classes[1], 1);
    }

    #[test]
    fn retries_belong_to_the_service_whatever_the_ingress() {
        let routes = Routes::new(1);
        let (one, two) = (routes.handle("n", "one", "s"), routes.handle("n", "two", "s"));
        assert!(routes.retries().is_empty());
        one.retry(0);
        two.retry(0);
        assert_eq!(routes.retries(), [(("n".into(), "s".into()), 2)]);
    }

    #[test]
    fn forgotten_series_do_not_pile_up_without_a_reader() {
        let routes = Routes::new(1);
        for round in 0..10_000 {
            let _ = routes.handle("n", round.to_string(), "s");
        }
        assert!(routes.entries() < 200, "{}", routes.entries());
    }
}
