//! `fairlead check --from-ingress-nginx`: what becomes of everything that somebody has said to ingress-nginx, and to whom.
//!
//! There is no list of annotations here: everything is compiled as it would be served, and the rows of the tables and the
//! problems say the rest.

mod assumed;
mod flags;
mod helm;
mod hosts;
mod input;
mod placeholder;
mod print;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

use self::input::{Controller, Input, Place, Scattered, Unread};
use super::OURS;
use super::fate::{Fate, Judged, of_annotation, of_key};
use crate::commands::{Call, FAILED, OK, Stop, cluster, offline, print_text};
use crate::compile::{Compiled, compile, config_keys, flag_references, ours};
use crate::ir::{Config, Name, Object, Problem, Reason, Severity};
use crate::settings::flags::SERVE;
use crate::settings::{CompileOptions, Given, flag};
use crate::snapshot::{ConfigMap, Ingress, Snapshot};

/// What ingress-nginx is started with where nobody says otherwise.
const DEFAULTS: [(&str, &str); 2] = [("controller-class", "k8s.io/ingress-nginx"), ("ingress-class", "nginx")];

/// One thing that was said.
#[derive(PartialEq, Eq)]
struct Setting {
    /// Annotation without the prefix of ingress-nginx, key, flag, or the field of a route.
    name: String,
    /// What it was set to; empty for the field of a route.
    value: String,
    judged: Judged,
}

/// Who said it.
#[derive(PartialEq, Eq)]
struct Subject {
    /// `Ingress`, `ConfigMap`, `Deployment`, `Helm values`, `annotations`.
    kind: String,
    namespace: String,
    name: String,
    place: Option<Place>,
    /// Where in the document it stands.
    field: String,
    settings: Vec<Setting>,
}

/// All of it.
#[derive(Default)]
struct Report {
    subjects: Vec<Subject>,
    unread: Vec<Unread>,
    /// Secrets and ConfigMaps that are taken to be right, as they are not among the files.
    assumed: Vec<String>,
    /// Classes of Ingresses that are not ingress-nginx's, with their number.
    foreign: BTreeMap<String, usize>,
    /// What the reader should know besides.
    remarks: Vec<String>,
}

/// Judges files, or a cluster. The exit code says whether something is refused or could not be read.
pub(super) fn run(call: &Call<'_>) -> Result<u8, Stop> {
    let is_of_cluster = call.words.is_empty() && cluster::is_meant(call)?;
    if call.words.is_empty() && !is_of_cluster {
        let line = "PATH is missing; name a file or folder with manifests or Helm values, or give --cluster";
        return Err(Stop::unusable(line));
    }
    let report = if is_of_cluster { of_cluster(call)? } else { of_files(call)? };
    let number = |fate| report.settings().filter(|setting| setting.judged.fate == fate).count();
    if report.subjects.is_empty() && report.unread.is_empty() {
        let line =
            "there is nothing of ingress-nginx here: no Ingress, no ConfigMap or Deployment of it, no Helm values";
        return Err(Stop::unusable(line));
    }
    let output = match call.given.text("output") {
        Some("json") => print::json(&report)?,
        _ => print::text(&report),
    };
    print_text(&output);
    Ok(if number(Fate::Refused) > 0 || !report.unread.is_empty() { FAILED } else { OK })
}

impl Setting {
    /// Whether something else makes a part of the value, so that nothing can be said of it; `unread` is told.
    fn is_filled_in(&self, place: &Place, unread: &mut Vec<Unread>) -> bool {
        let Setting { name, value, judged } = self;
        // A variable that nginx does not have may be one of another tool, but for what has variables of its own.
        let has_own = name.ends_with("-snippet") || name.ends_with("log-format-upstream");
        let possible = || placeholder::possible(value).filter(|_| judged.fate != Fate::Honoured && !has_own);
        let found = placeholder::certain(value).or_else(possible).filter(|_| !judged.by_name);
        unread.extend(found.map(|found| Unread::filled_in(place, name, found)));
        found.is_some()
    }
}

impl Subject {
    fn of_object(object: &Object, settings: Vec<Setting>) -> Subject {
        let Object { kind, name, file, line } = object;
        let place = file.as_ref().map(|file| Place { file: file.to_string(), line: line.unwrap_or(1) });
        let (namespace, name) = (name.namespace.to_string(), name.name.to_string());
        Subject { kind: kind.as_str().to_owned(), namespace, name, place, field: String::new(), settings }
    }

