//! Whether the process may get traffic, and whether it is alive, in one shared cell.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Why the process should get no traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// The control thread ended: configuration stands still.
    ControlDead,
    /// SIGTERM came.
    Draining,
    /// The traffic ports are not bound.
    ListenersNotBound,
    /// No table was served yet.
    NoTable,
    /// A worker thread ended: its share of the connections is lost.
    WorkerDead,
}

impl Unready {
    /// The reason as `/readyz` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Unready::ControlDead => "control thread dead",
            Unready::Draining => "draining",
            Unready::ListenersNotBound => "listeners not bound",
            Unready::NoTable => "waiting for the first table",
            Unready::WorkerDead => "worker thread dead",
        }
    }
}

/// The threads without which the process is not healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The control thread.
    Control,
    /// A worker.
    Worker,
}

/// What `/readyz` and `/healthz` answer from. Every mark is set once and stays.
#[derive(Debug, Default)]
pub struct Readiness {
    table: AtomicBool,
    /// What the first table waits for, in words.
    awaited: Mutex<String>,
    listeners: AtomicBool,
    draining: AtomicBool,
    control_dead: AtomicBool,
    worker_dead: AtomicBool,
}

impl Readiness {
    /// Neither table nor listeners yet; everything alive.
    pub fn new() -> Arc<Readiness> {
        Arc::default()
    }

    /// The first full table is served.
    pub fn table_served(&self) {
        self.table.store(true, Ordering::Release);
    }

    /// Says what the first table still waits for.
    pub fn awaits(&self, what: String) {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// Why there is no traffic to come, in words.
    pub fn explain(&self, reason: Unready) -> String {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Unready::NoTable if !awaited.is_empty() => format!("{}: {awaited}", reason.as_str()),
            _ => reason.as_str().to_owned(),
        }
    }

    /// The traffic ports are bound.
    pub fn listeners_bound(&self) {
        self.listeners.store(true, Ordering::Release);
    }

    /// SIGTERM came: not ready from here on, and threads that end are not missed.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether SIGTERM came.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// A token that the thread keeps as long as it lives; ending before SIGTERM, by a panic too, counts as death.
    pub fn alive(self: &Arc<Self>, part: Part) -> Alive {
        Alive { readiness: Arc::clone(self), part }
    }

    /// `Ok` when traffic may come, else the most telling reason.
    pub fn ready(&self) -> Result<(), Unready> {
        self.healthy()?;
        match () {
            () if self.is_draining() => Err(Unready::Draining),
            // The listeners wait for the table, so the table comes first.
            () if !self.table.load(Ordering::Acquire) => Err(Unready::NoTable),
            () if !self.listeners.load(Ordering::Acquire) => Err(Unready::ListenersNotBound),
            () => Ok(()),
        }
    }

    /// `Ok` unless a thread that must live is dead.
    pub fn healthy(&self) -> Result<(), Unready> {
        if self.control_dead.load(Ordering::Acquire) {
            return Err(Unready::ControlDead);
        }
        if self.worker_dead.load(Ordering::Acquire) {
            return Err(Unready::WorkerDead);
        }
        Ok(())
    }
}

/// Says that a thread lives, until it is dropped.
#[derive(Debug)]
pub struct Alive {
    readiness: Arc<Readiness>,
    part: Part,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if self.readiness.is_draining() {
            return;
        }
        match self.part {
            Part::Control => self.readiness.control_dead.store(true, Ordering::Release),
            Part::Worker => self.readiness.worker_dead.store(true, Ordering::Release),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_table_and_listeners_and_ends_with_sigterm() {
        let readiness = Readiness::new();
        assert_eq!(readiness.ready(), Err(Unready::NoTable));
        readiness.table_served();
        assert_eq!(readiness.ready(), Err(Unready::ListenersNotBound));
        readiness.listeners_bound();
        assert_eq!(readiness.ready(), Ok(()));
        readiness.begin_draining();
        assert_eq!(readiness.ready(), Err(Unready::Draining));
        assert_eq!(readiness.healthy(), Ok(()));
    }

    #[test]
    fn a_thread_that_ends_before_sigterm_is_dead_and_one_that_ends_after_is_not() {
        for (part, reason) in [(Part::Control, Unready::ControlDead), (Part::Worker, Unready::WorkerDead)] {
            let readiness = Readiness::new();
            drop(readiness.alive(part));
            assert_eq!(readiness.healthy(), Err(reason));
            assert_eq!(readiness.ready(), Err(reason));

            let readiness = Readiness::new();
            let alive = readiness.alive(part);
            readiness.begin_draining();
            drop(alive);
            assert_eq!(readiness.healthy(), Ok(()));
        }
    }
}
