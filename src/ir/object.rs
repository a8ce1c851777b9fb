//! Where a thing came from: the object to blame and the field in it.

use std::fmt;
use std::sync::Arc;

/// Kinds of objects that are read, and the two places a problem can have besides an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1 ConfigMap`.
    ConfigMap,
    /// `discovery.k8s.io/v1 EndpointSlice`.
    EndpointSlice,
    /// A file of a manifest folder, when no object could be read from it.
    File,
    /// A command-line flag.
    Flag,
    /// `networking.k8s.io/v1 Ingress`.
    Ingress,
    /// `networking.k8s.io/v1 IngressClass` (no namespace).
    IngressClass,
    /// `v1 Namespace` (no namespace).
    Namespace,
    /// `v1 Node` (no namespace).
    Node,
    /// `v1 Pod`.
    Pod,
    /// `v1 Secret`.
    Secret,
    /// `v1 Service`.
    Service,
}

impl Kind {
    /// The kind as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::ConfigMap => "ConfigMap",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::File => "File",
            Kind::Flag => "Flag",
            Kind::Ingress => "Ingress",
            Kind::IngressClass => "IngressClass",
            Kind::Namespace => "Namespace",
            Kind::Node => "Node",
            Kind::Pod => "Pod",
            Kind::Secret => "Secret",
            Kind::Service => "Service",
        }
    }
}

/// `namespace/name`. Cluster-scoped objects have an empty namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Namespace; empty for cluster-scoped objects and files.
    pub namespace: Arc<str>,
    /// Name within the namespace.
    pub name: Arc<str>,
}

impl Name {
    /// A name from its two parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Name { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// One object, and in a folder the file and line where its document begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// Kind of the object.
    pub kind: Kind,
    /// Its name; for `Kind::File` the path, for `Kind::Flag` the flag.
    pub name: Name,
    /// The file that holds it, in folder mode.
    pub file: Option<Arc<str>>,
    /// Line (from 1) of the document in that file, or of the fault.
    pub line: Option<u32>,
}

impl fmt::Display for Object {
    /// `ingress shop/web`: the kind in lower case, then the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str().to_ascii_lowercase(), self.name)
    }
}

/// An object and the field in it that a route, backend or problem comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The object.
    pub object: Arc<Object>,
    /// Path of the field, as in `spec.rules[0].http.paths[1]`; empty for the whole object.
    pub field: Arc<str>,
}
