//! The request body on its way: held for a while, so that the request can be sent again, then streamed.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::downstream::{Client, ClientFault, Part};
use super::error::UpstreamFault;
use super::forward::Outgoing;
use super::timer::Wait;
use super::upstream::Upstream;
use crate::http1::{Fields, Framing, Refusal};
use crate::settings::Limit;
use crate::telemetry::Failure;

/// The mean of a slow client's body is judged over this time, after the first [`RATE_GRACE`].
const RATE_WINDOW: Duration = Duration::from_secs(30);
/// See [`RATE_WINDOW`].
const RATE_GRACE: Duration = Duration::from_secs(10);

/// Parts under this size are copied together while they are held.
const SMALL: usize = 4096;

/// What a body may not exceed.
#[derive(Clone, Copy, Debug)]
pub struct BodyRules {
    /// Bytes; 0 = unlimited.
    pub limit: u64,
    /// Longest gap between two reads; `None` for gRPC, whose streams are silent for minutes.
    pub gap: Option<Duration>,
    /// Bytes a second; 0 = off.
    pub min_rate: u64,
    /// Bytes to hold before sending.
    pub hold: usize,
    /// Bytes to keep of what was sent until the answer begins, so that it can be sent again.
    pub keep: usize,
    /// Pass trailers on.
    pub trailers: bool,
}

impl BodyRules {
    /// For requests of ours, which have no body.
    pub const NONE: BodyRules = BodyRules { limit: 0, gap: None, min_rate: 0, hold: 0, keep: 0, trailers: false };
}

/// A request body between the client and an endpoint.
pub struct Upload {
    rules: BodyRules,
    held: Vec<Bytes>,
    /// Small parts held, copied together: each would keep the whole buffer that it was read into.
    tail: BytesMut,
    held_bytes: usize,
    trailers: Option<Box<Fields>>,
    received: u64,
    /// By its length, no more comes than may be held: what is missing is the end at most, once as much is there.
    fits: bool,
    is_complete: bool,
    /// Something was sent that is not held: the request cannot be sent again.
    is_spent: bool,
    is_sent: bool,
    wait: Wait<Waiting>,
    window: Option<(Instant, u64)>,
    /// `None` where nobody asks; boxed, since that is so for most.
    pauses: Option<Box<Pauses>>,
}

/// When the client was waited for while an endpoint was there to take what it sends.
struct Pauses {
    is_waiting: bool,
    first: Option<Instant>,
    last: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Client,
    Upstream,
}

/// Why an upload stops.
#[derive(Clone, Copy, Debug)]
pub enum UploadFault {
    /// The client's side.
    Client(ClientFault),
    /// The upstream's side.
    Upstream(UpstreamFault),
}

/// The body exceeds its limit.
pub fn too_large() -> Refusal {
    let why = "body exceeds proxy-body-size";
    Refusal { status: 413, failure: Failure::BodyTooLarge, limit: Some(Limit::body), why }
}

fn too_slow(limit: Limit) -> ClientFault {
    let why = "request body comes too slowly";
    ClientFault::Refused(Refusal { status: 408, failure: Failure::TimeoutBody, limit: Some(limit), why })
}

impl Upload {
    /// Nothing received yet.
    pub fn new(framing: Framing, rules: BodyRules) -> Upload {
        Upload {
            rules,
            held: Vec::new(),
            tail: BytesMut::new(),
            held_bytes: 0,
            trailers: None,
            received: 0,
            fits: matches!(framing, Framing::Length(length) if length <= rules.hold as u64),
            is_complete: framing == Framing::None,
            is_spent: false,
            is_sent: false,
            wait: Wait::default(),
            window: None,
            pauses: None,
        }
    }

    /// The same body once more, if all of it is held. Without its trailers.
    pub fn copy(&self) -> Option<Upload> {
        if !self.is_complete || self.is_spent {
            return None;
        }
        Some(Upload {
            rules: self.rules,
            held: self.held.clone(),
            tail: self.tail.clone(),
            held_bytes: self.held_bytes,
            trailers: None,
            received: self.received,
            fits: self.fits,
            is_complete: true,
            is_spent: false,
            is_sent: false,
            wait: Wait::default(),
            window: None,
            pauses: None,
        })
    }

    /// Octets received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The whole body was received.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Everything was handed to the upstream.
    pub fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// The request can be sent (again): nothing was sent that is not held.
    pub fn can_send(&self) -> bool {
        !self.is_spent
    }

    /// Notes from now on when the client is waited for, at the price of a look at the clock for each part that was.
    pub fn note_pauses(&mut self, now: Instant) {
        // What is held goes out at once.
        let first = (self.held_bytes > 0).then_some(now);
        self.pauses = Some(Box::new(Pauses { is_waiting: false, first, last: now }));
    }

