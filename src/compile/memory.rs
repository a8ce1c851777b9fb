//! What is remembered from one compile to the next, so that a change costs what changed.
//!
//! An Ingress is compiled again when it changes or when something that it looked at does; its claims go to the hosts and
//! backends that they concern; only hosts and backends with other claims than before are merged again. A property test
//! holds the result equal to compiling from nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Compiled;
use super::age::Age;
use super::changes::{Change, Seen};
use super::claim::{BackendClaim, HostClaim, Outcome, problem};
use super::fields::Fields;
use super::ingress::{self, tls};
use super::ledger::{Ledger, Source};
use super::merge::{self, Claimant, Fallback};
use super::resolve::{Resolution, first_port, resolve};
use super::view::{Classes, Lookup, View, is_ours};
use crate::ir::{
    BackendId, Certificate, Config, HostPattern, Kind, Name, Object, Origin, PortKey, Problem, Reason, Severity,
    Target, VirtualHost,
};
use crate::settings::CompileOptions;
use crate::snapshot::{Ingress, IngressClass, Secret, Service, Snapshot};

/// Everything remembered.
pub(super) struct Memory {
    options: CompileOptions,
    ingresses: Seen<Ingress>,
    classes: Seen<IngressClass>,
    services: Seen<Service>,
    secrets: Seen<Secret>,
    class_summary: Classes,
    remembered: BTreeMap<Name, Remembered>,
    readers: BTreeMap<Lookup, BTreeSet<Name>>,
    hosts: BTreeMap<HostPattern, BTreeMap<Age, Arc<HostClaim>>>,
    backends: BTreeMap<BackendId, BTreeMap<Claimant, Arc<BackendClaim>>>,
    /// How many routes lead to a backend; one that only lost paths name is not served.
    uses: BTreeMap<BackendId, usize>,
    flags: Flags,
    ledger: Ledger,
    fields: Fields,
    config: Arc<Config>,
}

/// One Ingress as it was compiled.
struct Remembered {
    age: Age,
    outcome: Outcome,
    lookups: BTreeSet<Lookup>,
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
    pub(super) fn new(options: &CompileOptions) -> Self {
        Memory {
            options: options.clone(),
            ingresses: Seen::default(),
            classes: Seen::default(),
            services: Seen::default(),
            secrets: Seen::default(),
            class_summary: Classes::default(),
            remembered: BTreeMap::new(),
            readers: BTreeMap::new(),
            hosts: BTreeMap::new(),
            backends: BTreeMap::new(),
            uses: BTreeMap::new(),
            flags: Flags { fallback: no_fallback(), backend: None, certificate: None, problems: Vec::new() },
            ledger: Ledger::default(),
            fields: Fields::default(),
            config: Arc::default(),
        }
    }

    /// The settings that everything remembered was compiled with.
    pub(super) fn options(&self) -> &CompileOptions {
        &self.options
    }

    /// Brings everything remembered up to `snapshot`.
    pub(super) fn update(&mut self, snapshot: &Snapshot) -> Compiled {
        let mut dirty = Dirty::default();
        for name in self.outdated(snapshot) {
            self.replace(&name, snapshot, &mut dirty);
        }
        self.flags(snapshot, &mut dirty);
        if !dirty.hosts.is_empty() || !dirty.backends.is_empty() || dirty.ledger {
            self.rebuild(dirty);
        }
        Compiled { config: Arc::clone(&self.config), problems: self.ledger.problems(&snapshot.problems) }
    }

    /// The Ingresses to compile, come, gone and changed ones and those that looked at something which changed.
    fn outdated(&mut self, snapshot: &Snapshot) -> BTreeSet<Name> {
        let mut changed: BTreeSet<Lookup> = BTreeSet::new();
        let classes = self.classes.changes(&snapshot.classes, |class| &class.meta);
        let summary = Classes::of(snapshot, &self.options);
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

        let ingresses = self.ingresses.changes(&snapshot.ingresses, |ingress| &ingress.meta);
        let readers = changed.iter().filter_map(|lookup| self.readers.get(lookup)).flatten().cloned();
        ingresses.into_iter().map(|change| change.name).chain(readers).collect()
    }

