//! A folder or a cluster compiled without serving it, for `check` and `explain`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::ListParams;
use tokio::time::timeout;

use super::{Stop, cluster};
use crate::admin::Listener;
use crate::compile::{Compiled, Resolved, compile, endpoints};
use crate::ir::{Backend, Config, EndpointSets, EndpointSource, Problem, Reason};
use crate::live::Registry;
use crate::settings::{CompileOptions, Given, flag};
use crate::snapshot::{Snapshot, secret};
use crate::source::{self, ClusterSource};
use crate::table::RoutingTable;
use crate::telemetry::Metrics;

/// Longest wait for everything that a cluster holds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the objects mean.
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    pub(super) config: Arc<Config>,
    /// Of the source, the objects and the endpoints; sorted, each once.
    pub(super) problems: Vec<Problem>,
    endpoints: EndpointSets,
}

/// Reads and compiles files and folders. Names of ExternalName Services are looked up once.
pub(super) fn load(paths: &[String], options: &CompileOptions) -> Result<Loaded, Stop> {
    for path in paths {
        flag::existing(Path::new(path)).map_err(Stop::unusable)?;
    }
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    compiled(source::folder::read(&paths, &options.annotations_prefix), options)
}

/// Reads and compiles what a cluster holds, or one namespace of it. What may not be read is among the problems.
pub(super) fn load_cluster(given: &Given, options: &CompileOptions) -> Result<Loaded, Stop> {
    let namespace = given.text("namespace");
    let settings = cluster::settings(given, namespace);
    let (runtime, client) = cluster::client(&settings)?;
    let snapshot = runtime.block_on(async {
        let ingresses = match namespace {
            Some(namespace) => Api::<Ingress>::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        // Asked once before everything: it says what is wrong with the cluster in one line.
        cluster::answer("list Ingresses", ingresses.list_metadata(&ListParams::default().limit(1))).await?;
        let metrics = Metrics::new(1, false);
        let source = ClusterSource::open(&client, &settings, options, &metrics);
        let read = timeout(PATIENCE, source.read_once()).await;
        read.map_err(|_| Stop::failed(format!("the API server does not answer all in {} s", PATIENCE.as_secs())))
    })?;
    let mut loaded = compiled(Arc::unwrap_or_clone(snapshot), options)?;
    // Names of the cluster are not known here.
    loaded.problems.retain(|problem| problem.reason != Reason::ExternalNameUnresolved);
    Ok(loaded)
}

fn compiled(snapshot: Snapshot, options: &CompileOptions) -> Result<Loaded, Stop> {
    let Compiled { config, mut problems } = compile(&snapshot, options);
    let resolved = if options.folder { resolve(&config)? } else { Resolved::default() };
    let mut sets = EndpointSets::new();
    for (id, backend) in &*config.backends {
        let (set, found) = endpoints(&snapshot, backend, &resolved);
        problems.extend(found);
        sets.insert(id.clone(), set);
    }
    problems.sort();
    problems.dedup();
    Ok(Loaded { snapshot, config, problems, endpoints: sets })
}

impl Loaded {
    /// The table that would be served.
    pub(super) fn table(&self) -> Result<RoutingTable, Stop> {
        let registry = Registry::new(1);
        let metrics = Metrics::new(1, false);
        let self_made =
            secret::self_made(0).map_err(|why| Stop::failed(format!("cannot make a certificate: {why}")))?;
        let table = RoutingTable::build(&self.config, None, &registry, &metrics, &Arc::new(self_made));
        for (id, set) in &self.endpoints {
            registry.set_endpoints(id, set);
        }
        Ok(table)
    }

    /// The listeners that would serve it.
    pub(super) fn listeners(&self, options: &CompileOptions) -> Vec<Listener> {
        let listener = |name, port: Option<u16>| port.map(|port| Listener { name, port });
        [listener("http", options.http_port), listener("https", options.https_port)].into_iter().flatten().collect()
    }
}

/// What serving would find, so that both say the same of a name.
fn resolve(config: &Config) -> Result<Resolved, Stop> {
    let names = config.backends.values().filter_map(|backend: &Arc<Backend>| match &backend.source {
        EndpointSource::Dns { name, .. } => Some(Arc::clone(name)),
        EndpointSource::Fixed(_) | EndpointSource::None | EndpointSource::Slices { .. } => None,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::failed(format!("cannot start: {error}")))?;
    Ok(runtime.block_on(source::dns::look_up(names)))
}