    /// The end of the last wait for the client: from then on it was the endpoint's turn. `began` if there was none since.
    pub fn last_pause(&self, began: Instant) -> Instant {
        self.pauses.as_ref().map_or(began, |pauses| pauses.last.max(began))
    }

    /// The same for the first part that came.
    pub fn first_pause(&self, began: Instant) -> Instant {
        self.pauses.as_ref().and_then(|pauses| pauses.first).map_or(began, |first| first.max(began))
    }

    /// Receives until the body is complete or as much is held as may be.
    pub async fn hold<C: Client>(&mut self, client: &C) -> Result<(), ClientFault> {
        while !self.is_complete && (self.held_bytes < self.rules.hold || self.fits) {
            let part = std::future::poll_fn(|cx| self.poll_receive(cx, client)).await?;
            self.keep(part);
        }
        Ok(())
    }

    fn keep(&mut self, part: Part) {
        match part {
            Part::Data(data) => {
                self.held_bytes += data.len();
                if data.len() < SMALL {
                    return self.tail.extend_from_slice(&data);
                }
                self.seal();
                self.held.push(data);
            }
            Part::End(trailers) => {
                self.trailers = trailers.filter(|_| self.rules.trailers);
                self.is_complete = true;
            }
        }
    }

    /// Keeps a part that is sent, if there is room. Where there is none, what was held is not the body any more.
    fn keep_sent(&mut self, data: &Bytes) {
        if self.held_bytes + data.len() <= self.rules.keep {
            self.keep(Part::Data(data.clone()));
        } else {
            self.let_go();
        }
    }

    /// From here on the request cannot be sent again.
    fn let_go(&mut self) {
        self.is_spent = true;
        if self.held_bytes > 0 {
            self.held = Vec::new();
            self.tail = BytesMut::new();
            self.held_bytes = 0;
        }
    }

