//! What Ingresses do to each other on one host: nobody wrote it, so no line of theirs says it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Setting, Subject, named};
use crate::commands::check::fate::{Fate, Judged};
use crate::compile::annotations;
use crate::ir::{BackendId, Config, HostPattern, Name, Object, PathKind, Problem, Route, Target, VirtualHost};
use crate::settings::CompileOptions;
use crate::snapshot::{Ingress, PathType, Snapshot};

/// More Ingresses than these are counted.
const NAMED: usize = 3;

/// The hosts of which there is something to say.
pub(super) fn subjects(
    snapshot: &Snapshot,
    config: &Config,
    problems: &[Problem],
    options: &CompileOptions,
) -> Vec<Subject> {
    let hosts = config.hosts.iter().filter_map(|(pattern, host)| {
        let declared = host.routes.iter().filter(|route| !route.implicit);
        let mut ingresses: Vec<&Arc<Ingress>> =
            declared.filter_map(|route| snapshot.ingresses.get(&route.origin.object.name)).collect();
        let mut seen = BTreeSet::new();
        ingresses.retain(|ingress| seen.insert(&ingress.meta.object.name));
        let at = At { pattern, host, ingresses, problems, options };
        let parts = [at.expressions(), at.redirects(), at.root(snapshot)];
        let mut settings: Vec<Setting> = parts.into_iter().flatten().collect();
        settings.extend(at.settings());
        (!settings.is_empty()).then(|| Subject {
            kind: "host".to_owned(),
            namespace: String::new(),
            name: pattern.to_string(),
            place: None,
            field: String::new(),
            settings,
        })
    });
    hosts.collect()
}

/// What canaries take part in besides what their own paths say, by Ingress: a canary stands beside a Service port, whatever
/// leads there.
pub(super) fn canaries(snapshot: &Snapshot, config: &Config) -> BTreeMap<Name, Vec<Setting>> {
    let mut mains: BTreeMap<(&Name, &BackendId), BTreeSet<&Object>> = BTreeMap::new();
    for (pattern, host) in &config.hosts {
        for route in host.routes.iter().filter(|route| !route.implicit) {
            let Target::Backend(id) = &route.target else { continue };
            let Some(canary) = config.backends.get(id).and_then(|backend| backend.canary.as_ref()) else { continue };
            let name = &canary.origin.object.name;
            let (own, main) = (snapshot.ingresses.get(name), snapshot.ingresses.get(&route.origin.object.name));
            let (Some(own), Some(main)) = (own, main) else { continue };
            let rules = own.rules.iter().filter(|rule| is_of(pattern, rule.host.as_deref()));
            let written = written(main, route);
            if !rules.flat_map(|rule| &rule.paths).any(|path| path.path.as_deref() == written) {
                mains.entry((name, id)).or_default().insert(&route.origin.object);
            }
        }
    }
    let mut settings: BTreeMap<Name, Vec<Setting>> = BTreeMap::new();
    for ((name, id), mains) in mains {
        let note = format!(
            "the canary stands beside it on every path that leads there: it gets its share of {} too",
            list(mains.into_iter())
        );
        settings.entry(name.clone()).or_default().push(told(&format!("Service port {id}"), Fate::Honoured, note));
    }
    settings
}

/// One host, and the Ingresses that have a path there.
struct At<'a> {
    pattern: &'a HostPattern,
    host: &'a VirtualHost,
    ingresses: Vec<&'a Arc<Ingress>>,
    problems: &'a [Problem],
    options: &'a CompileOptions,
}

