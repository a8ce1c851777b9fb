//! A map that nearly always has one entry, and then needs no node of its own.

use std::collections::BTreeMap;
use std::mem;

/// An ordered map. Most hosts and Service ports are named by one Ingress, and a node has room for eleven.
pub(super) enum Few<K, V> {
    /// The only entry.
    One(K, V),
    /// None, or several.
    Many(BTreeMap<K, V>),
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Few::Many(BTreeMap::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Few::Many(map) if map.is_empty())
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        match self {
            Few::One(only, _) => only == key,
            Few::Many(map) => map.contains_key(key),
        }
    }

    /// Adds an entry, or replaces the one that has the key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match mem::take(self) {
            Few::One(only, old) if only != key => *self = Few::Many(BTreeMap::from([(only, old), (key, value)])),
            Few::Many(mut map) if !map.is_empty() => {
                map.insert(key, value);
                *self = Few::Many(map);
            }
            Few::One(..) | Few::Many(_) => *self = Few::One(key, value),
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        match self {
            Few::One(only, _) if only == key => *self = Few::default(),
            Few::One(..) => {}
            Few::Many(map) => {
                map.remove(key);
                if map.len() == 1
                    && let Some((key, value)) = map.pop_first()
                {
                    *self = Few::One(key, value);
                }
            }
        }
    }

    /// The entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        let (one, many) = match self {
            Few::One(key, value) => (Some((key, value)), None),
            Few::Many(map) => (None, Some(map.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map_whatever_its_size() {
        let (mut few, mut map) = (Few::default(), BTreeMap::new());
        for (step, key) in [3, 1, 3, 2, 4, 1, 2].into_iter().enumerate() {
            few.insert(key, step);
            map.insert(key, step);
            assert!(few.iter().eq(map.iter()), "{step}");
        }
        for key in [9, 1, 4, 2, 2, 3] {
            few.remove(&key);
            map.remove(&key);
            assert!(few.iter().eq(map.iter()), "{key}");
            assert_eq!(few.is_empty(), map.is_empty());
            for key in 0..5 {
                assert_eq!(few.contains_key(&key), map.contains_key(&key), "{key}");
            }
        }
    }
}
