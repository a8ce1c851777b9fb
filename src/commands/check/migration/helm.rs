//! The values of ingress-nginx's chart, judged by what our chart does with them: its lists are read here too.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::input::text;
use super::{Setting, flags};
use crate::commands::check::fate::{Fate, Judged};

const KNOWN: &str = include_str!("../../../../charts/fairlead/templates/_known.tpl");
const NO_EFFECT: &str = include_str!("../../../../charts/fairlead/templates/_no-effect.tpl");

/// What values say of things that have a table of their own.
#[derive(Default)]
pub(super) struct Said {
    /// What is set besides.
    pub(super) settings: Vec<Setting>,
    /// `controller.config`.
    pub(super) config: Vec<(String, String)>,
    /// `controller.proxySetHeaders`.
    pub(super) to_backends: Vec<(String, String)>,
    /// `controller.addHeaders`.
    pub(super) to_clients: Vec<(String, String)>,
    /// Flags that the controller gets by `controller.extraArgs` and other keys.
    pub(super) flags: Vec<(String, String)>,
    /// The class that is made.
    pub(super) class: Option<String>,
}

/// Reads values.
pub(super) fn read(tree: &Map<String, Value>) -> Said {
    let mut said = Said::default();
    let all = Value::Object(tree.clone());
    keys(tree, &LISTS.known, "", &all, &mut said);
    let at = |path: &str| all.pointer(path).and_then(text);
    if let Some(is) = at("/controller/allowSnippetAnnotations")
        && !said.config.iter().any(|(key, _)| key == "allow-snippet-annotations")
    {
        said.config.push(("allow-snippet-annotations".to_owned(), is));
    }
    for (path, flag) in [
        ("/controller/ingressClass", "ingress-class"),
        ("/controller/ingressClassByName", "ingress-class-by-name"),
        ("/controller/watchIngressWithoutClass", "watch-ingress-without-class"),
    ] {
        said.flags.extend(at(path).map(|value| (flag.to_owned(), value)));
    }
    said.class = at("/controller/ingressClassResource/name");
    said
}

/// The lists of the chart.
struct Lists {
    known: Value,
    no_effect: BTreeMap<String, Value>,
}

static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    let body = |text: &'static str, name: &str| {
        let after = text.split_once(&format!("{{{{- define \"{name}\" -}}}}")).map(|(_, after)| after);
        after.and_then(|after| after.split_once("{{- end -}}")).map(|(body, _)| body).unwrap_or_default()
    };
    let known = serde_json::from_str(body(KNOWN, "fairlead.known")).unwrap_or_default();
    let rows = body(NO_EFFECT, "fairlead.noEffect").lines().filter_map(|line| line.split_once(": "));
    let no_effect = rows.filter_map(|(path, row)| Some((path.to_owned(), serde_json::from_str(row).ok()?)));
    Lists { known, no_effect: no_effect.collect() }
});

/// Judges all keys of one map. `known` is what the chart knows below it: a map, or a number where it knows all.
fn keys(map: &Map<String, Value>, known: &Value, path: &str, all: &Value, said: &mut Said) {
    for (name, value) in map {
        if value.is_null() {
            continue;
        }
        let own = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (&*own, value) {
            // It is a key of the ConfigMap.
            ("controller.allowSnippetAnnotations", _) => {}
            // Charts above have keys of their own there.
            _ if own.starts_with("global.") && known.get(name).is_none() => {}
            ("controller.config", Value::Object(keys)) => said.config = texts(keys),
            ("controller.proxySetHeaders", Value::Object(fields)) => said.to_backends = texts(fields),
            ("controller.addHeaders", Value::Object(fields)) => said.to_clients = texts(fields),
            ("controller.extraArgs", Value::Object(flags)) => {
                for (name, value) in flags {
                    let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                    let texts = values.iter().map(|value| text(value).filter(|text| !text.is_empty()));
                    said.flags.extend(texts.map(|text| (name.clone(), text.unwrap_or_else(|| "true".to_owned()))));
                }
                for (name, value) in said.flags.clone() {
                    let Setting { value, judged, .. } = flags::judge(&name, &value);
                    said.settings.push(Setting { name: format!("{own}.{name}"), value, judged });
                }
            }
            (_, Value::Object(below)) if known.get(name).is_some_and(Value::is_object) => {
                keys(below, known.get(name).unwrap_or(&Value::Null), &own, all, said);
            }
            _ => said.settings.push(key(&own, value, known.get(name).is_some(), all)),
        }
    }
}

/// Judges one key whose value the chart takes as it is.
fn key(path: &str, value: &Value, is_known: bool, all: &Value) -> Setting {
    let shown = text(value).unwrap_or_else(|| value.to_string());
    let is_top = !path.contains('.');
    let judged = if let Some(why) = no_effect(path, value, all) {
        Judged::new(Fate::Ignored, format!("has no effect: {why}"), "").by_name()
    } else if is_foreign_image(path, &shown) {
        let note = "names an image of ingress-nginx, and the chart refuses that";
        Judged::new(Fate::Refused, note, "remove the keys of the image")
    } else if matches!(path, "tcp" | "udp") && value.as_object().is_some_and(|ports| !ports.is_empty()) {
        // The chart makes it a flag.
        flags::judge(&format!("{path}-services-configmap"), "ns/name").judged
    } else if is_known || (is_top && (matches!(path, "global" | "enabled" | "tags") || path.starts_with("x-"))) {
        Judged::new(Fate::Honoured, "", "")
    } else {
        Judged::new(Fate::Ignored, "the chart has no such key", "remove it").by_name()
    };
    Setting { name: path.to_owned(), value: shown, judged }
}

/// Why a key has no effect, if that is so: as the chart's notes say it.
fn no_effect(path: &str, value: &Value, all: &Value) -> Option<&'static str> {
    let row = LISTS.no_effect.get(path)?;
    let at = |path: &str| all.pointer(&format!("/{}", path.replace('.', "/")));
    let is_on = |path: &str| at(path) == Some(&Value::Bool(true));
    let text = |name: &str| row.get(name).and_then(Value::as_str);
    let is_empty = match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    };
    let is_neutral = row.get("neutral").and_then(Value::as_array).is_some_and(|values| values.contains(value));
    let is_off = text("when").is_some_and(|path| !is_on(path))
        || text("whenBelow").is_some_and(|name| value.get(name) != Some(&Value::Bool(true)));
    text("why").filter(|_| !is_empty && !is_neutral && !is_off)
}

/// Whether the key names ingress-nginx's own image.
fn is_foreign_image(path: &str, value: &str) -> bool {
    let names_nginx = || ["nginx", "registry.k8s.io", "k8s.gcr.io"].iter().any(|part| value.contains(part));
    match path {
        "controller.image.repository" | "controller.image.image" | "controller.image.digest" => !value.is_empty(),
        "controller.image.tag" => value.starts_with('v') || value.starts_with(|first: char| first.is_ascii_digit()),
        "controller.image.registry" | "global.image.registry" => names_nginx(),
        _ => false,
    }
}

fn texts(map: &Map<String, Value>) -> Vec<(String, String)> {
    map.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_the_chart_are_read() {
        assert!(LISTS.known.pointer("/controller/config").is_some());
        assert_eq!(LISTS.no_effect.len(), NO_EFFECT.lines().filter(|line| line.contains("\"why\"")).count());
        assert!(LISTS.no_effect.contains_key("controller.keda"));
    }
}
