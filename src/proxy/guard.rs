//! Who comes in: limits first, then addresses, passwords and whom else is to be asked.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::client_auth::Told;
use super::downstream::{Client, Peer};
use super::edits::Edits;
use super::reply::{Reply, Stop};
use super::worker::Worker;
use super::{external, passwords};
use crate::filter::{ByAddress, Request, by_address, text};
use crate::ir::{Access, Globals, LimitBy, RateLimits};
use crate::live::Limits;
use crate::live::limits::{Held, Per, Rate, Verdict, share};
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

/// Who asks to come in, and where.
pub struct Asker<'a, C> {
    /// The worker that serves it.
    pub worker: &'a Rc<Worker>,
    /// Its connection.
    pub client: &'a C,
    /// Who it is, by the word of proxies that are believed.
    pub peer: &'a Peer,
    /// What holds for all requests.
    pub globals: &'a Globals,
    /// The request.
    pub request: &'a Request<'a>,
    /// The route.
    pub route: &'a Route,
    /// What is told of the client's certificate.
    pub told: &'a Told,
}

/// Lets the request in, or says what it gets instead.
pub async fn admit<C: Client>(asker: &Asker<'_, C>) -> Result<Admitted, Stop> {
    let filters = &asker.route.rule.filters;
    let mut admitted = Admitted::default();
    if let Some(limits) = &filters.limits {
        admitted.held = limited(asker, limits)?;
    }
    if let Some(access) = &filters.access {
        judge(asker, access, &mut admitted.edits).await?;
    }
    Ok(admitted)
}

fn limited<C: Client>(asker: &Asker<'_, C>, limits: &RateLimits) -> Result<Option<Held>, Stop> {
    let Asker { worker, request, route, .. } = *asker;
    let Some(cells) = route.aside.as_ref().and_then(|aside| aside.limits.as_ref()) else { return Ok(None) };
    if limits.exempt.as_ref().is_some_and(|exempt| exempt.contains(request.client)) {
        return Ok(None);
    }
    let room = worker.limits().limit_keys;
    if let Some(most) = limits.connections {
        seated(asker, cells, most)?;
    }
    let replicas = if limits.is_shared { cells.replicas() } else { 1 };
    let key = match &limits.by {
        LimitBy::Client => key_of(cells, request.client),
        LimitBy::Route => 1,
        LimitBy::Text(template) => cells.key(&text::expand(template, request)),
    };
    let held = match limits.at_once.map(|most| share(most, replicas)) {
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
        let rate = Rate::shared(count, Duration::from_secs(seconds), limits.burst, replicas);
        let count = share(count, replicas);
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

fn key_of(cells: &Limits, client: IpAddr) -> u64 {
    let mut key = 0;
    text::client(client, |octets| key = cells.key(octets));
    key
}

/// Counts the connection among those of its client. One of a proxy that speaks for others is nobody's.
fn seated<C: Client>(asker: &Asker<'_, C>, cells: &Arc<Limits>, most: u32) -> Result<(), Stop> {
    let Asker { worker, client, request, .. } = *asker;
    let peer = client.peer();
    if peer.client() != request.client {
        return Ok(());
    }
    let room = worker.limits().limit_keys;
    match peer.seats.take(cells, key_of(cells, request.client), most, room) {
        Ok(true) => Ok(()),
        Ok(false) => {
            worker.metrics().limit_hit(Limit::limit_keys);
            Ok(())
        }
        Err(()) => {
            let reply = Reply::failed(503, Failure::LimitConnections);
            Err(Reply { limit: Some(Limit::connections_per_client), closes: true, ..reply }.into())
        }
    }
}

/// Over the limit of requests at once. When one of them ends nobody knows; most take less than a second.
fn at_once(limits: &RateLimits, most: u32) -> Reply {
    let mut reply = Reply::failed(limits.at_once_status, Failure::LimitConnections);
    reply.fields.push(("Retry-After", Bytes::from_static(b"1")));
    reply.fields.push(("RateLimit-Policy", format!("\"ingress\";q={most};qu=\"concurrent-requests\"").into()));
    reply
}

/// All rules must let the request in, or with `satisfy: any` one.
async fn judge<C: Client>(asker: &Asker<'_, C>, access: &Access, edits: &mut Edits) -> Result<(), Stop> {
    let Asker { worker, client, request, route, .. } = *asker;
    edits.withhold(access, request.head);
    match by_address(access, request.client) {
        ByAddress::Admitted => return Ok(()),
        ByAddress::Open => {}
        ByAddress::Refused => return Err(Reply::failed(403, Failure::Denied).into()),
    }
    let mut refused = None;
    if let Some(basic) = &access.basic {
        let ingress = &route.rule.origin.object.name;
        if passwords::is_known(worker, client, ingress, basic, request.head).await? {
            if access.any {
                return Ok(());
            }
        } else {
            let mut reply = Reply::failed(401, Failure::AuthFailed);
            reply.fields.push(("WWW-Authenticate", Bytes::copy_from_slice(basic.challenge.as_bytes())));
            refused = Some(reply);
        }
    }
    if let Some(external) = access.external.as_ref().filter(|_| refused.is_none() || access.any) {
        refused = match external::ask(asker, external, edits).await {
            Ok(()) if access.any => return Ok(()),
            Ok(()) => refused,
            Err(reply) => Some(reply),
        };
    }
    match (refused, &access.sign_in) {
        (None, _) => Ok(()),
        (Some(reply), Some(sign_in)) if reply.status == 401 => Err(external::sign_in(sign_in, request, reply).into()),
        (Some(mut reply), _) => {
            // Who is sent to sign in has them; errors have them only if that is asked for, as those of back ends.
            if !access.external.as_ref().is_some_and(|external| external.always_cookies) {
                reply.fields.retain(|(name, _)| *name != "Set-Cookie");
            }
            Err(reply.into())
        }
    }
}
