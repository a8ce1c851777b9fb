//! What files say about an ingress-nginx and its users: objects, Helm values, the controller's own flags, and annotations
//! that wait in the values of other charts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{placeholder, template};
use crate::compile::config_keys;
use crate::ir::{Name, Object, Severity};
use crate::snapshot::{Ingress, Received, Snapshot, yaml};
use crate::source::folder;

/// All that was found.
pub(super) struct Input {
    /// Objects of the kinds that are compiled. Where one is there several times, as in the overlays of Kustomize, each has a
    /// snapshot of its own; the first has all else.
    pub(super) layers: Vec<Snapshot>,
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
    /// How many Kustomizations change what they name.
    pub(super) kustomizations: usize,
    /// Classes of Ingresses that could not be read and are somebody else's.
    pub(super) foreign: Vec<String>,
    /// How many Ingresses have hosts, paths or classes that something fills in.
    pub(super) filled: usize,
    /// Folders with ingress-nginx's own chart, of which its users said nothing.
    pub(super) charts: BTreeSet<String>,
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
    /// The Ingress that they are laid over by a patch, if it is there.
    pub(super) over: Option<Name>,
    /// What that one has besides.
    pub(super) beneath: Vec<(String, String)>,
}

/// What could not be read.
pub(super) struct Unread {
    pub(super) file: String,
    pub(super) line: Option<u32>,
    pub(super) why: String,
    pub(super) hint: String,
}

impl Unread {
    /// A value of which something else makes a part.
    pub(super) fn filled_in(place: &Place, name: &str, part: &str) -> Unread {
        let why = format!("{name} has {part}, which something fills in");
        Unread { file: place.file.clone(), line: Some(place.line), why, hint: RENDER.to_owned() }
    }
}

/// How other tools name ingress-nginx's chart.
const CHART: &str = "chart: ingress-nginx";
/// What a Kustomization changes objects by.
const CHANGING: [&str; 8] = [
    "commonAnnotations",
    "namePrefix",
    "nameSuffix",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "postBuild",
    "replacements",
];
/// What a template needs before it can be read.
pub(super) const RENDER: &str = "render it first (helm template, kustomize build) and check what comes out";

impl Input {
    /// Reads files and folders. `prefix` is `--annotations-prefix`, without the slash.
    pub(super) fn read(paths: &[PathBuf], prefix: &str) -> Input {
        let reader = yaml::Reader::new(prefix);
        let input = Input {
            layers: vec![Snapshot::default()],
            labelled: BTreeSet::new(),
            controllers: Vec::new(),
            values: Vec::new(),
            scattered: Vec::new(),
            unread: Vec::new(),
            kustomizations: 0,
            foreign: Vec::new(),
            filled: 0,
            charts: BTreeSet::new(),
        };
        let mut reading = Reading { input, prefix, is_of_chart: false, target: None, reader };
        let (files, closed) = folder::files(paths);
        for (path, error) in closed {
            reading.unread(&path.display().to_string(), None, format!("cannot be read: {error}"), "see to its rights");
        }
        let mut templates: Vec<(PathBuf, usize)> = Vec::new();
        for path in files {
            let shown = path.display().to_string();
            if let Some(chart) = own_chart_of(&path).filter(|_| !paths.contains(&path)) {
                reading.input.charts.insert(chart.display().to_string());
                continue;
            }
            match (chart_of(&path), fs::read_to_string(&path)) {
                (_, Ok(text)) if !is_about(&text) => {}
                (Some(_), Ok(text)) if !is_about_ingresses(&text, prefix) => {}
                (Some(chart), source) => {
                    reading.template(&shown, 0, &source.unwrap_or_default());
                    match templates.last_mut() {
                        Some((last, count)) if *last == chart => *count += 1,
                        _ => templates.push((chart, 1)),
                    }
                }
                (None, Ok(text)) => reading.file(&shown, &text, paths.contains(&path)),
                (None, Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {}
                (None, Err(error)) => {
                    reading.unread(&shown, None, format!("cannot be read: {error}"), "see to its rights")
                }
            }
        }
        for (chart, count) in templates {
            let templates = if count == 1 { "template" } else { "templates" };
            let why =
                format!("{count} {templates} of a Helm chart; of them only what stands there word for word is judged");
            reading.unread(&chart.display().to_string(), None, why, RENDER);
        }
        reading.input.lay();
        reading.input
    }

    /// Lets patches stand over the Ingresses that they are about.
    fn lay(&mut self) {
        let Input { layers, scattered, .. } = self;
        for one in scattered {
            let Some(over) = one.over.take() else { continue };
            let mut all = layers.iter().flat_map(|layer| layer.ingresses.iter());
            // Namespaces are often set by what surrounds a patch.
            let found = layers.iter().find_map(|layer| layer.ingresses.get(&over));
            let Some(below) = found.or_else(|| all.find(|(name, _)| name.name == over.name).map(|(_, below)| below))
            else {
                continue;
            };
            let is_new = |name: &str| !one.annotations.iter().any(|(own, _)| own == name);
            let rest = below.annotations.iter().filter(|(name, _)| is_new(name));
            one.over = Some(below.meta.object.name.clone());
            one.beneath = rest.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        }
    }
}

/// Whether a text can be about ingress-nginx or what it serves: repositories hold much else, also what is no YAML.
fn is_about(text: &str) -> bool {
    ["nginx", "Ingress", "controller:"].iter().any(|word| text.contains(word))
}

/// Whether a template makes Ingresses, or a controller: charts have many others.
fn is_about_ingresses(text: &str, prefix: &str) -> bool {
    let is_kind = |line: &str| {
        let rest = line.trim_start_matches(['-', ' ']).strip_prefix("kind: Ingress");
        rest.is_some_and(|rest| !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric()))
    };
    text.contains(prefix) || text.contains("/nginx-ingress-controller") || text.lines().any(is_kind)
}

