//! Snippets: nginx's own configuration in an annotation or a key. Nothing of it is ever run. The usual statements are
//! recognised and become settings; words that only tune are left out; any other word closes the paths, since a snippet is
//! often what guards them.

mod conclude;
mod fields;
mod reading;
mod words;

use std::sync::Arc;

pub(in crate::compile) use self::conclude::{Concluded, Place, conclude};
pub(in crate::compile) use self::reading::{Level, Reading, Rules};
use super::table::Effect::Honoured;
use super::table::{Guard, Row, nginx};
use super::value::{Refusal, Value};
use super::{Finding, Settings, apply, field, is_set, table};
use crate::compile::claim::problem;
use crate::compile::said::Told;
use crate::ir::{Object, Problem, Severity};
use crate::snapshot::Annotations;

/// What is said of snippets as a whole, in the ConfigMap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::compile) struct Treatment {
    /// `allow-snippet-annotations: "false"`, written out: nothing in an annotation is recognised.
    pub(in crate::compile) is_off: bool,
    /// `snippets`.
    pub(in crate::compile) unknown: Unknown,
}

/// What becomes of a snippet with a word that is not understood (`snippets`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::compile) enum Unknown {
    /// Words that only tune are left out, others close the paths.
    #[default]
    Judged,
    /// `ignore`: all is served without the snippet.
    Ignored,
    /// `refuse`: the paths are closed.
    Refused,
}

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `configuration-snippet`, as written.
    location: Option<Told<Arc<str>>>,
    /// `server-snippet`, as written.
    server: Option<Told<Arc<str>>>,
    /// `auth-snippet`, as written.
    auth: Option<Told<Arc<str>>>,
    /// How they are taken.
    pub(in crate::compile) treatment: Treatment,
    /// What `configuration-snippet` asks for.
    pub(in crate::compile) rules: Rules,
}

const VALUES: &str = "write statements of the table in Snippets, docs/annotations.md";

const ONLY: &str = "the usual statements act, others are left out or close the paths; see Snippets";

pub(super) const ROWS: &[Row] = &[
    nginx("auth-snippet", Honoured(|value, to| keep(value, &mut to.snippets.auth)))
        .takes(VALUES)
        .guarding(Guard::Snippet)
        .critical()
        .does("", "`proxy_set_header` and `proxy_method` for the service of `auth-url`")
        .unlike(ONLY),
    nginx("configuration-snippet", Honoured(|value, to| keep(value, &mut to.snippets.location)))
        .takes(VALUES)
        .guarding(Guard::Snippet)
        .critical()
        .does("", "what they say, on the paths of the Ingress")
        .unlike(ONLY),
    nginx("server-snippet", Honoured(|value, to| keep(value, &mut to.snippets.server)))
        .takes(VALUES)
        .guarding(Guard::Snippet)
        .for_host()
        .critical()
        .does(
            "",
            "what they say, on the paths of all Ingresses of its hosts: that of the oldest of a host counts; of another \
             namespace than the oldest Ingress of the host, on paths of its own namespace",
        )
        .unlike(ONLY),
];

/// Keeps the text: what it comes to depends on the other annotations.
fn keep(value: &Value<'_>, to: &mut Option<Told<Arc<str>>>) -> Result<(), Refusal> {
    *to = Some(value.told(value.text.into()));
    Ok(())
}

/// Reads what was kept, once everything else is known.
pub(super) fn settle(
    settings: &mut Settings,
    annotations: &Annotations,
    prefix: &str,
    object: &Arc<Object>,
    problems: &mut Vec<Problem>,
) {
    let Said { location, server, auth, treatment, .. } = &mut settings.snippets;
    let (treatment, location, server, auth) = (*treatment, location.take(), server.take(), auth.take());
    for (told, level) in [(location, Level::Location), (server, Level::Server), (auth, Level::Auth)] {
        let Some(Told { value: text, annotation }) = told else { continue };
        let name = annotation.split_once('/').map_or(&*annotation, |(_, name)| name);
        let reading = Reading::of(&text, level, !treatment.is_off);
        let Concluded { rules, typed, closes, told } = conclude(reading, name, Place::Annotation, treatment.unknown);
        if closes {
            settings.close(Guard::Snippet);
        }
        for (severity, reason, message, hint) in told {
            problems.push(problem(object, severity, reason, field(&annotation), message, hint));
        }
        let is_said = |name: &str| is_set(annotations, prefix, name) || is_set(annotations, super::OURS, name);
        for (own, value) in &typed {
            if is_said(own) {
                let message = format!("{name}: it says what the annotation {own} says, which counts");
                let hint = "say it in one place".to_owned();
                problems.push(Finding::ignored(Severity::Warning, message, hint).on(object, &annotation));
                continue;
            }
            let value = Value { text: value, is_ours: true, full: &annotation };
            let found = table::find(own).and_then(|row| apply(row, &value, settings));
            problems.extend(found.map(|found| found.on(object, &annotation)));
        }
        match level {
            Level::Auth => {
                settings.external.method = settings.external.method.take().or(rules.method());
                settings.external.lines.extend(rules.lines());
                if settings.external.url.is_none() && !is_said("auth-url") {
                    problems.push(super::orphan(name, "auth-url").on(object, &annotation));
                }
            }
            Level::Server if rules != Rules::default() => {
                settings.front.snippet = Some(Told { value: Arc::new(rules), annotation });
            }
            Level::Server | Level::Http => {}
            Level::Location => settings.snippets.rules = rules,
        }
    }
}

#[cfg(test)]
mod tests;
