//! Virtual hosts, routes and what happens to a request on them.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{
    BackendId, Caching, ClientAuth, Compression, Filters, HostPattern, HostRedirect, HostTls, Kind, Name, Object,
    Origin, Part, PathPattern, PortKey, Reason, Speech, Tracing,
};

/// One host with its routes.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualHost {
    /// Names it answers to.
    pub host: HostPattern,
    /// Routes in order of [`Rank`], no two with the same path and kind; regular expressions in the order in which they are
    /// tried.
    pub routes: Vec<Arc<Route>>,
    /// What is answered before any of them.
    pub redirect: Option<Arc<HostRedirect>>,
    /// Client certificates, if they are asked for or should be.
    pub client_auth: Option<Arc<ClientAuth>>,
    /// How TLS is spoken, where that is not as on other hosts.
    pub tls: Option<Arc<HostTls>>,
    /// Where TLS goes that is not opened here (`ssl-passthrough`): the route of `/`, without what acts on requests.
    pub passthrough: Option<Arc<Route>>,
}

/// One path of one host.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which request paths it takes.
    pub path: PathMatch,
    /// Not written by anybody: the root that a host gets until some Ingress declares `/`.
    pub implicit: bool,
    /// The Ingress and field it comes from.
    pub origin: Origin,
    /// What answers.
    pub target: Target,
    /// The port of the Service as written, where the backend is not called so.
    pub port: Option<PortKey>,
    /// How the backend is spoken to, where the Ingress says it: others may speak to the same one in another way.
    pub speech: Option<Arc<Speech>>,
    /// What happens to a request before and after the upstream. Most routes have the same, and share it.
    pub filters: Arc<Filters>,
    /// Times, sizes and retries of the exchange, shared likewise.
    pub policy: Arc<Policy>,
}

impl Route {
    /// Field of an Ingress that says where paths go which nobody declares.
    pub const DEFAULT_BACKEND: &str = "spec.defaultBackend";
    /// What ingress-nginx calls the backend of all that no Ingress says anything of.
    pub const DEFAULT_UPSTREAM: &str = "upstream-default-backend";

    /// Whether nobody declared it, nor where it goes: then that is the default backend of all hosts, if there is one.
    pub fn is_default(&self) -> bool {
        let goes_nowhere = matches!(self.target, Target::Closed(_));
        self.implicit && !goes_nowhere && &*self.origin.field != Route::DEFAULT_BACKEND
    }

    /// The Ingress it comes from; `None` where it comes from a flag.
    pub fn ingress(&self) -> Option<&Name> {
        let Object { kind, name, .. } = &*self.origin.object;
        (*kind == Kind::Ingress).then_some(name)
    }

    /// What a variable says of the route; `None` of one that says something of the request.
    pub fn name(&self, part: &Part) -> Option<Arc<str>> {
        let object = self.ingress();
        let id = match &self.target {
            Target::Backend(id) => Some(id),
            Target::Closed(_) | Target::NotFound => None,
        };
        let port = |id: &BackendId| self.port.as_ref().unwrap_or(&id.port).to_string();
        match part {
            Part::Namespace => Some(object.map(|name| Arc::clone(&name.namespace)).unwrap_or_default()),
            Part::IngressName => Some(object.map(|name| Arc::clone(&name.name)).unwrap_or_default()),
            Part::ServiceName => Some(id.map(|id| Arc::clone(&id.service.name)).unwrap_or_default()),
            Part::ServicePort => Some(id.map(|id| port(id).into()).unwrap_or_default()),
            Part::RulePath => Some(Arc::clone(&self.path.path)),
            Part::UpstreamName if self.is_default() => Some(Route::DEFAULT_UPSTREAM.into()),
            Part::UpstreamName => {
                let name = |id: &BackendId| format!("{}-{}-{}", id.service.namespace, id.service.name, port(id));
                Some(id.map(|id| name(id).into()).unwrap_or_default())
            }
            _ => None,
        }
    }
}

/// What answers on a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A backend; it may have no endpoint at the moment (503).
    Backend(BackendId),
    /// 503 for every request, since serving the path would be wrong.
    Closed(Reason),
    /// 404: nobody declared the path.
    NotFound,
}

/// `pathType`, after ImplementationSpecific became Prefix; or what all paths of a host are where one of them is a regular
/// expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathKind {
    /// The path and nothing else.
    Exact,
    /// The path and everything below it, by segments.
    Prefix,
    /// What the expression finds. All routes of the host are such, in the order in which they are tried.
    Regex(PathPattern),
}

impl PathKind {
    /// The sign of the short text form: `=`, `^` or `~`.
    pub fn sign(&self) -> char {
        match self {
            PathKind::Exact => '=',
            PathKind::Prefix => '^',
            PathKind::Regex(_) => '~',
        }
    }

    /// The word of the admin API: `exact`, `prefix` or `regex`.
    pub fn as_str(&self) -> &'static str {
        match self {
            PathKind::Exact => "exact",
            PathKind::Prefix => "prefix",
            PathKind::Regex(_) => "regex",
        }
    }
}

/// A path with its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathMatch {
    /// How it is compared.
    pub kind: PathKind,
    /// The path in routing form (`uri::path`): begins with `/`, unreserved octets decoded, other escapes in upper
    /// case, no dot segments, no empty segments but a last one, which a written trailing slash leaves. Of a regular
    /// expression its text.
    pub path: Arc<str>,
}

