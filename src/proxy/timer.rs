//! One timer for each connection, armed again only when it must fire earlier.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A lazily armed timer. A deadline that lies later than the armed one costs nothing: the timer fires early, sees that
/// nothing is due, and arms itself again.
#[derive(Default)]
pub struct Timer {
    sleep: RefCell<Option<Pin<Box<Sleep>>>>,
}

impl Timer {
    /// Ready once `deadline` is past; else the task is woken then, or earlier.
    pub fn poll(&self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let mut slot = self.sleep.borrow_mut();
        let sleep = slot.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Whether the time for all of a request is over, where it has one; the task is woken then, or earlier.
    pub fn is_over(&self, cx: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        deadline.is_some_and(|at| self.has_come(cx, at))
    }

    /// Out of line: most requests have no such time, and should not make room for it.
    #[cold]
    fn has_come(&self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        self.poll(cx, deadline).is_ready()
    }
}

/// How long one thing has been waited for without progress.
#[derive(Clone, Copy, Debug)]
pub struct Wait<K> {
    since: Option<(K, Instant)>,
}

impl<K> Default for Wait<K> {
    fn default() -> Self {
        Wait { since: None }
    }
}

impl<K: Copy + PartialEq> Wait<K> {
    /// Something moved: the next wait begins anew.
    pub fn progress(&mut self) {
        self.since = None;
    }

    /// Waits for `kind`, at most `longest` from when it was first waited for; the kind when that is over.
    pub fn poll(&mut self, cx: &mut Context<'_>, timer: &Timer, kind: K, longest: Duration) -> Poll<K> {
        let deadline = self.deadline(kind, longest);
        timer.poll(cx, deadline).map(|()| kind)
    }

    /// As [`Wait::poll`], by the clock alone: for one side that never stops talking, so that no timer gets a turn.
    pub fn is_over(&mut self, kind: K, longest: Duration) -> bool {
        Instant::now() >= self.deadline(kind, longest)
    }

    fn deadline(&mut self, kind: K, longest: Duration) -> Instant {
        match self.since {
            Some((waited, deadline)) if waited == kind => deadline,
            _ => {
                let deadline = Instant::now() + longest;
                self.since = Some((kind, deadline));
                deadline
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_arms_anew_and_a_later_one_does_not_fire_early() {
        let timer = Timer::default();
        let start = Instant::now();
        let far = start + Duration::from_secs(60);
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx, far))).await.is_pending());
        poll_fn(|cx| timer.poll(cx, start + Duration::from_secs(5))).await;
        assert_eq!(start.elapsed().as_secs(), 5);
        poll_fn(|cx| timer.poll(cx, far)).await;
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_counts_from_the_last_progress() {
        let timer = Timer::default();
        let mut wait = Wait::default();
        let start = Instant::now();
        let longest = Duration::from_secs(10);
        assert!(poll_fn(|cx| Poll::Ready(wait.poll(cx, &timer, 'a', longest))).await.is_pending());
        tokio::time::advance(Duration::from_secs(9)).await;
        wait.progress();
        assert_eq!(poll_fn(|cx| wait.poll(cx, &timer, 'a', longest)).await, 'a');
        assert_eq!(start.elapsed().as_secs(), 19);
    }
}
