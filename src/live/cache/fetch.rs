//! One fetch for all who want the same: the first asks the backend, the others wait for what comes of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Stored;
use crate::telemetry::Failure;

/// What came of a fetch.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Whoever fetched went away before there was an answer.
    Abandoned,
    /// The answer is for the one who fetched it.
    Alone,
    /// No answer: status and reason.
    Failed(u16, Failure),
    /// The answer, whose body may still come in.
    Ready(Arc<Stored>),
}

/// A fetch that somebody has begun.
#[derive(Debug, Default)]
pub struct Fetch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    wakers: Vec<Waker>,
}

impl Fetch {
    /// What came of it.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.state();
        match &state.outcome {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn settle(&self, outcome: Outcome) {
        let mut state = self.state();
        if state.outcome.is_none() {
            state.outcome = Some(outcome);
        }
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches under way, by key.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    present: Mutex<HashMap<Box<[u8]>, Arc<Fetch>>>,
}

/// A place in a fetch.
pub enum Joined {
    /// Somebody else fetches.
    Follower(Arc<Fetch>),
    /// To be fetched by the caller.
    Leader(Lead),
}

impl Fetches {
    pub(super) fn join(self: &Arc<Self>, key: &[u8]) -> Joined {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fetch) = present.get(key) {
            return Joined::Follower(Arc::clone(fetch));
        }
        let fetch = Arc::<Fetch>::default();
        present.insert(key.into(), Arc::clone(&fetch));
        Joined::Leader(Lead { fetches: Arc::clone(self), key: key.into(), fetch })
    }
}

/// The duty to fetch. When it is dropped nobody can join any more, and those who wait are told.
#[derive(Debug)]
pub struct Lead {
    fetches: Arc<Fetches>,
    key: Box<[u8]>,
    fetch: Arc<Fetch>,
}

impl Lead {
    /// Tells those who wait, and those who still join. Only the first word counts.
    pub fn tell(&self, outcome: Outcome) {
        self.fetch.settle(outcome);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.fetches.present.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.fetch.settle(Outcome::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(fetch: &Fetch) -> Poll<Outcome> {
        fetch.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_leads_until_it_lets_go_and_the_others_follow() {
        let fetches = Arc::<Fetches>::default();
        let Joined::Leader(lead) = fetches.join(b"a") else { panic!("somebody else leads") };
        let Joined::Follower(fetch) = fetches.join(b"a") else { panic!("two lead") };
        assert!(matches!(fetches.join(b"b"), Joined::Leader(_)));
        assert!(poll(&fetch).is_pending());
        drop(lead);
        assert!(matches!(poll(&fetch), Poll::Ready(Outcome::Abandoned)));
        let Joined::Leader(lead) = fetches.join(b"a") else { panic!("the fetch is still there") };
        let Joined::Follower(fetch) = fetches.join(b"a") else { panic!("two lead") };
        lead.tell(Outcome::Alone);
        assert!(matches!(poll(&fetch), Poll::Ready(Outcome::Alone)));
        drop(lead);
        assert!(matches!(poll(&fetch), Poll::Ready(Outcome::Alone)), "the first word counts");
    }
}
