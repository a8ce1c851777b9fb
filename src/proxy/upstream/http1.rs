//! HTTP/1.1 to back ends: one exchange on one connection, then back to the pool if it is clean.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::pool::PoolKey;
use crate::http1::serialise::OutQueue;
use crate::http1::{BodyLimits, Decoder, Fields, Framing, HeadLimits, HeadScan, ResponseHead, Step};
use crate::proxy::downstream::Part;
use crate::proxy::downstream::http1::poll_write_queue;
use crate::proxy::error::UpstreamFault;
use crate::proxy::forward::Outgoing;
use crate::proxy::io::{Io, Stream};
use crate::settings::Limits;

/// Room for a response head with the beginning of its body.
const HEAD_SIZE: usize = 8 << 10;
/// Most room for one read of a body.
const BODY_SIZE: usize = 64 << 10;

/// A connection to a back end that no exchange uses.
pub struct Idle {
    pub(super) io: Io,
    pub(super) since: Instant,
    opened: Instant,
    requests: u64,
}

impl Idle {
    /// A new connection.
    pub fn new(stream: Stream, now: Instant) -> Idle {
        Idle { io: Io::new(stream), since: now, opened: now, requests: 0 }
    }

    /// Whether it may take a request: nothing came on it, it was not closed, and it is not too old.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        use crate::settings::limits::{POOL_AGE, POOL_IDLE_TIME, POOL_REQUESTS};
        if now - self.since >= POOL_IDLE_TIME || now - self.opened >= POOL_AGE || self.requests >= POOL_REQUESTS {
            return false;
        }
        let mut cx = Context::from_waker(Waker::noop());
        self.io.poll_read_slice(&mut cx, &mut [0]).is_pending()
    }
}

/// An exchange on a connection of its own.
pub struct Http1Upstream {
    idle: Idle,
    key: PoolKey,
    head_limits: HeadLimits,
    body_limits: BodyLimits,
    input: RefCell<BytesMut>,
    output: RefCell<OutQueue>,
    scan: RefCell<HeadScan>,
    decoder: RefCell<Option<Decoder>>,
    to_head: Cell<bool>,
    may_trailers: Cell<bool>,
    request_ended: Cell<bool>,
    response_ended: Cell<bool>,
    keep_alive: Cell<bool>,
    /// The back end may have begun to speak another protocol, whatever it answered.
    offers_upgrade: Cell<bool>,
    has_input: Cell<bool>,
}

impl Http1Upstream {
    /// An exchange on `idle`.
    pub fn new(idle: Idle, key: PoolKey, limits: &Limits) -> Http1Upstream {
        Http1Upstream {
            idle,
            key,
            head_limits: HeadLimits::response(limits),
            body_limits: BodyLimits::from(limits),
            input: RefCell::default(),
            output: RefCell::default(),
            scan: RefCell::default(),
            decoder: RefCell::default(),
            to_head: Cell::new(false),
            may_trailers: Cell::new(false),
            request_ended: Cell::new(false),
            response_ended: Cell::new(false),
            keep_alive: Cell::new(false),
            offers_upgrade: Cell::new(false),
            has_input: Cell::new(false),
        }
    }

    /// Queues the request head. `end`: no body follows.
    pub fn queue_head(&self, request: &Outgoing<'_>, end: bool) {
        self.to_head.set(*request.method() == http::Method::HEAD);
        self.may_trailers.set(request.framing == Framing::Chunked);
        let mut output = self.output.borrow_mut();
        request.write_http1(output.head());
        output.set_chunked(request.framing == Framing::Chunked);
        self.request_ended.set(end);
        self.offers_upgrade.set(request.upgrade.is_some());
    }

    /// Queues body bytes.
    pub fn queue_data(&self, data: Bytes) {
        self.output.borrow_mut().data(data);
    }

