//! HTTP/1.1 to clients: one connection, its requests one after the other.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::{Answer, BodySize, Client, ClientFault, Part, Peer};
use crate::http1::serialise::{self, OutQueue};
use crate::http1::{
    BodyLimits, Decoder, Fields, Framing, HeadLimits, HeadScan, Refusal, RequestHead, ResponseHead, Step, Version,
};
use crate::ir::Logging;
use crate::proxy::exchange;
use crate::proxy::io::{Io, Stream, Watch};
use crate::proxy::logged::{self, Kept};
use crate::proxy::reply::Reply;
use crate::proxy::timer::{Timer, Wait};
use crate::proxy::unread::Unread;
use crate::proxy::worker::Worker;
use crate::settings::Limit;
use crate::telemetry::Failure;

/// Bytes that a waiting read makes room for.
const READ_SIZE: usize = 4096;
/// Bytes that are read and thrown away, at most, before a connection with an unread request body is closed.
const LINGER_BYTES: usize = 1 << 20;
/// How long that may take.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// The connection preface of HTTP/2 (RFC 9113 3.4).
pub const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client connection that speaks HTTP/1.1.
pub struct Http1Client {
    worker: Rc<Worker>,
    io: Io,
    peer: Peer,
    timer: Timer,
    input: RefCell<BytesMut>,
    output: RefCell<OutQueue>,
    decoder: RefCell<Option<Decoder>>,
    /// `100 Continue` is owed before the body is read.
    owes_continue: Cell<bool>,
    at_end_of_input: Cell<bool>,
    version: Cell<Version>,
    takes_trailers: Cell<bool>,
    /// The answer's end is told by closing.
    until_close: Cell<bool>,
    is_cut: Cell<bool>,
    /// Octets of body that the head allows still.
    body_left: Cell<u64>,
    closes: Cell<bool>,
    /// The body was read into memory of its own: the buffer holds nothing of the head any more.
    is_apart: Cell<bool>,
    /// In clear text on the https port: nothing is served.
    is_astray: bool,
    /// Asked for by the access log, until the exchange ends.
    keeps: RefCell<Option<Arc<Logging>>>,
    /// What it names of the answer.
    sent: RefCell<Kept>,
    /// Made when more is pipelined than is taken in, and until the exchange ends.
    watch: RefCell<Option<Box<Watch>>>,
}

/// How a connection went on after its first bytes.
pub enum Served {
    /// It ended.
    Done,
    /// It began with the HTTP/2 preface: the connection with the bytes read so far.
    Http2(Box<(Stream, Peer, BytesMut)>),
}

/// Serves a connection until it ends.
pub async fn serve(client: Box<Http1Client>) -> Served {
    let allowance = client.worker.requests_allowed();
    let busy = client.worker.metrics().busy(client.peer.tls.is_some());
    for served in 1.. {
        match client.next_head(served == 1).await {
            // Exchanges are boxed: an idle connection keeps no room for them.
            Next::Head(head, started) => {
                let last = served >= allowance || !head.keep_alive;
                let _counted = busy.hold();
                Box::pin(exchange::run(&client.worker, &*client, head, started, last)).await;
            }
            Next::Refused(refusal, head, started) => {
                Box::pin(exchange::refuse(&client.worker, &*client, refusal.into(), *head, started)).await;
            }
            Next::Astray(head, started) => {
                Box::pin(exchange::refuse(&client.worker, &*client, Reply::clear_text(), *head, started)).await;
            }
            Next::Http2 => {
                let Http1Client { io, peer, input, .. } = *client;
                return Served::Http2(Box::new((io.into_inner(), peer, input.into_inner())));
            }
            Next::End => {
                client.finish().await;
                return Served::Done;
            }
        }
        client.watch.take();
        if client.closes.get() || !client.body_is_read() {
            client.close().await;
            return Served::Done;
        }
        if let Some(memory) = client.output.borrow_mut().release() {
            client.worker.spare().keep_output(memory);
        }
    }
    Served::Done
}

#[allow(clippy::large_enum_variant, reason = "made once a request and taken apart at once")]
enum Next {
    Head(RequestHead, Instant),
    Refused(Refusal, Box<Unread>, Instant),
    /// A request in clear text on the https port.
    Astray(Box<Unread>, Instant),
    Http2,
    End,
}

impl Http1Client {
    /// A client behind `stream` that has sent nothing yet.
    pub fn new(worker: Rc<Worker>, stream: Stream, peer: Peer) -> Http1Client {
        Http1Client {
            worker,
            io: Io::new(stream),
            peer,
            timer: Timer::default(),
            input: RefCell::default(),
            output: RefCell::default(),
            decoder: RefCell::default(),
            owes_continue: Cell::new(false),
            at_end_of_input: Cell::new(false),
            version: Cell::new(Version::Http11),
            takes_trailers: Cell::new(false),
            until_close: Cell::new(false),
            is_cut: Cell::new(false),
            body_left: Cell::new(0),
            closes: Cell::new(false),
            is_apart: Cell::new(false),
            is_astray: false,
            keeps: RefCell::default(),
            sent: RefCell::default(),
            watch: RefCell::default(),
        }
    }

