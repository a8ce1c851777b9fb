//! The upstream's answer on its way to the client.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::attempt::Answered;
use super::downstream::{Client, ClientFault, Part};
use super::error::UpstreamFault;
use super::note::Note;
use super::outlet::{Outlet, Way};
use super::reply::Stop;
use super::timer::Wait;
use super::upload::{Upload, UploadFault};
use super::worker::Worker;
use crate::settings::Limit;

/// The client's end of an answer: what it takes, and how long it took nothing. Judged apart from the upstream, or a back
/// end that drips would keep a client that does not read.
#[derive(Default)]
pub(super) struct Outflow {
    wait: Wait<()>,
}

impl Outflow {
    /// Writes what is queued, as long as the client takes it.
    pub(super) fn poll<C: Client>(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        client: &C,
    ) -> Poll<Result<(), Stop>> {
        let before = client.queued();
        let flushed = client.poll_flush(cx);
        if client.queued() < before {
            self.wait.progress();
        }
        match flushed {
            Poll::Ready(flushed) => {
                self.wait.progress();
                Poll::Ready(flushed.map_err(Stop::from))
            }
            Poll::Pending => {
                let late = self.wait.poll(cx, client.timer(), (), worker.limits().write_stall);
                late.map(|()| {
                    worker.metrics().limit_hit(Limit::write_stall);
                    Err(Stop::ClientGone)
                })
            }
        }
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
        let buffer = worker.limits().buffer.bytes();
        let mut outflow = Outflow::default();
        let mut wait = Wait::default();
        let mut is_uploading = !upload.is_sent();
        let mut received = 0;
        let ended = std::future::poll_fn(|cx| {
            if is_uploading {
                let before = upload.received();
                let uploaded = upload.poll(cx, client, upstream, timeouts.send);
                if upload.received() > before {
                    // Either direction counts: a stream may be silent one way for minutes.
                    wait.progress();
                }
                match uploaded {
                    Poll::Ready(Err(UploadFault::Client(ClientFault::Gone))) => {
                        return Poll::Ready(Err(Stop::ClientGone));
                    }
                    // A body that cannot be sent on does not spoil the answer; the connection just ends after it.
                    Poll::Ready(_) => is_uploading = false,
                    Poll::Pending => {}
                }
            }
            loop {
                if client.queued() >= buffer {
                    ready!(outflow.poll(cx, worker, client))?;
                    wait.progress();
                }
                if outlet.is_spent() {
                    cx.waker().wake_by_ref();
                    ready!(outflow.poll(cx, worker, client))?;
                    return Poll::Pending;
                }
                match upstream.poll_body(cx) {
                    Poll::Ready(Ok(Part::Data(data))) => {
                        wait.progress();
                        received += data.len() as u64;
                        outlet.data(data)?;
                    }
                    Poll::Ready(Ok(Part::End(trailers))) => {
                        return Poll::Ready(outlet.end(trailers.as_deref()));
                    }
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(Stop::Cut(fault))),
                    Poll::Pending => break,
                }
            }
            // What an encoder holds back goes out once the client has what came before.
            loop {
                ready!(outflow.poll(cx, worker, client))?;
                if !outlet.flush()? {
                    break;
                }
            }
            if !is_uploading && client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Stop::ClientGone));
            }
            let late = wait.poll(cx, client.timer(), (), timeouts.read);
            late.map(|_| Err(Stop::Cut(UpstreamFault::BodyTimeout)))
        })
        .await;
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

/// Writes what is queued, as long as the client takes it.
pub async fn flush<C: Client>(worker: &Worker, client: &C) -> Result<(), Stop> {
    let mut outflow = Outflow::default();
    std::future::poll_fn(|cx| outflow.poll(cx, worker, client)).await
}
