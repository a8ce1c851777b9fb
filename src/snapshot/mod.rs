//! The objects as received, reduced to the fields that are read.
//!
//! A [`Snapshot`] is what the cluster (or a folder) says, nothing more: a reference may point nowhere and a Secret may
//! hold junk. Beside the content of each Secret stands the last content that could be served, so that a bad rotation
//! keeps the certificate that works.

mod objects;
pub mod secret;
pub mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::objects::{
    AddressFamily, ClassRef, EndpointSlice, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule,
    IngressTls, Meta, PathType, Pod, Secret, SecretContent, Service, ServicePort, ServiceType, SliceEndpoint,
    SlicePort, TargetPort, Version,
};
use crate::ir::{Name, Problem};

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
