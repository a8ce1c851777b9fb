//! What is remembered from one compile to the next, so that a change costs what changed.
//!
//! An Ingress is compiled again when it changes or when something that it looked at does; its claims go to the hosts and
//! backends that they concern; only hosts and backends with other claims than before are merged again. A property test
//! holds the result equal to compiling from nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use super::Compiled;
use super::age::Age;
use super::changes::{Change, Seen};
use super::claim::{BackendClaim, HostClaim, Outcome, problem};
use super::few::Few;
use super::front::{self, Names};
use super::ground::Ground;
use super::ingress::{self, tls};
use super::ledger::{Ledger, Source};
use super::merge::{self, Choice, Claimant, Fallback};
use super::resolve::{Resolution, first_port, resolve};
use super::shared::Shared;
use super::view::{Classes, Lookup, View, is_ours};
use crate::ir::{
    BackendId, Certificate, Config, HostPattern, Kind, Name, Object, Origin, PortKey, Problem, Reason, Rejected,
    Severity, Target, VirtualHost,
};
use crate::snapshot::{ConfigMap, Ingress, IngressClass, Secret, Service, Snapshot};

/// Everything remembered.
pub(super) struct Memory {
    ground: Ground,
    ingresses: Seen<Ingress>,
    classes: Seen<IngressClass>,
    services: Seen<Service>,
    secrets: Seen<Secret>,
    config_maps: Seen<ConfigMap>,
    class_summary: Classes,
    remembered: BTreeMap<Name, Remembered>,
    readers: BTreeMap<Lookup, Few<Name, ()>>,
    hosts: BTreeMap<HostPattern, Few<Arc<Age>, Arc<HostClaim>>>,
    backends: BTreeMap<BackendId, Named>,
    /// Hosts that ask for further names.
    names: BTreeMap<HostPattern, Names>,
    /// The further names that they got.
    given: BTreeSet<HostPattern>,
    flags: Flags,
    ledger: Ledger,
    shared: Shared,
    config: Arc<Config>,
}

/// One Ingress as it was compiled.
struct Remembered {
    age: Arc<Age>,
    hosts: Box<[Arc<HostClaim>]>,
    backends: Box<[Arc<BackendClaim>]>,
    lookups: Box<[Lookup]>,
}

/// What is said of one backend.
#[derive(Default)]
struct Named {
    claims: Few<Claimant, Arc<BackendClaim>>,
    /// How many routes lead to it; one that only lost paths name is not served.
    uses: usize,
    /// Its claims come to gRPC; routes to it are merged anew when that changes.
    is_grpc: bool,
}

/// What the flags and IngressClasses come to.
#[derive(PartialEq)]
struct Flags {
    fallback: Fallback,
    backend: Option<Arc<BackendClaim>>,
    certificate: Option<Arc<Certificate>>,
    problems: Vec<Problem>,
}

/// Hosts and backends whose claims changed.
#[derive(Default)]
struct Dirty {
    hosts: BTreeSet<HostPattern>,
    backends: BTreeSet<BackendId>,
    ledger: bool,
}

impl Memory {
    /// Nothing remembered.
    pub(super) fn new(ground: Ground) -> Self {
        let config = Arc::new(Config { globals: Arc::clone(&ground.globals), ..Config::default() });
        Memory {
            ground,
            ingresses: Seen::default(),
            classes: Seen::default(),
            services: Seen::default(),
            secrets: Seen::default(),
            config_maps: Seen::default(),
            class_summary: Classes::default(),
            remembered: BTreeMap::new(),
            readers: BTreeMap::new(),
            hosts: BTreeMap::new(),
            backends: BTreeMap::new(),
            names: BTreeMap::new(),
            given: BTreeSet::new(),
            flags: Flags { fallback: no_fallback(), backend: None, certificate: None, problems: Vec::new() },
            ledger: Ledger::default(),
            shared: Shared::default(),
            config,
        }
    }

    /// What everything remembered was compiled on.
    pub(super) fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Brings everything remembered up to `snapshot`.
    pub(super) fn update(&mut self, snapshot: &Snapshot) -> Compiled {
        let mut dirty = Dirty::default();
        let outdated = self.outdated(snapshot);
        for name in &outdated {
            self.replace(name, snapshot, &mut dirty);
        }
        self.flags(snapshot, &mut dirty);
        let is_large = outdated.len() > snapshot.ingresses.len() / 2;
        if !dirty.hosts.is_empty() || !dirty.backends.is_empty() || dirty.ledger {
            self.rebuild(dirty, is_large);
        }
        if is_large {
            self.pack();
        }
        Compiled { config: Arc::clone(&self.config), problems: self.ledger.problems(&snapshot.problems) }
    }

