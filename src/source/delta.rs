//! What differs between two snapshots, by what has to be done about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ir::Name;
use crate::snapshot::{EndpointSlice, Ingress, IngressClass, Meta, Pod, Secret, Service, Snapshot};

/// A difference between two snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Something that routes or certificates are compiled from changed.
    pub routes: bool,
    /// Services whose EndpointSlices, or the weights of whose Pods, changed: the second road.
    pub endpoints: BTreeSet<Name>,
    /// What the source itself found wrong changed, or objects moved to other files or lines.
    pub report: bool,
}

impl Delta {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        !self.routes && self.endpoints.is_empty() && !self.report
    }

    /// Both this and `later`.
    pub fn add(&mut self, later: Delta) {
        let Delta { routes, endpoints, report } = later;
        self.routes |= routes;
        self.endpoints.extend(endpoints);
        self.report |= report;
    }

    /// The difference between two snapshots. Versions are compared, not contents.
    pub fn between(old: &Snapshot, new: &Snapshot) -> Delta {
        let mut delta = Delta::default();
        for change in [
            changes(&old.ingresses, &new.ingresses, |_| {}),
            changes(&old.classes, &new.classes, |_| {}),
            changes(&old.services, &new.services, |_| {}),
            changes(&old.secrets, &new.secrets, |_| {}),
        ] {
            delta.routes |= change.content;
            delta.report |= change.place;
        }
        let mut pods = BTreeSet::new();
        let change = changes(&old.pods, &new.pods, |name| {
            pods.insert(name.clone());
        });
        delta.report |= change.place;
        let none = BTreeMap::new();
        for name in old.slices.keys().chain(new.slices.keys()) {
            let (old, new) = (old.slices.get(name).unwrap_or(&none), new.slices.get(name).unwrap_or(&none));
            let change = changes(old, new, |_| {});
            delta.report |= change.place;
            if change.content || (!pods.is_empty() && new.values().any(|slice| has_pod(slice, &pods))) {
                delta.endpoints.insert(name.clone());
            }
        }
        delta.report |= old.problems != new.problems;
        delta
    }
}

fn has_pod(slice: &EndpointSlice, pods: &BTreeSet<Name>) -> bool {
    let namespace = &slice.meta.object.name.namespace;
    let name = |pod: &Arc<str>| Name { namespace: Arc::clone(namespace), name: Arc::clone(pod) };
    slice.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref()).any(|pod| pods.contains(&name(pod)))
}

/// What differs between two maps of one kind.
#[derive(Default)]
struct Change {
    content: bool,
    place: bool,
}

fn changes<K: Ord, V: Versioned>(
    old: &BTreeMap<K, Arc<V>>,
    new: &BTreeMap<K, Arc<V>>,
    mut changed: impl FnMut(&K),
) -> Change {
    let mut change = Change::default();
    for (key, value) in new {
        match old.get(key) {
            Some(before) if Arc::ptr_eq(before, value) => {}
            Some(before) if before.meta().version == value.meta().version => {
                change.place |= before.meta().object != value.meta().object;
            }
            _ => {
                change.content = true;
                changed(key);
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(key)) {
        change.content = true;
        changed(key);
    }
    change
}

trait Versioned {
    fn meta(&self) -> &Meta;
}

macro_rules! versioned {
    ($($kind:ident)*) => {
        $(impl Versioned for $kind {
            fn meta(&self) -> &Meta {
                &self.meta
            }
        })*
    };
}

versioned! { EndpointSlice Ingress IngressClass Pod Secret Service }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::yaml;

    const SERVICE: &str = "---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}\n";
    const POD: &str = "---\n{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {fairlead.dev/weight: '2'}}}\n";
    const SLICE: &str = "---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,\n \
         metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}, ports: [{port: 80}],\n \
         endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p}}]}\n";

    fn between(old: &str, new: &str) -> (bool, Vec<String>, bool) {
        let snapshot = |text| yaml::read(text, "f.yaml").into_snapshot();
        let Delta { routes, endpoints, report } = Delta::between(&snapshot(old), &snapshot(new));
        (routes, endpoints.iter().map(Name::to_string).collect(), report)
    }

    #[test]
    fn each_change_takes_its_road() {
        let all = format!("{SERVICE}{POD}{SLICE}");
        let web = || vec!["default/web".to_owned()];
        for (what, new, expected) in [
            ("nothing", all.clone(), (false, vec![], false)),
            ("a port", all.replace("port: 80}]}}", "port: 81}]}}"), (true, vec![], false)),
            ("an address", all.replace("10.0.0.1", "10.0.0.2"), (false, web(), false)),
            ("a weight", all.replace("'2'", "'3'"), (false, web(), false)),
            ("a line", format!("\n{all}"), (false, vec![], true)),
            ("a problem", format!("{all}---\n]["), (false, vec![], true)),
            ("no slice", format!("{SERVICE}{POD}"), (false, web(), false)),
            ("no weight", format!("{SERVICE}{}", SLICE), (false, web(), true)),
            ("no service", format!("{POD}{SLICE}"), (true, vec![], true)),
        ] {
            assert_eq!(between(&all, &new), expected, "{what}");
        }
    }
}
