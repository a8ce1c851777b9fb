//! The objects that are measured, read from the YAML text that a user would write.

use std::fmt::Write;
use std::sync::Arc;

use fairlead::ir::{self, EndpointSets};
use fairlead::live::Registry;
use fairlead::settings::CompileOptions;
use fairlead::snapshot::Snapshot;
use fairlead::snapshot::yaml::Reader;
use fairlead::table::RoutingTable;
use fairlead::telemetry::Metrics;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// `count` Ingresses, each with a host, a Service and two endpoints of its own.
pub(crate) fn one_host_each(count: usize) -> Snapshot {
    read((0..count).map(|number| {
        let mut text = String::new();
        ingress(&mut text, number, &host(number), "/", number);
        service(&mut text, number);
        text
    }))
}

/// `count` Ingresses, each with one path of the same host, all to one Service.
pub(crate) fn one_path_each(count: usize) -> Snapshot {
    read((0..count).map(|number| {
        let mut text = String::new();
        ingress(&mut text, number, "a.example", &path(number), 0);
        if number == 0 {
            service(&mut text, 0);
        }
        text
    }))
}

/// The host of the Ingress `number`; equally long for all.
pub(crate) fn host(number: usize) -> String {
    format!("app-{number:05}.example")
}

/// The path of the Ingress `number`; equally long for all.
pub(crate) fn path(number: usize) -> String {
    format!("/app-{number:05}")
}

/// The Ingress `number` with a second path.
pub(crate) fn changed(number: usize, version: usize) -> Snapshot {
    let mut text = String::new();
    ingress(&mut text, number, &host(number), &format!("/changed-{version}"), number);
    read([text].into_iter())
}

fn read(texts: impl Iterator<Item = String>) -> Snapshot {
    let mut reader = Reader::new("nginx.ingress.kubernetes.io");
    let mut snapshot = Snapshot::default();
    for text in texts {
        let parsed = reader.read(&text, "bench.yaml");
        assert!(parsed.is_whole, "{:?}", parsed.problems);
        for object in parsed.objects {
            snapshot.insert(object);
        }
    }
    snapshot
}

fn ingress(text: &mut String, number: usize, host: &str, path: &str, service: usize) {
    writeln!(
        text,
        "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: app-{number:05}
  namespace: shop
  annotations: {{nginx.ingress.kubernetes.io/proxy-body-size: 8m}}
spec:
  rules:
  - host: {host}
    http:
      paths:
      - {{path: {path}, pathType: Prefix, backend: {{service: {{name: app-{service:05}, port: {{number: 80}}}}}}}}"
    )
    .expect("text takes every write");
}

fn service(text: &mut String, number: usize) {
    let (high, low) = (number / 250, number % 250);
    writeln!(
        text,
        "---
apiVersion: v1
kind: Service
metadata: {{name: app-{number:05}, namespace: shop}}
spec: {{ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: app-{number:05}-1, namespace: shop, labels: {{kubernetes.io/service-name: app-{number:05}}}}}
addressType: IPv4
ports: [{{name: http, port: 8080, protocol: TCP}}]
endpoints:
- {{addresses: [10.1.{high}.{low}], conditions: {{ready: true}}, targetRef: {{kind: Pod, namespace: shop, name: app-{number:05}-a}}}}
- {{addresses: [10.2.{high}.{low}], conditions: {{ready: true}}, targetRef: {{kind: Pod, namespace: shop, name: app-{number:05}-b}}}}"
    )
    .expect("text takes every write");
}

/// What outlasts tables, and the certificate made at start.
pub(crate) struct World {
    pub(crate) registry: Registry,
    metrics: Arc<Metrics>,
    certificate: Arc<ir::Certificate>,
}

impl World {
    /// For two workers.
    pub(crate) fn new() -> World {
        World { registry: Registry::new(2), metrics: Metrics::new(2, true), certificate: certificate() }
    }

    /// The next table after `previous`.
    pub(crate) fn build(&self, config: &Arc<ir::Config>, previous: Option<&RoutingTable>) -> RoutingTable {
        RoutingTable::build(config, previous, &self.registry, &self.metrics, &self.certificate)
    }

    /// The table of `snapshot`, with its endpoints.
    pub(crate) fn serve(&self, snapshot: &Snapshot) -> Arc<RoutingTable> {
        let compiled = fairlead::compile::compile(snapshot, &CompileOptions::default());
        for (id, set) in endpoints(snapshot, &compiled.config) {
            self.registry.set_endpoints(&id, &set);
        }
        Arc::new(self.build(&compiled.config, None))
    }
}

/// The endpoints of every backend.
pub(crate) fn endpoints(snapshot: &Snapshot, config: &ir::Config) -> EndpointSets {
    let resolved = fairlead::compile::Resolved::new();
    let backends = config.backends.iter();
    backends.map(|(id, backend)| (id.clone(), fairlead::compile::endpoints(snapshot, backend, &resolved).0)).collect()
}

fn certificate() -> Arc<ir::Certificate> {
    let made = rcgen::generate_simple_self_signed(["ingress.local".to_owned()]).expect("a plain name");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let signing = any_supported_type(&key).expect("a key made just now");
    Arc::new(ir::Certificate {
        origin: ir::CertificateOrigin::SelfMade,
        names: vec!["ingress.local".into()],
        serial: String::new(),
        not_before: 0,
        not_after: 0,
        fingerprint: [0; 32],
        key: Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], signing)),
    })
}
