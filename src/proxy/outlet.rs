//! Where an answer leaves: its head with what the route adds, and its body, compressed on the way if the client likes that.

use std::io;

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::downstream::{Answer, BodySize, Client};
use super::encode::Encoder;
use super::error::UpstreamFault;
use super::forward::Outgoing;
use super::pace::Pacer;
use super::reply::Stop;
use super::worker::Worker;
use crate::filter;
use crate::filter::compress::{self, Verdict};
use crate::http1::{Fields, Framing, Known, ResponseHead, Version};
use crate::ir::{Answers, Globals, ResponseEdits};
use crate::table::Route;

/// Answers with these statuses carry the cookies of a service that was asked who may come in, as nginx adds fields to them.
const CARRY_COOKIES: [u16; 10] = [200, 201, 204, 206, 301, 302, 303, 304, 307, 308];
/// Octets that one turn of a request may compress before others get theirs: about a millisecond.
const TURN: usize = 64 << 10;

/// What an answer leaves by.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// The request, as the back end got it.
    pub request: &'a Outgoing<'a>,
    /// Its route.
    pub route: &'a Route,
    /// What holds for all answers.
    pub globals: &'a Globals,
    /// The connection ends after it.
    pub close: bool,
    /// Fields of the answer that this one takes the place of: a challenge, `Retry-After`.
    pub refusal: &'a [(&'static str, Bytes)],
    /// `Set-Cookie` of a service that was asked who may come in.
    pub cookies: &'a [Bytes],
    /// `Cache-Status`, where it is sent.
    pub cache_status: Option<&'a str>,
}

/// An answer on its way out.
pub struct Outlet<'a, C> {
    client: &'a C,
    encoder: Option<Encoder<'a>>,
    /// Every part must reach the client at once.
    is_event_stream: bool,
    sent: u64,
    spent: usize,
    pacer: Option<Box<Pacer>>,
    end: End,
}

/// Where the end of a body stands.
enum End {
    /// It did not come yet.
    Ahead,
    /// It waits behind what waits to go: these are the trailers.
    Held(Option<Box<Fields>>),
    /// It is queued.
    Queued,
}

/// What holds a body up.
pub enum Flow {
    /// Nothing: all of it is queued.
    Ended,
    /// Nothing: more of it is wanted.
    Free,
    /// The client, which has enough to take.
    Full,
    /// Its pace, until then.
    Later(Instant),
}

