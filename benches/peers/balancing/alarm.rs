//! Waking at a moment, to within a tenth of a millisecond: the timers of the runtime round up to whole milliseconds,
//! which would add to every service time and send arrivals in bunches.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::Until;
use crate::tally::Tally;

/// A thread that wakes whoever asked for it.
#[derive(Clone)]
pub(super) struct Alarm {
    calls: Sender<Call>,
    /// How late everybody was woken: on a machine that has other work a figure is worth nothing.
    pub(super) late: Tally,
}

struct Call {
    at: Instant,
    who: oneshot::Sender<()>,
}

impl Alarm {
    /// Starts the thread; it ends with the last clone.
    pub(super) fn start() -> std::io::Result<Alarm> {
        let (sender, calls) = channel();
        std::thread::Builder::new().name("alarm".into()).spawn(move || ring(&calls))?;
        Ok(Alarm { calls: sender, late: Tally::new(Until::Idle) })
    }

    /// Returns at `at`; at once if that is over.
    pub(super) async fn until(&self, at: Instant) {
        let (who, woken) = oneshot::channel();
        if Instant::now() < at && self.calls.send(Call { at, who }).is_ok() {
            // An error says that the thread is gone, and it only goes with us.
            let _ = woken.await;
        }
        self.late.took(at.elapsed());
    }
}

fn ring(calls: &Receiver<Call>) {
    let mut waiting: BinaryHeap<Reverse<Call>> = BinaryHeap::new();
    loop {
        let received = match waiting.peek() {
            Some(Reverse(first)) => calls.recv_timeout(first.at.saturating_duration_since(Instant::now())),
            None => calls.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(call) => waiting.push(Reverse(call)),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        while waiting.peek().is_some_and(|Reverse(first)| first.at <= now)
            && let Some(Reverse(call)) = waiting.pop()
        {
            // Whoever does not listen any more needs no waking.
            let _ = call.who.send(());
        }
    }
}

impl Ord for Call {
    fn cmp(&self, other: &Call) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Call {
    fn partial_cmp(&self, other: &Call) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Call) -> bool {
        self.at == other.at
    }
}

impl Eq for Call {}