    /// `Ingress shop/web`, or the kind alone.
    fn full_name(&self) -> String {
        let Subject { kind, namespace, name, .. } = self;
        match (name.is_empty(), namespace.is_empty()) {
            (true, _) => kind.clone(),
            (false, true) => format!("{kind} {name}"),
            (false, false) => format!("{kind} {namespace}/{name}"),
        }
    }

    /// Where it stands; of what is in no file the name.
    fn place_or_name(&self) -> String {
        self.place.as_ref().map_or_else(|| self.full_name(), |Place { file, line }| format!("{file}:{line}"))
    }

    /// Takes out the settings whose values something fills in.
    fn leave_out_filled(&mut self, unread: &mut Vec<Unread>) {
        let Some(place) = &self.place else { return };
        self.settings.retain(|setting| !setting.is_filled_in(place, unread));
    }

    fn of_file(kind: &str, place: Place, field: String, settings: Vec<Setting>) -> Subject {
        let (kind, namespace, name) = (kind.to_owned(), String::new(), String::new());
        Subject { kind, namespace, name, place: Some(place), field, settings }
    }
}

impl Report {
    /// Puts the worst first in each subject, and subjects where they are looked for.
    fn tidy(&mut self) {
        for subject in &mut self.subjects {
            subject.settings.sort_by(|a, b| (a.judged.fate, &a.name).cmp(&(b.judged.fate, &b.name)));
        }
        let rank = |kind: &str| match kind {
            "ConfigMap" | "Helm values" => 0,
            "Ingress" => 2,
            "annotations" => 3,
            "host" => 4,
            _ => 1,
        };
        self.subjects.sort_by(|a, b| {
            let key = |one: &Subject| (rank(&one.kind), one.place.clone(), one.field.clone());
            key(a).cmp(&key(b)).then_with(|| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)))
        });
        // The same host in two overlays.
        self.subjects.dedup_by(|a, b| a.kind == "host" && a == b);
        self.unread.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        self.assumed.sort();
        self.assumed.dedup();
    }

    fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.subjects.iter().flat_map(|subject| &subject.settings)
    }
}

