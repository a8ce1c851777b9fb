//! How long ago the API server was heard: what a watch that stands still shows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When one watch was last heard.
#[derive(Debug)]
pub struct WatchAge {
    began: Instant,
    /// Milliseconds after `began`.
    heard: AtomicU64,
}

impl WatchAge {
    pub(super) fn new() -> WatchAge {
        WatchAge { began: Instant::now(), heard: AtomicU64::new(0) }
    }

    /// The API server said something just now.
    pub fn heard(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// Time since then.
    pub fn age(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)))
    }
}
