//! HTTP/2 to clients: one connection with its streams, by the crate `h2` used directly.

mod client;
mod request;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use tokio::time::Instant;

use self::client::Http2Client;
use self::request::Fault;
use super::meter::Meter;
use super::wire::{self, Tap, Wire};
use super::{Client, Peer};
use crate::proxy::exchange;
use crate::proxy::io::Stream;
use crate::proxy::timer::Timer;
use crate::proxy::unread::Unread;
use crate::proxy::worker::Worker;
use crate::settings::{Limit, Limits, Size};
use crate::telemetry::{Failure, Gauge};

/// What the streams of one connection share.
struct Shared {
    worker: Rc<Worker>,
    peer: Peer,
    tap: Tap<Stream>,
    /// Streams that there may be at the same time.
    most: u32,
    /// Streams whose upstream work is not over. A reset does not end it at once.
    streams: Cell<usize>,
    /// When the last stream ended.
    idle_since: Cell<Instant>,
}

impl Shared {
    /// Where a connection counts while it has streams.
    fn busy(&self) -> &Gauge {
        self.worker.metrics().busy(self.peer.tls.is_some())
    }

    /// Counts a stream that we reset for the client's fault.
    fn fault(&self) {
        self.worker.metrics().failure(Failure::BadRequest);
        self.tap.fault();
    }
}

/// Serves a connection until it ends. `read` is what was read of it already.
pub async fn serve(worker: Rc<Worker>, stream: Stream, peer: Peer, read: Bytes) {
    let (io, tap) = wire::split(stream, read, Some(Meter::new(worker.limits())));
    let most = worker.clients().streams.unwrap_or_else(|| narrow(worker.limits().h2_streams));
    let shared =
        Rc::new(Shared { worker, peer, tap, most, streams: Cell::new(0), idle_since: Cell::new(Instant::now()) });
    let timer = Timer::default();
    let Some(connection) = handshake(&shared, io, &timer).await else { return };
    let mut driver = Driver::new(Rc::clone(&shared), connection, timer);
    poll_fn(|cx| driver.poll(cx)).await;
    // The connection goes first: what it leaves open is reset, and its exchanges end.
    let Driver { connection, timer, lingers, .. } = driver;
    drop(connection);
    if lingers {
        linger(&shared, &timer).await;
    }
}

async fn handshake(shared: &Shared, io: Wire<Stream>, timer: &Timer) -> Option<Connection<Wire<Stream>, Bytes>> {
    let limits = shared.worker.limits();
    let deadline = Instant::now() + limits.head_time;
    let mut handshake = pin!(builder(limits, shared.most).handshake(io));
    poll_fn(|cx| {
        let connection = handshake.as_mut().poll(cx);
        if connection.is_pending() && timer.poll(cx, deadline).is_ready() {
            shared.worker.metrics().limit_hit(Limit::head_time);
            return Poll::Ready(None);
        }
        let _told_by_the_next_poll = shared.tap.poll_push(cx);
        connection.map(Result::ok)
    })
    .await
}

/// The limits where lines may be longer (`large-client-header-buffers`).
fn raised(limits: &Limits, worker: &Worker) -> Option<Limits> {
    let line = worker.clients().line.filter(|line| *line > limits.field_line.0)?;
    let raise = |size: Size| Size(size.0.max(line));
    Some(Limits {
        field_line: raise(limits.field_line),
        request_line: raise(limits.request_line),
        head: raise(limits.head),
        h2_header_list: raise(limits.h2_header_list),
        ..limits.clone()
    })
}

fn builder(limits: &Limits, most: u32) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(most)
        .max_header_list_size(narrow(limits.h2_header_list.0))
        .initial_window_size(window(limits.h2_stream_window.0))
        .initial_connection_window_size(window(limits.h2_connection_window.0))
        .max_send_buffer_size(limits.buffer.bytes())
        .max_pending_accept_reset_streams(PENDING_ACCEPT_RESETS)
        .max_local_error_reset_streams(Some(LOCAL_ERROR_RESETS));
    builder
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A window may have 2^31 - 1 bytes (RFC 9113 6.9.1).
fn window(value: u64) -> u32 {
    narrow(value).min(i32::MAX.cast_unsigned())
}

