//! What files say about an ingress-nginx and its users: objects, Helm values, the controller's own flags, and annotations
//! that wait in the values of other charts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::compile::config_keys;
use crate::ir::{Name, Object, Severity};
use crate::snapshot::{Snapshot, yaml};
use crate::source::folder;

/// All that was found.
#[derive(Default)]
pub(super) struct Input {
    /// Objects of the kinds that are compiled.
    pub(super) snapshot: Snapshot,
    /// ConfigMaps with the labels of ingress-nginx.
    pub(super) labelled: BTreeSet<Name>,
    /// Workloads that run ingress-nginx.
    pub(super) controllers: Vec<Controller>,
    /// Values of its chart.
    pub(super) values: Vec<Values>,
    /// Annotations of Ingresses that somebody else is going to write.
    pub(super) scattered: Vec<Scattered>,
    /// What could not be read.
    pub(super) unread: Vec<Unread>,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: String,
    /// From 1.
    pub(super) line: u32,
}

/// A workload that runs ingress-nginx.
pub(super) struct Controller {
    pub(super) kind: String,
    pub(super) name: Name,
    pub(super) place: Option<Place>,
    /// Its arguments, with `$(POD_NAMESPACE)` filled in.
    pub(super) arguments: Vec<String>,
}

/// Values of ingress-nginx's chart.
pub(super) struct Values {
    pub(super) place: Place,
    /// Where in the document they stand; empty = they are all of it.
    pub(super) field: String,
    pub(super) tree: Map<String, Value>,
}

/// Annotations of ingress-nginx that are not on an Ingress.
pub(super) struct Scattered {
    pub(super) place: Place,
    /// Where in the document they stand.
    pub(super) field: String,
    pub(super) annotations: Vec<(String, String)>,
}

/// What could not be read.
pub(super) struct Unread {
    pub(super) file: String,
    pub(super) line: Option<u32>,
    pub(super) why: String,
    pub(super) hint: String,
}

/// How other tools name ingress-nginx's chart.
const CHART: &str = "chart: ingress-nginx";
/// What a template needs before it can be read.
pub(super) const RENDER: &str = "render it first (helm template, kustomize build) and check what comes out";

impl Input {
    /// Reads files and folders. `prefix` is `--annotations-prefix`, without the slash.
    pub(super) fn read(paths: &[PathBuf], prefix: &str) -> Input {
        let reader = yaml::Reader::new(prefix);
        let mut reading = Reading { input: Input::default(), prefix, is_of_chart: false, reader };
        let (files, closed) = folder::files(paths);
        for (path, error) in closed {
            reading.unread(&path.display().to_string(), None, format!("cannot be read: {error}"), "see to its rights");
        }
        let mut templates: Vec<(PathBuf, usize)> = Vec::new();
        for path in files {
            let shown = path.display().to_string();
            match (chart_of(&path), fs::read_to_string(&path)) {
                (_, Ok(text)) if !is_about(&text) => {}
                (Some(chart), _) if templates.last().is_some_and(|(last, _)| *last == chart) => {
                    templates.last_mut().into_iter().for_each(|(_, count)| *count += 1);
                }
                (Some(chart), _) => templates.push((chart, 1)),
                (None, Ok(text)) => reading.file(&shown, &text, paths.contains(&path)),
                (None, Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {}
                (None, Err(error)) => {
                    reading.unread(&shown, None, format!("cannot be read: {error}"), "see to its rights")
                }
            }
        }
        for (chart, count) in templates {
            let why = format!("{count} templates of a Helm chart");
            reading.unread(&chart.display().to_string(), None, why, RENDER);
        }
        reading.input
    }
}

/// Whether a text can be about ingress-nginx or what it serves: repositories hold much else, also what is no YAML.
fn is_about(text: &str) -> bool {
    ["nginx", "Ingress", "controller:"].iter().any(|word| text.contains(word))
}

/// The `templates` folder of a chart that a file is in.
fn chart_of(path: &Path) -> Option<PathBuf> {
    let is_of_chart = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name == "templates")
            && folder.parent().is_some_and(|chart| chart.join("Chart.yaml").is_file())
    };
    path.ancestors().skip(1).find(is_of_chart).map(Path::to_owned)
}

