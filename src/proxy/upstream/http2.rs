//! HTTP/2 to back ends (gRPC): few connections for each address, many streams on each.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, RecvStream};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::connect;
use super::pool::PoolKey;
use crate::http1::framing::Evidence;
use crate::http1::head::HeadBuilder;
use crate::http1::{Fields, Framing, Known, ResponseHead, Span, Version};
use crate::proxy::downstream::Part;
use crate::proxy::downstream::wire::{self, Tap, Wire};
use crate::proxy::error::UpstreamFault;
use crate::proxy::forward::Outgoing;
use crate::proxy::io::Stream;
use crate::proxy::outbox::{Gone, Outbox, append};
use crate::proxy::timer::Timer;
use crate::proxy::worker::Worker;
use crate::settings::Limits;
use crate::settings::limits::{POOL_AGE, POOL_IDLE_TIME, POOL_REQUESTS};

/// The HTTP/2 connections of one worker to back ends.
#[derive(Default)]
pub struct Http2Pool {
    slots: RefCell<HashMap<PoolKey, Slot, foldhash::fast::RandomState>>,
}

/// The connections to one address, and the attempt to make another.
#[derive(Default)]
struct Slot {
    links: Vec<Rc<Link>>,
    attempt: Option<Rc<Attempt>>,
    /// Told when a stream may have become free.
    room: Rc<Notify>,
}

/// What an address has for one more request.
enum Room {
    /// A connection with room for a stream.
    Here(Rc<Link>),
    /// None, and another connection is not to be made: there are enough, the back end admits no streams, or it has not
    /// yet said how many.
    Later(Rc<Notify>),
    /// None; another connection may be made.
    Elsewhere,
}

/// One connection.
struct Link {
    send: SendRequest<Bytes>,
    state: Rc<LinkState>,
    opened: Instant,
    requests: Cell<u64>,
}

/// What the connection's own task knows of it too.
struct LinkState {
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    is_over: Cell<bool>,
    room: Rc<Notify>,
}

/// A connection being made; everybody who needs one waits for the same.
#[derive(Default)]
struct Attempt {
    outcome: Cell<Option<Result<(), UpstreamFault>>>,
    ended: Notify,
}

impl Http2Pool {
    /// A stream on a connection that has room, if there is one.
    pub fn take(&self, key: &PoolKey, limits: &Limits) -> Option<Http2Upstream> {
        match self.room(key) {
            Room::Here(link) => Some(Http2Upstream::new(&link, *key, limits)),
            Room::Later(_) | Room::Elsewhere => None,
        }
    }

    /// A stream to the endpoint of `key`, within `longest`: on a connection that has room, else on a new one. Where no
    /// more connections are made, it waits for room.
    pub async fn stream(
        &self,
        worker: &Rc<Worker>,
        key: PoolKey,
        longest: Duration,
    ) -> Result<Http2Upstream, UpstreamFault> {
        let waiting = async {
            let mut has_waited = false;
            loop {
                match self.room(&key) {
                    Room::Here(link) => return Ok(Http2Upstream::new(&link, key, worker.limits())),
                    Room::Later(room) => {
                        let _told = tokio::time::timeout(SETTINGS_TIME, room.notified()).await;
                    }
                    // The connection that was just made is gone already: another would fare no better.
                    Room::Elsewhere if has_waited && !self.has_links(&key) => return Err(UpstreamFault::Connect),
                    Room::Elsewhere => {
                        let attempt = self.attempt(worker, key, longest);
                        while attempt.outcome.get().is_none() {
                            attempt.ended.notified().await;
                        }
                        attempt.outcome.get().unwrap_or(Err(UpstreamFault::Connect))?;
                        has_waited = true;
                    }
                }
            }
        };
        tokio::time::timeout(longest, waiting).await.unwrap_or(Err(UpstreamFault::ConnectTimeout))
    }

