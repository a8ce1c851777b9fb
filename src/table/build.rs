//! From a configuration to the table that serves it, with as much of the table before as still holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::certificates::Certificates;
use super::host::{ByName, Host};
use super::paths::Paths;
use super::{BackendRef, Route, RoutingTable, Target};
use crate::ir;
use crate::live::Registry;
use crate::telemetry::Metrics;

/// What [`RoutingTable::build`] does. One changed Ingress among ten thousand costs a walk over the hosts and backends,
/// a pointer comparison each, and the hosts it is on.
pub(super) fn build(
    config: &Arc<ir::Config>,
    previous: Option<&RoutingTable>,
    registry: &Registry,
    metrics: &Metrics,
    default_certificate: &Arc<ir::Certificate>,
) -> RoutingTable {
    let default_certificate = config.default_certificate.as_ref().unwrap_or(default_certificate);
    let mut builder = Builder { config, registry, metrics, numbers: BTreeMap::new() };
    let Some(previous) = previous else {
        let hosts: Box<[_]> = config.hosts.values().map(|host| builder.host(host)).collect();
        return RoutingTable {
            generation: 1,
            names: names(&hosts),
            hosts,
            certificates: Arc::new(Certificates::new(&config.certificates, default_certificate)),
            config: Arc::clone(config),
        };
    };
    let (hosts, same_names) = builder.hosts(previous);
    let same_certificates = previous.certificates.has_default(default_certificate)
        && same_pointers(&previous.config.certificates, &config.certificates);
    RoutingTable {
        generation: previous.generation + 1,
        names: if same_names { Arc::clone(&previous.names) } else { names(&hosts) },
        hosts,
        certificates: if same_certificates {
            Arc::clone(&previous.certificates)
        } else {
            Arc::new(Certificates::new(&config.certificates, default_certificate))
        },
        config: Arc::clone(config),
    }
}

struct Builder<'a> {
    config: &'a ir::Config,
    registry: &'a Registry,
    metrics: &'a Metrics,
    /// Port numbers as text, each once.
    numbers: BTreeMap<u16, Arc<str>>,
}

impl Builder<'_> {
    /// The hosts in the order of the configuration, and whether their names are those of `previous`.
    fn hosts(&mut self, previous: &RoutingTable) -> (Box<[Arc<Host>]>, bool) {
        let changed = changed_backends(&previous.config.backends, &self.config.backends);
        let mut before = previous.config.hosts.iter().zip(&previous.hosts).peekable();
        let mut same_names = previous.hosts.len() == self.config.hosts.len();
        let mut hosts = Vec::with_capacity(self.config.hosts.len());
        for (pattern, host) in &self.config.hosts {
            let same = |&((name, old), _): &((&ir::HostPattern, &Arc<ir::VirtualHost>), _)| {
                Arc::ptr_eq(old, host) || name == pattern
            };
            while before.next_if(|at| !same(at) && at.0.0 < pattern).is_some() {}
            let found = before.next_if(same);
            same_names &= found.is_some();
            let kept = found.filter(|((_, old), _)| Arc::ptr_eq(old, host) && !names_any(host, &changed));
            hosts.push(kept.map_or_else(|| self.host(host), |(_, compiled)| Arc::clone(compiled)));
        }
        (hosts.into(), same_names)
    }

    fn host(&mut self, host: &ir::VirtualHost) -> Arc<Host> {
        Arc::new(Host {
            pattern: host.host.clone(),
            paths: Paths::new(host.routes.iter().map(|route| &route.path)),
            routes: host.routes.iter().map(|route| self.route(route)).collect(),
        })
    }

    fn route(&mut self, rule: &Arc<ir::Route>) -> Route {
        let (target, service, port) = match &rule.target {
            ir::Target::Backend(id) => (self.backend(id), Arc::clone(&id.service.name), self.port(&id.port)),
            ir::Target::Closed(reason) => (Target::Closed(*reason), Arc::default(), Arc::default()),
            ir::Target::NotFound => (Target::NotFound, Arc::default(), Arc::default()),
        };
        let object = &rule.origin.object;
        let (namespace, ingress) = match object.kind {
            ir::Kind::Ingress => (&*object.name.namespace, &*object.name.name),
            _ => ("", ""),
        };
        let metrics = self.metrics.route(namespace, ingress, &service);
        Route { rule: Arc::clone(rule), target, metrics, service, port }
    }

    /// A configuration holds every backend that its routes name; a route to another one is closed.
    fn backend(&self, id: &ir::BackendId) -> Target {
        match self.config.backends.get(id) {
            Some(settings) => {
                Target::Backend(BackendRef { settings: Arc::clone(settings), live: self.registry.backend(id) })
            }
            None => Target::Closed(ir::Reason::ServiceNotFound),
        }
    }

    fn port(&mut self, port: &ir::PortKey) -> Arc<str> {
        match port {
            ir::PortKey::Name(name) => Arc::clone(name),
            ir::PortKey::Number(number) => {
                Arc::clone(self.numbers.entry(*number).or_insert_with(|| number.to_string().into()))
            }
        }
    }
}

fn names(hosts: &[Arc<Host>]) -> Arc<ByName<u32>> {
    let places = hosts.iter().enumerate().map(|(place, host)| (&host.pattern, place as u32));
    Arc::new(ByName::new(places))
}

/// Backends of both configurations whose settings differ. A host may be the same and name one of them: it holds the
/// identity, not the settings.
fn changed_backends<'a>(
    before: &BTreeMap<ir::BackendId, Arc<ir::Backend>>,
    now: &'a BTreeMap<ir::BackendId, Arc<ir::Backend>>,
) -> BTreeSet<&'a ir::BackendId> {
    let mut before = before.values().peekable();
    let mut changed = BTreeSet::new();
    for (id, backend) in now {
        let same = |old: &&Arc<ir::Backend>| Arc::ptr_eq(old, backend) || old.id == *id;
        while before.next_if(|old| !same(old) && old.id < *id).is_some() {}
        if before.next_if(same).is_some_and(|old| !Arc::ptr_eq(old, backend) && old != backend) {
            changed.insert(id);
        }
    }
    changed
}

fn names_any(host: &ir::VirtualHost, backends: &BTreeSet<&ir::BackendId>) -> bool {
    !backends.is_empty()
        && host.routes.iter().any(|route| matches!(&route.target, ir::Target::Backend(id) if backends.contains(id)))
}

/// Whether both maps hold the same values under the same keys.
fn same_pointers<K: PartialEq, V>(before: &BTreeMap<K, Arc<V>>, now: &BTreeMap<K, Arc<V>>) -> bool {
    before.len() == now.len()
        && before.iter().zip(now).all(|((key, value), (new_key, new))| Arc::ptr_eq(value, new) && key == new_key)
}