    /// The Ingresses to compile, come, gone and changed ones and those that looked at something which changed.
    fn outdated(&mut self, snapshot: &Snapshot) -> BTreeSet<Name> {
        let mut changed: BTreeSet<Lookup> = BTreeSet::new();
        let classes = self.classes.changes(&snapshot.classes, |class| &class.meta);
        let summary = Classes::of(snapshot, &self.ground.options);
        if summary != self.class_summary {
            self.class_summary = summary;
            changed.insert(Lookup::Classes);
        }
        changed.extend(classes.into_iter().map(|change| Lookup::Class(change.name)));
        for Change { name, came_or_went } in self.services.changes(&snapshot.services, |service| &service.meta) {
            if came_or_went {
                changed.insert(Lookup::ServiceNames(Arc::clone(&name.namespace)));
            }
            changed.insert(Lookup::Service(name));
        }
        let secrets = self.secrets.changes(&snapshot.secrets, |secret| &secret.meta);
        changed.extend(secrets.into_iter().map(|change| Lookup::Secret(change.name)));
        let config_maps = self.config_maps.changes(&snapshot.config_maps, |map| &map.meta);
        changed.extend(config_maps.into_iter().map(|change| Lookup::ConfigMap(change.name)));

        let ingresses = self.ingresses.changes(&snapshot.ingresses, |ingress| &ingress.meta);
        let readers = changed.iter().filter_map(|lookup| self.readers.get(lookup));
        let readers = readers.flat_map(Few::iter).map(|(name, ())| name.clone());
        ingresses.into_iter().map(|change| change.name).chain(readers).collect()
    }

    /// Compiles one Ingress and puts its claims in the place of those it had.
    fn replace(&mut self, name: &Name, snapshot: &Snapshot, dirty: &mut Dirty) {
        let old = self.remembered.remove(name);
        let (new, problems, rejected) = match snapshot.ingresses.get(name) {
            Some(ingress) => {
                let (new, problems, rejected) = self.compile(ingress, snapshot);
                (Some(new), problems, rejected)
            }
            None => (None, Vec::new(), Vec::new()),
        };
        if let Some(old) = &old {
            self.withdraw(old, new.as_ref(), dirty);
            for lookup in &old.lookups {
                if let Some(readers) = self.readers.get_mut(lookup) {
                    readers.remove(name);
                    if readers.is_empty() {
                        self.readers.remove(lookup);
                    }
                }
            }
        }
        dirty.ledger |= self.ledger.set(Source::Ingress(name.clone()), problems, rejected);
        let Some(new) = new else { return };
        self.enter(&new, dirty);
        for lookup in &new.lookups {
            self.readers.entry(lookup.clone()).or_default().insert(name.clone(), ());
        }
        self.remembered.insert(name.clone(), new);
    }

    fn compile(&mut self, ingress: &Ingress, snapshot: &Snapshot) -> (Remembered, Vec<Problem>, Vec<Arc<Rejected>>) {
        let mut view = View::new(snapshot, self.class_summary, &self.ground);
        let Outcome { hosts, backends, problems, rejected } = ingress::compile(ingress, &mut view, &mut self.shared);
        let age = Arc::new(Age::of(&ingress.meta));
        (Remembered { age, hosts, backends, lookups: view.into_lookups() }, problems, rejected)
    }

    /// Takes claims back, but those that are made again unchanged.
    fn withdraw(&mut self, old: &Remembered, new: Option<&Remembered>, dirty: &mut Dirty) {
        let new = new.filter(|new| new.age == old.age);
        for claim in &old.hosts {
            let same = new.is_some_and(|new| new.hosts.contains(claim));
            if !same && let Some(claims) = self.hosts.get_mut(&claim.host) {
                claims.remove(&old.age);
                dirty.hosts.insert(claim.host.clone());
            }
        }
        for claim in &old.backends {
            let same = new.is_some_and(|new| new.backends.contains(claim));
            if !same && let Some(named) = self.backends.get_mut(&claim.id) {
                named.claims.remove(&Claimant::Ingress(Arc::clone(&old.age)));
                dirty.backends.insert(claim.id.clone());
            }
        }
    }

