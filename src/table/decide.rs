//! What becomes of a request before any back end is asked: every step in the one order that the proxy and `explain` use.

use super::paths::Silent;
use super::{BackendRef, Route, RouteRef, RoutingTable, Target};
use crate::filter;
use crate::http1::Framing;
use crate::ir;
use crate::uri::path::RoutingPath;
use crate::uri::{Fault, host, path};

/// Where a request goes.
pub enum Decision<'t, 'r> {
    /// The proxy says how it is: `/healthz` on a host that nobody owns.
    Health,
    /// A list that holds for every host names it.
    Blocked(filter::Reply),
    /// 400: the path is none.
    BadPath(Fault),
    /// 404: no rule for the host, or none for this path of it.
    NoRoute(RoutingPath<'r>),
    /// The host answers, whatever its paths.
    Redirected(RoutingPath<'r>, filter::Reply),
    /// A route takes it.
    Routed {
        /// Where the route stands.
        at: RouteRef,
        /// The route.
        route: &'t Route,
        /// The path in its two forms.
        path: RoutingPath<'r>,
        /// What the route does with it.
        outcome: Outcome<'t>,
    },
}

/// What a route does with a request.
pub enum Outcome<'t> {
    /// 413: the body is longer than the route takes.
    TooLarge,
    /// 503, with the reason why the route is closed.
    Closed(ir::Reason),
    /// A filter answers.
    Replied(filter::Reply),
    /// Endpoints of a Service port answer.
    Backend {
        /// The Service port.
        backend: &'t BackendRef,
        /// What goes there in place of path and query.
        rewritten: Option<Box<filter::Rewritten>>,
    },
    /// 404: the root that a host has without a rule of its own.
    NotFound,
}

/// Decides about one request. Runs on every request: it allocates only for a host or a path that must be rewritten, and
/// for an answer of a filter.
pub fn decide<'t, 'r>(table: &'t RoutingTable, request: &filter::Request<'r>) -> Decision<'t, 'r> {
    let host = host::lookup(request.host());
    if request.path() == b"/healthz" && !table.owns_host(&host) {
        return Decision::Health;
    }
    if let Some(blocked) = &table.globals().blocked
        && let Some(reply) = filter::blocked(blocked, request)
    {
        return Decision::Blocked(reply);
    }
    let raw = match request.path() {
        // `OPTIONS *` is about the server as a whole (RFC 9110 9.3.7): the one behind the root answers it.
        b"*" => b"/",
        raw => raw,
    };
    let path = match path::normalise(raw) {
        Ok(path) => path,
        Err(fault) => return Decision::BadPath(fault),
    };
    let Some((place, found)) = table.host(&host) else { return Decision::NoRoute(path) };
    if let Some(redirect) = &found.redirect
        && let Some(reply) = filter::at_host(redirect, request, &path)
    {
        return Decision::Redirected(path, reply);
    }
    let Some(route) = found.paths.find(&path.matching, &mut Silent) else { return Decision::NoRoute(path) };
    let at = RouteRef { host: place, route };
    let route = table.route(at);
    let outcome = outcome(route, request, &path);
    Decision::Routed { at, route, path, outcome }
}

fn outcome<'t>(route: &'t Route, request: &filter::Request<'_>, path: &RoutingPath<'_>) -> Outcome<'t> {
    let limit = route.body_limit();
    if limit != 0 && matches!(request.head.framing, Framing::Length(length) if length > limit) {
        return Outcome::TooLarge;
    }
    if let Target::Closed(reason) = route.target {
        return Outcome::Closed(reason);
    }
    let found = filter::Found { path, rule: &route.rule.path };
    let rewritten = match filter::before(&route.rule.filters, request, found) {
        Ok(rewritten) => rewritten,
        Err(reply) => return Outcome::Replied(reply),
    };
    match &route.target {
        Target::Backend(backend) => Outcome::Backend { backend, rewritten },
        Target::Closed(_) | Target::NotFound => Outcome::NotFound,
    }
}
