//! The life of one request, from its head to the end of its answer, whatever protocol each side speaks.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::Instant;

use super::attempt::{self, Answered};
use super::cached;
use super::canary;
use super::client_auth;
use super::downstream::{Client, ClientFault, Part, Peer};
use super::errors;
use super::forward::Outgoing;
use super::forwarded::{self, Seen};
use super::guard::{self, Admitted, Asker};
use super::hops;
use super::mirror;
use super::note::Note;
use super::outlet::Way;
use super::reply::{self, Reply, Stop};
use super::respond;
use super::tunnel::{self, Tunnel};
use super::unread::Unread;
use super::upload::{self, BodyRules, Upload};
use super::worker::Worker;
use crate::filter;
use crate::http1::{Framing, Refusal, RequestHead};
use crate::ir::{Globals, Requests};
use crate::table::{BackendRef, Decision, Outcome, Pinned, Route, decide};
use crate::telemetry::Failure;

/// Serves one request. `started` is when its first byte came; `last`: the connection ends after it.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice (rust-lang/rust#62958)")]
pub fn run<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    mut head: RequestHead,
    started: Instant,
    last: bool,
) -> impl Future<Output = ()> {
    async move {
        let mut note = Note::new(started);
        note.number = client.peer().count();
        let table = worker.table();
        note.keep(worker, &table, client);
        let requests = &table.globals().requests;
        prepare(requests, &mut head);
        note.id.is_made = !requests.no_request_id;
        let head = &head;
        note.bytes_in = head.fields.bytes.len() as u64;
        let table = match serve(worker, client, &table, head, last, &mut note).await {
            Ok(None) => table,
            // Boxed, as what few requests come to is: every request makes room for the rest.
            Ok(Some(tunnel)) => {
                // It lasts for hours, and should not keep the table for as long.
                drop(table);
                Box::pin(tunnel.run(worker, client, &mut note)).await;
                worker.table()
            }
            Err(stop) => {
                Box::pin(end(worker, client, &table, head, last, stop, &mut note)).await;
                table
            }
        };
        note.finish(worker, &table, client, Ok(head));
    }
}

/// Marks which fields of the client count.
#[inline]
pub fn prepare(requests: &Requests, head: &mut RequestHead) {
    if requests.underscores {
        head.fields.pass_underscored();
    }
    if let Some(set) = &requests.set {
        set.iter().for_each(|field| head.fields.skip_alike(field.name.as_bytes()));
    }
}

/// Answers a head that could not be read, and ends the connection.
pub async fn refuse<C: Client>(worker: &Rc<Worker>, client: &C, reply: Reply, head: Unread, started: Instant) {
    let mut note = Note::new(started);
    note.number = client.peer().count();
    note.bytes_in = head.length;
    let table = worker.table();
    note.keep(worker, &table, client);
    send(worker, client, &table, None, &reply, true, &mut note).await;
    note.finish(worker, &table, client, Err(&head));
}

