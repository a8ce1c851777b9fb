//! The snapshot of a cluster, brought up to date change by change.

mod wants;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

pub(super) use self::wants::ByKind;
use self::wants::Wanter;
use super::contents::Contents;
use super::driver::Update;
use super::target::Target;
use super::zone::{Place, Zone};
use crate::ir::{Kind, Name, Object, Problem, Reason, Severity};
use crate::settings::CompileOptions;
use crate::snapshot::api::{Arrived, Content};
use crate::snapshot::{Ingress, Received, Snapshot};
use crate::source::delta::Differences;

/// A deleted IngressClass counts for this long: an operator that deletes and creates it again must not remove every
/// route.
const CLASS_GRACE: Duration = Duration::from_secs(10);

/// How long a kind without which one can serve is waited for when all others are there.
const OPTIONAL_PATIENCE: Duration = Duration::from_secs(10);

/// What is missing in the list of a server that went back in time counts for this long: whoever restores a cluster creates
/// its objects again.
const RESTORE_GRACE: Duration = Duration::from_secs(60);

/// What is known of the cluster.
pub(super) struct State {
    pub(super) snapshot: Arc<Snapshot>,
    targets: Vec<Target>,
    options: CompileOptions,
    contents: ByKind<Contents>,
    zone: Zone,
    /// Why our zone cannot be known.
    no_zone: Option<String>,
    /// By target.
    standing: Vec<Standing>,
    /// The Service of each slice.
    slices: BTreeMap<Name, Arc<str>>,
    /// The Secrets and ConfigMaps that each Ingress of ours names, as served and as pending, and those that flags lead to.
    wants: BTreeMap<Wanter, BTreeSet<(Kind, Name)>>,
    /// Ingresses that changed and name an object of which nothing is known yet. Until then they count as they were: served
    /// at once, they would have the default certificate for a moment.
    pending: BTreeMap<Name, Arc<Ingress>>,
    /// Where Namespaces are selected: the Ingresses of all others.
    hidden: BTreeMap<Name, Arc<Ingress>>,
    /// Deleted IngressClasses that still count, and until when.
    leaving: BTreeMap<Name, Instant>,
    /// Objects that a server which went back in time does not know, and until when they count.
    doubted: BTreeMap<(Kind, Name), Instant>,
    /// Objects that could not be read, and why.
    broken: BTreeMap<(Kind, Name), String>,
    /// ConfigMaps that we may not read, and what the API server says.
    refused: BTreeMap<Name, String>,
    has_other_problems: bool,
    /// Since when all kinds without which one cannot serve are there, as long as nothing is served.
    required_since: Option<Instant>,
    is_served: bool,
}

/// How far a target is.
#[derive(Clone, Debug, Default)]
struct Standing {
    is_listed: bool,
    /// The verb that is not allowed, and what the API server says.
    forbidden: Option<(&'static str, String)>,
    /// When that was last said.
    forbidden_at: Option<Instant>,
}

impl State {
    pub(super) fn new(
        targets: Vec<Target>,
        options: CompileOptions,
        contents: ByKind<Contents>,
        mut zone: Zone,
    ) -> State {
        if options.topology_aware {
            zone.want();
        }
        let selected = targets.iter().any(|target| target.kind == Kind::Namespace).then(BTreeSet::new);
        let mut state = State {
            snapshot: Arc::new(Snapshot { selected, ..Snapshot::default() }),
            standing: vec![Standing::default(); targets.len()],
            hidden: BTreeMap::new(),
            targets,
            options,
            contents,
            zone,
            no_zone: None,
            slices: BTreeMap::new(),
            wants: BTreeMap::new(),
            pending: BTreeMap::new(),
            leaving: BTreeMap::new(),
            doubted: BTreeMap::new(),
            broken: BTreeMap::new(),
            refused: BTreeMap::new(),
            has_other_problems: false,
            required_since: None,
            is_served: false,
        };
        state.want(Wanter::Flags, &mut Differences::default());
        state
    }

