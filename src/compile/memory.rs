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
use super::alternatives::{Alternatives, Chosen};
use super::canary;
use super::changes::{Change, Seen};
use super::claim::{BackendClaim, CanaryClaims, HostClaim, Outcome};
use super::few::Few;
use super::flags::Flags;
use super::front::{self, Names};
use super::ground::Ground;
use super::ingress;
use super::ledger::{Ledger, Source};
use super::merge::{self, Choice, Claimant};
use super::replicas::replicas;
use super::shared::Shared;
use super::view::{Classes, Lookup, View};
use crate::ir::{Backend, BackendId, Certificate, Config, HostPattern, Name, Problem, Rejected, Target, VirtualHost};
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
    /// Our own Service is known.
    knows_replicas: bool,
    remembered: BTreeMap<Name, Remembered>,
    readers: BTreeMap<Lookup, Few<Name, ()>>,
    hosts: BTreeMap<HostPattern, Few<Arc<Age>, Arc<HostClaim>>>,
    backends: BTreeMap<BackendId, Named>,
    /// What canaries ask for.
    canaries: BTreeMap<HostPattern, Few<Arc<Age>, Arc<CanaryClaims>>>,
    /// What that comes to.
    alternatives: Alternatives<Arc<Age>>,
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
    canaries: Box<[Arc<CanaryClaims>]>,
    backends: Box<[Arc<BackendClaim>]>,
    lookups: Box<[Lookup]>,
}

/// What is said of one backend.
#[derive(Default)]
struct Named {
    claims: Few<Claimant, Arc<BackendClaim>>,
    /// How many routes lead to it; one that only lost paths name is not served.
    uses: usize,
}

