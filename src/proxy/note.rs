//! What is noted of one exchange while it goes on, for the log line and the counters at its end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::downstream::{Client, Peer};
use super::forwarded;
use super::logged::{self, Kept, Logged};
use super::unread::Unread;
use super::worker::Worker;
use crate::filter;
use crate::http1::{Known, RequestHead, ResponseHead};
use crate::ir::{self, Logging};
use crate::live::Endpoint;
use crate::table::{Pinned, Route, RouteRef};
use crate::telemetry::{Attempt, Failure, Record};

/// The notes of one exchange.
pub struct Note {
    started: Instant,
    /// Status sent, or 499.
    pub status: u16,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// Request bytes.
    pub bytes_in: u64,
    /// Body bytes of the answer.
    pub bytes_out: u64,
    route: NotedRoute,
    /// Name of the canary that took the request.
    pub alternative: Option<Arc<str>>,
    /// Attempts.
    pub attempts: SmallVec<[AttemptNote; 1]>,
    /// X-Request-ID.
    pub id: RequestId,
    /// The client, where a proxy that is believed tells of it.
    pub seen: Option<Rc<Peer>>,
    /// Not logged and not counted (`/healthz`).
    pub is_silent: bool,
    /// How the access log is written, if its lines name fields of answers.
    pub keeps: Option<Arc<Logging>>,
    /// Which request of its connection it is, from 1 on.
    pub number: u64,
    /// The answer broke off.
    pub is_cut: bool,
    /// The fields that the back end sent, as far as the access log names them.
    pub received: Kept,
}

/// The route of an exchange. One request sees one table; a tunnel outlives it.
enum NotedRoute {
    None,
    InTable(Rc<Pinned>, RouteRef),
    Kept(Box<Route>),
}

/// A route with the table that it is in.
pub struct NotedTable(Rc<Pinned>, RouteRef);

impl NotedTable {
    /// The route.
    pub fn route(&self) -> &Route {
        self.0.route(self.1)
    }

    /// The table.
    pub fn table(&self) -> &Rc<Pinned> {
        &self.0
    }
}

/// An id for a request, made in case the client's is missing or not clean.
#[derive(Clone, Copy)]
pub struct RequestId {
    made: [u8; 32],
    /// Where the client sends none there is one all the same.
    pub is_made: bool,
}

impl RequestId {
    /// 32 hex digits.
    pub(super) fn make() -> RequestId {
        let mut made = [b'0'; 32];
        for digits in made.as_chunks_mut().0 {
            *digits = hex(fastrand::u32(..));
        }
        RequestId { made, is_made: true }
    }

    /// The client's id, if it is 1 to 128 visible ASCII characters, else the one made.
    pub fn octets<'a>(&'a self, head: Option<&'a RequestHead>) -> &'a [u8] {
        let received = head.and_then(|head| clean_id(head.fields.get(Known::XRequestId)?));
        received.unwrap_or(if self.is_made { &self.made } else { &[] })
    }
}

/// One attempt.
pub struct AttemptNote {
    endpoint: Arc<Endpoint>,
    started: Instant,
    elapsed: Duration,
    /// How long it took to connect, nothing on a connection that was there.
    pub connect: Option<Duration>,
    /// How long it took to the response head.
    pub header: Option<Duration>,
    /// Status of the response head.
    pub status: Option<u16>,
    /// Body bytes received.
    pub bytes: u64,
}

impl Note {
    /// At the start of an exchange; `started` is when the first byte of the head came.
    pub fn new(started: Instant) -> Note {
        Note {
            started,
            status: 0,
            failure: None,
            bytes_in: 0,
            bytes_out: 0,
            route: NotedRoute::None,
            alternative: None,
            attempts: SmallVec::new(),
            id: RequestId::make(),
            seen: None,
            is_silent: false,
            keeps: None,
            number: 0,
            is_cut: false,
            received: Kept::new(),
        }
    }

    /// Has the answer kept that `client` will get, as far as the access log asks for it.
    pub fn keep<C: Client>(&mut self, worker: &Worker, table: &Pinned, client: &C) {
        self.keeps = worker.keeps(table.globals());
        if let Some(rules) = &self.keeps {
            client.keep(Arc::clone(rules));
        }
    }

