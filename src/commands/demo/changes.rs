//! What one publication changed, in lines for the terminal.

use std::collections::{BTreeMap, BTreeSet};

use crate::ir::{Config, Kind, Problem, Target};

/// What the terminal tells of one publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// `a.example ^ /` → `shop/web:http`.
    routes: BTreeMap<String, String>,
    problems: BTreeSet<Problem>,
}

impl Told {
    pub(super) fn of<'p>(config: &Config, problems: impl IntoIterator<Item = &'p Problem>) -> Told {
        let written = |host: &str, route: &crate::ir::Route| (format!("{host} {}", route.path), answers(&route.target));
        let routes = config.hosts.values().flat_map(|host| {
            let name = host.host.to_string();
            host.routes.iter().filter(|route| !route.implicit).map(move |route| written(&name, route))
        });
        Told { routes: routes.collect(), problems: problems.into_iter().cloned().collect() }
    }

    /// The routes that came, changed and went since `before`, then the problems; empty when nothing of it differs.
    pub(super) fn since(&self, before: &Told) -> Vec<String> {
        let mut lines = Vec::new();
        for (route, target) in &self.routes {
            match before.routes.get(route) {
                None => lines.push(format!("+ {route} → {target}")),
                Some(was) if was != target => lines.push(format!("~ {route} → {target} (was {was})")),
                Some(_) => {}
            }
        }
        lines.extend(
            before.routes.keys().filter(|route| !self.routes.contains_key(*route)).map(|route| format!("- {route}")),
        );
        lines.extend(self.problems.difference(&before.problems).map(|problem| format!("! {}", text(problem))));
        lines.extend(before.problems.difference(&self.problems).map(|problem| format!("gone: {}", text(problem))));
        lines
    }

    /// The problems alone, as [`Told::since`] tells new ones.
    pub(super) fn problems(&self) -> Vec<String> {
        self.since(&Told { routes: self.routes.clone(), problems: BTreeSet::new() })
    }
}

fn answers(target: &Target) -> String {
    match target {
        Target::Backend(backend) => backend.to_string(),
        Target::Closed(reason) => format!("503 ({reason})"),
        Target::NotFound => "404".to_owned(),
    }
}

/// `error ServiceNotFound, ingress shop/web (a.yaml:3): no Service shop/cart; create it`.
fn text(problem: &Problem) -> String {
    let Problem { object, severity, reason, field: _, message, hint } = problem;
    if object.kind == Kind::File {
        // The message begins with the path and line.
        return format!("{} {reason}, {message}; {hint}", severity.as_str());
    }
    let place = match (&object.file, object.line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        (Some(file), None) => format!(" ({file})"),
        (None, _) => String::new(),
    };
    format!("{} {reason}, {object}{place}: {message}; {hint}", severity.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ir::{Name, Object, Reason, Severity};

    fn told(routes: &[(&str, &str)], problems: &[Problem]) -> Told {
        let routes = routes.iter().map(|(route, target)| ((*route).to_owned(), (*target).to_owned())).collect();
        Told { routes, problems: problems.iter().cloned().collect() }
    }

    #[test]
    fn added_changed_and_removed_routes_and_problems_are_told() {
        let file = Some("a.yaml".into());
        let object = Object { kind: Kind::Ingress, name: Name::new("shop", "web"), file, line: Some(3) };
        let problem = Problem {
            object: Arc::new(object),
            severity: Severity::Error,
            reason: Reason::ServiceNotFound,
            field: String::new(),
            message: "no Service shop/cart".to_owned(),
            hint: "create it".to_owned(),
        };
        let before = told(&[("a ^ /", "shop/web:80"), ("a ^ /old", "shop/web:80")], &[]);
        let after = told(&[("a ^ /", "shop/api:80"), ("a ^ /new", "shop/web:80")], &[problem]);
        let line = "error ServiceNotFound, ingress shop/web (a.yaml:3): no Service shop/cart; create it";
        let expected = ["~ a ^ / → shop/api:80 (was shop/web:80)", "+ a ^ /new → shop/web:80", "- a ^ /old"];
        assert_eq!(after.since(&before), [&expected[..], &[&format!("! {line}")]].concat());
        assert_eq!(before.since(&after).last(), Some(&format!("gone: {line}")));
        assert_eq!(after.problems(), [format!("! {line}")]);
        assert!(after.since(&after).is_empty());
    }

    #[test]
    fn the_path_of_an_unreadable_file_is_told_once() {
        let name = Name::new("", "a.yaml");
        let problem = Problem {
            object: Arc::new(Object { kind: Kind::File, name, file: Some("a.yaml".into()), line: Some(3) }),
            severity: Severity::Error,
            reason: Reason::ManifestUnreadable,
            field: String::new(),
            message: "a.yaml:3: no YAML".to_owned(),
            hint: "correct it".to_owned(),
        };
        assert_eq!(text(&problem), "error ManifestUnreadable, a.yaml:3: no YAML; correct it");
    }
}
