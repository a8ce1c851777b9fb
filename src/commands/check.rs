//! `fairlead check PATH…` or `--cluster`: what objects mean and what is wrong with them, without serving anything.

mod fate;
mod migration;

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use self::fate::{Fate, Judged};
use super::offline::{self, Loaded};
use super::{Call, FAILED, OK, Stop, cluster, print_text};
use crate::admin::shape;
use crate::compile;
use crate::ir::{Object, Severity, Target, text};
use crate::settings::CompileOptions;
use crate::snapshot::Ingress;

/// The JSON form; routes and problems are those of the admin API.
#[derive(Serialize)]
struct Report {
    routes: Vec<shape::Route>,
    problems: Vec<shape::Problem>,
    annotations: Vec<Annotation>,
    errors: usize,
    warnings: usize,
}

/// What became of one annotation.
#[derive(Serialize)]
struct Annotation {
    object: shape::Object,
    name: String,
    fate: Fate,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(skip)]
    shown: String,
}

/// Checks the paths that were named, or a cluster. The exit code says whether there is an error.
pub(super) fn run(call: &Call<'_>) -> Result<u8, Stop> {
    let given = &call.given;
    if given.is_on("from-ingress-nginx")? {
        return migration::run(call);
    }
    let options = CompileOptions::read(given)?;
    let (options, loaded) = if call.words.is_empty() && cluster::is_meant(call)? {
        let options = CompileOptions { folder: false, ..options };
        let loaded = offline::load_cluster(given, &options)?;
        (options, loaded)
    } else {
        let loaded = folder(call, &options)?;
        (options, loaded)
    };
    let count = |severity| loaded.problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let annotations = annotations(&loaded, &options);
    let output = if given.text("output") == Some("json") {
        let report = Report {
            routes: routes(&loaded, &options),
            problems: loaded.problems.iter().map(|problem| shape::Problem::new(problem, None)).collect(),
            annotations,
            errors,
            warnings,
        };
        serde_json::to_string_pretty(&report).map_err(|error| Stop::failed(error.to_string()))?
    } else {
        let (filters, policy) = compile::plain(&options);
        let form = text::Form {
            http_port: options.http_port,
            https_port: options.https_port,
            filters: &filters,
            policy: &policy,
        };
        let mut output = form.config(&loaded.config);
        if !annotations.is_empty() {
            output.push_str("annotations\n");
        }
        for Annotation { object: _, name, fate, note, shown } in &annotations {
            let note = if note.is_empty() { String::new() } else { format!(": {note}") };
            let _ = writeln!(output, "  {shown}  {name}  {}{note}", fate.as_str());
        }
        output.push_str(&text::problems(&loaded.problems));
        let _ = write!(output, "{}, {}", counted(errors, "error"), counted(warnings, "warning"));
        output
    };
    print_text(&format!("{output}\n"));
    Ok(if errors > 0 { FAILED } else { OK })
}

fn folder(call: &Call<'_>, options: &CompileOptions) -> Result<Loaded, Stop> {
    let needless = ["cluster", "namespace"].iter().find(|name| call.given.is_set(name));
    match (call.words.is_empty(), needless) {
        (true, _) => Err(Stop::unusable(format!(
            "PATH is missing; name a file or folder, or give --cluster (see {} check --help)",
            call.program
        ))),
        (false, Some(flag)) => {
            Err(Stop::unusable(format!("--{flag} is about a cluster and PATH about a folder; give one of them")))
        }
        (false, None) => offline::load(&call.words, options),
    }
}

/// `1 error`, `2 errors`.
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn routes(loaded: &Loaded, options: &CompileOptions) -> Vec<shape::Route> {
    let listeners = loaded.listeners(options);
    let mut routes = Vec::new();
    for listener in &listeners {
        for host in loaded.config.hosts.values() {
            if let Some(route) = host.passthrough.as_ref().filter(|_| listener.is_tls()) {
                routes.push(shape::Route::passed_on(listener, &host.host, route));
                continue;
            }
            let written = host.routes.iter().filter(|route| route.target != Target::NotFound);
            routes.extend(written.map(|route| shape::Route::new(listener, &host.host, route)));
        }
    }
    routes
}

/// Every annotation that somebody here reads, by object and name.
fn annotations(loaded: &Loaded, options: &CompileOptions) -> Vec<Annotation> {
    let served: BTreeSet<&Object> = {
        let routes = loaded.config.hosts.values().flat_map(|host| &host.routes);
        routes.map(|route| &*route.origin.object).collect()
    };
    let ingresses = loaded.snapshot.ingresses.values().flat_map(|ingress| {
        let rejected = rejection(loaded, ingress, &served);
        let all = &ingress.annotations;
        all.iter().map(move |(name, value)| (&ingress.meta.object, all, name, value, rejected.clone()))
    });
    let services = loaded.snapshot.services.values().flat_map(|service| {
        let all = &service.annotations;
        all.iter().map(move |(name, value)| (&service.meta.object, all, name, value, None))
    });
    ingresses
        .chain(services)
        .filter_map(|(object, all, name, value, rejected)| {
            let (prefix, _) = name.split_once('/')?;
            if prefix != OURS && *prefix != *options.annotations_prefix {
                return None;
            }
            let value = value.trim();
            let Judged { fate, note, .. } =
                match (rejected, fate::of_annotation(name, value, all, object, &loaded.problems)) {
                    (Some(why), Judged { fate: Fate::Honoured | Fate::Differs, .. }) => {
                        Judged::new(Fate::Ignored, why, "")
                    }
                    (_, judged) => judged,
                };
            let shape = shape::Object::new(object);
            Some(Annotation { object: shape, name: name.to_string(), fate, note, shown: object.to_string() })
        })
        .collect()
}

/// Why nothing of an Ingress is served, if that is so.
fn rejection(loaded: &Loaded, ingress: &Ingress, served: &BTreeSet<&Object>) -> Option<String> {
    if served.contains(&*ingress.meta.object) {
        return None;
    }
    let rejected = loaded.config.rejected.iter().find(|one| *one.origin.object == *ingress.meta.object)?;
    Some(rejected.why.clone())
}

/// The prefix that is always ours.
const OURS: &str = "fairlead.dev";
