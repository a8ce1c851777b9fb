//! One object of any kind that is read.

use std::sync::Arc;

use super::{EndpointSlice, Ingress, IngressClass, Meta, Pod, Secret, Service};

/// One object as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// `discovery.k8s.io/v1 EndpointSlice` of a Service.
    EndpointSlice(Arc<EndpointSlice>),
    /// `networking.k8s.io/v1 Ingress`.
    Ingress(Arc<Ingress>),
    /// `networking.k8s.io/v1 IngressClass`.
    IngressClass(Arc<IngressClass>),
    /// `v1 Pod` with a weight.
    Pod(Arc<Pod>),
    /// `v1 Secret`.
    Secret(Arc<Secret>),
    /// `v1 Service`.
    Service(Arc<Service>),
}

impl Received {
    /// Name, age, version.
    pub fn meta(&self) -> &Meta {
        match self {
            Received::EndpointSlice(slice) => &slice.meta,
            Received::Ingress(ingress) => &ingress.meta,
            Received::IngressClass(class) => &class.meta,
            Received::Pod(pod) => &pod.meta,
            Received::Secret(secret) => &secret.meta,
            Received::Service(service) => &service.meta,
        }
    }
}
