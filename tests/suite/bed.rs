//! A whole data plane in the test's process: YAML in, sockets out, tables swapped at will.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use fairlead::controller::{Controller, Outlets};
use fairlead::ir::{Balancing, Config, Name, Policy};
use fairlead::live::{Cache, Endpoint, Registry};
use fairlead::proxy::{Checks, Phase, Shared, Sockets, Workers};
use fairlead::settings::{CompileOptions, Limits, Own};
use fairlead::snapshot::{Snapshot, secret, yaml};
use fairlead::source::Delta;
use fairlead::table::{RoutingTable, SharedTable};
use fairlead::telemetry::exposition::{Exposition, Page};
use fairlead::telemetry::{AccessLog, Metrics, Readiness};

/// Running workers on loopback, and the controller that tells them what to serve.
pub struct Bed {
    /// Where http is served.
    pub http: SocketAddr,
    /// Where https is served.
    pub https: SocketAddr,
    /// Counters.
    pub metrics: Arc<Metrics>,
    workers: Option<Workers>,
    controller: Controller,
    outlets: Outlets,
    snapshot: Snapshot,
}

impl Bed {
    /// Serves `manifests` with default limits on two workers.
    pub fn start(manifests: &str) -> Bed {
        Bed::with(manifests, Limits::default(), 2, None)
    }

    /// Serves `manifests` under `limits` on `workers` workers.
    pub fn with(manifests: &str, limits: Limits, workers: usize, access_log: Option<Arc<AccessLog>>) -> Bed {
        Bed::told(manifests, limits, workers, access_log, |_| {})
    }