struct Reading<'a> {
    input: Input,
    prefix: &'a str,
    /// The document is about ingress-nginx's chart, so what has a `controller` in it is its values.
    is_of_chart: bool,
    reader: yaml::Reader,
}

impl Reading<'_> {
    fn unread(&mut self, file: &str, line: Option<u32>, why: impl Into<String>, hint: &str) {
        let (why, hint) = (why.into(), hint.to_owned());
        self.input.unread.push(Unread { file: file.to_owned(), line, why, hint });
    }

    /// `is_named`: the file itself was asked for, so whatever has a `controller` in it counts as values.
    fn file(&mut self, file: &str, text: &str, is_named: bool) {
        for document in yaml::plain(text) {
            let place = Place { file: file.to_owned(), line: document.line };
            let value = match document.content {
                Ok(value) => value,
                Err(_) if !document.text.contains("nginx") && !document.text.contains("Ingress") => continue,
                Err(_) if document.text.contains("{{") => {
                    self.unread(file, Some(document.line), "a template", RENDER);
                    continue;
                }
                Err((line, what)) => {
                    self.unread(file, Some(line), what, "correct the document");
                    continue;
                }
            };
            let text_of = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
            let kind = text_of("kind");
            if kind.ends_with("List") || kind == "Ingress" || yaml::is_read(kind, text_of("apiVersion")) {
                self.objects(&place, document.first, document.text, &value);
            } else {
                let names_chart = || document.text.lines().any(|line| line.trim().trim_start_matches("- ") == CHART);
                self.is_of_chart = if kind.is_empty() { is_named } else { names_chart() };
                self.scan(&value, &place, "");
                self.is_of_chart = false;
            }
        }
    }

    /// Objects that are compiled, and others in the same list.
    fn objects(&mut self, place: &Place, first: u32, text: &str, value: &Value) {
        // Lines are counted as in the file.
        let padded = format!("{}{text}", "\n".repeat(first.saturating_sub(1) as usize));
        let parsed = self.reader.read(&padded, &place.file);
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
        // Of others nothing has to be known.
        let matters = ["ConfigMap", "Ingress", "IngressClass"].contains(&kind) || kind.ends_with("List");
        let is_nothing = parsed.objects.is_empty();
        let is_told = |severity| matters && (severity == Severity::Error || is_nothing);
        for problem in parsed.problems.into_iter().filter(|problem| is_told(problem.severity)) {
            let Object { line, .. } = &*problem.object;
            let line = line.unwrap_or(place.line);
            let why = problem.message.strip_prefix(&format!("{}:{line}: ", place.file)).unwrap_or(&problem.message);
            self.unread(&place.file, Some(line), why.trim_end_matches(" (document 1)"), &problem.hint);
        }
        for object in parsed.objects {
            let (name, kind) = (object.meta().object.to_string(), object.meta().object.kind.as_str());
            if !self.input.snapshot.insert(object) && kind == "Ingress" {
                self.unread(
                    &place.file,
                    Some(place.line),
                    format!("{name} is in two files"),
                    "check one set at a time",
                );
            }
        }
        // One of a version that is gone: what its annotations come to is of use all the same.
        if is_nothing && kind == "Ingress" {
            return self.scan(value, place, "");
        }
        let items = value.get("items").and_then(Value::as_array);
        match items {
            Some(items) => items.iter().for_each(|item| self.object(item, place)),
            None => self.object(value, place),
        }
    }

    /// What the compiler does not see of an object.
    fn object(&mut self, value: &Value, place: &Place) {
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
        if kind == "ConfigMap" {
            let label = value.pointer("/metadata/labels/app.kubernetes.io~1name").and_then(Value::as_str);
            if label == Some("ingress-nginx") {
                self.input.labelled.insert(name_of(value));
            }
        } else if kind != "Ingress" && kind != "Secret" {
            self.scan(value, place, "");
        }
    }

    /// Looks for values of ingress-nginx's chart, for its workload, and for annotations.
    fn scan(&mut self, value: &Value, place: &Place, field: &str) {
        match value {
            Value::Object(map) => self.map(map, value, place, field),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.scan(item, place, &format!("{field}[{at}]"));
                }
            }
            _ => {}
        }
    }

    fn map(&mut self, map: &Map<String, Value>, value: &Value, place: &Place, field: &str) {
        if let Some(controller) = Controller::of(value, place) {
            self.input.controllers.push(controller);
            return;
        }
        let is_below =
            || field.rsplit('.').next().is_some_and(|name| matches!(name, "ingress-nginx" | "nginx-ingress"));
        let has_controller = map.get("controller").is_some_and(Value::is_object);
        if is_values(map) || (has_controller && (self.is_of_chart || is_below())) {
            let (place, field) = (place.clone(), field.to_owned());
            self.input.values.push(Values { place, field, tree: map.clone() });
        }
        let is_own = |name: &str| name.strip_prefix(self.prefix).is_some_and(|rest| rest.starts_with('/'));
        let own = map.iter().filter(|(name, _)| is_own(name));
        let annotations: Vec<_> = own.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
        if !annotations.is_empty() {
            let (place, field) = (place.clone(), field.to_owned());
            self.input.scattered.push(Scattered { place, field, annotations });
            return;
        }
        for (name, value) in map {
            let below = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
            match value {
                // Argo CD and k3s have values as text.
                Value::String(text) if matches!(&**name, "values" | "valuesContent") && text.contains('\n') => {
                    for document in yaml::plain(text) {
                        match document.content {
                            Ok(value) => self.scan(&value, place, &below),
                            Err((_, why)) => {
                                let why = format!("{below}: {why}");
                                self.unread(&place.file, Some(place.line), why, "correct the text");
                            }
                        }
                    }
                }
                _ => self.scan(value, place, &below),
            }
        }
    }
}

