//! From objects to meaning: pure, total, and the same bytes out for the same objects in any order.

mod affinity;
mod age;
mod alternatives;
mod balancing;
mod canary;
mod changes;
mod ciphers;
mod claim;
mod config_map;
mod endpoints;
mod few;
mod fields;
mod filters;
mod flags;
mod front;
mod ground;
mod host_rules;
mod ingress;
mod keys;
mod ledger;
mod memory;
mod merge;
mod names;
pub mod nginx;
mod passthrough;
mod replicas;
mod resolve;
mod said;
mod shared;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::config_map::{Row as ConfigKey, page as config_map_page, rows as config_keys};
pub use self::endpoints::{Resolved, endpoints};
use self::ground::Ground;
pub use self::ingress::annotations::{
    Fate as AnnotationFate, Row as Annotation, page as annotations_page, rows as annotations,
};
use self::memory::Memory;
pub use self::replicas::replicas;
use self::view::{Classes, View};
use crate::ir::{self, Kind, Name};
use crate::settings::CompileOptions;
use crate::snapshot::{Ingress, Snapshot};

/// What compiling gives: what is served, and what was wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// What is served.
    pub config: Arc<ir::Config>,
    /// What was wrong, what the source itself found included; sorted, each problem once.
    pub problems: Vec<ir::Problem>,
}

/// Compiles with memory: an Ingress whose object and every object it looked at (absent ones too) are unchanged is not
/// compiled again, and a virtual host whose parts are unchanged is the same `Arc` as before.
#[derive(Default)]
pub struct Compiler {
    memory: Option<Memory>,
}

impl Compiler {
    /// The configuration of `snapshot`. Never fails: a broken object loses its own routes and gains a problem.
    pub fn compile(&mut self, snapshot: &Snapshot, options: &CompileOptions) -> Compiled {
        let memory = match &mut self.memory {
            Some(memory) if memory.ground().is_current(snapshot, options) => memory,
            memory => memory.insert(Memory::new(Ground::read(snapshot, options))),
        };
        memory.update(snapshot)
    }
}

/// Compiles from nothing.
pub fn compile(snapshot: &Snapshot, options: &CompileOptions) -> Compiled {
    Compiler::default().compile(snapshot, options)
}

/// The Secrets and ConfigMaps without whose content an Ingress cannot be compiled; none of a foreign one.
pub fn references(ingress: &Ingress, snapshot: &Snapshot, options: &CompileOptions) -> BTreeSet<(Kind, Name)> {
    let ground = Ground::of_flags(options);
    let mut view = View::new(snapshot, Classes::of(snapshot, options), &ground);
    if !ingress::is_ours(ingress, &mut view) {
        return BTreeSet::new();
    }
    let map = options.config_map.as_ref().and_then(|name| snapshot.config_maps.get(name));
    let crosses = config_map::crosses_namespaces(map.map(Arc::as_ref));
    let secrets = ingress::tls::secrets(ingress).map(|name| (Kind::Secret, name));
    secrets.chain(ingress::annotations::references(ingress, &options.annotations_prefix, crosses)).collect()
}

/// The Secrets and ConfigMaps that flags name, and those that the ConfigMap of `--configmap` names.
pub fn flag_references(snapshot: &Snapshot, options: &CompileOptions) -> BTreeSet<(Kind, Name)> {
    let CompileOptions { config_map, default_ssl_certificate, .. } = options;
    let secret = default_ssl_certificate.iter().map(|name| (Kind::Secret, name.clone()));
    let map = config_map.as_ref().and_then(|name| snapshot.config_maps.get(name));
    let named = map.into_iter().flat_map(|map| config_map::references(map));
    let maps = config_map.iter().cloned().chain(named).map(|name| (Kind::ConfigMap, name));
    secret.chain(maps).collect()
}

/// The Ingresses of our class, also those of which nothing can be served.
pub fn ours<'a>(snapshot: &'a Snapshot, options: &'a CompileOptions) -> impl Iterator<Item = &'a Arc<Ingress>> {
    let classes = Classes::of(snapshot, options);
    let ground = Ground::of_flags(options);
    let is_ours = move |ingress: &&Arc<Ingress>| ingress::is_ours(ingress, &mut View::new(snapshot, classes, &ground));
    snapshot.ingresses.values().filter(is_ours)
}

/// What is done on a route that nobody set anything for: the short text form prints what differs.
pub fn plain(options: &CompileOptions) -> (ir::Filters, ir::Policy) {
    let ground = Ground::of_flags(options);
    (filters::plain(&ground), ingress::default_policy(&ground))
}
