//! HTTP/1.1 to back ends: one exchange on one connection, then back to the pool if it is clean.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::pool::PoolKey;
use crate::http1::serialise::OutQueue;
use crate::http1::{BodyLimits, Decoder, Fields, Framing, HeadLimits, HeadScan, ResponseHead, Step};
use crate::ir::Pool;
use crate::proxy::downstream::Part;
use crate::proxy::downstream::http1::poll_write_queue;
use crate::proxy::error::UpstreamFault;
use crate::proxy::forward::Outgoing;
use crate::proxy::io::{Io, Stream};
use crate::proxy::spare::Spare;
use crate::settings::Limits;
use crate::settings::limits::{POOL_AGE, POOL_IDLE_TIME, POOL_REQUESTS};

/// Room for a response head with the beginning of its body.
const HEAD_SIZE: usize = 8 << 10;
/// Most room for one read of a body.
const BODY_SIZE: usize = 64 << 10;

/// A connection to a back end, with the exchange that has it for itself; between exchanges it stands in the pool.
pub struct Http1Upstream {
    io: Io,
    key: PoolKey,
    opened: Instant,
    /// When it must take no further request: it was idle too long by then, or is too old.
    usable_until: Instant,
    requests: u64,
    head_limits: HeadLimits,
    body_limits: BodyLimits,
    input: RefCell<BytesMut>,
    output: RefCell<OutQueue>,
    scan: RefCell<HeadScan>,
    decoder: RefCell<Option<Decoder>>,
    exchange: Cell<Progress>,
}

/// How far an exchange went.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    to_head: bool,
    may_have_trailers: bool,
    request_ended: bool,
    response_began: bool,
    response_ended: bool,
    keep_alive: bool,
    /// It was the last one: the request said so.
    is_last: bool,
    /// The back end may have begun to speak another protocol, whatever it answered.
    offers_upgrade: bool,
}

impl Http1Upstream {
    /// A new connection.
    pub fn new(stream: Stream, key: PoolKey, limits: &Limits, now: Instant) -> Http1Upstream {
        Http1Upstream {
            io: Io::new(stream),
            key,
            opened: now,
            usable_until: now,
            requests: 0,
            head_limits: HeadLimits::response(limits),
            body_limits: BodyLimits::from(limits),
            input: RefCell::default(),
            output: RefCell::default(),
            scan: RefCell::default(),
            decoder: RefCell::default(),
            exchange: Cell::default(),
        }
    }

    /// Which connections are like this one.
    pub fn key(&self) -> &PoolKey {
        &self.key
    }

    /// When it must take no further request.
    pub(super) fn usable_until(&self) -> Instant {
        self.usable_until
    }

