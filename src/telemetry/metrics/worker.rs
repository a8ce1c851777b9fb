//! What a worker counts that belongs to no route: failures, limits, connections, handshakes, panics.

use super::cell::Cell;
use crate::settings::Limit;
use crate::telemetry::Failure;

const VERSIONS: [&str; 3] = ["", "TLSv1.2", "TLSv1.3"];
const LISTENERS: [&str; 2] = ["http", "https"];

/// Counters that only one worker writes.
#[repr(align(128))]
pub struct WorkerMetrics {
    failures: Box<[Cell]>,
    limits: Box<[Cell]>,
    listeners: [Connections; 2],
    handshakes: [Cell; VERSIONS.len() * 4],
    panics: Cell,
    /// Requests that the cache answered, and those that it could not answer by itself.
    cache: [Cell; 2],
    copies: [Cell; Copied::ALL.len()],
    /// Connections that were passed on unopened, and those that nobody took.
    passed_on: [Cell; 2],
}

/// What became of the copy of a request (`mirror-target`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The service answered.
    Answered,
    /// None was sent: the body was longer than what is held of it, or not held at all.
    BodyTooLong,
    /// The service could not be reached, or did not answer.
    Failed,
    /// None was sent: as many were under way as may be.
    TooMany,
}

impl Copied {
    /// Each with its word in the metric.
    const ALL: [(Copied, &'static str); 4] = [
        (Copied::Answered, "answered"),
        (Copied::BodyTooLong, "body_too_long"),
        (Copied::Failed, "failed"),
        (Copied::TooMany, "too_many"),
    ];
}

/// Connections of one listener, both counted upwards: the present number is a difference, which holds over workers too
/// when a connection moves.
#[derive(Default)]
struct Connections {
    opened: Cell,
    closed: Cell,
    busy: Gauge,
}

/// A number that goes up and down, of one worker.
#[derive(Default)]
pub struct Gauge(Cell);

impl Gauge {
    /// One more.
    pub fn rise(&self) {
        self.0.add(1);
    }

    /// One less.
    pub fn fall(&self) {
        self.0.add(u64::MAX);
    }

    /// One more, until dropped.
    pub fn hold(&self) -> Held<'_> {
        self.rise();
        Held(self)
    }
}

/// Counts in a [`Gauge`].
pub struct Held<'a>(&'a Gauge);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fall();
    }
}

impl WorkerMetrics {
    pub(super) fn new() -> WorkerMetrics {
        WorkerMetrics {
            failures: Failure::ALL.iter().map(|_| Cell::default()).collect(),
            limits: Limit::ALL.iter().map(|_| Cell::default()).collect(),
            listeners: Default::default(),
            handshakes: Default::default(),
            panics: Cell::default(),
            cache: Default::default(),
            copies: Default::default(),
            passed_on: Default::default(),
        }
    }

    /// Counts a failed or refused request.
    pub fn failure(&self, reason: Failure) {
        add(&self.failures, reason as usize);
    }

    /// Counts a breached limit.
    pub fn limit_hit(&self, limit: Limit) {
        add(&self.limits, limit as usize);
    }

    /// Counts an accepted connection of listener `http` or `https`; it is open until [`WorkerMetrics::closed`].
    pub fn opened(&self, is_tls: bool) {
        self.listener(is_tls).opened.add(1);
    }

    /// Counts the end of a connection.
    pub fn closed(&self, is_tls: bool) {
        self.listener(is_tls).closed.add(1);
    }

    /// Where connections of listener `http` or `https` count while a request is under way.
    pub fn busy(&self, is_tls: bool) -> &Gauge {
        &self.listener(is_tls).busy
    }

    /// Counts a TLS handshake: protocol version (`TLSv1.3`; empty when none was agreed), whether it resumed a session,
    /// whether it succeeded.
    pub fn handshake(&self, version: &'static str, resumed: bool, ok: bool) {
        let version = VERSIONS.iter().position(|known| *known == version).unwrap_or(0);
        add(&self.handshakes, version * 4 + usize::from(resumed) * 2 + usize::from(ok));
    }