    /// Every kind was listed, but for those without which one can serve and that we may not see or that do not come; and
    /// something is known of every Secret and ConfigMap that is named.
    pub(super) fn is_complete(&mut self, now: Instant) -> bool {
        let standing = || self.targets.iter().zip(&self.standing);
        let is_there = |(_, standing): (&Target, &Standing)| standing.is_listed;
        if !standing().filter(|(target, _)| target.is_required).all(is_there) || !self.contents.are_known() {
            self.required_since = None;
            return false;
        }
        let since = self.required_since.unwrap_or(now);
        // A server that has just started refuses everything for a moment. Who serves without the IngressClasses then serves
        // nothing; so a refusal counts when it is repeated after all the rest came.
        let is_over = |(_, standing): (&Target, &Standing)| {
            standing.is_listed || standing.forbidden_at.is_some_and(|at| at > since)
        };
        let are_over = standing().all(is_over);
        self.required_since = Some(since);
        are_over || now >= since + OPTIONAL_PATIENCE
    }

    /// What is not there yet, in words.
    pub(super) fn awaited(&self) -> String {
        let standing = self.targets.iter().zip(&self.standing).filter(|(_, standing)| !standing.is_listed);
        let kind = |(target, standing): (&Target, &Standing)| match &standing.forbidden {
            Some((verb, _)) => format!("{}{} (not allowed to {verb})", target.resource(), target.place()),
            None => format!("{}{}", target.resource(), target.place()),
        };
        let mut all: Vec<String> = standing.map(kind).collect();
        if all.is_empty() && !self.contents.are_known() {
            all.push("the content of secrets and configmaps".to_owned());
        }
        all.join(", ")
    }

    /// Every kind was listed or is refused, and something is known of every Secret and ConfigMap that is named.
    pub(super) fn is_settled(&self) -> bool {
        let is_over = |standing: &Standing| standing.is_listed || standing.forbidden.is_some();
        self.standing.iter().all(is_over) && self.contents.are_known()
    }

    /// When something changes without an update.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let patience = self.required_since.map(|since| since + OPTIONAL_PATIENCE);
        self.leaving.values().chain(self.doubted.values()).copied().chain(patience).min()
    }

    /// Takes over what a watch says.
    pub(super) fn apply(&mut self, update: Update, differences: &mut Differences, now: Instant) {
        match update {
            Update::Put(index, arrived) => {
                if let Some(kind) = self.kind(index) {
                    self.put(kind, arrived, differences);
                }
            }
            Update::Deleted(index, name) => {
                if let Some(kind) = self.kind(index) {
                    self.delete(kind, &name, differences, now);
                }
            }
            Update::Listed(index, objects, is_rewound) => self.listed(index, objects, is_rewound, differences, now),
            Update::Forbidden(index, verb, why) => {
                if let Some(standing) = self.standing.get_mut(index) {
                    standing.forbidden_at = Some(now);
                    let is_new = standing.forbidden.replace((verb, why)).is_none();
                    self.has_other_problems |= is_new;
                }
            }
            Update::Allowed(index) => {
                if let Some(standing) = self.standing.get_mut(index) {
                    standing.forbidden_at = None;
                    self.has_other_problems |= standing.forbidden.take().is_some();
                }
            }
            Update::Content(kind, name, question, answer) => self.answered(kind, name, question, answer, differences),
            Update::Zone(Place::Forbidden(why)) => self.has_other_problems |= self.no_zone.replace(why).is_none(),
            Update::Zone(Place::Known(zone)) => {
                self.has_other_problems |= self.no_zone.take().is_some();
                if self.snapshot.zone != zone {
                    Arc::make_mut(&mut self.snapshot).zone = zone;
                    differences.all_endpoints(&self.snapshot);
                }
            }
        }
    }

