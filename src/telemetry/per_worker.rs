//! One cell for each worker, each on its own cache line, made when its worker first comes by.

use std::sync::OnceLock;

/// Cells that are written by one worker each. Cells that are never used cost nothing: most backends of a large cluster
/// are quiet, and the others are served by few workers at a time.
pub(crate) struct PerWorker<T> {
    workers: u32,
    cells: OnceLock<Lines<T>>,
}

type Lines<T> = Box<[OnceLock<Box<Line<T>>>]>;

impl<T> PerWorker<T> {
    /// No cell yet.
    pub(crate) fn new(workers: usize) -> PerWorker<T> {
        PerWorker { workers: u32::try_from(workers.max(1)).unwrap_or(u32::MAX), cells: OnceLock::new() }
    }

    /// The cell of `worker`; `None` when there is no such worker.
    pub(crate) fn cell(&self, worker: usize, first: impl FnOnce() -> T) -> Option<&T> {
        let cells = self.cells.get_or_init(|| (0..self.workers).map(|_| OnceLock::new()).collect());
        cells.get(worker).map(|cell| &cell.get_or_init(|| Box::new(Line(first()))).0)
    }

    /// The cells that were used.
    pub(crate) fn used(&self) -> impl Iterator<Item = &T> {
        let cells = self.cells.get().into_iter().flat_map(|cells| cells.iter());
        cells.filter_map(|cell| cell.get().map(|line| &line.0))
    }
}

#[repr(align(64))]
struct Line<T>(T);