    /// Puts the small parts behind the others.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.held.push(self.tail.split().freeze());
        }
    }

    /// How the body is sent: with its length if that is known, else in chunks. A request without body stays one.
    pub fn framing(&self, received: Framing) -> Framing {
        match received {
            Framing::None | Framing::Length(_) => received,
            _ if self.is_complete && self.trailers.is_none() && !self.is_spent => {
                Framing::Length(self.held_bytes as u64)
            }
            _ => Framing::Chunked,
        }
    }

    /// How a body is sent that is held as a whole.
    pub fn own_framing(&self) -> Framing {
        match self.held_bytes {
            0 => Framing::None,
            octets => Framing::Length(octets as u64),
        }
    }

    /// Queues the head and what is held; the rest is streamed by [`Upload::poll`].
    pub fn begin(&mut self, upstream: &Upstream, request: &Outgoing<'_>) {
        self.wait.progress();
        self.seal();
        // An empty body in chunks still has its last chunk: the framing is that of the first attempt, which knew no end.
        let has_nothing_more =
            request.framing != Framing::Chunked && self.is_complete && self.held.is_empty() && self.trailers.is_none();
        upstream.queue_head(request, has_nothing_more);
        self.is_sent = self.is_complete;
        if has_nothing_more {
            return;
        }
        for data in &self.held {
            upstream.queue_data(data.clone());
        }
        if self.is_complete {
            upstream.queue_end(self.trailers.as_deref());
        }
    }

    /// Streams the rest. Ready when all is handed to the upstream and written.
    pub fn poll<C: Client>(
        &mut self,
        cx: &mut Context<'_>,
        client: &C,
        upstream: &Upstream,
        send: Duration,
    ) -> Poll<Result<(), UploadFault>> {
        loop {
            match upstream.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(UploadFault::Upstream(fault))),
                Poll::Pending => {
                    let stalled = self.wait.poll(cx, client.timer(), Waiting::Upstream, send);
                    return stalled.map(|_| Err(UploadFault::Upstream(UpstreamFault::HeadTimeout)));
                }
            }
            if self.is_sent {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_receive(cx, client)).map_err(UploadFault::Client)? {
                Part::Data(data) => {
                    if !self.is_spent {
                        self.keep_sent(&data);
                    }
                    upstream.queue_data(data);
                }
                Part::End(trailers) => {
                    self.is_sent = true;
                    // Kept too: what is held may be sent again.
                    self.keep(Part::End(trailers));
                    upstream.queue_end(self.trailers.as_deref());
                }
            }
        }
    }

    /// The gap between reads ends a silent client's request; otherwise only the wait for the answer does.
    pub fn has_gap(&self) -> bool {
        self.rules.gap.is_some()
    }

    /// The answer has begun, so the request is not sent again. The pauses of the client are neither judged nor noted any more.
    pub fn answer_began(&mut self) {
        self.let_go();
        self.rules.gap = None;
        self.rules.min_rate = 0;
        self.pauses = None;
    }

    fn poll_receive<C: Client>(&mut self, cx: &mut Context<'_>, client: &C) -> Poll<Result<Part, ClientFault>> {
        let part = match client.poll_body(cx) {
            Poll::Ready(part) => part?,
            Poll::Pending => {
                if let Some(pauses) = &mut self.pauses {
                    pauses.is_waiting = true;
                }
                let Some(gap) = self.rules.gap else { return Poll::Pending };
                let late = self.wait.poll(cx, client.timer(), Waiting::Client, gap);
                return late.map(|_| Err(too_slow(Limit::body_gap)));
            }
        };
        self.wait.progress();
        if let Some(pauses) = &mut self.pauses {
            if std::mem::take(&mut pauses.is_waiting) {
                pauses.last = Instant::now();
            }
            pauses.first.get_or_insert(pauses.last);
        }
        if let Part::Data(data) = &part {
            self.received += data.len() as u64;
            if self.rules.limit != 0 && self.received > self.rules.limit {
                return Poll::Ready(Err(ClientFault::Refused(too_large())));
            }
            if self.rules.min_rate != 0 && self.is_below_rate() {
                return Poll::Ready(Err(too_slow(Limit::body_min_rate)));
            }
        }
        Poll::Ready(Ok(part))
    }

    fn is_below_rate(&mut self) -> bool {
        let now = Instant::now();
        let (since, before) = *self.window.get_or_insert((now, self.received));
        let elapsed = now - since;
        let mean = (self.received - before) as f64 / elapsed.as_secs_f64().max(1.0);
        let is_below = elapsed > RATE_GRACE && mean < self.rules.min_rate as f64;
        if elapsed > RATE_WINDOW {
            self.window = Some((now, self.received));
        }
        is_below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_kept_as_far_as_there_is_room_and_until_the_answer_begins() {
        let mut upload = Upload::new(Framing::Chunked, BodyRules { keep: 10_000, ..BodyRules::NONE });
        for octets in [10, SMALL, 20, 30] {
            upload.keep_sent(&Bytes::from(vec![b'x'; octets]));
        }
        upload.seal();
        let held: Vec<usize> = upload.held.iter().map(Bytes::len).collect();
        assert_eq!((held, upload.can_send()), (vec![10, SMALL, 50], true), "small ones are copied together");
        upload.keep_sent(&Bytes::from(vec![b'x'; 10_000 - 60 - SMALL]));
        assert!(upload.can_send(), "to the last octet");
        upload.keep_sent(&Bytes::from_static(b"x"));
        assert!(!upload.can_send() && upload.held.is_empty() && upload.tail.is_empty());

        let mut upload = Upload::new(Framing::Chunked, BodyRules { keep: 10_000, ..BodyRules::NONE });
        upload.keep_sent(&Bytes::from_static(b"x"));
        upload.answer_began();
        assert!(!upload.can_send() && upload.held.is_empty() && upload.tail.capacity() == 0);
    }

    #[test]
    fn what_is_held_is_waited_for_from_the_beginning_and_else_the_first_part_that_comes() {
        let (began, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut upload = Upload::new(Framing::Chunked, BodyRules { keep: 10, ..BodyRules::NONE });
        upload.note_pauses(began);
        assert_eq!(upload.pauses.as_ref().and_then(|pauses| pauses.first), None);
        upload.keep_sent(&Bytes::from_static(b"x"));
        // The next endpoint gets what is held at once.
        upload.note_pauses(later);
        assert_eq!(upload.pauses.as_ref().and_then(|pauses| pauses.first), Some(later));
        assert_eq!((upload.first_pause(began), upload.last_pause(began)), (later, later));
    }

    /// How many seconds a body passes that brings `octets` each second, of 100 at most.
    async fn passes(octets: u64, min_rate: u64) -> usize {
        let mut upload = Upload::new(Framing::Chunked, BodyRules { min_rate, ..BodyRules::NONE });
        for second in 0..100 {
            upload.received += octets;
            if upload.is_below_rate() {
                return second;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        100
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_for_ten_seconds_and_then_not_in_the_mean() {
        for (octets, min_rate, expected) in [(100, 100, 100), (1_000, 100, 100), (99, 100, 11), (1, 1_000, 11)] {
            assert_eq!(passes(octets, min_rate).await, expected, "{octets} of {min_rate}");
        }
        // A body that was quick is judged by its last half minute.
        let mut upload = Upload::new(Framing::Chunked, BodyRules { min_rate: 100, ..BodyRules::NONE });
        upload.received = 1_000_000;
        assert!(!upload.is_below_rate());
        let mut slow = 0;
        while !upload.is_below_rate() {
            tokio::time::advance(Duration::from_secs(1)).await;
            upload.received += 1;
            slow += 1;
        }
        assert!((11..=45).contains(&slow), "{slow}");
    }
}