    /// Queues the end of the body.
    pub fn queue_end(&self, trailers: Option<&Fields>) {
        self.output.borrow_mut().finish(trailers.filter(|_| self.may_trailers.get()));
        self.request_ended.set(true);
    }

    /// Writes what is queued.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamFault>> {
        poll_write_queue(&self.idle.io, &mut self.output.borrow_mut(), cx).map_err(UpstreamFault::from)
    }

    /// The next response head. A head that came whole before the connection broke counts.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, UpstreamFault>> {
        let mut input = self.input.borrow_mut();
        loop {
            if !input.is_empty() {
                self.has_input.set(true);
                let found = self.scan.borrow_mut().advance(&input, &self.head_limits);
                if let Some(len) = found.map_err(|_| UpstreamFault::Invalid)? {
                    *self.scan.borrow_mut() = HeadScan::default();
                    let head = ResponseHead::parse(&mut input, len, self.to_head.get());
                    let head = head.map_err(|_| UpstreamFault::Invalid)?;
                    self.begin_body(&head);
                    return Poll::Ready(Ok(head));
                }
            }
            input.reserve(HEAD_SIZE);
            match ready!(self.idle.io.poll_read(cx, &mut input)) {
                Ok(n) if n > 0 => {}
                _ if self.has_input.get() => return Poll::Ready(Err(UpstreamFault::Invalid)),
                _ => return Poll::Ready(Err(UpstreamFault::Reset)),
            }
        }
    }

    fn begin_body(&self, head: &ResponseHead) {
        if head.status < 200 {
            return;
        }
        let decoder = Decoder::new(head.framing, self.body_limits);
        self.keep_alive.set(head.keep_alive && head.framing != Framing::UntilClose);
        *self.decoder.borrow_mut() = Some(decoder);
    }

    /// The next part of the body.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Part, UpstreamFault>> {
        let mut slot = self.decoder.borrow_mut();
        let Some(decoder) = slot.as_mut() else { return Poll::Ready(Err(UpstreamFault::Cut)) };
        let mut input = self.input.borrow_mut();
        loop {
            match decoder.next(&mut input) {
                Ok(Step::Data(data)) => return Poll::Ready(Ok(Part::Data(data))),
                Ok(Step::End(trailers)) => {
                    self.response_ended.set(true);
                    return Poll::Ready(Ok(Part::End(trailers)));
                }
                Ok(Step::NeedMore) => {}
                Err(_) => return Poll::Ready(Err(UpstreamFault::Cut)),
            }
            let room = decoder.remaining().unwrap_or(BODY_SIZE as u64).clamp(HEAD_SIZE as u64, BODY_SIZE as u64);
            input.reserve(room as usize);
            match ready!(self.idle.io.poll_read(cx, &mut input)) {
                Ok(0) if decoder.may_end_here() => {
                    self.response_ended.set(true);
                    return Poll::Ready(Ok(Part::End(None)));
                }
                Ok(n) if n > 0 => {}
                _ => return Poll::Ready(Err(UpstreamFault::Cut)),
            }
        }
    }

    /// The connection below, for tunnels.
    pub fn io(&self) -> &Io {
        &self.idle.io
    }

    /// Bytes that came behind the response head, for tunnels.
    pub fn take_input(&self) -> Bytes {
        self.input.borrow_mut().split().freeze()
    }

    /// The connection for the pool, if request and response ended cleanly, nothing is buffered on it, and neither side
    /// said close.
    pub fn into_idle(self, now: Instant) -> Option<(PoolKey, Idle)> {
        let is_clean = self.request_ended.get()
            && self.response_ended.get()
            && self.keep_alive.get()
            && !self.offers_upgrade.get()
            && self.input.borrow().is_empty()
            && self.output.borrow().is_empty();
        let Http1Upstream { mut idle, key, .. } = self;
        idle.requests += 1;
        idle.since = now;
        is_clean.then_some((key, idle))
    }
}

/// Whether an I/O error says that nobody listens, rather than that time ran out.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}