    /// Closes what has been idle too long. To be called every few seconds.
    pub fn sweep(&self, now: Instant) {
        self.slots.borrow_mut().retain(|_, slot| {
            slot.links.retain(|link| link.is_usable(now));
            !slot.links.is_empty() || slot.attempt.is_some()
        });
    }

    /// The usable connection with the fewest streams, if one has room.
    fn room(&self, key: &PoolKey) -> Room {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return Room::Elsewhere };
        let now = Instant::now();
        slot.links.retain(|link| link.is_usable(now));
        let with_room = slot.links.iter().filter(|link| link.state.streams.get() < link.most_streams());
        match with_room.min_by_key(|link| link.state.streams.get()) {
            Some(link) => Room::Here(Rc::clone(link)),
            None if slot.links.len() >= MOST_LINKS || slot.links.iter().any(|link| link.takes_no_more(now)) => {
                Room::Later(Rc::clone(&slot.room))
            }
            None => Room::Elsewhere,
        }
    }

    fn has_links(&self, key: &PoolKey) -> bool {
        self.slots.borrow().get(key).is_some_and(|slot| !slot.links.is_empty())
    }

    /// The attempt under way, begun if there is none. It does not end with the request that began it.
    fn attempt(&self, worker: &Rc<Worker>, key: PoolKey, longest: Duration) -> Rc<Attempt> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.entry(key).or_default();
        if let Some(attempt) = &slot.attempt {
            return Rc::clone(attempt);
        }
        let attempt = Rc::new(Attempt::default());
        slot.attempt = Some(Rc::clone(&attempt));
        let room = Rc::clone(&slot.room);
        let (worker, ended) = (Rc::clone(worker), Rc::clone(&attempt));
        tokio::task::spawn_local(async move {
            let made = make(&worker, key, room, longest).await;
            let outcome = made.as_ref().map(|_| ()).map_err(|fault| *fault);
            if let Some(slot) = worker.http2_pool().slots.borrow_mut().get_mut(&key) {
                slot.attempt = None;
                slot.links.extend(made);
            }
            ended.outcome.set(Some(outcome));
            ended.ended.notify_waiters();
        });
        attempt
    }
}

