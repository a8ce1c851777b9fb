//! Requests on routes with a cache: answered from what is kept, or fetched once for all who ask.

mod deliver;
mod fetch;
mod fill;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use self::deliver::{Delivery, deliver};
use self::fetch::{Errand, Fetched, fetch};
use super::downstream::Client;
use super::edits::Edits;
use super::forward::Outgoing;
use super::nobody::Nobody;
use super::note::Note;
use super::outlet::Way;
use super::reply::{Reply, Stop};
use super::respond;
use super::worker::Worker;
use crate::filter::cache::{self, Control, Use};
use crate::filter::text;
use crate::http1::{Framing, Known, RequestHead, ResponseHead};
use crate::ir::{Caching, Part, Template};
use crate::live::{Cache, Fetch, Joined, Outcome, Place, Slot, Stored};
use crate::table::{BackendRef, Pinned, Route, RouteRef, RoutingTable, Target};
use crate::uri::host;
use crate::uri::path::RoutingPath;

/// What answers are found by.
type Key = Vec<u8>;

/// A request that the cache may answer.
pub struct Ask<'a> {
    /// The request as it would go to the backend.
    request: &'a Outgoing<'a>,
    control: Control,
    table: &'a Rc<Pinned>,
    at: RouteRef,
    route: &'a Route,
    backend: &'a BackendRef,
    caching: &'a Caching,
    cache: &'a Arc<Cache>,
    path: &'a RoutingPath<'a>,
    host: Cow<'a, str>,
    identity: &'a [u8],
    last: bool,
}

impl<'a> Ask<'a> {
    /// The request as one for the cache; `None` where it is not for it. `identity` is what the backend is told of who asks.
    #[expect(clippy::too_many_arguments, reason = "what a request is, as its exchange knows it")]
    pub fn new(
        caching: &'a Caching,
        table: &'a Rc<Pinned>,
        at: RouteRef,
        backend: &'a BackendRef,
        request: &'a Outgoing<'a>,
        path: &'a RoutingPath<'a>,
        identity: &'a [u8],
        last: bool,
    ) -> Option<Ask<'a>> {
        let Outgoing { head, framing, upgrade, te_trailers, .. } = *request;
        let cache = table.cache()?;
        let is_plain = framing == Framing::None && upgrade.is_none() && !te_trailers && !head.authority.is_empty();
        let control = Control::read(&head.fields);
        if !is_plain || !cache::applies(&head.method, &head.fields, &control) {
            return None;
        }
        let host = host::lookup(str::from_utf8(head.part(head.host)).ok()?);
        let route = table.route(at);
        // A name that is made of more than the host is not in the key.
        let vhost = route.rule.filters.request.as_ref().and_then(|edits| edits.host.as_ref());
        let is_in_key = |part: &Part| matches!(part, Part::Text(_) | Part::Host);
        if vhost.is_some_and(|vhost| !vhost.parts.iter().all(is_in_key)) {
            return None;
        }
        Some(Ask { request, control, table, at, route, backend, caching, cache, path, host, identity, last })
    }

    fn head(&self) -> &'a RequestHead {
        self.request.head
    }

    fn place(&self) -> Place<'_> {
        Place { host: self.host.as_bytes(), path: self.path.matching.as_bytes() }
    }

    fn key(&self) -> Key {
        let query = Query::new(self.caching, self.head());
        key(self.route, self.request, self.path.forward.as_bytes(), query, self.identity)
    }
}

/// What a backend is told of who asks, by those who were asked who may come in.
pub fn identity(edits: &Edits) -> Vec<u8> {
    let mut identity = Vec::new();
    for (name, value) in edits.added() {
        for part in [name.as_bytes(), value] {
            identity.extend_from_slice(part);
            identity.push(0);
        }
    }
    identity
}