fn of_files(call: &Call<'_>) -> Result<Report, Stop> {
    if let Some(name) = ["cluster", "namespace"].iter().find(|name| call.given.is_set(name)) {
        let line = format!("--{name} is about a cluster and PATH about a folder; give one of them");
        return Err(Stop::unusable(line));
    }
    for path in &call.words {
        flag::existing(Path::new(path)).map_err(Stop::unusable)?;
    }
    let paths: Vec<PathBuf> = call.words.iter().map(PathBuf::from).collect();
    let prefix = call.given.text("annotations-prefix").unwrap_or_default().trim_end_matches('/');
    let Input {
        layers,
        labelled,
        controllers,
        values,
        scattered,
        unread,
        filled,
        kustomizations,
        foreign,
        charts: own_charts,
    } = Input::read(&paths, prefix);
    let mut report = Report { unread, ..Report::default() };
    for class in foreign {
        *report.foreign.entry(class).or_default() += 1;
    }

    let mut said = Vec::new();
    let mut classes = BTreeSet::new();
    let mut charts = Vec::new();
    for values in values {
        let own = helm::read(&values.tree);
        said.extend(own.flags.iter().cloned());
        classes.extend(own.class.clone());
        charts.push((values.place, values.field, own));
    }
    for controller in &controllers {
        said.extend(flags::pairs(&controller.arguments));
        report.subjects.push(workload(controller));
    }
    classes.extend(said.iter().filter(|(name, _)| name == "ingress-class").map(|(_, class)| class.clone()));
    // Files or not, it is a cluster that is going to be served.
    let options = CompileOptions { folder: false, ..options(call, &said)? };

    let mut sets: Vec<(Arc<ConfigMap>, String)> = Vec::new();
    for layer in &layers {
        for name in maps(layer, &labelled, &options) {
            let Some(subject) = map(layer, &name, &options, &mut report.unread) else { continue };
            sets.extend(layer.config_maps.get(&name).map(|map| (Arc::clone(map), subject.place_or_name())));
            report.subjects.push(subject);
        }
    }
    let mut made = Snapshot::default();
    for (at, (place, field, own)) in charts.into_iter().enumerate() {
        let (settings, map) = chart(&mut made, at, own, &options);
        let mut subject = Subject::of_file("Helm values", place, field, settings);
        subject.leave_out_filled(&mut report.unread);
        let map = map.and_then(|name| made.config_maps.get(&name));
        sets.extend(map.map(|map| (Arc::clone(map), subject.place_or_name())));
        report.subjects.push(subject);
    }
    let mut base = layers.first().cloned().unwrap_or_default();
    base.config_maps.extend(made.config_maps);
    // Ingresses are compiled on one ConfigMap: the one that is named, else the one that says most.
    let count = sets.len();
    if sets.iter().any(|(map, _)| Some(&map.meta.object.name) == options.config_map.as_ref()) {
        sets.retain(|(map, _)| Some(&map.meta.object.name) == options.config_map.as_ref());
    }
    let largest = sets.into_iter().rev().max_by_key(|(map, _)| map.data.keys().count());
    if let Some((_, shown)) = largest.as_ref().filter(|_| count > 1) {
        report
            .remarks
            .push(format!("{count} sets of global settings: Ingresses are judged by {shown}; see --configmap"));
    }
    let config_map = largest.map(|(map, _)| {
        let name = map.meta.object.name.clone();
        base.config_maps.insert(name.clone(), map);
        name
    });
    let options = CompileOptions { config_map: config_map.or(options.config_map.clone()), ..options };

    let (mut unnamed, mut again) = (0, 0);
    for (at, layer) in layers.into_iter().enumerate() {
        if at > 0 && layer.ingresses.is_empty() {
            continue;
        }
        again += if at > 0 { layer.ingresses.len() } else { 0 };
        let snapshot = Snapshot { ingresses: layer.ingresses, ..base.clone() };
        let scattered = if at == 0 { &*scattered } else { &[] };
        unnamed += files_layer(snapshot, scattered, &classes, &options, &mut report)?;
    }
    let class = &options.ingress_class;
    for (count, one, several, what) in [
        (unnamed, "Ingress names", "Ingresses name", format!("no class, judged as of class {class}")),
        (
            again,
            "Ingress has",
            "Ingresses have",
            "the name of another, as in overlays; each is judged by itself".to_owned(),
        ),
        (
            filled,
            "Ingress has",
            "Ingresses have",
            "a host, path or class with a part that something fills in".to_owned(),
        ),
        (
            kustomizations,
            "Kustomization changes",
            "Kustomizations change",
            "what is here; kustomize build shows how".to_owned(),
        ),
    ] {
        if count > 0 {
            report.remarks.push(format!("{count} {} {what}", if count == 1 { one } else { several }));
        }
    }
    report.remarks.extend(
        own_charts
            .iter()
            .map(|chart| format!("{chart} is ingress-nginx's own chart; its values.yaml is not looked at")),
    );
    report.tidy();
    Ok(report)
}

/// Judges Ingresses that can stand in one cluster, and annotations of others. Returns how many of them name no class.
fn files_layer(
    mut snapshot: Snapshot,
    scattered: &[Scattered],
    classes: &BTreeSet<String>,
    options: &CompileOptions,
    report: &mut Report,
) -> Result<usize, Stop> {
    let assumed::Classes { foreign, unnamed } = assumed::classes(&mut snapshot, classes, options);
    for class in foreign {
        *report.foreign.entry(class).or_default() += 1;
    }
    let places = scattered.iter().enumerate();
    let names: Vec<Name> = places.map(|(at, one)| assumed::ingress(&mut snapshot, at, one, options)).collect();
    report.assumed.extend(assumed::objects(&mut snapshot, options)?);
    let Compiled { config, problems } = compile(&snapshot, options);
    for (one, name) in scattered.iter().zip(&names) {
        let Some(ingress) = snapshot.ingresses.remove(name) else { continue };
        let mut settings = annotations(&ingress, &problems, options, &one.place, &mut report.unread);
        settings.retain(|setting| !one.beneath.iter().any(|(name, _)| named(name, options) == Some(&setting.name)));
        report.subjects.push(Subject::of_file("annotations", one.place.clone(), one.field.clone(), settings));
    }
    let is_of_age = |problem: &Problem| {
        let ingress = snapshot.ingresses.get(&problem.object.name);
        problem.message.contains("older") && ingress.is_some_and(|ingress| ingress.meta.created.is_none())
    };
    let is_of_age = problems.iter().any(is_of_age);
    let before = report.subjects.len();
    ingresses(&snapshot, options, &config, &problems, report);
    let is_root = |setting: &Setting| setting.name == "/" && setting.judged.fate == Fate::Honoured;
    let mut hosts = report.subjects.iter().skip(before).filter(|subject| subject.kind == "host");
    let remark = "files do not say which of two Ingresses is older, and so which one counts; --cluster knows";
    if (is_of_age || hosts.any(|host| host.settings.iter().any(is_root)))
        && !report.remarks.iter().any(|known| known == remark)
    {
        report.remarks.push(remark.to_owned());
    }
    Ok(unnamed)
}

