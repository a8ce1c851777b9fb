//! The routing table: what a request uses. Immutable; building one cannot fail; look-ups allocate nothing.

mod build;
mod certificates;
mod decide;
mod explain;
#[cfg(test)]
pub(crate) mod fixture;
mod host;
mod paths;
mod shared;

use std::sync::Arc;

use rustls::sign::CertifiedKey;

use self::certificates::Certificates;
pub use self::decide::{Decision, Outcome, decide};
pub use self::explain::{Lost, Step, Trace, explain};
use self::host::{ByName, Host};
use self::paths::{Silent, Walk};
pub use self::shared::{Pin, Pinned, SharedTable};
use crate::ir;
use crate::live;
use crate::telemetry::{Metrics, RouteMetrics};

/// Hosts, routes and certificates of one moment.
pub struct RoutingTable {
    /// Counts published tables, from 1; 0 is the empty one before.
    pub generation: u64,
    /// In the order of the configuration. The large parts are shared with the tables before, as far as they are equal.
    hosts: Box<[Arc<Host>]>,
    /// Places in `hosts`.
    names: Arc<ByName<u32>>,
    /// By the backends of the configuration: a cell lives as long as a table has its backend, with or without a route.
    cells: Arc<[Arc<live::Backend>]>,
    certificates: Arc<Certificates>,
    /// Some host asks its clients for certificates.
    asks_clients: bool,
    /// Some host has handshakes of its own.
    varies: bool,
    /// Some host's TLS is passed on unopened.
    passes_on: bool,
    cache: Option<Arc<live::Cache>>,
    config: Arc<ir::Config>,
}

/// Where a route stands in its table; `Copy`, so a request holds no reference into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRef {
    host: u32,
    route: u32,
}

/// What a request needs of a route, resolved.
#[derive(Clone)]
pub struct Route {
    /// Path, origin, filters, policy.
    pub rule: Arc<ir::Route>,
    /// What answers.
    pub target: Target,
    /// What its filters need beside it.
    pub aside: Option<Arc<Aside>>,
    /// Counters of the Ingress and Service.
    pub metrics: RouteMetrics,
    /// Service name for the log; empty without a backend.
    pub service: Arc<str>,
    /// Service port for the log; empty without a backend.
    pub port: Arc<str>,
    /// Both with the namespace, as the text log has them; `None` without a backend.
    pub upstream_name: Option<Arc<str>>,
}

/// What the filters of a route need beside it, resolved.
pub struct Aside {
    /// What clients have used of the limits of its Ingress, where it has any.
    pub limits: Option<Arc<live::Limits>>,
    /// Who says who may come in.
    pub external: Option<BackendRef>,
    /// Who answers where the backend has no endpoint.
    pub fallback: Option<BackendRef>,
    /// Who answers in place of errors.
    pub errors: Option<BackendRef>,
    /// Who gets copies of requests.
    pub mirror: Option<BackendRef>,
}

/// What answers on a route.
#[derive(Clone)]
pub enum Target {
    /// Endpoints of a Service port.
    Backend(BackendRef),
    /// 503.
    Closed(ir::Reason),
    /// 404.
    NotFound,
}

/// A backend with its settings of this table and its live cell.
#[derive(Clone)]
pub struct BackendRef {
    /// Protocol, balancing.
    pub settings: Arc<ir::Backend>,
    /// Endpoints and counters.
    pub live: Arc<live::Backend>,
    /// TLS, where that is more than a connection to whoever answers.
    pub tls: Option<Arc<live::TlsIdentity>>,
    /// What takes a share of its requests.
    pub canary: Option<Arc<CanaryRef>>,
}

/// An alternative to a backend.
pub struct CanaryRef {
    /// Which requests it takes.
    pub rule: Arc<ir::CanaryRule>,
    /// Where they go. Its settings are those that count here.
    pub backend: BackendRef,
    /// Its name for the log.
    pub upstream_name: Arc<str>,
}

impl Route {
    /// Longest request body in bytes, 0 = any: a stream of gRPC has no length that would mean anything.
    pub fn body_limit(&self) -> u64 {
        let policy = &self.rule.policy;
        if policy.is_grpc { 0 } else { policy.body_limit.bytes }
    }

    /// Nobody can answer, whoever asks: then, as in nginx, nobody is counted or asked who he is.
    pub fn is_nowhere(&self, backend: &BackendRef) -> bool {
        let has_fallback = self.aside.as_ref().is_some_and(|aside| aside.fallback.is_some());
        !has_fallback && self.rule.policy.cache.is_none() && backend.live.endpoints.load().candidates.is_empty()
    }

    /// Whether it answers where the route's own has no endpoint. It keeps no sessions of that one's clients.
    pub fn is_stand_in(&self, backend: &BackendRef) -> bool {
        self.aside
            .as_ref()
            .and_then(|aside| aside.fallback.as_ref())
            .is_some_and(|fallback| std::ptr::eq(fallback, backend))
    }

    /// Who gets its requests.
    pub fn backend(&self) -> Option<&BackendRef> {
        match &self.target {
            Target::Backend(backend) => Some(backend),
            Target::Closed(_) | Target::NotFound => None,
        }
    }

    /// Who else has to do with its requests: who takes a share of them, and whom its filters ask.
    pub fn others(&self) -> impl Iterator<Item = &BackendRef> {
        let canary = self.backend().and_then(|backend| backend.canary.as_ref());
        let aside = self.aside.iter().flat_map(|aside| {
            let Aside { limits: _, external, fallback, errors, mirror } = &**aside;
            [external, fallback, errors, mirror].into_iter().flatten()
        });
        canary.map(|canary| &canary.backend).into_iter().chain(aside)
    }
}