/// The key of a URL on a route. Answers are shared by nothing that differs in Ingress, scheme, host, port, path or query, nor
/// in who asks, where the backend is told.
fn key(route: &Route, request: &Outgoing<'_>, path: &[u8], query: Query<'_>, identity: &[u8]) -> Key {
    let Outgoing { head, peer, forwarded_host, prefix, .. } = request;
    let ingress = &route.rule.origin.object.name;
    let [(_, port), ..] = peer.way_fields();
    let parts = [
        head.part(head.authority),
        // What a proxy before us says of host, port and prefix, and the backend is told.
        forwarded_host,
        ingress.namespace.as_bytes(),
        ingress.name.as_bytes(),
        peer.scheme().as_bytes(),
        port.as_bytes(),
        prefix.unwrap_or_default(),
        path,
    ];
    let octets = parts.iter().map(|part| part.len() + 1).sum::<usize>() + size_of::<u64>() + identity.len();
    let more = if let Query::Of(query) = query { query.len() } else { 0 };
    let mut key = Key::with_capacity(octets + more);
    for (place, part) in parts.iter().enumerate() {
        key.extend_from_slice(part);
        key.push(0);
        if place == 1 {
            key.make_ascii_lowercase();
        }
    }
    // Its length first: neither of the two that follow could end before a 0 that is a part of it.
    key.extend_from_slice(&(identity.len() as u64).to_le_bytes());
    key.extend_from_slice(identity);
    match query {
        Query::Of(query) => key.extend_from_slice(query),
        Query::By(template) => text::each(template, &peer.request(head), |octets| key.extend_from_slice(octets)),
    }
    key
}

/// What tells the answers of a path apart.
#[derive(Clone, Copy)]
enum Query<'a> {
    Of(&'a [u8]),
    By(&'a Template),
}

impl<'a> Query<'a> {
    fn new(caching: &'a Caching, head: &'a RequestHead) -> Query<'a> {
        match &caching.key {
            Some(template) => Query::By(template),
            None => Query::Of(head.query()),
        }
    }
}

/// What is known of a request before the backend is asked.
struct Found {
    /// An answer for such requests, which may be stale.
    stored: Option<Arc<Stored>>,
    is_pass: bool,
    /// Answers for other requests for the URL are there.
    has_others: bool,
}

impl Found {
    fn new(ask: &Ask<'_>, key: &Key, now: u64) -> Found {
        let slot: Option<Arc<Slot>> = ask.cache.find(key);
        let Some(slot) = slot else { return Found { stored: None, is_pass: false, has_others: false } };
        let mut asking = cache::Asking::new(&ask.head().fields);
        let stored = slot.variants.iter().rev().find(|stored| asking.matches(&stored.selecting));
        Found { stored: stored.cloned(), is_pass: slot.is_pass(now), has_others: !slot.variants.is_empty() }
    }
}

