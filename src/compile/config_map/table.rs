//! The table: every key with what is done about it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{
    Read, access, compression, connections, forwarding, global_auth, headers, known, later, logging, redirect,
    snippets, tls, traces,
};
use crate::compile::ingress::annotations::traces::MISSING;
use crate::compile::ingress::annotations::{Refusal, Value, means, rows as annotations};

/// One key.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its default, as it would be written; empty = nothing.
    pub default: &'static str,
    /// Which values are right, as a hint.
    pub(super) values: &'static str,
    /// What it means, for the page.
    pub(super) meaning: &'static str,
    /// It guards access, so a wrong value closes paths.
    pub(super) closes: Option<Closes>,
    /// What is done.
    pub(super) effect: Effect,
}

/// Which paths a wrong value closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closes {
    /// All.
    All,
    /// Those on which the service of `global-auth-url` is asked.
    Asked,
}

impl Closes {
    /// As the subject of a sentence.
    pub(super) fn paths(self) -> &'static str {
        match self {
            Closes::All => "all paths",
            Closes::Asked => "the paths that it guards",
        }
    }
}

pub(super) type Set = fn(&Value<'_>, &mut Read) -> Result<(), Refusal>;

/// What is done about a key. Where nothing is, a value that says the default is not told of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// As the annotation of the same name, for all Ingresses that do not have that annotation.
    Annotation,
    /// Not honoured, so what is served differs from what was asked for; what is done or what to do instead.
    Later(&'static str),
    /// It changes a setting on which nothing acts yet.
    Reads(Set),
    /// It tunes something that does not exist here.
    Nothing(&'static str),
    /// Raw configuration, or a guard that is not there: never run.
    Refused(&'static str),
    /// It changes something.
    Sets(Set),
}

impl Row {
    /// What is missing for the value to have an effect, where it is read for a later version.
    pub fn waits(&self, value: &str) -> Option<&'static str> {
        match self.effect {
            Effect::Annotation => annotations().find(|row| row.name == self.name)?.waits(value),
            Effect::Reads(_) if !means(value.trim(), self.default) => Some(MISSING),
            _ => None,
        }
    }

    /// What comes of the value that would not with ingress-nginx.
    pub fn difference(&self, value: &str) -> Option<&'static str> {
        match self.effect {
            Effect::Annotation => annotations().find(|row| row.name == self.name)?.difference(value),
            _ => {
                let is_meant = |own: &str| own.is_empty() || means(value, own);
                let found = UNLIKE.iter().find(|(name, own, _)| *name == self.name && is_meant(own));
                found.map(|(_, _, how)| *how)
            }
        }
    }
}

/// What comes of a key, with a value (empty = any), that would not with ingress-nginx.
const UNLIKE: [(&str, &str, &str); 3] = [
    ("block-cidrs", "", "acts on Ingresses with lists of their own too"),
    ("client-header-timeout", "", "is the time for the whole head, not between two reads"),
    ("server-tokens", "true", "the name is fairlead, and no version is sent"),
];

/// Every key, in alphabetical order.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.values().copied()
}

/// The row of a key.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    TABLE.get(name).copied()
}

const SUBJECTS: [&[Row]; 13] = [
    access::ROWS,
    compression::ROWS,
    global_auth::ROWS,
    logging::ROWS,
    tls::ROWS,
    traces::ROWS,
    forwarding::ROWS,
    headers::ROWS,
    connections::ROWS,
    redirect::ROWS,
    snippets::ROWS,
    known::ROWS,
    later::ROWS,
];

static TABLE: LazyLock<BTreeMap<&'static str, &'static Row>> =
    LazyLock::new(|| SUBJECTS.into_iter().flatten().map(|row| (row.name, row)).collect());

/// A key that means what the annotation of its name means.
pub(super) const fn like(name: &'static str, default: &'static str) -> Row {
    Row { name, default, values: "", meaning: "as the annotation", closes: None, effect: Effect::Annotation }
}

/// A key that sets something.
pub(super) const fn sets(
    name: &'static str,
    default: &'static str,
    set: Set,
    values: &'static str,
    meaning: &'static str,
) -> Row {
    Row { name, default, values, meaning, closes: None, effect: Effect::Sets(set) }
}

/// A key that is read, and on which nothing acts yet.
pub(super) const fn reads(
    name: &'static str,
    default: &'static str,
    set: Set,
    values: &'static str,
    meaning: &'static str,
) -> Row {
    Row { name, default, values, meaning, closes: None, effect: Effect::Reads(set) }
}

/// A key that guards access.
pub(super) const fn guarding(name: &'static str, set: Set, values: &'static str, meaning: &'static str) -> Row {
    Row { name, default: "", values, meaning, closes: Some(Closes::All), effect: Effect::Sets(set) }
}

/// A key that is not honoured in this version.
pub(super) const fn later(name: &'static str, default: &'static str, instead: &'static str) -> Row {
    Row { name, default, values: "", meaning: "", closes: None, effect: Effect::Later(instead) }
}

/// A key that tunes something that does not exist here.
pub(super) const fn nothing(name: &'static str, default: &'static str, instead: &'static str) -> Row {
    Row { name, default, values: "", meaning: "", closes: None, effect: Effect::Nothing(instead) }
}

/// A key whose content is never run.
pub(super) const fn refused(name: &'static str, default: &'static str, instead: &'static str) -> Row {
    Row { name, default, values: "", meaning: "", closes: None, effect: Effect::Refused(instead) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::annotations;

    #[test]
    fn what_is_unlike_is_a_key_that_sets_something() {
        for (name, value, how) in UNLIKE {
            let row = find(name).unwrap();
            assert!(matches!(row.effect, Effect::Sets(_)), "{name}");
            assert_eq!(row.difference(value), Some(how));
        }
    }

    #[test]
    fn no_key_has_two_rows() {
        assert_eq!(SUBJECTS.into_iter().map(<[Row]>::len).sum::<usize>(), TABLE.len());
    }

    #[test]
    fn all_keys_of_ingress_nginx_are_known() {
        // 192 documented ones and 16 that stand in its code only, in ingress-nginx 1.15; and three of ours.
        assert_eq!(rows().count(), 208 + OURS.len());
        assert!(OURS.iter().all(|ours| find(ours).is_some()));
    }

    const OURS: [&str; 3] = ["enable-zstd", "snippets", "trailing-slash-redirect"];

    #[test]
    fn a_key_that_has_an_annotation_of_its_name_means_the_same() {
        // These have one meaning for a host and another for all of them.
        const APART: [&str; 4] = ["modsecurity-snippet", "server-snippet", "ssl-ciphers", "stream-snippet"];
        for row in rows().filter(|row| !APART.contains(&row.name)) {
            let has_annotation = annotations().any(|annotation| annotation.name == row.name);
            assert_eq!(matches!(row.effect, Effect::Annotation), has_annotation, "{}", row.name);
        }
    }

    #[test]
    fn what_sets_something_says_which_values_are_right_and_what_it_means() {
        for row in rows().filter(|row| matches!(row.effect, Effect::Sets(_))) {
            assert!(!row.values.is_empty() && !row.meaning.is_empty(), "{}", row.name);
        }
    }
}
