//! What becomes of one setting, in the four words that `check` has: by the row of its table, and by what compiling says.

use serde::Serialize;

use crate::compile;
use crate::ir::{Object, Problem, Reason, Severity};

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
}

impl Judged {
    /// A fate with a note.
    pub(super) fn new(fate: Fate, note: impl Into<String>, hint: impl Into<String>) -> Judged {
        Judged { fate, note: note.into(), hint: hint.into() }
    }
}

/// What becomes of an annotation, its full name given. `ours` is the prefix that is always ours.
pub(super) fn of_annotation(full: &str, value: &str, object: &Object, problems: &[Problem]) -> Judged {
    let (prefix, name) = full.split_once('/').unwrap_or(("", full));
    let is_ours = prefix == super::OURS;
    let row = compile::annotations().find(|row| row.name == name && if is_ours { row.ours } else { row.nginx });
    let problem = worst(problems, object, &format!("metadata.annotations[{full}]"));
    let waits = row.and_then(|row| row.waits(value));
    judge(row.is_some(), problem, waits, value, row.and_then(|row| row.difference(value)).filter(|_| !is_ours))
}

/// What becomes of a key of the ConfigMap.
pub(super) fn of_key(key: &str, value: &str, object: &Object, problems: &[Problem]) -> Judged {
    let row = compile::config_keys().find(|row| row.name == key);
    // Some keys are named alone: what is wrong is how they stand to others.
    let problem = worst(problems, object, &format!("data[{key}]"));
    let waits = row.and_then(|row| row.waits(value));
    judge(row.is_some(), problem, waits, value, row.and_then(|row| row.difference(value)))
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
        (Severity::Warning, _) if is_known => Fate::Differs,
        (Severity::Warning | Severity::Info, _) => Fate::Ignored,
    };
    Judged::new(fate, message.clone(), hint.clone())
}
