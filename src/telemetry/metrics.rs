//! Counters of bounded size: one cell for each worker, so that counting costs no shared cache line.

use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use crate::settings::Limit;

/// All metrics of the process.
pub struct Metrics {}

impl Metrics {
    /// Metrics for `workers` workers. `per_ingress` false leaves namespace, ingress and service empty.
    pub fn new(workers: usize, per_ingress: bool) -> Arc<Metrics> {
        let _ = (workers, per_ingress);
        unimplemented!()
    }

    /// The handle of one (namespace, ingress, service); equal arguments give the same series, and the series live as long
    /// as a handle does. No series is printed before its first use.
    pub fn route(&self, namespace: &str, ingress: &str, service: &str) -> RouteMetrics {
        let _ = (namespace, ingress, service);
        unimplemented!()
    }

    /// The cells of worker `index`.
    pub fn worker(&self, index: usize) -> &WorkerMetrics {
        let _ = index;
        unimplemented!()
    }
}

/// Counters of the requests of one (namespace, ingress, service). Cheap to clone.
#[derive(Clone)]
pub struct RouteMetrics {}

impl RouteMetrics {
    /// Counts one finished request.
    pub fn record(&self, worker: usize, status: u16, elapsed: Duration) {
        let _ = (worker, status, elapsed);
        unimplemented!()
    }

    /// Counts one further attempt.
    pub fn retry(&self, worker: usize) {
        let _ = worker;
        unimplemented!()
    }
}

/// Counters that only one worker writes.
pub struct WorkerMetrics {}

impl WorkerMetrics {
    /// Counts a failed or refused request.
    pub fn failure(&self, reason: Failure) {
        let _ = reason;
        unimplemented!()
    }

    /// Counts a breached limit.
    pub fn limit_hit(&self, limit: Limit) {
        let _ = limit;
        unimplemented!()
    }

    /// Counts an accepted connection of listener `http` or `https`; it is open until [`WorkerMetrics::closed`].
    pub fn opened(&self, is_tls: bool) {
        let _ = is_tls;
        unimplemented!()
    }

    /// Counts the end of a connection.
    pub fn closed(&self, is_tls: bool) {
        let _ = is_tls;
        unimplemented!()
    }

    /// Counts a TLS handshake: protocol version (`TLSv1.3`), whether it resumed a session, whether it succeeded.
    pub fn handshake(&self, version: &'static str, resumed: bool, ok: bool) {
        let _ = (version, resumed, ok);
        unimplemented!()
    }

    /// Counts a panic that ended one connection.
    pub fn panicked(&self) {
        unimplemented!()
    }
}
