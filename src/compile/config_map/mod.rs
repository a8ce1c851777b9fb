//! The ConfigMap of `--configmap`: ingress-nginx's global settings, one table of keys, with its rows in files by subject.

mod connections;
mod document;
mod forwarding;
mod headers;
mod known;
mod later;
mod redirect;
mod table;
mod tls;
mod value;

use std::sync::Arc;

pub use self::document::page;
use self::table::{Effect, Row};
use crate::compile::claim::problem;
use crate::compile::ingress::annotations::{self, Guard, Refusal, Settings, Value, refused_hint, shorten};
use crate::ir::{Answers, Globals, Name, Object, Problem, Reason, Severity};
use crate::settings::suggest::did_you_mean;
use crate::snapshot::ConfigMap;

/// What only the compiler needs to know.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Keys {
    /// `http-redirect-code`.
    pub(super) redirect_code: u16,
    /// `hsts*`.
    pub(super) hsts: redirect::Hsts,
    /// `no-tls-redirect-locations`.
    pub(super) no_tls_redirect: Box<[Arc<str>]>,
    /// `no-auth-locations`.
    pub(super) no_auth: Box<[Arc<str>]>,
}

impl Default for Keys {
    fn default() -> Keys {
        let acme: Box<[Arc<str>]> = [redirect::ACME.into()].into();
        Keys { redirect_code: 308, hsts: redirect::Hsts::default(), no_tls_redirect: acme.clone(), no_auth: acme }
    }
}

/// What a ConfigMap says.
#[derive(Default)]
pub(super) struct Read {
    /// What annotations of the same names would say.
    pub(super) base: Settings,
    /// What only the compiler needs to know.
    pub(super) keys: Keys,
    /// What is served with.
    pub(super) globals: Globals,
    /// What is wrong with it.
    pub(super) problems: Vec<Problem>,
    forwarding: forwarding::Said,
    answers: Answers,
}

/// Keys whose value names another ConfigMap, as `namespace/name`.
const NAMING: [&str; 2] = ["add-headers", "proxy-set-headers"];

/// The ConfigMaps that this one names.
pub(super) fn references(map: &ConfigMap) -> impl Iterator<Item = Name> {
    let own = &map.meta.object.name.namespace;
    NAMING.iter().filter_map(|key| annotations::reference(map.data.get(key)?.trim(), own))
}

/// Reads all keys. `find` looks at a ConfigMap that this one names.
pub(super) fn read<'a>(map: &ConfigMap, find: impl FnMut(&Name) -> Option<&'a ConfigMap>) -> Read {
    let object = &map.meta.object;
    let mut read = Read::default();
    for (key, text) in map.data.iter() {
        let value = Value { text: text.trim(), is_ours: false, full: key };
        let Some(row) = table::find(key) else {
            read.problems.push(unknown(key, object));
            continue;
        };
        if value.text.is_empty() {
            continue;
        }
        if let Some(found) = apply(row, &value, &mut read, object) {
            read.problems.push(found);
        }
    }
    forwarding::finish(&mut read, object);
    headers::finish(&mut read, map, find);
    read
}

fn apply(row: &Row, value: &Value<'_>, read: &mut Read, object: &Arc<Object>) -> Option<Problem> {
    let key = row.name;
    let found = |severity, reason, message: String, hint: String| {
        Some(problem(object, severity, reason, field(key), message, hint))
    };
    let ignored = |severity, why: &str, instead: &str| {
        found(severity, Reason::ConfigKeyIgnored, format!("{key} {why}"), instead.to_owned())
    };
    match row.effect {
        Effect::Annotation => annotations::apply_key(value, &mut read.base, object),
        Effect::Guards(instead) => {
            read.base.close(Guard::Access);
            let message = format!("{key} guards access and is not honoured, so all paths answer 503");
            found(Severity::Error, Reason::AccessRuleBroken, message, instead.to_owned())
        }
        Effect::Later(instead) if !annotations::means(value.text, row.default) => {
            ignored(Severity::Warning, "is not honoured", instead)
        }
        Effect::Nothing(instead) if !annotations::means(value.text, row.default) => {
            ignored(Severity::Info, "has no effect", instead)
        }
        Effect::Refused(instead) if !annotations::means(value.text, row.default) => {
            ignored(Severity::Error, "is not run", instead)
        }
        Effect::Later(_) | Effect::Nothing(_) | Effect::Refused(_) => None,
        Effect::Sets(set) => {
            let shown = shorten(value.text);
            let invalid = |why: &str, hint: String| {
                let message = format!("{key}: {shown:?} {why}; the default serves");
                found(Severity::Warning, Reason::ConfigKeyInvalid, message, hint)
            };
            match set(value, read) {
                Ok(()) => None,
                Err(Refusal::Ignored(why, hint)) => {
                    found(Severity::Warning, Reason::ConfigKeyIgnored, format!("{key}: {why}"), hint.to_owned())
                }
                Err(Refusal::Mistaken(why, hint)) => invalid(&why, hint),
                Err(Refusal::Invalid(why)) => invalid(&why, refused_hint(row.values, value.text)),
            }
        }
    }
}

fn unknown(key: &str, object: &Arc<Object>) -> Problem {
    let hint = match did_you_mean(key, table::rows().map(|row| row.name)) {
        Some(near) => format!("did you mean {near}?"),
        None => "remove it; it has no effect".to_owned(),
    };
    let message = format!("no key is named {}", shorten(key));
    problem(object, Severity::Warning, Reason::ConfigKeyIgnored, field(key), message, hint)
}

/// The reason of a problem with a key, where an annotation would have this one.
pub(super) fn reason(of_annotation: Reason) -> Reason {
    match of_annotation {
        Reason::AnnotationInvalid => Reason::ConfigKeyInvalid,
        Reason::AnnotationIgnored => Reason::ConfigKeyIgnored,
        other => other,
    }
}

/// The field of a key, as problems name it.
pub(super) fn field(key: &str) -> String {
    format!("data[{key}]")
}