/// Whether these are values of ingress-nginx's chart: other charts have a `controller` too.
fn is_values(map: &Map<String, Value>) -> bool {
    let Some(Value::Object(controller)) = map.get("controller") else { return false };
    let has = |name: &str, is_own: fn(&str) -> bool| {
        controller.get(name).and_then(Value::as_object).is_some_and(|keys| keys.keys().any(|key| is_own(key)))
    };
    let is_there = |name: &str| controller.get(name).is_some_and(|value| !value.is_null());
    has("config", |key| config_keys().any(|row| row.name == key))
        || has("extraArgs", |name| name != "v" && super::flags::find(name).is_some())
        || has("image", |_| true) && controller.get("image").is_some_and(|image| image.to_string().contains("nginx"))
        || ["addHeaders", "allowSnippetAnnotations", "ingressClassByName", "ingressClassResource", "proxySetHeaders"]
            .iter()
            .any(|name| is_there(name))
}

impl Controller {
    /// The workload, if it runs ingress-nginx.
    pub(super) fn of(value: &Value, place: &Place) -> Option<Controller> {
        let kind = value.get("kind")?.as_str()?;
        let spec = value.pointer("/spec/template/spec").or_else(|| value.get("spec"))?;
        let name = name_of(value);
        let containers = spec.get("containers")?.as_array()?;
        let words = |container: &Value| -> Vec<String> {
            let part = |name: &str| container.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
            let texts = part("command").into_iter().chain(part("args")).filter_map(|word| text(&word));
            texts.map(|word| word.replace("$(POD_NAMESPACE)", &name.namespace)).collect()
        };
        let is_controller = |words: &Vec<String>| words.iter().any(|word| word.ends_with("/nginx-ingress-controller"));
        let words = containers.iter().map(words).find(is_controller)?;
        let at = words.iter().position(|word| word.ends_with("/nginx-ingress-controller"))?;
        let arguments = words.into_iter().skip(at + 1).collect();
        Some(Controller { kind: kind.to_owned(), name, place: Some(place.clone()), arguments })
    }
}

fn name_of(value: &Value) -> Name {
    let part = |name: &str| value.get("metadata").and_then(|metadata| metadata.get(name)).and_then(Value::as_str);
    Name::new(part("namespace").unwrap_or("default"), part("name").unwrap_or_default())
}

/// A plain value as the text that an annotation, a flag or a key gets of it; `None` for nothing, a map or a list.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
