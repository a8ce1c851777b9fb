//! One backend: its endpoints, and what must outlast every table that names it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;

use super::{EndpointSet, RetryBudget};
use crate::ir;
use crate::telemetry::PerWorker;

/// A backend as long as anything refers to it.
pub struct Backend {
    /// Identity.
    pub id: ir::BackendId,
    /// Present endpoints; replaced whole.
    pub endpoints: ArcSwap<EndpointSet>,
    /// How many retries it may still get.
    pub retries: RetryBudget,
    cursors: PerWorker<AtomicU32>,
}

impl Backend {
    /// A backend without endpoints. Seconds of the retry budget begin at `epoch`.
    pub(super) fn new(id: ir::BackendId, workers: usize, epoch: Instant) -> Backend {
        Backend {
            id,
            endpoints: ArcSwap::from(Arc::new(EndpointSet::default())),
            retries: RetryBudget::new(workers, epoch),
            cursors: PerWorker::new(workers),
        }
    }

    /// The turn of the next request on `worker`: counts up by one from a random start and wraps. Only `worker` itself
    /// may name its index.
    pub fn turn(&self, worker: usize) -> u32 {
        let Some(cursor) = self.cursors.cell(worker, || AtomicU32::new(fastrand::u16(..).into())) else { return 0 };
        let turn = cursor.load(Ordering::Relaxed);
        cursor.store(turn.wrapping_add(1), Ordering::Relaxed);
        turn
    }

    /// Requests in flight at the present endpoints, over all workers.
    pub fn in_flight(&self) -> u64 {
        self.endpoints.load().iter().map(|endpoint| u64::from(endpoint.in_flight.load(Ordering::Relaxed))).sum()
    }
}
