//! The upstream's answer on its way to the client.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::Answered;
use super::downstream::{Client, Part};
use super::error::UpstreamFault;
use super::note::Note;
use super::outlet::{Outlet, Way};
use super::pump::{Outflow, Source, Uphill, pump};
use super::reply::Stop;
use super::upload::Upload;
use super::upstream::Upstream;
use super::worker::Worker;

/// The body as the back end sends it.
struct Direct<'a> {
    upstream: &'a Upstream,
    gap: Duration,
    deadline: Option<Instant>,
    received: u64,
}

impl Source for Direct<'_> {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, UpstreamFault>> {
        let part = self.upstream.poll_body(cx);
        if let Poll::Ready(Ok(Part::Data(data))) = &part {
            self.received += data.len() as u64;
        }
        part
    }

    fn gap(&self) -> Option<Duration> {
        Some(self.gap)
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// Sends the answer on, part by part, while what is left of the request still goes up. The upstream connection goes back
/// to the pool when both ended cleanly.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice (rust-lang/rust#62958)")]
pub fn forward<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    way: Way<'_>,
    mut answered: Answered,
    upload: &mut Upload,
    note: &mut Note,
) -> impl Future<Output = Result<(), Stop>> {
    async move {
        let cookie = answered.cookie.as_deref().map(|cookie| ("Set-Cookie", cookie));
        let mut outlet = Outlet::open(worker, client, way, &mut answered.response, cookie.as_slice());
        let upstream = &answered.upstream;
        note.status = answered.response.status;
        upload.answer_began();

        let timeouts = &way.route.rule.policy.timeouts;
        let mut source = Direct { upstream, gap: timeouts.read, deadline: answered.deadline, received: 0 };
        let request = match upload.is_sent() {
            true => None,
            false => Some(Uphill { upload: &mut *upload, upstream, send: timeouts.send }),
        };
        let ended = pump(worker, client, &mut source, &mut outlet, request).await;
        let received = source.received;
        note.bytes_out = outlet.sent();
        if let Some(attempt) = note.last_attempt() {
            attempt.bytes = received;
        }
        ended?;
        let now = Instant::now();
        note.attempt_ended(now);
        if upload.is_sent() {
            answered.upstream.give_back(worker, now);
        }
        drop((answered.in_flight, answered.admitted));
        flush(worker, client).await
    }
}

/// So much of the body of an answer that nobody wants is read to use its connection again.
const DRAINED: usize = 64 << 10;
/// So long that is waited for while a request goes on.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);

/// Ends an answer whose body nobody wants, while the request goes on: its connection goes back to the pool if the body is
/// short and soon there, and the whole request went up.
pub fn discard(worker: &Rc<Worker>, upstream: Upstream, upload: &Upload) {
    if upload.is_sent() {
        let worker = Rc::clone(worker);
        tokio::task::spawn_local(async move { drain(&worker, upstream, DRAINED_WITHIN).await });
    }
}

/// The same to its end, which comes within `longest`.
pub async fn drain(worker: &Rc<Worker>, upstream: Upstream, longest: Duration) {
    let mut left = DRAINED;
    let drained = std::future::poll_fn(|cx| {
        loop {
            match upstream.poll_body(cx) {
                Poll::Ready(Ok(Part::Data(data))) if data.len() <= left => left -= data.len(),
                Poll::Ready(Ok(Part::End(_))) => return Poll::Ready(true),
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    if matches!(tokio::time::timeout(longest, drained).await, Ok(true)) {
        upstream.give_back(worker, Instant::now());
    }
}

/// Writes what is queued, as long as the client takes it.
pub async fn flush<C: Client>(worker: &Worker, client: &C) -> Result<(), Stop> {
    let mut outflow = Outflow::default();
    std::future::poll_fn(|cx| outflow.poll(cx, worker, client)).await
}
