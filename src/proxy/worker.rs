//! What one worker holds: its view of the table, its pool, its end of the log. Nothing of it is shared between threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::Clock;
use super::drain::{Drain, Phase};
use super::encode::Encoders;
use super::external::Remembered;
use super::io::Watches;
use super::mirror::Copies;
use super::passwords::Passwords;
use super::spare::Spare;
use super::tls::BackendTls;
use super::upstream::http2::Http2Pool;
use super::upstream::pool::Pool;
use crate::ir::{Clients, Globals, LineFormat, Logging};
use crate::settings::Limits;
use crate::table::{Pin, Pinned};
use crate::telemetry::access_log::Further;
use crate::telemetry::{AccessWriter, Metrics, Record, WorkerMetrics};

/// How long an idle connection waits for one more request once the listeners are closed: a client that is about to send
/// one gets its answer with `Connection: close` instead of a reset.
const LAST_CALL: Duration = Duration::from_secs(1);

/// One worker's state, on its own thread.
pub struct Worker {
    /// Which worker.
    pub index: usize,
    pin: Pin,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    log: RefCell<Option<AccessWriter>>,
    drain: Rc<Drain>,
    connector: BackendTls,
    pool: Pool,
    http2_pool: Http2Pool,
    clock: Clock,
    spare: Spare,
    encoders: Encoders,
    passwords: Passwords,
    remembered: Arc<Remembered>,
    copies: Copies,
    watches: Watches,
    closing_since: Cell<Option<Instant>>,
    sampled: Cell<u8>,
    connections: RefCell<Connections>,
}

#[derive(Default)]
struct Connections {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// Of so many requests one is a sample.
const SAMPLE: u8 = 8;

impl Worker {
    /// A worker without connections.
    pub(super) fn new(
        index: usize,
        pin: Pin,
        limits: Arc<Limits>,
        metrics: Arc<Metrics>,
        log: Option<AccessWriter>,
        drain: Rc<Drain>,
        connector: BackendTls,
    ) -> Worker {
        Worker {
            index,
            pin,
            limits,
            metrics,
            log: RefCell::new(log),
            drain,
            connector,
            pool: Pool::default(),
            http2_pool: Http2Pool::default(),
            clock: Clock::default(),
            spare: Spare::default(),
            encoders: Encoders::default(),
            passwords: Passwords::new(),
            remembered: Arc::default(),
            copies: Copies::default(),
            watches: Watches::new(0),
            closing_since: Cell::default(),
            sampled: Cell::default(),
            connections: RefCell::default(),
        }
    }

    /// Whether this is the one in [`SAMPLE`] that is looked at more closely.
    pub fn is_sample(&self) -> bool {
        let sampled = self.sampled.get().wrapping_add(1) % SAMPLE;
        self.sampled.set(sampled);
        sampled == 0
    }

    /// The worker with so many watches for clients that leave, and with what all workers remember.
    pub(super) fn with(self, watches: usize, remembered: Arc<Remembered>) -> Worker {
        Worker { watches: Watches::new(watches), remembered, ..self }
    }

    /// The table of the moment; a request asks once and keeps it.
    pub fn table(&self) -> Rc<Pinned> {
        self.pin.table()
    }

    /// What is set of clients' connections at the moment.
    pub fn clients(&self) -> Clients {
        self.table().globals().clients
    }

    /// Limits of the process.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// This worker's counters.
    pub fn metrics(&self) -> &WorkerMetrics {
        self.metrics.worker(self.index)
    }

    /// TLS towards back ends.
    pub(super) fn connector(&self) -> &BackendTls {
        &self.connector
    }

    /// Idle upstream connections.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// HTTP/2 connections to back ends.
    pub fn http2_pool(&self) -> &Http2Pool {
        &self.http2_pool
    }

    /// Buffers to lend.
    pub fn spare(&self) -> &Spare {
        &self.spare
    }

    /// What compresses answers.
    pub(super) fn encoders(&self) -> &Encoders {
        &self.encoders
    }

    /// Passwords that were right.
    pub(super) fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// What services said about who may come in.
    pub(super) fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// Copies of requests that are under way.
    pub(super) fn copies(&self) -> &Copies {
        &self.copies
    }

    /// The watches for clients that leave.
    pub(super) fn watches(&self) -> &Watches {
        &self.watches
    }

    /// The time of day.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether there is an access log.
    pub fn has_log(&self) -> bool {
        self.log.borrow().is_some()
    }

    /// How the access log is written, if its lines name fields of answers.
    pub fn keeps(&self, globals: &Globals) -> Option<Arc<Logging>> {
        let rules = globals.access_log.as_ref()?;
        let LineFormat { sent, received, .. } = rules.format.as_ref()?;
        (self.has_log() && !(sent.is_empty() && received.is_empty())).then(|| Arc::clone(rules))
    }

    /// Writes one line of the access log, unless it is off, in the form that is set.
    pub fn log(&self, globals: &Globals, record: &Record<'_>, further: &impl Further) {
        if let Some(log) = self.log.borrow_mut().as_mut() {
            let rules = globals.access_log.as_ref();
            if record.is_unrouted() && !rules.is_some_and(|rules| rules.unrouted) {
                return;
            }
            match rules {
                Some(rules) => log.write_by(rules, record, further),
                None => log.write(record),
            }
        }
    }

    /// Hands on what the access log holds.
    pub(super) fn flush_log(&self) {
        if let Some(log) = self.log.borrow_mut().as_mut() {
            log.flush();
        }
    }

    /// From SIGTERM on: clients are asked to come back on another connection.
    pub fn is_draining(&self) -> bool {
        self.drain.phase() > Phase::Serving
    }

    /// When an idle connection must close: shortly after the listeners closed.
    pub fn idle_deadline(&self) -> Option<Instant> {
        self.closing_since.get().map(|since| since + LAST_CALL)
    }

    /// Requests a new client connection may carry: the limit ± 10 %, so that clients that came together do not come
    /// back together.
    pub fn requests_allowed(&self) -> u64 {
        let clients = self.clients();
        if clients.keep_alive.is_some_and(|time| time.is_zero()) {
            return 1;
        }
        let limit = clients.requests.unwrap_or(self.limits.requests_per_connection);
        let tenth = limit / 10;
        limit - tenth + fastrand::u64(0..=tenth * 2)
    }

    /// Keeps the waker of a connection's task, to wake it when the phase changes.
    pub fn register(self: &Rc<Self>, waker: Waker) -> Registered {
        let mut connections = self.connections.borrow_mut();
        let slot = connections.free.pop().unwrap_or_else(|| {
            connections.wakers.push(None);
            connections.wakers.len() - 1
        });
        if let Some(place) = connections.wakers.get_mut(slot) {
            *place = Some(waker);
        }
        drop(connections);
        Registered { worker: Rc::clone(self), slot }
    }

    /// Follows the phase, and wakes every connection at each step.
    pub(super) async fn follow_drain(self: Rc<Self>) {
        for phase in [Phase::Farewell, Phase::Closing, Phase::Ending] {
            self.drain.reached(phase).await;
            if phase >= Phase::Closing && self.closing_since.get().is_none() {
                self.closing_since.set(Some(Instant::now()));
            }
            for waker in self.connections.borrow().wakers.iter().flatten() {
                waker.wake_by_ref();
            }
        }
    }
}

/// A connection that is woken when the phase changes, until dropped.
pub struct Registered {
    worker: Rc<Worker>,
    slot: usize,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut connections = self.worker.connections.borrow_mut();
        if let Some(place) = connections.wakers.get_mut(self.slot) {
            *place = None;
        }
        connections.free.push(self.slot);
    }
}