fn is_ingress(value: &Value) -> bool {
    value.get("kind").and_then(Value::as_str) == Some("Ingress")
}

/// The `templates` folder of a chart that a file is in.
fn chart_of(path: &Path) -> Option<PathBuf> {
    let is_of_chart = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name == "templates")
            && folder.parent().is_some_and(|chart| chart.join("Chart.yaml").is_file())
    };
    path.ancestors().skip(1).find(is_of_chart).map(Path::to_owned)
}

/// The folder of ingress-nginx's own chart, if a file is one of those that came with it: they say what everybody has.
fn own_chart_of(path: &Path) -> Option<&Path> {
    let is_own = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name == "ingress-nginx")
            && folder.join("Chart.yaml").is_file()
            && ["controller-deployment.yaml", "controller-configmap.yaml"]
                .iter()
                .all(|name| folder.join("templates").join(name).is_file())
    };
    let chart = path.ancestors().skip(1).find(is_own)?;
    let below = path.strip_prefix(chart).ok()?;
    let came_with_it = ["templates", "ci", "tests"].iter().any(|folder| below.starts_with(folder));
    (came_with_it || below == Path::new("values.yaml")).then_some(chart)
}

struct Reading<'a> {
    input: Input,
    prefix: &'a str,
    /// The document is about ingress-nginx's chart, so what has a `controller` in it is its values.
    is_of_chart: bool,
    /// The Ingress that the patch is about which is being read.
    target: Option<Name>,
    reader: yaml::Reader,
}

