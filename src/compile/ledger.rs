//! Problems and rejected entries by what they stand in, so that a change replaces only its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ir::{BackendId, HostPattern, Name, Problem, Rejected};

/// What problems and rejected entries come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Claims on one backend.
    Backend(BackendId),
    /// Canaries beside one backend.
    Canaries(BackendId),
    /// Flags and IngressClasses.
    Flags,
    /// Claims on one host.
    Host(HostPattern),
    /// One Ingress by itself.
    Ingress(Name),
    /// Further names of hosts.
    Names,
}

/// Everything that is wrong, by source; a source without anything wrong has no entry.
#[derive(Default)]
pub(super) struct Ledger {
    entries: BTreeMap<Source, (Vec<Problem>, Vec<Arc<Rejected>>)>,
}

impl Ledger {
    /// Replaces what is known of `source`; whether that may be something else than before.
    pub(super) fn set(&mut self, source: Source, problems: Vec<Problem>, rejected: Vec<Arc<Rejected>>) -> bool {
        let problems = bounded(problems);
        if problems.is_empty() && rejected.is_empty() {
            return self.entries.remove(&source).is_some();
        }
        self.entries.insert(source, (problems, rejected));
        true
    }

    /// All problems with `more`, sorted, each once.
    pub(super) fn problems(&self, more: &[Problem]) -> Vec<Problem> {
        let own = self.entries.values().flat_map(|(problems, _)| problems);
        let mut all: Vec<&Problem> = own.chain(more).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().cloned().collect()
    }

    /// All rejected entries, sorted, each once.
    pub(super) fn rejected(&self) -> Vec<Arc<Rejected>> {
        let mut all: Vec<&Arc<Rejected>> = self.entries.values().flat_map(|(_, rejected)| rejected).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().cloned().collect()
    }
}

/// Problems of one object that are kept of one source. More help nobody, and an object may be made to have any number.
const MOST: usize = 256;

/// The worst of each object, and how many more there are.
fn bounded(mut problems: Vec<Problem>) -> Vec<Problem> {
    if problems.len() <= MOST {
        return problems;
    }
    problems.sort_unstable();
    problems.dedup();
    let mut kept: Vec<Problem> = Vec::with_capacity(MOST + 1);
    for of_one in problems.chunk_by(|a, b| a.object == b.object) {
        let (shown, more) = of_one.split_at(of_one.len().min(MOST));
        kept.extend_from_slice(shown);
        kept.extend(more.first().map(|first| Problem {
            field: String::new(),
            message: format!("{} more problems of this object are not listed", more.len()),
            hint: "mend those that are; the others follow".to_owned(),
            ..first.clone()
        }));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Kind, Object, Reason, Severity};

    fn problems(object: &Arc<Object>, count: usize, severity: Severity) -> impl Iterator<Item = Problem> {
        (0..count).map(move |number| Problem {
            object: Arc::clone(object),
            severity,
            reason: Reason::PathInvalid,
            field: format!("{number:06}"),
            message: String::new(),
            hint: String::new(),
        })
    }

    #[test]
    fn of_one_object_the_worst_problems_are_kept_and_the_others_counted() {
        let object = |name: &str| {
            Arc::new(Object { kind: Kind::Ingress, name: Name::new("shop", name), file: None, line: None })
        };
        let (hostile, other) = (object("hostile"), object("other"));
        let all = problems(&hostile, 10_000, Severity::Info).chain(problems(&hostile, 3, Severity::Error));
        let mut ledger = Ledger::default();
        let all = all.chain(problems(&other, 2, Severity::Warning)).collect();
        ledger.set(Source::Host(HostPattern::Any), all, Vec::new());
        let kept = ledger.problems(&[]);
        let of = |object: &Arc<Object>| kept.iter().filter(|problem| problem.object == *object).count();
        assert_eq!((of(&hostile), of(&other)), (MOST + 1, 2));
        assert_eq!(kept.iter().filter(|problem| problem.severity == Severity::Error).count(), 3);
        let more = kept.iter().find(|problem| problem.field.is_empty()).unwrap();
        assert_eq!(more.message, "9747 more problems of this object are not listed");
    }
}
