//! The client's side of an exchange that no client waits for.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::downstream::{Answer, Client, ClientFault, Part, Peer};
use super::timer::Timer;
use crate::http1::{Fields, ResponseHead};

/// Stands in for the client whose request was answered with what is kept, while the backend is asked; and for one whose
/// request is copied.
pub(super) struct Nobody {
    timer: Timer,
    peer: Peer,
}

impl Nobody {
    /// In place of `peer`.
    pub(super) fn new(peer: &Peer) -> Nobody {
        Nobody { timer: Timer::default(), peer: peer.clone() }
    }
}

impl Client for Nobody {
    fn poll_body(&self, _: &mut Context<'_>) -> Poll<Result<Part, ClientFault>> {
        Poll::Ready(Ok(Part::End(None)))
    }

    fn poll_gone(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn queue_interim(&self, _: &ResponseHead) {}

    fn queue_head(&self, _: &Answer<'_>, _: bool) {}

    fn queue_data(&self, _: Bytes) {}

    fn queue_end(&self, _: Option<&Fields>) {}

    fn queued(&self) -> usize {
        0
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<Result<(), ClientFault>> {
        Poll::Ready(Ok(()))
    }

    fn cut(&self) {}

    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }
}
