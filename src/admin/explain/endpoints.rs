//! Which endpoints may get a request, and why the others may not.

use std::time::Instant;

use super::MOST_LOST;
use crate::admin::shape::Explanation;
use crate::live::standing::UNHEALTHY;
use crate::live::{EndpointSet, Standing};
use crate::proxy::balance::{judged, minded};
use crate::table::BackendRef;

/// Tells it of `set`, whose endpoints the story shows already.
pub(super) fn tell(story: &mut Explanation, backend: &BackendRef, set: &EndpointSet) {
    let balancing = &backend.settings.balancing;
    let judged = judged(balancing);
    let now = backend.live.micros(Instant::now());
    // The endpoints of the story stand in the same order.
    let (candidates, rest) = story.endpoints.split_at(set.candidates.len().min(story.endpoints.len()));
    let (mut open, mut others) = (Vec::new(), Vec::new());
    let minded = minded(balancing, set);
    for (cell, shown) in set.candidates.iter().zip(candidates) {
        let address = shown.address.as_str();
        let history = cell.history();
        let why = history.as_ref().map_or("no reason is known", |history| &*history.reason);
        match cell.standing_by(minded) {
            Standing::Ready => open.push(address),
            _ if cell.is_open(minded, || now) => {
                others.push(format!("{address} gets one request to see whether it is still {}: {why}", shown.state));
            }
            _ => others.push(format!("not {address}, {}: {why}", shown.state)),
        }
    }
    others.extend(rest.iter().zip(0..).map(|(shown, place)| {
        let why = if place < set.elsewhere.len() { "in another zone" } else { &shown.state };
        format!("not {}, {why}", shown.address)
    }));
    others.extend(set.unready().iter().map(|unready| format!("not {}, {}", unready.address, unready.why())));
    let mut texts = vec![match open.as_slice() {
        [] if set.candidates.is_empty() => "none is ready".to_owned(),
        [] => "none is in use".to_owned(),
        [only] => (*only).to_owned(),
        several => format!("one of {}", several.join(", ")),
    }];
    if set.is_last_resort {
        texts.push("no endpoint is ready, so those are used that still serve".to_owned());
    }
    if minded != judged && set.aside(judged) > 0 {
        let which = match minded {
            _ if set.aside(minded) == 0 => "all of them",
            UNHEALTHY => "those too that only failed requests set aside",
            _ => "those too that only checks set aside",
        };
        let (in_use, all) = (set.candidates.len().saturating_sub(set.aside(judged)), set.candidates.len());
        let threshold = balancing.panic_threshold;
        texts.push(match in_use {
            0 => format!("{which}: the {all} are set aside, and to try one is better than to answer 503"),
            _ => {
                format!("{which}: only {in_use} of {all} are in use, fewer than the panic-threshold of {threshold} %")
            }
        });
    }
    let more = others.len().saturating_sub(MOST_LOST);
    texts.extend(others.into_iter().take(MOST_LOST));
    if more > 0 {
        texts.push(format!("nor {more} more"));
    }
    texts.into_iter().for_each(|text| super::tell(story, "endpoint", text));
}
