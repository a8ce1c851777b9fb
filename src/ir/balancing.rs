//! How requests are spread over the endpoints of a backend, and how endpoints are judged.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Everything that decides which endpoint gets a request. Most backends have the same, and share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balancing {
    /// How one endpoint is chosen from several.
    pub algorithm: Algorithm,
    /// Use the endpoints of this node's zone where there are enough (`locality: prefer`).
    pub prefer_zone: bool,
    /// Ask endpoints whether they work; `None` = off.
    pub active: Option<ActiveCheck>,
    /// Judge endpoints by what becomes of requests; `None` = off.
    pub passive: Option<PassiveCheck>,
    /// Percent of the endpoints: when fewer are in use, all are.
    pub panic_threshold: u8,
    /// How long the weight of a new endpoint grows from 10 to 100 %; zero = at once.
    pub slow_start: Duration,
    /// Requests in flight, over all endpoints and workers; 0 = no limit.
    pub max_in_flight: u32,
}

impl Default for Balancing {
    fn default() -> Balancing {
        Balancing {
            algorithm: Algorithm::LeastConn,
            prefer_zone: false,
            active: None,
            passive: Some(PassiveCheck::default()),
            panic_threshold: 50,
            slow_start: Duration::ZERO,
            max_in_flight: 0,
        }
    }
}

/// How one endpoint is chosen from several.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Fewest requests in flight for the weight.
    #[default]
    LeastConn,
    /// In turn, smoothly by weight.
    RoundRobin,
    /// Drawn by weight.
    Random,
    /// Two drawn by weight, of which the one with fewer requests in flight.
    RandomTwo,
    /// Two drawn by weight, of which the one with the smaller product of latency and requests in flight.
    Ewma,
    /// The same endpoint for the same client address.
    IpHash,
    /// The same endpoint for the same text.
    Hash(Arc<Template>),
    /// One of the same few endpoints for the same text.
    HashSubset {
        /// What is hashed.
        by: Arc<Template>,
        /// How many endpoints a text has, 1 or more.
        size: u16,
    },
}

impl Algorithm {
    /// The value of `fairlead.dev/load-balance`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Algorithm::LeastConn => "least_conn",
            Algorithm::RoundRobin => "round_robin",
            Algorithm::Random => "random",
            Algorithm::RandomTwo => "random_two",
            Algorithm::Ewma => "ewma",
            Algorithm::IpHash => "ip_hash",
            Algorithm::Hash(_) | Algorithm::HashSubset { .. } => "hash",
        }
    }
}

/// A text with parts of the request in it, as `$arg_id-$host` describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template {
    /// In the order of the text.
    pub parts: Box<[Part]>,
}

impl Template {
    /// How many of its parts are a request's.
    pub fn variables(&self) -> usize {
        self.parts.iter().filter(|part| !matches!(part, Part::Text(_))).count()
    }

