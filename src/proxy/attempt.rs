//! One endpoint after another, until one answers or the rules say that it is enough.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Method;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::affinity;
use super::balance::{self, Ask, Span, Verdict};
use super::downstream::{Client, ClientFault};
use super::error::{RetryClass, UpstreamFault};
use super::forward::Outgoing;
use super::hops;
use super::note::Note;
use super::reply::{Reply, Stop};
use super::respond;
use super::timer::Wait;
use super::tunnel;
use super::upload::{Upload, UploadFault};
use super::upstream::{self, Far, Upstream};
use super::worker::Worker;
use crate::http1::ResponseHead;
use crate::ir;
use crate::live::{Admitted, Backend, Fault, InFlight, TlsIdentity};
use crate::settings::Limit;
use crate::table::{BackendRef, Route};
use crate::telemetry::Failure;

/// An endpoint that answered.
pub struct Answered {
    /// The connection, before the body of its answer.
    pub upstream: Upstream,
    /// The head of the answer.
    pub response: ResponseHead,
    /// Counts the request until it is done.
    pub in_flight: InFlight,
    /// Counts it within the limit of the backend, where there is one.
    pub admitted: Option<Admitted>,
    /// Value of the `Set-Cookie` that keeps the client at the endpoint, where it has none that does.
    pub cookie: Option<Box<[u8]>>,
    /// When all of the answer is to be there.
    pub deadline: Option<Instant>,
}

/// Sends the request to one endpoint after another until one answers. Which failures may be
/// repeated says [`RetryClass`]; how often, the backend's retry budget.
pub async fn reach<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    route: &Route,
    backend: &BackendRef,
    request: &Outgoing<'_>,
    upload: &mut Upload,
    note: &mut Note,
) -> Result<Answered, Stop> {
    if request.passed.is_some_and(|passed| passed > hops::MOST) {
        return Err(Reply::failed(508, Failure::Shed).into());
    }
    let balancing = &*backend.settings.balancing;
    let admitted = match balancing.max_in_flight {
        0 => None,
        most => Some(backend.live.admit(most).ok_or_else(Reply::in_flight)?),
    };
    let began = Instant::now();
    backend.live.retries.request(worker.index, began.into_std());
    let retry = &route.rule.policy.retry;
    // Most requests need one attempt.
    let mut tried: SmallVec<[SocketAddr; 1]> = SmallVec::new();
    let protocol = backend.settings.protocol.of_request(request.peer.tls.is_some());
    let identity = backend.tls.as_ref();
    let timeouts = &route.rule.policy.timeouts;
    let deadline = timeouts.total.map(|total| began + total);
    let plan = Plan { timeouts, deadline, protocol, identity, request };
    let pinned = backend.settings.affinity.as_ref().and_then(|affinity| affinity::named(request.head, affinity));
    let mut last = None;
    let mut now = began;
    loop {
        let hash = |by: Option<&ir::Template>| balance::key::hash(&request.asked(), by);
        let ask = Ask { worker: worker.index, tried: &tried, pinned, now: now.into_std(), hash: &hash };
        let Some(mut in_flight) = balance::pick(backend, &ask) else {
            return Err(last.map_or_else(|| Reply::failed(503, Failure::NoEndpoints).into(), Stop::Upstream));
        };
        let address = in_flight.endpoint().address;
        note.attempt(in_flight.endpoint(), now);
        let is_timed = wants_latency(backend, &in_flight) || worker.is_sample();
        let mut awaited = (balancing.algorithm == ir::Algorithm::Ewma).then_some((&*backend.live, &mut in_flight));
        if upload.is_complete() {
            if let Some((live, in_flight)) = awaited.take() {
                in_flight.wait(live, now.into_std());
            }
        } else if is_timed || deadline.is_some() {
            upload.note_pauses(now);
        }
        let mut sight = Sight { is_reused: false, is_news: Cell::new(true), awaited, connect: None };
        let outcome = attempt(worker, client, &plan, address, upload, now, &mut sight).await;
        let verdict = verdict(&outcome, &sight, protocol);
        let connect = sight.connect;
        // A wait that others put an end to says how long it was.
        let is_cut_short =
            matches!(outcome, Err(UploadFault::Client(_) | UploadFault::Upstream(UpstreamFault::Overdue)));
        if !is_cut_short {
            in_flight.end_wait();
        }
        let (started, ended) = (now, Instant::now());
        let (since, is_certain) = turn(&outcome, upload, started, ended, route.rule.policy.is_grpc);
        let is_measured = is_timed && is_certain;
        let span = Span { began: started.into_std(), since: since.into_std(), ended: ended.into_std(), is_measured };
        balance::judge(backend, &mut in_flight, verdict, &span);
        if let Some(attempt) = note.last_attempt() {
            attempt.connect = connect;
            if let Ok((_, response)) = &outcome {
                attempt.status = Some(response.status);
                attempt.header = Some(ended - started);
                note.answered(response);
            }
        }
        // Few say that a status is to be asked for again.
        let may = |class, tried: &mut SmallVec<[SocketAddr; 1]>| {
            tried.push(address);
            deadline.is_none_or(|at| ended < at)
                && may_retry(retry, class, request.method, upload, tried, backend, began)
        };
        let fault = match outcome {
            Ok((upstream, response)) => {
                if !retry.on.statuses.contains(&response.status) || !may(RetryClass::Status, &mut tried) {
                    let cookie = match &backend.settings.affinity {
                        Some(affinity) => {
                            affinity::cookie(route, backend, affinity, request, pinned, in_flight.endpoint())
                        }
                        None => None,
                    };
                    return Ok(Answered { upstream, response, in_flight, admitted, cookie, deadline });
                }
                respond::discard(worker, upstream, upload);
                UpstreamFault::Invalid
            }
            Err(UploadFault::Client(fault)) => return Err(fault.into()),
            Err(UploadFault::Upstream(fault)) => {
                note.attempt_failed(fault.status());
                if !may(fault.retry_class(), &mut tried) {
                    return Err(Stop::Upstream(fault));
                }
                fault
            }
        };
        last = Some(fault);
        now = ended;
        note.attempt_ended(now);
        route.metrics.retry(worker.index);
    }
}