impl Link {
    fn is_usable(&self, now: Instant) -> bool {
        let idle_too_long = self.state.streams.get() == 0
            && now.saturating_duration_since(self.state.idle_since.get()) >= POOL_IDLE_TIME;
        if self.state.is_over.get()
            || idle_too_long
            || now.saturating_duration_since(self.opened) >= POOL_AGE
            || self.requests.get() >= POOL_REQUESTS
        {
            return false;
        }
        // A GOAWAY shows here before the connection is over.
        !matches!(self.send.clone().poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
    }

    /// Streams at a time: one until the back end has said how many it admits, since it may refuse what is beyond that.
    fn most_streams(&self) -> usize {
        match self.send.current_max_send_streams() {
            UNKNOWN => 1,
            admitted => admitted.min(MOST_STREAMS),
        }
    }

    /// Another connection would be no better than this one, as far as is known by `now`.
    fn takes_no_more(&self, now: Instant) -> bool {
        match self.send.current_max_send_streams() {
            UNKNOWN => now.saturating_duration_since(self.opened) < SETTINGS_TIME,
            admitted => admitted == 0,
        }
    }
}

async fn make(
    worker: &Rc<Worker>,
    key: PoolKey,
    room: Rc<Notify>,
    longest: Duration,
) -> Result<Rc<Link>, UpstreamFault> {
    let deadline = Instant::now() + longest;
    let stream = connect(worker, key.address, key.protocol, longest).await?;
    let (io, tap) = wire::split(stream, Bytes::new(), None);
    let handshake = builder(worker.limits()).handshake::<_, Bytes>(io);
    let (send, connection) = tokio::time::timeout_at(deadline, handshake)
        .await
        .map_err(|_| UpstreamFault::ConnectTimeout)?
        .map_err(|_| UpstreamFault::Connect)?;
    let now = Instant::now();
    let state =
        Rc::new(LinkState { streams: Cell::new(0), idle_since: Cell::new(now), is_over: Cell::new(false), room });
    tokio::task::spawn_local(drive(connection, tap, Rc::clone(&state)));
    Ok(Rc::new(Link { send, state, opened: now, requests: Cell::new(0) }))
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(UNKNOWN)
        .max_header_list_size(u32::try_from(limits.response_head.0).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(limits.buffer.bytes());
    builder
}

/// The connection's own task: moves bytes, and asks a back end that is silent whether it is there.
async fn drive(mut connection: Connection<Wire<Stream>, Bytes>, tap: Tap<Stream>, state: Rc<LinkState>) {
    let timer = Timer::default();
    let mut pings = connection.ping_pong();
    let mut next_look = Instant::now() + SILENCE;
    let mut awaits_pong = false;
    let mut most_streams = connection.max_concurrent_send_streams();
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        loop {
            if connection.as_mut().poll(cx).is_ready() || matches!(tap.poll_push(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(());
            }
            let admitted = connection.as_ref().get_ref().max_concurrent_send_streams();
            if std::mem::replace(&mut most_streams, admitted) != admitted {
                state.room.notify_waiters();
            }
            if state.streams.get() == 0 {
                tap.release();
            }
            if timer.poll(cx, next_look).is_pending() {
                return Poll::Pending;
            }
            next_look = Instant::now() + SILENCE;
            let Some(pings) = &mut pings else { continue };
            if awaits_pong && pings.poll_pong(cx).is_ready() {
                awaits_pong = false;
            }
            if tap.take_heard() || state.streams.get() == 0 {
                continue;
            }
            if awaits_pong {
                return Poll::Ready(());
            }
            awaits_pong = pings.send_ping(Ping::opaque()).is_ok();
        }
    })
    .await;
    state.is_over.set(true);
    state.room.notify_waiters();
}

/// One request on a stream of its own.
pub struct Http2Upstream {
    send: RefCell<SendRequest<Bytes>>,
    state: Rc<LinkState>,
    scheme: Scheme,
    most_fields: usize,
    to_head: Cell<bool>,
    /// The request's head, until it is sent.
    request: RefCell<Option<Request<()>>>,
    output: RefCell<Outbox>,
    response: RefCell<Option<ResponseFuture>>,
    body: RefCell<Option<RecvStream>>,
    /// The final head says that no body follows, whatever the back end sends.
    is_bodiless: Cell<bool>,
    /// Bytes given to the exchange, for which the back end gets no new window as yet.
    unreleased: Cell<usize>,
}

impl Http2Upstream {
    fn new(link: &Link, key: PoolKey, limits: &Limits) -> Http2Upstream {
        link.state.streams.set(link.state.streams.get() + 1);
        link.requests.set(link.requests.get() + 1);
        Http2Upstream {
            send: RefCell::new(link.send.clone()),
            state: Rc::clone(&link.state),
            scheme: if key.protocol.is_tls() { Scheme::HTTPS } else { Scheme::HTTP },
            most_fields: usize::try_from(limits.response_fields).unwrap_or(usize::MAX),
            to_head: Cell::new(false),
            request: RefCell::default(),
            output: RefCell::default(),
            response: RefCell::default(),
            body: RefCell::default(),
            is_bodiless: Cell::new(false),
            unreleased: Cell::new(0),
        }
    }

    /// Queues the request head. `end`: no body follows.
    pub fn queue_head(&self, request: &Outgoing<'_>, end: bool) {
        self.to_head.set(*request.method() == Method::HEAD);
        let mut output = self.output.borrow_mut();
        if let Framing::Length(length) = request.framing {
            output.expect(length);
        }
        if end {
            output.finish(None);
        }
        *self.request.borrow_mut() = head(request, self.scheme.clone());
    }

    /// Queues body bytes.
    pub fn queue_data(&self, data: Bytes) {
        self.output.borrow_mut().push(data);
    }

