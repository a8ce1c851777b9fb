//! A folder compiled without serving it, for `check` and `explain`.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Stop;
use crate::admin::Listener;
use crate::compile::{Compiled, Resolved, compile, endpoints};
use crate::ir::{Backend, Config, EndpointSets, EndpointSource, Problem};
use crate::live::Registry;
use crate::settings::{CompileOptions, Given, flag};
use crate::snapshot::{Snapshot, secret};
use crate::source;
use crate::table::RoutingTable;
use crate::telemetry::Metrics;

/// What a folder means.
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    pub(super) config: Arc<Config>,
    /// Of the folder, the objects and the endpoints; sorted, each once.
    pub(super) problems: Vec<Problem>,
    endpoints: EndpointSets,
}

/// Reads and compiles files and folders. Names of ExternalName Services are looked up once, as the system does it.
pub(super) fn load(paths: &[String], options: &CompileOptions) -> Result<Loaded, Stop> {
    for path in paths {
        flag::existing(Path::new(path)).map_err(Stop::unusable)?;
    }
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let snapshot = source::folder::read(&paths, &options.annotations_prefix);
    let Compiled { config, mut problems } = compile(&snapshot, options);
    let resolved = resolve(&config);
    let mut sets = EndpointSets::new();
    for (id, backend) in &config.backends {
        let (set, found) = endpoints(&snapshot, backend, &resolved);
        problems.extend(found);
        sets.insert(id.clone(), set);
    }
    problems.sort();
    problems.dedup();
    Ok(Loaded { snapshot, config, problems, endpoints: sets })
}

/// `--cluster` is promised, and nothing answers it yet.
pub(super) fn refuse_cluster(given: &Given) -> Result<(), Stop> {
    if given.is_on("cluster")? {
        return Err(Stop::unusable("--cluster: this version reads folders only; name one"));
    }
    Ok(())
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

fn resolve(config: &Config) -> Resolved {
    let names = config.backends.values().filter_map(|backend: &Arc<Backend>| match &backend.source {
        EndpointSource::Dns { name, .. } => Some(Arc::clone(name)),
        EndpointSource::None | EndpointSource::Slices { .. } => None,
    });
    names
        .filter_map(|name| {
            let found = (&*name, 0).to_socket_addrs().ok()?;
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            addresses.sort();
            addresses.dedup();
            Some((name, addresses))
        })
        .collect()
}
