//! What a reading comes to: what is done, what is closed, and what is said about it.

use std::collections::BTreeSet;

use super::Unknown;
use super::reading::{Left, Reading, Rules};
use crate::ir::{Reason, Severity};

/// Lines that are quoted at most.
const QUOTED: usize = 5;

/// Where a snippet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compile) enum Place {
    /// In an annotation: of what is not understood the paths of its Ingress are closed.
    Annotation,
    /// In the ConfigMap: nothing is closed, unless it says so, since it concerns everybody.
    Key,
}

/// A problem without object and field.
type Finding = (Severity, Reason, String, String);

/// What is to be done.
#[derive(Debug, Default)]
pub(in crate::compile) struct Concluded {
    /// What acts.
    pub(in crate::compile) rules: Rules,
    /// Annotations to read, with their values.
    pub(in crate::compile) typed: Vec<(&'static str, String)>,
    /// The paths are closed.
    pub(in crate::compile) closes: bool,
    /// What is said about it.
    pub(in crate::compile) told: Vec<Finding>,
}

/// Concludes from what was read of the annotation or key `name`.
pub(in crate::compile) fn conclude(reading: Reading, name: &str, place: Place, unknown: Unknown) -> Concluded {
    let Reading { rules, typed, done, left, refused, .. } = reading;
    let mut concluded = Concluded::default();
    let (needless, left): (Vec<Left>, Vec<Left>) = left.into_iter().partition(|left| left.severity == Severity::Info);
    let refused = refused.or_else(|| left.first().filter(|_| unknown == Unknown::Refused).cloned());
    if let Some(Left { place: at, why, instead, .. }) = refused {
        concluded.closes = unknown == Unknown::Refused || (unknown == Unknown::Judged && place == Place::Annotation);
        let (severity, reason, comes_to) = match (concluded.closes, place) {
            (true, Place::Annotation) => {
                (Severity::Error, Reason::SnippetRefused, "so the paths of this Ingress answer 503")
            }
            (true, Place::Key) => (Severity::Error, Reason::SnippetRefused, "so all paths answer 503"),
            (false, Place::Annotation) => {
                (Severity::Warning, Reason::AnnotationIgnored, "so all is served without the snippet")
            }
            (false, Place::Key) => {
                let severity = if unknown == Unknown::Ignored { Severity::Warning } else { Severity::Error };
                (severity, Reason::ConfigKeyIgnored, "so nothing of the key is done")
            }
        };
        let message = format!("{name}: {at} {why}, {comes_to}");
        concluded.told.push((severity, reason, message, format!("in its place: {instead}")));
        return concluded;
    }
    let ignored = match place {
        Place::Annotation => Reason::AnnotationIgnored,
        Place::Key => Reason::ConfigKeyIgnored,
    };
    for (all, severity) in [(left, Severity::Warning), (needless, Severity::Info)] {
        let Some(first) = all.first() else { continue };
        let mut lines: Vec<String> =
            all.iter().take(QUOTED).map(|Left { place, why, .. }| format!("{place} {why}")).collect();
        lines.extend((all.len() > QUOTED).then(|| format!("{} more", all.len() - QUOTED)));
        let message = format!("{name}: left out: {}", lines.join("; "));
        concluded.told.push((severity, ignored, message, format!("in its place: {}", first.instead)));
    }
    if !done.is_empty() {
        let words: BTreeSet<&str> = done.iter().map(|(word, _)| *word).collect();
        let words: Vec<&str> = words.into_iter().collect();
        let instead: Vec<String> = done.iter().map(|(word, instead)| format!("{instead} for {word}")).collect();
        let message = format!("{name} is not run; what it says is done for {}", words.join(", "));
        concluded.told.push((
            Severity::Info,
            Reason::SnippetHonoured,
            message,
            format!("in its place: {}", instead.join("; ")),
        ));
    }
    concluded.rules = rules;
    concluded.typed = typed;
    concluded
}