    /// Queues the end of the body.
    pub fn queue_end(&self, trailers: Option<&Fields>) {
        self.output.borrow_mut().finish(trailers);
    }

    /// Sends what is queued, as far as the back end's windows allow.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamFault>> {
        let mut output = self.output.borrow_mut();
        if self.request.borrow().is_some() {
            let mut send = self.send.borrow_mut();
            ready!(send.poll_ready(cx)).map_err(|_| UpstreamFault::Connect)?;
            if let Some(request) = self.request.take() {
                let sent = send.send_request(request, output.is_empty_message());
                let (response, stream) = sent.map_err(|_| UpstreamFault::Connect)?;
                *self.response.borrow_mut() = Some(response);
                output.open(stream);
            }
        }
        if self.response.borrow().is_none() && self.body.borrow().is_none() {
            return Poll::Ready(Err(UpstreamFault::Invalid));
        }
        match output.poll_send(cx) {
            // A back end may answer without taking the whole body (RFC 9113 8.1); what it has to say is in the answer.
            Poll::Ready(Ok(()) | Err(Gone)) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The next response head, interim ones included.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, UpstreamFault>> {
        let mut slot = self.response.borrow_mut();
        let Some(response) = slot.as_mut() else { return Poll::Ready(Err(UpstreamFault::Reset)) };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            return Poll::Ready(self.response_head(&interim, false));
        }
        let response = ready!(pin!(response).poll(cx));
        *slot = None;
        let response = response.map_err(|error| fault(&error))?;
        let head = self.response_head(&response, response.body().is_end_stream());
        self.is_bodiless.set(head.as_ref().is_ok_and(|head| head.framing == Framing::None));
        *self.body.borrow_mut() = Some(response.into_body());
        Poll::Ready(head)
    }

    /// The next part of the body.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Part, UpstreamFault>> {
        let mut slot = self.body.borrow_mut();
        let Some(body) = slot.as_mut() else { return Poll::Ready(Err(UpstreamFault::Cut)) };
        if self.is_bodiless.get() {
            // What comes after a 204, a 304 or an answer to HEAD is nobody's: the client would take it for the next answer.
            return Poll::Ready(Ok(Part::End(None)));
        }
        let consumed = self.unreleased.take();
        if consumed > 0 && body.flow_control().release_capacity(consumed).is_err() {
            return Poll::Ready(Err(UpstreamFault::Cut));
        }
        loop {
            match ready!(body.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.unreleased.set(data.len());
                    return Poll::Ready(Ok(Part::Data(data)));
                }
                Some(Err(_)) => return Poll::Ready(Err(UpstreamFault::Cut)),
                None => break,
            }
        }
        let trailers = ready!(body.poll_trailers(cx)).map_err(|_| UpstreamFault::Cut)?;
        Poll::Ready(Ok(Part::End(trailers.map(|trailers| Box::new(self.fields(&trailers).0)))))
    }

    fn response_head<B>(&self, response: &Response<B>, ends: bool) -> Result<ResponseHead, UpstreamFault> {
        let status = response.status().as_u16();
        if status == 101 || response.headers().len() > self.most_fields {
            return Err(UpstreamFault::Invalid);
        }
        let (fields, evidence, has_date) = self.fields(response.headers());
        let evidence = evidence.ok_or(UpstreamFault::Invalid)?;
        let framing = evidence.response(Version::Http11, status, self.to_head.get());
        let framing = match framing.map_err(|_| UpstreamFault::Invalid)? {
            Framing::UntilClose if ends => Framing::Length(0),
            Framing::UntilClose => Framing::Chunked,
            framing => framing,
        };
        Ok(ResponseHead {
            fields,
            version: Version::Http2,
            status,
            reason: Span::default(),
            framing,
            named_length: evidence.named_length(),
            names_body: evidence.names_body(),
            keep_alive: true,
            upgrade: None,
            has_date,
        })
    }

    /// The fields, what they say about the body (`None`: nonsense), and whether there is a `Date`.
    fn fields(&self, map: &HeaderMap) -> (Fields, Option<Evidence>, bool) {
        let mut builder = HeadBuilder::response();
        let mut evidence = Some(Evidence::default());
        let mut has_date = false;
        for (name, value) in map {
            let value = value.as_bytes().trim_ascii();
            let known = builder.field(name.as_str().as_bytes(), value);
            has_date |= known == Known::Date;
            if evidence.as_mut().is_some_and(|evidence| evidence.line(known, value).is_err()) {
                evidence = None;
            }
        }
        (builder.finish(), evidence, has_date)
    }
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        let left = self.state.streams.get().saturating_sub(1);
        self.state.streams.set(left);
        if left == 0 {
            self.state.idle_since.set(Instant::now());
        }
        self.state.room.notify_one();
    }
}