    /// Makes claims; those that stand unchanged from before are left.
    fn enter(&mut self, new: &Remembered, dirty: &mut Dirty) {
        for claim in &new.hosts {
            let claims = self.hosts.entry(claim.host.clone()).or_default();
            if !claims.contains_key(&new.age) {
                claims.insert(Arc::clone(&new.age), Arc::clone(claim));
                dirty.hosts.insert(claim.host.clone());
            }
        }
        for claim in &new.backends {
            let claims = &mut self.backends.entry(claim.id.clone()).or_default().claims;
            let claimant = Claimant::Ingress(Arc::clone(&new.age));
            if !claims.contains_key(&claimant) {
                claims.insert(claimant, Arc::clone(claim));
                dirty.backends.insert(claim.id.clone());
            }
        }
    }

    /// `--default-backend-service`, `--default-ssl-certificate` and what is said of IngressClasses; looked at each time.
    fn flags(&mut self, snapshot: &Snapshot, dirty: &mut Dirty) {
        let new = read_flags(snapshot, self.class_summary, &self.ground);
        if new == self.flags {
            return;
        }
        if new.fallback != self.flags.fallback {
            dirty.hosts.extend(self.hosts.keys().cloned());
            dirty.hosts.insert(HostPattern::Any);
        }
        if new.backend != self.flags.backend {
            for claim in self.flags.backend.iter() {
                if let Some(named) = self.backends.get_mut(&claim.id) {
                    named.claims.remove(&Claimant::Flag);
                }
                dirty.backends.insert(claim.id.clone());
            }
            for claim in new.backend.iter() {
                let named = self.backends.entry(claim.id.clone()).or_default();
                named.claims.insert(Claimant::Flag, Arc::clone(claim));
                dirty.backends.insert(claim.id.clone());
            }
        }
        dirty.ledger = true;
        self.ledger.set(Source::Flags, new.problems.clone(), Vec::new());
        self.flags = new;
    }

    /// Merges what changed into a configuration that shares everything else with the one before.
    fn rebuild(&mut self, mut dirty: Dirty, is_large: bool) {
        let mut config = Arc::clone(&self.config);
        let next = Arc::make_mut(&mut config);
        next.default_certificate.clone_from(&self.flags.certificate);
        self.turn_protocols(&mut dirty, &next.hosts);
        for pattern in &dirty.hosts {
            let old = next.hosts.get(pattern).cloned();
            dirty.ledger |= self.rebuild_host(pattern, next);
            let new = next.hosts.get(pattern);
            if old.as_ref() != new {
                count(&mut self.backends, old.as_ref(), new, &mut dirty.backends);
            }
        }
        if !dirty.hosts.is_empty() {
            dirty.ledger |= self.give_names(next);
        }
        for id in &dirty.backends {
            self.rebuild_backend(id, next);
        }
        if dirty.ledger {
            next.rejected = self.ledger.rejected();
        }
        if is_large {
            pack(&mut next.hosts);
            pack(Arc::make_mut(&mut next.backends));
            pack(Arc::make_mut(&mut next.certificates));
        }
        self.config = config;
    }

    /// Notes which backends speak gRPC now, and which hosts of `hosts` have to know.
    fn turn_protocols(&mut self, dirty: &mut Dirty, hosts: &BTreeMap<HostPattern, Arc<VirtualHost>>) {
        let mut turned = BTreeSet::new();
        for id in &dirty.backends {
            let Some(named) = self.backends.get_mut(id) else { continue };
            let is_grpc = merge::is_grpc(named.claims.iter());
            if mem::replace(&mut named.is_grpc, is_grpc) != is_grpc {
                turned.insert(id);
            }
        }
        if !turned.is_empty() {
            let concerned = hosts.iter().filter(|(_, host)| backends(host).any(|id| turned.contains(id)));
            dirty.hosts.extend(concerned.map(|(pattern, _)| pattern.clone()));
        }
    }

    /// Gives back the room that maps have to spare after many inserts.
    fn pack(&mut self) {
        pack(&mut self.remembered);
        pack(&mut self.readers);
        pack(&mut self.hosts);
        pack(&mut self.backends);
        self.shared.sweep();
    }

