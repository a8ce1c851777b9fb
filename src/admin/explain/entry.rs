//! Who comes in: what the proxy's guard comes to, as far as that is certain without asking anybody.

use crate::filter::{ByAddress, Request, by_address};
use crate::ir::{Access, LimitBy, RateLimits};
use crate::proxy::rehearsal;
use crate::table::Route;

/// What the guard of a route says of a request.
pub(super) struct Entry {
    /// What is looked at, in order, as sentence parts.
    pub(super) told: Vec<String>,
    /// The status that ends the request, and whether that is a redirect.
    pub(super) ends: Option<(u16, bool)>,
}

/// Judges as `proxy::guard` does. Passwords are not compared and services not asked: both are taken to say yes. What
/// clients used of limits is not known.
pub(super) fn judge(route: &Route, request: &Request<'_>) -> Entry {
    let filters = &route.rule.filters;
    let mut entry = Entry { told: Vec::new(), ends: None };
    if let Some(limits) = &filters.limits {
        entry.told.push(limited(limits, request));
    }
    if let Some(access) = &filters.access {
        entry.ends = admitted(access, request, &mut entry.told);
    }
    entry
}

fn limited(limits: &RateLimits, request: &Request<'_>) -> String {
    let client = request.client_text;
    if limits.exempt.as_ref().is_some_and(|exempt| exempt.contains(request.client)) {
        return format!("{client} is exempt from limits");
    }
    let rate = |count: Option<u32>, unit| count.map(|count| format!("{count} {unit}"));
    let rates =
        [rate(limits.per_second, "a second"), rate(limits.per_minute, "a minute"), rate(limits.at_once, "at once")];
    let who = match &limits.by {
        LimitBy::Client => "a client",
        LimitBy::Route => "all together",
        LimitBy::Text(_) => "who has the same text of limit-by",
    };
    format!("count the request: {who} may make {}", rates.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn admitted(access: &Access, request: &Request<'_>, told: &mut Vec<String>) -> Option<(u16, bool)> {
    let client = request.client_text;
    match by_address(access, request.client) {
        ByAddress::Admitted => {
            told.push(format!("let {client} in by its address, which is enough (satisfy: any)"));
            return None;
        }
        ByAddress::Refused => {
            let is_denied = access.denied.as_ref().is_some_and(|denied| denied.contains(request.client));
            let why = if is_denied { "is in denylist-source-range" } else { "is not in allowlist-source-range" };
            told.push(format!("answer 403: {client} {why}"));
            return Some((403, false));
        }
        ByAddress::Open if access.denied.is_some() || access.allowed.is_some() => {
            told.push(match access.any {
                true => format!("{client} does not come in by its address"),
                false => format!("let {client} on by its address"),
            });
        }
        ByAddress::Open => {}
    }
    let mut is_refused = false;
    if let Some(basic) = &access.basic {
        match rehearsal::user(basic, request.head) {
            Some(user) => {
                told.push(format!("let the user {user:?} in if the password is right, which is not looked at here"));
                if access.any {
                    return None;
                }
            }
            None => {
                told.push("ask for a password: the request has no user that is known".to_owned());
                is_refused = true;
            }
        }
    }
    if let Some(external) = access.external.as_ref().filter(|_| !is_refused || access.any) {
        told.push(format!("ask {}, which is taken to say yes here", external.backend));
        is_refused = false;
    }
    if !is_refused {
        return None;
    }
    let location = access.sign_in.as_ref().map(|sign_in| rehearsal::sign_in(sign_in, request));
    told.push(match &location {
        Some(location) => format!("answer 302 to {location}"),
        None => "answer 401".to_owned(),
    });
    Some(if location.is_some() { (302, true) } else { (401, false) })
}