impl<'a, C: Client> Outlet<'a, C> {
    /// Queues the head of `response` with the fields that the route sets and `extra`.
    pub fn open(
        worker: &'a Worker,
        client: &'a C,
        way: Way<'_>,
        response: &mut ResponseHead,
        extra: &[(&str, &[u8])],
    ) -> Outlet<'a, C> {
        let Way { request: Outgoing { head, .. }, route, .. } = way;
        let pacer = route.rule.policy.pace.map(|pace| Box::new(Pacer::new(pace, Instant::now())));
        let mut outlet =
            Outlet { client, encoder: None, is_event_stream: false, sent: 0, spent: 0, pacer, end: End::Ahead };
        let mut additions = compress::Additions::new();
        if let Some(compression) = &route.rule.policy.compress {
            let length = match response.framing {
                Framing::Length(length) => Some(length),
                Framing::None => response.named_length,
                Framing::Chunked | Framing::UntilClose => None,
            };
            let has_body = response.framing != Framing::None;
            let answer = compress::Answer { status: response.status, fields: &response.fields, length, has_body };
            let is_modern = head.version > Version::Http10;
            let mut verdict = compress::judge(compression, &head.fields, is_modern, &answer);
            if let Verdict::Encode(coding) = verdict {
                outlet.encoder = worker.encoders().encoder(coding, compression.tuning(coding), length);
                outlet.is_event_stream = compress::is_event_stream(&response.fields);
                if outlet.encoder.is_none() {
                    verdict = Verdict::Vary;
                }
            }
            additions = compress::apply(verdict, &mut response.fields);
        }
        outlet.queue_head(way, response, &additions, extra);
        outlet
    }

    fn queue_head(
        &self,
        way: Way<'_>,
        response: &mut ResponseHead,
        additions: &compress::Additions,
        more: &[(&str, &[u8])],
    ) {
        let Way { request, route, globals, close, refusal, cookies, cache_status } = way;
        let head = request.head;
        let mut rewritten: SmallVec<[(&str, Bytes); 1]> = SmallVec::new();
        let edits = route.rule.filters.response.as_ref();
        let ruled = edits.and_then(|edits| self.ruled(edits, request, response));
        let answers = globals.answers.as_deref();
        if let Some(answers) = answers {
            hide(&mut response.fields, answers);
        }
        let has_server = answers.is_some() && response.fields.get(Known::Server).is_some();
        let answered = filter::Answered { head: Some(head), way: self.client.peer().way(), has_server };
        let set = filter::fields(answers, Some(&route.rule.filters), answered, &|_| request.asked());
        let mut extra: SmallVec<[(&str, &[u8]); 4]> = SmallVec::new();
        for field in &set {
            if field.replaces {
                response.fields.skip_named(field.name.as_bytes());
            }
            if !field.value.is_empty() {
                extra.push((field.name, &field.value));
            }
        }
        if let Some(edits) = &route.rule.filters.response {
            let asked = request.asked();
            filter::answer::rewrite(edits, &asked, &mut response.fields, |name, value| rewritten.push((name, value)));
        }
        if let Some(ruled) = &ruled {
            response.fields.skip_where(|name, _| !ruled.passes(name));
            extra.retain(|(name, _)| ruled.keeps(name.as_bytes()));
            rewritten.retain(|(name, _)| ruled.passes(name.as_bytes()));
        }
        for (name, value) in &rewritten {
            extra.push((name, value));
        }
        if let Some(ruled) = &ruled {
            extra.extend(ruled.fields().map(|(name, value)| (name, &**value)));
        }
        for (name, value) in additions {
            extra.push((name, value));
        }
        let takes_cookies = route.rule.filters.access.as_ref().and_then(|access| access.external.as_ref());
        if takes_cookies.is_some_and(|external| external.always_cookies || CARRY_COOKIES.contains(&response.status)) {
            extra.extend(cookies.iter().map(|cookie| ("Set-Cookie", &**cookie)));
        }
        for (name, value) in refusal {
            extra.push((*name, value));
        }
        for field in more {
            extra.push(*field);
        }
        if let Some(status) = cache_status {
            extra.push(("Cache-Status", status.as_bytes()));
        }
        let body = match response.framing {
            Framing::None => BodySize::None { length: response.named_length.filter(|_| response.status != 204) },
            _ if self.encoder.is_some() => BodySize::Unknown,
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
        self.client.queue_head(&answer, close);
    }

    /// What the route's rules make of the answer.
    fn ruled<'e>(
        &self,
        edits: &'e ResponseEdits,
        request: &Outgoing<'_>,
        response: &ResponseHead,
    ) -> Option<filter::rules::Ruled<'e>> {
        filter::rules::judge(edits, response.status, response.fields.find("content-type"), &request.asked())
    }

    /// Queues a part of the body.
    pub fn data(&mut self, data: Bytes) -> Result<(), Stop> {
        let Some(encoder) = &mut self.encoder else {
            self.queue(data);
            return Ok(());
        };
        self.spent += data.len();
        encoder.write(&data).map_err(broken)?;
        if self.is_event_stream {
            encoder.flush().map_err(broken)?;
        }
        let coded = encoder.take();
        self.queue(coded);
        Ok(())
    }

    /// Queues what the encoder holds back; whether there was anything. For when nothing more is there at once.
    pub fn flush(&mut self) -> Result<bool, Stop> {
        let Some(encoder) = &mut self.encoder else { return Ok(false) };
        if !encoder.flush().map_err(broken)? {
            return Ok(false);
        }
        let coded = encoder.take();
        self.queue(coded);
        Ok(true)
    }

    /// Queues the end of the body, or holds it until what is before it went.
    pub fn end(&mut self, trailers: Option<Box<Fields>>) -> Result<(), Stop> {
        if let Some(mut encoder) = self.encoder.take() {
            encoder.finish().map_err(broken)?;
            let coded = encoder.take();
            self.queue(coded);
        }
        if self.pacer.is_some() {
            self.end = End::Held(trailers);
        } else {
            self.client.queue_end(trailers.as_deref());
            self.end = End::Queued;
        }
        Ok(())
    }

    fn queue(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if let Some(pacer) = &mut self.pacer {
            return pacer.hold(data);
        }
        self.sent += data.len() as u64;
        self.client.queue_data(data);
    }

    /// Queues what may go now of what is held, until the client has `most` octets to take.
    pub fn release(&mut self, most: usize) -> Flow {
        if let Some(pacer) = &mut self.pacer
            && !pacer.is_empty()
        {
            let now = Instant::now();
            while let Some(data) = pacer.next(now, most.saturating_sub(self.client.queued())) {
                self.sent += data.len() as u64;
                self.client.queue_data(data);
            }
            if !pacer.is_empty() {
                return if self.client.queued() >= most { Flow::Full } else { Flow::Later(pacer.due()) };
            }
        }
        if let End::Held(trailers) = &self.end {
            self.client.queue_end(trailers.as_deref());
            self.end = End::Queued;
        }
        if self.is_ended() { Flow::Ended } else { Flow::Free }
    }

    /// Whether all of it is queued, its end too.
    pub fn is_ended(&self) -> bool {
        matches!(self.end, End::Queued)
    }

    /// Octets of body queued so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether others should get a turn first; asked once, the next turn begins.
    pub fn is_spent(&mut self) -> bool {
        let is_spent = self.spent >= TURN;
        if is_spent {
            self.spent = 0;
        }
        is_spent
    }
}

/// An encoder fails only where memory does.
fn broken(_: io::Error) -> Stop {
    Stop::Cut(UpstreamFault::Exhausted)
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
