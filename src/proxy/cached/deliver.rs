//! An answer that is kept on its way to a client: whole, in part, or only told to be the one that the client has.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::Ask;
use super::fill::{Left, Rest};
use crate::filter::cache::{self, Part as Wanted};
use crate::http1::{Framing, ResponseHead, Span};
use crate::live::{Body, Next, Stored};
use crate::proxy::downstream::{Client, Part};
use crate::proxy::error::UpstreamFault;
use crate::proxy::note::Note;
use crate::proxy::outlet::{Outlet, Way};
use crate::proxy::pump::{self, pump};
use crate::proxy::reply::Stop;
use crate::proxy::worker::Worker;

/// What is delivered.
pub(super) struct Delivery {
    /// The answer.
    pub(super) stored: Arc<Stored>,
    /// Where the rest of it comes from if it turns out to be too long, for the one who asked for it.
    pub(super) rest: Option<Rest>,
    /// It came for this very client.
    pub(super) is_new: bool,
    /// The sticky cookie.
    pub(super) cookie: Option<Box<[u8]>>,
    /// `Cache-Status`.
    pub(super) status: Option<String>,
}

/// Sends an answer that is kept, or is about to be.
pub(super) async fn deliver<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    ask: &Ask<'_>,
    delivery: Delivery,
    note: &mut Note,
) -> Result<(), Stop> {
    let Delivery { stored, rest, is_new, cookie, status } = delivery;
    let (mut response, wanted) = head(ask, &stored);
    let age = stored.life.age(worker.clock().now_millis()) / 1000;
    let age = (!is_new || age > 0).then(|| age.to_string());
    let range = match wanted {
        Some(Wanted::From(from, until)) => Some(format!("bytes {from}-{}/{}", until - 1, length(&stored))),
        Some(Wanted::Nothing) => Some(format!("bytes */{}", length(&stored))),
        _ => None,
    };
    let mut extra: SmallVec<[(&str, &[u8]); 4]> = SmallVec::new();
    extra.extend(age.as_ref().map(|age| ("Age", age.as_bytes())));
    extra.extend(range.as_ref().map(|range| ("Content-Range", range.as_bytes())));
    extra.extend(cookie.as_ref().map(|cookie| ("Set-Cookie", &**cookie)));
    let close = ask.last || worker.is_draining();
    let cookies = ask.request.edits.cookies();
    let cache_status = status.as_deref();
    let globals = ask.table.globals();
    let way = Way { request: ask.request, route: ask.route, globals, close, refusal: &[], cookies, cache_status };
    let mut outlet = Outlet::open(worker, client, way, &mut response, &extra);
    note.status = response.status;
    let (from, until) = match wanted {
        _ if response.framing == Framing::None => (0, 0),
        Some(Wanted::From(from, until)) => (from, until),
        Some(Wanted::Nothing) => (0, 0),
        _ => (0, u64::MAX),
    };
    let gap = ask.route.rule.policy.timeouts.read;
    let mut source = Source { body: &stored.body, at: from, until, rest, left: None, gap };
    let ended = pump(worker, client, &mut source, &mut outlet, None).await;
    note.bytes_out = outlet.sent();
    let now = Instant::now();
    note.attempt_ended(now);
    ended?;
    if let Some(left) = source.left {
        left.upstream.give_back(worker, now);
    }
    crate::proxy::respond::flush(worker, client).await
}

/// Octets of the body as far as they are known.
fn length(stored: &Stored) -> u64 {
    match stored.head.framing {
        Framing::Length(length) => length,
        Framing::None | Framing::Chunked | Framing::UntilClose => stored.body.length(),
    }
}

/// The head to send, and which part of the body follows; `None` for no body at all.
fn head(ask: &Ask<'_>, stored: &Stored) -> (ResponseHead, Option<Wanted>) {
    let mut head = stored.head.clone();
    let is_head = ask.head().method == http::Method::HEAD;
    let is_open_ended = matches!(head.framing, Framing::Chunked | Framing::UntilClose) && !stored.body.is_whole();
    let length = length(stored);
    if stored.head.status == 200 && cache::is_not_modified(&ask.head().fields, stored) {
        become_status(&mut head, 304);
        head.fields.skip_where(|name, _| tells_of_the_octets(name));
        (head.framing, head.named_length) = (Framing::None, None);
        return (head, None);
    }
    let wanted = match stored.head.status {
        200 if !is_head && !is_open_ended => cache::part(&ask.head().fields, stored, length),
        _ => Wanted::Whole,
    };
    let octets = match wanted {
        Wanted::From(from, until) => {
            become_status(&mut head, 206);
            until - from
        }
        Wanted::Nothing => {
            become_status(&mut head, 416);
            head.fields.skip_where(|name, _| tells_of_the_octets(name));
            0
        }
        Wanted::Whole => length,
    };
    if stored.head.framing != Framing::None {
        head.named_length = (!is_open_ended).then_some(octets);
        head.framing = match is_head {
            true => Framing::None,
            false if is_open_ended => Framing::Chunked,
            false => Framing::Length(octets),
        };
    }
    (head, Some(wanted))
}

fn become_status(head: &mut ResponseHead, status: u16) {
    head.status = status;
    head.reason = Span::default();
}

/// Fields that a 304 leaves out, since the client has them (RFC 9110 15.4.5).
fn tells_of_the_octets(name: &[u8]) -> bool {
    const THEY: [&[u8]; 4] = [b"content-encoding", b"content-language", b"content-range", b"content-type"];
    THEY.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Where the octets come from.
struct Source<'a> {
    body: &'a Body,
    at: u64,
    until: u64,
    rest: Option<Rest>,
    /// The body is too long to be kept: this is the rest of it.
    left: Option<Left>,
    /// Longest gap between two parts of the rest.
    gap: Duration,
}

impl pump::Source for Source<'_> {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, UpstreamFault>> {
        if let Some(left) = &mut self.left {
            return match left.first.take() {
                Some(first) => Poll::Ready(Ok(Part::Data(first))),
                None => left.upstream.poll_body(cx),
            };
        }
        if self.at >= self.until {
            return Poll::Ready(Ok(Part::End(None)));
        }
        Poll::Ready(match ready!(self.body.poll_next(cx, self.at)) {
            Next::Part(mut part) => {
                part.truncate(usize::try_from(self.until - self.at).unwrap_or(usize::MAX));
                self.at += part.len() as u64;
                Ok(Part::Data(part))
            }
            Next::End => Ok(Part::End(None)),
            Next::Broken => Err(UpstreamFault::Cut),
            Next::Given => {
                self.left = self.rest.take().and_then(|rest| rest.borrow_mut().take());
                if self.left.is_none() {
                    return Poll::Ready(Err(UpstreamFault::Cut));
                }
                return self.poll_part(cx);
            }
        })
    }

    /// While the body is filled, whoever fills it watches the gaps.
    fn gap(&self) -> Option<Duration> {
        self.left.as_ref().map(|_| self.gap)
    }

    /// Of what is left, also before its turn comes: it holds a connection.
    fn deadline(&self) -> Option<Instant> {
        match &self.left {
            Some(left) => left.deadline,
            None => self.rest.as_ref()?.borrow().as_ref()?.deadline,
        }
    }
}