    /// Does what is due at `now`.
    pub(super) fn expire(&mut self, differences: &mut Differences, now: Instant) {
        let lost: Vec<_> = self.doubted.extract_if(.., |_, at| *at <= now).map(|(object, _)| object).collect();
        for (kind, name) in lost {
            self.delete(kind, &name, differences, now);
        }
        let due: Vec<Name> = self.leaving.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.leaving.remove(&name);
            let old = self.find(Kind::IngressClass, &name);
            self.replace(old, None, differences);
        }
    }

    /// Renews the problems of the snapshot; whether they are others.
    pub(super) fn renew_problems(&mut self) -> bool {
        if !std::mem::take(&mut self.has_other_problems) {
            return false;
        }
        let standing = self.targets.iter().zip(&self.standing);
        let mut problems: Vec<Problem> =
            standing.filter_map(|(target, standing)| forbidden(target, standing)).collect();
        problems.extend(self.no_zone.iter().zip(self.zone.node()).map(|(why, node)| unknown_zone(node, why)));
        problems.extend(self.refused.iter().map(|(name, why)| refused(name, why)));
        problems.extend(self.broken.iter().map(|((kind, name), why)| unreadable(*kind, name, why)));
        problems.sort();
        Arc::make_mut(&mut self.snapshot).problems = problems;
        true
    }

    /// From now on the snapshot is served. Gives back the room that its maps have to spare after many inserts.
    pub(super) fn begin(&mut self) {
        self.is_served = true;
        self.required_since = None;
        for (target, _) in self.targets.iter().zip(&self.standing).filter(|(_, standing)| !standing.is_listed) {
            warn!(resource = target.resource(), "this cannot be read yet; the rest is served without it");
        }
        Arc::make_mut(&mut self.snapshot).pack();
    }

    fn kind(&self, index: usize) -> Option<Kind> {
        self.targets.get(index).map(|target| target.kind)
    }

    fn put(&mut self, kind: Kind, arrived: Arrived, differences: &mut Differences) {
        let Arrived { name, version, content } = arrived;
        if let Content::Broken(why) = content {
            // The API server takes none such, so this is a kind of object that is newer than we are.
            if self.broken.insert((kind, name.clone()), why.clone()).as_ref() != Some(&why) {
                warn!(kind = kind.as_str(), %name, error = why, "an object cannot be read; what was known of it stays");
                self.has_other_problems = true;
            }
            return;
        }
        self.mended(kind, &name);
        match content {
            Content::Broken(_) => {}
            Content::Named if matches!(kind, Kind::ConfigMap | Kind::Secret) => {
                self.has_version(kind, &name, Some(&version), differences);
            }
            Content::Named if kind == Kind::Namespace => self.select(&name.name, differences),
            Content::Named => {
                let old = self.find(kind, &name);
                self.replace(old, None, differences);
            }
            Content::Object(Received::Ingress(ingress)) if self.is_hidden(&name) => {
                self.hidden.insert(name, ingress);
            }
            Content::Object(Received::Ingress(ingress)) => self.ingress(ingress, differences),
            Content::Object(object) => {
                if kind == Kind::IngressClass {
                    self.leaving.remove(&name);
                }
                let old = self.find(kind, &name);
                self.replace(old, Some(object), differences);
            }
        }
    }

    fn delete(&mut self, kind: Kind, name: &Name, differences: &mut Differences, now: Instant) {
        self.mended(kind, name);
        match kind {
            Kind::IngressClass => {
                self.leaving.entry(name.clone()).or_insert(now + CLASS_GRACE);
            }
            Kind::Namespace => self.deselect(&name.name, differences),
            Kind::ConfigMap | Kind::Secret => self.has_version(kind, name, None, differences),
            _ => {
                if kind == Kind::Ingress {
                    self.pending.remove(name);
                    self.hidden.remove(name);
                    self.want(Wanter::Ingress(name.clone()), differences);
                }
                let old = self.find(kind, name);
                self.replace(old, None, differences);
            }
        }
    }

    /// What is not in the list is gone.
    fn listed(
        &mut self,
        index: usize,
        objects: BTreeMap<Name, Arrived>,
        is_rewound: bool,
        differences: &mut Differences,
        now: Instant,
    ) {
        let Some(target) = self.targets.get(index).cloned() else { return };
        let is_gone = |name: &&Name| target.covers(name) && !objects.contains_key(*name);
        let gone: Vec<Name> = match target.kind {
            Kind::EndpointSlice => self.slices.keys().filter(is_gone).cloned().collect(),
            Kind::Ingress => {
                let shown = self.snapshot.ingresses.keys().chain(self.pending.keys());
                let seen: BTreeSet<&Name> = shown.chain(self.hidden.keys()).collect();
                seen.into_iter().filter(is_gone).cloned().collect()
            }
            Kind::IngressClass => {
                let is_leaving = |name: &&Name| !self.leaving.contains_key(*name);
                self.snapshot.classes.keys().filter(is_gone).filter(is_leaving).cloned().collect()
            }
            Kind::Namespace => {
                let selected = self.snapshot.selected.iter().flatten();
                let name = |name: &Arc<str>| Name { namespace: "".into(), name: Arc::clone(name) };
                selected.map(name).filter(|name| !objects.contains_key(name)).collect()
            }
            Kind::Pod => self.snapshot.pods.keys().filter(is_gone).cloned().collect(),
            Kind::ConfigMap | Kind::Secret => self.contents.of(target.kind).names().filter(is_gone).cloned().collect(),
            Kind::Service => self.snapshot.services.keys().filter(is_gone).cloned().collect(),
            Kind::File | Kind::Flag | Kind::Node => Vec::new(),
        };
        if is_rewound && !gone.is_empty() {
            let (resource, count, seconds) = (target.resource(), gone.len(), RESTORE_GRACE.as_secs());
            warn!(resource, count, seconds, "the API server went back in time; what it lost is served for a while");
        }
        for name in gone {
            if is_rewound {
                self.doubted.entry((target.kind, name)).or_insert(now + RESTORE_GRACE);
            } else if !self.doubted.contains_key(&(target.kind, name.clone())) {
                self.delete(target.kind, &name, differences, now);
            }
        }
        for arrived in objects.into_values() {
            self.put(target.kind, arrived, differences);
        }
        if let Some(standing) = self.standing.get_mut(index) {
            standing.is_listed = true;
        }
    }

    /// Puts `new` in the place of `old`; both have one kind and name.
    fn replace(&mut self, old: Option<Received>, new: Option<Received>, differences: &mut Differences) {
        if old.is_none() && new.is_none() {
            return;
        }
        if let (Some(old), Some(new)) = (&old, &new)
            && old.meta().version == new.meta().version
            && !has_other_status(old, new)
        {
            return;
        }
        differences.object(old.as_ref(), new.as_ref());
        let snapshot = Arc::make_mut(&mut self.snapshot);
        if let Some(old) = &old {
            snapshot.remove(old);
        }
        if let Some(new) = &new {
            snapshot.insert(new.clone());
        }
        match (&old, &new) {
            (_, Some(Received::EndpointSlice(slice))) => {
                self.slices.insert(slice.meta.object.name.clone(), Arc::clone(&slice.service));
            }
            (Some(Received::EndpointSlice(slice)), None) => {
                self.slices.remove(&slice.meta.object.name);
            }
            (_, Some(Received::Ingress(ingress))) | (Some(Received::Ingress(ingress)), None) => {
                self.want(Wanter::Ingress(ingress.meta.object.name.clone()), differences);
            }
            // Whose an Ingress is may depend on it.
            (_, Some(Received::IngressClass(_))) | (Some(Received::IngressClass(_)), None) => {
                let all: Vec<Name> = self.snapshot.ingresses.keys().cloned().collect();
                all.into_iter().for_each(|ingress| self.want(Wanter::Ingress(ingress), differences));
            }
            (_, Some(Received::ConfigMap(map))) | (Some(Received::ConfigMap(map)), None)
                if self.options.config_map.as_ref() == Some(&map.meta.object.name) =>
            {
                self.want(Wanter::Flags, differences);
                let all: Vec<Name> = self.snapshot.ingresses.keys().cloned().collect();
                all.into_iter().for_each(|ingress| self.want(Wanter::Ingress(ingress), differences));
            }
            _ => {}
        }
    }

    fn is_hidden(&self, name: &Name) -> bool {
        self.snapshot.selected.as_ref().is_some_and(|selected| !selected.contains(&name.namespace))
    }

    fn select(&mut self, namespace: &Arc<str>, differences: &mut Differences) {
        let selected = &mut Arc::make_mut(&mut self.snapshot).selected;
        if !selected.as_mut().is_some_and(|selected| selected.insert(Arc::clone(namespace))) {
            return;
        }
        let names: Vec<Name> = within(&self.hidden, namespace).cloned().collect();
        let shown: Vec<Arc<Ingress>> = names.iter().filter_map(|name| self.hidden.remove(name)).collect();
        for ingress in shown {
            self.ingress(ingress, differences);
        }
    }

    fn deselect(&mut self, namespace: &Arc<str>, differences: &mut Differences) {
        let selected = &mut Arc::make_mut(&mut self.snapshot).selected;
        if !selected.as_mut().is_some_and(|selected| selected.remove(namespace)) {
            return;
        }
        let served = within(&self.snapshot.ingresses, namespace);
        let names: BTreeSet<Name> = served.chain(within(&self.pending, namespace)).cloned().collect();
        for name in &names {
            let newest = self.pending.get(name).or_else(|| self.snapshot.ingresses.get(name)).cloned();
            self.hidden.extend(newest.map(|ingress| (name.clone(), ingress)));
        }
        for name in names {
            self.pending.remove(&name);
            let old = self.find(Kind::Ingress, &name);
            self.replace(old, None, differences);
            self.want(Wanter::Ingress(name), differences);
        }
    }

    fn find(&self, kind: Kind, name: &Name) -> Option<Received> {
        let Snapshot {
            ingresses,
            classes,
            services,
            slices,
            secrets,
            config_maps,
            pods,
            selected: _,
            zone: _,
            problems: _,
        } = &*self.snapshot;
        match kind {
            Kind::EndpointSlice => {
                let service = Name { namespace: Arc::clone(&name.namespace), name: Arc::clone(self.slices.get(name)?) };
                let found = slices.get(&service)?.iter().find(|slice| slice.meta.object.name == *name)?;
                Some(Received::EndpointSlice(Arc::clone(found)))
            }
            Kind::ConfigMap => config_maps.get(name).cloned().map(Received::ConfigMap),
            Kind::Ingress => ingresses.get(name).cloned().map(Received::Ingress),
            Kind::IngressClass => classes.get(name).cloned().map(Received::IngressClass),
            Kind::Pod => pods.get(name).cloned().map(Received::Pod),
            Kind::Secret => secrets.get(name).cloned().map(Received::Secret),
            Kind::Service => services.get(name).cloned().map(Received::Service),
            Kind::File | Kind::Flag | Kind::Namespace | Kind::Node => None,
        }
    }

    /// Something was heard of the object, so nothing that was wrong with it is any more.
    fn mended(&mut self, kind: Kind, name: &Name) {
        if !self.doubted.is_empty() {
            self.doubted.remove(&(kind, name.clone()));
        }
        if !self.broken.is_empty() {
            self.has_other_problems |= self.broken.remove(&(kind, name.clone())).is_some();
        }
    }
}

