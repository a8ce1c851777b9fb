//! What one Ingress asks for, before it is merged with what the others ask for.

use std::net::SocketAddr;
use std::sync::Arc;

use super::ingress::annotations::snippet::Rules;
use super::said::{Said, Told};
use crate::ir::{
    Alias, BackendId, CanaryRule, Certificate, Cipher, ClientAuth, EndpointSource, Filters, HostPattern, HostRedirect,
    Name, Object, Origin, PathMatch, Policy, PortKey, Problem, Protocol, Reason, Rejected, Route, Severity, Speech,
    Target,
};

/// Everything that one Ingress asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// Hosts, sorted, each once.
    pub(super) hosts: Box<[Arc<HostClaim>]>,
    /// What it asks for beside other Ingresses, by host, sorted.
    pub(super) canaries: Box<[Arc<CanaryClaims>]>,
    /// Backends, sorted, each once.
    pub(super) backends: Box<[Arc<BackendClaim>]>,
    /// What is wrong with it whatever the others say.
    pub(super) problems: Vec<Problem>,
    /// What is not served whatever the others say.
    pub(super) rejected: Vec<Arc<Rejected>>,
}

/// What one Ingress asks for on one host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HostClaim {
    /// The host.
    pub(super) host: HostPattern,
    /// The Ingress.
    pub(super) origin: Origin,
    /// Its paths, as ordered in the object.
    pub(super) routes: Box<[RouteClaim]>,
    /// What a request for no declared path gets if this Ingress is the host's first.
    pub(super) root: RootClaim,
    /// What it says of all its hosts, if anything.
    pub(super) front: Option<Arc<Front>>,
    /// It has a `tls` section: requests to the host in clear text can be redirected.
    pub(super) has_tls: bool,
    /// The certificate it asks for, if it has a `tls` section.
    pub(super) certificate: Option<Box<CertificateClaim>>,
}

/// What a backend reference leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Aim {
    /// What answers.
    pub(super) target: Target,
    /// The port of the Service as written, where the backend is not called so.
    pub(super) port: Option<PortKey>,
    /// How the backend is spoken to, where the Ingress says it.
    pub(super) speech: Option<Arc<Speech>>,
}

impl From<Target> for Aim {
    fn from(target: Target) -> Aim {
        Aim { target, port: None, speech: None }
    }
}

/// One path of one Ingress on one host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RouteClaim {
    /// The route, its TLS redirect decided by this Ingress alone.
    pub(super) route: Arc<Route>,
    /// The path as written, for people.
    pub(super) written: Arc<str>,
    /// How requests in clear text are redirected.
    pub(super) redirect: Redirect,
    /// It comes from `spec.defaultBackend` without rules, so a rule for the same path goes before it.
    pub(super) is_catch_all: bool,
    /// Its path is a regular expression, which makes all paths of the host such.
    pub(super) is_regex: bool,
    /// As a regular expression it would take more memory than is left for its Ingress.
    pub(super) is_costly: bool,
}

/// What one canary asks for on one host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CanaryClaims {
    /// The host.
    pub(super) host: HostPattern,
    /// Its paths, as ordered in the object.
    pub(super) paths: Box<[Arc<CanaryClaim>]>,
}

/// One path of one canary.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CanaryClaim {
    /// The path of the route beside which it stands: as an ordinary one, and as a regular expression.
    pub(super) paths: Box<[PathMatch]>,
    /// The path as written, for people.
    pub(super) written: Arc<str>,
    /// The backend that takes the share.
    pub(super) backend: BackendId,
    /// The port of its Service as written, where the backend is not called so.
    pub(super) port: Option<PortKey>,
    /// Which requests it takes.
    pub(super) rule: Arc<CanaryRule>,
    /// The cookie of the mainline does not remember it.
    pub(super) is_legacy: bool,
    /// The Ingress and the field.
    pub(super) origin: Origin,
}

