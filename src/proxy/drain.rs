//! The way out: from serving, over saying goodbye, to closing.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::{Notify, watch};

/// How far the shutdown has gone. It only goes forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// As ever.
    #[default]
    Serving,
    /// Everything is served, but clients are asked to come back on another connection.
    Farewell,
    /// Listeners close; idle connections close; open requests and tunnels end in their own time.
    Closing,
    /// The time for open requests is over: every connection ends now.
    Ending,
}

/// One worker's view of the phase. Connections wait here without a lock or channel of their own.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    phase: Cell<Phase>,
    changed: Notify,
}

impl Drain {
    /// The phase of the moment.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Moves on and wakes whoever waits. A step back is ignored.
    pub(crate) fn enter(&self, phase: Phase) {
        if phase > self.phase.get() {
            self.phase.set(phase);
            self.changed.notify_waiters();
        }
    }

    /// Waits until the phase is `phase` or later.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut changed = std::pin::pin!(self.changed.notified());
        while self.phase.get() < phase {
            changed.as_mut().await;
            changed.set(self.changed.notified());
        }
    }

    /// Follows the phase of the process for as long as there is one.
    pub(crate) async fn follow(self: Rc<Self>, mut process: watch::Receiver<Phase>) {
        loop {
            self.enter(*process.borrow_and_update());
            if process.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn waiters_wake_at_their_phase_and_not_before() {
        let drain = Drain::default();
        let mut closing = std::pin::pin!(drain.reached(Phase::Closing));
        assert!(closing.as_mut().now_or_never().is_none());
        drain.enter(Phase::Farewell);
        assert!(closing.as_mut().now_or_never().is_none());
        drain.enter(Phase::Closing);
        assert!(closing.as_mut().now_or_never().is_some());
        assert!(drain.reached(Phase::Farewell).now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_phase_never_goes_back() {
        let drain = Drain::default();
        drain.enter(Phase::Closing);
        drain.enter(Phase::Serving);
        assert_eq!(drain.phase(), Phase::Closing);
    }

    #[tokio::test]
    async fn a_worker_follows_the_process() {
        let (process, receiver) = watch::channel(Phase::Serving);
        let drain = Rc::new(Drain::default());
        process.send(Phase::Closing).unwrap();
        drop(process);
        Rc::clone(&drain).follow(receiver).await;
        assert_eq!(drain.phase(), Phase::Closing);
    }
}
