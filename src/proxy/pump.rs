//! The body of an answer on its way to the client, part by part, as fast as the client takes it and the route lets it.

use std::future::Future;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::downstream::{Client, ClientFault, Part};
use super::error::UpstreamFault;
use super::outlet::{Flow, Outlet};
use super::reply::Stop;
use super::timer::Wait;
use super::upload::{Upload, UploadFault};
use super::upstream::Upstream;
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

/// Where a body comes from.
pub(super) trait Source {
    /// Its next part.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, UpstreamFault>>;

    /// Longest gap between two parts; `None` while somebody else watches the gaps.
    fn gap(&self) -> Option<Duration>;

    /// When all of it is to be there.
    fn deadline(&self) -> Option<Instant>;
}

/// What is left of the request, which still goes up.
pub(super) struct Uphill<'a> {
    /// Its body.
    pub(super) upload: &'a mut Upload,
    /// Where to.
    pub(super) upstream: &'a Upstream,
    /// How long the back end may take nothing.
    pub(super) send: Duration,
}

/// Sends the body on, to its end.
pub(super) fn pump<C: Client>(
    worker: &Worker,
    client: &C,
    source: &mut impl Source,
    outlet: &mut Outlet<'_, C>,
    mut request: Option<Uphill<'_>>,
) -> impl Future<Output = Result<(), Stop>> {
    let buffer = worker.limits().buffer.bytes();
    let mut outflow = Outflow::default();
    let mut wait = Wait::default();
    std::future::poll_fn(move |cx| {
        if client.timer().is_over(cx, source.deadline()) {
            return Poll::Ready(Err(Stop::Cut(UpstreamFault::Overdue)));
        }
        if let Some(Uphill { upload, upstream, send }) = &mut request {
            let before = upload.received();
            let uploaded = upload.poll(cx, client, upstream, *send);
            if upload.received() > before {
                // Either direction counts: a stream may be silent one way for minutes.
                wait.progress();
            }
            match uploaded {
                Poll::Ready(Err(UploadFault::Client(ClientFault::Gone))) => return Poll::Ready(Err(Stop::ClientGone)),
                // A body that cannot be sent on does not spoil the answer; the connection just ends after it.
                Poll::Ready(_) => request = None,
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
            match outlet.release(buffer) {
                Flow::Ended => return Poll::Ready(Ok(())),
                Flow::Free => {}
                Flow::Full => continue,
                Flow::Later(due) => {
                    ready!(outflow.poll(cx, worker, client))?;
                    // The back end is not waited for.
                    wait.progress();
                    if request.is_none() && client.poll_gone(cx).is_ready() {
                        return Poll::Ready(Err(Stop::ClientGone));
                    }
                    ready!(client.timer().poll(cx, due));
                    continue;
                }
            }
            match source.poll_part(cx) {
                Poll::Ready(Ok(Part::Data(data))) => {
                    wait.progress();
                    outlet.data(data)?;
                    continue;
                }
                Poll::Ready(Ok(Part::End(trailers))) => {
                    outlet.end(trailers)?;
                    if outlet.is_ended() {
                        return Poll::Ready(Ok(()));
                    }
                    continue;
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(Stop::Cut(fault))),
                Poll::Pending => {}
            }
            // What an encoder holds back goes out once the client has what came before.
            ready!(outflow.poll(cx, worker, client))?;
            if outlet.flush()? {
                continue;
            }
            if request.is_none() && client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Stop::ClientGone));
            }
            let Some(gap) = source.gap() else { return Poll::Pending };
            let late = wait.poll(cx, client.timer(), (), gap);
            return late.map(|()| Err(Stop::Cut(UpstreamFault::BodyTimeout)));
        }
    })
}