/// The road of a request that nothing stops.
async fn serve<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    table: &Rc<Pinned>,
    head: &RequestHead,
    last: bool,
    note: &mut Note,
) -> Result<Option<Box<Tunnel>>, Stop> {
    let globals = table.globals();
    let (peer, host, prefix) = seen(globals, client, head);
    note.seen.clone_from(&peer);
    let peer = peer.as_deref().unwrap_or_else(|| client.peer());
    let id = note.id;
    let request_id = id.octets(Some(head));
    let request = filter::Request { forwarded_host: host, request_id, ..peer.request(head) };
    let told = client_auth::admit(table, peer, &request);
    let (at, route, path, outcome) = match decide(table, &request) {
        Decision::Health => {
            note.is_silent = true;
            return Err(Reply::plain(if worker.is_draining() { 503 } else { 200 }).into());
        }
        Decision::Blocked(reply) => return Err(Reply::from(reply).into()),
        Decision::BadPath(fault) => return Err(Refusal::bad(fault.0).into()),
        Decision::Redirected(_, reply) => return Err(told.err().unwrap_or_else(|| Box::new(reply.into())).into()),
        Decision::NoRoute(_) => {
            return Err(told.err().unwrap_or_else(|| Box::new(Reply::failed(404, Failure::NoRoute))).into());
        }
        Decision::Routed { at, route, path, outcome } => (at, route, path, outcome),
    };
    note.routed(table, at);
    let told = told?;
    let filters = &route.rule.filters;
    let (backend, rewritten) = backend(outcome)?;
    let mut admitted = Admitted::default();
    if filters.is_guarded() {
        if backend.is_some_and(|backend| route.is_nowhere(backend)) {
            return Err(Reply::failed(503, Failure::NoEndpoints).into());
        }
        let asker = Asker { worker, client, peer, globals, request: &request, route, told: &told };
        admitted = Box::pin(guard::admit(&asker)).await?;
    }
    let Some(mut backend) = backend else { return Err(Reply::failed(404, Failure::NoRoute).into()) };
    // Answers of others than the route's own backend are not kept.
    let mut is_other = false;
    if let Some(fallback) = route.aside.as_ref().and_then(|aside| aside.fallback.as_ref())
        && backend.live.endpoints.load().candidates.is_empty()
    {
        errors::tell(&mut admitted.edits, head, route, 503);
        backend = fallback;
        is_other = true;
    }
    told.add(&mut admitted.edits);
    if let Some(canary) = canary::choose(backend, &request) {
        note.alternative = Some(Arc::clone(&canary.upstream_name));
        backend = &canary.backend;
        is_other = true;
    }
    if let Some(edits) = &filters.request {
        admitted.edits.apply(edits, &request);
    }
    // What the back end is told of who asks: an answer that it gives to one must not go to another.
    let identity = route.rule.policy.cache.as_ref().map(|_| cached::identity(&admitted.edits));
    let is_http10 = route.rule.policy.http10 && !backend.settings.protocol.is_http2();
    let rules = body_rules(worker, globals, route, is_http10);
    let mut upload = Upload::new(head.framing, rules);
    upload.hold(client).await.map_err(Stop::from)?;
    let framing = upload.framing(head.framing);
    if is_http10 && framing == Framing::Chunked {
        return Err(Reply::failed(411, Failure::BadRequest).into());
    }
    let upgrade = if is_http10 { None } else { tunnel::offer(head, route) };
    // HTTP/1.0 may come without a host; a back end gets one all the same.
    let local = head.authority.is_empty().then(|| client.peer().local.to_string());
    let own_host = || local.as_deref().map_or_else(|| head.part(head.authority), str::as_bytes);
    let asked_host = host.unwrap_or_else(own_host);
    let outgoing = Outgoing {
        head,
        edits: &admitted.edits,
        rules: &globals.requests,
        route: Some(&route.rule),
        method: &head.method,
        path: match &rewritten {
            Some(rewritten) => rewritten.path.as_bytes(),
            None if head.path() == b"*" => b"*",
            None => path.forward.as_bytes(),
        },
        query: rewritten.as_ref().map_or_else(|| head.query(), |rewritten| &rewritten.query),
        prefix: rewritten.as_ref().and_then(|rewritten| rewritten.prefix.as_deref()).or(prefix),
        host: admitted.edits.host().unwrap_or(asked_host),
        forwarded_host: asked_host,
        request_id,
        peer,
        framing,
        is_http10,
        upgrade: upgrade.as_deref(),
        te_trailers: route.rule.policy.is_grpc,
        passed: hops::passed(backend, head),
        withheld: &[],
    };
    if let Some(mirror) = &filters.mirror
        && !backend.live.endpoints.load().candidates.is_empty()
    {
        mirror::send(worker, table, at, mirror, &request, &outgoing, &upload);
    }
    if let Some(caching) = route.rule.policy.cache.as_deref().filter(|_| !is_other)
        && let Some(ask) = cached::Ask::new(
            caching,
            table,
            at,
            backend,
            &outgoing,
            &path,
            identity.as_deref().unwrap_or_default(),
            last,
        )
    {
        // Boxed: most routes keep no answers.
        return Box::pin(cached::serve(worker, client, &ask, note)).await.map(|()| None);
    }
    let mut answered = attempt::reach(worker, client, route, backend, &outgoing, &mut upload, note).await?;
    if answered.cookie.is_some() && route.is_stand_in(backend) {
        answered.cookie = None;
    }
    note.bytes_in += upload.received();
    let Answered { response, .. } = &answered;
    if response.status == 101 {
        note.unpin();
        return Ok(Some(Box::new(Tunnel::begin(client, answered, admitted.held, &route.rule.policy, note))));
    }
    if filters.errors.as_ref().is_some_and(|errors| errors.replaces(response.status)) {
        let status = response.status;
        respond::discard(worker, answered.upstream, &upload);
        return Err(Reply::plain(status).into());
    }
    let cache_status = match &route.rule.policy.cache {
        Some(caching) => {
            let identity = identity.as_deref().unwrap_or_default();
            cached::passed_by(table, route, caching, &outgoing, &path, identity, response)
        }
        None => None,
    };
    let close = last || worker.is_draining() || !upload.is_sent();
    let cookies = admitted.edits.cookies();
    let way = Way { request: &outgoing, route, globals, close, refusal: &[], cookies, cache_status };
    respond::forward(worker, client, way, answered, &mut upload, note).await?;
    Ok(None)
}

/// The client, its host and the prefix.
type SeenParts<'a> = (Option<Rc<Peer>>, Option<&'a [u8]>, Option<&'a [u8]>);

/// The client, the host that it asked for and the prefix that was taken off, as far as a proxy that is believed tells of them.
fn seen<'a, C: Client>(globals: &Globals, client: &C, head: &'a RequestHead) -> SeenParts<'a> {
    match globals.trust.as_ref().and_then(|trust| forwarded::seen(trust, client.peer(), head)) {
        None => (None, None, None),
        Some(Seen { peer, host, prefix }) => (Some(Rc::new(peer)), host, prefix),
    }
}

