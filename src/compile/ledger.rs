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
