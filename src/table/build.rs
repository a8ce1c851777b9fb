//! From a configuration to the table that serves it, with as much of the table before as still holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::certificates::Certificates;
use super::host::{ByName, Host};
use super::paths::Paths;
use super::{Aside, BackendRef, CanaryRef, Route, RoutingTable, Target};
use crate::ir;
use crate::live::{self, Registry};
use crate::telemetry::{Metrics, upstream_name};

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
    let default_upstream = ir::Route::DEFAULT_UPSTREAM.into();
    let mut builder = Builder { config, registry, metrics, numbers: BTreeMap::new(), default_upstream };
    let asks_clients = config.hosts.values().any(|host| host.client_auth.is_some());
    let varies = asks_clients || config.hosts.values().any(|host| host.tls.is_some());
    let passes_on = config.hosts.values().any(|host| host.passthrough.is_some());
    let Some(previous) = previous else {
        let hosts: Box<[_]> = config.hosts.values().map(|host| builder.host(host)).collect();
        return RoutingTable {
            generation: 1,
            names: names(&hosts, &config.aliases),
            hosts,
            cells: config.backends.keys().map(|id| registry.backend(id)).collect(),
            certificates: Arc::new(Certificates::new(config, default_certificate)),
            asks_clients,
            varies,
            passes_on,
            cache: Some(Arc::clone(registry.cache())),
            config: Arc::clone(config),
        };
    };
    let (cells, changed) = builder.cells(previous);
    let (hosts, same_names) = builder.hosts(previous, &changed);
    let same_aliases = previous.config.aliases == config.aliases;
    let same_certificates = previous.certificates.has_default(default_certificate)
        && previous.config.defaulted == config.defaulted
        && (Arc::ptr_eq(&previous.config.certificates, &config.certificates)
            || same_pointers(&previous.config.certificates, &config.certificates));
    RoutingTable {
        generation: previous.generation + 1,
        names: if same_names && same_aliases { Arc::clone(&previous.names) } else { names(&hosts, &config.aliases) },
        hosts,
        cells,
        certificates: if same_certificates {
            Arc::clone(&previous.certificates)
        } else {
            Arc::new(Certificates::new(config, default_certificate))
        },
        asks_clients,
        varies,
        passes_on,
        cache: Some(Arc::clone(registry.cache())),
        config: Arc::clone(config),
    }
}

struct Builder<'a> {
    config: &'a ir::Config,
    registry: &'a Registry,
    metrics: &'a Metrics,
    /// Port numbers as text, each once.
    numbers: BTreeMap<u16, Arc<str>>,
    /// What the default backend is called in the log.
    default_upstream: Arc<str>,
}

impl<'a> Builder<'a> {
    /// The cells of the backends in the order of the configuration, and those backends of `previous` whose settings
    /// changed.
    fn cells(&self, previous: &RoutingTable) -> (Arc<[Arc<live::Backend>]>, BTreeSet<&'a ir::BackendId>) {
        let mut changed = BTreeSet::new();
        if Arc::ptr_eq(&previous.config.backends, &self.config.backends) {
            return (Arc::clone(&previous.cells), changed);
        }
        let mut same = previous.config.backends.len() == self.config.backends.len();
        for (id, backend, found) in join(&previous.config.backends, &previous.cells, &self.config.backends) {
            same &= found.is_some();
            if found.is_some_and(|(old, _)| !Arc::ptr_eq(old, backend) && old != backend) {
                changed.insert(id);
            }
        }
        let canary =
            |backend: &ir::Backend| backend.canary.as_ref().is_some_and(|canary| changed.contains(&canary.backend));
        let beside: Vec<_> =
            self.config.backends.iter().filter(|(_, backend)| canary(backend)).map(|(id, _)| id).collect();
        changed.extend(beside);
        if same {
            return (Arc::clone(&previous.cells), changed);
        }
        let cells = join(&previous.config.backends, &previous.cells, &self.config.backends)
            .map(|(id, _, found)| found.map_or_else(|| self.registry.backend(id), |(_, cell)| Arc::clone(cell)));
        (cells.collect(), changed)
    }

