//! At most so many in a time, with a burst.

use std::time::{Duration, Instant};

/// One every `interval`, and up to `burst` at once after quiet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    interval: Duration,
    burst: u32,
    /// When all that was taken is paid for.
    paid: Option<Instant>,
}

impl Pace {
    /// Nothing taken yet.
    pub(super) fn new(interval: Duration, burst: u32) -> Pace {
        Pace { interval, burst, paid: None }
    }

    /// When the next may be taken; `now` at the earliest.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let ahead = self.interval * self.burst.saturating_sub(1);
        self.paid.and_then(|paid| paid.checked_sub(ahead)).map_or(now, |due| due.max(now))
    }

    /// Takes one at `now`.
    pub(super) fn take(&mut self, now: Instant) {
        self.paid = Some(self.paid.map_or(now, |paid| paid.max(now)) + self.interval);
    }
}

/// What is to be written, one after the other at a pace.
#[derive(Debug)]
pub(super) struct Paced<T> {
    pace: Pace,
    /// In the order in which they are written, last first.
    todo: Vec<T>,
}

impl<T> Paced<T> {
    /// Nothing to write yet.
    pub(super) fn new(pace: Pace) -> Paced<T> {
        Paced { pace, todo: Vec::new() }
    }

    /// From here on these are to be written, the last first, and nothing else.
    pub(super) fn plan(&mut self, todo: Vec<T>) {
        self.todo = todo;
    }

    /// When the next is to be written, if there is one.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        (!self.todo.is_empty()).then(|| self.pace.due(now))
    }

    /// The next to write, if one is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        if self.due(now)? > now {
            return None;
        }
        self.pace.take(now);
        self.todo.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_millis(200), 3);
        let mut now = start;
        let mut taken = Vec::new();
        for _ in 0..5 {
            now = pace.due(now);
            pace.take(now);
            taken.push((now - start).as_millis());
        }
        assert_eq!(taken, [0, 0, 0, 200, 400]);
        // After quiet there is a burst again, and not a larger one.
        now += Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(pace.due(now), now);
            pace.take(now);
        }
        assert_eq!(pace.due(now), now + Duration::from_millis(200));
    }
}