fn of_cluster(call: &Call<'_>) -> Result<Report, Stop> {
    let given = &call.given;
    let (runtime, client) = cluster::client(&cluster::settings(given, None))?;
    let mut report = Report::default();
    let controllers = match runtime.block_on(controllers(&client)) {
        Ok(controllers) => controllers,
        Err(refusal) if refusal.code == 403 => {
            report.remarks.push(format!("{}; its flags are not known", refusal.line));
            Vec::new()
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let mut said = Vec::new();
    for controller in &controllers {
        report.subjects.push(workload(controller));
        // Of several the first is asked for.
        if said.is_empty() {
            said = flags::pairs(&controller.arguments);
        }
    }
    if controllers.is_empty() {
        let remark = "no Deployment or DaemonSet of ingress-nginx is there; name its ConfigMap with --configmap";
        report.remarks.push(remark.to_owned());
    } else if controllers.len() > 1 {
        let count = controllers.len();
        report
            .remarks
            .push(format!("{count} controllers: Ingresses are judged by the flags and ConfigMap of the first"));
    }
    let options = CompileOptions { folder: false, ..options(call, &said)? };
    let loaded = offline::load_cluster(given, &options)?;
    if let Some(name) = &options.config_map {
        report.subjects.extend(map(&loaded.snapshot, name, &options, &mut report.unread));
    }
    let mut snapshot = loaded.snapshot;
    let ours: BTreeSet<Name> = ours(&snapshot, &options).map(|ingress| ingress.meta.object.name.clone()).collect();
    for ingress in snapshot.ingresses.values().filter(|ingress| !ours.contains(&ingress.meta.object.name)) {
        *report.foreign.entry(ingress.class.as_deref().unwrap_or("none").to_owned()).or_default() += 1;
    }
    snapshot.ingresses.retain(|name, _| ours.contains(name));
    ingresses(&snapshot, &options, &loaded.config, &loaded.problems, &mut report);
    report.tidy();
    Ok(report)
}

/// The workloads of a cluster that run ingress-nginx.
async fn controllers(client: &kube::Client) -> Result<Vec<Controller>, cluster::Refusal> {
    let parameters = ListParams::default().labels("app.kubernetes.io/name=ingress-nginx");
    let deployments = Api::<Deployment>::all(client.clone());
    let deployments = cluster::answer("list Deployments", deployments.list(&parameters)).await?;
    let sets = Api::<DaemonSet>::all(client.clone());
    let sets = cluster::answer("list DaemonSets", sets.list(&parameters)).await?;
    let nowhere = Place { file: String::new(), line: 0 };
    let read = |kind: &str, object: serde_json::Result<Value>| {
        let mut object = object.ok()?;
        object.as_object_mut()?.insert("kind".to_owned(), kind.into());
        Some(Controller { place: None, ..Controller::of(&object, &nowhere)? })
    };
    let deployments = deployments.items.iter().map(|one| read("Deployment", serde_json::to_value(one)));
    let sets = sets.items.iter().map(|one| read("DaemonSet", serde_json::to_value(one)));
    Ok(deployments.chain(sets).flatten().collect())
}

/// The settings that everything is compiled with: what this call says, else the controller's flags, else the defaults of
/// ingress-nginx.
fn options(call: &Call<'_>, said: &[(String, String)]) -> Result<CompileOptions, Stop> {
    let mut flags: Vec<(&str, String)> = DEFAULTS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let is_fit = |name: &str, value: &str| {
        !value.is_empty() && flags::find(name).is_some_and(|flag| flag.value.check(value).is_ok())
    };
    let fit = said.iter().filter(|(name, value)| is_fit(name, value));
    flags.extend(fit.map(|(name, value)| (&**name, value.clone())));
    for flag in SERVE.iter().filter(|flag| call.given.is_set(flag.name)) {
        flags.extend(call.given.all(flag.name).iter().map(|value| (flag.name, value.clone())));
    }
    Ok(CompileOptions::read(&Given::of(SERVE, &flags)?)?)
}

fn workload(controller: &Controller) -> Subject {
    let settings = flags::pairs(&controller.arguments).iter().map(|(name, value)| flags::judge(name, value)).collect();
    let Controller { kind, name, place, .. } = controller;
    let (namespace, name) = (name.namespace.to_string(), name.name.to_string());
    Subject { kind: kind.clone(), namespace, name, place: place.clone(), field: String::new(), settings }
}

/// The ConfigMaps of an ingress-nginx: the one that is named, those with its labels, those whose keys are mostly its own.
fn maps(snapshot: &Snapshot, labelled: &BTreeSet<Name>, options: &CompileOptions) -> Vec<Name> {
    let is_key = |key: &str| config_keys().any(|row| row.name == key);
    let is_meant = |name: &Name, map: &ConfigMap| {
        let (all, own) = (map.data.keys().count(), map.data.keys().filter(|key| is_key(key)).count());
        let is_named = labelled.contains(name) || name.name.contains("nginx");
        options.config_map.as_ref() == Some(name) || (is_named && own > 0) || (own > 1 && own * 2 >= all)
    };
    let meant = snapshot.config_maps.iter().filter(|(name, map)| is_meant(name, map));
    meant.map(|(name, _)| name.clone()).collect()
}

/// What becomes of the keys of a ConfigMap.
fn map(snapshot: &Snapshot, name: &Name, options: &CompileOptions, unread: &mut Vec<Unread>) -> Option<Subject> {
    let object = &snapshot.config_maps.get(name)?.meta.object;
    let mut subject = Subject::of_object(object, keys(snapshot, name, options));
    subject.leave_out_filled(unread);
    Some(subject)
}

/// What becomes of the keys of a ConfigMap, and of what stands in those that it names, as `KEY.FIELD`.
fn keys(snapshot: &Snapshot, name: &Name, options: &CompileOptions) -> Vec<Setting> {
    let mut own = Snapshot { config_maps: snapshot.config_maps.clone(), ..Snapshot::default() };
    let options = CompileOptions { config_map: Some(name.clone()), default_ssl_certificate: None, ..options.clone() };
    for (_, missing) in flag_references(&own, &options) {
        if !own.config_maps.contains_key(&missing) {
            assumed::add(&mut own, &assumed::config_map(&missing, &[]));
        }
    }
    let problems = compile(&own, &options).problems;
    let Some(map) = own.config_maps.get(name) else { return Vec::new() };
    let mut settings = Vec::new();
    for (key, value) in map.data.iter() {
        let judged = of_key(key, value.trim(), &map.meta.object, &problems);
        settings.push(Setting { name: key.to_string(), value: value.to_string(), judged });
        let named =
            value.split_once('/').and_then(|(namespace, name)| own.config_maps.get(&Name::new(namespace, name)));
        let Some(named) = named else { continue };
        for (field, text) in named.data.iter() {
            let judged = of_key(field, text.trim(), &named.meta.object, &problems);
            settings.push(Setting { name: format!("{key}.{field}"), value: text.to_string(), judged });
        }
    }
    settings
}

/// What becomes of a chart's values, and the ConfigMap that it would make, which is put into `snapshot`.
fn chart(
    snapshot: &mut Snapshot,
    at: usize,
    own: helm::Said,
    options: &CompileOptions,
) -> (Vec<Setting>, Option<Name>) {
    let helm::Said { mut settings, mut config, to_backends, to_clients, .. } = own;
    if config.is_empty() && to_backends.is_empty() && to_clients.is_empty() {
        return (settings, None);
    }
    let name = |what: &str| Name::new("helm-values", &format!("{what}-{at}"));
    let headers = [
        ("proxy-set-headers", "controller.proxySetHeaders", to_backends),
        ("add-headers", "controller.addHeaders", to_clients),
    ];
    for (key, _, fields) in headers.iter().filter(|(_, _, fields)| !fields.is_empty()) {
        assumed::add(snapshot, &assumed::config_map(&name(key), fields));
        config.push(((*key).to_owned(), name(key).to_string()));
    }
    let map = name("config");
    assumed::add(snapshot, &assumed::config_map(&map, &config));
    for setting in keys(snapshot, &map, options) {
        let Setting { name, value, judged } = setting;
        let header = headers.iter().find(|(key, _, fields)| !fields.is_empty() && name.starts_with(key));
        match header {
            Some((key, value_key, _)) => {
                if let Some(field) = name.strip_prefix(&format!("{key}.")) {
                    settings.push(Setting { name: format!("{value_key}.{field}"), value, judged });
                }
            }
            None if name == "allow-snippet-annotations" => {
                settings.push(Setting { name: "controller.allowSnippetAnnotations".to_owned(), value, judged });
            }
            None => settings.push(Setting { name: format!("controller.config.{name}"), value, judged }),
        }
    }
    (settings, Some(map))
}

/// Adds the Ingresses.
fn ingresses(
    snapshot: &Snapshot,
    options: &CompileOptions,
    config: &Config,
    problems: &[Problem],
    report: &mut Report,
) {
    let mut canaries = hosts::canaries(snapshot, config);
    for ingress in snapshot.ingresses.values() {
        let object = &ingress.meta.object;
        let place =
            Place { file: object.file.as_deref().unwrap_or_default().to_owned(), line: object.line.unwrap_or(0) };
        let mut settings = annotations(ingress, problems, options, &place, &mut report.unread);
        settings.extend(problems.iter().filter(|problem| *problem.object == **object).filter_map(route));
        settings.extend(canaries.remove(&object.name).into_iter().flatten());
        report.subjects.push(Subject::of_object(object, settings));
    }
    report.subjects.extend(hosts::subjects(snapshot, config, problems, options));
}

/// What becomes of the annotations of an Ingress. Those that a template is to fill in are not judged.
fn annotations(
    ingress: &Ingress,
    problems: &[Problem],
    options: &CompileOptions,
    place: &Place,
    unread: &mut Vec<Unread>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (full, value) in ingress.annotations.iter() {
        let Some(name) = named(full, options) else { continue };
        let judged = of_annotation(full, value.trim(), &ingress.annotations, &ingress.meta.object, problems);
        settings.push(Setting { name: name.to_owned(), value: value.to_string(), judged });
    }
    settings.retain(|setting| !setting.is_filled_in(place, unread));
    settings
}

/// The name under which an annotation is reported, if it is one that somebody here reads.
fn named<'a>(full: &'a str, options: &CompileOptions) -> Option<&'a str> {
    match full.split_once('/')? {
        (OURS, _) => Some(full),
        (prefix, short) if *prefix == *options.annotations_prefix => Some(short),
        _ => None,
    }
}