    /// Takes note of the route.
    pub fn routed(&mut self, table: &Rc<Pinned>, at: RouteRef) {
        self.route = NotedRoute::InTable(Rc::clone(table), at);
    }

    /// Lets go of the table, keeping what the log line needs: a tunnel may live for hours.
    pub fn unpin(&mut self) {
        if let NotedRoute::InTable(table, at) = &self.route {
            self.route = NotedRoute::Kept(Box::new(table.route(*at).clone()));
        }
    }

    /// Takes note of the choice of an endpoint.
    pub fn attempt(&mut self, endpoint: &Arc<Endpoint>, now: Instant) {
        // What the one before gave is not this one's.
        self.received = Kept::new();
        self.attempts.push(AttemptNote {
            endpoint: Arc::clone(endpoint),
            started: now,
            elapsed: Duration::ZERO,
            connect: None,
            header: None,
            status: None,
            bytes: 0,
        });
    }

    /// The attempt under way.
    pub fn last_attempt(&mut self) -> Option<&mut AttemptNote> {
        self.attempts.last_mut()
    }

    /// Takes note of the response head of the attempt under way, as far as the access log asks for it.
    pub fn answered(&mut self, response: &ResponseHead) {
        if let Some(rules) = &self.keeps {
            self.received = logged::received(rules, response);
        }
    }

