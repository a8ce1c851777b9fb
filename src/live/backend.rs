//! One backend: its endpoints, and what must outlast every table that names it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::transition::News;
use super::{Asked, Endpoint, EndpointSet, RetryBudget};
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
    epoch: Instant,
    /// Requests in flight at all endpoints by the worker that picked, where the algorithm asks for the mean.
    picked: PerWorker<Picked>,
    /// Requests that a limit counts. Made where there is one: it costs every request a word that all workers write.
    admitted: OnceLock<Box<Count>>,
    /// Whoever sets an endpoint aside, takes it back or replaces the set holds it. No request waits for it but the one
    /// that changes a standing.
    changes: Mutex<()>,
    /// How it answers those who ask it who may come in.
    pub asked: Asked,
    pub(super) news: Arc<News>,
}

/// Requests in flight. On a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Count(AtomicU32);

impl Count {
    /// One less.
    fn end(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The requests in flight that one worker picked endpoints for.
#[derive(Default)]
struct Picked {
    /// Each holds one.
    ticket: Arc<Ticket>,
    /// How many those of the other workers were when it looked last (lower half), and the millisecond of that (upper half).
    others: AtomicU64,
}

/// What the requests in flight of one worker hold: the references to it are their count, so that one write both counts a
/// request and keeps the counter. On a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Ticket;

impl Picked {
    /// How many there are: those who hold the ticket, but for itself.
    fn count(&self) -> u64 {
        Arc::strong_count(&self.ticket).saturating_sub(1) as u64
    }
}

/// The lower half of a word.
const LOW: u64 = u32::MAX as u64;

impl Backend {
    /// A backend without endpoints. Seconds of the retry budget begin at `epoch`.
    pub(super) fn new(id: ir::BackendId, workers: usize, epoch: Instant, news: Arc<News>) -> Backend {
        Backend {
            id,
            endpoints: ArcSwap::from(Arc::new(EndpointSet::default())),
            retries: RetryBudget::new(workers, epoch),
            cursors: PerWorker::new(workers),
            epoch,
            picked: PerWorker::new(workers),
            admitted: OnceLock::new(),
            changes: Mutex::default(),
            asked: Asked::default(),
            news,
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

    /// Lets a request in while fewer than `most` are; it counts until the guard is dropped.
    pub fn admit(self: &Arc<Self>, most: u32) -> Option<Admitted> {
        // Taken first and given back: of two that come at once for the last place only one may get it.
        if self.admitted().0.fetch_add(1, Ordering::Relaxed) >= most {
            self.admitted().end();
            return None;
        }
        Some(Admitted(Arc::clone(self)))
    }

    /// Requests in flight that were counted by all workers: reads a word of each.
    pub fn counted(&self) -> u64 {
        self.picked.used().map(Picked::count).sum()
    }

    /// Those that `worker` counted.
    pub fn counted_by(&self, worker: usize) -> u64 {
        self.picked.cell(worker, Picked::default).map_or(0, Picked::count)
    }

    /// The same as [`Backend::counted`], with those of the other workers as `worker` saw them in this millisecond: a word that
    /// another one writes all the time takes longer to read than all the rest of a pick, and then longer to write.
    pub fn counted_lately(&self, worker: usize, now: Instant) -> u64 {
        let Some(picked) = self.picked.cell(worker, Picked::default) else { return self.counted() };
        let (millis, own) = (self.millis(now) << 32, picked.count());
        let seen = picked.others.load(Ordering::Relaxed);
        if seen & !LOW == millis {
            return own + (seen & LOW);
        }
        let others = self.counted().saturating_sub(own).min(LOW);
        picked.others.store(millis | others, Ordering::Relaxed);
        own + others
    }

    /// Counts one more request that `worker` picked an endpoint for, until the ticket is dropped.
    pub(super) fn ticket(&self, worker: usize) -> Option<Arc<Ticket>> {
        self.picked.cell(worker, Picked::default).map(|picked| Arc::clone(&picked.ticket))
    }

    fn admitted(&self) -> &Count {
        self.admitted.get_or_init(Box::default)
    }

    /// Microseconds since the epoch.
    pub fn micros(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        since.as_secs().saturating_mul(1_000_000).saturating_add(since.subsec_micros().into())
    }

    /// Milliseconds since the epoch.
    pub fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        since.as_secs().wrapping_mul(1_000).wrapping_add(since.subsec_millis().into())
    }

    /// Tenths of a second since the epoch, from 1.
    pub(super) fn tenths(&self, now: Instant) -> u32 {
        u32::try_from(self.millis(now) / 100).map_or(u32::MAX, |tenths| tenths.saturating_add(1))
    }

    /// The moment that [`Backend::tenths`] gave.
    pub(super) fn at_tenths(&self, tenths: u32) -> Instant {
        self.epoch + Duration::from_millis(100) * tenths.saturating_sub(1)
    }

    /// When `endpoint` became known, or came back the last time.
    pub fn came(&self, endpoint: &Endpoint) -> Instant {
        self.at_tenths(endpoint.born())
    }

    /// When the ejection of `endpoint` is over, if it is ejected.
    pub fn ejected_until(&self, endpoint: &Endpoint) -> Instant {
        self.epoch + Duration::from_micros(endpoint.until.load(Ordering::Relaxed))
    }

    /// Since when `endpoint` drains; `None` if it does not.
    pub fn drains_since(&self, set: &EndpointSet, endpoint: &Endpoint) -> Option<Instant> {
        set.drains_since(endpoint).map(|tenths| self.at_tenths(tenths))
    }

    /// Keeps everybody else from changing a standing or the set. A panic elsewhere leaves both whole.
    pub(super) fn changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request within the limit of its backend.
pub struct Admitted(Arc<Backend>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.admitted().end();
    }
}
