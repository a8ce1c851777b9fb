//! Keys about snippets: how those of annotations are taken, and those of the ConfigMap itself.

use std::sync::Arc;

use super::table::{Row, sets};
use super::{Read, field};
use crate::compile::claim::problem;
use crate::compile::ingress::annotations::snippet::{
    Concluded, Level, Place, Reading, Rules, Treatment, Unknown, conclude,
};
use crate::compile::ingress::annotations::{self, Guard, Refusal, SWITCH, Value};
use crate::ir::Object;
use crate::snapshot::ConfigMap;

const ALLOWS: &str = "allow-snippet-annotations";
const SNIPPETS: &str = "snippets";
const VALUES: &str = "write statements that are understood; docs/annotations.md has them";

/// What the keys of the ConfigMap itself say, as written.
#[derive(Default)]
pub(super) struct Said {
    auth: Option<Arc<str>>,
    http: Option<Arc<str>>,
    location: Option<Arc<str>>,
    server: Option<Arc<str>>,
}

pub(super) const ROWS: &[Row] = &[
    sets(
        ALLOWS,
        "",
        |value, _| value.boolean().map(drop),
        SWITCH,
        "`false`, written out: nothing in a snippet of an annotation is understood",
    ),
    sets(
        "global-auth-snippet",
        "",
        |value, to| keep(value, &mut to.snippets.auth),
        VALUES,
        "as `auth-snippet`, for `global-auth-url`: what is understood of it is done",
    ),
    sets(
        "http-snippet",
        "",
        |value, to| keep(value, &mut to.snippets.http),
        VALUES,
        "as `server-snippet` on every host, before it: what is understood of it is done",
    ),
    sets(
        "location-snippet",
        "",
        |value, to| keep(value, &mut to.snippets.location),
        VALUES,
        "as `configuration-snippet` on every path, behind it: what is understood of it is done",
    ),
    sets(
        "server-snippet",
        "",
        |value, to| keep(value, &mut to.snippets.server),
        VALUES,
        "as `server-snippet` on every host, behind it: what is understood of it is done",
    ),
    sets(
        SNIPPETS,
        "",
        |value, _| unknown(value).map(drop),
        "one of: ignore, refuse",
        "`ignore` serves without each snippet that is not understood, `refuse` closes for it",
    ),
];

fn keep(value: &Value<'_>, to: &mut Option<Arc<str>>) -> Result<(), Refusal> {
    *to = Some(value.text.into());
    Ok(())
}

fn unknown(value: &Value<'_>) -> Result<Unknown, Refusal> {
    match value.word()?.as_str() {
        "ignore" => Ok(Unknown::Ignored),
        "refuse" => Ok(Unknown::Refused),
        _ => Err(Refusal::Invalid("is neither ignore nor refuse".to_owned())),
    }
}

/// How snippets are taken. Looked at before any other key, of which some depend on it.
pub(super) fn treatment(map: &ConfigMap) -> Treatment {
    let value = |name: &str| {
        let (full, text) = map.data.iter().find(|(key, _)| ***key == *name)?;
        Some(Value { text: text.trim(), is_ours: false, full })
    };
    let allows = value(ALLOWS).and_then(|value| value.boolean().ok());
    let unknown = value(SNIPPETS).and_then(|value| unknown(&value).ok());
    Treatment { is_off: allows == Some(false), unknown: unknown.unwrap_or_default() }
}

/// Reads what was kept.
pub(super) fn finish(read: &mut Read, map: &ConfigMap, object: &Arc<Object>) {
    let Said { auth, http, location, server } = std::mem::take(&mut read.snippets);
    let mut rules = |key: &str, text: Option<Arc<str>>, level: Level| -> Rules {
        let Some(text) = text else { return Rules::default() };
        let unknown = read.base.snippets.treatment.unknown;
        let concluded = conclude(Reading::of(&text, level, true), key, Place::Key, unknown);
        let Concluded { rules, typed, closes, told } = concluded;
        if closes {
            read.base.close(Guard::Snippet);
        }
        for (severity, reason, message, hint) in told {
            read.problems.push(problem(object, severity, reason, field(key), message, hint));
        }
        for (name, value) in typed.iter().filter(|(name, _)| map.data.get(name).is_none()) {
            let full = name.to_owned().into();
            let value = Value { text: value, is_ours: true, full: &full };
            read.problems.extend(annotations::apply_key(&value, &mut read.base, object));
        }
        rules
    };
    let auth = rules("global-auth-snippet", auth, Level::Auth);
    let http = rules("http-snippet", http, Level::Http);
    let location = rules("location-snippet", location, Level::Location);
    let server = rules("server-snippet", server, Level::Server);
    read.keys.http = http;
    read.keys.location = location;
    read.keys.server = server;
    let said = &mut read.global_auth.external;
    said.method = said.method.take().or(auth.method());
    read.global_lines = auth.lines();
}
