//! Few connections for each address, many streams on each: which one gets a request, and when another is made.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::Ping;
use h2::client::{Builder, Connection, SendRequest};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Http2Upstream;
use crate::ir::Pool;
use crate::live::TlsIdentity;
use crate::proxy::downstream::wire::{self, Tap, Wire};
use crate::proxy::error::UpstreamFault;
use crate::proxy::io::Stream;
use crate::proxy::timer::Timer;
use crate::proxy::upstream::connect::connect;
use crate::proxy::upstream::pool::PoolKey;
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
    line: Rc<Line>,
}

/// Requests that wait for a stream to one address.
#[derive(Default)]
struct Line {
    /// Told when a stream may have become free.
    room: Notify,
    waiting: Cell<usize>,
}

/// One place in a line, until dropped.
struct Waiting(Rc<Line>);

impl Waiting {
    fn new(line: &Rc<Line>) -> Waiting {
        line.waiting.set(line.waiting.get() + 1);
        Waiting(Rc::clone(line))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}

/// What an address has for one more request.
enum Room {
    /// A connection with room for a stream.
    Here(Rc<Link>),
    /// None, and another connection is not to be made: there are enough, the back end admits no streams, or it has not
    /// yet said how many.
    Later(Rc<Line>),
    /// None; another connection may be made.
    Elsewhere,
}

/// One connection.
pub(super) struct Link {
    send: SendRequest<Bytes>,
    state: Rc<LinkState>,
    opened: Instant,
    requests: Cell<u64>,
    settings: Pool,
}

/// What the connection's own task and its streams know of it too.
pub(super) struct LinkState {
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    is_over: Cell<bool>,
    /// How often something was heard from the back end.
    heard: Cell<u64>,
    /// What `heard` was when a request went unanswered: as long as it is the same, nobody may be there.
    doubted: Cell<Option<u64>>,
    /// A request has told that it broke.
    is_told: Cell<bool>,
    line: Rc<Line>,
}

impl LinkState {
    /// Counts what was heard from the back end.
    pub(super) fn heard(&self) -> u64 {
        self.heard.get()
    }

    /// A stream is over; if its request went unanswered and nothing was heard since `before`, nobody may be there.
    pub(super) fn ended(&self, is_unanswered: bool, before: u64) {
        let left = self.streams.get().saturating_sub(1);
        self.streams.set(left);
        if left == 0 {
            self.idle_since.set(Instant::now());
        }
        if is_unanswered && self.heard.get() == before {
            self.doubted.set(Some(before));
        }
        self.line.room.notify_one();
    }

    /// Whether no request has told yet that it broke; from now on one has.
    pub(super) fn is_first_to_break(&self) -> bool {
        !self.is_told.replace(true)
    }

    fn is_doubtful(&self) -> bool {
        self.doubted.get() == Some(self.heard.get())
    }
}

/// A connection being made; everybody who needs one waits for the same.
#[derive(Default)]
struct Attempt {
    outcome: Cell<Option<Result<(), UpstreamFault>>>,
    ended: Notify,
}

impl Http2Pool {
    /// A stream on a connection that has room, if there is one and nobody waits for it.
    pub fn take(&self, key: &PoolKey, limits: &Limits) -> Option<Http2Upstream> {
        match self.room(key) {
            Room::Here(link) if link.state.line.waiting.get() == 0 => Some(Http2Upstream::new(&link, *key, limits)),
            Room::Here(_) | Room::Later(_) | Room::Elsewhere => None,
        }
    }