/// The names of one namespace.
fn within<'a, V>(objects: &'a BTreeMap<Name, V>, namespace: &Arc<str>) -> impl Iterator<Item = &'a Name> {
    let first = Name { namespace: Arc::clone(namespace), name: "".into() };
    let namespace = Arc::clone(namespace);
    objects.range(first..).map(|(name, _)| name).take_while(move |name| name.namespace == namespace)
}

fn has_other_status(old: &Received, new: &Received) -> bool {
    match (old, new) {
        (Received::Ingress(old), Received::Ingress(new)) => old.published != new.published,
        _ => false,
    }
}

fn forbidden(target: &Target, standing: &Standing) -> Option<Problem> {
    let (verb, why) = standing.forbidden.as_ref()?;
    let name = Name { namespace: target.namespace(), name: "*".into() };
    let (resource, place) = (target.resource(), target.place());
    Some(Problem {
        object: Arc::new(Object { kind: target.kind, name, file: None, line: None }),
        severity: if target.is_required { Severity::Error } else { Severity::Warning },
        reason: Reason::WatchForbidden,
        field: String::new(),
        message: format!("the API server refuses to {verb} {resource}{place}: {why}"),
        hint: format!("grant the service account of Fairlead get, list and watch on {resource}{place}"),
    })
}