/// Answers a request from the cache, or fetches what it asks for.
pub async fn serve<C: Client>(worker: &Rc<Worker>, client: &C, ask: &Ask<'_>, note: &mut Note) -> Result<(), Stop> {
    let key = ask.key();
    let fields = &ask.head().fields;
    let is_part = fields.has(Known::Conditional) && fields.find("range").is_some();
    let is_head = ask.head().method == http::Method::HEAD;
    let mut is_counted = false;
    loop {
        let now = worker.clock().now_millis();
        let found = Found::new(ask, &key, now);
        let usable = found.stored.as_ref().map(|stored| cache::usable(&stored.life, &ask.control, now));
        if let (Some(stored), Some(Use::Fresh | Use::Stale)) = (&found.stored, usable) {
            if !std::mem::replace(&mut is_counted, true) {
                worker.metrics().looked_up(true);
            }
            if usable == Some(Use::Stale) {
                revalidate(worker, ask, &key, stored);
            }
            return hit(worker, client, ask, Arc::clone(stored), now, note).await;
        }
        if !std::mem::replace(&mut is_counted, true) {
            worker.metrics().looked_up(false);
        }
        if ask.control.only_if_cached {
            return Err(Reply::plain(504).into());
        }
        let why = match &found {
            Found { stored: Some(_), .. } if ask.control.no_cache || ask.control.max_age.is_some() => "request",
            Found { stored: Some(_), .. } => "stale",
            Found { has_others: true, .. } => "vary-miss",
            _ => "uri-miss",
        };
        // A part is not kept, and no whole is fetched for it, which may be much longer.
        let as_is = is_head || (is_part && found.stored.is_none());
        let joined = (!as_is && !found.is_pass).then(|| ask.cache.join(&key));
        let lead = match joined {
            None => None,
            Some(Joined::Leader(lead)) => {
                let again = Found::new(ask, &key, now);
                let is_there = |stored: &Arc<Stored>| cache::usable(&stored.life, &ask.control, now) == Use::Fresh;
                if again.stored.as_ref().is_some_and(is_there) {
                    continue;
                }
                Some(lead)
            }
            Some(Joined::Follower(fetch)) => match follow(client, &fetch).await? {
                Outcome::Abandoned => continue,
                Outcome::Alone => None,
                Outcome::Failed(status, failure) => {
                    return match found.stored.filter(|stored| cache::may_stand_in(&stored.life, now)) {
                        Some(stored) => hit(worker, client, ask, stored, now, note).await,
                        None => Err(Reply::failed(status, failure).into()),
                    };
                }
                Outcome::Ready(stored) if cache::matches(&stored.selecting, &ask.head().fields) => {
                    let status = told(ask, || format!("fairlead; fwd={why}; collapsed"));
                    let delivery = Delivery { stored, rest: None, is_new: true, cookie: None, status };
                    return deliver(worker, client, ask, delivery, note).await;
                }
                Outcome::Ready(_) => None,
            },
        };
        let errand = Errand { lead, stale: found.stored, as_is };
        let fetched = fetch(worker, client, ask, &key, errand, note).await?;
        return send(worker, client, ask, fetched, why, note).await;
    }
}

/// Sends what was fetched.
async fn send<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    ask: &Ask<'_>,
    fetched: Fetched,
    why: &str,
    note: &mut Note,
) -> Result<(), Stop> {
    match fetched {
        Fetched::Kept { stored, rest, cookie, status } => {
            let is_asked = if status == 304 { "" } else { "; stored" };
            let status = told(ask, || format!("fairlead; fwd={why}; fwd-status={status}{is_asked}"));
            let delivery = Delivery { stored, rest, is_new: true, cookie, status };
            deliver(worker, client, ask, delivery, note).await
        }
        Fetched::StandIn(stored) => {
            let now = worker.clock().now_millis();
            hit(worker, client, ask, stored, now, note).await
        }
        Fetched::Replaced(status) => Err(Reply::plain(status).into()),
        Fetched::Passed(answered, mut upload) => {
            let status = answered.response.status;
            let status = told(ask, || format!("fairlead; fwd={why}; fwd-status={status}"));
            let close = ask.last || worker.is_draining();
            let cookies = ask.request.edits.cookies();
            let cache_status = status.as_deref();
            let globals = ask.table.globals();
            let way =
                Way { request: ask.request, route: ask.route, globals, close, refusal: &[], cookies, cache_status };
            respond::forward(worker, client, way, *answered, &mut upload, note).await
        }
    }
}

/// Sends what is kept.
async fn hit<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    ask: &Ask<'_>,
    stored: Arc<Stored>,
    now: u64,
    note: &mut Note,
) -> Result<(), Stop> {
    let left = stored.life.fresh.cast_signed() - stored.life.age(now).cast_signed();
    let status = told(ask, || format!("fairlead; hit; ttl={}", left.div_euclid(1000)));
    deliver(worker, client, ask, Delivery { stored, rest: None, is_new: false, cookie: None, status }, note).await
}

fn told(ask: &Ask<'_>, status: impl FnOnce() -> String) -> Option<String> {
    ask.caching.status.then(status)
}

/// Waits for what somebody else fetches.
async fn follow<C: Client>(client: &C, fetch: &Fetch) -> Result<Outcome, Stop> {
    std::future::poll_fn(|cx| match fetch.poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
        Poll::Pending => client.poll_gone(cx).map(|()| Err(Stop::ClientGone)),
    })
    .await
}

