//! Configurations for tests, written as lines. The test suite has the file too: whatever is used comes from `super`.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::{BackendRef, Metrics, RoutingTable, Target, ir, live};

/// What outlasts tables, with the certificate made at start.
pub(crate) struct World {
    pub(crate) registry: live::Registry,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) self_made: Arc<ir::Certificate>,
}

impl World {
    pub(crate) fn new() -> World {
        World::with_workers(2)
    }

    pub(crate) fn with_workers(workers: usize) -> World {
        World {
            registry: live::Registry::new(workers),
            metrics: Metrics::new(workers, true),
            self_made: certificate(ir::CertificateOrigin::SelfMade, "ingress.local"),
        }
    }

    pub(crate) fn build(&self, config: &Arc<ir::Config>, previous: Option<&RoutingTable>) -> RoutingTable {
        RoutingTable::build(config, previous, &self.registry, &self.metrics, &self.self_made)
    }

    /// The backend `service` on port 80 with these endpoints: address, weight.
    pub(crate) fn backend(&self, algorithm: ir::Algorithm, endpoints: &[(&str, u16)]) -> BackendRef {
        let table = self.build(&config(algorithm, "* ^ / web"), None);
        let at = table.find("", "/").unwrap();
        let Target::Backend(backend) = &table.route(at).target else { panic!("no backend") };
        self.set_endpoints(&backend.settings.id, endpoints);
        backend.clone()
    }

    pub(crate) fn set_endpoints(&self, id: &ir::BackendId, endpoints: &[(&str, u16)]) {
        let endpoint = |&(address, weight): &(&str, u16)| ir::Endpoint {
            address: address.parse().unwrap(),
            pod: None,
            weight,
            key: None,
            draining: false,
            elsewhere: false,
        };
        self.registry.set_endpoints(id, &ir::EndpointSet::of(endpoints.iter().map(endpoint).collect()));
    }
}

/// A configuration of lines `HOST SIGN PATH SERVICE`, routes of one host in order of precedence. The service `-` is
/// nothing: 404.
pub(crate) fn config(algorithm: ir::Algorithm, lines: &str) -> Arc<ir::Config> {
    let mut config = ir::Config::default();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [host, sign, path, service] = words[..] else { panic!("four words: {line}") };
        let pattern = pattern(host);
        let kind = match sign {
            "=" => ir::PathKind::Exact,
            "~" => ir::PathKind::Regex(ir::PathPattern::new(path).unwrap()),
            _ => ir::PathKind::Prefix,
        };
        let target = if service == "-" { ir::Target::NotFound } else { ir::Target::Backend(backend_id(service)) };
        if let ir::Target::Backend(id) = &target {
            Arc::make_mut(&mut config.backends).insert(id.clone(), backend(id, algorithm.clone()));
        }
        let route = route(ir::PathMatch { kind, path: path.into() }, service == "-", target);
        let host = config.hosts.entry(pattern.clone()).or_insert_with(|| {
            Arc::new(ir::VirtualHost {
                host: pattern,
                routes: Vec::new(),
                redirect: None,
                client_auth: None,
                tls: None,
                passthrough: None,
            })
        });
        Arc::make_mut(host).routes.push(Arc::new(route));
    }
    Arc::new(config)
}

pub(crate) fn pattern(host: &str) -> ir::HostPattern {
    match host.strip_prefix("*.") {
        Some(suffix) => ir::HostPattern::Wildcard(suffix.into()),
        None if host == "*" => ir::HostPattern::Any,
        None => ir::HostPattern::Exact(host.into()),
    }
}

pub(crate) fn backend_id(service: &str) -> ir::BackendId {
    ir::BackendId::new(ir::Name::new("shop", service), ir::PortKey::Number(80))
}

pub(crate) fn backend(id: &ir::BackendId, algorithm: ir::Algorithm) -> Arc<ir::Backend> {
    Arc::new(ir::Backend {
        id: id.clone(),
        protocol: ir::Protocol::Http1,
        tls: None,
        unsaid: None,
        balancing: Arc::new(ir::Balancing { algorithm, ..ir::Balancing::default() }),
        affinity: None,
        canary: None,
        source: ir::EndpointSource::None,
        origin: origin(),
    })
}

fn origin() -> ir::Origin {
    let name = ir::Name::new("shop", "web");
    let object = ir::Object { kind: ir::Kind::Ingress, name, file: None, line: None };
    ir::Origin { object: Arc::new(object), field: "".into() }
}

pub(crate) fn route(path: ir::PathMatch, implicit: bool, target: ir::Target) -> ir::Route {
    let minute = Duration::from_secs(60);
    ir::Route {
        path,
        implicit,
        origin: origin(),
        target,
        port: None,
        speech: None,
        filters: Arc::default(),
        policy: Arc::new(ir::Policy {
            timeouts: ir::Timeouts { connect: minute, read: minute, send: minute, tunnel_idle: minute, total: None },
            body_limit: ir::BodyLimit { bytes: 0 },
            body_min_rate: 0,
            buffer_request: true,
            retry: ir::Retry { on: ir::RetryOn::default(), tries: 3, timeout: Duration::ZERO },
            upgrade: ir::Upgrade::Any,
            request_trailers: false,
            http10: false,
            is_grpc: false,
            cache: None,
            compress: None,
            pace: None,
            trace: None,
            sticky: false,
        }),
    }
}

pub(crate) fn certificate(origin: ir::CertificateOrigin, name: &str) -> Arc<ir::Certificate> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let key = CertifiedKey::new(vec![made.cert.der().clone()], any_supported_type(&key).unwrap());
    Arc::new(ir::Certificate {
        origin,
        names: vec![name.into()],
        serial: String::new(),
        not_before: 0,
        not_after: 0,
        fingerprint: [0; 32],
        key: Arc::new(key),
    })
}
