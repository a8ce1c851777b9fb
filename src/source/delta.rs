//! What differs between two snapshots, by what has to be done about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ir::{Kind, Name};
use crate::snapshot::{
    ConfigMap, EndpointSlice, Ingress, IngressClass, Meta, Pod, Received, Secret, Service, Snapshot,
};

/// A difference between two snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Something that routes or certificates are compiled from changed.
    pub routes: bool,
    /// Services whose EndpointSlices, uid, or the weights of whose Pods, changed: the second road.
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
        let mut differences = Differences::default();
        differences.maps(&old.ingresses, &new.ingresses);
        differences.maps(&old.classes, &new.classes);
        differences.maps(&old.services, &new.services);
        differences.maps(&old.secrets, &new.secrets);
        differences.maps(&old.config_maps, &new.config_maps);
        differences.maps(&old.pods, &new.pods);
        let none = Vec::new();
        for (service, list) in &new.slices {
            differences.lists(old.slices.get(service).unwrap_or(&none), list);
        }
        for (_, list) in old.slices.iter().filter(|(service, _)| !new.slices.contains_key(*service)) {
            differences.lists(list, &none);
        }
        let mut delta = differences.into_delta(new);
        delta.report |= old.problems != new.problems;
        delta
    }
}

/// Differences of single objects on their way into a [`Delta`].
#[derive(Default)]
pub(super) struct Differences {
    delta: Delta,
    pods: BTreeSet<Name>,
}

impl Differences {
    /// Takes in one object as it was and as it is. Both have one kind and name.
    pub(super) fn object(&mut self, old: Option<&Received>, new: Option<&Received>) {
        match (old, new) {
            (Some(old), Some(new)) if old.meta().version == new.meta().version => {
                self.delta.report |= old.meta().object != new.meta().object;
            }
            (old, new) => {
                self.identities(old.map(Received::meta), new.map(Received::meta));
                old.into_iter().chain(new).for_each(|object| match object {
                    Received::ConfigMap(map) => map.tell(self),
                    Received::EndpointSlice(slice) => slice.tell(self),
                    Received::Ingress(ingress) => ingress.tell(self),
                    Received::IngressClass(class) => class.tell(self),
                    Received::Pod(pod) => pod.tell(self),
                    Received::Secret(secret) => secret.tell(self),
                    Received::Service(service) => service.tell(self),
                })
            }
        }
    }

    /// The endpoints of every Service are to be looked at again.
    pub(super) fn all_endpoints(&mut self, snapshot: &Snapshot) {
        self.delta.endpoints.extend(snapshot.slices.keys().cloned());
    }

    /// All that was taken in. A Pod's weight concerns the Services that have the Pod in `new`.
    pub(super) fn into_delta(self, new: &Snapshot) -> Delta {
        let Differences { mut delta, pods } = self;
        if !pods.is_empty() {
            let of_pods = new.slices.iter().filter(|(_, list)| list.iter().any(|slice| has_pod(slice, &pods)));
            delta.endpoints.extend(of_pods.map(|(service, _)| service.clone()));
        }
        delta
    }

    fn maps<V: Versioned>(&mut self, old: &BTreeMap<Name, Arc<V>>, new: &BTreeMap<Name, Arc<V>>) {
        for (name, object) in new {
            self.one(old.get(name), Some(object));
        }
        for (_, gone) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            self.one(Some(gone), None);
        }
    }

    fn lists<V: Versioned>(&mut self, old: &[Arc<V>], new: &[Arc<V>]) {
        let find = |list: &[Arc<V>], object: &Arc<V>| {
            let place = list.binary_search_by(|other| other.meta().object.name.cmp(&object.meta().object.name)).ok()?;
            list.get(place).map(Arc::clone)
        };
        for object in new {
            self.one(find(old, object).as_ref(), Some(object));
        }
        for gone in old.iter().filter(|object| find(new, object).is_none()) {
            self.one(Some(gone), None);
        }
    }

    fn one<V: Versioned>(&mut self, old: Option<&Arc<V>>, new: Option<&Arc<V>>) {
        match (old, new) {
            (Some(old), Some(new)) if Arc::ptr_eq(old, new) => {}
            (Some(old), Some(new)) if old.meta().version == new.meta().version => {
                self.delta.report |= old.meta().object != new.meta().object;
            }
            (old, new) => {
                self.identities(old.map(|old| old.meta()), new.map(|new| new.meta()));
                old.into_iter().chain(new).for_each(|object| object.tell(self));
            }
        }
    }

    /// What sticky cookies call an endpoint hangs on the uid of its Service, which one made anew has changed.
    fn identities(&mut self, old: Option<&Meta>, new: Option<&Meta>) {
        let Some(new) = new.filter(|new| new.object.kind == Kind::Service && !new.uid.is_empty()) else { return };
        if old.is_none_or(|old| old.uid != new.uid) {
            self.delta.endpoints.insert(new.object.name.clone());
        }
    }
}

fn has_pod(slice: &EndpointSlice, pods: &BTreeSet<Name>) -> bool {
    let namespace = &slice.meta.object.name.namespace;
    let name = |pod: &Arc<str>| Name { namespace: Arc::clone(namespace), name: Arc::clone(pod) };
    slice.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref()).any(|pod| pods.contains(&name(pod)))
}

trait Versioned {
    fn meta(&self) -> &Meta;
    /// Tells what a change of the object concerns.
    fn tell(&self, differences: &mut Differences);
}

macro_rules! versioned {
    ($($kind:ident: $tell:expr;)*) => {
        $(impl Versioned for $kind {
            fn meta(&self) -> &Meta {
                &self.meta
            }

            fn tell(&self, differences: &mut Differences) {
                let tell: fn(&$kind, &mut Differences) = $tell;
                tell(self, differences);
            }
        })*
    };
}

versioned! {
    ConfigMap: |_, differences| differences.delta.routes = true;
    EndpointSlice: |slice, differences| differences.delta.endpoints.extend([slice.service_name()]);
    Ingress: |_, differences| differences.delta.routes = true;
    IngressClass: |_, differences| differences.delta.routes = true;
    Pod: |pod, differences| differences.pods.extend([pod.meta.object.name.clone()]);
    Secret: |_, differences| differences.delta.routes = true;
    Service: |_, differences| differences.delta.routes = true;
}

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
            ("a service of the name", all.replace("{name: web}", "{name: web, uid: u}"), (true, web(), false)),
        ] {
            assert_eq!(between(&all, &new), expected, "{what}");
        }
    }
}
