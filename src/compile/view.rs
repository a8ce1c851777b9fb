//! The only road from one Ingress to other objects: every look-up is written down, absent objects too.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ground::Ground;
use super::replicas::replicas;
use crate::ir::Name;
use crate::settings::CompileOptions;
use crate::snapshot::{ConfigMap, IngressClass, Secret, Service, Snapshot};

/// One thing that was looked at, whether it was there or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lookup {
    /// An IngressClass by name.
    Class(Name),
    /// What the IngressClasses say together ([`Classes`]).
    Classes,
    /// A ConfigMap by name.
    ConfigMap(Name),
    /// Whether our own Service is known.
    Replicas,
    /// A Secret by name.
    Secret(Name),
    /// A Service by name.
    Service(Name),
    /// Which Services a namespace has.
    ServiceNames(Arc<str>),
}

/// What the IngressClasses say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Classes {
    /// There is at least one.
    pub(super) any: bool,
    /// One of ours is marked default.
    pub(super) default_is_ours: bool,
}

impl Classes {
    /// Looks at every class of the snapshot.
    pub(super) fn of(snapshot: &Snapshot, options: &CompileOptions) -> Self {
        Classes {
            any: !snapshot.classes.is_empty(),
            default_is_ours: snapshot.classes.values().any(|class| class.is_default && is_ours(class, options)),
        }
    }
}

/// Whether the class is one that we serve.
pub(super) fn is_ours(class: &IngressClass, options: &CompileOptions) -> bool {
    class.controller == options.controller_class
        || (options.ingress_class_by_name && class.meta.object.name.name == options.ingress_class)
}

/// What one Ingress can see.
pub(super) struct View<'a> {
    snapshot: &'a Snapshot,
    classes: Classes,
    /// The settings; a change of these forgets everything remembered.
    pub(super) options: &'a CompileOptions,
    /// Those, and what the ConfigMap of the flags says.
    pub(super) ground: &'a Ground,
    lookups: BTreeSet<Lookup>,
}

impl<'a> View<'a> {
    /// A view that nothing has been looked at through.
    pub(super) fn new(snapshot: &'a Snapshot, classes: Classes, ground: &'a Ground) -> Self {
        View { snapshot, classes, options: &ground.options, ground, lookups: BTreeSet::new() }
    }

    /// Everything looked at, each once.
    pub(super) fn into_lookups(self) -> Box<[Lookup]> {
        self.lookups.into_iter().collect()
    }

    /// What the IngressClasses say together.
    pub(super) fn classes(&mut self) -> Classes {
        self.lookups.insert(Lookup::Classes);
        self.classes
    }

    /// The IngressClass `name`.
    pub(super) fn class(&mut self, name: &str) -> Option<&'a IngressClass> {
        let name = Name::new("", name);
        let found = self.snapshot.classes.get(&name).map(Arc::as_ref);
        self.lookups.insert(Lookup::Class(name));
        found
    }

    /// The ConfigMap `name`.
    pub(super) fn config_map(&mut self, name: &Name) -> Option<&'a ConfigMap> {
        self.lookups.insert(Lookup::ConfigMap(name.clone()));
        self.snapshot.config_maps.get(name).map(Arc::as_ref)
    }

    /// Whether we know who shares limits with us, or serve nothing, so that nobody does.
    pub(super) fn knows_replicas(&mut self) -> bool {
        self.lookups.insert(Lookup::Replicas);
        self.options.own.is_none() || replicas(self.snapshot, self.options).is_some()
    }

    /// The Secret `name`.
    pub(super) fn secret(&mut self, name: &Name) -> Option<&'a Secret> {
        self.lookups.insert(Lookup::Secret(name.clone()));
        self.snapshot.secrets.get(name).map(Arc::as_ref)
    }

    /// The Service `name`.
    pub(super) fn service(&mut self, name: &Name) -> Option<&'a Service> {
        self.lookups.insert(Lookup::Service(name.clone()));
        self.snapshot.services.get(name).map(Arc::as_ref)
    }

    /// Names of Services that stand next to `name` in the alphabet, in its namespace: candidates for a hint. Bounded, so
    /// that ten thousand broken references cost no more than ten thousand times the same.
    pub(super) fn service_neighbours(&mut self, name: &Name) -> Vec<&'a str> {
        const EACH_WAY: usize = 16;
        self.lookups.insert(Lookup::ServiceNames(Arc::clone(&name.namespace)));
        let services = &self.snapshot.services;
        let here = |(other, _): &(&'a Name, &'a Arc<Service>)| other.namespace == name.namespace;
        let before = services.range(..name).rev().take_while(here).take(EACH_WAY);
        let after = services.range(name..).take_while(here).take(EACH_WAY);
        before.chain(after).map(|(name, _)| &*name.name).collect()
    }
}