impl Reading<'_> {
    fn unread(&mut self, file: &str, line: Option<u32>, why: impl Into<String>, hint: &str) {
        let (why, hint) = (why.into(), hint.to_owned());
        self.input.unread.push(Unread { file: file.to_owned(), line, why, hint });
    }

    /// The annotations that stand in a template, whose first line is the one behind `before`.
    fn template(&mut self, file: &str, before: u32, source: &str) {
        for block in template::blocks(source, self.prefix) {
            let place = Place { file: file.to_owned(), line: before + block.line };
            if !block.annotations.is_empty() {
                self.scattered(&place, "in a template", block.annotations, None);
            }
        }
    }

    fn scattered(&mut self, place: &Place, field: &str, annotations: Vec<(String, String)>, over: Option<Name>) {
        let (place, field, beneath) = (place.clone(), field.to_owned(), Vec::new());
        self.input.scattered.push(Scattered { place, field, annotations, over, beneath });
    }

    /// An Ingress; one that has no rules is a patch of Kustomize, which is laid over another.
    fn ingress(&mut self, ingress: &Arc<Ingress>, place: &Place) {
        if ingress.rules.is_empty() && ingress.default_backend.is_none() {
            let object = &ingress.meta.object;
            let own = ingress.annotations.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            let annotations: Vec<_> = own.filter(|(name, _)| self.is_own(name)).collect();
            if !annotations.is_empty() {
                let place = Place { line: object.line.unwrap_or(place.line), ..place.clone() };
                let field = format!("patch of Ingress {}", object.name.name);
                self.scattered(&place, &field, annotations, Some(object.name.clone()));
            }
            return;
        }
        let filled = placeholder::filled(ingress);
        self.input.filled += usize::from(filled.is_some());
        self.insert(&Received::Ingress(filled.map_or_else(|| Arc::clone(ingress), Arc::new)));
    }

    /// Adds an object where there is none of its name yet.
    fn insert(&mut self, object: &Received) {
        if self.input.layers.iter_mut().any(|layer| layer.insert(object.clone())) {
            return;
        }
        let mut layer = Snapshot::default();
        layer.insert(object.clone());
        self.input.layers.push(layer);
    }

    fn is_own(&self, name: &str) -> bool {
        name.strip_prefix(self.prefix).is_some_and(|rest| rest.starts_with('/'))
    }

    /// `is_named`: the file itself was asked for, so whatever has a `controller` in it counts as values.
    fn file(&mut self, file: &str, text: &str, is_named: bool) {
        for document in yaml::plain(text) {
            let place = Place { file: file.to_owned(), line: document.line };
            let value = match document.content {
                Ok(value) => value,
                Err(_) if !document.text.contains("nginx") && !document.text.contains("Ingress") => continue,
                Err(_) if document.text.contains("{{") => {
                    if !is_about_ingresses(document.text, self.prefix) {
                        continue;
                    }
                    self.template(file, document.first.saturating_sub(1), document.text);
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
                if kind == "Kustomization" {
                    let keys =
                        value.as_object().into_iter().chain(value.get("spec").and_then(Value::as_object)).flatten();
                    let changes = keys.filter(|(key, _)| CHANGING.contains(&key.as_str())).count();
                    self.input.kustomizations += usize::from(changes > 0);
                }
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
        let matters = ["ConfigMap", "Ingress", "IngressClass"].contains(&kind)
            || kind == "IngressList"
            || value.get("items").and_then(Value::as_array).is_some_and(|items| items.iter().any(is_ingress));
        let is_nothing = parsed.objects.is_empty();
        let class = value
            .pointer("/spec/ingressClassName")
            .or_else(|| value.pointer("/metadata/annotations/kubernetes.io~1ingress.class"));
        let class = class.and_then(Value::as_str).filter(|class| !class.contains("nginx"));
        if let Some(class) = class.filter(|_| is_nothing && kind == "Ingress" && !text.contains(self.prefix)) {
            return self.input.foreign.push(class.to_owned());
        }
        let is_told = |severity| matters && (severity == Severity::Error || is_nothing);
        for problem in parsed.problems.into_iter().filter(|problem| is_told(problem.severity)) {
            let Object { line, .. } = &*problem.object;
            let line = line.unwrap_or(place.line);
            let why = problem.message.strip_prefix(&format!("{}:{line}: ", place.file)).unwrap_or(&problem.message);
            self.unread(&place.file, Some(line), why.trim_end_matches(" (document 1)"), &problem.hint);
        }
        for object in &parsed.objects {
            match object {
                Received::Ingress(ingress) => self.ingress(ingress, place),
                Received::ConfigMap(_) => self.insert(object),
                _ => {
                    self.input.layers.iter_mut().take(1).for_each(|layer| _ = layer.insert(object.clone()));
                }
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
                let edits: Vec<_> = items.iter().filter_map(|item| self.edit(item)).collect();
                if !edits.is_empty() {
                    self.scattered(place, field, edits, self.target.clone());
                }
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
        self.generated(map, place);
        let is_below =
            || field.rsplit('.').next().is_some_and(|name| matches!(name, "ingress-nginx" | "nginx-ingress"));
        let has_controller = map.get("controller").is_some_and(Value::is_object);
        if is_of_another(map) {
            // What is below may be annotations all the same.
        } else if is_values(map) || (has_controller && (self.is_of_chart || is_below())) {
            let (place, field) = (place.clone(), field.to_owned());
            self.input.values.push(Values { place, field, tree: map.clone() });
        }
        let own = map.iter().filter(|(name, _)| self.is_own(name));
        let annotations: Vec<_> = own.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
        if !annotations.is_empty() {
            self.scattered(place, field, annotations, None);
            return;
        }
        for (name, value) in map {
            let below = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
            match value {
                // Argo CD and k3s have values as text, Kustomize has patches so.
                Value::String(text)
                    if matches!(&**name, "values" | "valuesContent" | "patch") && text.contains('\n') =>
                {
                    let target = map.get("target").filter(|target| target.get("name").is_some());
                    self.target = target.map(|target| name_of(&json!({"metadata": target})));
                    self.inner(text, place, &below);
                    self.target = None;
                }
                Value::Array(items) if name == "patchesStrategicMerge" => {
                    for (at, patch) in items.iter().enumerate().filter_map(|(at, item)| Some((at, item.as_str()?))) {
                        if patch.contains('\n') {
                            self.inner(patch, place, &format!("{below}[{at}]"));
                        }
                    }
                }
                _ => self.scan(value, place, &below),
            }
        }
    }

    /// The ConfigMaps that a Kustomization makes of its own literals.
    fn generated(&mut self, map: &Map<String, Value>, place: &Place) {
        for one in map.get("configMapGenerator").and_then(Value::as_array).into_iter().flatten() {
            let literals = one.get("literals").and_then(Value::as_array).into_iter().flatten();
            let pairs = literals.filter_map(|literal| literal.as_str()?.split_once('='));
            let data: Map<String, Value> =
                pairs.map(|(key, value)| (key.to_owned(), value.trim_matches(['"', '\'']).into())).collect();
            let namespace = one.get("namespace").or_else(|| map.get("namespace"));
            let meta = json!({"name": one.get("name"), "namespace": namespace});
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data});
            for object in self.reader.read(&object.to_string(), &place.file).objects {
                self.insert(&object);
            }
        }
    }

    /// A text within a document that is YAML itself.
    fn inner(&mut self, source: &str, place: &Place, field: &str) {
        if !is_about(source) {
            return;
        }
        for document in yaml::plain(source) {
            match document.content {
                Ok(value) if is_ingress(&value) => {
                    let all = value.pointer("/metadata/annotations").and_then(Value::as_object);
                    let own = all.into_iter().flatten().filter(|(name, _)| self.is_own(name));
                    let annotations: Vec<_> =
                        own.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
                    if !annotations.is_empty() {
                        self.scattered(place, field, annotations, Some(name_of(&value)));
                    }
                }
                Ok(value) => self.scan(&value, place, field),
                Err((_, why)) => {
                    self.unread(&place.file, Some(place.line), format!("{field}: {why}"), "correct the text");
                }
            }
        }
    }

    /// The annotation that an item of a list sets: an operation of JSON Patch, or a parameter of Argo CD.
    fn edit(&self, item: &Value) -> Option<(String, String)> {
        let value = text(item.get("value")?)?;
        let name = match item.get("path").and_then(Value::as_str) {
            Some(path) => path.strip_prefix("/metadata/annotations/")?.replace("~1", "/"),
            None => {
                let dotted = item.get("name")?.as_str()?.replace("\\.", "\0");
                dotted.rsplit('.').next()?.replace('\0', ".")
            }
        };
        self.is_own(&name).then_some((name, value))
    }
}

/// Whether these are values of the chart of NGINX's own controller, which has the same name in many places.
fn is_of_another(map: &Map<String, Value>) -> bool {
    let own = map.get("controller").and_then(Value::as_object);
    let keys = ["appprotect", "enableCustomResources", "enableSnippets", "nginxplus", "reportIngressStatus"];
    own.is_some_and(|own| keys.iter().any(|key| own.contains_key(*key)))
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
