//! The real match with a recorder: why a request goes where it goes.

use super::paths::{Slots, Walk};
use super::{Host, RouteRef, RoutingTable};
use crate::ir::{HostPattern, PathKind, Target};

/// One stage of a decision and what was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `listener`, `host`, `path`, a filter, `backend`, `endpoint`.
    pub stage: &'static str,
    /// What was decided, as a sentence part.
    pub text: String,
}

/// A route of the same host that did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The route.
    pub route: RouteRef,
    /// Why not: `shorter prefix`.
    pub why: String,
}

/// The answer to "why does this request go there".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The route that answers.
    pub route: Option<RouteRef>,
    /// Decisions in order.
    pub steps: Vec<Step>,
    /// Candidates that lost: those that match, nearest first, then the others in order of precedence.
    pub lost: Vec<Lost>,
}

/// Matches `host` and `path` as [`RoutingTable::find`] does, with every decision written down.
pub fn explain(table: &RoutingTable, host: &str, path: &str) -> Trace {
    let mut passed = Passed { routes: Vec::new() };
    let route = table.walk(host, path, &mut passed);
    let Some((place, found)) = table.host(host) else {
        let text = format!("no rule for host {host}, and none without a host");
        return Trace { route, steps: vec![Step { stage: "host", text }], lost: Vec::new() };
    };
    let steps = vec![
        Step { stage: "host", text: host_text(table, found, host) },
        Step { stage: "path", text: path_text(found, route, path) },
    ];
    Trace { route, steps, lost: lost(found, place, route, &passed.routes) }
}

/// The prefix routes that the walk passed, shortest first.
struct Passed {
    routes: Vec<u32>,
}

impl Walk for Passed {
    fn passes(&mut self, prefixes: Slots) {
        self.routes.extend(prefixes.slashed());
        self.routes.extend(prefixes.bare());
    }
}

fn host_text(table: &RoutingTable, found: &Host, host: &str) -> String {
    let mut text = match &found.pattern {
        HostPattern::Exact(_) => format!("{host} has rules of its own"),
        HostPattern::Wildcard(_) => format!("{host} is one label under {}", found.pattern),
        HostPattern::Any => format!("no rule for host {host}; rules without a host answer"),
    };
    let wildcard = table.names.wildcard(host).filter(|_| matches!(found.pattern, HostPattern::Exact(_)));
    if let Some(other) = wildcard.and_then(|&other| table.hosts.get(other as usize)) {
        text.push_str(&format!(", so those of {} are not asked", other.pattern));
    }
    text
}

fn path_text(found: &Host, route: Option<RouteRef>, path: &str) -> String {
    let Some(route) = route.and_then(|at| found.routes.get(at.route as usize)) else {
        return format!("no path of {} takes {path}", found.pattern);
    };
    let rule = &route.rule;
    match (rule.path.kind, rule.implicit, &rule.target) {
        (_, true, Target::NotFound) => format!("no path of {} takes {path}", found.pattern),
        (_, true, _) => format!("no path of {} takes {path}; the default backend does", found.pattern),
        (PathKind::Exact, ..) => format!("{} is {path}", rule.path),
        (PathKind::Prefix, ..) => format!("{} is the longest prefix of {path}", rule.path),
    }
}

fn lost(found: &Host, host: u32, winner: Option<RouteRef>, passed: &[u32]) -> Vec<Lost> {
    let winner = winner.map(|at| at.route);
    let winner_path = winner.and_then(|at| found.routes.get(at as usize)).map(|route| &route.rule.path);
    let matching = passed.iter().rev().copied();
    let others = (0..found.routes.len() as u32).filter(|place| !passed.contains(place));
    let mut lost = Vec::new();
    for place in matching.chain(others).filter(|&place| Some(place) != winner) {
        let Some(route) = found.routes.get(place as usize) else { continue };
        let path = &route.rule.path;
        let why = match (path.kind, winner_path) {
            (PathKind::Exact, _) => "exact path differs",
            (PathKind::Prefix, Some(winner)) if passed.contains(&place) => {
                if winner.kind == PathKind::Exact {
                    "an exact path comes before a prefix"
                } else if winner.path.trim_end_matches('/') == path.path.trim_end_matches('/') {
                    "trailing slash differs"
                } else {
                    "shorter prefix"
                }
            }
            (PathKind::Prefix, _) => "prefix of other segments",
        };
        lost.push(Lost { route: RouteRef { host, route: place }, why: why.to_owned() });
    }
    lost
}
