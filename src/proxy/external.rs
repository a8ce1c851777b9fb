//! Asking another service who may come in (`auth-url` of ingress-nginx).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::Method;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::attempt;
use super::downstream::Client;
use super::edits::Edits;
use super::forward::Outgoing;
use super::guard::Asker;
use super::hops;
use super::note::Note;
use super::reply::{Reply, Stop};
use super::respond;
use super::upload::{BodyRules, Upload};
use crate::filter::cache::Control;
use crate::filter::{Request, text};
use crate::http1::{Framing, ResponseHead};
use crate::ir::{AuthCache, AuthMethod, External, SignIn};
use crate::live::Silence;
use crate::table::{BackendRef, Route};
use crate::telemetry::Failure;
use crate::uri::path;

/// Parts of what is remembered, each locked by itself.
const PARTS: usize = 16;
/// So many answers are remembered by a part; then all of it are forgotten.
const REMEMBERED: usize = 1_000;
/// Longer words are not remembered, in octets.
const LONGEST: usize = 16 << 10;
/// Words of so many octets are remembered by a part.
const ROOM: usize = 1 << 20;

/// What a service is told of who asks it.
const SENT_FROM: (&str, &str) = ("X-Sent-From", "nginx-ingress-controller");

/// What the service says.
#[derive(Clone, Debug)]
struct Word {
    status: u16,
    /// `WWW-Authenticate`.
    challenge: Option<Bytes>,
    /// Of `auth-response-headers`, in their order.
    fields: Box<[Option<Bytes>]>,
    cookies: SmallVec<[Bytes; 1]>,
    /// `Cache-Control` says that it is for one client, or not to be kept.
    is_private: bool,
}

impl Word {
    /// Whether others with the same key may be told the same: a cookie is one client's.
    fn is_for_all(&self) -> bool {
        self.cookies.is_empty() && !self.is_private && self.octets() <= LONGEST
    }

    fn octets(&self) -> usize {
        self.fields.iter().flatten().chain(&self.challenge).map(Bytes::len).sum()
    }
}

/// Answers that are remembered (`auth-cache-key`), for all workers: a client's next connection may be another's. A lock is
/// held for a look-up, in the place of a question to the service.
#[derive(Debug, Default)]
pub struct Remembered([Mutex<Words>; PARTS]);

impl Remembered {
    fn part(&self, key: &[u8; 32]) -> Option<MutexGuard<'_, Words>> {
        let part = self.0.get(usize::from(key[0]) % PARTS)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, key: &[u8; 32], now: Instant) -> Option<Word> {
        self.part(key)?.find(key, now).cloned()
    }

    fn keep(&self, key: [u8; 32], word: Word, now: Instant, time: Duration) {
        let (Some(mut part), Some(until)) = (self.part(&key), now.checked_add(time)) else { return };
        part.insert(key, until, word, now);
    }
}

/// Words by their keys, with the time at which each is forgotten.
#[derive(Debug, Default)]
struct Words {
    by_key: HashMap<[u8; 32], (Instant, Word)>,
    octets: usize,
}

impl Words {
    fn find(&self, key: &[u8; 32], now: Instant) -> Option<&Word> {
        self.by_key.get(key).filter(|(until, _)| *until > now).map(|(_, word)| word)
    }

    fn insert(&mut self, key: [u8; 32], until: Instant, word: Word, now: Instant) {
        let octets = word.octets();
        let is_full = |words: &Words| words.by_key.len() >= REMEMBERED || words.octets + octets > ROOM;
        if is_full(self) {
            self.by_key.retain(|_, (until, _)| *until > now);
            self.octets = self.by_key.values().map(|(_, word)| word.octets()).sum();
        }
        if is_full(self) {
            *self = Words::default();
        }
        self.octets += octets;
        if let Some((_, before)) = self.by_key.insert(key, (until, word)) {
            self.octets -= before.octets();
        }
    }
}

/// Asks, and lets the request in or says what it gets instead.
pub async fn ask<C: Client>(asker: &Asker<'_, C>, external: &External, edits: &mut Edits) -> Result<(), Reply> {
    let request = asker.request;
    if is_ours(request, external) {
        return Err(Reply::failed(500, Failure::AuthError));
    }
    let word = match word(asker, external).await {
        Ok(word) => word,
        Err(()) => return Err(Reply::failed(500, Failure::AuthError)),
    };
    match word.status {
        200..300 => {
            for (name, value) in external.fields.iter().zip(word.fields) {
                // What a client says in its place was withheld. An empty one is none, as in nginx.
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    edits.set(request.head, name.to_string(), value);
                }
            }
            edits.give(word.cookies);
            Ok(())
        }
        status @ (401 | 403) => {
            let mut reply = Reply::failed(status, Failure::AuthFailed);
            reply.fields.extend(word.challenge.filter(|_| status == 401).map(|value| ("WWW-Authenticate", value)));
            reply.fields.extend(word.cookies.into_iter().map(|cookie| ("Set-Cookie", cookie)));
            Err(reply)
        }
        _ => Err(Reply::failed(500, Failure::AuthError)),
    }
}

