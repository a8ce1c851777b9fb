//! The report as text and as JSON.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::input::Unread;
use super::{Report, Setting, Subject};
use crate::commands::Stop;
use crate::commands::check::fate::Fate;

/// Longer values are cut in the text form, in characters.
const LONGEST: usize = 60;
/// A line of names in the summary is not longer, in bytes.
const WIDTH: usize = 100;

/// The text form: what was said, by whom; then the sums.
pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    // Who was told what is to be told again.
    let mut told: BTreeMap<(&str, &str, &str), String> = BTreeMap::new();
    for subject in report.subjects.iter().filter(|subject| !subject.settings.is_empty()) {
        let _ = writeln!(out, "{}", title(subject));
        for setting in &subject.settings {
            let Setting { name, judged, .. } = setting;
            let key = (&**name, &*judged.note, &*judged.hint);
            let before = told.get(&key).filter(|_| !judged.note.is_empty());
            line(&mut out, setting, before.map(String::as_str));
            told.entry(key).or_insert_with(|| short(subject));
        }
        out.push('\n');
    }
    if !report.unread.is_empty() {
        out.push_str("not read\n");
        for (at, Unread { file, line, why, hint }) in report.unread.iter().enumerate() {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            let _ = writeln!(out, "  {file}{line}: {why}");
            // Said once for all to which the same is to be done.
            if report.unread.get(at + 1).is_none_or(|next| next.hint != *hint) {
                let _ = writeln!(out, "    → {hint}");
            }
        }
        out.push('\n');
    }
    if !report.assumed.is_empty() {
        out.push_str("taken to be there and right\n");
        for object in &report.assumed {
            let _ = writeln!(out, "  {object}");
        }
        out.push('\n');
    }
    summary(&mut out, report);
    out
}

fn title(subject: &Subject) -> String {
    let Subject { place, field, .. } = subject;
    let mut title = subject.full_name();
    if let Some(place) = place {
        let _ = write!(title, "  {}:{}", place.file, place.line);
    }
    if !field.is_empty() {
        let _ = write!(title, "  {field}");
    }
    title
}

/// A subject in few words: its name, if it has one.
fn short(subject: &Subject) -> String {
    if subject.name.is_empty() { subject.place_or_name() } else { subject.full_name() }
}

/// One setting. `before`: of whom the same was said.
fn line(out: &mut String, setting: &Setting, before: Option<&str>) {
    let Setting { name, value, judged } = setting;
    let value = shown(value);
    let colon = if value.is_empty() { "" } else { ": " };
    let again = before.map(|before| format!("  (as for {before})")).unwrap_or_default();
    let _ = writeln!(out, "  {:8}  {name}{colon}{value}{again}", judged.fate.as_str());
    if before.is_some() {
        return;
    }
    if !judged.note.is_empty() {
        let _ = writeln!(out, "            {}", judged.note);
    }
    if !judged.hint.is_empty() {
        let _ = writeln!(out, "            → {}", judged.hint);
    }
}

/// The beginning of a value, on one line.
fn shown(value: &str) -> String {
    let words = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean: String = words.chars().filter(|letter| !letter.is_control()).collect();
    match clean.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", clean.get(..at).unwrap_or_default()),
        None => clean,
    }
}