    /// Counts a panic that ended one connection.
    pub fn panicked(&self) {
        self.panics.add(1);
    }

    /// Counts a request that the cache answered by itself, or did not.
    pub fn looked_up(&self, is_hit: bool) {
        add(&self.cache, usize::from(!is_hit));
    }

    /// Counts the copy of a request.
    pub fn copied(&self, became: Copied) {
        add(&self.copies, became as usize);
    }

    /// Counts a connection that is not ours to open, when it ends: whether an endpoint took it.
    pub fn passed_on(&self, is_taken: bool) {
        add(&self.passed_on, usize::from(!is_taken));
    }

    fn listener(&self, is_tls: bool) -> &Connections {
        let [http, https] = &self.listeners;
        if is_tls { https } else { http }
    }
}

fn add(cells: &[Cell], index: usize) {
    if let Some(cell) = cells.get(index) {
        cell.add(1);
    }
}

/// The cells of all workers, summed.
pub(super) struct Totals<'m>(pub(super) &'m [WorkerMetrics]);

impl Totals<'_> {
    /// Reasons that occurred, with their counts.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Failure::ALL.iter().enumerate().filter_map(|(index, reason)| {
            let count = self.sum(|worker| worker.failures.get(index).map_or(0, Cell::load));
            (count > 0).then_some((reason.as_str(), count))
        })
    }

    /// Limits that were breached, with their counts.
    pub(super) fn limits(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Limit::ALL.iter().enumerate().filter_map(|(index, limit)| {
            let count = self.sum(|worker| worker.limits.get(index).map_or(0, Cell::load));
            (count > 0).then_some((limit.name(), count))
        })
    }

    /// Listeners that had connections: name, accepted, active now, idle now.
    pub(super) fn connections(&self) -> impl Iterator<Item = (&'static str, u64, u64, u64)> + '_ {
        LISTENERS.iter().enumerate().filter_map(|(index, name)| {
            let sum = |cell: fn(&Connections) -> &Cell| {
                self.sum(|worker| worker.listeners.get(index).map_or(0, |listener| cell(listener).load()))
            };
            // What ended is read first: a connection that opens and ends in between must not come out below zero.
            let closed = sum(|listener| &listener.closed);
            let opened = sum(|listener| &listener.opened);
            let open = opened.saturating_sub(closed);
            let active = sum(|listener| &listener.busy.0).min(open);
            (opened > 0).then(|| (*name, opened, active, open - active))
        })
    }

    /// Handshakes that occurred: version, resumed, result, count.
    pub(super) fn handshakes(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str, u64)> + '_ {
        VERSIONS.iter().enumerate().flat_map(move |(version, name)| {
            [("false", "error"), ("false", "ok"), ("true", "error"), ("true", "ok")].into_iter().enumerate().filter_map(
                move |(kind, (resumed, result))| {
                    let count = self.sum(|worker| worker.handshakes.get(version * 4 + kind).map_or(0, Cell::load));
                    (count > 0).then_some((*name, resumed, result, count))
                },
            )
        })
    }

    /// Panics that ended a connection.
    pub(super) fn panics(&self) -> u64 {
        self.sum(|worker| worker.panics.load())
    }

    /// Requests that caches answered by themselves, and others that they might have answered.
    pub(super) fn lookups(&self) -> (u64, u64) {
        let count = |place: usize| self.sum(|worker| worker.cache.get(place).map_or(0, Cell::load));
        (count(0), count(1))
    }

    /// What became of copies, with their counts.
    pub(super) fn copies(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Copied::ALL.iter().filter_map(|(became, word)| {
            let count = self.sum(|worker| worker.copies.get(*became as usize).map_or(0, Cell::load));
            (count > 0).then_some((*word, count))
        })
    }

    /// What became of connections that are not ours to open, with their counts.
    pub(super) fn passed_on(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        ["passed", "refused"].into_iter().enumerate().filter_map(|(place, word)| {
            let count = self.sum(|worker| worker.passed_on.get(place).map_or(0, Cell::load));
            (count > 0).then_some((word, count))
        })
    }

    fn sum(&self, cell: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        self.0.iter().map(cell).fold(0, u64::wrapping_add)
    }
}