    /// The hosts in the order of the configuration, and whether their names are those of `previous`. A host that is the
    /// same is compiled again if it names a `changed` backend: it holds the identity, not the settings.
    fn hosts(&mut self, previous: &RoutingTable, changed: &BTreeSet<&ir::BackendId>) -> (Box<[Arc<Host>]>, bool) {
        let mut same_names = previous.hosts.len() == self.config.hosts.len();
        let mut hosts = Vec::with_capacity(self.config.hosts.len());
        for (_, host, found) in join(&previous.config.hosts, &previous.hosts, &self.config.hosts) {
            same_names &= found.is_some();
            let kept = found.filter(|(old, _)| Arc::ptr_eq(old, host) && !names_any(host, changed));
            hosts.push(kept.map_or_else(|| self.host(host), |(_, compiled)| Arc::clone(compiled)));
        }
        (hosts.into(), same_names)
    }

    fn host(&mut self, host: &ir::VirtualHost) -> Arc<Host> {
        Arc::new(Host {
            pattern: host.host.clone(),
            paths: Paths::new(host.routes.iter().map(|route| &route.path)),
            routes: host.routes.iter().map(|route| self.route(route)).collect(),
            redirect: host.redirect.clone(),
            client_auth: host.client_auth.clone(),
            tls: host.tls.clone(),
            passthrough: host.passthrough.as_ref().map(|route| self.route(route)),
        })
    }

    fn route(&mut self, rule: &Arc<ir::Route>) -> Route {
        let (target, service, port) = match &rule.target {
            ir::Target::Backend(id) => (
                self.backend(id, rule.speech.as_deref()),
                Arc::clone(&id.service.name),
                self.port(rule.port.as_ref().unwrap_or(&id.port)),
            ),
            ir::Target::Closed(reason) => (Target::Closed(*reason), Arc::default(), Arc::default()),
            ir::Target::NotFound => (Target::NotFound, Arc::default(), Arc::default()),
        };
        let ingress = rule.ingress();
        let (namespace, ingress) =
            ingress.map(|name| (Arc::clone(&name.namespace), Arc::clone(&name.name))).unwrap_or_default();
        let upstream_name = match &rule.target {
            _ if rule.is_default() => Some(Arc::clone(&self.default_upstream)),
            ir::Target::Backend(id) => Some(upstream_name(&id.service.namespace, &service, &port)),
            ir::Target::Closed(_) | ir::Target::NotFound => None,
        };
        let metrics = self.metrics.route(namespace, ingress, Arc::clone(&service));
        let aside = self.aside(rule);
        Route { rule: Arc::clone(rule), target, aside, metrics, service, port, upstream_name }
    }

    /// A configuration holds every backend that its routes name; a route to another one is closed.
    fn backend(&mut self, id: &ir::BackendId, speech: Option<&ir::Speech>) -> Target {
        let Some(mut found) = self.backend_ref(id, speech) else { return Target::Closed(ir::Reason::ServiceNotFound) };
        let canary = found.settings.canary.clone();
        found.canary = canary.and_then(|canary| {
            let protocol = match (speech, &found.settings.unsaid) {
                (Some(speech), _) => Some(speech.protocol),
                (None, Some(_)) => None,
                (None, None) => canary.protocol,
            };
            self.canary(&canary, protocol, found.tls.as_ref())
        });
        Target::Backend(found)
    }

