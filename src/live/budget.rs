//! How many retries a backend may get, so that retries never multiply the load of a backend that fails.

use std::array;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::telemetry::PerWorker;

/// Retries allowed: 20 % of the requests of the last 10 s, at least 3 a second, which a backend that was quiet may spend at
/// once. Time is counted in whole seconds, so the last 10 s are the current second and the nine before it.
pub struct RetryBudget {
    epoch: Instant,
    requests: PerWorker<Window>,
    /// Made with the first retry.
    retries: OnceLock<Box<Window>>,
}

const PERCENT: u64 = 20;
const FLOOR: u64 = 3;

impl RetryBudget {
    /// Nothing counted. Seconds begin at `epoch`.
    pub(super) fn new(workers: usize, epoch: Instant) -> RetryBudget {
        RetryBudget { epoch, requests: PerWorker::new(workers), retries: OnceLock::new() }
    }

    /// Counts a request. Only `worker` itself may name its index: it writes its own cells.
    pub fn request(&self, worker: usize, now: Instant) {
        if let Some(window) = self.requests.cell(worker, Window::default) {
            window.count(self.second(now));
        }
    }

    /// Takes one retry out of the budget, if there is one.
    pub fn try_retry(&self, now: Instant) -> bool {
        let second = self.second(now);
        let requests: u64 = self.requests.used().map(|window| window.sum(second)).sum();
        self.retries.get_or_init(Box::default).try_count(second, (requests * PERCENT / 100).max(FLOOR * SECONDS as u64))
    }

    /// Seconds since the epoch, from 1: 0 marks a slot that was never used.
    fn second(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.epoch).as_secs())
            .map_or(u32::MAX, |second| second.saturating_add(1))
    }
}

const SECONDS: usize = 10;

/// Counts of the last ten seconds. A slot holds its second in the upper half and the count in the lower one, so a slot
/// of another time is seen as empty and nothing has to be cleared.
#[derive(Debug)]
struct Window {
    slots: [AtomicU64; SECONDS],
}

impl Default for Window {
    fn default() -> Self {
        Window { slots: array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Window {
    fn slot(&self, second: u32) -> Option<&AtomicU64> {
        self.slots.get(second as usize % SECONDS)
    }

    /// Adds one to `second`. There is one writer, so no read-modify-write instruction is needed.
    fn count(&self, second: u32) {
        if let Some(slot) = self.slot(second) {
            slot.store(counted(slot.load(Ordering::Relaxed), second), Ordering::Relaxed);
        }
    }

    /// Adds one to `second` if fewer than [`FLOOR`] stand there, or fewer than `allowed` in all slots. Exact with several
    /// writers.
    fn try_count(&self, second: u32, allowed: u64) -> bool {
        let Some(slot) = self.slot(second) else { return false };
        slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            let here = if seen >> 32 == u64::from(second) { seen & LOW } else { 0 };
            (here < FLOOR || self.sum(second) < allowed).then(|| counted(seen, second))
        })
        .is_ok()
    }

    /// The count of the ten seconds that end with `second`.
    fn sum(&self, second: u32) -> u64 {
        let oldest = second.saturating_sub(SECONDS as u32 - 1);
        let slots = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed));
        slots
            .filter(|seen| (u64::from(oldest)..=u64::from(second)).contains(&(seen >> 32)))
            .map(|seen| seen & LOW)
            .sum()
    }
}

const LOW: u64 = u32::MAX as u64;

/// The slot value `seen` with one more for `second`.
fn counted(seen: u64, second: u32) -> u64 {
    let second = u64::from(second) << 32;
    if seen & !LOW != second {
        second | 1
    } else if seen & LOW == LOW {
        seen
    } else {
        seen + 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn budget() -> (RetryBudget, Instant) {
        let epoch = Instant::now();
        (RetryBudget::new(2, epoch), epoch)
    }

    fn retries(budget: &RetryBudget, now: Instant) -> usize {
        (0..10_000).take_while(|_| budget.try_retry(now)).count()
    }

    #[test]
    fn three_retries_a_second_need_no_requests_and_those_of_ten_seconds_may_come_at_once() {
        let (budget, epoch) = budget();
        assert_eq!(retries(&budget, epoch), 30);
        for second in 1..30 {
            assert_eq!(retries(&budget, epoch + Duration::from_secs(second)), 3, "second {second}");
        }
        assert_eq!(retries(&budget, epoch + Duration::from_secs(60)), 30);
    }

    #[test]
    fn a_fifth_of_the_requests_of_all_workers_may_be_tried_again() {
        let (budget, epoch) = budget();
        for request in 0..1_000 {
            budget.request(request % 2, epoch);
        }
        assert_eq!(retries(&budget, epoch), 200);
        assert_eq!(retries(&budget, epoch), 0);
        assert_eq!(retries(&budget, epoch + Duration::from_secs(9)), 3, "retries of the last 10 s count");
    }

    #[test]
    fn requests_count_for_ten_seconds() {
        let (budget, epoch) = budget();
        (0..1_000).for_each(|_| budget.request(0, epoch));
        assert_eq!(retries(&budget, epoch + Duration::from_millis(9_999)), 200);
        assert_eq!(retries(&budget, epoch + Duration::from_secs(10)), 3);
    }

    #[test]
    fn a_slot_is_used_again_after_ten_seconds() {
        let (budget, epoch) = budget();
        for second in [0, 10, 20] {
            (0..1_000).for_each(|_| budget.request(1, epoch + Duration::from_secs(second)));
            assert_eq!(retries(&budget, epoch + Duration::from_secs(second)), 200);
        }
    }

    #[test]
    fn an_unknown_worker_and_a_time_before_the_epoch_do_no_harm() {
        let (budget, epoch) = budget();
        budget.request(7, epoch);
        assert!(budget.try_retry(epoch.checked_sub(Duration::from_secs(5)).unwrap_or(epoch)));
    }
}