impl At<'_> {
    /// One regular expression makes all paths of a host such.
    fn expressions(&self) -> Option<Setting> {
        let first = self.host.routes.first()?;
        if !matches!(first.path.kind, PathKind::Regex(_)) {
            return None;
        }
        let has_rewrite = |ingress: &Ingress| self.routes_of(ingress).any(|route| route.filters.rewrite.is_some());
        let is_asked = |ingress: &Ingress| self.says(ingress, "use-regex").is_some_and(|value| is_true(value));
        let (causes, others): (Vec<&Arc<Ingress>>, Vec<&Arc<Ingress>>) =
            self.ingresses.iter().copied().partition(|ingress| is_asked(ingress) || has_rewrite(ingress));
        let cause = causes.first()?;
        let exact = self
            .ingresses
            .iter()
            .flat_map(|ingress| &ingress.rules)
            .filter(|rule| is_of(self.pattern, rule.host.as_deref()));
        let exact = exact.flat_map(|rule| &rule.paths).filter(|path| path.path_type == PathType::Exact);
        let exact: BTreeSet<&str> = exact.filter_map(|path| path.path.as_deref()).collect();
        if others.is_empty() && exact.is_empty() {
            return None;
        }
        let why = if is_asked(cause) { "use-regex" } else { "rewrite-target" };
        let mut note = format!(
            "since {} has {why}, all paths of the host are regular expressions: each takes what begins as it says, in capitals \
             or not",
            cause.meta.object
        );
        if !others.is_empty() {
            note += &format!("; also those of {}", list(others.iter().map(|ingress| &*ingress.meta.object)));
        }
        if !exact.is_empty() {
            let paths: Vec<&str> = exact.iter().take(NAMED).copied().collect();
            note += &format!("; pathType Exact has no effect ({})", paths.join(", "));
        }
        Some(told("paths", Fate::Honoured, note))
    }

    /// One certificate makes all of a host redirect to https.
    fn redirects(&self) -> Option<Setting> {
        let owner = self.ingresses.iter().find(|ingress| !ingress.tls.is_empty())?;
        let is_moved = |ingress: &&&Arc<Ingress>| {
            let is_forced = self.says(ingress, "force-ssl-redirect").is_some_and(|value| is_true(value));
            let is_redirected = self.routes_of(ingress).any(|route| route.filters.tls_redirect.is_some());
            ingress.tls.is_empty() && is_redirected && !is_forced
        };
        let moved: Vec<_> = self.ingresses.iter().filter(is_moved).collect();
        if moved.is_empty() {
            return None;
        }
        let note = format!(
            "since {} has spec.tls, requests in clear text are redirected to https on all of the host; also those of {}",
            owner.meta.object,
            list(moved.iter().map(|ingress| &*ingress.meta.object))
        );
        Some(told("ssl-redirect", Fate::Honoured, note))
    }

    /// What nobody declared is answered as the oldest Ingress says.
    fn root(&self, snapshot: &Snapshot) -> Option<Setting> {
        let route = self.host.routes.iter().find(|route| route.implicit)?;
        let first = snapshot.ingresses.get(&route.origin.object.name)?;
        let leads_away = |name: &&str| match (*name, self.says(first, name)) {
            (_, None) => false,
            ("rewrite-target", Some(target)) => target.trim().starts_with("http"),
            (_, Some(target)) => !target.trim().is_empty(),
        };
        let names = ["permanent-redirect", "temporal-redirect", "rewrite-target"];
        if let Some(name) = names.iter().find(|name| leads_away(name)) {
            let note = format!(
                "with ingress-nginx {name} of {} acts on paths that no Ingress declares too; here they get 404",
                first.meta.object
            );
            let hint = "give the Ingress the path / if it is meant";
            return Some(Setting {
                judged: Judged::new(Fate::Differs, note, hint),
                ..told("/", Fate::Differs, String::new())
            });
        }
        let is_alone = self.ingresses.len() < 2;
        if is_alone || route.filters.access.is_none() || route.target != Target::NotFound {
            return None;
        }
        let note = format!(
            "a path that no Ingress declares is guarded as {} says, addresses and passwords, before it gets 404",
            first.meta.object
        );
        Some(told("/", Fate::Honoured, note))
    }

    /// Annotations that hold for the whole host, where others are there.
    fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for ingress in &self.ingresses {
            let others = self.ingresses.iter().filter(|other| other.meta.object != ingress.meta.object);
            let others: Vec<&Object> = others.map(|other| &*other.meta.object).collect();
            if others.is_empty() {
                return settings;
            }
            let object = &ingress.meta.object;
            let is_wrong = |full: &str| {
                let field = format!("metadata.annotations[{full}]");
                self.problems.iter().any(|problem| problem.object == *object && problem.field == field)
            };
            let is_meant = |(full, value): &(&Arc<str>, &Arc<str>)| {
                let row = annotations().find(|row| full.split_once('/').is_some_and(|(_, name)| name == row.name));
                let is_off = matches!(value.trim(), "" | "off") || value.trim().parse() == Ok(false);
                row.is_some_and(|row| row.is_of_host()) && !is_off && !is_wrong(full)
            };
            let own = ingress.annotations.iter().filter(is_meant).filter_map(|(full, _)| named(full, self.options));
            let own: Vec<&str> = own.collect();
            if !own.is_empty() {
                let (holds, of) = (if own.len() == 1 { "holds" } else { "hold" }, list(others.into_iter()));
                let note = format!("{holds} for the whole host, so also for {of}; {object} says it");
                settings.push(told(&own.join(", "), Fate::Honoured, note));
            }
        }
        settings
    }

    fn routes_of<'s>(&'s self, ingress: &'s Ingress) -> impl Iterator<Item = &'s Arc<Route>> {
        self.host.routes.iter().filter(|route| !route.implicit && route.origin.object == ingress.meta.object)
    }

    /// The value of an annotation, under either prefix.
    fn says<'i>(&self, ingress: &'i Ingress, name: &str) -> Option<&'i Arc<str>> {
        let of = |prefix: &str| ingress.annotations.get(&format!("{prefix}/{name}"));
        of(super::OURS).or_else(|| of(&self.options.annotations_prefix))
    }
}

fn is_of(pattern: &HostPattern, host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().to_ascii_lowercase();
    match pattern {
        HostPattern::Any => host.is_empty(),
        HostPattern::Exact(_) | HostPattern::Wildcard(_) => host == pattern.to_string(),
    }
}

/// The path of a route as its Ingress has it.
fn written<'i>(ingress: &'i Ingress, route: &Route) -> Option<&'i str> {
    let place = route.origin.field.strip_prefix("spec.rules[")?;
    let (rule, path) = place.split_once("].http.paths[")?;
    let path = path.trim_end_matches(']').parse::<usize>().ok()?;
    ingress.rules.get(rule.parse::<usize>().ok()?)?.paths.get(path)?.path.as_deref()
}

fn told(name: &str, fate: Fate, note: String) -> Setting {
    Setting { name: name.to_owned(), value: String::new(), judged: Judged::new(fate, note, "") }
}

fn is_true(value: &str) -> bool {
    matches!(value.trim(), "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// `Ingress a/b, Ingress c/d and 3 more`.
fn list<'o>(objects: impl Iterator<Item = &'o Object>) -> String {
    let all: Vec<String> = objects.map(ToString::to_string).collect();
    let named = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
