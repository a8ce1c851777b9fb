//! Texts by name, as one block: the annotations of an object, of which most have none or a few, or what a ConfigMap holds.

use std::sync::Arc;

/// Annotations by name, or the keys of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Annotations {
    /// Sorted by name, no name twice.
    entries: Box<[(Arc<str>, Arc<str>)]>,
}

impl Annotations {
    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        let place = self.entries.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        self.entries.get(place).map(|(_, value)| value)
    }

    /// All with their values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// All names, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.entries.iter().map(|(name, _)| name)
    }
}

impl FromIterator<(Arc<str>, Arc<str>)> for Annotations {
    /// Of several values of one name the first counts.
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<str>)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|(a, _), (b, _)| a == b);
        Annotations { entries: entries.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_by_name_and_told_in_order() {
        let all = [("b", "1"), ("a", "2"), ("b", "3"), ("ab", "4")];
        let annotations: Annotations = all.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let told: Vec<_> = annotations.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(told, [("a", "2"), ("ab", "4"), ("b", "1")]);
        assert!(annotations.keys().eq(annotations.iter().map(|(name, _)| name)));
        for (name, value) in [("a", Some("2")), ("ab", Some("4")), ("b", Some("1")), ("c", None), ("", None)] {
            assert_eq!(annotations.get(name).map(|value| &**value), value, "{name}");
        }
    }
}