fn summary(out: &mut String, report: &Report) {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for subject in &report.subjects {
        match kinds.iter_mut().find(|(kind, _)| *kind == subject.kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((&subject.kind, 1)),
        }
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let judged = if kinds.is_empty() { "nothing could be judged".to_owned() } else { kinds.join(", ") };
    let _ = writeln!(out, "summary: {judged}");
    for (fate, meaning) in [
        (Fate::Refused, "not served, or not started with, until something is done"),
        (Fate::Differs, "served, but not as by ingress-nginx; the lines say how"),
        (Fate::Ignored, "without effect"),
        (Fate::Honoured, "as with ingress-nginx"),
    ] {
        let _ = writeln!(out, "  {:8} {:4}  {meaning}", fate.as_str(), count(report, fate));
        if fate != Fate::Honoured {
            names(out, report, fate);
        }
    }
    if !report.unread.is_empty() {
        let _ = writeln!(out, "  not read {:4}", report.unread.len());
    }
    for (class, count) in &report.foreign {
        let what = if *count == 1 { "Ingress" } else { "Ingresses" };
        let _ = writeln!(out, "{count} {what} of class {class} not looked at");
    }
    for remark in &report.remarks {
        let _ = writeln!(out, "{remark}");
    }
}

/// Which settings have a fate, the most frequent first.
fn names(out: &mut String, report: &Report, fate: Fate) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for setting in report.settings().filter(|setting| setting.judged.fate == fate) {
        let name = match setting.name.as_str() {
            name if name.starts_with("spec.tls") => "certificates",
            name if name.starts_with("spec.") => "paths",
            name => name,
        };
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(name, count)| (Reverse(*count), *name));
    let mut line = String::new();
    for (at, (name, count)) in counts.iter().enumerate() {
        let comma = if at + 1 < counts.len() { "," } else { "" };
        let part = format!(" {name} {count}{comma}");
        if !line.is_empty() && line.len() + part.len() > WIDTH {
            let _ = writeln!(out, "               {line}");
            line.clear();
        }
        line.push_str(&part);
    }
    if !line.is_empty() {
        let _ = writeln!(out, "               {line}");
    }
}

fn count(report: &Report, fate: Fate) -> usize {
    report.settings().filter(|setting| setting.judged.fate == fate).count()
}

#[derive(Serialize)]
struct Json<'a> {
    objects: Vec<JsonObject<'a>>,
    unread: Vec<JsonUnread<'a>>,
    assumed: &'a [String],
    foreign: Vec<JsonForeign<'a>>,
    remarks: &'a [String],
    refused: usize,
    differs: usize,
    ignored: usize,
    honoured: usize,
}

#[derive(Serialize)]
struct JsonObject<'a> {
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    field: &'a str,
    settings: Vec<JsonSetting<'a>>,
}

#[derive(Serialize)]
struct JsonSetting<'a> {
    name: &'a str,
    value: &'a str,
    fate: Fate,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    hint: &'a str,
}

impl<'a> JsonSetting<'a> {
    fn of(setting: &'a Setting) -> JsonSetting<'a> {
        let Setting { name, value, judged } = setting;
        JsonSetting { name, value, fate: judged.fate, note: &judged.note, hint: &judged.hint }
    }
}

#[derive(Serialize)]
struct JsonUnread<'a> {
    file: &'a str,
    line: Option<u32>,
    why: &'a str,
    hint: &'a str,
}

#[derive(Serialize)]
struct JsonForeign<'a> {
    class: &'a str,
    ingresses: usize,
}

/// The JSON form.
pub(super) fn json(report: &Report) -> Result<String, Stop> {
    let objects = report.subjects.iter().map(|subject| {
        let Subject { kind, namespace, name, place, field, settings } = subject;
        JsonObject {
            kind,
            namespace,
            name,
            file: place.as_ref().map(|place| &*place.file),
            line: place.as_ref().map(|place| place.line),
            field,
            settings: settings.iter().map(JsonSetting::of).collect(),
        }
    });
    let unread = report.unread.iter().map(|unread| {
        let Unread { file, line, why, hint } = unread;
        JsonUnread { file, line: *line, why, hint }
    });
    let foreign = report.foreign.iter().map(|(class, ingresses)| JsonForeign { class, ingresses: *ingresses });
    let json = Json {
        objects: objects.collect(),
        unread: unread.collect(),
        assumed: &report.assumed,
        foreign: foreign.collect(),
        remarks: &report.remarks,
        refused: count(report, Fate::Refused),
        differs: count(report, Fate::Differs),
        ignored: count(report, Fate::Ignored),
        honoured: count(report, Fate::Honoured),
    };
    let text = serde_json::to_string_pretty(&json).map_err(|error| Stop::failed(error.to_string()))?;
    Ok(format!("{text}\n"))
}
