//! How endpoints stand, in the words that the API, the metrics and `explain` share.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::ir::Balancing;
use crate::live::{Backend, Endpoint, EndpointSet, FULL, Standing};
use crate::proxy::balance::judged;

/// What becomes of requests at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It gets its share.
    Ready,
    /// It is in use, but new: its weight still grows, or it was not checked yet.
    Starting,
    /// It terminates: nothing new.
    Draining,
    /// Set aside since checks fail.
    Unhealthy,
    /// Set aside since requests failed.
    Ejected,
}

impl State {
    /// All, in the order of the metric.
    pub const ALL: [State; 5] = [State::Ready, State::Starting, State::Draining, State::Unhealthy, State::Ejected];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Starting => "starting",
            State::Draining => "draining",
            State::Unhealthy => "unhealthy",
            State::Ejected => "ejected",
        }
    }
}

/// The state of a candidate of `backend` where `balancing` holds.
pub(super) fn of_candidate(balancing: &Balancing, backend: &Backend, endpoint: &Endpoint) -> State {
    match endpoint.standing_by(judged(balancing)) {
        Standing::Ejected => State::Ejected,
        Standing::Unhealthy => State::Unhealthy,
        Standing::Ready | Standing::Failing
            if is_unchecked(balancing, backend, endpoint) || percent(endpoint) < 100 =>
        {
            State::Starting
        }
        Standing::Ready | Standing::Failing => State::Ready,
    }
}

/// The same for an endpoint in another zone, while requests stay in ours. An ejection whose time is over ends there with the
/// next request that comes, and so long nothing is wrong.
pub(super) fn of_elsewhere(balancing: &Balancing, backend: &Backend, endpoint: &Endpoint) -> State {
    let is_open = || endpoint.is_open(judged(balancing), || backend.micros(Instant::now()));
    match of_candidate(balancing, backend, endpoint) {
        State::Ejected if is_open() => State::Ready,
        state => state,
    }
}

/// Why it is in that state, when there is more to say, and whether it gets requests all the same. `minded`: the bits that
/// requests mind.
pub(super) fn reason(
    state: State,
    balancing: &Balancing,
    backend: &Backend,
    minded: u32,
    endpoint: &Endpoint,
) -> Option<String> {
    let fails =
        failing(balancing, endpoint).map(|(_, why)| format!("{why}; used all the same, since no more may be ejected"));
    match state {
        State::Draining => Some("terminating".to_owned()),
        State::Ready | State::Starting if fails.is_some() => fails,
        State::Ready => None,
        State::Ejected | State::Unhealthy => endpoint.history().map(|history| {
            let is_tried = endpoint.is_open(minded, || backend.micros(Instant::now()));
            let more = match endpoint.standing_by(minded) {
                Standing::Ready => "; used all the same, since too few are in use",
                _ if is_tried => "; the next request tries it",
                _ => "",
            };
            format!("{}{more}", history.reason)
        }),
        State::Starting if is_unchecked(balancing, backend, endpoint) => Some("not checked yet".to_owned()),
        State::Starting => Some(format!("weight at {} %", percent(endpoint))),
    }
}

/// The same where no endpoint is ready, and those get requests that still serve. `reason` is what there is to say besides.
pub(super) fn reason_as_last_resort(state: State, reason: Option<String>) -> Option<String> {
    match state {
        // It may get none, and for that there is a reason.
        State::Draining | State::Ejected | State::Unhealthy => reason,
        State::Ready | State::Starting => {
            Some(reason.map_or(String::new(), |reason| reason + "; ") + "not ready, used since no endpoint is")
        }
    }
}

/// The same for an endpoint in another zone, while requests stay in ours: nothing of what becomes of them.
pub(super) fn reason_elsewhere(state: State, balancing: &Balancing, backend: &Backend, endpoint: &Endpoint) -> String {
    let reason = match state {
        State::Ejected | State::Unhealthy => endpoint.history().map(|history| history.reason.to_string()),
        _ => reason(state, balancing, backend, 0, endpoint),
    };
    reason.map_or(String::new(), |reason| reason + "; ") + "in another zone"
}

/// Since when an endpoint of `set` is in that state.
pub(super) fn since(
    state: State,
    balancing: &Balancing,
    backend: &Backend,
    set: &EndpointSet,
    endpoint: &Endpoint,
) -> Option<Instant> {
    let changed = || endpoint.history().map(|history| history.since);
    let came = backend.came(endpoint);
    if let (State::Ready | State::Starting, Some((since, _))) = (state, failing(balancing, endpoint)) {
        return Some(since);
    }
    match state {
        State::Draining => backend.drains_since(set, endpoint),
        State::Ejected | State::Unhealthy => changed(),
        State::Ready | State::Starting => Some(match (endpoint.standing(), endpoint.standing_by(judged(balancing))) {
            (Standing::Ready, _) => changed().map_or(came, |changed| changed.max(came)),
            // In another zone, where nobody comes by and ends it.
            (_, Standing::Ejected) => backend.ejected_until(endpoint),
            // What set it aside does not count as it is judged now.
            _ => came,
        }),
    }
}

/// Since when and why requests fail at an endpoint in use.
pub(super) fn failing(balancing: &Balancing, endpoint: &Endpoint) -> Option<(Instant, Arc<str>)> {
    balancing.passive.as_ref().and_then(|_| endpoint.failing())
}

fn is_unchecked(balancing: &Balancing, backend: &Backend, endpoint: &Endpoint) -> bool {
    balancing.active.is_some() && backend.last_check(endpoint).is_none()
}

/// How much of its weight counts now.
fn percent(endpoint: &Endpoint) -> u32 {
    let full = u64::from(endpoint.base()) * u64::from(FULL);
    u32::try_from(u64::from(endpoint.weight.load(Ordering::Relaxed)) * 100 / full.max(1)).unwrap_or(100)
}