    /// Whether it may take a request: nothing came on it, it was not closed, and it is not too old.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        if now >= self.usable_until {
            return false;
        }
        let mut cx = Context::from_waker(Waker::noop());
        self.io.poll_read_slice(&mut cx, &mut [0]).is_pending()
    }

    /// Lends buffers for the exchange that begins.
    pub fn lend(&mut self, spare: &Spare) {
        *self.input.get_mut() = spare.input();
        self.output.get_mut().lend(|| spare.output());
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        let mut progress = self.exchange.get();
        change(&mut progress);
        self.exchange.set(progress);
    }

    /// Queues the request head. `end`: no body follows.
    pub fn queue_head(&self, request: &Outgoing<'_>, end: bool) {
        let is_chunked = request.framing == Framing::Chunked;
        self.exchange.set(Progress {
            to_head: *request.method == http::Method::HEAD,
            may_have_trailers: is_chunked,
            request_ended: end && !is_chunked,
            is_last: request.is_http10,
            offers_upgrade: request.upgrade.is_some(),
            ..Progress::default()
        });
        let mut output = self.output.borrow_mut();
        request.write_http1(output.head());
        output.set_chunked(is_chunked);
    }

    /// Queues body bytes.
    pub fn queue_data(&self, data: Bytes) {
        self.output.borrow_mut().data(data);
    }

    /// Queues the end of the body.
    pub fn queue_end(&self, trailers: Option<&Fields>) {
        self.output.borrow_mut().finish(trailers.filter(|_| self.exchange.get().may_have_trailers));
        self.note(|progress| progress.request_ended = true);
    }

    /// Writes what is queued.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamFault>> {
        poll_write_queue(&self.io, &mut self.output.borrow_mut(), cx).map_err(UpstreamFault::from)
    }

    /// The next response head. A head that came whole before the connection broke counts.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, UpstreamFault>> {
        let mut input = self.input.borrow_mut();
        loop {
            if !input.is_empty() {
                self.note(|progress| progress.response_began = true);
                let found = self.scan.borrow_mut().advance(&input, &self.head_limits);
                if let Some(len) = found.map_err(|_| UpstreamFault::Invalid)? {
                    *self.scan.borrow_mut() = HeadScan::default();
                    let head = ResponseHead::parse(&mut input, len, self.exchange.get().to_head);
                    let head = head.map_err(|_| UpstreamFault::Invalid)?;
                    self.begin_body(&head);
                    return Poll::Ready(Ok(head));
                }
                if !ResponseHead::may_begin(&input) {
                    return Poll::Ready(Err(UpstreamFault::NotHttp));
                }
            }
            if input.capacity() - input.len() < HEAD_SIZE / 2 {
                input.reserve(HEAD_SIZE);
            }
            match ready!(self.io.poll_read(cx, &mut input)) {
                Ok(n) if n > 0 => {}
                _ if self.exchange.get().response_began => return Poll::Ready(Err(UpstreamFault::HeadCut)),
                _ => return Poll::Ready(Err(UpstreamFault::Reset)),
            }
        }
    }

    fn begin_body(&self, head: &ResponseHead) {
        if head.status < 200 {
            return;
        }
        let decoder = Decoder::new(head.framing, self.body_limits);
        // A back end that sends the body of a HEAD all the same may be about to; its connection is not used again.
        let may_send_more = head.names_body && (self.exchange.get().to_head || head.status == 204);
        let keep_alive = head.keep_alive && head.framing != Framing::UntilClose && !may_send_more;
        self.note(|progress| progress.keep_alive = keep_alive);
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
                    self.note(|progress| progress.response_ended = true);
                    return Poll::Ready(Ok(Part::End(trailers)));
                }
                Ok(Step::NeedMore) => {}
                Err(_) => return Poll::Ready(Err(UpstreamFault::Cut)),
            }
            let room = decoder.remaining().unwrap_or(BODY_SIZE as u64).clamp(HEAD_SIZE as u64, BODY_SIZE as u64);
            // Never a new buffer for each of many small reads: the parts read before keep theirs.
            if input.capacity() - input.len() < HEAD_SIZE / 2 {
                input.reserve(room as usize);
            }
            match ready!(self.io.poll_read(cx, &mut input)) {
                Ok(0) if decoder.may_end_here() => {
                    self.note(|progress| progress.response_ended = true);
                    return Poll::Ready(Ok(Part::End(None)));
                }
                Ok(n) if n > 0 => {}
                _ => return Poll::Ready(Err(UpstreamFault::Cut)),
            }
        }
    }

    /// The connection below, for tunnels.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// Bytes that came behind the response head, for tunnels.
    pub fn take_input(&self) -> Bytes {
        self.input.borrow_mut().split().freeze()
    }

    /// The connection for the pool, if request and response ended cleanly, nothing is buffered on it, and neither side
    /// said close.
    pub fn into_idle(mut self: Box<Self>, spare: &Spare, now: Instant, settings: &Pool) -> Option<Box<Http1Upstream>> {
        let Progress { request_ended, response_ended, keep_alive, is_last, offers_upgrade, .. } = self.exchange.get();
        let is_clean = request_ended
            && response_ended
            && keep_alive
            && !is_last
            && !offers_upgrade
            && self.input.get_mut().is_empty()
            && self.output.get_mut().is_empty();
        if !is_clean {
            return None;
        }
        spare.keep_input(std::mem::take(self.input.get_mut()));
        if let Some(memory) = self.output.get_mut().release() {
            spare.keep_output(memory);
        }
        *self.scan.get_mut() = HeadScan::default();
        *self.decoder.get_mut() = None;
        self.requests += 1;
        let (idle, age) = (settings.idle.unwrap_or(POOL_IDLE_TIME), settings.age.unwrap_or(POOL_AGE));
        self.usable_until = (now + idle).min(self.opened + age);
        (self.requests < settings.requests.unwrap_or(POOL_REQUESTS)).then_some(self)
    }
}

/// Whether an I/O error says that nobody listens, rather than that time ran out.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}