    /// The same with other options.
    pub fn told(
        manifests: &str,
        limits: Limits,
        workers: usize,
        access_log: Option<Arc<AccessLog>>,
        tell: impl FnOnce(&mut CompileOptions),
    ) -> Bed {
        let default_certificate = Arc::new(secret::self_made(now()).unwrap());
        let metrics = Metrics::new(workers, true);
        let table = Arc::new(SharedTable::new(Arc::new(RoutingTable::empty(&default_certificate))));
        let outlets = Outlets {
            table,
            registry: Arc::new(Registry::new(workers)),
            checks: Checks::new(&metrics),
            metrics: Arc::clone(&metrics),
            readiness: Readiness::new(),
            problems: Arc::new(ArcSwap::default()),
            default_certificate,
        };
        let sockets = Sockets::bind(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], Some(0), Some(0), workers).unwrap();
        let (http, https) = (sockets.http_addresses()[0], sockets.https_addresses()[0]);
        let mut options = CompileOptions {
            http_port: Some(http.port()),
            https_port: Some(https.port()),
            config_map: manifests.contains("kind: ConfigMap").then(|| Name::new("default", "global")),
            limits: limits.clone(),
            own: Some(Own { service: Some(Name::new("default", "ourselves")), pod: None }),
            ..CompileOptions::default()
        };
        tell(&mut options);
        let controller = Controller::new(outlets.clone(), options, Vec::new());
        let shared = Shared {
            table: Arc::clone(&outlets.table),
            limits: Arc::new(limits),
            metrics: Arc::clone(&metrics),
            readiness: Arc::clone(&outlets.readiness),
            access_log,
        };
        let snapshot = Snapshot::default();
        let mut bed = Bed { http, https, metrics, workers: None, controller, outlets, snapshot };
        bed.apply(manifests);
        bed.workers = Some(sockets.start(&shared).unwrap());
        bed
    }

    /// Serves other manifests from now on. The controller finds out by itself which of its roads that takes.
    pub fn apply(&mut self, manifests: &str) {
        let parsed = yaml::read(manifests, "test.yaml");
        assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
        let next = parsed.into_snapshot();
        let delta = Delta::between(&self.snapshot, &next);
        self.snapshot = next;
        self.controller.apply(&self.snapshot, &delta, Instant::now(), now());
        self.outlets.table.sweep();
        self.outlets.registry.sweep();
    }

    /// Serves the same with other settings of every backend, whatever the objects say.
    pub fn balance(&self, change: impl FnOnce(&mut Balancing)) {
        let mut config = Config::clone(self.outlets.table.load().config());
        let mut balancing = Balancing::default();
        change(&mut balancing);
        let balancing = Arc::new(balancing);
        for backend in Arc::make_mut(&mut config.backends).values_mut() {
            Arc::make_mut(backend).balancing = Arc::clone(&balancing);
        }
        self.publish(config);
    }

    /// Serves the same with another policy of every route, whatever the objects say.
    pub fn tune(&self, change: impl Fn(&mut Policy)) {
        let mut config = Config::clone(self.outlets.table.load().config());
        for host in config.hosts.values_mut() {
            for route in &mut Arc::make_mut(host).routes {
                change(Arc::make_mut(&mut Arc::make_mut(route).policy));
            }
        }
        self.publish(config);
    }

    fn publish(&self, config: Config) {
        let Outlets { table, registry, checks, metrics, default_certificate, .. } = &self.outlets;
        let config = Arc::new(config);
        let next = RoutingTable::build(&config, Some(&table.load()), registry, metrics, default_certificate);
        table.publish(Arc::new(next));
        checks.follow(&config, registry);
    }

    fn endpoint(&self, address: SocketAddr) -> Arc<Endpoint> {
        let backends = self.outlets.registry.backends();
        let sets: Vec<_> = backends.iter().map(|backend| backend.endpoints.load_full()).collect();
        let mut endpoints = sets.iter().flat_map(|set| set.iter());
        Arc::clone(endpoints.find(|endpoint| endpoint.address == address).unwrap())
    }

    /// The mean time of the endpoint at `address` to a response head.
    pub fn latency(&self, address: SocketAddr) -> Option<Duration> {
        self.endpoint(address).latency()
    }

    /// What is thought of the endpoint at `address`, and why.
    pub fn standing(&self, address: SocketAddr) -> (&'static str, String) {
        let endpoint = self.endpoint(address);
        let reason = endpoint.history().map_or(String::new(), |history| history.reason.to_string());
        (endpoint.standing().as_str(), reason)
    }

    /// When the endpoint at `address` was checked the last time.
    pub fn last_check(&self, address: SocketAddr) -> Option<Instant> {
        let backends = self.outlets.registry.backends();
        backends.iter().find_map(|backend| {
            let set = backend.endpoints.load();
            let endpoint = set.iter().find(|endpoint| endpoint.address == address)?;
            backend.last_check(endpoint)
        })
    }

    /// The response cache.
    pub fn cache(&self) -> &Arc<Cache> {
        self.outlets.registry.cache()
    }

    /// How many problems stand with this reason.
    pub fn problems(&self, reason: &str) -> usize {
        let standing = self.outlets.problems.load();
        standing.iter().filter(|standing| standing.problem.reason.as_str() == reason).count()
    }

    /// The reasons of the problems that Ingress `name` has with its annotation of this full name.
    pub fn reasons(&self, name: &str, annotation: &str) -> Vec<&'static str> {
        let field = format!("metadata.annotations[{annotation}]");
        let standing = self.outlets.problems.load();
        let own = standing.iter().map(|standing| &standing.problem);
        let own = own.filter(|problem| *problem.object.name.name == *name && problem.field == field);
        own.map(|problem| problem.reason.as_str()).collect()
    }

    /// Looks whether those that are asked who may come in say so, as it is done every few seconds.
    pub fn look_after_guards(&mut self) {
        self.controller.look_after_guards(&self.snapshot, now());
    }

    /// The value of a series as the metrics page has it; 0 if it is not there.
    pub fn metric(&self, series: &str) -> u64 {
        let mut page = Page::new(Exposition::Text);
        self.metrics.write(&mut page, now());
        let page = page.finish();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Tables served so far.
    pub fn generation(&self) -> u64 {
        self.outlets.table.generation()
    }

    /// The endpoints of all backends, sorted.
    pub fn endpoints(&self) -> Vec<SocketAddr> {
        let mut all = Vec::new();
        for backend in self.outlets.registry.backends() {
            all.extend(backend.endpoints.load().iter().map(|endpoint| endpoint.address));
        }
        all.sort();
        all
    }

    /// The table that is served.
    pub fn table(&self) -> Arc<RoutingTable> {
        self.outlets.table.load()
    }

    /// The workers, to lead them out.
    pub fn workers(&self) -> &Workers {
        self.workers.as_ref().unwrap()
    }

    /// Closes and waits; whether every connection ended by itself within `patience`.
    pub fn drain(&mut self, patience: Duration) -> bool {
        let workers = self.workers.take().unwrap();
        workers.enter(Phase::Closing);
        workers.wait(patience)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            workers.enter(Phase::Closing);
            workers.enter(Phase::Ending);
            workers.wait(Duration::from_secs(5));
        }
        if !std::thread::panicking() {
            assert_eq!(self.metrics.panics(), 0, "a worker panicked");
        }
    }
}

/// Seconds since the epoch.
pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// A Service `name` with one EndpointSlice of `addresses`, all ready.
pub fn service(name: &str, addresses: &[SocketAddr]) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: http, port: 80}}]}}\n---\n"
    );
    for (i, address) in addresses.iter().enumerate() {
        text += &format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-{i}, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\nports: [{{name: http, port: {}, protocol: TCP}}]\nendpoints: [{{addresses: [\"{}\"]}}]\n---\n",
            address.port(),
            address.ip(),
        );
    }
    text
}

/// An Ingress `name` that sends `path` (Prefix) of `host` to Service `service`, with `annotations` as YAML flow text.
pub fn ingress(name: &str, host: &str, path: &str, service: &str, annotations: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\nspec:\n  rules:\n  - host: \"{host}\"\n    http:\n      paths:\n      - {{path: \"{path}\", pathType: Prefix, backend: {{service: {{name: {service}, port: {{name: http}}}}}}}}\n---\n"
    )
}
