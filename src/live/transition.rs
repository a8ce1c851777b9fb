//! What control is told when an endpoint changes its standing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::Standing;
use crate::ir;

/// Transitions that may wait. More are dropped: those who must know the state read it, and this is only the news. That some
/// were is told.
const WAITING: usize = 1_024;

/// An endpoint changed its standing.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The backend.
    pub backend: ir::BackendId,
    /// The endpoint.
    pub address: SocketAddr,
    /// Its standing before.
    pub from: Standing,
    /// Its standing now.
    pub to: Standing,
    /// Why.
    pub reason: Arc<str>,
    /// How many of the backend's candidates are in use now.
    pub in_use: usize,
    /// How many candidates the backend has.
    pub candidates: usize,
    /// Whether requests stay in our zone from now on; `None` if that is as before.
    pub stays_in_zone: Option<bool>,
}

/// Where transitions are told, and the end at which control hears of them.
pub(super) struct News {
    tell: mpsc::Sender<Transition>,
    hear: Mutex<Option<mpsc::Receiver<Transition>>>,
    is_lost: AtomicBool,
}

impl News {
    /// Nothing told yet.
    pub(super) fn new() -> News {
        let (tell, hear) = mpsc::channel(WAITING);
        News { tell, hear: Mutex::new(Some(hear)), is_lost: AtomicBool::new(false) }
    }

    /// Tells it, unless too many wait.
    pub(super) fn tell(&self, transition: Transition) {
        if self.tell.try_send(transition).is_err() {
            self.is_lost.store(true, Ordering::Relaxed);
        }
    }

    /// Whether some were dropped since this was asked last.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.swap(false, Ordering::Relaxed)
    }

    /// The end at which they are heard; there is one.
    pub(super) fn hear(&self) -> Option<mpsc::Receiver<Transition>> {
        self.hear.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