/// What a broken stream means before its head came. What the back end says it did not look at may be sent again
/// (RFC 9113 8.7), as if there had been no connection.
fn fault(error: &h2::Error) -> UpstreamFault {
    let is_refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    if error.is_remote() && (is_refused || error.is_go_away()) {
        UpstreamFault::Connect
    } else if error.is_library() {
        UpstreamFault::Invalid
    } else {
        UpstreamFault::Reset
    }
}

/// The head in HTTP/2; `None` if its host or path cannot be written there.
fn head(outgoing: &Outgoing<'_>, scheme: Scheme) -> Option<Request<()>> {
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(Authority::try_from(outgoing.host).ok()?)
        .path_and_query(target(outgoing.path, outgoing.head.query())?)
        .build()
        .ok()?;
    let mut request = Request::new(());
    *request.method_mut() = outgoing.method().clone();
    *request.uri_mut() = uri;
    let fields = request.headers_mut();
    fields.reserve(outgoing.head.fields.list.len() + ADDITIONS);
    append(fields, &outgoing.head.fields);
    outgoing.each_addition(|name, value| {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    });
    if outgoing.te_trailers {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Framing::Length(length) = outgoing.framing {
        fields.insert(header::CONTENT_LENGTH, length.into());
    }
    Some(request)
}

/// Path and query; octets that `http` does not take in a path are escaped.
fn target(path: &[u8], query: &[u8]) -> Option<PathAndQuery> {
    let mut target = Vec::with_capacity(path.len() + query.len());
    target.extend_from_slice(path);
    target.extend_from_slice(query);
    PathAndQuery::try_from(target.as_slice()).ok().or_else(|| {
        let mut escaped = String::with_capacity(target.len() + 16);
        for octet in &target {
            if matches!(octet, b'<' | b'>' | b'`' | b'"' | b'{' | b'}' | b'^' | b'|' | b'\\') {
                escaped.push_str(&format!("%{octet:02X}"));
            } else {
                escaped.push(char::from(*octet));
            }
        }
        PathAndQuery::try_from(escaped).ok()
    })
}

/// Fields that are added to a request, about.
const ADDITIONS: usize = 12;
/// What the crate calls the number of streams that a back end admits before its SETTINGS came. No SETTINGS can say it:
/// they have 32 bits, or nothing, which the crate calls `usize::MAX`.
const UNKNOWN: usize = usize::MAX - 1;
/// A connection whose SETTINGS are not here after so long stands in the way of no other.
const SETTINGS_TIME: Duration = Duration::from_secs(1);
/// Streams on one connection before another is made.
const MOST_STREAMS: usize = 100;
/// Connections to one address before requests wait for room.
const MOST_LINKS: usize = 16;
/// Windows for what back ends send: as wide as those for clients are by default (docs/defaults.md).
const STREAM_WINDOW: u32 = 256 << 10;
/// See [`STREAM_WINDOW`].
const CONNECTION_WINDOW: u32 = 1 << 20;
/// A back end with open streams that is silent for so long is asked whether it is there, and after as long again given up.
const SILENCE: Duration = Duration::from_secs(20);
