//! Protocol upgrades over HTTP/1.1: asked for, agreed to, and then bytes in both directions.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::attempt::Answered;
use super::downstream::{Answer, BodySize, Client};
use super::forward::Outgoing;
use super::io::Io;
use super::note::Note;
use super::timer::{Timer, Wait};
use super::upstream::Upstream;
use super::worker::Worker;
use crate::http1::head::options;
use crate::http1::{Framing, RequestHead, ResponseHead};
use crate::ir;
use crate::live::limits::Held;
use crate::settings::Limit;
use crate::table::Route;
use crate::uri::token::is_token;

/// Most bytes read at once in one direction.
const PIECE: usize = 16 << 10;

/// The protocols of `Upgrade` that are passed on: those that the route lets through and that cannot turn the connection
/// into a second, unseen HTTP connection. `None` when there is none, or the request has a body.
pub fn offer(head: &RequestHead, route: &Route) -> Option<Vec<u8>> {
    let value = head.part(head.upgrade?);
    if head.framing != Framing::None {
        return None;
    }
    let mut offer = Vec::with_capacity(value.len());
    for token in options(value).filter(|token| may_pass(token, route.rule.policy.upgrade)) {
        if !offer.is_empty() {
            offer.extend_from_slice(b", ");
        }
        offer.extend_from_slice(token);
    }
    (!offer.is_empty()).then_some(offer)
}

fn may_pass(token: &[u8], upgrade: ir::Upgrade) -> bool {
    // protocol = protocol-name ["/" protocol-version], both tokens (RFC 9110 7.8).
    let mut parts = token.split(|octet| *octet == b'/');
    let name = parts.next().unwrap_or_default();
    if !is_token(name) || !parts.next().is_none_or(is_token) || parts.next().is_some() {
        return false;
    }
    match upgrade {
        ir::Upgrade::Off => false,
        ir::Upgrade::Websocket => token.eq_ignore_ascii_case(b"websocket"),
        ir::Upgrade::Any => !["h2c", "http", "tls"].iter().any(|refused| name.eq_ignore_ascii_case(refused.as_bytes())),
    }
}

/// Whether a 101 names a protocol that was offered.
pub fn is_agreed(request: &Outgoing<'_>, response: &ResponseHead) -> bool {
    let (Some(offer), Some(span)) = (request.upgrade, response.upgrade) else { return false };
    let chosen = span.of(&response.fields.bytes);
    let mut chosen = options(chosen).peekable();
    chosen.peek().is_some() && chosen.all(|token| options(offer).any(|offered| offered.eq_ignore_ascii_case(token)))
}

/// A connection that switched protocols.
pub struct Tunnel {
    answered: Answered,
    idle: Duration,
    /// Counts it among the requests under way of its client.
    held: Option<Held>,
}

impl Tunnel {
    /// Queues the 101.
    pub fn begin<C: Client>(
        client: &C,
        mut answered: Answered,
        held: Option<Held>,
        policy: &ir::Policy,
        note: &mut Note,
    ) -> Tunnel {
        // A tunnel may live for hours: the limit is for requests.
        answered.admitted = None;
        let response = &answered.response;
        let cookie = answered.cookie.as_deref().map(|cookie| ("Set-Cookie", cookie));
        note.status = 101;
        client.queue_head(
            &Answer {
                status: 101,
                reason: response.reason.of(&response.fields.bytes),
                fields: Some(&response.fields),
                extra: cookie.as_slice(),
                body: BodySize::None { length: None },
                has_date: true,
                upgrade: response.upgrade.map(|span| span.of(&response.fields.bytes)),
            },
            false,
        );
        Tunnel { idle: policy.timeouts.tunnel_idle, answered, held }
    }

    /// Carries bytes until both sides ended, one broke, or nothing moved for too long.
    pub async fn run<C: Client>(self, worker: &Rc<Worker>, client: &C, note: &mut Note) {
        let Tunnel { answered, idle, held: _held } = self;
        // `in_flight` counts to the end of the tunnel: for balancing it is a request like others.
        let Answered { upstream, in_flight: _in_flight, .. } = &answered;
        let (Some(down), Some(up)) = (client.http1(), http1(upstream)) else { return };
        if super::respond::flush(worker, client).await.is_err() {
            return;
        }
        down.close_after();
        let (from_client, from_backend) = (BytesMut::from(&*down.take_input()), BytesMut::from(&*up.take_input()));
        let sides = Sides { down: down.io(), up: up.io(), from_client, from_backend };
        let moved = sides.carry(worker, client.timer(), idle).await;
        note.bytes_in += moved.upward;
        note.bytes_out = moved.downward;
        if let Some(attempt) = note.last_attempt() {
            attempt.bytes = moved.downward;
        }
    }
}

/// Two connections that become one, with what was read of each and not yet passed on.
pub(super) struct Sides<'a> {
    /// The client's.
    pub(super) down: &'a Io,
    /// The backend's.
    pub(super) up: &'a Io,
    /// Goes to the backend first.
    pub(super) from_client: BytesMut,
    /// Goes to the client first.
    pub(super) from_backend: BytesMut,
}

/// Octets that were passed on.
pub(super) struct Moved {
    /// To the backend.
    pub(super) upward: u64,
    /// To the client.
    pub(super) downward: u64,
}

impl Sides<'_> {
    /// Carries bytes until both sides ended, one broke, or nothing moved for `idle`.
    pub(super) async fn carry(self, worker: &Worker, timer: &Timer, idle: Duration) -> Moved {
        let Sides { down, up, from_client, from_backend } = self;
        let (mut upward, mut downward) = (Direction::new(from_client), Direction::new(from_backend));
        let mut wait = Wait::default();
        std::future::poll_fn(|cx| {
            let moved = upward.moved + downward.moved;
            let up_done = upward.poll(cx, down, up);
            let down_done = downward.poll(cx, up, down);
            if upward.moved + downward.moved != moved {
                wait.progress();
            }
            match (up_done, down_done) {
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(()),
                _ => {
                    ready!(wait.poll(cx, timer, (), idle));
                    worker.metrics().limit_hit(Limit::tunnel_idle);
                    Poll::Ready(())
                }
            }
        })
        .await;
        Moved { upward: upward.moved, downward: downward.moved }
    }
}

fn http1(upstream: &Upstream) -> Option<&super::upstream::http1::Http1Upstream> {
    match upstream {
        Upstream::Http1(upstream) => Some(upstream),
        Upstream::Http2(_) => None,
    }
}

/// One direction of a tunnel. Holds a buffer only while bytes move.
struct Direction {
    buffer: BytesMut,
    moved: u64,
    ended: bool,
    is_shut: bool,
}

impl Direction {
    /// Begins with bytes that came with the head.
    fn new(buffer: BytesMut) -> Direction {
        Direction { buffer, moved: 0, ended: false, is_shut: false }
    }

    /// Copies from one side to the other; an end of input is passed on as an end of output.
    fn poll(&mut self, cx: &mut Context<'_>, from: &Io, to: &Io) -> Poll<std::io::Result<()>> {
        loop {
            while !self.buffer.is_empty() {
                let written = ready!(to.poll_write(cx, &[std::io::IoSlice::new(&self.buffer)]))?;
                self.moved += written as u64;
                self.buffer.advance(written);
            }
            ready!(to.poll_flush(cx))?;
            if self.is_shut {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                ready!(to.poll_shutdown(cx))?;
                self.is_shut = true;
                continue;
            }
            self.buffer.reserve(PIECE);
            match from.poll_read(cx, &mut self.buffer) {
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.buffer = BytesMut::new();
                    return Poll::Pending;
                }
            }
        }
    }
}