    /// The text, where no part is a request's.
    pub fn literal(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// One part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Stands as it is.
    Text(Arc<str>),
    /// `$remote_addr`: the address of the client.
    Address,
    /// `$remote_user`: the name in `Authorization: Basic`, whoever asked for one.
    User,
    /// `$request_uri`: path and query as the client wrote them.
    Uri,
    /// `$escaped_request_uri`: the same, escaped so that it can stand in a query.
    EscapedUri,
    /// `$uri`: the path in the form that routes match.
    Path,
    /// `$args`: the query without the question mark.
    Query,
    /// `$is_args`: a question mark if there is a query.
    QueryMark,
    /// `$host`: lower case, without port.
    Host,
    /// `$best_http_host`: the host that the client sees, with its port.
    Authority,
    /// `$server_port`: what `X-Forwarded-Port` says.
    Port,
    /// `$proxy_add_x_forwarded_for`: what came in `X-Forwarded-For`, and the address of the client behind it.
    ForwardedFor,
    /// `$request_method`.
    Method,
    /// `$scheme`: `http` or `https`.
    Scheme,
    /// `$namespace` of the Ingress; a text by the time that a request is served.
    Namespace,
    /// `$ingress_name`, likewise.
    IngressName,
    /// `$service_name`, likewise.
    ServiceName,
    /// `$service_port`, likewise.
    ServicePort,
    /// `$location_path`, the path of the rule, likewise.
    RulePath,
    /// `$proxy_upstream_name`, namespace, Service and port with hyphens between them, likewise.
    UpstreamName,
    /// `$request_id`: what `X-Request-ID` says.
    RequestId,
    /// `$server_protocol`: `HTTP/1.1`, `HTTP/2.0`.
    Protocol,
    /// `$hostname`: the name of this machine.
    Hostname,
    /// `$msec`: seconds since the epoch, with milliseconds.
    Msec,
    /// `$time_iso8601`: the time of day, in UTC.
    TimeIso,
    /// `$arg_NAME`: the first query argument of that name.
    Argument(Arc<str>),
    /// `$cookie_NAME`.
    Cookie(Arc<str>),
    /// `$http_NAME`: a header field, in lower case with hyphens.
    Field(Arc<str>),
}

impl fmt::Display for Template {
    /// As it would be written in an annotation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| part.fmt(f))
    }
}

impl Template {
    /// The parts that stand as they are.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(&**text),
            _ => None,
        })
    }
}

impl Part {
    /// Whether it says something of the route, and not of the request.
    pub fn is_name(&self) -> bool {
        matches!(
            self,
            Part::Namespace
                | Part::IngressName
                | Part::ServiceName
                | Part::ServicePort
                | Part::RulePath
                | Part::UpstreamName
        )
    }

    /// Whether it says something else from one moment to the next, so that no two requests need have it in common.
    pub fn is_of_the_moment(&self) -> bool {
        matches!(self, Part::Msec | Part::TimeIso)
    }
}

impl fmt::Display for Part {
    /// As it would be written in an annotation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Text(text) => f.write_str(text),
            Part::Address => f.write_str("$remote_addr"),
            Part::User => f.write_str("$remote_user"),
            Part::Uri => f.write_str("$request_uri"),
            Part::EscapedUri => f.write_str("$escaped_request_uri"),
            Part::QueryMark => f.write_str("$is_args"),
            Part::Path => f.write_str("$uri"),
            Part::Query => f.write_str("$args"),
            Part::Host => f.write_str("$host"),
            Part::Authority => f.write_str("$best_http_host"),
            Part::Port => f.write_str("$server_port"),
            Part::ForwardedFor => f.write_str("$proxy_add_x_forwarded_for"),
            Part::Method => f.write_str("$request_method"),
            Part::Scheme => f.write_str("$scheme"),
            Part::Namespace => f.write_str("$namespace"),
            Part::IngressName => f.write_str("$ingress_name"),
            Part::ServiceName => f.write_str("$service_name"),
            Part::ServicePort => f.write_str("$service_port"),
            Part::RulePath => f.write_str("$location_path"),
            Part::UpstreamName => f.write_str("$proxy_upstream_name"),
            Part::RequestId => f.write_str("$request_id"),
            Part::Protocol => f.write_str("$server_protocol"),
            Part::Hostname => f.write_str("$hostname"),
            Part::Msec => f.write_str("$msec"),
            Part::TimeIso => f.write_str("$time_iso8601"),
            Part::Argument(name) => write!(f, "$arg_{name}"),
            Part::Cookie(name) => write!(f, "$cookie_{name}"),
            Part::Field(name) => write!(f, "$http_{}", name.replace('-', "_")),
        }
    }
}

/// `health-check-*`: a question that is put to every endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActiveCheck {
    /// How it is put.
    pub probe: Probe,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// From one check to the next, ± 10 %.
    pub interval: Duration,
    /// The longest wait for the whole answer.
    pub timeout: Duration,
    /// So many failures in a row take an endpoint out of use.
    pub fall: u32,
    /// So many successes in a row bring it back.
    pub rise: u32,
}