    /// A stream to the endpoint of `key`, within `longest`: on a connection that has room, else on a new one. Where no
    /// more connections are made, it waits for room. `is_news` tells whether a failure is that of a connection which was
    /// made for this request, and not one that others tell of.
    pub async fn stream(
        &self,
        worker: &Rc<Worker>,
        key: PoolKey,
        identity: Option<&Arc<TlsIdentity>>,
        longest: Duration,
        is_news: &Cell<bool>,
    ) -> Result<Http2Upstream, UpstreamFault> {
        let waiting = async {
            let mut has_waited = false;
            let mut place = None;
            loop {
                let room = match self.room(&key) {
                    // Whoever waits already comes first.
                    Room::Here(link) if place.is_none() && link.state.line.waiting.get() > 0 => {
                        Room::Later(Rc::clone(&link.state.line))
                    }
                    room => room,
                };
                match room {
                    Room::Here(link) => return Ok(Http2Upstream::new(&link, key, worker.limits())),
                    Room::Later(line) => {
                        is_news.set(false);
                        place.get_or_insert_with(|| Waiting::new(&line));
                        let _told = tokio::time::timeout(SETTINGS_TIME, line.room.notified()).await;
                    }
                    // The connection that was just made is gone already: another would fare no better.
                    Room::Elsewhere if has_waited && !self.has_links(&key) => return Err(UpstreamFault::Connect),
                    Room::Elsewhere => {
                        let (attempt, is_begun) = self.attempt(worker, key, identity, longest);
                        is_news.set(is_begun);
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

    /// The usable connection with the fewest streams, if one has room; before those from which nothing was heard lately.
    fn room(&self, key: &PoolKey) -> Room {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return Room::Elsewhere };
        let now = Instant::now();
        slot.links.retain(|link| link.is_usable(now));
        let with_room = slot.links.iter().filter(|link| link.state.streams.get() < link.most_streams());
        match with_room.min_by_key(|link| (link.is_silent(now), link.state.streams.get())) {
            Some(link) if !link.is_silent(now) || slot.links.len() >= MOST_LINKS => Room::Here(Rc::clone(link)),
            Some(_) => Room::Elsewhere,
            None if slot.links.len() >= MOST_LINKS || slot.links.iter().any(|link| link.takes_no_more(now)) => {
                Room::Later(Rc::clone(&slot.line))
            }
            None => Room::Elsewhere,
        }
    }

    fn has_links(&self, key: &PoolKey) -> bool {
        self.slots.borrow().get(key).is_some_and(|slot| !slot.links.is_empty())
    }

    /// The attempt under way, begun if there is none, and whether it was. It does not end with the request that began it.
    fn attempt(
        &self,
        worker: &Rc<Worker>,
        key: PoolKey,
        identity: Option<&Arc<TlsIdentity>>,
        longest: Duration,
    ) -> (Rc<Attempt>, bool) {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.entry(key).or_default();
        if let Some(attempt) = &slot.attempt {
            return (Rc::clone(attempt), false);
        }
        let attempt = Rc::new(Attempt::default());
        slot.attempt = Some(Rc::clone(&attempt));
        let line = Rc::clone(&slot.line);
        let (worker, ended) = (Rc::clone(worker), Rc::clone(&attempt));
        let identity = identity.cloned();
        tokio::task::spawn_local(async move {
            let made = make(&worker, key, identity.as_deref(), line, longest).await;
            let outcome = made.as_ref().map(|_| ()).map_err(|fault| *fault);
            if let Some(slot) = worker.http2_pool().slots.borrow_mut().get_mut(&key) {
                slot.attempt = None;
                slot.links.extend(made);
            }
            ended.outcome.set(Some(outcome));
            ended.ended.notify_waiters();
        });
        (attempt, true)
    }
}

impl Link {
    /// Begins a stream.
    pub(super) fn begin(&self) -> (SendRequest<Bytes>, Rc<LinkState>) {
        self.state.streams.set(self.state.streams.get() + 1);
        self.requests.set(self.requests.get() + 1);
        (self.send.clone(), Rc::clone(&self.state))
    }

    fn is_usable(&self, now: Instant) -> bool {
        let idle_too_long = self.state.streams.get() == 0
            && now.saturating_duration_since(self.state.idle_since.get())
                >= self.settings.idle.unwrap_or(POOL_IDLE_TIME);
        if self.state.is_over.get()
            || idle_too_long
            || now.saturating_duration_since(self.opened) >= self.settings.age.unwrap_or(POOL_AGE)
            || self.requests.get() >= self.settings.requests.unwrap_or(POOL_REQUESTS)
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

    /// Nobody may be there: its SETTINGS are late, or a request on it went unanswered and nothing else was heard.
    fn is_silent(&self, now: Instant) -> bool {
        let is_late = now.saturating_duration_since(self.opened) >= SETTINGS_TIME;
        self.state.is_doubtful() || self.send.current_max_send_streams() == UNKNOWN && is_late
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
    identity: Option<&TlsIdentity>,
    line: Rc<Line>,
    longest: Duration,
) -> Result<Rc<Link>, UpstreamFault> {
    let deadline = Instant::now() + longest;
    let stream = connect(worker, &key, identity, longest).await?;
    let (io, tap) = wire::split(stream, Bytes::new(), None);
    let handshake = builder(worker.limits()).handshake::<_, Bytes>(io);
    let (send, connection) = tokio::time::timeout_at(deadline, handshake)
        .await
        .map_err(|_| UpstreamFault::ConnectTimeout)?
        .map_err(|_| UpstreamFault::Connect)?;
    let now = Instant::now();
    let state = Rc::new(LinkState {
        streams: Cell::new(0),
        idle_since: Cell::new(now),
        is_over: Cell::new(false),
        heard: Cell::new(0),
        doubted: Cell::new(None),
        is_told: Cell::new(false),
        line,
    });
    tokio::task::spawn_local(drive(connection, tap, Rc::clone(&state)));
    Ok(Rc::new(Link { send, state, opened: now, requests: Cell::new(0), settings: worker.table().globals().pool }))
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(UNKNOWN)
        .max_header_list_size(u32::try_from(limits.response_head.0).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(limits.buffer.bytes())
        // These guard a server against its clients; here they would let one client's stream end all others. What a back
        // end sends is bounded by its windows, and streams are reset because clients leave.
        .data_frame_budget(usize::MAX)
        .max_concurrent_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(None);
    builder
}

/// The connection's own task: moves bytes, and asks a back end that is silent whether it is there.
async fn drive(mut connection: Connection<Wire<Stream>, Bytes>, tap: Tap<Stream>, state: Rc<LinkState>) {
    let timer = Timer::default();
    let mut pings = connection.ping_pong();
    let mut next_look = Instant::now() + SILENCE;
    let mut awaits_pong = false;
    let mut heard_before = 0;
    let mut most_streams = connection.max_concurrent_send_streams();
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        loop {
            if connection.as_mut().poll(cx).is_ready() || matches!(tap.poll_push(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(());
            }
            let admitted = connection.as_ref().get_ref().max_concurrent_send_streams();
            if std::mem::replace(&mut most_streams, admitted) != admitted {
                state.line.room.notify_waiters();
            }
            if state.streams.get() == 0 {
                tap.release();
            }
            if tap.take_heard() {
                state.heard.set(state.heard.get() + 1);
            }
            if timer.poll(cx, next_look).is_pending() {
                return Poll::Pending;
            }
            next_look = Instant::now() + SILENCE;
            let Some(pings) = &mut pings else { continue };
            if awaits_pong && pings.poll_pong(cx).is_ready() {
                awaits_pong = false;
            }
            let was_heard = std::mem::replace(&mut heard_before, state.heard.get()) != state.heard.get();
            if was_heard {
                continue;
            }
            if awaits_pong {
                return Poll::Ready(());
            }
            if state.streams.get() == 0 && !state.is_doubtful() {
                continue;
            }
            awaits_pong = pings.send_ping(Ping::opaque()).is_ok();
        }
    })
    .await;
    state.is_over.set(true);
    state.line.room.notify_waiters();
}

/// What the crate calls the number of streams that a back end admits before its SETTINGS came. No SETTINGS can say it:
/// they have 32 bits, or nothing, which the crate calls `usize::MAX`.
const UNKNOWN: usize = usize::MAX - 1;
/// A connection whose SETTINGS are not here after so long stands in the way of no other.
const SETTINGS_TIME: Duration = Duration::from_secs(1);
/// Streams on one connection before another is made.
const MOST_STREAMS: usize = 100;
/// Connections to one address before requests wait for room.
const MOST_LINKS: usize = 16;
/// Window of a stream for what back ends send: as wide as those for clients are by default (docs/defaults.md).
const STREAM_WINDOW: u32 = 256 << 10;
/// Window of a connection: room for all of its streams, so that clients that do not read hold up nobody else.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// Streams that were reset and may still have data on the way, remembered for a second.
const RESET_STREAMS: usize = 16 * MOST_STREAMS;
/// A back end with open streams that is silent for so long is asked whether it is there, and after as long again given up.
const SILENCE: Duration = Duration::from_secs(20);
