//! The read fields of each kind, named as the Kubernetes API names them.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Annotations, Uid};
use crate::ir::{Certificate, Name, Object};

/// Tells two contents of one object apart: a hash of resourceVersion and uid, or in a folder of the object itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// What every object has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Kind, name, and the file it came from.
    pub object: Arc<Object>,
    /// `metadata.uid`; empty in a folder that gives none.
    pub uid: Arc<str>,
    /// `metadata.creationTimestamp`, seconds since the epoch; `None` counts as oldest.
    pub created: Option<i64>,
    /// Changes whenever the object does.
    pub version: Version,
}

impl Hash for Meta {
    /// What of it is content: not the version, which is made from the hash, and not the file and line, so that an object
    /// which only moves within its file keeps its version.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.object.kind.hash(state);
        self.object.name.hash(state);
        self.uid.hash(state);
        self.created.hash(state);
    }
}

impl Version {
    /// The version of an object that has none of its own. Equal contents have equal versions, also after a restart.
    pub fn of(content: &impl Hash) -> Version {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Version(hasher.finish())
    }
}

/// `networking.k8s.io/v1 Ingress`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ingress {
    /// Name, age, version.
    pub meta: Meta,
    /// Annotations that somebody here may read (ours, ingress-nginx's, `kubernetes.io/ingress.class`).
    pub annotations: Annotations,
    /// `spec.ingressClassName`.
    pub class: Option<Arc<str>>,
    /// `spec.defaultBackend`.
    pub default_backend: Option<IngressBackend>,
    /// `spec.tls`.
    pub tls: Vec<IngressTls>,
    /// `spec.rules`.
    pub rules: Vec<IngressRule>,
    /// `status.loadBalancer`.
    pub published: Published,
}

/// The addresses that an Ingress has in its status, IP addresses and host names, in order. Nothing is compiled from them,
/// so they are no part of the version: writing the status is no change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published(pub Box<[Arc<str>]>);

impl Hash for Published {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// Which class an object without `spec.ingressClassName` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClassRef<'a> {
    /// `kubernetes.io/ingress.class`.
    Annotation(&'a str),
    /// `spec.ingressClassName`.
    Field(&'a str),
    /// Neither.
    None,
}

impl Ingress {
    /// The class it asks for; the field wins over the annotation.
    pub fn class_ref(&self) -> ClassRef<'_> {
        match (&self.class, self.annotations.get("kubernetes.io/ingress.class")) {
            (Some(class), _) => ClassRef::Field(class),
            (None, Some(class)) => ClassRef::Annotation(class),
            (None, None) => ClassRef::None,
        }
    }
}

/// One entry of `spec.tls`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IngressTls {
    /// `hosts`, as written.
    pub hosts: Vec<Arc<str>>,
    /// `secretName`.
    pub secret: Option<Arc<str>>,
}

/// One entry of `spec.rules`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IngressRule {
    /// `host`, as written; `None` or empty = any.
    pub host: Option<Arc<str>>,
    /// `http.paths`; empty when there is no `http`.
    pub paths: Vec<IngressPath>,
}

/// One entry of `http.paths`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IngressPath {
    /// `path`, as written.
    pub path: Option<Arc<str>>,
    /// `pathType`.
    pub path_type: PathType,
    /// `backend`.
    pub backend: IngressBackend,
}

/// `pathType`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathType {
    /// `Exact`.
    Exact,
    /// `ImplementationSpecific`, or none given.
    ImplementationSpecific,
    /// `Prefix`.
    Prefix,
    /// Some other word, which the API server would have refused.
    Unknown(Arc<str>),
}

/// `IngressBackend`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IngressBackend {
    /// `service`: name and port; a port with neither name nor number is `None`.
    Service {
        /// `service.name`.
        name: Arc<str>,
        /// `service.port`.
        port: Option<crate::ir::PortKey>,
    },
    /// `resource`, which is not served: kind and name.
    Resource {
        /// `resource.kind`.
        kind: Arc<str>,
        /// `resource.name`.
        name: Arc<str>,
    },
    /// Neither, which the API server would have refused.
    Missing,
}

/// `networking.k8s.io/v1 IngressClass`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IngressClass {
    /// Name, age, version.
    pub meta: Meta,
    /// `spec.controller`.
    pub controller: Arc<str>,
    /// Annotation `ingressclass.kubernetes.io/is-default-class` is `true`.
    pub is_default: bool,
    /// `spec.parameters` is set.
    pub has_parameters: bool,
}

/// `v1 Service`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Name, age, version.
    pub meta: Meta,
    /// `fairlead.dev/` annotations.
    pub annotations: Annotations,
    /// `spec.type`.
    pub service_type: ServiceType,
    /// `spec.clusterIP` is `None`.
    pub is_headless: bool,
    /// `spec.clusterIP`, if it is an address.
    pub cluster_ip: Option<IpAddr>,
    /// `spec.externalName`.
    pub external_name: Option<Arc<str>>,
    /// `spec.ipFamilies[0]` is IPv6.
    pub prefer_ipv6: bool,
    /// `spec.sessionAffinity` is `ClientIP`.
    pub client_ip_affinity: bool,
    /// `spec.trafficDistribution`.
    pub traffic_distribution: Option<Arc<str>>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
}

/// `spec.type`, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceType {
    /// `ClusterIP`, `NodePort`, `LoadBalancer`.
    Cluster,
    /// `ExternalName`.
    ExternalName,
}

