//! What one publication changed, in lines for the terminal.

use std::collections::{BTreeMap, BTreeSet};

use crate::ir::{Config, HostPattern, PathMatch, Problem, Target};

/// Routes added, changed and removed, then problems that came and went; empty when nothing of it differs.
pub(super) fn changes(before: (&Config, &[Problem]), after: (&Config, &[Problem])) -> Vec<String> {
    let mut lines = Vec::new();
    let (old, new) = (routes(before.0), routes(after.0));
    for ((host, path), target) in &new {
        match old.get(&(host, path)) {
            None => lines.push(format!("+ {host} {path} → {target}")),
            Some(was) if was != target => lines.push(format!("~ {host} {path} → {target} (was {was})")),
            Some(_) => {}
        }
    }
    for (host, path) in old.keys().filter(|key| !new.contains_key(*key)) {
        lines.push(format!("- {host} {path}"));
    }
    let (old, new): (BTreeSet<&Problem>, BTreeSet<&Problem>) = (before.1.iter().collect(), after.1.iter().collect());
    for problem in new.difference(&old) {
        lines.push(format!("! {}", told(problem)));
    }
    for problem in old.difference(&new) {
        lines.push(format!("✓ gone: {}", told(problem)));
    }
    lines
}

fn routes(config: &Config) -> BTreeMap<(&HostPattern, &PathMatch), String> {
    let rows = config.hosts.values().flat_map(|host| host.routes.iter().map(move |route| (&host.host, route)));
    rows.filter(|(_, route)| !route.implicit).map(|(host, route)| ((host, &route.path), answers(&route.target))).collect()
}

fn answers(target: &Target) -> String {
    match target {
        Target::Backend(backend) => backend.to_string(),
        Target::Closed(reason) => format!("503 ({reason})"),
        Target::NotFound => "404".to_owned(),
    }
}

/// `error ServiceNotFound, ingress shop/web: no Service shop/cart; create it` with the file if there is one.
fn told(problem: &Problem) -> String {
    let Problem { object, severity, reason, field: _, message, hint } = problem;
    let place = match (&object.file, object.line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        (Some(file), None) => format!(" ({file})"),
        (None, _) => String::new(),
    };
    format!("{} {reason}, {object}{place}: {message}; {hint}", severity.as_str())
}