fn unknown_zone(node: &str, why: &str) -> Problem {
    Problem {
        object: Arc::new(Object { kind: Kind::Node, name: Name::new("", node), file: None, line: None }),
        severity: Severity::Warning,
        reason: Reason::WatchForbidden,
        field: String::new(),
        message: format!("the API server refuses to get the node, so endpoints of all zones are used: {why}"),
        hint: "grant the service account of Fairlead get on nodes; the chart does for rbac.nodes: true".to_owned(),
    }
}

fn refused(name: &Name, why: &str) -> Problem {
    Problem {
        object: Arc::new(Object { kind: Kind::ConfigMap, name: name.clone(), file: None, line: None }),
        severity: Severity::Error,
        reason: Reason::WatchForbidden,
        field: String::new(),
        message: format!("the API server refuses to get it: {why}"),
        hint: "grant the service account of Fairlead get on configmaps".to_owned(),
    }
}

fn unreadable(kind: Kind, name: &Name, why: &str) -> Problem {
    Problem {
        object: Arc::new(Object { kind, name: name.clone(), file: None, line: None }),
        severity: Severity::Error,
        reason: Reason::ManifestUnreadable,
        field: String::new(),
        message: format!("it cannot be read: {why}"),
        hint: "correct it; until then what was last read of it is served".to_owned(),
    }
}

#[cfg(test)]
mod tests;