/// Asks the backend about an answer that was served stale, unless somebody does already.
fn revalidate(worker: &Rc<Worker>, ask: &Ask<'_>, key: &Key, stored: &Arc<Stored>) {
    let Joined::Leader(lead) = ask.cache.join(key) else { return };
    let (worker, table, at, request) = (Rc::clone(worker), Rc::clone(ask.table), ask.at, ask.request);
    let (head, edits, method) = (request.head.clone(), request.edits.clone(), request.method.clone());
    let octets = [request.path, request.query, request.host, request.forwarded_host, request.request_id];
    let [path, query, host, forwarded_host, request_id] = octets.map(<[u8]>::to_vec);
    let passed = request.passed;
    let (prefix, routing, identity) = (request.prefix.map(<[u8]>::to_vec), owned(ask.path), ask.identity.to_vec());
    let is_http10 = request.is_http10;
    let (key, stale, nobody) = (key.clone(), Arc::clone(stored), Nobody::new(request.peer));
    tokio::task::spawn_local(async move {
        let route = table.route(at);
        let (Target::Backend(backend), Some(caching)) = (&route.target, &route.rule.policy.cache) else { return };
        let outgoing = Outgoing {
            head: &head,
            edits: &edits,
            method: &method,
            path: &path,
            query: &query,
            prefix: prefix.as_deref(),
            host: &host,
            forwarded_host: &forwarded_host,
            request_id: &request_id,
            peer: nobody.peer(),
            rules: &table.globals().requests,
            route: Some(&route.rule),
            framing: Framing::None,
            is_http10,
            upgrade: None,
            te_trailers: false,
            passed,
            withheld: &[],
        };
        let ask = Ask::new(caching, &table, at, backend, &outgoing, &routing, &identity, false);
        let Some(ask) = ask else { return };
        let mut note = Note::new(tokio::time::Instant::now());
        let errand = Errand { lead: Some(lead), stale: Some(stale), as_is: false };
        // What fails is tried again with the next request.
        let _ = fetch(&worker, &nobody, &ask, &key, errand, &mut note).await;
    });
}

fn owned(path: &RoutingPath<'_>) -> RoutingPath<'static> {
    let own = |text: &str| Cow::Owned(text.to_owned());
    RoutingPath { forward: own(&path.forward), matching: own(&path.matching) }
}

/// A request on a route with a cache that went by it. One that changed something makes worthless what is kept of it
/// (RFC 9111 4.4). Gives the `Cache-Status`.
pub fn passed_by(
    table: &RoutingTable,
    route: &Route,
    caching: &Caching,
    request: &Outgoing<'_>,
    path: &RoutingPath<'_>,
    identity: &[u8],
    response: &ResponseHead,
) -> Option<&'static str> {
    let Outgoing { head, peer, .. } = request;
    let path = path.forward.as_bytes();
    let is_unsafe = cache::is_unsafe(&head.method);
    if let Some(cache) = table.cache().filter(|_| is_unsafe && (200..400).contains(&response.status)) {
        let own = |path: &[u8], query: Query<'_>| {
            // For whoever asks without being known, and for the one who changed it.
            for who in [&[][..], identity] {
                cache.remove(&key(route, request, path, query, who));
            }
        };
        own(path, Query::new(caching, head));
        for name in ["location", "content-location"] {
            let Some(location) = response.fields.find(name) else { continue };
            let authority = head.part(head.authority);
            let Some(target) = cache::same_origin(location, peer.scheme(), authority, path) else { continue };
            let end = target.iter().position(|octet| *octet == b'#').unwrap_or(target.len());
            let target = target.get(..end).unwrap_or_default();
            let (path, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
            own(path, Query::Of(query));
        }
    }
    caching.status.then_some(if is_unsafe { "fairlead; fwd=method" } else { "fairlead; fwd=bypass" })
}