    /// Takes note that the attempt under way gave nothing; `status` stands for it in the log, as nginx has it.
    pub fn attempt_failed(&mut self, status: u16) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.status = Some(status);
        }
    }

    /// Takes note of the end of the attempt under way.
    pub fn attempt_ended(&mut self, now: Instant) {
        if let Some(attempt) = self.attempts.last_mut().filter(|attempt| attempt.elapsed.is_zero()) {
            attempt.elapsed = now - attempt.started;
        }
    }

    fn route(&self) -> Option<&Route> {
        match &self.route {
            NotedRoute::None => None,
            NotedRoute::InTable(table, at) => Some(table.route(*at)),
            NotedRoute::Kept(route) => Some(route),
        }
    }

    /// The route in its table, held apart from the notes.
    pub fn table(&self) -> Option<NotedTable> {
        match &self.route {
            NotedRoute::InTable(table, at) => Some(NotedTable(Rc::clone(table), *at)),
            NotedRoute::None | NotedRoute::Kept(_) => None,
        }
    }

    /// What is set on every answer, and what the route sets on every answer of its own.
    pub fn response_fields<'a>(
        &'a self,
        table: &'a Pinned,
        peer: &'a Peer,
        head: Option<&'a RequestHead>,
    ) -> filter::ResponseFields<'a> {
        let answered = filter::Answered { head, way: peer.way(), has_server: false };
        let filters = self.route().map(|route| &*route.rule.filters);
        filter::fields(table.globals().answers.as_deref(), filters, answered, &|head| self.request(table, peer, head))
    }

    /// The host that the client asked for, where a proxy before us that is believed says it.
    pub fn told_host<'a>(&self, globals: &ir::Globals, head: &'a RequestHead) -> Option<&'a [u8]> {
        forwarded::host(globals.trust.as_deref().filter(|_| self.seen.is_some())?, head)
    }

    /// The request that `head` begins, as texts with variables see it.
    fn request<'a>(&'a self, table: &Pinned, peer: &'a Peer, head: &'a RequestHead) -> filter::Request<'a> {
        let peer = self.seen.as_deref().unwrap_or(peer);
        let route = self.route().map(|route| &*route.rule);
        let forwarded_host = self.told_host(table.globals(), head);
        filter::Request { forwarded_host, request_id: self.id.octets(Some(head)), route, ..peer.request(head) }
    }

    /// What the route changes of an answer of ours to `head`.
    pub fn ruled<'a>(
        &'a self,
        table: &Pinned,
        peer: &Peer,
        head: &RequestHead,
        status: u16,
        media_type: &[u8],
    ) -> Option<filter::rules::Ruled<'a>> {
        let edits = self.route()?.rule.filters.response.as_ref()?;
        filter::rules::judge(edits, status, Some(media_type), &self.request(table, peer, head))
    }

    /// Counts and logs the finished exchange: its head, or what is known of one that was refused. `table` says how.
    pub fn finish<C: Client>(
        &mut self,
        worker: &Worker,
        table: &Pinned,
        client: &C,
        head: Result<&RequestHead, &Unread>,
    ) {
        let sent = if self.keeps.is_some() { client.sent() } else { Kept::new() };
        if self.is_silent {
            return;
        }
        let peer = client.peer();
        let seen = self.seen.take();
        let peer = seen.as_deref().unwrap_or(peer);
        let now = Instant::now();
        self.attempt_ended(now);
        let elapsed = now - self.started;
        let route = self.route();
        if let Some(Route { metrics, .. }) = route {
            metrics.record(worker.index, self.status, elapsed);
        }
        if let Some(failure) = self.failure {
            worker.metrics().failure(failure);
        }
        if !worker.has_log() || route.is_some_and(|route| route.rule.filters.is_silent) {
            return;
        }
        let attempts: SmallVec<[Attempt<'_>; 2]> = self
            .attempts
            .iter()
            .map(|attempt| Attempt {
                address: &attempt.endpoint.text,
                status: attempt.status,
                elapsed: attempt.elapsed,
                bytes: attempt.bytes,
                connect: attempt.connect,
                header: attempt.header,
            })
            .collect();
        let (method, host, target, protocol) = match head {
            Err(unread) => (&*unread.method, &b""[..], &*unread.target, &*unread.protocol),
            Ok(head) => (head.method.as_str(), head.part(head.host), head.part(head.target), head.version.protocol()),
        };
        let head = head.ok();
        let authorization = head.and_then(|head| head.fields.get(Known::Authorization));
        let user = authorization.and_then(crate::telemetry::access_log::basic_user);
        let logged = Logged {
            head,
            peer,
            trust: table.globals().trust.as_deref().filter(|_| seen.is_some()),
            rule: route.map(|route| &*route.rule.path.path),
            number: self.number,
            sent: &sent,
            received: &self.received,
        };
        let record = Record {
            time: worker.clock().now_nanos(),
            request_id: self.id.octets(head),
            client: peer.client_text(),
            user: user.as_deref(),
            method,
            scheme: peer.scheme(),
            host,
            target,
            protocol,
            status: self.status,
            failure: self.failure,
            is_cut: self.is_cut,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            elapsed,
            route: route.and_then(|Route { rule, service, port, .. }| {
                let ingress = rule.ingress()?;
                Some((&*ingress.namespace, &*ingress.name, &**service, &**port))
            }),
            upstream_name: match route {
                Some(route) => route.upstream_name.as_deref(),
                None => (self.failure == Some(Failure::NoRoute)).then_some(ir::Route::DEFAULT_UPSTREAM),
            },
            alternative: self.alternative.as_deref(),
            attempts: &attempts,
            tls: peer.tls.as_ref().map(|tls| tls.version),
            sni: peer.tls.as_ref().and_then(|tls| tls.server_name.as_deref()),
            referer: head.and_then(|head| head.fields.get(Known::Referer)),
            user_agent: head.and_then(|head| head.fields.get(Known::UserAgent)),
        };
        worker.log(table.globals(), &record, &logged);
    }
}

/// The digits of `bits`, all eight at once.
fn hex(bits: u32) -> [u8; 8] {
    let mut nibbles = u64::from(bits);
    nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // An octet of 10 and more comes to 16 and more with 6 added: those are letters.
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

fn clean_id(value: &[u8]) -> Option<&[u8]> {
    let is_clean = (1..=128).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    is_clean.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_what_is_printed() {
        for bits in [0, 0x0123_4567, 0x89ab_cdef, 0x9a9a_a9a9, u32::MAX] {
            assert_eq!(hex(bits), *format!("{bits:08x}").as_bytes());
        }
    }

    #[test]
    fn a_made_id_is_32_hex_digits_and_a_clean_one_is_kept() {
        let made = RequestId::make().octets(None).to_owned();
        assert_eq!(made.len(), 32);
        assert!(made.iter().all(u8::is_ascii_hexdigit));
        assert_ne!(RequestId::make().octets(None), made);
        assert_eq!(clean_id(b"abc-1"), Some(&b"abc-1"[..]));
        for bad in [&b""[..], b"a b", b"a\xff", &[b'a'; 129]] {
            assert_eq!(clean_id(bad), None);
        }
    }
}
