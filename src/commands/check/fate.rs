//! What becomes of one setting, in the four words that `check` has: by the row of its table, and by what compiling says.

use serde::Serialize;

use crate::compile;
use crate::ir::{Object, Problem, Reason, Severity};
use crate::snapshot::Annotations;

/// What becomes of a setting, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    /// What it asks for is not served: something has to be done.
    Refused,
    /// It acts, or is missing, in a way that clients can see.
    Differs,
    /// It has no effect.
    Ignored,
    /// It does what it says.
    Honoured,
}

impl Fate {
    /// The word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Fate::Refused => "refused",
            Fate::Differs => "differs",
            Fate::Ignored => "ignored",
            Fate::Honoured => "honoured",
        }
    }
}

/// What becomes of a setting, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) fate: Fate,
    /// Empty where nothing is to be said.
    pub(super) note: String,
    /// Empty where nothing is to be done.
    pub(super) hint: String,
    /// It comes to that whatever the value is.
    pub(super) by_name: bool,
}

impl Judged {
    /// A fate with a note.
    pub(super) fn new(fate: Fate, note: impl Into<String>, hint: impl Into<String>) -> Judged {
        Judged { fate, note: note.into(), hint: hint.into(), by_name: false }
    }

    /// The same, whatever the value is.
    pub(super) fn by_name(self) -> Judged {
        Judged { by_name: true, ..self }
    }
}

/// What becomes of an annotation, its full name given. `all` are those of the same object.
pub(super) fn of_annotation(
    full: &str,
    value: &str,
    all: &Annotations,
    object: &Object,
    problems: &[Problem],
) -> Judged {
    let (prefix, name) = full.split_once('/').unwrap_or(("", full));
    let is_ours = prefix == super::OURS;
    let row = compile::annotations().find(|row| row.name == name && if is_ours { row.ours } else { row.nginx });
    let field = format!("metadata.annotations[{full}]");
    let difference = row.and_then(|row| row.difference(value).or_else(|| beside(prefix, name, value, all)));
    let difference = difference.filter(|_| !is_ours);
    let problem = worst(problems, object, &field);
    let waits = row.and_then(|row| row.waits(value));
    let mut judged = judge(row.is_some(), problem, waits, value, difference);
    if name.starts_with("session-cookie-") && problem.is_some_and(|one| one.reason == Reason::SettingShadowed) {
        judged.fate = Fate::Differs;
        judged.note += "; with ingress-nginx the newest counts";
    }
    if name == "canary-weight" && judged.fate == Fate::Ignored && value.trim().bytes().all(|it| it.is_ascii_digit()) {
        // More than all is all, here and there.
        judged.fate = Fate::Honoured;
    }
    with_rest(judged, problems, object, &field)
}

/// What is different because of what else is said, or not said.
fn beside(prefix: &str, name: &str, value: &str, all: &Annotations) -> Option<&'static str> {
    let says = |other: &str| all.get(&format!("{prefix}/{other}"));
    let is_grpc = || says("backend-protocol").is_some_and(|word| word.trim().to_ascii_uppercase().starts_with("GRPC"));
    match name {
        "proxy-body-size" if is_grpc() && !value.starts_with('0') => {
            Some("is not for gRPC, whose streams may be of any length")
        }
        "proxy-ssl-secret" => None,
        _ if name.starts_with("proxy-ssl-") && value != "off" && says("proxy-ssl-secret").is_none() => {
            Some("acts without proxy-ssl-secret too, without which ingress-nginx does not read it")
        }
        _ => None,
    }
}

/// What becomes of a key of the ConfigMap.
pub(super) fn of_key(key: &str, value: &str, object: &Object, problems: &[Problem]) -> Judged {
    let row = compile::config_keys().find(|row| row.name == key);
    // Some keys are named alone: what is wrong is how they stand to others.
    let field = format!("data[{key}]");
    let problem = worst(problems, object, &field);
    let waits = row.and_then(|row| row.waits(value));
    let judged = judge(row.is_some(), problem, waits, value, row.and_then(|row| row.difference(value)));
    with_rest(judged, problems, object, &field)
}

/// Of a snippet of which something is left out, what else is done.
fn with_rest(mut judged: Judged, problems: &[Problem], object: &Object, field: &str) -> Judged {
    let is_meant = |problem: &&Problem| {
        problem.reason == Reason::SnippetHonoured && problem.field == field && *problem.object == *object
    };
    let done = problems.iter().find(is_meant).and_then(|problem| problem.message.split_once(" is done for "));
    if let (Fate::Differs | Fate::Ignored, Some((_, words))) = (judged.fate, done) {
        judged.note = format!("{}; what it says of {words} is done", judged.note);
    }
    judged
}

fn worst<'p>(problems: &'p [Problem], object: &Object, field: &str) -> Option<&'p Problem> {
    let own = problems.iter().filter(|problem| *problem.object == *object && problem.field == field);
    own.min_by_key(|problem| problem.severity)
}

fn judge(
    is_known: bool,
    problem: Option<&Problem>,
    waits: Option<&'static str>,
    value: &str,
    difference: Option<&'static str>,
) -> Judged {
    let Some(Problem { severity, reason, message, hint, .. }) = problem else {
        return match (difference, waits) {
            (Some(how), _) => Judged::new(Fate::Differs, how, ""),
            // Another one of the same object was told of.
            (None, Some(missing)) => {
                Judged::new(Fate::Ignored, format!("is read, and has no effect yet: {missing}"), "")
            }
            (None, None) => Judged::new(Fate::Honoured, "", ""),
        };
    };
    let fate = match (severity, reason) {
        (Severity::Error, _) => Fate::Refused,
        // Of the first ingress-nginx says nothing, and does the same.
        (_, Reason::ForwardedHeadersTrustEveryone | Reason::SnippetHonoured) => Fate::Honoured,
        // A wrong value is as none: the default serves. A variable that is not known here may be right with nginx.
        (_, Reason::AnnotationInvalid | Reason::ConfigKeyInvalid) if value.contains('$') => Fate::Differs,
        (_, Reason::AnnotationInvalid | Reason::ConfigKeyInvalid | Reason::SettingShadowed) => Fate::Ignored,
        // A name that another host has: with ingress-nginx that one has it too.
        (_, Reason::HostConflict) => Fate::Ignored,
        (Severity::Warning, _) if is_known => Fate::Differs,
        (Severity::Warning | Severity::Info, _) => Fate::Ignored,
    };
    let by_name = !is_known || *severity == Severity::Info;
    Judged { by_name, ..Judged::new(fate, message.clone(), hint.clone()) }
}
