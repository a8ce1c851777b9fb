//! Which Secrets and ConfigMaps are asked for, by whom, and what is done with what comes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::State;
use crate::compile;
use crate::ir::{Kind, Name, Object};
use crate::snapshot::{Ingress, Meta, Received, Secret, SecretContent, SecretParts, Version};
use crate::source::cluster::contents::{Answer, Contents, Verdict};
use crate::source::delta::Differences;

/// The annotation for which our zone has to be known.
const LOCALITY: &str = "fairlead.dev/locality";

/// Who names objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanter {
    /// The flags, and the ConfigMap of `--configmap`.
    Flags,
    /// An Ingress of ours.
    Ingress(Name),
}

/// One for each kind whose content is asked for by name.
pub(in crate::source::cluster) struct ByKind<T> {
    pub(in crate::source::cluster) secrets: T,
    pub(in crate::source::cluster) config_maps: T,
}

impl<T> ByKind<T> {
    pub(super) fn of(&self, kind: Kind) -> &T {
        if kind == Kind::Secret { &self.secrets } else { &self.config_maps }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut T {
        if kind == Kind::Secret { &mut self.secrets } else { &mut self.config_maps }
    }
}

impl ByKind<Contents> {
    /// Something is known of all that somebody names.
    pub(super) fn are_known(&self) -> bool {
        self.secrets.are_known() && self.config_maps.are_known()
    }
}

impl State {
    /// The metadata says that a Secret or ConfigMap has this version now, or is gone (`None`).
    pub(super) fn has_version(
        &mut self,
        kind: Kind,
        name: &Name,
        version: Option<&str>,
        differences: &mut Differences,
    ) {
        let verdict = self.contents.of_mut(kind).changed(name, version);
        self.content(kind, name, verdict, differences);
    }

    /// What was asked for came.
    pub(super) fn answered(
        &mut self,
        kind: Kind,
        name: Name,
        question: u64,
        answer: Answer,
        differences: &mut Differences,
    ) {
        let verdict = self.contents.of_mut(kind).answered(&name, question, answer);
        self.content(kind, &name, verdict, differences);
        let object = (kind, name);
        let names_it = |ingress: &&Name| {
            self.wants.get(&Wanter::Ingress((*ingress).clone())).is_some_and(|wants| wants.contains(&object))
        };
        let pending: Vec<Name> = self.pending.keys().filter(names_it).cloned().collect();
        pending.iter().for_each(|ingress| self.settle(ingress, differences));
    }

    fn content(&mut self, kind: Kind, name: &Name, verdict: Verdict, differences: &mut Differences) {
        let old = self.find(kind, name);
        let new = match verdict {
            Verdict::Keep => return,
            Verdict::Forbidden(why) if kind == Kind::ConfigMap => {
                // What was read when it was allowed still counts.
                self.has_other_problems |= self.refused.insert(name.clone(), why.clone()).as_ref() != Some(&why);
                return;
            }
            Verdict::Forbidden(why) => match &old {
                Some(Received::Secret(old)) if old.certificate().is_some() => return,
                _ => Some(Received::Secret(Arc::new(unknown(name, why)))),
            },
            Verdict::Remove => None,
            Verdict::Replace(Received::Secret(secret)) => {
                let before = self.snapshot.secrets.get(name);
                Some(Received::Secret(secret.after(before)))
            }
            Verdict::Replace(object) => Some(object),
        };
        self.has_other_problems |= kind == Kind::ConfigMap && self.refused.remove(name).is_some();
        self.replace(old, new, differences);
    }

    /// An Ingress came or changed.
    pub(super) fn ingress(&mut self, ingress: Arc<Ingress>, differences: &mut Differences) {
        let name = ingress.meta.object.name.clone();
        if ingress.annotations.get(LOCALITY).is_some_and(|value| value.trim().eq_ignore_ascii_case("prefer")) {
            self.zone.want();
        }
        self.pending.insert(name.clone(), ingress);
        self.want(Wanter::Ingress(name.clone()), differences);
        self.settle(&name, differences);
    }

    /// Takes over an Ingress if something is known of everything that it names.
    fn settle(&mut self, name: &Name, differences: &mut Differences) {
        let wanter = Wanter::Ingress(name.clone());
        let mut wanted = self.wants.get(&wanter).into_iter().flatten();
        if self.is_served && !wanted.all(|(kind, name)| self.contents.of(*kind).is_known(name)) {
            return;
        }
        if let Some(ingress) = self.pending.remove(name) {
            let old = self.find(Kind::Ingress, name);
            self.replace(old, Some(Received::Ingress(ingress)), differences);
            self.want(wanter, differences);
        }
    }

    /// Asks for what somebody names now, and forgets what nobody does any more.
    pub(super) fn want(&mut self, wanter: Wanter, differences: &mut Differences) {
        let now: BTreeSet<(Kind, Name)> = match &wanter {
            Wanter::Flags => compile::flag_references(&self.snapshot, &self.options),
            Wanter::Ingress(name) => {
                let forms = self.snapshot.ingresses.get(name).into_iter().chain(self.pending.get(name));
                forms.flat_map(|ingress| compile::references(ingress, &self.snapshot, &self.options)).collect()
            }
        };
        let before = self.wants.remove(&wanter).unwrap_or_default();
        now.difference(&before).for_each(|(kind, name)| self.contents.of_mut(*kind).want(name));
        let released = before.difference(&now).filter(|(kind, name)| self.contents.of_mut(*kind).release(name));
        let released: Vec<(Kind, Name)> = released.cloned().collect();
        if !now.is_empty() {
            self.wants.insert(wanter, now);
        }
        for (kind, name) in released {
            self.has_other_problems |= kind == Kind::ConfigMap && self.refused.remove(&name).is_some();
            let old = self.find(kind, &name);
            self.replace(old, None, differences);
        }
    }
}

/// A Secret of which all that is known is that we may not read it.
fn unknown(name: &Name, why: String) -> Secret {
    let object = Arc::new(Object { kind: Kind::Secret, name: name.clone(), file: None, line: None });
    let meta = Meta { object, uid: "".into(), created: None, version: Version::default() };
    Secret::new(meta, SecretContent::Forbidden(why), SecretParts::default(), None)
}