    /// The backend, spoken to as whoever names it says.
    fn backend_ref(&self, id: &ir::BackendId, speech: Option<&ir::Speech>) -> Option<BackendRef> {
        let mut settings = Arc::clone(self.config.backends.get(id)?);
        if let Some(ir::Speech { protocol, tls }) = speech.or(settings.unsaid.as_ref()).cloned()
            && (protocol != settings.protocol || tls != settings.tls)
        {
            settings = Arc::new(ir::Backend { protocol, tls, ..ir::Backend::clone(&settings) });
        }
        let tls = settings.tls.as_ref().map(|tls| self.registry.identity(tls));
        Some(BackendRef { settings, live: self.registry.backend(id), tls, canary: None })
    }

    fn aside(&self, rule: &ir::Route) -> Option<Arc<Aside>> {
        let filters = &rule.filters;
        if filters.limits.is_none() && filters.backends().next().is_none() {
            return None;
        }
        let external = filters.access.as_ref().and_then(|access| access.external.as_ref());
        Some(Arc::new(Aside {
            limits: filters.limits.as_ref().map(|_| self.registry.limits(&rule.origin.object.name)),
            external: external.and_then(|external| self.backend_ref(&external.backend, None)),
            fallback: filters.fallback.as_ref().and_then(|id| self.backend_ref(id, None)),
            errors: filters.errors.as_ref().and_then(|errors| self.backend_ref(&errors.backend, None)),
            mirror: filters.mirror.as_ref().and_then(|mirror| self.backend_ref(&mirror.backend, None)),
        }))
    }