impl RoutingTable {
    /// The table before the first configuration: no route, one certificate, generation 0.
    pub fn empty(default_certificate: &Arc<ir::Certificate>) -> RoutingTable {
        RoutingTable {
            generation: 0,
            hosts: Box::default(),
            names: Arc::new(ByName::new([].into_iter())),
            cells: Arc::default(),
            certificates: Arc::new(Certificates::new(&ir::Config::default(), default_certificate)),
            asks_clients: false,
            varies: false,
            passes_on: false,
            cache: None,
            config: Arc::default(),
        }
    }

    /// The table of `config`. Hosts that are the same `Arc` as in the configuration of `previous` share its parts.
    pub fn build(
        config: &Arc<ir::Config>,
        previous: Option<&RoutingTable>,
        registry: &live::Registry,
        metrics: &Metrics,
        default_certificate: &Arc<ir::Certificate>,
    ) -> RoutingTable {
        build::build(config, previous, registry, metrics, default_certificate)
    }

    /// The route for a request: `host` in lower case without port and trailing dot, `path` in the form matched.
    /// Exact host before wildcard before any; a known host never falls back to another.
    pub fn find(&self, host: &str, path: &str) -> Option<RouteRef> {
        self.walk(host, path, &mut Silent)
    }

    fn walk(&self, host: &str, path: &str, walk: &mut impl Walk) -> Option<RouteRef> {
        let (place, host) = self.host(host)?;
        let route = host.paths.find(path, walk)?;
        Some(RouteRef { host: place, route })
    }

    fn host(&self, name: &str) -> Option<(u32, &Host)> {
        let place = *self.names.find(name)?;
        Some((place, self.hosts.get(place as usize)?))
    }

    /// The route at `at`, which this table's [`RoutingTable::find`] gave.
    #[expect(clippy::expect_used, reason = "the reference was made from these very lists, which nobody changes")]
    pub fn route(&self, at: RouteRef) -> &Route {
        let host = self.hosts.get(at.host as usize);
        host.and_then(|host| host.routes.get(at.route as usize)).expect("a reference stays with the table that gave it")
    }

    /// The host of the route at `at`, as an Ingress writes it.
    #[expect(clippy::expect_used, reason = "as for `route`")]
    pub fn host_of(&self, at: RouteRef) -> &ir::HostPattern {
        &self.hosts.get(at.host as usize).expect("a reference stays with the table that gave it").pattern
    }

    /// Every route with its host, in the order of the configuration.
    pub fn routes(&self) -> impl Iterator<Item = (RouteRef, &ir::HostPattern, &Route)> {
        (0..).zip(&self.hosts).flat_map(|(host, found)| {
            let routes = (0..).zip(&found.routes);
            routes.map(move |(route, rule)| (RouteRef { host, route }, &found.pattern, rule))
        })
    }

    /// Whether any virtual host but `HostPattern::Any` owns the name.
    pub fn owns_host(&self, host: &str) -> bool {
        self.names.owned(host).is_some()
    }

    /// The certificate for a server name (lower case, no trailing dot): exact, then wildcard of one label, then default.
    pub fn certificate(&self, server_name: Option<&str>) -> &Arc<CertifiedKey> {
        &self.certificates.find(server_name).key
    }

    /// Whether the certificate for this name is the one made at start (no HSTS is sent on it).
    pub fn is_self_made(&self, server_name: Option<&str>) -> bool {
        self.certificates.is_self_made(server_name)
    }

    /// Whether any host has to do with certificates of clients.
    pub fn asks_clients(&self) -> bool {
        self.asks_clients
    }

    /// What a host (lower case, no trailing dot; empty: none was named) asks of its clients.
    pub fn client_auth(&self, host: &str) -> Option<&Arc<ir::ClientAuth>> {
        self.host(host)?.1.client_auth.as_ref()
    }

    /// What is asked of clients that name this host (lower case, no trailing dot; empty: none) and how TLS is spoken to
    /// them, where that is not as everywhere.
    pub fn handshake(&self, server_name: &str) -> (Option<&Arc<ir::Demand>>, Option<&Arc<ir::HostTls>>) {
        let Some((_, host)) = self.varies.then(|| self.host(server_name)).flatten() else { return (None, None) };
        (host.client_auth.as_ref().and_then(|auth| auth.asked()), host.tls.as_ref())
    }

    /// Whether TLS of any host is passed on unopened.
    pub fn passes_on(&self) -> bool {
        self.passes_on
    }

    /// Where TLS goes whose client names this host (lower case, no trailing dot), if it is not opened here.
    pub fn passthrough(&self, server_name: &str) -> Option<&Route> {
        self.host(server_name)?.1.passthrough.as_ref()
    }

    /// The same, of the host of the route at `at`.
    pub fn passthrough_beside(&self, at: RouteRef) -> Option<&Route> {
        self.hosts.get(at.host as usize)?.passthrough.as_ref()
    }

    /// What is set for all hosts at once.
    pub fn globals(&self) -> &ir::Globals {
        &self.config.globals
    }

    /// Where answers are kept; `None` before the first configuration.
    pub fn cache(&self) -> Option<&Arc<live::Cache>> {
        self.cache.as_ref()
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &Arc<ir::Config> {
        &self.config
    }
}