/// Hosts and backends whose claims changed.
#[derive(Default)]
struct Dirty {
    hosts: BTreeSet<HostPattern>,
    backends: BTreeSet<BackendId>,
    /// Backends beside which a canary came or went.
    mains: BTreeSet<BackendId>,
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
            knows_replicas: false,
            remembered: BTreeMap::new(),
            readers: BTreeMap::new(),
            hosts: BTreeMap::new(),
            backends: BTreeMap::new(),
            canaries: BTreeMap::new(),
            alternatives: Alternatives::new(),
            names: BTreeMap::new(),
            given: BTreeSet::new(),
            flags: Flags::none(),
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
        let knows_replicas = replicas(snapshot, &self.ground.options).is_some();
        if mem::replace(&mut self.knows_replicas, knows_replicas) != knows_replicas {
            changed.insert(Lookup::Replicas);
        }
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
        let Outcome { hosts, canaries, backends, problems, rejected } =
            ingress::compile(ingress, &mut view, &mut self.shared);
        let age = Arc::new(Age::of(&ingress.meta));
        (Remembered { age, hosts, canaries, backends, lookups: view.into_lookups() }, problems, rejected)
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
        for claim in &old.canaries {
            let same = new.is_some_and(|new| new.canaries.contains(claim));
            if !same && let Some(claims) = self.canaries.get_mut(&claim.host) {
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
        for claim in &new.canaries {
            let claims = self.canaries.entry(claim.host.clone()).or_default();
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
        let new = Flags::read(snapshot, self.class_summary, &self.ground);
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
        for pattern in &dirty.hosts {
            let old = next.hosts.get(pattern).cloned();
            dirty.ledger |= self.rebuild_host(pattern, next, &mut dirty.mains);
            let new = next.hosts.get(pattern);
            if old.as_ref() != new {
                count(&mut self.backends, old.as_ref(), new, &mut dirty.backends);
            }
        }
        if !dirty.hosts.is_empty() {
            dirty.ledger |= self.give_names(next);
        }
        self.choose_canaries(&mut dirty);
        for id in &dirty.backends {
            self.rebuild_backend(id, next);
        }
        // Canaries are remembered by the cookies of those beside which they stand, which are known now.
        for id in &dirty.backends {
            self.remember_canary(id, next);
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

    /// Gives back the room that maps have to spare after many inserts.
    fn pack(&mut self) {
        pack(&mut self.remembered);
        pack(&mut self.readers);
        pack(&mut self.hosts);
        pack(&mut self.backends);
        self.shared.sweep();
    }

    /// Chooses anew which canaries count, and tells which backends are concerned.
    fn choose_canaries(&mut self, dirty: &mut Dirty) {
        let mut mains = mem::take(&mut dirty.mains);
        mains.extend(dirty.backends.iter().filter(|id| self.alternatives.of(id).is_some()).cloned());
        for main in mains {
            let Chosen { before, now, problems } = self.alternatives.choose(&main);
            self.ledger.set(Source::Canaries(main.clone()), problems, Vec::new());
            if before != now {
                if let Some(named) = before.as_ref().and_then(|before| self.backends.get_mut(before)) {
                    named.uses -= 1;
                }
                if let Some(now) = &now {
                    self.backends.entry(now.clone()).or_default().uses += 1;
                }
            }
            dirty.backends.extend(before.into_iter().chain(now).chain([main]));
        }
    }

    /// Gives a canary without a cookie of its own the keys that the cookie of the mainline needs.
    fn remember_canary(&self, id: &BackendId, config: &mut Config) {
        let Some(own) = config.backends.get(id).filter(|own| own.affinity.is_none()) else { return };
        let canary = |main: &BackendId| config.backends.get(main)?.canary.as_ref()?.affinity.clone();
        let Some(affinity) = self.alternatives.mains(id).find_map(canary) else { return };
        let remembered = Arc::new(Backend { affinity: Some(affinity), ..Backend::clone(own) });
        Arc::make_mut(&mut config.backends).insert(id.clone(), remembered);
    }

    /// Whether what is wrong with it changed.
    fn rebuild_host(&mut self, pattern: &HostPattern, config: &mut Config, mains: &mut BTreeSet<BackendId>) -> bool {
        let source = Source::Host(pattern.clone());
        let fallback = &self.flags.fallback;
        if self.canaries.get(pattern).is_some_and(Few::is_empty) {
            self.canaries.remove(pattern);
        }
        let canaries = self.canaries.get(pattern).into_iter().flat_map(Few::iter);
        let canaries = canaries.flat_map(|(age, claims)| claims.paths.iter().map(move |claim| (age, claim)));
        config.defaulted.remove(pattern);
        let Some(claims) = self.hosts.get(pattern).filter(|claims| !claims.is_empty()) else {
            let alone = canaries.map(|(_, claim)| canary::alone(pattern, claim));
            let (problems, rejected) = alone.map(|(problem, rejected)| (problem, Arc::new(rejected))).unzip();
            self.hosts.remove(pattern);
            self.names.remove(pattern);
            certify(config, pattern, None);
            if *pattern == HostPattern::Any && fallback.target != Target::NotFound {
                let unclaimed = merge::unclaimed(fallback, &self.ground, &mut self.shared);
                config.hosts.insert(pattern.clone(), Arc::new(unclaimed));
            } else {
                config.hosts.remove(pattern);
            }
            self.alternatives.set(pattern, Vec::new(), mains);
            return self.ledger.set(source, problems, rejected);
        };
        let previous = config.hosts.get(pattern);
        let claims = claims.iter().map(|(_, claim)| claim);
        let previous_host = previous.map(Arc::as_ref);
        let merged = merge::host(pattern, (claims, canaries), fallback, &self.ground, &mut self.shared, previous_host);
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
        self.alternatives.set(pattern, merged.canaries, mains);
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
                    let host = front::moved(name, to, &self.ground);
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
        let merged = named.and_then(|named| {
            merge::backend(named.claims.iter(), self.alternatives.of(id), &self.ground, &mut self.shared)
        });
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