    /// The same client, which took the https port for the other one: its request is refused.
    pub fn astray(self) -> Http1Client {
        Http1Client { is_astray: true, ..self }
    }

    /// Waits for the next request head. An idle connection holds no buffer.
    async fn next_head(&self, first: bool) -> Next {
        let limits = self.worker.limits();
        let clients = self.worker.clients();
        let head_limits = HeadLimits::request(limits).with_lines(clients.line);
        let mut scan = HeadScan::default();
        let mut started = None;
        let mut wait = Wait::default();
        loop {
            if !self.input.borrow().is_empty() {
                let started = *started.get_or_insert_with(Instant::now);
                let mut input = self.input.borrow_mut();
                if first
                    && !(clients.no_http2 || self.is_astray)
                    && input.starts_with(H2_PREFACE.get(..input.len().min(H2_PREFACE.len())).unwrap_or_default())
                {
                    if input.len() >= H2_PREFACE.len() {
                        return Next::Http2;
                    }
                } else {
                    match scan.advance(&input, &head_limits) {
                        Ok(Some(len)) if first && is_no_http(&input) => {
                            self.worker.metrics().failure(Failure::BadRequest);
                            drop(input.split_to(len));
                            return Next::End;
                        }
                        Ok(Some(len)) if self.is_astray => {
                            let head = Unread::http1(input.get(..len).unwrap_or_default());
                            return Next::Astray(Box::new(head), started);
                        }
                        Ok(Some(len)) => {
                            return match RequestHead::parse(&mut input, len) {
                                Ok(head) => {
                                    self.begin(&head);
                                    Next::Head(head, started)
                                }
                                Err(refusal) => {
                                    let head = Unread::http1(input.get(..len).unwrap_or_default());
                                    Next::Refused(refusal, Box::new(head), started)
                                }
                            };
                        }
                        Ok(None) => {}
                        Err(refusal) => return Next::Refused(refusal, Box::new(Unread::http1(&input)), started),
                    }
                }
            }
            let is_idle = started.is_none();
            let (kind, longest) = match (is_idle, first) {
                (true, false) => (Limit::keep_alive_idle, clients.keep_alive.unwrap_or(limits.keep_alive_idle)),
                _ => (Limit::head_time, clients.head_time.unwrap_or(limits.head_time)),
            };
            let read = std::future::poll_fn(|cx| {
                if let Poll::Ready(read) = self.poll_idle_input(cx) {
                    return Poll::Ready(Some(Ok(read)));
                }
                if is_idle && let Some(deadline) = self.worker.idle_deadline() {
                    return self.timer.poll(cx, deadline).map(|()| None);
                }
                wait.poll(cx, &self.timer, kind, longest).map(|limit| Some(Err(limit)))
            });
            match read.await {
                Some(Ok(Ok(n))) if n > 0 => {}
                None | Some(Ok(_)) => return Next::End,
                Some(Err(limit)) => {
                    self.worker.metrics().limit_hit(limit);
                    let Some(started) = started else { return Next::End };
                    let why = "no request head in time";
                    let refusal = Refusal { status: 408, failure: Failure::TimeoutHead, limit: None, why };
                    let head = Unread::http1(&self.input.borrow());
                    return Next::Refused(refusal, Box::new(head), started);
                }
            }
        }
    }

    fn begin(&self, head: &RequestHead) {
        self.version.set(head.version);
        self.takes_trailers.set(head.takes_trailers);
        let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
        self.owes_continue.set(head.expect_continue && has_body);
        self.until_close.set(false);
        self.is_cut.set(false);
        self.closes.set(false);
        self.is_apart.set(false);
        let decoder = match head.framing {
            Framing::None => None,
            framing => Some(Decoder::new(framing, BodyLimits::from(self.worker.limits()))),
        };
        *self.decoder.borrow_mut() = decoder;
    }

    fn body_is_read(&self) -> bool {
        self.decoder.borrow().as_ref().is_none_or(Decoder::is_done)
    }

    /// Reads some bytes; 0 = end of input.
    fn poll_input(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut input = self.input.borrow_mut();
        if input.capacity() == 0 {
            *input = self.worker.spare().input();
        }
        make_room(&mut input, self.decoder.borrow().as_ref().and_then(Decoder::remaining));
        self.io.poll_read(cx, &mut input)
    }

