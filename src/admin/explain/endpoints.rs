//! Which endpoints may get a request, and why the others may not.

use std::sync::Arc;
use std::time::Instant;

use super::MOST_LOST;
use crate::admin::{shape, state};
use crate::ir::Balancing;
use crate::live::standing::UNHEALTHY;
use crate::live::{EndpointSet, Key, Standing};
use crate::proxy::balance::{judged, minded};
use crate::table::BackendRef;

/// What there is to say of the endpoints of a backend, `set`, that are shown as `shown`. `pinned`: what the request's cookie
/// names.
pub(super) fn tell(
    backend: &BackendRef,
    set: &EndpointSet,
    shown: &[shape::Endpoint],
    pinned: Option<Key>,
) -> Vec<String> {
    let balancing = &*backend.settings.balancing;
    let (judged, minded) = (judged(balancing), minded(balancing, set));
    let now = backend.live.micros(Instant::now());
    let named = pinned.map(|key| set.keyed(&key));
    // As the pick does: what drains, and what is in another zone, is not among the candidates that all have to serve.
    let is_served = |is_candidate: bool| if is_candidate { minded } else { judged };
    let server = named.flatten().filter(|(cell, is_candidate)| cell.is_open(is_served(*is_candidate), || now));
    let (mut open, mut failing, mut others) = (Vec::new(), Vec::new(), Vec::new());
    // The endpoints of the story stand in the same order.
    for ((place, cell), shown) in set.iter().enumerate().zip(shown) {
        let is_server = server.is_some_and(|(server, _)| Arc::ptr_eq(server, cell));
        let (address, word) = (&shown.address, &shown.state);
        let Some(rest) = place.checked_sub(set.candidates.len()) else {
            let history = cell.history();
            let why = history.as_ref().map_or("no reason is known", |history| &*history.reason);
            match cell.standing_by(minded) {
                Standing::Ready => {
                    if !is_server {
                        open.push(address.as_str());
                    }
                    if cell.standing_by(judged) != Standing::Ready {
                        failing.push(format!("{address} is {word}: {why}"));
                    } else if let Some((_, why)) = state::failing(balancing, cell) {
                        failing.push(format!("{address} fails: {why}, and no more may be ejected"));
                    }
                }
                _ if cell.is_open(minded, || now) => {
                    others.push(format!("{address} gets one request to see whether it is still {word}: {why}"));
                }
                _ => others.push(format!("not {address}, {word}: {why}")),
            }
            continue;
        };
        if !is_server {
            let why = if rest < set.elsewhere.len() { "in another zone" } else { word };
            others.push(format!("not {address}, {why}"));
        }
    }
    others.extend(set.unready().iter().map(|unready| format!("not {}, {}", unready.address, unready.why())));
    let mut texts = Vec::new();
    texts.extend(named.map(|named| match (named, server) {
        (Some((cell, _)), Some(_)) => format!("the cookie names {}, which gets it", cell.address),
        (Some((cell, _)), None) => format!("the cookie names {}", cell.address),
        (None, _) => "the cookie names an endpoint that is gone".to_owned(),
    }));
    let without = if server.is_some() { "without the cookie " } else { "" };
    match open.as_slice() {
        [] if server.is_some() => {}
        [] if set.candidates.is_empty() => texts.push("none is ready".to_owned()),
        [] => texts.push("none is in use".to_owned()),
        [only] => texts.push(format!("{without}{only}")),
        several => texts.push(format!("{without}one of {}", several.join(", "))),
    }
    if set.is_last_resort {
        texts.push("no endpoint is ready, so those are used that still serve".to_owned());
    }
    texts.extend(panic(balancing, set));
    for (list, rest) in [(failing, "so are"), (others, "nor")] {
        let more = list.len().saturating_sub(MOST_LOST);
        texts.extend(list.into_iter().take(MOST_LOST));
        if more > 0 {
            texts.push(format!("{rest} {more} more"));
        }
    }
    texts
}

/// Why those are used that are set aside, if they are.
fn panic(balancing: &Balancing, set: &EndpointSet) -> Option<String> {
    let (judged, minded) = (judged(balancing), minded(balancing, set));
    if minded == judged || set.aside(judged) == 0 {
        return None;
    }
    let (in_use, all) = (set.candidates.len().saturating_sub(set.aside(judged)), set.candidates.len());
    let which = match minded {
        _ if set.aside(minded) == 0 => "all of them are used all the same",
        UNHEALTHY => "those too are used all the same that only failed requests set aside",
        _ => "those too are used all the same that only checks set aside",
    };
    let threshold = balancing.panic_threshold;
    Some(match in_use {
        0 => format!("every endpoint fails; {which}, since to try one is better than to answer 503"),
        _ => format!("{which}: only {in_use} of {all} work, fewer than the panic-threshold of {threshold} %"),
    })
}