/// Whether every request is measured: the algorithm goes by latency, or none is known yet. Else a sample is enough, which
/// is only shown.
fn wants_latency(backend: &BackendRef, in_flight: &InFlight) -> bool {
    backend.settings.balancing.algorithm == ir::Algorithm::Ewma || !in_flight.endpoint().is_measured()
}

/// From when on it was the endpoint's turn, and whether it was nobody else's: how long a client takes to send is not the
/// endpoint's time.
fn turn<T>(
    outcome: &Result<T, UploadFault>,
    upload: &Upload,
    began: Instant,
    ended: Instant,
    is_grpc: bool,
) -> (Instant, bool) {
    match outcome {
        _ if upload.is_complete() => (upload.last_pause(began), true),
        // Whoever answers a stream that goes on may do so from its first message on.
        Ok(_) if is_grpc => (upload.first_pause(began), true),
        // Client and endpoint were silent for so long, or it took nothing.
        Err(UploadFault::Upstream(UpstreamFault::HeadTimeout)) => (upload.last_pause(began), true),
        _ => (ended, false),
    }
}

/// What an attempt says about its endpoint.
fn verdict<T>(outcome: &Result<(T, ResponseHead), UploadFault>, sight: &Sight<'_>, protocol: ir::Protocol) -> Verdict {
    let fault = match outcome {
        Ok((_, head)) => {
            let grpc_status = if protocol.is_http2() { head.fields.find("grpc-status") } else { None };
            return Verdict::answered(head.status, grpc_status);
        }
        Err(UploadFault::Client(_)) => return Verdict::Nothing,
        Err(UploadFault::Upstream(fault)) => fault,
    };
    match fault {
        UpstreamFault::Connect | UpstreamFault::ConnectTimeout if sight.is_news.get() => {
            Verdict::Failed(Fault::Connect)
        }
        // An end that closes a connection which was idle is within its rights. One that broke for many is told of once.
        UpstreamFault::Reset if !sight.is_reused && sight.is_news.get() => Verdict::Failed(Fault::Reset),
        UpstreamFault::StreamReset | UpstreamFault::HeadCut => Verdict::Failed(Fault::Reset),
        UpstreamFault::HeadTimeout => Verdict::Failed(Fault::Timeout),
        UpstreamFault::NotHttp => Verdict::Failed(Fault::NotHttp),
        // A head that is not right may be the fault of one URL; what is ours is not theirs.
        UpstreamFault::Connect
        | UpstreamFault::ConnectTimeout
        | UpstreamFault::Exhausted
        | UpstreamFault::NotTaken
        | UpstreamFault::Reset
        | UpstreamFault::Invalid
        | UpstreamFault::Cut
        | UpstreamFault::BodyTimeout
        | UpstreamFault::Overdue => Verdict::Nothing,
    }
}