    /// As [`Http1Client::poll_input`] while nothing is owed by the client: as long as nothing comes, the buffer is lent to
    /// others. In vain where the request's head is a part of it.
    fn poll_idle_input(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = self.poll_input(cx);
        let mut input = self.input.borrow_mut();
        if read.is_pending() && input.is_empty() {
            self.worker.spare().keep_input(std::mem::take(&mut input));
        }
        read
    }

    /// Says goodbye on a connection that nothing is owed on: over TLS, a close without close_notify would look cut.
    async fn finish(&self) {
        let deadline = Instant::now() + LINGER_TIME;
        std::future::poll_fn(|cx| match self.io.poll_shutdown(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.timer.poll(cx, deadline),
        })
        .await;
    }

    /// Writes what is left, ends our side, and reads for a while: closing with unread bytes would reset the connection
    /// and take the answer with it.
    async fn close(&self) {
        let deadline = Instant::now() + LINGER_TIME;
        let flushed = std::future::poll_fn(|cx| match self.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.is_ok()),
            Poll::Pending => self.timer.poll(cx, deadline).map(|()| false),
        })
        .await;
        if self.is_cut.get() {
            return if self.until_close.get() { self.io.reset_on_close() } else { self.io.shutdown_abruptly() };
        }
        let shut = std::future::poll_fn(|cx| match self.io.poll_shutdown(cx) {
            Poll::Ready(shut) => Poll::Ready(shut.is_ok()),
            Poll::Pending => self.timer.poll(cx, deadline).map(|()| false),
        });
        if !flushed || !shut.await || self.at_end_of_input.get() {
            return;
        }
        let mut left = LINGER_BYTES;
        std::future::poll_fn(|cx| {
            loop {
                let mut piece = [0; READ_SIZE];
                match self.io.poll_read_slice(cx, &mut piece) {
                    Poll::Ready(Ok(n)) if n > 0 && left >= n => left -= n,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.timer.poll(cx, deadline),
                }
            }
        })
        .await;
    }

    /// Whether the connection ends after this answer.
    pub fn close_after(&self) {
        self.closes.set(true);
    }

    /// The connection below, for tunnels.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// Bytes that came behind the request head, for tunnels.
    pub fn take_input(&self) -> Bytes {
        self.input.borrow_mut().split().freeze()
    }

    /// Ready when the client went away behind input that is not taken in. Without a descriptor to watch it with, that
    /// shows when the answer is written.
    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut watch = self.watch.borrow_mut();
        if watch.is_none() {
            *watch = self.worker.watches().watch(&self.io).map(Box::new);
        }
        watch.as_ref().map_or(Poll::Pending, |watch| watch.poll_ended(cx))
    }

    fn poll_body_step(&self, cx: &mut Context<'_>) -> Poll<Result<Part, ClientFault>> {
        let mut slot = self.decoder.borrow_mut();
        let Some(decoder) = slot.as_mut() else { return Poll::Ready(Ok(Part::End(None))) };
        loop {
            match decoder.next(&mut self.input.borrow_mut()) {
                Ok(Step::Data(data)) => return Poll::Ready(Ok(Part::Data(data))),
                Ok(Step::End(trailers)) => return Poll::Ready(Ok(Part::End(trailers))),
                Ok(Step::NeedMore) => {}
                Err(refusal) => return Poll::Ready(Err(ClientFault::Refused(refusal))),
            }
            let mut input = self.input.borrow_mut();
            if make_room(&mut input, decoder.remaining()) {
                self.is_apart.set(true);
            }
            match ready!(self.io.poll_read(cx, &mut input)) {
                Ok(n) if n > 0 => {}
                _ => {
                    self.at_end_of_input.set(true);
                    return Poll::Ready(Err(ClientFault::Gone));
                }
            }
        }
    }
}

/// Whether the first line of a connection can only be another protocol: three words, of which neither the second is a
/// target nor the third a version. An answer in HTTP/1.1 would tell such a client nothing (RFC 9113 3.4 lets a bad
/// preface end so).
fn is_no_http(input: &[u8]) -> bool {
    let line = input.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let mut words = line.splitn(3, |octet| *octet == b' ');
    match (words.next(), words.next(), words.next()) {
        (Some(_), Some(target), Some(version)) => {
            memchr::memchr2(b'/', b'*', target).is_none() && memchr::memchr(b'/', version).is_none()
        }
        _ => false,
    }
}

impl Client for Http1Client {
    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Part, ClientFault>> {
        if self.owes_continue.replace(false) && self.input.borrow().is_empty() {
            self.output.borrow_mut().head().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if self.queued() > 0 && self.poll_flush(cx)?.is_pending() {
            return Poll::Pending;
        }
        self.poll_body_step(cx)
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.input.borrow().len() >= self.worker.limits().buffer.bytes() {
                return self.poll_ended(cx);
            }
            let read = if self.is_apart.get() { self.poll_idle_input(cx) } else { self.poll_input(cx) };
            match ready!(read) {
                Ok(n) if n > 0 => {}
                _ => {
                    self.at_end_of_input.set(true);
                    return Poll::Ready(());
                }
            }
        }
    }

