//! Keys about header fields, of requests and of answers.

use std::sync::Arc;

use super::table::{Row, sets};
use super::value::{field_names, is_field_name};
use super::{Read, field};
use crate::compile::claim::problem;
use crate::compile::ingress::annotations::SWITCH;
use crate::compile::ingress::annotations::{Refusal, Value, reference, template};
use crate::ir::{Name, Object, Part, Problem, Reason, SetField, Severity, Template};
use crate::snapshot::ConfigMap;

const MAP: &str = "write namespace/name of a ConfigMap";
const FIELDS: &str = "write names of header fields with commas between";

pub(super) const ROWS: &[Row] = &[
    sets(
        "add-headers",
        "",
        names_map,
        MAP,
        "the ConfigMap whose keys are fields that every answer gets; values may have the variables of `auth-url`",
    ),
    sets(
        "allow-backend-server-header",
        "false",
        |value, to| value.boolean().map(|is| to.answers.keeps_server = is),
        SWITCH,
        "pass `Server` of back ends on",
    ),
    sets(
        "enable-underscores-in-headers",
        "false",
        |value, to| value.boolean().map(|is| to.globals.requests.underscores = is),
        SWITCH,
        "pass fields with `_` in their name on",
    ),
    sets(
        "generate-request-id",
        "true",
        |value, to| value.boolean().map(|is| to.globals.requests.no_request_id = !is),
        SWITCH,
        "make an `X-Request-ID` for requests that come without one",
    ),
    sets(
        "global-allowed-response-headers",
        "",
        |value, to| field_names(value, |names| to.keys.allowed_fields = names),
        FIELDS,
        "the fields that `custom-headers` may set; none if not set",
    ),
    sets(
        "hide-headers",
        "",
        |value, to| field_names(value, |names| to.answers.hidden = names),
        FIELDS,
        "fields of back ends that are not passed on",
    ),
    sets(
        "proxy-add-original-uri-header",
        "false",
        |value, to| value.boolean().map(|is| to.globals.requests.original_uri = is),
        SWITCH,
        "`X-Original-URI` to back ends: path and query as they came",
    ),
    sets(
        "proxy-set-headers",
        "",
        names_map,
        MAP,
        "the ConfigMap whose keys are fields that every back end gets; values may have the variables of `auth-url`",
    ),
    sets(
        "server-tokens",
        "false",
        |value, to| value.boolean().map(|is| to.answers.names_us = is),
        SWITCH,
        "send `Server: fairlead`; never a version",
    ),
];

/// That the value names a ConfigMap; what is in it is read last.
fn names_map(value: &Value<'_>, _: &mut Read) -> Result<(), Refusal> {
    match value.plain()?.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(()),
        _ => Err(Refusal::Invalid("is not namespace/name".to_owned())),
    }
}

/// Reads the ConfigMaps that `map` names.
pub(super) fn finish<'a>(read: &mut Read, map: &ConfigMap, mut find: impl FnMut(&Name) -> Option<&'a ConfigMap>) {
    let set = set_fields(map, "proxy-set-headers", &mut find, &mut read.problems);
    read.globals.requests.set = (!set.is_empty()).then(|| set.into());
    let mut answers = std::mem::take(&mut read.answers);
    answers.set = set_fields(map, "add-headers", &mut find, &mut read.problems).into();
    read.globals.answers = (answers != Default::default()).then(|| Arc::new(answers));
}

/// The fields that the ConfigMap has that a key names.
fn set_fields<'a>(
    map: &ConfigMap,
    key: &str,
    find: impl FnMut(&Name) -> Option<&'a ConfigMap>,
    problems: &mut Vec<Problem>,
) -> Vec<SetField> {
    let mut set = Vec::new();
    for (named, key, text) in named(map, key, find, problems) {
        match set_field(key, text) {
            Ok(field) => set.push(field),
            Err((why, hint)) => problems.push(wrong(named, key, why, hint)),
        }
    }
    set
}

/// What stands in the ConfigMap that a key names, with the object to blame.
fn named<'a>(
    map: &ConfigMap,
    key: &str,
    mut find: impl FnMut(&Name) -> Option<&'a ConfigMap>,
    problems: &mut Vec<Problem>,
) -> Vec<(&'a Arc<Object>, &'a Arc<str>, &'a Arc<str>)> {
    let own = &map.meta.object.name.namespace;
    let Some(name) = map.data.get(key).and_then(|text| reference(text.trim(), own)) else { return Vec::new() };
    let Some(found) = find(&name) else {
        problems.push(problem(
            &map.meta.object,
            Severity::Warning,
            Reason::ConfigKeyInvalid,
            field(key),
            format!("{key}: no ConfigMap {name}, so no field is set"),
            "create it, or name another",
        ));
        return Vec::new();
    };
    found.data.iter().map(|(key, text)| (&found.meta.object, key, text)).collect()
}

type Wrong = (String, String);

fn set_field(name: &str, text: &str) -> Result<SetField, Wrong> {
    if is_ours(name) {
        let hint = "remove it; the fields that frame a message are written by the proxy";
        return Err(("is a field of the connection".to_owned(), hint.to_owned()));
    }
    let text = value(name, text)?;
    let value = match text.contains('$') {
        false => Template { parts: [Part::Text(text.into())].into_iter().filter(|_| !text.is_empty()).collect() },
        true => template::read(text).map_err(|refusal| match refusal {
            Refusal::Mistaken(why, hint) => (why, hint),
            Refusal::Invalid(why) => (why, "write text and variables, as in $remote_addr".to_owned()),
            Refusal::Ignored(why, hint) => (why, hint.to_owned()),
        })?,
    };
    Ok(SetField { name: name.into(), value })
}

/// The value of a field with a right name.
fn value<'a>(name: &str, text: &'a str) -> Result<&'a str, Wrong> {
    let text = text.trim();
    if !is_field_name(name) {
        return Err(("is no name of a header field".to_owned(), "write letters, digits and hyphens".to_owned()));
    }
    if text.len() > 4096 || text.chars().any(|letter| letter.is_control() || !letter.is_ascii()) {
        return Err((
            "has a value that is longer than 4 KiB or not printable ASCII".to_owned(),
            "shorten or escape it".to_owned(),
        ));
    }
    Ok(text)
}

/// Fields that only the proxy writes: what they say is about one connection, or about who a client is.
pub(in crate::compile) fn is_ours(name: &str) -> bool {
    const OURS: [&str; 10] = [
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
    ];
    let name = name.to_ascii_lowercase();
    OURS.contains(&name.as_str()) || name.starts_with("ssl-client-")
}

fn wrong(object: &Arc<Object>, key: &str, why: String, hint: String) -> Problem {
    let message = format!("{key} {why}; it is not set");
    problem(object, Severity::Warning, Reason::ConfigKeyInvalid, field(key), message, hint)
}