/// Whether the request is a question to the very service that is to be asked about it: that would never end. Who only
/// says so gets nothing by it.
fn is_ours(request: &Request<'_>, external: &External) -> bool {
    let (name, value) = SENT_FROM;
    request.host().eq_ignore_ascii_case(&external.host)
        && request.head.fields.find(name).is_some_and(|sent| sent == value.as_bytes())
}

/// The redirect of a client that is not known, to where it can say who it is.
pub fn sign_in(sign_in: &SignIn, request: &Request<'_>, refused: Reply) -> Reply {
    let mut reply = Reply { failure: refused.failure, ..Reply::plain(302) };
    reply.fields.push(("Location", sign_in_url(sign_in, request).into()));
    reply.fields.extend(refused.fields.into_iter().filter(|(name, _)| *name == "Set-Cookie"));
    reply
}

/// Where that is.
pub fn sign_in_url(sign_in: &SignIn, request: &Request<'_>) -> Vec<u8> {
    let mut location = text::expand(&sign_in.url, request);
    if let Some(argument) = &sign_in.argument {
        location.extend_from_slice(argument.as_bytes());
        location.extend_from_slice(request.scheme().as_bytes());
        location.extend_from_slice(b"://");
        location.extend_from_slice(request.authority());
        text::escape(request.path(), |piece| location.extend_from_slice(piece));
        text::escape(request.query(), |piece| location.extend_from_slice(piece));
    }
    text::visible(location)
}

async fn word<C: Client>(asker: &Asker<'_, C>, external: &External) -> Result<Word, ()> {
    let Asker { worker, request, route, .. } = *asker;
    let backend = route.aside.as_ref().and_then(|aside| aside.external.as_ref()).ok_or(())?;
    let Some(cache) = &external.cache else { return fetch(asker, external, backend).await };
    let key = cache_key(cache, request, route, external);
    let now = Instant::now();
    if let Some(word) = worker.remembered().get(&key, now) {
        return Ok(word);
    }
    let word = fetch(asker, external, backend).await?;
    let time = cache.times.iter().find(|(statuses, _)| statuses.contains(&word.status));
    if let Some((_, time)) = time.filter(|_| word.is_for_all()) {
        worker.remembered().keep(key, word.clone(), now, *time);
    }
    Ok(word)
}

/// Never shared between routes, hosts or services. A hash, since the texts are the client's, and as long as it likes.
fn cache_key(cache: &AuthCache, request: &Request<'_>, route: &Route, external: &External) -> [u8; 32] {
    let rule = &route.rule;
    let own = format!("{}\0{}\0{}\0{}\0", rule.origin.object, rule.origin.field, rule.path, external.target);
    let mut key = own.into_bytes();
    key.extend_from_slice(external.backend.service.name.as_bytes());
    key.push(0);
    key.extend_from_slice(request.host().as_bytes());
    key.push(0);
    text::each(&cache.key, request, |piece| key.extend_from_slice(piece));
    digest(&SHA256, &key).as_ref().try_into().unwrap_or_default()
}

