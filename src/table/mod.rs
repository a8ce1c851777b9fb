//! The routing table: what a request uses. Immutable; building one cannot fail; look-ups allocate nothing.

mod build;
mod certificates;
mod explain;
mod host;

use std::sync::Arc;

use rustls::sign::CertifiedKey;

pub use self::explain::{Lost, Step, Trace, explain};
use crate::ir;
use crate::live;
use crate::telemetry::{Metrics, RouteMetrics};

/// Hosts, routes and certificates of one moment.
pub struct RoutingTable {
    /// Counts published tables, from 1.
    pub generation: u64,
}

/// Where a route stands in its table; `Copy`, so a request holds no reference into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRef {
    host: u32,
    route: u32,
}

/// What a request needs of a route, resolved.
pub struct Route {
    /// Path, origin, filters, policy.
    pub rule: Arc<ir::Route>,
    /// What answers.
    pub target: Target,
    /// Counters of the Ingress and Service.
    pub metrics: RouteMetrics,
    /// Service name for the log; empty without a backend.
    pub service: Arc<str>,
    /// Service port for the log; empty without a backend.
    pub port: Arc<str>,
}

/// What answers on a route.
pub enum Target {
    /// Endpoints of a Service port.
    Backend(BackendRef),
    /// 503.
    Closed(ir::Reason),
    /// 404.
    NotFound,
}

/// A backend with its settings of this table and its live cell.
pub struct BackendRef {
    /// Protocol, balancing.
    pub settings: Arc<ir::Backend>,
    /// Endpoints and counters.
    pub live: Arc<live::Backend>,
}

impl RoutingTable {
    /// The table of `config`. Hosts that are the same `Arc` as in the configuration of `previous` share its parts.
    pub fn build(
        config: &Arc<ir::Config>,
        previous: Option<&RoutingTable>,
        registry: &live::Registry,
        metrics: &Metrics,
        default_certificate: &Arc<ir::Certificate>,
    ) -> RoutingTable {
        let _ = (config, previous, registry, metrics, default_certificate);
        unimplemented!()
    }

    /// The route for a request: `host` in lower case without port and trailing dot, `path` in the form matched.
    /// Exact host before wildcard before any; a known host never falls back to another.
    pub fn find(&self, host: &str, path: &str) -> Option<RouteRef> {
        let _ = (host, path);
        unimplemented!()
    }

    /// The route at `at`, which this table's [`RoutingTable::find`] gave.
    pub fn route(&self, at: RouteRef) -> &Route {
        let _ = at;
        unimplemented!()
    }

    /// Whether any virtual host but `HostPattern::Any` owns the name.
    pub fn owns_host(&self, host: &str) -> bool {
        let _ = host;
        unimplemented!()
    }

    /// The certificate for a server name (lower case, no trailing dot): exact, then wildcard of one label, then default.
    pub fn certificate(&self, server_name: Option<&str>) -> &Arc<CertifiedKey> {
        let _ = server_name;
        unimplemented!()
    }

    /// Whether the certificate for this name is the one made at start (no HSTS is sent on it).
    pub fn is_self_made(&self, server_name: Option<&str>) -> bool {
        let _ = server_name;
        unimplemented!()
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &Arc<ir::Config> {
        unimplemented!()
    }
}
