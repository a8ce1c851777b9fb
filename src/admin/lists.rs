//! The lists of the admin API, built from what is served at this moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::View;
use super::shape::{Backend, Backends, Certificate, Certificates, Problem, Problems, Route, Routes, time};
use crate::ir::{self, CertificateOrigin, HostPattern, Object};
use crate::table::{RouteRef, RoutingTable, Target};

/// `?namespace=&host=`: what an answer is limited to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Namespace of the object.
    pub(super) namespace: Option<String>,
    /// A host as an Ingress writes it, or a name that it matches.
    pub(super) host: Option<String>,
}

impl Filter {
    fn takes_namespace(&self, namespace: &str) -> bool {
        self.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
    }

    /// `*` asks for the rules without host; a name also for the wildcard that means it.
    fn takes_host(&self, host: &HostPattern) -> bool {
        self.host.as_ref().is_none_or(|wanted| match host {
            HostPattern::Any => wanted == "*",
            named => named.matches(wanted) || named.to_string() == *wanted,
        })
    }
}

/// Every route of the table, in its order, once for each listener.
pub(super) fn routes(view: &View, filter: &Filter) -> Routes {
    let table = view.table.load();
    let mut routes = Vec::new();
    for listener in &view.listeners {
        let rows = written(&table).filter(|(_, host, rule)| {
            filter.takes_host(host) && filter.takes_namespace(&rule.origin.object.name.namespace)
        });
        routes.extend(rows.filter_map(|(at, host, rule)| {
            match table.passthrough_beside(at).filter(|_| listener.is_tls()) {
                None => Some(Route::new(listener, host, rule)),
                // The others of the host are reached in clear text only.
                Some(passed) if passed.rule.origin == rule.origin => Some(Route::passed_on(listener, host, rule)),
                Some(_) => None,
            }
        }));
    }
    Routes { generation: table.generation, routes }
}

/// Every backend that a route of the table names: as where its requests go or, if no route does that, as whatever else.
pub(super) fn backends(view: &View, filter: &Filter) -> Backends {
    let table = view.table.load();
    let of_host = || table.routes().filter(|(_, host, _)| filter.takes_host(host)).map(|(_, _, route)| route);
    let own = of_host().flat_map(|route| route.backend().map(|backend| (route, backend)));
    let others = of_host().flat_map(|route| route.others().map(move |backend| (route, backend)));
    let mut backends: BTreeMap<&ir::BackendId, Backend> = BTreeMap::new();
    for (route, backend) in own.chain(others) {
        let id = &backend.settings.id;
        // A URL is in no namespace but that of who names it.
        let namespace = match &*id.service.namespace {
            "" => &route.rule.origin.object.name.namespace,
            own => own,
        };
        if filter.takes_namespace(namespace) && !backends.contains_key(id) {
            backends.insert(id, Backend::new(backend));
        }
    }
    Backends { backends: backends.into_values().collect() }
}

/// Every certificate that is served, with the hosts it is served for.
pub(super) fn certificates(view: &View, filter: &Filter) -> Certificates {
    let table = view.table.load();
    let config = table.config();
    let default = config.default_certificate.as_ref().unwrap_or(&view.default_certificate);
    let mut served: BTreeMap<_, (&ir::Certificate, Vec<&HostPattern>)> = BTreeMap::new();
    served.insert((&default.origin, default.fingerprint), (default, Vec::new()));
    for (host, certificate) in &*config.certificates {
        let entry = served.entry((&certificate.origin, certificate.fingerprint)).or_insert((certificate, Vec::new()));
        entry.1.push(host);
    }
    let taken = served.into_values().filter(|(certificate, hosts)| {
        let namespace = match &certificate.origin {
            CertificateOrigin::SelfMade => "",
            CertificateOrigin::Secret(name) => &name.namespace,
        };
        filter.takes_namespace(namespace) && (filter.host.is_none() || hosts.iter().any(|host| filter.takes_host(host)))
    });
    let shape = |(certificate, hosts): (&ir::Certificate, Vec<&HostPattern>)| Certificate {
        names: certificate.names.iter().map(ToString::to_string).collect(),
        secret: match &certificate.origin {
            CertificateOrigin::SelfMade => None,
            CertificateOrigin::Secret(name) => Some(name.to_string()),
        },
        serial: certificate.serial.clone(),
        not_before: time(certificate.not_before),
        not_after: time(certificate.not_after),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        default: *certificate == **default,
    };
    Certificates { certificates: taken.map(shape).collect() }
}

/// Every problem that stands. With `host`: those of objects that ask for it, served or not.
pub(super) fn problems(view: &View, filter: &Filter) -> Problems {
    let objects = filter.host.is_some().then(|| objects_of_host(&view.table.load(), filter));
    let standing = view.problems.load();
    let taken = standing.iter().filter(|standing| {
        let object = &standing.problem.object;
        filter.takes_namespace(&object.name.namespace)
            && objects.as_ref().is_none_or(|objects| objects.contains(object))
    });
    Problems { problems: taken.map(|standing| Problem::new(&standing.problem, Some(standing.since))).collect() }
}

fn objects_of_host(table: &RoutingTable, filter: &Filter) -> BTreeSet<Arc<Object>> {
    let routes = table.routes().map(|(_, host, route)| (host, &route.rule.origin));
    let rejected = table.config().rejected.iter().map(|rejected| (&rejected.host, &rejected.origin));
    let of_host = routes.chain(rejected).filter(|(host, _)| filter.takes_host(host));
    of_host.map(|(_, origin)| Arc::clone(&origin.object)).collect()
}

/// The routes that somebody wrote.
fn written(table: &RoutingTable) -> impl Iterator<Item = (RouteRef, &HostPattern, &ir::Route)> {
    let routes = table.routes().filter(|(_, _, route)| !matches!(route.target, Target::NotFound));
    routes.map(|(at, host, route)| (at, host, &*route.rule))
}