/// What is wrong with a path or a host, as a setting; nothing where it is about an object that the Ingress names.
fn route(problem: &Problem) -> Option<Setting> {
    let Problem { severity, reason, field, message, hint, .. } = problem;
    let is_meant = matches!(
        reason,
        Reason::CanaryWithoutMain
            | Reason::HostConflict
            | Reason::HostInvalid
            | Reason::PathConflict
            | Reason::PathInvalid
            | Reason::RegexInvalid
            | Reason::ResourceBackend
    );
    if !is_meant || field.starts_with("metadata.") {
        return None;
    }
    let fate = match severity {
        // So it is with ingress-nginx.
        _ if matches!(reason, Reason::CanaryWithoutMain | Reason::HostConflict | Reason::PathConflict) => Fate::Ignored,
        Severity::Error => Fate::Refused,
        Severity::Warning => Fate::Differs,
        Severity::Info => Fate::Ignored,
    };
    let mut note = message.clone();
    for (short, long) in [("path ^ ", "path "), ("path = ", "Exact path ")] {
        if let Some(rest) = message.strip_prefix(short) {
            note = format!("{long}{rest}");
        }
    }
    if fate == Fate::Ignored {
        note += ", with ingress-nginx too";
    }
    Some(Setting { name: field.clone(), value: String::new(), judged: Judged::new(fate, note, hint.clone()) })
}
