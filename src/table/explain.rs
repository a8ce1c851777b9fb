//! The real match with a recorder: why a request goes where it goes.

use super::paths::{Slots, Walk};
use super::{Host, RouteRef, RoutingTable};
use crate::ir::{HostPattern, HostRedirect, PathKind, Route as Rule, Target};

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
        let text = format!("no rule for host {host}, and none without a host{}", missed_text(table, host));
        return Trace { route, steps: vec![Step { stage: "host", text }], lost: Vec::new() };
    };
    let steps = vec![
        Step { stage: "host", text: host_text(table, found, host) },
        Step { stage: "path", text: path_text(found, route, path) },
    ];
    if passed.routes.is_empty() {
        // Of regular expressions the walk passes those only that come before the one which answers.
        let is_other = |rule: &Rule| matches!(rule.path.kind, PathKind::Regex(_)) && rule.path.matches(path);
        let others = (0..found.routes.len() as u32).zip(&found.routes).rev().filter(|(_, route)| is_other(&route.rule));
        passed.routes.extend(others.map(|(place, _)| place));
    }
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
        pattern if !pattern.matches(host) => format!("{host} is a further name of {pattern}"),
        HostPattern::Exact(_) if matches!(found.redirect.as_deref(), Some(HostRedirect::Moved { .. })) => {
            format!("{host} is only there to redirect")
        }
        HostPattern::Exact(_) => format!("{host} has rules of its own"),
        HostPattern::Wildcard(_) => format!("{host} is one label under {}", found.pattern),
        HostPattern::Any => {
            format!("no rule for host {host}; rules without a host answer{}", missed_text(table, host))
        }
    };
    let wildcard = table.names.wildcard(host).filter(|_| matches!(found.pattern, HostPattern::Exact(_)));
    if let Some(other) = wildcard.and_then(|&other| table.hosts.get(other as usize)) {
        text.push_str(&format!(", so those of {} are not asked", other.pattern));
    }
    text
}

/// The near miss of a host that no rule names.
fn missed_text(table: &RoutingTable, host: &str) -> String {
    let missed = table.names.missed_wildcard(host).and_then(|&other| table.hosts.get(other as usize));
    let Some(HostPattern::Wildcard(suffix)) = missed.map(|other| &other.pattern) else { return String::new() };
    format!("; *.{suffix} means one label before .{suffix}, no more and no less")
}

