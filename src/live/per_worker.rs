//! One cell for each worker, each on its own cache line, made when its worker first comes by.

use std::sync::OnceLock;

/// Cells that are written by one worker each. A cell that is never used costs one pointer: most backends of a large
/// cluster are served by few workers at a time.
pub(super) struct PerWorker<T> {
    cells: Box<[OnceLock<Box<Line<T>>>]>,
}

impl<T> PerWorker<T> {
    /// No cell yet.
    pub(super) fn new(workers: usize) -> PerWorker<T> {
        PerWorker { cells: (0..workers.max(1)).map(|_| OnceLock::new()).collect() }
    }

    /// The cell of `worker`; `None` when there is no such worker.
    pub(super) fn cell(&self, worker: usize, first: impl FnOnce() -> T) -> Option<&T> {
        self.cells.get(worker).map(|cell| &cell.get_or_init(|| Box::new(Line(first()))).0)
    }

    /// The cells that were used.
    pub(super) fn used(&self) -> impl Iterator<Item = &T> {
        self.cells.iter().filter_map(|cell| cell.get().map(|line| &line.0))
    }
}

#[repr(align(64))]
struct Line<T>(T);