impl PathMatch {
    /// Whether a request for `path` (in the form matched: routing form with runs of `/` as one) is taken.
    /// Prefix goes by segments; a trailing slash of the prefix is ignored (Ingress v1, "Path types").
    pub fn matches(&self, path: &str) -> bool {
        match &self.kind {
            PathKind::Exact => *self.path == *path,
            PathKind::Regex(pattern) => pattern.matches(path),
            PathKind::Prefix => {
                let prefix = self.path.strip_suffix('/').unwrap_or(&self.path);
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// What every path that is taken begins with, if not in letter case: where a cookie of the route is sent back to.
    pub fn start(&self) -> &str {
        match &self.kind {
            PathKind::Exact | PathKind::Prefix => &self.path,
            PathKind::Regex(pattern) if pattern.start().is_empty() => "/",
            PathKind::Regex(pattern) => pattern.start(),
        }
    }

    /// Precedence among the routes of one host that match `request`; the least rank answers, and of equal ones the first.
    pub fn rank(&self, request: &str) -> Rank {
        let trimmed = self.path.strip_suffix('/').unwrap_or(&self.path);
        let slash = self.path.len() != trimmed.len();
        match self.kind {
            PathKind::Exact | PathKind::Prefix => Rank {
                is_exact: Reverse(self.kind == PathKind::Exact),
                length: Reverse(trimmed.len()),
                slash_differs: slash != (request.len() > trimmed.len()),
            },
            // They stand in the order in which they are tried.
            PathKind::Regex(_) => Rank { is_exact: Reverse(false), length: Reverse(0), slash_differs: false },
        }
    }
}

impl fmt::Display for PathMatch {
    /// `^ /api`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.sign(), self.path)
    }
}

/// Precedence of matching routes as an order: Exact before Prefix, longer before shorter (Ingress v1, "Multiple
/// matches"), and of `p` and `p/` the one that is written like the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    is_exact: Reverse<bool>,
    length: Reverse<usize>,
    slash_differs: bool,
}

/// Times, sizes and retries of one exchange.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Policy {
    /// Longest waits.
    pub timeouts: Timeouts,
    /// Largest request body.
    pub body_limit: BodyLimit,
    /// Least mean rate of a request body, octets a second (`client-body-min-rate`); 0 = any.
    pub body_min_rate: u64,
    /// Hold the request body up to 64 KiB before sending it (`proxy-request-buffering`).
    pub buffer_request: bool,
    /// When a request is tried again.
    pub retry: Retry,
    /// Which protocol upgrades pass.
    pub upgrade: Upgrade,
    /// Pass request trailers on (`request-trailers: pass`).
    pub request_trailers: bool,
    /// HTTP/1.0 is spoken to the backend (`proxy-http-version`): one request a connection, no chunks, no upgrade.
    pub http10: bool,
    /// gRPC: no body limit, and the gap between body reads does not end a request.
    pub is_grpc: bool,
    /// How answers are compressed; `None` = not at all.
    pub compress: Option<Arc<Compression>>,
    /// Answers are kept and served again; `None` = never.
    pub cache: Option<Arc<Caching>>,
    /// How fast the body of an answer goes; `None` = as fast as the client takes it.
    pub pace: Option<Pace>,
    /// Spans of requests; `None` = none are asked for.
    pub trace: Option<Arc<Tracing>>,
    /// The Ingress asks for the backend's sticky cookie (`affinity: cookie`); else none is given out on the route.
    pub sticky: bool,
}

/// Longest waits of one exchange; the defaults stand in `settings::limits`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeouts {
    /// `proxy-connect-timeout`.
    pub connect: Duration,
    /// `proxy-read-timeout`: for the response head, and between two reads of the response body.
    pub read: Duration,
    /// `proxy-send-timeout`: an upstream that takes no bytes.
    pub send: Duration,
    /// A tunnel without bytes in either direction.
    pub tunnel_idle: Duration,
    /// `request-timeout`: from the first attempt to the end of the answer; `None` = however long that is.
    pub total: Option<Duration>,
}

/// How fast the body of one answer goes to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pace {
    /// `limit-rate`, octets a second; not 0.
    pub rate: u64,
    /// `limit-rate-after`: so many octets go before that counts.
    pub after: u64,
}

/// Largest request body, and the annotation to name when it is exceeded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BodyLimit {
    /// Bytes; 0 = unlimited.
    pub bytes: u64,
}

/// When and how often a request is tried on another endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retry {
    /// `proxy-next-upstream`.
    pub on: RetryOn,
    /// Attempts in all, the first one included; 0 = no limit but the number of endpoints.
    pub tries: u32,
    /// No further attempt after this time; zero = no limit.
    pub timeout: Duration,
}

/// What counts as a failed attempt (`proxy-next-upstream`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryOn {
    /// Connect failures, resets, closes before a response head.
    pub error: bool,
    /// Connect and response-head time-outs.
    pub timeout: bool,
    /// A head that is not HTTP.
    pub invalid_header: bool,
    /// Requests that are not idempotent too.
    pub non_idempotent: bool,
    /// Response statuses.
    pub statuses: Vec<u16>,
}

/// Which protocol upgrades pass (`fairlead.dev/upgrade`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upgrade {
    /// Any token but `h2c`, `HTTP/*` and `TLS/*`.
    #[default]
    Any,
    /// None.
    Off,
    /// `websocket` only.
    Websocket,
}
