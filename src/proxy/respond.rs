//! The upstream's answer on its way to the client.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;

use super::attempt::Answered;
use super::downstream::{Answer, BodySize, Client, ClientFault, Part};
use super::error::UpstreamFault;
use super::note::Note;
use super::reply::Stop;
use super::timer::Wait;
use super::upload::{Upload, UploadFault};
use super::worker::Worker;
use crate::filter;
use crate::http1::{Fields, Framing, Known, RequestHead, ResponseHead};
use crate::ir::Answers;
use crate::settings::Limit;
use crate::table::{Pinned, Route};

/// Answers with these statuses carry the cookies of a service that was asked who may come in, as nginx adds fields to them.
const CARRY_COOKIES: [u16; 10] = [200, 201, 204, 206, 301, 302, 303, 304, 307, 308];

/// The client's end of an answer: what it takes, and how long it took nothing. Judged apart from the upstream, or a back
/// end that drips would keep a client that does not read.
#[derive(Default)]
struct Outflow {
    wait: Wait<()>,
}

impl Outflow {
    /// Writes what is queued, as long as the client takes it.
    fn poll<C: Client>(&mut self, cx: &mut Context<'_>, worker: &Worker, client: &C) -> Poll<Result<(), Stop>> {
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
pub async fn forward<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    table: &Pinned,
    head: &RequestHead,
    route: &Route,
    answered: Answered,
    upload: &mut Upload,
    cookies: &[Bytes],
    close: bool,
    note: &mut Note,
) -> Result<(), Stop> {
    let Answered { upstream, mut response, in_flight, admitted, cookie } = answered;
    queue_head(client, table, head, route, &mut response, cookie.as_deref(), cookies, close);
    note.status = response.status;
    upload.answer_began();

    let timeouts = &route.rule.policy.timeouts;
    let buffer = worker.limits().buffer.bytes();
    let mut outflow = Outflow::default();
    let mut wait = Wait::default();
    let mut is_uploading = !upload.is_sent();
    let mut received = 0;
    let ended = std::future::poll_fn(|cx| {
        if is_uploading {
            let before = upload.received();
            let uploaded = upload.poll(cx, client, &upstream, timeouts.send);
            if upload.received() > before {
                // Either direction counts: a stream may be silent one way for minutes.
                wait.progress();
            }
            match uploaded {
                Poll::Ready(Err(UploadFault::Client(ClientFault::Gone))) => return Poll::Ready(Err(Stop::ClientGone)),
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
            match upstream.poll_body(cx) {
                Poll::Ready(Ok(Part::Data(data))) => {
                    wait.progress();
                    received += data.len() as u64;
                    client.queue_data(data);
                }
                Poll::Ready(Ok(Part::End(trailers))) => {
                    client.queue_end(trailers.as_deref());
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(Stop::Cut(fault))),
                Poll::Pending => break,
            }
        }
        ready!(outflow.poll(cx, worker, client))?;
        if !is_uploading && client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Stop::ClientGone));
        }
        let late = wait.poll(cx, client.timer(), (), timeouts.read);
        late.map(|_| Err(Stop::Cut(UpstreamFault::BodyTimeout)))
    })
    .await;
    note.bytes_out = received;
    if let Some(attempt) = note.last_attempt() {
        attempt.bytes = received;
    }
    ended?;
    let now = Instant::now();
    note.attempt_ended(now);
    if upload.is_sent() {
        upstream.give_back(worker, now);
    }
    drop((in_flight, admitted));
    flush(worker, client).await
}

fn queue_head<C: Client>(
    client: &C,
    table: &Pinned,
    head: &RequestHead,
    route: &Route,
    response: &mut ResponseHead,
    cookie: Option<&[u8]>,
    cookies: &[Bytes],
    close: bool,
) {
    let mut rewritten: smallvec::SmallVec<[(&str, Bytes); 1]> = smallvec::SmallVec::new();
    let mut extra: smallvec::SmallVec<[(&str, &[u8]); 2]> = smallvec::SmallVec::new();
    if let Some(answers) = &table.globals().answers {
        hide(&mut response.fields, answers);
        filter::everywhere(answers, |field| {
            response.fields.skip_named(field.name.as_bytes());
            extra.push((field.name, field.value));
        });
    }
    filter::after(&route.rule.filters, Some(head), client.peer().way(), |field| {
        if field.replaces {
            response.fields.skip_named(field.name.as_bytes());
        }
        extra.push((field.name, field.value));
    });
    if let Some(edits) = &route.rule.filters.response {
        filter::answer::rewrite(edits, &mut response.fields, |name, value| rewritten.push((name, value)));
    }
    extra.extend(rewritten.iter().map(|(name, value)| (*name, &**value)));
    let takes_cookies = route.rule.filters.access.as_ref().and_then(|access| access.external.as_ref());
    if takes_cookies.is_some_and(|external| external.always_cookies || CARRY_COOKIES.contains(&response.status)) {
        extra.extend(cookies.iter().map(|cookie| ("Set-Cookie", &**cookie)));
    }
    extra.extend(cookie.map(|cookie| ("Set-Cookie", cookie)));
    let body = match response.framing {
        Framing::None => BodySize::None { length: response.named_length.filter(|_| response.status != 204) },
        Framing::Length(0) if response.named_length.is_none() => BodySize::Empty,
        Framing::Length(length) => BodySize::Length(length),
        Framing::Chunked | Framing::UntilClose => BodySize::Unknown,
    };
    let answer = Answer {
        status: response.status,
        reason: response.reason.of(&response.fields.bytes),
        fields: Some(&response.fields),
        extra: &extra,
        body,
        has_date: response.has_date,
        upgrade: None,
    };
    client.queue_head(&answer, close);
}

/// Which fields of the back end are passed on, after what is set for all.
fn hide(fields: &mut Fields, answers: &Answers) {
    if answers.keeps_server {
        fields.pass(Known::Server);
    }
    for name in &answers.hidden {
        fields.skip_named(name.as_bytes());
    }
}

/// Writes what is queued, as long as the client takes it.
pub async fn flush<C: Client>(worker: &Worker, client: &C) -> Result<(), Stop> {
    let mut outflow = Outflow::default();
    std::future::poll_fn(|cx| outflow.poll(cx, worker, client)).await
}
