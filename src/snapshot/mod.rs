//! The objects as received, reduced to the fields that are read.
//!
//! A [`Snapshot`] is what the cluster (or a folder) says, nothing more: a reference may point nowhere and a Secret may
//! hold junk. Beside the content of each Secret stands the last content that could be served, so that a bad rotation
//! keeps the certificate that works.

mod annotations;
pub mod api;
mod documents;
mod field;
mod objects;
mod raw;
mod received;
mod reduce;
pub mod secret;
mod strings;
mod typed;
mod uid;
pub mod yaml;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

pub use self::annotations::Annotations;
pub use self::objects::{
    AddressFamily, ClassRef, ConfigMap, EndpointSlice, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule,
    IngressTls, Meta, PathType, Pod, Published, Secret, SecretContent, SecretParts, Service, ServicePort, ServiceType,
    SliceEndpoint, SlicePort, TargetPort, Version,
};
pub use self::received::Received;
pub use self::strings::Strings;
pub use self::uid::Uid;
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
    /// `discovery.k8s.io/v1 EndpointSlice`, by the Service they belong to; those of one Service by their own name. Never
    /// an empty list.
    pub slices: BTreeMap<Name, Vec<Arc<EndpointSlice>>>,
    /// `v1 Secret`: those that something names, parsed.
    pub secrets: BTreeMap<Name, Arc<Secret>>,
    /// `v1 ConfigMap`: those that something names; in a folder all.
    pub config_maps: BTreeMap<Name, Arc<ConfigMap>>,
    /// `v1 Pod` with the label `fairlead.dev/weight`.
    pub pods: BTreeMap<Name, Arc<Pod>>,
    /// Where a setting selects `v1 Namespace`s: those that it selects. Ingresses of others are not here.
    pub selected: Option<BTreeSet<Arc<str>>>,
    /// The zone of the node that we run on, if it is known and somebody asks for it.
    pub zone: Option<Arc<str>>,
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
            Received::ConfigMap(map) => put(&mut self.config_maps, name, map),
            Received::EndpointSlice(slice) => {
                let slices = self.slices.entry(slice.service_name()).or_default();
                let Err(place) = slices.binary_search_by(|other| other.meta.object.name.name.cmp(&name.name)) else {
                    return false;
                };
                // Most Services have one.
                if slices.is_empty() {
                    slices.reserve_exact(1);
                }
                slices.insert(place, slice);
                true
            }
            Received::Ingress(ingress) => put(&mut self.ingresses, name, ingress),
            Received::IngressClass(class) => put(&mut self.classes, name, class),
            Received::Pod(pod) => put(&mut self.pods, name, pod),
            Received::Secret(secret) => put(&mut self.secrets, name, secret),
            Received::Service(service) => put(&mut self.services, name, service),
        }
    }

    /// Takes out the object of this kind and name; for a slice, that of the same Service.
    pub fn remove(&mut self, object: &Received) {
        let name = &object.meta().object.name;
        match object {
            Received::ConfigMap(_) => drop(self.config_maps.remove(name)),
            Received::EndpointSlice(slice) => {
                let service = slice.service_name();
                if let Some(slices) = self.slices.get_mut(&service) {
                    slices.retain(|other| other.meta.object.name != *name);
                    if slices.is_empty() {
                        self.slices.remove(&service);
                    }
                }
            }
            Received::Ingress(_) => drop(self.ingresses.remove(name)),
            Received::IngressClass(_) => drop(self.classes.remove(name)),
            Received::Pod(_) => drop(self.pods.remove(name)),
            Received::Secret(_) => drop(self.secrets.remove(name)),
            Received::Service(_) => drop(self.services.remove(name)),
        }
    }

    /// The object of this kind and name; for a slice, that of the same Service.
    pub fn find(&self, object: &Received) -> Option<Received> {
        let name = &object.meta().object.name;
        match object {
            Received::ConfigMap(_) => self.config_maps.get(name).cloned().map(Received::ConfigMap),
            Received::EndpointSlice(slice) => {
                let slices = self.slices.get(&slice.service_name())?;
                let found = slices.iter().find(|other| other.meta.object.name == *name)?;
                Some(Received::EndpointSlice(Arc::clone(found)))
            }
            Received::Ingress(_) => self.ingresses.get(name).cloned().map(Received::Ingress),
            Received::IngressClass(_) => self.classes.get(name).cloned().map(Received::IngressClass),
            Received::Pod(_) => self.pods.get(name).cloned().map(Received::Pod),
            Received::Secret(_) => self.secrets.get(name).cloned().map(Received::Secret),
            Received::Service(_) => self.services.get(name).cloned().map(Received::Service),
        }
    }

    /// Gives back the room that maps have to spare after many inserts.
    pub fn pack(&mut self) {
        fn pack<K: Ord, V>(map: &mut BTreeMap<K, V>) {
            *map = mem::take(map).into_iter().collect();
        }
        pack(&mut self.ingresses);
        pack(&mut self.classes);
        pack(&mut self.services);
        pack(&mut self.slices);
        pack(&mut self.secrets);
        pack(&mut self.config_maps);
        pack(&mut self.pods);
    }

    /// Where an object stands now. EndpointSlices are not found: nothing is blamed on them.
    pub fn object(&self, kind: Kind, name: &Name) -> Option<&Arc<Object>> {
        let meta = match kind {
            Kind::ConfigMap => self.config_maps.get(name).map(|map| &map.meta),
            Kind::Ingress => self.ingresses.get(name).map(|ingress| &ingress.meta),
            Kind::IngressClass => self.classes.get(name).map(|class| &class.meta),
            Kind::Pod => self.pods.get(name).map(|pod| &pod.meta),
            Kind::Secret => self.secrets.get(name).map(|secret| &secret.meta),
            Kind::Service => self.services.get(name).map(|service| &service.meta),
            Kind::EndpointSlice | Kind::File | Kind::Flag | Kind::Namespace | Kind::Node => None,
        };
        meta.map(|meta| &meta.object)
    }
}