    /// Whether what is wrong with it changed.
    fn rebuild_host(&mut self, pattern: &HostPattern, config: &mut Config) -> bool {
        let source = Source::Host(pattern.clone());
        let fallback = &self.flags.fallback;
        let is_grpc = |id: &BackendId| self.backends.get(id).is_some_and(|named| named.is_grpc);
        config.defaulted.remove(pattern);
        let Some(claims) = self.hosts.get(pattern).filter(|claims| !claims.is_empty()) else {
            self.hosts.remove(pattern);
            self.names.remove(pattern);
            certify(config, pattern, None);
            if *pattern == HostPattern::Any && fallback.target != Target::NotFound {
                let unclaimed = merge::unclaimed(fallback, &self.ground, &mut self.shared, is_grpc);
                config.hosts.insert(pattern.clone(), Arc::new(unclaimed));
            } else {
                config.hosts.remove(pattern);
            }
            return self.ledger.set(source, Vec::new(), Vec::new());
        };
        let previous = config.hosts.get(pattern);
        let claims = claims.iter().map(|(_, claim)| claim);
        let previous_host = previous.map(Arc::as_ref);
        let merged = merge::host(pattern, claims, fallback, &self.ground, &mut self.shared, is_grpc, previous_host);
        if previous.is_none_or(|previous| *previous != merged.host) {
            config.hosts.insert(pattern.clone(), merged.host);
        }
        let own = match merged.certificate {
            Choice::Own(certificate) => Some(certificate),
            // A wildcard gets the default one anyway: no other pattern means its names.
            Choice::Default if matches!(pattern, HostPattern::Exact(_)) => {
                config.defaulted.insert(pattern.clone());
                None
            }
            Choice::Default | Choice::Unsaid => None,
        };
        certify(config, pattern, own);
        match merged.names {
            Some(names) => drop(self.names.insert(pattern.clone(), names)),
            None => drop(self.names.remove(pattern)),
        }
        self.ledger.set(source, merged.problems, merged.rejected)
    }

    /// Gives hosts their further names, all anew: there are few. Whether what is wrong with them changed.
    fn give_names(&mut self, config: &mut Config) -> bool {
        if self.names.is_empty() && self.given.is_empty() {
            return false;
        }
        let resolved = front::resolve(&self.names, |name| self.hosts.contains_key(name));
        let mut before = mem::take(&mut self.given);
        for (name, of) in resolved.aliases.names.iter().chain(&resolved.moved) {
            before.remove(name);
            self.given.insert(name.clone());
            // Another name's certificate would be worse than the default one.
            let own = config.certificates.get(of).filter(|certificate| certificate.covers(&name.to_string()));
            let own = own.cloned();
            certify(config, name, own);
            match resolved.moved.get(name) {
                Some(to) => {
                    let host = front::moved(name, to, &self.ground.options);
                    if config.hosts.get(name).is_none_or(|old| **old != host) {
                        config.hosts.insert(name.clone(), Arc::new(host));
                    }
                }
                None => drop(config.hosts.remove(name)),
            }
        }
        // Those that have rules of their own now are somebody else's matter.
        for name in before.iter().filter(|name| !self.hosts.contains_key(*name)) {
            certify(config, name, None);
            config.hosts.remove(name);
        }
        if *config.aliases != resolved.aliases {
            config.aliases = Arc::new(resolved.aliases);
        }
        self.ledger.set(Source::Names, resolved.problems, Vec::new())
    }

    fn rebuild_backend(&mut self, id: &BackendId, config: &mut Config) {
        let named = self.backends.get(id);
        let merged = named.and_then(|named| merge::backend(named.claims.iter(), &self.ground, &mut self.shared));
        let is_used = named.is_some_and(|named| named.uses > 0);
        if !is_used && merged.is_none() {
            self.backends.remove(id);
        }
        match merged.filter(|_| is_used) {
            Some((backend, problems)) => {
                if config.backends.get(id).is_none_or(|old| **old != backend) {
                    Arc::make_mut(&mut config.backends).insert(id.clone(), Arc::new(backend));
                }
                self.ledger.set(Source::Backend(id.clone()), problems, Vec::new());
            }
            None => {
                if config.backends.contains_key(id) {
                    Arc::make_mut(&mut config.backends).remove(id);
                }
                self.ledger.set(Source::Backend(id.clone()), Vec::new(), Vec::new());
            }
        }
    }
}