/// One entry of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// `name`; empty when there is none.
    pub name: Arc<str>,
    /// `port`.
    pub port: u16,
    /// `targetPort`.
    pub target_port: Option<TargetPort>,
    /// `protocol` is TCP or absent.
    pub is_tcp: bool,
    /// `appProtocol`.
    pub app_protocol: Option<Arc<str>>,
}

/// `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// The name of a container port.
    Name(Arc<str>),
    /// A number.
    Number(u16),
}

/// `addressType` of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// `FQDN` or another word: not read.
    Other,
    /// `IPv4`.
    V4,
    /// `IPv6`.
    V6,
}

/// `discovery.k8s.io/v1 EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointSlice {
    /// Name, age, version.
    pub meta: Meta,
    /// Label `kubernetes.io/service-name`.
    pub service: Arc<str>,
    /// `addressType`.
    pub family: AddressFamily,
    /// `ports`.
    pub ports: Vec<SlicePort>,
    /// `endpoints`.
    pub endpoints: Vec<SliceEndpoint>,
}

impl EndpointSlice {
    /// The Service that it belongs to, in its own namespace.
    pub fn service_name(&self) -> Name {
        Name { namespace: Arc::clone(&self.meta.object.name.namespace), name: Arc::clone(&self.service) }
    }
}

/// One entry of `ports`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlicePort {
    /// `name`; null = empty.
    pub name: Arc<str>,
    /// `port`; null = all ports, not usable here.
    pub port: Option<u16>,
    /// `protocol` is TCP or absent.
    pub is_tcp: bool,
}

/// One entry of `endpoints`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SliceEndpoint {
    /// `addresses` that parse as IP addresses.
    pub addresses: Vec<IpAddr>,
    /// `conditions.ready` is true or absent.
    pub ready: bool,
    /// `conditions.serving`; absent = as `ready`.
    pub serving: bool,
    /// `conditions.terminating` is true.
    pub terminating: bool,
    /// Name of the Pod, when `targetRef` is one.
    pub pod: Option<Arc<str>>,
    /// `targetRef.uid` of the Pod.
    pub pod_uid: Option<Uid>,
    /// `hints.forZones`: the zones whose clients it is meant for.
    pub zones: Box<[Arc<str>]>,
}

/// `v1 Pod` with a weight label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Name, age, version.
    pub meta: Meta,
    /// Label `fairlead.dev/weight`, as written.
    pub weight: Arc<str>,
}

/// `v1 ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigMap {
    /// Name, age, version.
    pub meta: Meta,
    /// `data`. What is not text (`binaryData`) is not read.
    pub data: Annotations,
}

/// `v1 Secret`, its certificate parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// Name, age, version.
    pub meta: Meta,
    /// What the object holds now.
    pub current: SecretContent,
    /// The last certificate it held that could be served, if `current` is not one.
    pub last_good: Option<Arc<Certificate>>,
    /// What it holds besides `tls.crt` and `tls.key`.
    pub others: SecretParts,
}

/// Keys of a Secret with their content, which is never printed.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct SecretParts(Arc<BTreeMap<String, Vec<u8>>>);

impl SecretParts {
    /// All of `data` but the parts of a certificate to serve.
    pub fn of(mut data: BTreeMap<String, Vec<u8>>) -> SecretParts {
        data.retain(|key, _| key != "tls.crt" && key != "tls.key");
        SecretParts(Arc::new(data))
    }

    /// The content of one key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// Every key with its content.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(key, content)| (&**key, &**content))
    }
}

impl fmt::Debug for SecretParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// What a Secret holds, as a certificate.
#[derive(Clone, Debug, PartialEq)]
pub enum SecretContent {
    /// `tls.crt` and `tls.key` that can be served.
    Certificate(Arc<Certificate>),
    /// The API server does not let us read it, and what it says.
    Forbidden(String),
    /// Why it cannot be served, as a sentence part: `tls.key is missing`.
    Unusable(String),
}

impl Secret {
    /// A Secret with its version, which tells apart what it would serve.
    pub fn new(
        mut meta: Meta,
        current: SecretContent,
        others: SecretParts,
        last_good: Option<Arc<Certificate>>,
    ) -> Secret {
        let content = match &current {
            SecretContent::Certificate(certificate) => Ok(certificate.fingerprint),
            SecretContent::Forbidden(why) | SecretContent::Unusable(why) => {
                Err((why, last_good.as_ref().map(|certificate| certificate.fingerprint)))
            }
        };
        meta.version = Version::of(&(&meta, content, &others));
        Secret { meta, current, last_good, others }
    }

    /// The certificate to serve: the current one, else the last good one.
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        match &self.current {
            SecretContent::Certificate(certificate) => Some(certificate),
            SecretContent::Forbidden(_) | SecretContent::Unusable(_) => self.last_good.as_ref(),
        }
    }

    /// The same, with what `before` served as the last good certificate if this one cannot be served.
    pub fn after(self: &Arc<Self>, before: Option<&Arc<Secret>>) -> Arc<Secret> {
        let (None, Some(before)) = (self.certificate(), before) else { return Arc::clone(self) };
        let Some(last_good) = before.certificate() else { return Arc::clone(self) };
        if before.current == self.current && before.others == self.others && before.meta.object == self.meta.object {
            return Arc::clone(before);
        }
        let others = self.others.clone();
        Arc::new(Secret::new(self.meta.clone(), self.current.clone(), others, Some(Arc::clone(last_good))))
    }
}