impl ActiveCheck {
    /// The default `interval`.
    pub const INTERVAL: Duration = Duration::from_secs(5);
    /// The default `timeout`; no check waits longer than `interval`.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// The default `fall`.
    pub const FALL: u32 = 3;
    /// The default `rise`.
    pub const RISE: u32 = 2;
    /// The statuses that are right where none is said.
    pub const EXPECTED: [(u16, u16); 1] = [(200, 399)];
}

/// How an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// It takes a connection.
    Tcp,
    /// GET over HTTP/1.1.
    Http {
        /// Over TLS, as requests are.
        is_tls: bool,
        /// Path and query.
        path: Arc<str>,
        /// The Host field; `None` = the endpoint's address.
        host: Option<Arc<str>>,
        /// Right statuses: first and last of each range.
        expected: Box<[(u16, u16)]>,
    },
    /// `grpc.health.v1.Health/Check` over HTTP/2.
    Grpc {
        /// Over TLS, as requests are.
        is_tls: bool,
        /// The `:authority`; `None` = the endpoint's address.
        host: Option<Arc<str>>,
    },
}

impl Probe {
    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        match self {
            Probe::Tcp => false,
            Probe::Http { is_tls, .. } | Probe::Grpc { is_tls, .. } => *is_tls,
        }
    }
}

/// `passive-health`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassiveCheck {
    /// So many failures in a row eject an endpoint.
    pub consecutive: u32,
    /// For so long the first time; each time that follows doubles it, up to 5 min.
    pub eject: Duration,
    /// Percent of the endpoints that may be ejected at once.
    pub max_ejected: u8,
    /// Answers with a status from 500 to 599 are failures too.
    pub on_5xx: bool,
}

impl Default for PassiveCheck {
    fn default() -> PassiveCheck {
        PassiveCheck { consecutive: 5, eject: Duration::from_secs(10), max_ejected: 50, on_5xx: false }
    }
}

/// `affinity: cookie`: what keeps a client at its endpoint. The same on every route to the backend.
///
/// The value of the cookie is `B.E` in base64url (RFC 4648 5) without padding: `tag`, and the `key` of an endpoint. Both are
/// equal on all replicas and after a restart, and say nothing of names or addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// The first half of the value: the first octets of SHA-256 over `namespace/service:port`.
    pub tag: [u8; 6],
    /// Its name and attributes; many backends have the same.
    pub cookie: Arc<Cookie>,
}

/// Name and attributes of a sticky cookie (RFC 6265).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cookie {
    /// `session-cookie-name`.
    pub name: Arc<str>,
    /// `session-cookie-path`; `None` = the path of the route.
    pub path: Option<Arc<str>>,
    /// `session-cookie-domain`.
    pub domain: Option<Arc<str>>,
    /// `session-cookie-expires`: seconds from now.
    pub expires: Option<u32>,
    /// `session-cookie-max-age`: seconds.
    pub max_age: Option<u32>,
    /// `session-cookie-samesite`.
    pub same_site: Option<SameSite>,
    /// `session-cookie-conditional-samesite-none`: leave `SameSite=None` out for browsers that misread it.
    pub conditional_none: bool,
    /// `session-cookie-secure`: `None` = where the request came over TLS.
    pub secure: Option<bool>,
    /// `session-cookie-change-on-failure`: a client whose endpoint fails is moved to another for good.
    pub change_on_failure: bool,
}

/// `SameSite` of a cookie (RFC 6265bis 4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SameSite {
    /// Sent to other sites too.
    None,
    /// Sent on top-level navigation too.
    Lax,
    /// Sent to the same site only.
    Strict,
}

impl SameSite {
    /// The value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            SameSite::None => "None",
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
        }
    }
}