/// How an attempt came to its connection, and what it tells on its way.
struct Sight<'a> {
    /// It was there already.
    is_reused: bool,
    /// That it cannot be made, or broke, is not told by another request already.
    is_news: Cell<bool>,
    /// Who learns from when on only the endpoint was waited for; `None` if nobody needs to, or knows already.
    awaited: Option<(&'a Backend, &'a mut InFlight)>,
    /// How long it took to have it; `None` if it could not be had.
    connect: Option<Duration>,
}

/// Whether the request may be sent once more. Takes the retry out of the budget if it is charged.
fn may_retry(
    retry: &ir::Retry,
    class: RetryClass,
    method: &Method,
    upload: &Upload,
    tried: &[SocketAddr],
    backend: &BackendRef,
    began: Instant,
) -> bool {
    let ir::Retry { on, tries, timeout } = retry;
    if tried.len() >= most_attempts(*tries, backend) || (!timeout.is_zero() && began.elapsed() >= *timeout) {
        return false;
    }
    let is_asked = match class {
        RetryClass::Never => false,
        RetryClass::Free => return on.error && upload.can_send(),
        RetryClass::FreeTimeout => return on.timeout && upload.can_send(),
        RetryClass::Error => on.error,
        RetryClass::Timeout => on.timeout,
        RetryClass::InvalidHeader => on.invalid_header,
        RetryClass::Status => true,
    };
    let is_safe = is_idempotent(method) || on.non_idempotent;
    is_asked && is_safe && upload.can_send() && backend.live.retries.try_retry(Instant::now().into_std())
}

/// Attempts where there is no limit and hardly an endpoint: no fewer than by default, so that a lone one is asked again, and
/// those that came while others went are asked at all.
const LEAST_WITHOUT_LIMIT: usize = 3;

/// How many attempts `proxy-next-upstream-tries` allows; 0 is as many as there are endpoints.
pub fn most_attempts(tries: u32, backend: &BackendRef) -> usize {
    match tries {
        0 => backend.live.endpoints.load().ready().count().max(LEAST_WITHOUT_LIMIT),
        tries => tries as usize,
    }
}

/// RFC 9110 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// What attempts go by.
struct Plan<'a> {
    timeouts: &'a ir::Timeouts,
    /// When all of the answer is to be there.
    deadline: Option<Instant>,
    protocol: ir::Protocol,
    identity: Option<&'a Arc<TlsIdentity>>,
    request: &'a Outgoing<'a>,
}

