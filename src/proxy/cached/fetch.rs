//! The backend asked for what is to be kept: anew, or whether what is kept still holds.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::fill::{Fill, Rest};
use super::{Ask, Key};
use crate::filter::cache;
use crate::http1::Framing;
use crate::live::{Cache, Lead, Outcome, Stored};
use crate::proxy::attempt::{self, Answered};
use crate::proxy::downstream::Client;
use crate::proxy::forward::Outgoing;
use crate::proxy::note::Note;
use crate::proxy::reply::Stop;
use crate::proxy::respond;
use crate::proxy::upload::{BodyRules, Upload};
use crate::proxy::worker::Worker;

/// What came of asking.
pub(super) enum Fetched {
    /// An answer that is kept, or whose body is on its way into the cache.
    Kept {
        /// The answer.
        stored: Arc<Stored>,
        /// The rest of a body that is too long.
        rest: Option<Rest>,
        /// The sticky cookie.
        cookie: Option<Box<[u8]>>,
        /// Status that the backend gave.
        status: u16,
    },
    /// The backend fails, and what is kept stands in for it.
    StandIn(Arc<Stored>),
    /// An answer that another backend's takes the place of: its status.
    Replaced(u16),
    /// An answer that is not kept.
    Passed(Box<Answered>, Upload),
}

/// How it is asked.
pub(super) struct Errand {
    /// Those who wait for the same.
    pub(super) lead: Option<Lead>,
    /// What is kept and may not be served as it is.
    pub(super) stale: Option<Arc<Stored>>,
    /// The request goes as it is, and what comes is not kept.
    pub(super) as_is: bool,
}

/// Asks the backend.
pub(super) async fn fetch<C: Client>(
    worker: &Rc<Worker>,
    client: &C,
    ask: &Ask<'_>,
    key: &Key,
    errand: Errand,
    note: &mut Note,
) -> Result<Fetched, Stop> {
    let Errand { lead, stale, as_is } = errand;
    let conditions = stale.as_ref().filter(|_| !as_is).map(|stored| cache::conditions(stored)).unwrap_or_default();
    let mut edits = Cow::Borrowed(ask.request.edits);
    if !as_is {
        for name in cache::CONDITIONAL {
            if ask.head().fields.find(name).is_some() {
                edits.to_mut().remove(ask.head(), name);
            }
        }
        for (name, value) in &conditions {
            edits.to_mut().set(ask.head(), *name, value.clone());
        }
    }
    let mut upload = Upload::new(Framing::None, BodyRules::NONE);
    let outgoing = Outgoing { edits: &edits, ..*ask.request };
    let tell = |outcome| {
        if let Some(lead) = &lead {
            lead.tell(outcome);
        }
    };
    let stand_in = || stale.clone().filter(|stored| cache::may_stand_in(&stored.life, worker.clock().now_millis()));
    let answered = match attempt::reach(worker, client, ask.route, ask.backend, &outgoing, &mut upload, note).await {
        Ok(answered) => answered,
        Err(Stop::Upstream(fault)) => {
            tell(Outcome::Failed(fault.status(), fault.failure()));
            return stand_in().map(Fetched::StandIn).ok_or(Stop::Upstream(fault));
        }
        Err(stop) => return Err(stop),
    };
    let now = worker.clock().now_millis();
    let status = answered.response.status;
    let errors = ask.route.rule.filters.errors.as_ref();
    let is_replaced = errors.is_some_and(|errors| errors.replaces(status));
    if as_is && !is_replaced {
        return Ok(Fetched::Passed(Box::new(answered), upload));
    }
    if let Some(stale) = stale.as_ref().filter(|_| status == 304 && !conditions.is_empty()) {
        let stored = Arc::new(cache::refreshed(ask.caching, stale, &answered.response, now));
        if cache::may_refresh(stale, &answered.response) {
            ask.cache.insert(key, ask.place(), Arc::clone(&stored));
            tell(Outcome::Ready(Arc::clone(&stored)));
        } else {
            ask.cache.remove(key);
            tell(Outcome::Alone);
        }
        let cookie = answered.cookie.clone();
        respond::discard(worker, answered.upstream, &upload);
        return Ok(Fetched::Kept { stored, rest: None, cookie, status });
    }
    if matches!(status, 500 | 502..=504)
        && let Some(stored) = stand_in()
    {
        tell(Outcome::Failed(status, crate::telemetry::Failure::UpstreamInvalid));
        respond::discard(worker, answered.upstream, &upload);
        return Ok(Fetched::StandIn(stored));
    }
    if is_replaced {
        // Another backend answers in its place.
        tell(Outcome::Alone);
        respond::discard(worker, answered.upstream, &upload);
        return Ok(Fetched::Replaced(status));
    }
    let mut answered = answered;
    match keep(ask, key, &answered, now) {
        Some(mut fill) => {
            let stored = Arc::clone(&fill.stored);
            if !fill.is_open_ended {
                tell(Outcome::Ready(Arc::clone(&stored)));
            }
            fill.lead = lead;
            let (rest, cookie) = (Rc::clone(&fill.rest), answered.cookie.take());
            tokio::task::spawn_local(fill.run(Rc::clone(worker), answered));
            Ok(Fetched::Kept { stored, rest: Some(rest), cookie, status })
        }
        None => {
            tell(Outcome::Alone);
            if status < 500 && stale.is_some() {
                // What is kept is no longer what the backend says.
                ask.cache.remove(key);
            }
            ask.cache.pass(key, ask.place(), now);
            Ok(Fetched::Passed(Box::new(answered), upload))
        }
    }
}

/// How the answer is kept, if it may be and there is room for it.
fn keep(ask: &Ask<'_>, key: &Key, answered: &Answered, now: u64) -> Option<Fill> {
    let response = &answered.response;
    let plan = cache::keep(ask.caching, &ask.head().fields, response, now)?;
    // What the backend saw of these fields is not what the client sent.
    let request = ask.request;
    let edited = request.edits.added().iter().map(|(name, _)| &**name);
    let set = request.rules.set.as_deref().unwrap_or_default().iter().map(|field| &*field.name);
    let edited: Vec<&str> = edited.chain(set).collect();
    let is_edited = |name: &[u8]| edited.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(name));
    if plan.selecting.iter().any(|(name, _)| is_edited(name)) {
        return None;
    }
    let length = match response.framing {
        Framing::None => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::UntilClose => None,
    };
    let cache: &Arc<Cache> = ask.cache;
    let most = ask.caching.max_object.min(cache.largest());
    let known = length.unwrap_or(0);
    let reserved = if known <= most { cache.reserve(known)? } else { return None };
    let place = ask.place();
    Some(Fill {
        cache: Arc::clone(cache),
        key: key.as_slice().into(),
        host: place.host.into(),
        path: place.path.into(),
        stored: Arc::new(plan.store(response, Arc::default())),
        reserved,
        most,
        is_open_ended: length.is_none(),
        lead: None,
        gap: ask.route.rule.policy.timeouts.read,
        rest: Rest::default(),
    })
}
