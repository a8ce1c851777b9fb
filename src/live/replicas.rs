//! How many replicas share what an Ingress allows its clients (`limit-scope: cluster`).

use std::sync::atomic::{AtomicU32, Ordering};

/// The number, which changes without a new table.
#[derive(Debug)]
pub struct Replicas(AtomicU32);

impl Default for Replicas {
    /// One.
    fn default() -> Replicas {
        Replicas(AtomicU32::new(1))
    }
}

impl Replicas {
    /// There are so many now. None counts as one: whoever counts is there.
    pub fn set(&self, count: u32) {
        self.0.store(count.max(1), Ordering::Relaxed);
    }

    /// So many, at least one.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
