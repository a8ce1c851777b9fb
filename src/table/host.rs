//! Hosts by name, and what one host serves.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Route;
use super::paths::Paths;
use crate::ir::{ClientAuth, HostPattern, HostRedirect, HostTls, Regex};

/// One virtual host, compiled. Tables share it as long as nothing about it changes.
pub(super) struct Host {
    pub(super) pattern: HostPattern,
    pub(super) paths: Paths,
    /// By the places that `paths` gives.
    pub(super) routes: Box<[Route]>,
    /// What is answered before any of them.
    pub(super) redirect: Option<Arc<HostRedirect>>,
    /// What is asked of clients.
    pub(super) client_auth: Option<Arc<ClientAuth>>,
    /// How TLS is spoken, where that is not as on other hosts.
    pub(super) tls: Option<Arc<HostTls>>,
    /// Where TLS goes that is not opened here.
    pub(super) passthrough: Option<Route>,
}

/// Values by host pattern: exact, then wildcard of one label, then expressions in order, then any.
pub(super) struct ByName<T> {
    exact: HashMap<Arc<str>, T, RandomState>,
    wildcard: HashMap<Arc<str>, T, RandomState>,
    expressions: Box<[(Regex, T)]>,
    any: Option<T>,
}

impl<T> ByName<T> {
    /// The values by their patterns.
    pub(super) fn new<'a>(values: impl Iterator<Item = (&'a HostPattern, T)>) -> ByName<T> {
        let mut names = ByName {
            exact: HashMap::with_capacity_and_hasher(values.size_hint().0, RandomState::default()),
            wildcard: HashMap::default(),
            expressions: Box::default(),
            any: None,
        };
        for (pattern, value) in values {
            match pattern {
                HostPattern::Exact(name) => drop(names.exact.insert(Arc::clone(name), value)),
                HostPattern::Wildcard(suffix) => drop(names.wildcard.insert(Arc::clone(suffix), value)),
                HostPattern::Any => names.any = Some(value),
            }
        }
        names.exact.shrink_to_fit();
        names
    }

    /// The same with values for names in which an expression is found, in the order in which they are tried.
    pub(super) fn and(self, expressions: Box<[(Regex, T)]>) -> ByName<T> {
        ByName { expressions, ..self }
    }

    /// The value for `name`: lower case, no port, no trailing dot.
    pub(super) fn find(&self, name: &str) -> Option<&T> {
        self.owned(name).or(self.any.as_ref())
    }

    /// The value for `name` that is not for any name.
    pub(super) fn owned(&self, name: &str) -> Option<&T> {
        self.exact.get(name).or_else(|| self.wildcard(name)).or_else(|| self.by_expression(name))
    }

    fn by_expression(&self, name: &str) -> Option<&T> {
        // No name in DNS is longer (RFC 1035 2.3.4), and what is sent as one may be long.
        if name.len() > 253 {
            return None;
        }
        self.expressions
            .iter()
            .find(|(expression, _)| expression.is_found_soon(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The value of the wildcard that means `name`.
    pub(super) fn wildcard(&self, name: &str) -> Option<&T> {
        if self.wildcard.is_empty() {
            return None;
        }
        let (label, suffix) = name.split_once('.')?;
        if label.is_empty() { None } else { self.wildcard.get(suffix) }
    }

    /// The value of the wildcard that `name` misses by its number of labels: the wildcard means one label before its
    /// suffix, and `name` has none there, or more than one. Of several that with the longest suffix.
    pub(super) fn missed_wildcard(&self, name: &str) -> Option<&T> {
        let suffixes = std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, suffix)| suffix));
        // The suffix after the first label is the one that a wildcard would have meant.
        let missed = suffixes.enumerate().filter(|(labels, _)| *labels != 1);
        missed.into_iter().find_map(|(_, suffix)| self.wildcard.get(suffix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_comes_before_wildcard_before_any() {
        let patterns = [
            HostPattern::Exact("a.example".into()),
            HostPattern::Wildcard("example".into()),
            HostPattern::Wildcard("b.example".into()),
            HostPattern::Any,
        ];
        let names = ByName::new(patterns.iter().map(|pattern| (pattern, pattern.to_string())));
        for (name, pattern, owned) in [
            ("a.example", "a.example", true),
            ("b.example", "*.example", true),
            ("x.b.example", "*.b.example", true),
            ("x.a.example", "*", false),
            ("example", "*", false),
            (".example", "*", false),
            ("", "*", false),
            ("10.0.0.1", "*", false),
        ] {
            assert_eq!(names.find(name).map(|found| &**found), Some(pattern), "{name}");
            assert_eq!(names.owned(name).is_some(), owned, "{name}");
        }
    }

    #[test]
    fn an_expression_comes_after_the_wildcards_and_before_any() {
        let patterns =
            [HostPattern::Exact("a.example".into()), HostPattern::Wildcard("example".into()), HostPattern::Any];
        let expressions = ["^a|b$", "b"].map(|text| (Regex::new(text, true).unwrap(), text.to_owned()));
        let names = ByName::new(patterns.iter().map(|pattern| (pattern, pattern.to_string()))).and(expressions.into());
        for (name, found, owned) in [
            ("a.example", "a.example", true),
            ("ab.example", "*.example", true),
            ("a.other", "^a|b$", true),
            ("x.b", "^a|b$", true),
            ("xbx", "b", true),
            ("other", "*", false),
        ] {
            assert_eq!(names.find(name).map(|found| &**found), Some(found), "{name}");
            assert_eq!(names.owned(name).is_some(), owned, "{name}");
        }
    }

    #[test]
    fn a_wildcard_is_missed_by_a_label_too_many_or_too_few() {
        let patterns = [HostPattern::Wildcard("b.example".into()), HostPattern::Wildcard("example".into())];
        let names = ByName::new(patterns.iter().map(|pattern| (pattern, pattern.to_string())));
        for (name, missed) in [
            ("x.y.b.example", Some("*.b.example")),
            ("b.example", Some("*.b.example")),
            ("x.b.example", Some("*.example")),
            ("x.y.example", Some("*.example")),
            ("y.example", None),
            ("other", None),
            ("", None),
        ] {
            assert_eq!(names.missed_wildcard(name).map(|found| &**found), missed, "{name}");
        }
    }
}
