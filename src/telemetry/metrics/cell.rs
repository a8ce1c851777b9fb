//! A counter that one thread writes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// Adding is a load and a store, without a locked instruction: two writers would lose counts, so each worker has its
/// own cells.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    /// Adds `count`. Only by the one thread that writes the cell.
    pub(super) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// The present value.
    pub(super) fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
