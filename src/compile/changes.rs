//! Which objects of one kind came, went or changed since the last look.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ir::Name;
use crate::snapshot::Meta;

/// All objects of one kind at the last look.
pub(super) struct Seen<T> {
    objects: Vec<Arc<T>>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Seen { objects: Vec::new() }
    }
}

/// One difference between two looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The object.
    pub(super) name: Name,
    /// It came or went; else its content changed.
    pub(super) came_or_went: bool,
}

impl<T> Seen<T> {
    /// The differences between the last look and `now`, which becomes the last look. One walk over both. Where nothing
    /// changed it compares pointers and follows none, which is what makes it cheap for ten thousand objects.
    pub(super) fn changes(&mut self, now: &BTreeMap<Name, Arc<T>>, meta: fn(&T) -> &Meta) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut is_other_set = false;
        let mut old = self.objects.iter_mut().peekable();
        let mut new = now.iter().peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(seen), Some((_, object))) if Arc::ptr_eq(seen, object) => Ordering::Equal,
                (Some(seen), Some((new, _))) => meta(seen).object.name.cmp(*new),
            };
            let came_or_went = order != Ordering::Equal;
            is_other_set |= came_or_went;
            match order {
                Ordering::Less => {
                    let gone = old.next().map(|seen| meta(seen).object.name.clone());
                    changes.extend(gone.map(|name| Change { name, came_or_went }));
                }
                Ordering::Greater => {
                    changes.extend(new.next().map(|(name, _)| Change { name: name.clone(), came_or_went }));
                }
                Ordering::Equal => {
                    let (Some(seen), Some((name, object))) = (old.next(), new.next()) else { continue };
                    if Arc::ptr_eq(seen, object) {
                        continue;
                    }
                    if meta(seen).version != meta(object).version {
                        changes.push(Change { name: name.clone(), came_or_went });
                    }
                    *seen = Arc::clone(object);
                }
            }
        }
        if is_other_set {
            self.objects = now.values().map(Arc::clone).collect();
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Kind, Object};
    use crate::snapshot::Version;

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
