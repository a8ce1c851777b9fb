//! Which of two Ingresses is older: the order behind every "first" and "oldest wins".

use std::cmp::Ordering;

use crate::ir::Name;
use crate::snapshot::Meta;

/// Age as an order: the least is the oldest. By creation time, a missing one first; then the larger `namespace/name`
/// first, compared as one text, as in ingress-nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Age {
    created: Option<i64>,
    name: Name,
}

impl Age {
    /// The age of the object.
    pub(super) fn of(meta: &Meta) -> Self {
        Age { created: meta.created, name: meta.object.name.clone() }
    }

    fn text(&self) -> impl Iterator<Item = u8> {
        self.name.namespace.bytes().chain([b'/']).chain(self.name.name.bytes())
    }
}

impl Ord for Age {
    fn cmp(&self, other: &Self) -> Ordering {
        self.created.cmp(&other.created).then_with(|| other.text().cmp(self.text()))
    }
}

impl PartialOrd for Age {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(created: Option<i64>, namespace: &str, name: &str) -> Age {
        Age { created, name: Name::new(namespace, name) }
    }

    #[test]
    fn a_missing_time_is_oldest_and_ties_go_to_the_larger_name() {
        let order = [
            age(None, "a", "a"),
            age(Some(1), "b", "b"),
            age(Some(1), "b", "a"),
            age(Some(1), "a", "z"),
            age(Some(2), "z", "z"),
        ];
        let mut sorted = order.to_vec();
        sorted.reverse();
        sorted.sort();
        assert_eq!(sorted, order);
    }

    #[test]
    fn names_are_compared_as_one_text() {
        // "a/x" is larger than "a-b/x", though the namespace "a" is the smaller one.
        assert!(age(None, "a", "x") < age(None, "a-b", "x"));
    }
}