/// Sets the certificate of a name. What is the same is not touched: the map may be shared.
fn certify(config: &mut Config, pattern: &HostPattern, certificate: Option<Arc<Certificate>>) {
    if config.certificates.get(pattern) == certificate.as_ref() {
        return;
    }
    let certificates = Arc::make_mut(&mut config.certificates);
    match certificate {
        Some(certificate) => certificates.insert(pattern.clone(), certificate),
        None => certificates.remove(pattern),
    };
}

/// Counts the routes that lead to each backend anew for one host, and tells which backends came into use or went out.
fn count(
    named: &mut BTreeMap<BackendId, Named>,
    old: Option<&Arc<VirtualHost>>,
    new: Option<&Arc<VirtualHost>>,
    dirty: &mut BTreeSet<BackendId>,
) {
    for id in new.into_iter().flat_map(|host| backends(host)) {
        let named = named.entry(id.clone()).or_default();
        named.uses += 1;
        if named.uses == 1 {
            dirty.insert(id.clone());
        }
    }
    for id in old.into_iter().flat_map(|host| backends(host)) {
        let Some(named) = named.get_mut(id) else { continue };
        named.uses -= 1;
        if named.uses == 0 {
            dirty.insert(id.clone());
        }
    }
}

/// Fills the nodes of a map, which inserts in order leave half empty.
fn pack<K: Ord, V>(map: &mut BTreeMap<K, V>) {
    *map = mem::take(map).into_iter().collect();
}

fn backends(host: &VirtualHost) -> impl Iterator<Item = &BackendId> {
    host.routes.iter().flat_map(|route| {
        let own = match &route.target {
            Target::Backend(id) => Some(id),
            Target::Closed(_) | Target::NotFound => None,
        };
        own.into_iter().chain(route.filters.backends())
    })
}

fn read_flags(snapshot: &Snapshot, classes: Classes, ground: &Ground) -> Flags {
    let mut view = View::new(snapshot, classes, ground);
    let options = &ground.options;
    let mut problems = ground.problems.clone();
    let mut fallback = no_fallback();
    let mut backend = None;
    if let Some(name) = &options.default_backend_service {
        let flag = flag("--default-backend-service");
        fallback.origin.object = Arc::clone(&flag);
        let found = default_backend(name, &mut view);
        problems.extend(found.notes);
        if let Some(fault) = found.fault {
            let message = format!("{}; unknown hosts and paths get 404", fault.message);
            problems.push(problem(&flag, fault.severity, fault.reason, "", message, fault.hint));
        } else {
            fallback.target = Target::Backend(found.id.clone());
            backend = Some(Arc::new(BackendClaim {
                id: found.id,
                origin: fallback.origin.clone(),
                facts: found.facts,
                said: None,
            }));
        }
    }
    let mut certificate = None;
    if let Some(name) = &options.default_ssl_certificate {
        let flag = flag("--default-ssl-certificate");
        let (found, mut more) = tls::default_certificate(view.secret(name), name, &flag);
        certificate = found;
        problems.append(&mut more);
    }
    if let Some(name) = options.config_map.as_ref().filter(|name| view.config_map(name).is_none()) {
        problems.push(problem(
            &flag("--configmap"),
            Severity::Warning,
            Reason::ConfigKeyInvalid,
            "",
            format!("no ConfigMap {name}; the defaults of its keys serve"),
            "create it, or name another",
        ));
    }
    for class in snapshot.classes.values().filter(|class| class.has_parameters && is_ours(class, options)) {
        problems.push(problem(
            &class.meta.object,
            Severity::Info,
            Reason::ClassParametersIgnored,
            "spec.parameters",
            "spec.parameters has no effect",
            "set what it asks for in the controller's ConfigMap or flags",
        ));
    }
    Flags { fallback, backend, certificate, problems }
}

fn default_backend(name: &Name, view: &mut View<'_>) -> Resolution {
    let port = view.service(name).map_or(PortKey::Number(80), first_port);
    let mut found = resolve(view, name, &port);
    // That the Host is kept is known to whoever makes an external default backend.
    found.fault = found.fault.filter(|fault| fault.severity != Severity::Info);
    found
}

fn no_fallback() -> Fallback {
    Fallback {
        target: Target::NotFound,
        origin: Origin { object: flag("--default-backend-service"), field: "".into() },
    }
}

fn flag(name: &str) -> Arc<Object> {
    Arc::new(Object { kind: Kind::Flag, name: Name::new("", name), file: None, line: None })
}