    /// What the Ingress beside which it stands says of protocol, TLS and cookie goes before what is said of the canary.
    fn canary(
        &mut self,
        canary: &ir::Canary,
        protocol: Option<ir::Protocol>,
        tls: Option<&Arc<live::TlsIdentity>>,
    ) -> Option<Arc<CanaryRef>> {
        let ir::Canary { backend: id, port, rule, protocol: _, affinity, origin: _ } = canary;
        let BackendRef { settings: own, tls: own_tls, .. } = self.backend_ref(id, None)?;
        let tls = tls.map(Arc::clone).or(own_tls);
        let protocol = protocol.unwrap_or(own.protocol);
        let settings = ir::Backend { protocol, affinity: affinity.clone(), canary: None, ..ir::Backend::clone(&own) };
        let upstream_name =
            upstream_name(&id.service.namespace, &id.service.name, &self.port(port.as_ref().unwrap_or(&id.port)));
        let backend = BackendRef { settings: Arc::new(settings), live: self.registry.backend(id), tls, canary: None };
        Some(Arc::new(CanaryRef { rule: Arc::clone(rule), backend, upstream_name }))
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

fn names(hosts: &[Arc<Host>], aliases: &ir::Aliases) -> Arc<ByName<u32>> {
    // They stand in the order of their patterns, as in the configuration.
    let place =
        |of: &ir::HostPattern| hosts.binary_search_by(|host| host.pattern.cmp(of)).ok().map(|place| place as u32);
    let places = hosts.iter().enumerate().map(|(place, host)| (&host.pattern, place as u32));
    let further = aliases.names.iter().filter_map(|(name, of)| Some((name, place(of)?)));
    let expressions = aliases.expressions.iter().filter_map(|(expression, of)| Some((expression.clone(), place(of)?)));
    Arc::new(ByName::new(places.chain(further)).and(expressions.collect()))
}

/// The value that stood under a key before, with its part.
type Found<'a, V, T> = Option<(&'a Arc<V>, &'a T)>;

/// The entries of `now`, each with the entry of `before` that has the same key and its part of `parts`. Equal pointers
/// save comparing keys.
fn join<'a, 'n, K: Ord, V, T>(
    before: &'a BTreeMap<K, Arc<V>>,
    parts: &'a [T],
    now: &'n BTreeMap<K, Arc<V>>,
) -> impl Iterator<Item = (&'n K, &'n Arc<V>, Found<'a, V, T>)> {
    let mut before = before.iter().zip(parts).peekable();
    now.iter().map(move |(key, value)| {
        while before.next_if(|((old_key, old), _)| !Arc::ptr_eq(old, value) && *old_key < key).is_some() {}
        let found = before.next_if(|((old_key, old), _)| Arc::ptr_eq(old, value) || *old_key == key);
        (key, value, found.map(|((_, old), part)| (old, part)))
    })
}

fn names_any(host: &ir::VirtualHost, backends: &BTreeSet<&ir::BackendId>) -> bool {
    let names = |route: &Arc<ir::Route>| {
        matches!(&route.target, ir::Target::Backend(id) if backends.contains(id))
            || route.filters.backends().any(|id| backends.contains(id))
    };
    !backends.is_empty() && host.routes.iter().any(names)
}

/// Whether both maps hold the same values under the same keys.
fn same_pointers<K: PartialEq, V>(before: &BTreeMap<K, Arc<V>>, now: &BTreeMap<K, Arc<V>>) -> bool {
    before.len() == now.len()
        && before.iter().zip(now).all(|((key, value), (new_key, new))| Arc::ptr_eq(value, new) && key == new_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Algorithm::{LeastConn, RoundRobin};
    use crate::table::fixture::{World, backend, backend_id, certificate, config, pattern};

    const TWO: &str = "
        a.example ^ / web
        b.example ^ / api
    ";

    /// `config` with the hosts of `before` wherever they are equal, as the compiler gives them.
    fn after(before: &ir::Config, config: &Arc<ir::Config>) -> Arc<ir::Config> {
        let mut config = ir::Config::clone(config);
        for (pattern, host) in &mut config.hosts {
            if let Some(old) = before.hosts.get(pattern).filter(|old| *old == host) {
                *host = Arc::clone(old);
            }
        }
        Arc::new(config)
    }

    fn service<'a>(table: &'a RoutingTable, host: &str, path: &str) -> Option<&'a str> {
        table.find(host, path).map(|at| &*table.route(at).service)
    }

    #[test]
    fn hosts_that_did_not_change_are_shared() {
        let world = World::new();
        let first = world.build(&config(LeastConn, TWO), None);
        for (lines, shared, same_names) in [
            (TWO, [true, true], true),
            ("a.example ^ / web\n b.example ^ / api\n b.example ^ /x web", [true, false], true),
            ("a.example ^ / web\n aa.example ^ / web\n b.example ^ / api", [true, true], false),
        ] {
            let next = world.build(&after(first.config(), &config(LeastConn, lines)), Some(&first));
            for (host, shared) in ["a.example", "b.example"].into_iter().zip(shared) {
                let (old, new) = (first.host(host).unwrap().1, next.host(host).unwrap().1);
                assert_eq!(std::ptr::eq(old, new), shared, "{host} of {lines}");
            }
            assert_eq!(Arc::ptr_eq(&first.names, &next.names), same_names, "{lines}");
            assert_eq!(next.generation, 2);
        }
    }

    #[test]
    fn hosts_come_and_go() {
        let world = World::new();
        let mut table = world.build(&config(LeastConn, TWO), None);
        for lines in [
            "b.example ^ / api",
            "a.example ^ / web\n b.example ^ / api\n c.example ^ / web",
            "*.example ^ / web",
            "* ^ / web\n a.example ^ / api",
            "",
            TWO,
        ] {
            let fresh = config(LeastConn, lines);
            let next = world.build(&after(table.config(), &fresh), Some(&table));
            let alone = world.build(&fresh, None);
            for host in ["a.example", "b.example", "c.example", "other"] {
                assert_eq!(service(&next, host, "/x"), service(&alone, host, "/x"), "{host} of {lines}");
                assert_eq!(next.owns_host(host), alone.owns_host(host), "{host} of {lines}");
            }
            table = next;
        }
    }

    #[test]
    fn a_shared_host_gets_the_new_settings_of_its_backend() {
        let world = World::new();
        let first = world.build(&config(LeastConn, TWO), None);
        let mut changed = ir::Config::clone(first.config());
        Arc::make_mut(&mut changed.backends).insert(backend_id("api"), backend(&backend_id("api"), RoundRobin));
        let next = world.build(&Arc::new(changed), Some(&first));
        for (host, balance) in [("a.example", LeastConn), ("b.example", RoundRobin)] {
            let Target::Backend(found) = &next.route(next.find(host, "/").unwrap()).target else {
                panic!("no backend")
            };
            assert_eq!(found.settings.balancing.algorithm, balance, "{host}");
        }
        assert!(std::ptr::eq(first.host("a.example").unwrap().1, next.host("a.example").unwrap().1));
    }

    #[test]
    fn a_backend_keeps_its_live_cell_from_table_to_table() {
        let world = World::new();
        let first = world.build(&config(LeastConn, TWO), None);
        let second = world.build(&config(RoundRobin, TWO), Some(&first));
        let live = |table: &RoutingTable| match &table.route(table.find("a.example", "/").unwrap()).target {
            Target::Backend(backend) => Arc::clone(&backend.live),
            _ => panic!("no backend"),
        };
        assert!(Arc::ptr_eq(&live(&first), &live(&second)));
    }

    #[test]
    fn a_backend_without_a_route_keeps_its_endpoints_until_a_route_names_it() {
        let world = World::new();
        let both = config(LeastConn, TWO);
        let mut unused = ir::Config::clone(&both);
        unused.hosts.remove(&pattern("b.example"));
        let unused = Arc::new(unused);
        world.set_endpoints(&backend_id("api"), &[("10.0.0.1:80", 1)]);
        let mut table = world.build(&unused, None);
        for config in [&unused, &both] {
            world.registry.sweep();
            table = world.build(config, Some(&table));
        }
        let Target::Backend(found) = &table.route(table.find("b.example", "/").unwrap()).target else {
            panic!("no backend")
        };
        assert_eq!(found.live.endpoints.load().candidates.len(), 1);
    }

    #[test]
    fn a_route_to_a_backend_that_is_not_there_is_closed() {
        let world = World::new();
        let mut config = ir::Config::clone(&config(LeastConn, TWO));
        config.backends = Arc::default();
        let table = world.build(&Arc::new(config), None);
        let target = &table.route(table.find("a.example", "/").unwrap()).target;
        assert!(matches!(target, Target::Closed(ir::Reason::ServiceNotFound)));
    }

    #[test]
    fn certificates_go_by_name_and_the_default_answers_the_rest() {
        let world = World::new();
        let given = |name: &str| certificate(ir::CertificateOrigin::Secret(ir::Name::new("shop", name)), name);
        let (exact, wildcard, default) = (given("a.example"), given("*.example"), given("other"));
        let mut config = ir::Config::default();
        Arc::make_mut(&mut config.certificates).insert(pattern("a.example"), Arc::clone(&exact));
        Arc::make_mut(&mut config.certificates).insert(pattern("*.example"), Arc::clone(&wildcard));
        let first = world.build(&Arc::new(config.clone()), None);
        config.default_certificate = Some(Arc::clone(&default));
        let second = world.build(&Arc::new(config), Some(&first));
        for (name, own) in [
            (Some("a.example"), Some(&exact)),
            (Some("b.example"), Some(&wildcard)),
            (Some("x.b.example"), None),
            (None, None),
        ] {
            for (table, default, self_made) in [(&first, &world.self_made, true), (&second, &default, false)] {
                assert!(Arc::ptr_eq(table.certificate(name), &own.unwrap_or(default).key), "{name:?}");
                assert_eq!(table.is_self_made(name), own.is_none() && self_made, "{name:?}");
            }
        }
    }

    #[test]
    fn unchanged_certificates_are_shared() {
        let world = World::new();
        let first = world.build(&config(LeastConn, TWO), None);
        let second = world.build(&config(LeastConn, TWO), Some(&first));
        assert!(Arc::ptr_eq(&first.certificates, &second.certificates));
    }
}
