//! What closed a path: the table knows the reason only, the problems that stand say more.

use crate::admin::shape::{Explanation, Origin, Step};
use crate::ir::{Kind, Problem, Reason, Severity};

/// Most causes that are told.
const MOST: usize = 5;

impl Explanation {
    /// The same with the annotations and fields by which the path is closed, if it is.
    pub fn blame<'p>(mut self, problems: impl IntoIterator<Item = &'p Problem>) -> Explanation {
        let Some(route) = &self.route else { return self };
        let (Some(closed), origin) = (&route.closed, &route.origin) else { return self };
        let Some(told) = self.steps.iter().rposition(|step| step.stage == "backend") else { return self };
        let causes = problems.into_iter().filter(|problem| comes_to(problem, closed) && may_close(problem, origin));
        let steps: Vec<Step> = causes.take(MOST).map(|problem| step(problem, origin)).collect();
        self.steps.splice(told + 1..=told, steps);
        self
    }
}

/// Whether paths are closed by what is wrong there. Of several guards that are broken the table knows the reason of one, and
/// what is amiss with an object that a guard needs has a reason of its own.
fn comes_to(problem: &Problem, closed: &str) -> bool {
    const GUARDS: [Reason; 2] = [Reason::AccessRuleBroken, Reason::SnippetRefused];
    const OBJECTS: [Reason; 3] = [Reason::CrossNamespace, Reason::SecretForbidden, Reason::SecretNotFound];
    let by_guard = GUARDS.iter().any(|reason| reason.as_str() == closed);
    let is_of_guard = GUARDS.contains(&problem.reason) || OBJECTS.contains(&problem.reason);
    problem.severity == Severity::Error && ((by_guard && is_of_guard) || problem.reason.as_str() == closed)
}

/// Whether it stands in the field of the path, in an annotation of its Ingress, or in what is said for all.
fn may_close(problem: &Problem, origin: &Origin) -> bool {
    let Problem { object, field, .. } = problem;
    let is_at_path = *field == origin.field || !field.starts_with("spec.");
    object.kind == Kind::ConfigMap || (is_own(problem, origin) && is_at_path)
}

fn is_own(Problem { object, .. }: &Problem, origin: &Origin) -> bool {
    let (namespace, name) = (&*object.name.namespace, &*object.name.name);
    (object.kind.as_str(), namespace, name) == (&*origin.kind, &*origin.namespace, &*origin.name)
}

fn step(problem: &Problem, origin: &Origin) -> Step {
    let Problem { object, field, message, .. } = problem;
    let place = if is_own(problem, origin) { field.clone() } else { format!("{object} {field}") };
    Step { stage: "backend".to_owned(), text: format!("by {place}: {message}") }
}