fn path_text(found: &Host, route: Option<RouteRef>, path: &str) -> String {
    let Some(route) = route.and_then(|at| found.routes.get(at.route as usize)) else {
        return format!("no path of {} takes {path}", found.pattern);
    };
    let rule = &route.rule;
    match (&rule.path.kind, rule.implicit, &rule.target) {
        (_, true, Target::NotFound) => format!("no path of {} takes {path}", found.pattern),
        (_, true, _) => format!("no path of {} takes {path}; the default backend does", found.pattern),
        (PathKind::Exact, ..) => format!("{} is {path}", rule.path),
        (PathKind::Prefix, ..) => format!("{} is the longest prefix of {path}", rule.path),
        (PathKind::Regex(_), ..) => {
            format!(
                "{} is the first of the regular expressions of {} that {path} begins with",
                rule.path, found.pattern
            )
        }
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
        let why = match (&path.kind, winner_path) {
            (PathKind::Regex(_), _) if passed.contains(&place) => "matches too, and is tried later",
            (PathKind::Regex(_), _) => "does not match",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Algorithm::LeastConn;
    use crate::table::fixture::{World, config};

    const SHOP: &str = "
        * ^ / any
        *.example ^ / wild
        a.example = /api exact
        a.example = /login login
        a.example ^ /api/v1/ slashed
        a.example ^ /api/v1 bare
        a.example ^ /api api
        a.example ^ / -
        b.other ^ /x x
    ";

    fn trace(host: &str, path: &str) -> (Option<String>, Vec<String>, Vec<String>) {
        let table = World::new().build(&config(LeastConn, SHOP), None);
        let Trace { route, steps, lost } = explain(&table, host, path);
        assert_eq!(route, table.find(host, path), "explain is the real match");
        let print = |at| format!("{} {}", table.host_of(at), table.route(at).rule.path);
        let lost = lost.iter().map(|lost| format!("{}: {}", table.route(lost.route).rule.path, lost.why)).collect();
        (route.map(print), steps.into_iter().map(|step| format!("{}: {}", step.stage, step.text)).collect(), lost)
    }

    #[test]
    fn every_other_route_of_the_host_says_why_it_lost() {
        let (route, steps, lost) = trace("a.example", "/api/v1/users");
        assert_eq!(route.as_deref(), Some("a.example ^ /api/v1/"));
        assert_eq!(
            steps,
            [
                "host: a.example has rules of its own, so those of *.example are not asked",
                "path: ^ /api/v1/ is the longest prefix of /api/v1/users",
            ]
        );
        assert_eq!(
            lost,
            [
                "^ /api/v1: trailing slash differs",
                "^ /api: shorter prefix",
                "^ /: shorter prefix",
                "= /api: exact path differs",
                "= /login: exact path differs",
            ]
        );
    }

    #[test]
    fn an_exact_path_beats_the_prefixes_it_passes() {
        let (route, steps, lost) = trace("a.example", "/api");
        assert_eq!(route.as_deref(), Some("a.example = /api"));
        assert_eq!(steps[1], "path: = /api is /api");
        assert_eq!(
            lost[..2],
            ["^ /api: an exact path comes before a prefix", "^ /: an exact path comes before a prefix"]
        );
        assert!(lost.contains(&"^ /api/v1: prefix of other segments".to_owned()));
    }

    #[test]
    fn of_regular_expressions_the_first_that_matches_answers() {
        let lines = "
            a.example ~ /foo/[a-z]+ long
            a.example ~ /foo/1 one
            a.example ~ /foo short
            a.example ~ / -
        ";
        let table = World::new().build(&config(LeastConn, lines), None);
        let Trace { route, steps, lost } = explain(&table, "a.example", "/FOO/1");
        assert_eq!(route, table.find("a.example", "/FOO/1"));
        assert_eq!(
            steps[1].text,
            "~ /foo/1 is the first of the regular expressions of a.example that /FOO/1 begins with"
        );
        let lost: Vec<_> =
            lost.iter().map(|lost| format!("{}: {}", table.route(lost.route).rule.path, lost.why)).collect();
        assert_eq!(
            lost,
            [
                "~ /foo: matches too, and is tried later",
                "~ /: matches too, and is tried later",
                "~ /foo/[a-z]+: does not match"
            ]
        );
    }

    #[test]
    fn hosts_and_paths_without_an_answer_say_so() {
        for (host, path, route, step) in [
            ("z.example", "/", Some("*.example ^ /"), "host: z.example is one label under *.example"),
            ("other", "/", Some("* ^ /"), "host: no rule for host other; rules without a host answer"),
            (
                "a.b.example",
                "/",
                Some("* ^ /"),
                "host: no rule for host a.b.example; rules without a host answer; *.example means one label before \
                 .example, no more and no less",
            ),
            ("a.example", "/cart", Some("a.example ^ /"), "path: no path of a.example takes /cart"),
            ("b.other", "/y", None, "path: no path of b.other takes /y"),
        ] {
            let (found, steps, _) = trace(host, path);
            assert_eq!(found.as_deref(), route, "{host}{path}");
            assert!(steps.contains(&step.to_owned()), "{steps:?}");
        }
        let table = World::new().build(&config(LeastConn, "a.example ^ / web"), None);
        let trace = explain(&table, "other", "/");
        assert_eq!(trace.route, None);
        assert_eq!(trace.steps[0].text, "no rule for host other, and none without a host");
    }
}