    /// Compiles one Ingress and puts its claims in the place of those it had.
    fn replace(&mut self, name: &Name, snapshot: &Snapshot, dirty: &mut Dirty) {
        let old = self.remembered.remove(name);
        let new = snapshot.ingresses.get(name).map(|ingress| self.compile(ingress, snapshot));
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
        let source = Source::Ingress(name.clone());
        let Some(new) = new else {
            dirty.ledger = true;
            self.ledger.set(source, Vec::new(), Vec::new());
            return;
        };
        self.enter(&new, dirty);
        for lookup in &new.lookups {
            self.readers.entry(lookup.clone()).or_default().insert(name.clone());
        }
        dirty.ledger = true;
        self.ledger.set(source, new.outcome.problems.clone(), new.outcome.rejected.clone());
        self.remembered.insert(name.clone(), new);
    }

    fn compile(&mut self, ingress: &Ingress, snapshot: &Snapshot) -> Remembered {
        let mut view = View::new(snapshot, self.class_summary, &self.options);
        let outcome = ingress::compile(ingress, &mut view, &mut self.fields);
        Remembered { age: Age::of(&ingress.meta), outcome, lookups: view.into_lookups() }
    }

    /// Takes claims back, but those that are made again unchanged.
    fn withdraw(&mut self, old: &Remembered, new: Option<&Remembered>, dirty: &mut Dirty) {
        let new = new.filter(|new| new.age == old.age).map(|new| &new.outcome);
        for claim in &old.outcome.hosts {
            let same = new.is_some_and(|new| new.hosts.contains(claim));
            if !same && let Some(claims) = self.hosts.get_mut(&claim.host) {
                claims.remove(&old.age);
                dirty.hosts.insert(claim.host.clone());
            }
        }
        for claim in &old.outcome.backends {
            let same = new.is_some_and(|new| new.backends.contains(claim));
            if !same && let Some(claims) = self.backends.get_mut(&claim.id) {
                claims.remove(&Claimant::Ingress(old.age.clone()));
                dirty.backends.insert(claim.id.clone());
            }
        }
    }

    /// Makes claims; those that stand unchanged from before are left.
    fn enter(&mut self, new: &Remembered, dirty: &mut Dirty) {
        for claim in &new.outcome.hosts {
            let claims = self.hosts.entry(claim.host.clone()).or_default();
            if !claims.contains_key(&new.age) {
                claims.insert(new.age.clone(), Arc::clone(claim));
                dirty.hosts.insert(claim.host.clone());
            }
        }
        for claim in &new.outcome.backends {
            let claims = self.backends.entry(claim.id.clone()).or_default();
            let claimant = Claimant::Ingress(new.age.clone());
            if let Entry::Vacant(free) = claims.entry(claimant) {
                free.insert(Arc::clone(claim));
                dirty.backends.insert(claim.id.clone());
            }
        }
    }

    /// `--default-backend-service`, `--default-ssl-certificate` and what is said of IngressClasses; looked at each time.
    fn flags(&mut self, snapshot: &Snapshot, dirty: &mut Dirty) {
        let new = read_flags(snapshot, self.class_summary, &self.options);
        if new == self.flags {
            return;
        }
        if new.fallback != self.flags.fallback {
            dirty.hosts.extend(self.hosts.keys().cloned());
            dirty.hosts.insert(HostPattern::Any);
        }
        if new.backend != self.flags.backend {
            for claim in self.flags.backend.iter() {
                if let Some(claims) = self.backends.get_mut(&claim.id) {
                    claims.remove(&Claimant::Flag);
                }
                dirty.backends.insert(claim.id.clone());
            }
            for claim in new.backend.iter() {
                self.backends.entry(claim.id.clone()).or_default().insert(Claimant::Flag, Arc::clone(claim));
                dirty.backends.insert(claim.id.clone());
            }
        }
        dirty.ledger = true;
        self.ledger.set(Source::Flags, new.problems.clone(), Vec::new());
        self.flags = new;
    }

