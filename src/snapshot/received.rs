//! One object of any kind that is read.

use std::sync::Arc;

use super::{ConfigMap, EndpointSlice, Ingress, IngressClass, Meta, Pod, Secret, Service};
use crate::ir::Object;

/// One object as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// `v1 ConfigMap`.
    ConfigMap(Arc<ConfigMap>),
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
            Received::ConfigMap(map) => &map.meta,
            Received::EndpointSlice(slice) => &slice.meta,
            Received::Ingress(ingress) => &ingress.meta,
            Received::IngressClass(class) => &class.meta,
            Received::Pod(pod) => &pod.meta,
            Received::Secret(secret) => &secret.meta,
            Received::Service(service) => &service.meta,
        }
    }

    /// The same object, found on another line of its file.
    pub(super) fn on_line(&self, line: u32) -> Received {
        let mut moved = self.clone();
        if self.meta().object.line != Some(line) {
            let meta = moved.meta_mut();
            meta.object = Arc::new(Object { line: Some(line), ..Object::clone(&meta.object) });
        }
        moved
    }

    fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Received::ConfigMap(map) => &mut Arc::make_mut(map).meta,
            Received::EndpointSlice(slice) => &mut Arc::make_mut(slice).meta,
            Received::Ingress(ingress) => &mut Arc::make_mut(ingress).meta,
            Received::IngressClass(class) => &mut Arc::make_mut(class).meta,
            Received::Pod(pod) => &mut Arc::make_mut(pod).meta,
            Received::Secret(secret) => &mut Arc::make_mut(secret).meta,
            Received::Service(service) => &mut Arc::make_mut(service).meta,
        }
    }
}
