//! Which objects of one kind came, went or changed since the last look.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ir::Name;
use crate::snapshot::{Meta, Version};

/// Names and versions of all objects of one kind at the last look.
#[derive(Default)]
pub(super) struct Seen {
    versions: Vec<(Name, Version)>,
}

/// One difference between two looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The object.
    pub(super) name: Name,
    /// It came or went; else its content changed.
    pub(super) came_or_went: bool,
}

impl Seen {
    /// The differences between the last look and `now`, which becomes the last look. One walk over both, without a
    /// look-up or a copy where nothing changed.
    pub(super) fn changes<T>(&mut self, now: &BTreeMap<Name, Arc<T>>, meta: fn(&T) -> &Meta) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut is_other_set = false;
        let mut old = self.versions.iter_mut().peekable();
        let mut new = now.iter().map(|(name, object)| (name, meta(object).version)).peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(*new),
            };
            let came_or_went = order != Ordering::Equal;
            is_other_set |= came_or_went;
            match order {
                Ordering::Less => {
                    changes.extend(old.next().map(|(name, _)| Change { name: name.clone(), came_or_went }));
                }
                Ordering::Greater => {
                    changes.extend(new.next().map(|(name, _)| Change { name: name.clone(), came_or_went }));
                }
                Ordering::Equal => {
                    if let (Some((name, seen)), Some((_, version))) = (old.next(), new.next())
                        && *seen != version
                    {
                        *seen = version;
                        changes.push(Change { name: name.clone(), came_or_went });
                    }
                }
            }
        }
        if is_other_set {
            self.versions.clear();
            self.versions.extend(now.iter().map(|(name, object)| (name.clone(), meta(object).version)));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Kind, Object};

    fn objects(list: &[(&str, u64)]) -> BTreeMap<Name, Arc<Meta>> {
        let meta = |(name, version): &(&str, u64)| {
            let name = Name::new("n", name);
            let object = Arc::new(Object { kind: Kind::Service, name: name.clone(), file: None, line: None });
            (name, Arc::new(Meta { object, uid: "".into(), created: None, version: Version(*version) }))
        };
        list.iter().map(meta).collect()
    }

    #[test]
    fn each_difference_is_told_once() {
        let mut seen = Seen::default();
        for (now, expected) in [
            (vec![("a", 1), ("c", 1)], vec![("a", true), ("c", true)]),
            (vec![("a", 1), ("c", 1)], vec![]),
            (vec![("a", 2), ("c", 1)], vec![("a", false)]),
            (vec![("b", 1), ("c", 2), ("d", 1)], vec![("a", true), ("b", true), ("c", false), ("d", true)]),
            (vec![], vec![("b", true), ("c", true), ("d", true)]),
        ] {
            let changes = seen.changes(&objects(&now), |meta| meta);
            let told: Vec<_> = changes.iter().map(|change| (&*change.name.name, change.came_or_went)).collect();
            assert_eq!(told, expected);
        }
    }
}
