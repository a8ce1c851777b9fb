//! The body of an answer on its way into the cache. It goes on without the client that asked for it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::live::{Admitted, Cache, InFlight, Lead, Next, Outcome, Place, Reserved, Stored};
use crate::proxy::attempt::Answered;
use crate::proxy::downstream::Part;
use crate::proxy::error::UpstreamFault;
use crate::proxy::timer::{Timer, Wait};
use crate::proxy::upstream::Upstream;
use crate::proxy::worker::Worker;

/// Where the upstream is handed to the one who asked, when a body turns out to be too long.
pub(super) type Rest = Rc<RefCell<Option<Left>>>;

/// So long those who ask for the same wait for the end of a body whose length nobody told. Then they ask by themselves: it may
/// have no end, as a stream of events.
const PATIENCE: Duration = Duration::from_secs(1);

/// An answer whose beginning is in a body that is not kept.
pub(super) struct Left {
    /// The octets that found no room.
    pub(super) first: Option<Bytes>,
    /// Where the rest comes from.
    pub(super) upstream: Upstream,
    /// When all of it is to be there.
    pub(super) deadline: Option<Instant>,
    _in_flight: InFlight,
    _admitted: Option<Admitted>,
}

/// A body to be filled.
pub(super) struct Fill {
    /// Where it is kept.
    pub(super) cache: Arc<Cache>,
    /// Under which key.
    pub(super) key: Box<[u8]>,
    /// Host of the URL, without port.
    pub(super) host: Box<[u8]>,
    /// Path of the URL.
    pub(super) path: Box<[u8]>,
    /// The answer.
    pub(super) stored: Arc<Stored>,
    /// Room for as much as is known to come.
    pub(super) reserved: Reserved,
    /// Longest body, octets.
    pub(super) most: u64,
    /// The length was not told: room is made as it comes.
    pub(super) is_open_ended: bool,
    /// Those who wait.
    pub(super) lead: Option<Lead>,
    /// Longest gap between two reads.
    pub(super) gap: Duration,
    /// See [`Rest`].
    pub(super) rest: Rest,
}

enum Ended {
    Broken(UpstreamFault),
    TooLong(Bytes),
    Whole,
}

impl Fill {
    /// Reads the body to its end, keeps the answer, and gives the connection back.
    pub(super) async fn run(mut self, worker: Rc<Worker>, answered: Answered) {
        let Answered { upstream, in_flight, admitted, deadline, .. } = answered;
        match self.read(&upstream, deadline).await {
            Ended::Whole => {
                self.stored.body.end(Next::End);
                let place = Place { host: &self.host, path: &self.path };
                self.cache.insert(&self.key, place, Arc::clone(&self.stored));
                if let Some(lead) = &self.lead {
                    lead.tell(Outcome::Ready(Arc::clone(&self.stored)));
                }
                upstream.give_back(&worker, Instant::now());
                drop((in_flight, admitted));
            }
            Ended::Broken(fault) => {
                if let Some(lead) = &self.lead {
                    lead.tell(Outcome::Failed(fault.status(), fault.failure()));
                }
                self.stored.body.end(Next::Broken);
            }
            Ended::TooLong(first) => {
                if let Some(lead) = &self.lead {
                    lead.tell(Outcome::Alone);
                }
                let place = Place { host: &self.host, path: &self.path };
                self.cache.pass(&self.key, place, worker.clock().now_millis());
                let left = Left { first: Some(first), upstream, deadline, _in_flight: in_flight, _admitted: admitted };
                *self.rest.borrow_mut() = Some(left);
                self.stored.body.end(Next::Given);
            }
        }
    }

    async fn read(&mut self, upstream: &Upstream, deadline: Option<Instant>) -> Ended {
        let timer = Timer::default();
        let mut wait = Wait::default();
        let mut length = 0;
        let soon = Instant::now() + PATIENCE;
        let mut followed = self.lead.as_ref().filter(|_| self.is_open_ended);
        std::future::poll_fn(|cx| {
            if timer.is_over(cx, deadline) {
                return Poll::Ready(Ended::Broken(UpstreamFault::Overdue));
            }
            loop {
                match upstream.poll_body(cx) {
                    Poll::Ready(Ok(Part::Data(data))) => {
                        wait.progress();
                        length += data.len() as u64;
                        if self.is_open_ended && (length > self.most || !self.reserved.grow(data.len() as u64)) {
                            return Poll::Ready(Ended::TooLong(data));
                        }
                        self.stored.body.push(&data);
                    }
                    Poll::Ready(Ok(Part::End(_))) => return Poll::Ready(Ended::Whole),
                    Poll::Ready(Err(fault)) => return Poll::Ready(Ended::Broken(fault)),
                    Poll::Pending => break,
                }
            }
            if let Some(lead) = followed.take_if(|_| timer.poll(cx, soon).is_ready()) {
                lead.tell(Outcome::Alone);
            }
            wait.poll(cx, &timer, (), self.gap).map(|()| Ended::Broken(UpstreamFault::BodyTimeout))
        })
        .await
    }
}