/// The implicit root as one Ingress would have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RootClaim {
    /// Its own `spec.defaultBackend`.
    pub(super) own: Option<Aim>,
    /// Times and sizes towards `own`.
    pub(super) policy: Arc<Policy>,
    /// How requests in clear text are redirected.
    pub(super) redirect: Redirect,
    /// What else happens to a request.
    pub(super) filters: Arc<Filters>,
    /// No backend may be reached through it: an access rule of the Ingress cannot be honoured.
    pub(super) closed: Option<Reason>,
}

/// What one Ingress says of each of its hosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Front {
    /// `app-root`.
    pub(super) app_root: Option<Told<Arc<HostRedirect>>>,
    /// `server-alias`.
    pub(super) aliases: Option<Told<Box<[Alias]>>>,
    /// `auth-tls-secret` and what belongs to it.
    pub(super) client_auth: Option<Told<Arc<ClientAuth>>>,
    /// `ssl-ciphers`.
    pub(super) ciphers: Option<Told<Box<[Cipher]>>>,
    /// `ssl-prefer-server-ciphers`.
    pub(super) server_order: Option<Told<bool>>,
    /// `ssl-passthrough`, with the times by which bytes are passed on.
    pub(super) passthrough: Option<Told<Arc<Policy>>>,
    /// `server-snippet`.
    pub(super) snippet: Option<Told<Arc<Rules>>>,
    /// `from-to-www-redirect`.
    pub(super) www: bool,
}

/// How requests in clear text are redirected to https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    /// When they are.
    pub(super) when: When,
    /// With the slash at the end of the target (`preserve-trailing-slash`).
    pub(super) keeps_slash: bool,
    /// To the https port (`use-port-in-redirects`), if anything is said about it.
    pub(super) has_port: Option<bool>,
}

impl Redirect {
    /// They are not.
    pub(super) const NEVER: Redirect = Redirect { when: When::Never, keeps_slash: false, has_port: None };
}

/// When requests in clear text are redirected to https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Always, where there is an https port (`force-ssl-redirect`).
    Always,
    /// Never.
    Never,
    /// If any Ingress of the host has a `tls` section (`ssl-redirect`).
    WithTls,
}

/// The certificate that one Ingress wants for one host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CertificateClaim {
    /// The `tls` entry, as `spec.tls[0]`.
    pub(super) field: Arc<str>,
    /// Its Secret; `None` asks for the default certificate.
    pub(super) secret: Option<Name>,
    /// What can be served.
    pub(super) certificate: Option<Arc<Certificate>>,
    /// What is wrong with it; it counts only where this claim decides.
    pub(super) problems: Vec<Problem>,
}

/// What one Ingress says about one Service port.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BackendClaim {
    /// The Service port.
    pub(super) id: BackendId,
    /// The first field that names it.
    pub(super) origin: Origin,
    /// What the Service says.
    pub(super) facts: BackendFacts,
    /// What its annotations say, if anything.
    pub(super) said: Option<Said>,
}

/// What the Service says about one of its ports; the same for everybody who names it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BackendFacts {
    /// By `appProtocol`.
    pub(super) protocol: Protocol,
    /// What its annotations say, if anything.
    pub(super) said: Option<Said>,
    /// Where the endpoints come from.
    pub(super) source: EndpointSource,
    /// The Service's own address and port, if it has them.
    pub(super) own_address: Option<SocketAddr>,
    /// Its `spec.trafficDistribution`, for which Kubernetes writes hints into its slices, and the Service itself.
    pub(super) traffic: Option<(Arc<Object>, Arc<str>)>,
}

impl BackendFacts {
    /// What is known where no Service says more.
    pub(super) fn of(protocol: Protocol, source: EndpointSource) -> BackendFacts {
        BackendFacts { protocol, said: None, source, own_address: None, traffic: None }
    }
}

/// A problem, in full.
pub(super) fn problem(
    object: &Arc<Object>,
    severity: Severity,
    reason: Reason,
    field: impl Into<String>,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Problem {
    Problem {
        object: Arc::clone(object),
        severity,
        reason,
        field: field.into(),
        message: message.into(),
        hint: hint.into(),
    }
}