/// One attempt at one endpoint, up to the head of the final answer.
async fn attempt<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    plan: &Plan<'_>,
    address: SocketAddr,
    upload: &mut Upload,
    now: Instant,
    sight: &mut Sight<'_>,
) -> Result<(Upstream, ResponseHead), UploadFault> {
    let Plan { timeouts, deadline, protocol, identity, request } = *plan;
    let far = Far { address, protocol, identity };
    let wants_fresh = request.upgrade.is_some();
    let pooled = if wants_fresh { None } else { upstream::pooled(worker, far, now) };
    sight.is_reused = pooled.is_some();
    let upstream = match pooled {
        Some(upstream) => {
            sight.connect = Some(Duration::ZERO);
            upstream
        }
        None => {
            // Boxed: most requests find a connection, and should not make room for making one.
            let mut connect = Box::pin(upstream::connect(worker, far, timeouts.connect, &sight.is_news));
            let opened = std::future::poll_fn(|cx| match connect.as_mut().poll(cx) {
                Poll::Ready(opened) => Poll::Ready(opened.map_err(UploadFault::Upstream)),
                Poll::Pending if client.timer().is_over(cx, deadline) => {
                    let had_its_time = had_its_time(plan, now);
                    let fault = if had_its_time { UpstreamFault::ConnectTimeout } else { UpstreamFault::Overdue };
                    Poll::Ready(Err(UploadFault::Upstream(fault)))
                }
                Poll::Pending if upload.is_complete() => {
                    client.poll_gone(cx).map(|()| Err(UploadFault::Client(ClientFault::Gone)))
                }
                Poll::Pending => Poll::Pending,
            });
            let opened = opened.await?;
            sight.connect = Some(now.elapsed());
            opened
        }
    };
    upload.begin(&upstream, request);
    let mut wait = Wait::default();
    let (mut interims, mut interim_bytes) = (0, 0);
    let mut received = upload.received();
    let mut broken = None;
    let mut unread = Wait::default();
    let response = std::future::poll_fn(|cx| {
        if client.timer().is_over(cx, deadline) {
            // Whoever stood in line for a stream was not the endpoint's until then.
            let is_its_own = upload.is_complete() && sight.is_news.get();
            let had_its_time = is_its_own && had_its_time(plan, upload.last_pause(now));
            let fault = if had_its_time { UpstreamFault::HeadTimeout } else { UpstreamFault::Overdue };
            return Poll::Ready(Err(UploadFault::Upstream(fault)));
        }
        loop {
            let mut is_uploading = false;
            if broken.is_none() {
                match upload.poll(cx, client, &upstream, timeouts.send) {
                    Poll::Ready(Ok(())) => {}
                    // The back end may have answered before it closed: its answer counts.
                    Poll::Ready(Err(UploadFault::Upstream(fault))) if fault != UpstreamFault::HeadTimeout => {
                        broken = Some(fault);
                    }
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                    Poll::Pending => is_uploading = true,
                }
            }
            if upload.is_complete()
                && let Some((live, in_flight)) = sight.awaited.take()
            {
                in_flight.wait(live, upload.last_pause(now).into_std());
            }
            match upstream.poll_head(cx) {
                Poll::Ready(Ok(head)) if head.status < 200 && head.status != 101 => {
                    interims += 1;
                    let most = worker.limits().interim;
                    // What a client over HTTP/2 has not taken of them is not in `queued`.
                    let queued = client.queued().max(interim_bytes);
                    let room = worker.limits().buffer.bytes().saturating_sub(queued);
                    if interims <= most {
                        if head.status != 100 && head.fields.bytes.len() <= room {
                            interim_bytes += head.fields.bytes.len();
                            client.queue_interim(&head);
                        }
                        wait.progress();
                    } else {
                        // From here on they are dropped, and no longer keep the wait for the final head alive.
                        if interims == most + 1 {
                            worker.metrics().limit_hit(Limit::interim);
                        }
                        if !is_uploading && wait.is_over((), timeouts.read) {
                            return Poll::Ready(Err(UploadFault::Upstream(UpstreamFault::HeadTimeout)));
                        }
                    }
                    continue;
                }
                Poll::Ready(Ok(head)) if head.status == 101 && !tunnel::is_agreed(request, &head) => {
                    return Poll::Ready(Err(UploadFault::Upstream(UpstreamFault::Invalid)));
                }
                Poll::Ready(Ok(head)) => return Poll::Ready(Ok(head)),
                // What came of an answer says more than what could not be sent.
                Poll::Ready(Err(UpstreamFault::Reset)) => {
                    let fault = broken.unwrap_or(UpstreamFault::Reset);
                    if fault == UpstreamFault::Reset && !sight.is_reused {
                        sight.is_news.set(upstream.is_first_to_break());
                    }
                    return Poll::Ready(Err(UploadFault::Upstream(fault)));
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(UploadFault::Upstream(fault))),
                Poll::Pending => {}
            }
            if client.queued() > 0 && client.poll_flush(cx).map_err(UploadFault::Client)?.is_pending() {
                let late = unread.poll(cx, client.timer(), (), worker.limits().write_stall);
                return late.map(|()| Err(UploadFault::Client(ClientFault::Gone)));
            }
            unread.progress();
            if (upload.is_complete() || broken.is_some()) && client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(UploadFault::Client(ClientFault::Gone)));
            }
            if is_uploading && (upload.has_gap() || received != upload.received()) {
                received = upload.received();
                wait.progress();
            }
            if is_uploading && upload.has_gap() {
                return Poll::Pending;
            }
            let late = wait.poll(cx, client.timer(), (), timeouts.read);
            return late.map(|()| Err(UploadFault::Upstream(UpstreamFault::HeadTimeout)));
        }
    })
    .await?;
    Ok((upstream, response))
}

/// Whether an endpoint whose turn it was from `since` on had half of the time for all of the request, now that it is over. What
/// it did in less says nothing about it: others had the rest.
#[cold]
fn had_its_time(plan: &Plan<'_>, since: Instant) -> bool {
    let half = plan.timeouts.total.unwrap_or_default() / 2;
    plan.deadline.is_some_and(|at| at.saturating_duration_since(since) >= half)
}
