//! The ConfigMap of `--configmap`: ingress-nginx's global settings, one table of keys, with its rows in files by subject.

mod access;
mod compression;
mod connections;
mod document;
mod forwarding;
mod global_auth;
mod headers;
mod known;
mod later;
mod logging;
mod redirect;
mod snippets;
mod table;
mod tls;
mod traces;
mod value;

pub(super) use self::global_auth::GlobalAuth;
pub(super) use self::headers::is_ours;
use std::sync::Arc;

pub use self::document::page;
use self::table::{Closes, Effect};
pub use self::table::{Row, rows};
use crate::compile::claim::problem;
use crate::compile::ingress::annotations::snippet::Rules;
use crate::compile::ingress::annotations::{self, Guard, Refusal, Settings, Value, refused_hint, shorten};
use crate::ir::{Answers, Blocked, Globals, Name, Object, Problem, Reason, Severity, Template};
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
    /// `global-allowed-response-headers`, in lower case.
    pub(super) allowed_fields: Box<[Arc<str>]>,
    /// `allow-cross-namespace-resources`.
    pub(super) crosses_namespaces: bool,
    /// `no-auth-locations`.
    pub(super) no_auth: Box<[Arc<str>]>,
    /// `global-auth-*`.
    pub(super) global_auth: GlobalAuth,
    /// `http-snippet`.
    pub(super) http: Rules,
    /// `location-snippet`.
    pub(super) location: Rules,
    /// `server-snippet`.
    pub(super) server: Rules,
}

impl Default for Keys {
    fn default() -> Keys {
        let acme: Box<[Arc<str>]> = [redirect::ACME.into()].into();
        let hsts = redirect::Hsts::default();
        Keys {
            redirect_code: 308,
            hsts,
            no_tls_redirect: acme.clone(),
            crosses_namespaces: false,
            no_auth: acme,
            allowed_fields: Box::default(),
            http: Rules::default(),
            location: Rules::default(),
            server: Rules::default(),
            global_auth: GlobalAuth::None,
        }
    }
}

impl Keys {
    /// Whether Ingresses may set this field on answers.
    pub(super) fn allows_answer_field(&self, name: &str) -> bool {
        self.allowed_fields.iter().any(|own| own.eq_ignore_ascii_case(name))
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
    blocked: Blocked,
    log: logging::Said,
    answers: Answers,
    compression: compression::Said,
    global_auth: global_auth::Said,
    snippets: snippets::Said,
    /// `global-auth-snippet`: fields for the service.
    global_lines: Vec<(Arc<str>, Template)>,
}

/// Keys whose value names another ConfigMap, as `namespace/name`.
const NAMING: [&str; 2] = ["add-headers", "proxy-set-headers"];

/// The ConfigMaps that this one names.
pub(super) fn references(map: &ConfigMap) -> impl Iterator<Item = Name> {
    let own = &map.meta.object.name.namespace;
    NAMING.iter().filter_map(|key| annotations::reference(map.data.get(key)?.trim(), own))
}

/// Whether `map` says that objects of other namespaces may be named; the key alone is read.
pub(super) fn crosses_namespaces(map: Option<&ConfigMap>) -> bool {
    let Some((full, text)) = map.and_then(|map| map.data.iter().find(|(key, _)| ***key == *CROSSES)) else {
        return false;
    };
    Value { text: text.trim(), is_ours: false, full }.boolean().unwrap_or(false)
}

const CROSSES: &str = "allow-cross-namespace-resources";

/// Reads all keys. `find` looks at a ConfigMap that this one names; `is_folder`: objects come from a folder.
pub(super) fn read<'a>(map: &ConfigMap, is_folder: bool, find: impl FnMut(&Name) -> Option<&'a ConfigMap>) -> Read {
    let object = &map.meta.object;
    let mut read = Read::default();
    let mut has_waiting = false;
    read.base.snippets.treatment = snippets::treatment(map);
    for (key, text) in map.data.iter() {
        let value = Value { text: text.trim(), is_ours: false, full: key };
        let Some(row) = table::find(key) else {
            read.problems.push(unknown(key, object));
            continue;
        };
        if value.text.is_empty() {
            none(key, &mut read.keys);
            continue;
        }
        if let Some(found) = apply(row, &value, &mut read, object) {
            // What waits for the same is told once.
            let waits = row.waits(value.text).is_some() && found.severity == Severity::Info;
            if !(waits && std::mem::replace(&mut has_waiting, true)) {
                read.problems.push(found);
            }
        }
    }
    forwarding::finish(&mut read, object);
    access::finish(&mut read);
    compression::finish(&mut read);
    logging::finish(&mut read);
    headers::finish(&mut read, map, find);
    snippets::finish(&mut read, map, object);
    let is_asked = map.data.get(GlobalAuth::KEY).is_some_and(|url| !url.trim().is_empty());
    global_auth::finish(&mut read, is_asked, is_folder, object);
    read
}

/// Lists that are not empty by themselves: written out empty they are.
fn none(key: &str, keys: &mut Keys) {
    match key {
        "no-auth-locations" => keys.no_auth = Box::default(),
        "no-tls-redirect-locations" => keys.no_tls_redirect = Box::default(),
        _ => {}
    }
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
        Effect::Sets(set) | Effect::Reads(set) => {
            let shown = shorten(value.text);
            let invalid = |why: &str, hint: String, read: &mut Read| {
                if let Some(closes) = row.closes {
                    match closes {
                        Closes::All => read.base.close(Guard::Access),
                        Closes::Asked => read.global_auth.is_broken = true,
                    }
                    let message = format!("{key}: {shown:?} {why}, so {} answer 503", closes.paths());
                    return found(Severity::Error, Reason::AccessRuleBroken, message, hint);
                }
                let message = format!("{key}: {shown:?} {why}; the default serves");
                found(Severity::Warning, Reason::ConfigKeyInvalid, message, hint)
            };
            match set(value, read) {
                Ok(()) => {
                    let missing = row.waits(value.text)?;
                    let why = format!("is read, and has no effect yet: {missing}");
                    ignored(Severity::Info, &why, "leave it for a later version, or remove it")
                }
                Err(Refusal::Ignored(why, hint)) => {
                    found(Severity::Warning, Reason::ConfigKeyIgnored, format!("{key}: {why}"), hint.to_owned())
                }
                Err(Refusal::Mistaken(why, hint)) => invalid(&why, hint, read),
                Err(Refusal::Invalid(why)) => invalid(&why, refused_hint(row.values, value.text), read),
            }
        }
    }
}

fn unknown(key: &str, object: &Arc<Object>) -> Problem {
    let hint = match (known::replacement(key), did_you_mean(key, rows().map(|row| row.name))) {
        (Some(replacement), _) => replacement.to_owned(),
        (None, Some(near)) => format!("did you mean {near}?"),
        (None, None) => "remove it; it has no effect".to_owned(),
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
