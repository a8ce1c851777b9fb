//! The objects as received, reduced to the fields that are read.
//!
//! A [`Snapshot`] is what the cluster (or a folder) says, nothing more: a reference may point nowhere and a Secret may
//! hold junk. Beside the content of each Secret stands the last content that could be served, so that a bad rotation
//! keeps the certificate that works.

mod objects;
mod received;
mod reduce;
pub mod secret;
mod strings;
pub mod yaml;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

pub use self::objects::{
    AddressFamily, ClassRef, EndpointSlice, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule,
    IngressTls, Meta, PathType, Pod, Secret, SecretContent, Service, ServicePort, ServiceType, SliceEndpoint,
    SlicePort, TargetPort, Version,
};
pub use self::received::Received;
pub use self::strings::Strings;
use crate::ir::{Kind, Name, Object, Problem};

/// Everything received, by name.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// `networking.k8s.io/v1 Ingress`.
    pub ingresses: BTreeMap<Name, Arc<Ingress>>,
    /// `networking.k8s.io/v1 IngressClass`, by name (empty namespace).
    pub classes: BTreeMap<Name, Arc<IngressClass>>,
    /// `v1 Service`.
    pub services: BTreeMap<Name, Arc<Service>>,
    /// `discovery.k8s.io/v1 EndpointSlice`, by the Service they belong to, then by their own name.
    pub slices: BTreeMap<Name, BTreeMap<Arc<str>, Arc<EndpointSlice>>>,
    /// `v1 Secret`: those that something names, parsed.
    pub secrets: BTreeMap<Name, Arc<Secret>>,
    /// `v1 Pod` with the label `fairlead.dev/weight`.
    pub pods: BTreeMap<Name, Arc<Pod>>,
    /// What the source itself found wrong: unreadable files, duplicate objects.
    pub problems: Vec<Problem>,
}

impl Snapshot {
    /// Adds an object; one that is there under the same kind and name stays, and then `false` comes back.
    pub fn insert(&mut self, object: Received) -> bool {
        fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) -> bool {
            match map.entry(key) {
                Entry::Occupied(_) => false,
                Entry::Vacant(place) => {
                    place.insert(value);
                    true
                }
            }
        }
        let name = object.meta().object.name.clone();
        match object {
            Received::EndpointSlice(slice) => {
                let service = Name { namespace: name.namespace, name: Arc::clone(&slice.service) };
                put(self.slices.entry(service).or_default(), name.name, slice)
            }
            Received::Ingress(ingress) => put(&mut self.ingresses, name, ingress),
            Received::IngressClass(class) => put(&mut self.classes, name, class),
            Received::Pod(pod) => put(&mut self.pods, name, pod),
            Received::Secret(secret) => put(&mut self.secrets, name, secret),
            Received::Service(service) => put(&mut self.services, name, service),
        }
    }

    /// Where an object stands now. EndpointSlices are not found: nothing is blamed on them.
    pub fn object(&self, kind: Kind, name: &Name) -> Option<&Arc<Object>> {
        let meta = match kind {
            Kind::Ingress => self.ingresses.get(name).map(|ingress| &ingress.meta),
            Kind::IngressClass => self.classes.get(name).map(|class| &class.meta),
            Kind::Pod => self.pods.get(name).map(|pod| &pod.meta),
            Kind::Secret => self.secrets.get(name).map(|secret| &secret.meta),
            Kind::Service => self.services.get(name).map(|service| &service.meta),
            Kind::ConfigMap | Kind::EndpointSlice | Kind::File | Kind::Flag | Kind::Namespace => None,
        };
        meta.map(|meta| &meta.object)
    }
}