    /// Merges what changed into a configuration that shares everything else with the one before.
    fn rebuild(&mut self, mut dirty: Dirty) {
        let mut config = Arc::clone(&self.config);
        let next = Arc::make_mut(&mut config);
        next.default_certificate.clone_from(&self.flags.certificate);
        for pattern in &dirty.hosts {
            let old = next.hosts.get(pattern).cloned();
            self.rebuild_host(pattern, next);
            let new = next.hosts.get(pattern);
            if old.as_ref() != new {
                count(&mut self.uses, old.as_ref(), new, &mut dirty.backends);
            }
        }
        for id in &dirty.backends {
            self.rebuild_backend(id, next);
        }
        next.rejected = self.ledger.rejected();
        self.config = config;
    }

    fn rebuild_host(&mut self, pattern: &HostPattern, config: &mut Config) {
        let source = Source::Host(pattern.clone());
        let fallback = &self.flags.fallback;
        let Some(claims) = self.hosts.get(pattern).filter(|claims| !claims.is_empty()) else {
            self.hosts.remove(pattern);
            config.certificates.remove(pattern);
            self.ledger.set(source, Vec::new(), Vec::new());
            if *pattern == HostPattern::Any && fallback.target != Target::NotFound {
                config.hosts.insert(pattern.clone(), Arc::new(merge::unclaimed(fallback, &self.options)));
            } else {
                config.hosts.remove(pattern);
            }
            return;
        };
        let previous = config.hosts.get(pattern);
        let merged = merge::host(pattern, claims.values(), fallback, &self.options, previous.map(Arc::as_ref));
        if previous.is_none_or(|previous| *previous != merged.host) {
            config.hosts.insert(pattern.clone(), merged.host);
        }
        match merged.certificate {
            Some(certificate) => config.certificates.insert(pattern.clone(), certificate),
            None => config.certificates.remove(pattern),
        };
        self.ledger.set(source, merged.problems, merged.rejected);
    }

    fn rebuild_backend(&mut self, id: &BackendId, config: &mut Config) {
        let claims = self.backends.get(id).filter(|claims| !claims.is_empty());
        let merged = claims.and_then(|claims| merge::backend(claims.iter()));
        if claims.is_none() {
            self.backends.remove(id);
        }
        let is_used = self.uses.contains_key(id);
        match merged.filter(|_| is_used) {
            Some((backend, problems)) => {
                if config.backends.get(id).is_none_or(|old| **old != backend) {
                    config.backends.insert(id.clone(), Arc::new(backend));
                }
                self.ledger.set(Source::Backend(id.clone()), problems, Vec::new());
            }
            None => {
                config.backends.remove(id);
                self.ledger.set(Source::Backend(id.clone()), Vec::new(), Vec::new());
            }
        }
    }
}

/// Counts the routes that lead to each backend anew for one host, and tells which backends came into use or went out.
fn count(
    uses: &mut BTreeMap<BackendId, usize>,
    old: Option<&Arc<VirtualHost>>,
    new: Option<&Arc<VirtualHost>>,
    dirty: &mut BTreeSet<BackendId>,
) {
    for id in new.into_iter().flat_map(|host| backends(host)) {
        let used = uses.entry(id.clone()).or_insert(0);
        *used += 1;
        if *used == 1 {
            dirty.insert(id.clone());
        }
    }
    for id in old.into_iter().flat_map(|host| backends(host)) {
        let Some(used) = uses.get_mut(id) else { continue };
        *used -= 1;
        if *used == 0 {
            uses.remove(id);
            dirty.insert(id.clone());
        }
    }
}

fn backends(host: &VirtualHost) -> impl Iterator<Item = &BackendId> {
    host.routes.iter().filter_map(|route| match &route.target {
        Target::Backend(id) => Some(id),
        Target::Closed(_) | Target::NotFound => None,
    })
}

fn read_flags(snapshot: &Snapshot, classes: Classes, options: &CompileOptions) -> Flags {
    let mut view = View::new(snapshot, classes, options);
    let mut problems = Vec::new();
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
                protocol: None,
                balance: None,
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