/// Reads what the client still sends, so that the GOAWAY reaches it before a reset would.
async fn linger(shared: &Shared, timer: &Timer) {
    let deadline = Instant::now() + LINGER_TIME;
    poll_fn(|cx| {
        if shared.tap.poll_forget(cx).is_ready() {
            return Poll::Ready(());
        }
        timer.poll(cx, deadline)
    })
    .await;
}

/// The connection's own task: accepts streams, writes what they gave, and watches the clock.
struct Driver {
    shared: Rc<Shared>,
    connection: Connection<Wire<Stream>, Bytes>,
    pings: Option<PingPong>,
    timer: Timer,
    /// Streams still to be taken before the client is asked to come back on another connection.
    allowance: u64,
    next_ping: Instant,
    awaits_pong: bool,
    /// No stream was taken as yet.
    is_new: bool,
    /// When the goodbye was said.
    goodbye: Option<Instant>,
    /// The end was said, and the connection is let go then, whatever the client does.
    ending: Option<Instant>,
    /// We end the connection, and the client should get to read why.
    lingers: bool,
}

impl Driver {
    fn new(shared: Rc<Shared>, mut connection: Connection<Wire<Stream>, Bytes>, timer: Timer) -> Driver {
        Driver {
            allowance: shared.worker.requests_allowed(),
            shared,
            pings: connection.ping_pong(),
            connection,
            timer,
            next_ping: Instant::now() + PING_INTERVAL,
            awaits_pong: false,
            is_new: true,
            goodbye: None,
            ending: None,
            lingers: false,
        }
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.look_at_drain();
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.accept(request, respond);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.lingers |= !error.is_io();
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if self.ending.is_none() && self.send_away() {
                continue;
            }
            if let Poll::Ready(Err(_)) = self.shared.tap.poll_push(cx) {
                return Poll::Ready(());
            }
            if self.shared.streams.get() == 0 {
                self.shared.tap.release();
            }
            if self.timer.poll(cx, self.deadline()).is_pending() {
                return Poll::Pending;
            }
            if self.is_over(cx, Instant::now()) {
                return Poll::Ready(());
            }
        }
    }

    fn accept(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let shared = &self.shared;
        let limits = shared.worker.limits();
        let raised = raised(limits, &shared.worker);
        let limits = raised.as_ref().unwrap_or(limits);
        self.is_new = false;
        self.allowance = self.allowance.saturating_sub(1);
        if shared.streams.get() >= shared.most as usize {
            shared.worker.metrics().limit_hit(Limit::h2_streams);
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        let started = Instant::now();
        let (request, body) = request.into_parts();
        let head = match request::head(&request, body.is_end_stream(), limits) {
            Ok(head) => Ok(head),
            Err(Fault::Refused(refusal)) => Err((refusal, Unread::http2(&request))),
            Err(Fault::Malformed(why)) => {
                tracing::debug!(why, "HTTP/2 request is malformed");
                respond.send_reset(Reason::PROTOCOL_ERROR);
                shared.fault();
                return;
            }
        };
        let open = Open::new(Rc::clone(shared));
        let client = Http2Client::new(Rc::clone(shared), body, respond, head.as_ref().ok());
        tokio::task::spawn_local(async move {
            let worker = &open.shared.worker;
            let answered = AssertUnwindSafe(async {
                match head {
                    Ok(head) => exchange::run(worker, &client, head, started, false).await,
                    Err((refusal, head)) => exchange::refuse(worker, &client, refusal.into(), head, started).await,
                }
            });
            if answered.catch_unwind().await.is_err() {
                worker.metrics().panicked();
                client.cut();
            }
        });
    }

    /// Says goodbye when the connection carried enough, or the process ends: but not before a client that just came got
    /// to send what it came for.
    fn look_at_drain(&mut self) {
        let worker = &self.shared.worker;
        let is_last_call_over = || worker.idle_deadline().is_some_and(|deadline| deadline <= Instant::now());
        if self.allowance == 0
            || self.shared.peer.seats.is_refused()
            || (worker.is_draining() && (!self.is_new || is_last_call_over()))
        {
            self.say_goodbye();
        }
    }

    fn say_goodbye(&mut self) {
        if self.goodbye.is_none() {
            self.goodbye = Some(Instant::now());
            self.lingers = true;
            self.connection.graceful_shutdown();
        }
    }

    /// Ends the connection of a client that went too far.
    fn send_away(&mut self) -> bool {
        let Some(breach) = self.shared.tap.breach() else { return false };
        self.shared.worker.metrics().limit_hit(breach.limit());
        self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        self.ending = Some(Instant::now() + LINGER_TIME);
        self.lingers = true;
        true
    }

    /// When the clock must be looked at again.
    fn deadline(&self) -> Instant {
        let shared = &self.shared;
        let limits = shared.worker.limits();
        let stalled = shared.tap.stalled_since().map(|since| since + limits.write_stall);
        let idle = (shared.streams.get() == 0).then(|| self.idle_deadline());
        let last_call = shared.worker.idle_deadline().filter(|_| self.goodbye.is_none());
        [self.ending, stalled, idle, last_call].into_iter().flatten().fold(self.next_ping, Instant::min)
    }

    /// When a connection without streams ends, or is asked to.
    fn idle_deadline(&self) -> Instant {
        let idle_since = self.shared.idle_since.get();
        match self.goodbye {
            Some(goodbye) => goodbye.max(idle_since) + GOODBYE_TIME,
            None => idle_since + self.shared.worker.limits().h2_idle,
        }
    }

    /// Does what is due; true when the connection is to be let go.
    fn is_over(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let shared = Rc::clone(&self.shared);
        let (limits, metrics) = (shared.worker.limits(), shared.worker.metrics());
        if self.ending.is_some_and(|ending| ending <= now) {
            return true;
        }
        if shared.tap.stalled_since().is_some_and(|since| since + limits.write_stall <= now) {
            metrics.limit_hit(Limit::write_stall);
            return true;
        }
        if shared.streams.get() == 0 && self.idle_deadline() <= now {
            if self.goodbye.is_some() {
                return true;
            }
            metrics.limit_hit(Limit::h2_idle);
            self.say_goodbye();
        }
        if self.next_ping <= now {
            self.next_ping = now + PING_INTERVAL;
            return self.is_dead(cx);
        }
        false
    }

    /// Asks a silent client whether it is there; true if it did not answer the last time.
    fn is_dead(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(pings) = &mut self.pings else { return false };
        if self.awaits_pong && pings.poll_pong(cx).is_ready() {
            self.awaits_pong = false;
        }
        if self.shared.tap.take_heard() {
            return false;
        }
        if self.awaits_pong {
            return true;
        }
        self.awaits_pong = pings.send_ping(Ping::opaque()).is_ok();
        false
    }
}

/// A stream that counts, until dropped.
struct Open {
    shared: Rc<Shared>,
}

impl Open {
    fn new(shared: Rc<Shared>) -> Open {
        shared.streams.set(shared.streams.get() + 1);
        if shared.streams.get() == 1 {
            shared.busy().rise();
        }
        Open { shared }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.shared.streams.get().saturating_sub(1);
        self.shared.streams.set(left);
        if left == 0 {
            self.shared.busy().fall();
            self.shared.idle_since.set(Instant::now());
        }
    }
}

/// Streams that the client reset before we took them (CVE-2023-44487).
const PENDING_ACCEPT_RESETS: usize = 20;
/// Streams that the crate resets for the client's fault (CVE-2025-8671).
const LOCAL_ERROR_RESETS: usize = 100;
/// A client that is silent for so long is asked whether it is there, and after as long again given up.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// How long a client without streams may take to go after it was told to.
const GOODBYE_TIME: Duration = Duration::from_secs(5);
/// How long a client may take to read why it was sent away.
const LINGER_TIME: Duration = Duration::from_secs(2);
