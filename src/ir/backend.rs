//! Backends (a Service port as the far side) and their endpoints.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use super::{Affinity, BackendTls, Balancing, Canary, Name, Origin};

/// A Service port by the name or number that identifies it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortKey {
    /// The name of a ServicePort.
    Name(Arc<str>),
    /// The number of a ServicePort that has no name, or of one that does not exist.
    Number(u16),
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortKey::Name(name) => f.write_str(name),
            PortKey::Number(number) => number.fmt(f),
        }
    }
}

/// Identity of a backend: health, counters and stickiness are kept under it. Two Ingresses that name one ServicePort,
/// one by name and one by number, share one backend. Many places hold it, so it is one pointer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(Arc<BackendKey>);

/// The parts of a [`BackendId`].
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// The Service.
    pub service: Name,
    /// Its port: the ServicePort's name if it has one, else its number; as the Ingress writes it if there is none.
    pub port: PortKey,
}

impl BackendId {
    /// The backend of a Service port.
    pub fn new(service: Name, port: PortKey) -> BackendId {
        BackendId(Arc::new(BackendKey { service, port }))
    }
}

impl Deref for BackendId {
    type Target = BackendKey;

    fn deref(&self) -> &BackendKey {
        &self.0
    }
}

impl fmt::Display for BackendId {
    /// `shop/web:http`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}

/// What is spoken to the endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1 in clear text.
    #[default]
    Http1,
    /// HTTP/2 in clear text, with prior knowledge.
    H2c,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/1.1, over TLS for requests that came over TLS.
    Auto,
}

impl Protocol {
    /// The word of the admin API: `http1`, `h2c`, `https`, `h2`, `auto`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http1 => "http1",
            Protocol::H2c => "h2c",
            Protocol::Https => "https",
            Protocol::H2 => "h2",
            Protocol::Auto => "auto",
        }
    }

    /// What is spoken for a request that came over TLS, or not: never [`Protocol::Auto`].
    pub fn of_request(self, is_tls: bool) -> Protocol {
        match self {
            Protocol::Auto if is_tls => Protocol::Https,
            Protocol::Auto => Protocol::Http1,
            protocol => protocol,
        }
    }

    /// Whether the connection is TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Protocol::Https | Protocol::H2)
    }

    /// Whether HTTP/2 is spoken.
    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::H2c | Protocol::H2)
    }
}

/// How a back end is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// What is spoken.
    pub protocol: Protocol,
    /// TLS, where that is more than a connection to whoever answers.
    pub tls: Option<Arc<BackendTls>>,
}

/// Where a backend's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointSource {
    /// The Service's own address and port, behind which the cluster chooses (`service-upstream`).
    Fixed(SocketAddr),
    /// Nowhere: no such Service, no such port, or refused.
    None,
    /// EndpointSlices of the Service: the slice port of this name (empty = unnamed), else this number.
    Slices {
        /// Name of the ServicePort, as in the slices.
        port_name: Arc<str>,
        /// A numeric `targetPort` (or, headless without ports, the Ingress's number), for slices that lack the name.
        target_port: Option<u16>,
        /// `spec.ipFamilies[0]` is IPv6: its slices first, the other family's only when there is no usable one.
        prefer_ipv6: bool,
    },
    /// A DNS name, resolved at run time.
    Dns {
        /// The name, without trailing dot, in lower case; may be an IP literal.
        name: Arc<str>,
        /// Port of each address.
        port: u16,
        /// Addresses of this machine count (a folder); else they are refused like link-local ones.
        allow_loopback: bool,
    },
}

/// One Service port that routes name.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Its identity.
    pub id: BackendId,
    /// What the endpoints speak.
    pub protocol: Protocol,
    /// TLS, where that is more than a connection to whoever answers.
    pub tls: Option<Arc<BackendTls>>,
    /// How routes speak whose Ingress says nothing of it, where that is not as above.
    pub unsaid: Option<Speech>,
    /// How an endpoint is chosen and judged.
    pub balancing: Arc<Balancing>,
    /// What keeps a client at its endpoint.
    pub affinity: Option<Affinity>,
    /// What takes a share of the requests that routes send here.
    pub canary: Option<Arc<Canary>>,
    /// Where the endpoints come from.
    pub source: EndpointSource,
    /// The first field that names it.
    pub origin: Origin,
}

/// One address of a backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// Name of the Pod, from `targetRef`.
    pub pod: Option<Arc<str>>,
    /// Relative weight, 1 to 1000.
    pub weight: u16,
    /// The second half of its sticky cookie ([`Affinity`]), where the backend has one.
    pub key: Option<[u8; 12]>,
    /// It gets nothing new but sticky clients: it is not ready, and still serves. Where all drain they get everything.
    pub draining: bool,
    /// Another zone than ours, which is preferred: it gets nothing new but sticky clients as long as enough are in use here.
    pub elsewhere: bool,
}

/// The endpoints of one backend, by address; no address twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSet {
    /// Sorted by address.
    pub endpoints: Vec<Endpoint>,
    /// What the backend has besides and does not use, sorted by address: whoever asks is told why.
    pub unready: Vec<Unready>,
}

impl EndpointSet {
    /// These, and nothing besides.
    pub fn of(endpoints: Vec<Endpoint>) -> EndpointSet {
        EndpointSet { endpoints, unready: Vec::new() }
    }
}

/// An address that gets no request, not even as the last resort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unready {
    /// Address and port.
    pub address: SocketAddr,
    /// It is on its way out, and does not serve any more.
    pub terminating: bool,
}

impl Unready {
    /// Why it gets none.
    pub fn why(self) -> &'static str {
        if self.terminating { "terminating and not serving" } else { "not ready" }
    }
}

/// Endpoints by backend: what the second road carries.
pub type EndpointSets = BTreeMap<BackendId, EndpointSet>;