    fn queue_interim(&self, head: &ResponseHead) {
        if self.version.get() == Version::Http10 {
            return;
        }
        let mut output = self.output.borrow_mut();
        output.lend(|| self.worker.spare().output());
        let out = output.head();
        serialise::status_line(out, head.status, head.reason.of(&head.fields.bytes));
        serialise::fields(out, &head.fields);
        out.extend_from_slice(b"\r\n");
    }

    fn keep(&self, rules: Arc<Logging>) {
        self.keeps.replace(Some(rules));
    }

    fn sent(&self) -> Kept {
        self.keeps.take();
        self.sent.take()
    }

    fn queue_head(&self, answer: &Answer<'_>, close: bool) {
        if let Some(rules) = &*self.keeps.borrow() {
            self.sent.replace(logged::sent(rules, answer));
        }
        let is_http10 = self.version.get() == Version::Http10;
        let framing = match answer.body {
            BodySize::None { .. } => Framing::None,
            BodySize::Empty => Framing::Length(0),
            BodySize::Length(length) => Framing::Length(length),
            BodySize::Unknown if is_http10 => Framing::UntilClose,
            BodySize::Unknown => Framing::Chunked,
        };
        let close = close || framing == Framing::UntilClose;
        self.until_close.set(framing == Framing::UntilClose);
        self.body_left.set(match framing {
            Framing::None => 0,
            Framing::Length(length) => length,
            Framing::Chunked | Framing::UntilClose => u64::MAX,
        });
        self.closes.set(self.closes.get() || close);
        // A client that was not told to send its body will not send it.
        if self.owes_continue.replace(false) {
            self.closes.set(true);
        }
        let mut output = self.output.borrow_mut();
        output.lend(|| self.worker.spare().output());
        let out = output.head();
        out.reserve(answer.fields.map_or(0, |fields| fields.bytes.len()) + 512);
        serialise::status_line(out, answer.status, answer.reason);
        if let Some(fields) = answer.fields {
            serialise::fields(out, fields);
        }
        if !answer.has_date {
            self.worker.clock().with_date(|date| serialise::field(out, b"Date", date));
        }
        for (name, value) in answer.extra {
            serialise::field(out, name.as_bytes(), value);
        }
        match answer.body {
            BodySize::None { length: Some(length) } => serialise::framing(out, Framing::Length(length)),
            _ => serialise::framing(out, framing),
        }
        if let Some(token) = answer.upgrade {
            out.extend_from_slice(b"Connection: upgrade\r\n");
            serialise::field(out, b"Upgrade", token);
        } else if self.closes.get() {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if is_http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        output.set_chunked(framing == Framing::Chunked);
    }

    fn queue_data(&self, mut data: Bytes) {
        // Whatever a back end's side gives: what the head promised is all that may follow it.
        let left = self.body_left.get();
        data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.body_left.set(left - data.len() as u64);
        self.output.borrow_mut().data(data);
    }

    fn queue_end(&self, trailers: Option<&Fields>) {
        self.output.borrow_mut().finish(trailers.filter(|_| self.takes_trailers.get()));
    }

    fn queued(&self) -> usize {
        self.output.borrow().len()
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), ClientFault>> {
        let mut output = self.output.borrow_mut();
        match poll_write_queue(&self.io, &mut output, cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(ClientFault::Gone)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn cut(&self) {
        self.closes.set(true);
        self.is_cut.set(true);
    }

    fn http1(&self) -> Option<&Http1Client> {
        Some(self)
    }

    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }
}

/// Makes room for one read, as much as is still to come within bounds. Never a new buffer for each of many small reads:
/// the parts read before keep theirs. Whether that took new memory.
fn make_room(input: &mut BytesMut, remaining: Option<u64>) -> bool {
    let is_full = input.capacity() - input.len() < READ_SIZE;
    if is_full {
        input.reserve(remaining.unwrap_or(0).clamp(READ_SIZE as u64, 64 << 10) as usize);
    }
    is_full
}

/// Writes a queue out, and hands on what TLS holds back.
pub(in crate::proxy) fn poll_write_queue(io: &Io, queue: &mut OutQueue, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    if queue.is_empty() {
        return io.poll_flush(cx);
    }
    while !queue.is_empty() {
        let (pieces, count) = queue.pieces();
        let written = ready!(io.poll_write(cx, pieces.get(..count).unwrap_or_default()))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        queue.advance(written);
    }
    io.poll_flush(cx)
}
