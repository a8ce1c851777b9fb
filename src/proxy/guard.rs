//! Who comes in: limits first, then addresses, passwords and whom else is to be asked.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use super::edits::Edits;
use super::passwords;
use super::reply::{Reply, Stop};
use super::worker::Worker;
use crate::filter::{Request, admits, text};
use crate::ir::{Access, LimitBy, RateLimits};
use crate::live::limits::{Held, Per, Rate, Verdict};
use crate::settings::Limit;
use crate::table::Route;
use crate::telemetry::Failure;

/// A request that may go on.
#[derive(Debug, Default)]
pub struct Admitted {
    /// Counts it among those under way.
    pub held: Option<Held>,
    /// What is changed in it.
    pub edits: Edits,
}

/// Lets the request in, or says what it gets instead.
pub async fn admit(worker: &Rc<Worker>, request: &Request<'_>, route: &Route) -> Result<Admitted, Stop> {
    let filters = &route.rule.filters;
    let mut admitted = Admitted::default();
    if let Some(limits) = &filters.limits {
        admitted.held = limited(worker, request, route, limits)?;
    }
    if let Some(access) = &filters.access {
        judge(worker, request, access, &mut admitted.edits).await?;
    }
    Ok(admitted)
}

fn limited(worker: &Worker, request: &Request<'_>, route: &Route, limits: &RateLimits) -> Result<Option<Held>, Stop> {
    let Some(cells) = &route.limits else { return Ok(None) };
    if limits.exempt.as_ref().is_some_and(|exempt| exempt.contains(request.client)) {
        return Ok(None);
    }
    let key = match &limits.by {
        LimitBy::Client => {
            let mut key = 0;
            text::client(request.client, |octets| key = cells.key(octets));
            key
        }
        LimitBy::Route => 1,
        LimitBy::Text(template) => cells.key(&text::expand(template, request)),
    };
    let room = worker.limits().limit_keys;
    let held = match limits.at_once {
        None => None,
        Some(most) => Some(cells.begin(key, most, room).ok_or_else(|| at_once(limits, most))?),
    };
    if held.as_ref().is_some_and(|held| !held.is_counted()) {
        worker.metrics().limit_hit(Limit::limit_keys);
    }
    let now = Instant::now();
    let mut taken = None;
    for (per, count, seconds) in [(Per::Minute, limits.per_minute, 60), (Per::Second, limits.per_second, 1)] {
        let Some(count) = count else { continue };
        let every = std::time::Duration::from_secs(seconds) / count.max(1);
        let rate = Rate { every, burst: count.saturating_mul(limits.burst) };
        match cells.take(per, key, rate, room, now) {
            Verdict::Passed { .. } => taken = Some((per, rate)),
            Verdict::Full => worker.metrics().limit_hit(Limit::limit_keys),
            Verdict::Exceeded(wait) => {
                if let Some((per, rate)) = taken {
                    cells.give_back(per, key, rate, now);
                }
                let wait = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let mut reply = Reply::failed(limits.rate_status, Failure::LimitRate);
                reply.fields.push(("Retry-After", wait.to_string().into()));
                let policy = format!("\"ingress\";q={};w={seconds}", u64::from(count) + u64::from(rate.burst));
                reply.fields.push(("RateLimit-Policy", policy.into()));
                reply.fields.push(("RateLimit", format!("\"ingress\";r=0;t={wait}").into()));
                return Err(reply.into());
            }
        }
    }
    Ok(held)
}

/// Over the limit of requests at once. When one of them ends nobody knows; most take less than a second.
fn at_once(limits: &RateLimits, most: u32) -> Reply {
    let mut reply = Reply::failed(limits.at_once_status, Failure::LimitConnections);
    reply.fields.push(("Retry-After", Bytes::from_static(b"1")));
    reply.fields.push(("RateLimit-Policy", format!("\"ingress\";q={most};qu=\"concurrent-requests\"").into()));
    reply
}

/// All rules must let the request in, or with `satisfy: any` one.
async fn judge(worker: &Rc<Worker>, request: &Request<'_>, access: &Access, edits: &mut Edits) -> Result<(), Stop> {
    let has_lists = access.denied.is_some() || access.allowed.is_some();
    if has_lists {
        match admits(access, request.client) {
            Ok(()) if access.any => return pass(request, access, edits),
            Ok(()) => {}
            Err(_) if access.any && access.basic.is_some() => {}
            Err(_) => return Err(Reply::failed(403, Failure::Denied).into()),
        }
    }
    if let Some(basic) = &access.basic
        && !passwords::is_known(worker, basic, request.head).await
    {
        let mut reply = Reply::failed(401, Failure::AuthFailed);
        reply.fields.push(("WWW-Authenticate", Bytes::copy_from_slice(basic.challenge.as_bytes())));
        return Err(reply.into());
    }
    pass(request, access, edits)
}

/// What is changed in a request that comes in: a password is not the back end's business.
fn pass(request: &Request<'_>, access: &Access, edits: &mut Edits) -> Result<(), Stop> {
    if access.basic.is_some() {
        edits.remove(request.head, "Authorization");
    }
    Ok(())
}