async fn fetch<C: Client>(asker: &Asker<'_, C>, external: &External, backend: &BackendRef) -> Result<Word, ()> {
    let Asker { worker, client, peer, globals, request, route, told } = *asker;
    let head = request.head;
    let mut edits = Edits::default();
    if let Some(asked) = &route.rule.filters.request {
        edits.input(asked, request);
    }
    told.add(&mut edits);
    let authority = request.authority();
    let target = [head.path(), head.query()].concat();
    // As the back end gets it: the service must not judge another path than the one that is served.
    let served = path::normalise(head.path());
    let served = served.as_ref().map_or(head.path(), |path| path.forward.as_bytes());
    let served = [served, head.query()].concat();
    let url = [request.scheme().as_bytes(), b"://", authority, &served].concat();
    let redirect = external.redirect.as_ref().map(|template| text::field_value(template, request));
    edits.set(head, "X-Original-URL", url.into());
    edits.set(head, "X-Original-Method", Bytes::copy_from_slice(head.method.as_str().as_bytes()));
    edits.set(head, SENT_FROM.0, Bytes::from_static(SENT_FROM.1.as_bytes()));
    edits.set(head, "X-Auth-Request-Redirect", redirect.unwrap_or_else(|| target.clone()).into());
    if external.method.is_some() {
        edits.set(head, "X-Original-URI", served.into());
    }
    for (name, template) in &external.sends {
        match text::field_value(template, request) {
            value if value.is_empty() => edits.remove(head, name),
            value => edits.set(head, name.to_string(), value.into()),
        }
    }
    let asked = text::visible(text::expand(&external.target, request));
    let (path, query) = asked.split_at(memchr::memchr(b'?', &asked).unwrap_or(asked.len()));
    let method = match &external.method {
        None => Method::GET,
        Some(AuthMethod::OfClient) => head.method.clone(),
        Some(AuthMethod::Named(name)) => Method::from_bytes(name.as_bytes()).unwrap_or_default(),
    };
    let mut note = Note::new(Instant::now());
    let id = note.id;
    let outgoing = Outgoing {
        head,
        edits: &edits,
        method: &method,
        path,
        query,
        host: external.host.as_bytes(),
        forwarded_host: authority,
        prefix: None,
        request_id: id.octets(Some(head)),
        peer,
        rules: &globals.requests,
        route: Some(&route.rule),
        framing: Framing::None,
        is_http10: false,
        upgrade: None,
        te_trailers: false,
        passed: hops::passed(backend, head),
        // A service that is told of http may redirect to https; ingress-nginx says neither.
        withheld: if external.method.is_some() { &["X-Forwarded-Proto"] } else { &["X-Forwarded-Proto", "X-Scheme"] },
    };
    let mut upload = Upload::new(Framing::None, BodyRules::NONE);
    let reached = attempt::reach(worker, client, route, backend, &outgoing, &mut upload, &mut note).await;
    let answered = match reached {
        Ok(answered) => answered,
        Err(Stop::ClientGone) => return Err(()),
        Err(Stop::Reply(_) | Stop::Upstream(_) | Stop::Cut(_)) => {
            backend.live.asked.failed(Silence::NoAnswer);
            return Err(());
        }
    };
    let word = read(&answered.response, external);
    match word.status {
        200..300 | 401 | 403 => backend.live.asked.answered(),
        status => backend.live.asked.failed(Silence::Status(status)),
    }
    // The answer is in its head.
    respond::discard(worker, answered.upstream, &upload);
    Ok(word)
}

fn read(response: &ResponseHead, external: &External) -> Word {
    let all = |name: &str| {
        let lines = response.fields.iter().filter(|(_, own, _)| own.eq_ignore_ascii_case(name.as_bytes()));
        lines.map(|(field, ..)| Bytes::copy_from_slice(response.fields.value(field))).collect::<SmallVec<[Bytes; 1]>>()
    };
    let joined = |name: &str| {
        let lines = all(name);
        (!lines.is_empty()).then(|| Bytes::from(lines.join(&b", "[..])))
    };
    Word {
        status: response.status,
        challenge: joined("www-authenticate"),
        fields: external.fields.iter().map(|name| joined(name)).collect(),
        cookies: all("set-cookie"),
        is_private: {
            let control = Control::read(&response.fields);
            control.no_store || control.private || control.no_cache
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn word(octets: usize) -> Word {
        let field = Some(Bytes::from(vec![b'x'; octets]));
        let (challenge, cookies) = (None, SmallVec::new());
        Word { status: 200, challenge, fields: [field].into(), cookies, is_private: false }
    }

    #[test]
    fn what_is_remembered_takes_so_much_memory_at_most() {
        let (now, mut words) = (Instant::now(), Words::default());
        for number in 0..4_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            words.insert(key, now + Duration::from_secs(60), word(LONGEST), now);
            words.insert(key, now + Duration::from_secs(60), word(LONGEST), now);
            let held: usize = words.by_key.values().map(|(_, word)| word.octets()).sum();
            assert_eq!(words.octets, held, "{number}");
            assert!(held <= ROOM, "{number}: {held}");
            assert!(words.find(&key, now).is_some());
        }
    }

    #[test]
    fn what_is_too_old_is_no_longer_known_and_makes_room() {
        let (now, mut words) = (Instant::now(), Words::default());
        words.insert([1; 32], now + Duration::from_secs(1), word(ROOM), now);
        let later = now + Duration::from_secs(1);
        assert!(words.find(&[1; 32], now).is_some() && words.find(&[1; 32], later).is_none());
        words.insert([2; 32], later + Duration::from_secs(1), word(1), later);
        assert_eq!((words.by_key.len(), words.octets), (1, 1));
    }
}