/// The back end to ask, if the path has one, and what it gets in place of path and query; or what is answered whoever asks.
fn backend(outcome: Outcome<'_>) -> Result<(Option<&BackendRef>, Option<Box<filter::Rewritten>>), Stop> {
    Err(match outcome {
        Outcome::Backend { backend, rewritten } => return Ok((Some(backend), rewritten)),
        Outcome::NotFound => return Ok((None, None)),
        Outcome::TooLarge => upload::too_large().into(),
        Outcome::Closed(_) => Reply::failed(503, Failure::Denied).into(),
        Outcome::Replied(reply) => Reply::from(reply).into(),
    })
}

fn body_rules(worker: &Worker, globals: &Globals, route: &Route, is_http10: bool) -> BodyRules {
    let policy = &route.rule.policy;
    let limits = worker.limits();
    let most = limits.buffer.bytes();
    // A copy has the whole body.
    let is_copied = route.rule.filters.mirror.as_ref().is_some_and(|mirror| mirror.has_body);
    BodyRules {
        limit: route.body_limit(),
        gap: (!policy.is_grpc).then(|| globals.clients.body_gap.unwrap_or(limits.body_gap)),
        min_rate: if policy.is_grpc { 0 } else { policy.body_min_rate },
        hold: if (policy.buffer_request || is_copied || is_http10) && !policy.is_grpc { most } else { 0 },
        keep: if policy.retry.tries == 1 { 0 } else { most },
        // In HTTP/1.0 there are none.
        trailers: (policy.request_trailers || policy.is_grpc) && !is_http10,
    }
}

impl From<ClientFault> for Stop {
    fn from(fault: ClientFault) -> Stop {
        match fault {
            ClientFault::Gone => Stop::ClientGone,
            ClientFault::Refused(refusal) => refusal.into(),
        }
    }
}

/// What is left to do when a request does not go the whole road.
async fn end<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    table: &Pinned,
    head: &RequestHead,
    last: bool,
    stop: Stop,
    note: &mut Note,
) {
    let reply = match stop {
        Stop::Reply(reply) => *reply,
        Stop::Upstream(fault) => Reply::failed(fault.status(), fault.failure()),
        Stop::ClientGone => return gone(client, note),
        Stop::Cut(fault) => {
            note.failure = Some(fault.failure());
            return cut(client, note);
        }
    };
    let close = last || reply.closes || worker.is_draining() || head.expect_continue || !discard(worker, client).await;
    if let Some(noted) = note.table()
        && let Some(backend) = errors::instead(noted.route(), &reply)
    {
        match errors::answer(worker, client, head, backend, &reply, close, note).await {
            Ok(()) => return,
            Err(Stop::Cut(fault)) => {
                note.failure = Some(fault.failure());
                return cut(client, note);
            }
            Err(Stop::ClientGone) => return gone(client, note),
            // Nobody answers in its place, so it goes out itself.
            Err(Stop::Reply(_) | Stop::Upstream(_)) => {}
        }
    }
    send(worker, client, table, Some(head), &reply, close, note).await;
}

/// The client left; where no answer had begun, that is status 499.
fn gone<C: Client>(client: &C, note: &mut Note) {
    note.failure = Some(Failure::ClientGone);
    if note.status == 0 {
        note.status = 499;
    }
    cut(client, note);
}

/// The answer breaks off.
fn cut<C: Client>(client: &C, note: &mut Note) {
    note.is_cut = true;
    client.cut();
}

/// Reads what is left of a request body, if it is there already: then the connection can go on.
async fn discard<C: Client>(worker: &Worker, client: &C) -> bool {
    let mut left = worker.limits().buffer.bytes();
    std::future::poll_fn(|cx| {
        loop {
            match client.poll_body(cx) {
                Poll::Ready(Ok(Part::End(_))) => return Poll::Ready(true),
                Poll::Ready(Ok(Part::Data(data))) if data.len() <= left => left -= data.len(),
                _ => return Poll::Ready(false),
            }
        }
    })
    .await
}

async fn send<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    table: &Pinned,
    head: Option<&RequestHead>,
    reply: &Reply,
    close: bool,
    note: &mut Note,
) {
    note.status = reply.status;
    note.failure = reply.failure;
    if let Some(limit) = reply.limit {
        worker.metrics().limit_hit(limit);
    }
    let fields = note.response_fields(table, client.peer(), head);
    let ruled = head.and_then(|head| note.ruled(table, client.peer(), head, reply.status, reply.media_type()));
    let method = head.map(|head| &head.method);
    let sent = reply::queue(client, method, reply, note.id.octets(head), &fields, ruled.as_ref(), close);
    drop((fields, ruled));
    note.bytes_out = sent;
    if respond::flush(worker, client).await.is_err() {
        note.failure = note.failure.or(Some(Failure::ClientGone));
        cut(client, note);
    }
}
