//! YAML and JSON documents into typed objects, with file, document and line for what cannot be read.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::Value;

use super::documents::{Document, Fault, documents};
use super::field::{FieldPath, Step};
use super::reduce::{Place, Reducer};
use super::typed::{self, Misfit, Unknown};
use super::{Received, Snapshot, Strings};
use crate::ir::{Kind, Name, Object, Problem, Reason, Severity};

/// What one text holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The objects that could be read, in order.
    pub objects: Vec<Received>,
    /// What could not.
    pub problems: Vec<Problem>,
    /// Every document could be read. Otherwise a file counts as broken, and its last good objects stay.
    pub is_whole: bool,
    /// What each document came to, for [`Reader::read_again`]; empty when there is one document only.
    pub kept: Vec<Kept>,
}

/// What one document came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of its text; `None` when something was wrong with it.
    hash: Option<u64>,
    /// How many objects it holds.
    objects: usize,
}

impl Parsed {
    /// All of it as a snapshot; of two objects with one name the first counts.
    pub fn into_snapshot(self) -> Snapshot {
        let mut snapshot = Snapshot { problems: self.problems, ..Snapshot::default() };
        for object in self.objects {
            snapshot.insert(object);
        }
        snapshot
    }
}

/// Reads texts, sharing what they repeat.
pub struct Reader {
    prefix: String,
    strings: Strings,
}

impl Reader {
    /// `annotations_prefix` is `--annotations-prefix`, without the slash.
    pub fn new(annotations_prefix: &str) -> Reader {
        Reader { prefix: format!("{annotations_prefix}/"), strings: Strings::default() }
    }

    /// The objects of a text: any number of documents, lists among them. `file` is the name to blame. Documents that
    /// are not Kubernetes objects are unreadable; kinds that nobody reads are passed over.
    pub fn read(&mut self, text: &str, file: &str) -> Parsed {
        self.read_again(text, file, &[], &[])
    }

    /// [`Reader::read`] of a text of which much is as it was: `kept` is what was made of it before, and `objects` are
    /// those it held. Only documents that changed are read.
    pub fn read_again(&mut self, text: &str, file: &str, kept: &[Kept], objects: &[Received]) -> Parsed {
        let file = self.strings.share(file);
        let known = known(kept, objects);
        let mut parsed = Parsed { is_whole: true, ..Parsed::default() };
        let mut lines_to_find = LINES_TO_FIND;
        let documents = documents(text);
        let is_single = documents.len() == 1;
        for (index, document) in documents.into_iter().enumerate() {
            let (problems, before) = (parsed.problems.len(), parsed.objects.len());
            let hash = document.hash();
            if let Some(objects) = known.get(&hash) {
                parsed.objects.extend(objects.iter().map(|object| object.on_line(document.line)));
            } else {
                let place = Place { file: &file, line: document.line };
                let mut reading =
                    Reading { reader: self, document: &document, place, lines_to_find, parsed: &mut parsed };
                let read = reading.document();
                lines_to_find = reading.lines_to_find;
                if let Err(fault) = read {
                    parsed.is_whole = false;
                    parsed.problems.push(unreadable(&file, index + 1, fault));
                }
            }
            let hash = (parsed.problems.len() == problems).then_some(hash);
            parsed.kept.push(Kept { hash, objects: parsed.objects.len() - before });
        }
        if is_single {
            parsed.kept = Vec::new();
        }
        parsed.objects.shrink_to_fit();
        parsed.kept.shrink_to_fit();
        self.strings.sweep();
        parsed
    }
}

/// One document of a text as it stands, whatever it is.
#[derive(Debug)]
pub struct Plain<'a> {
    /// Its text.
    pub text: &'a str,
    /// Line on which the text begins.
    pub first: u32,
    /// Line of its first content.
    pub line: u32,
    /// What it says; `Err`: the line of the fault, and what it is.
    pub content: Result<Value, (u32, String)>,
}

/// The documents of a text, of which nothing is expected.
pub fn plain(text: &str) -> Vec<Plain<'_>> {
    documents(text).into_iter().map(Plain::of).collect()
}

impl<'a> Plain<'a> {
    fn of(document: Document<'a>) -> Plain<'a> {
        let content = document.parse().map_err(|fault| (fault.line, fault.what));
        let Document { text, first, line } = document;
        // What stands behind the marker on its line belongs to that line.
        Plain { text: text.trim_start_matches([' ', '\t']), first, line, content }
    }
}

/// Whether [`Reader::read`] reads objects of this kind and version.
pub fn is_read(kind: &str, version: &str) -> bool {
    Readable::of(kind).is_some_and(|readable| readable.version() == version)
}

/// How many fields of a text are named with their own lines, each of which costs reading a document once more; the others
/// are named with the line of their document.
const LINES_TO_FIND: u32 = 20;

/// The objects of the documents that can be taken again, by the hash of their text.
fn known<'a>(kept: &[Kept], mut objects: &'a [Received]) -> HashMap<u64, &'a [Received]> {
    let mut known = HashMap::with_capacity(kept.len());
    for Kept { hash, objects: count } in kept {
        let Some((own, rest)) = objects.split_at_checked(*count) else { break };
        known.extend(hash.map(|hash| (hash, own)));
        objects = rest;
    }
    known
}

/// [`Reader::read`] once, with the usual annotation prefix.
pub fn read(text: &str, file: &str) -> Parsed {
    Reader::new("nginx.ingress.kubernetes.io").read(text, file)
}

fn unreadable(file: &Arc<str>, document: usize, fault: Fault) -> Problem {
    let name = Name { namespace: "".into(), name: Arc::clone(file) };
    let object = Object { kind: Kind::File, name, file: Some(Arc::clone(file)), line: Some(fault.line) };
    Problem {
        object: Arc::new(object),
        severity: Severity::Error,
        reason: Reason::ManifestUnreadable,
        field: String::new(),
        message: format!("{file}:{}: {} (document {document})", fault.line, fault.what),
        hint: "correct the document".to_owned(),
    }
}

/// One document on its way into `parsed`.
struct Reading<'a> {
    reader: &'a mut Reader,
    document: &'a Document<'a>,
    place: Place<'a>,
    lines_to_find: u32,
    parsed: &'a mut Parsed,
}

impl Reading<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        match self.document.parse()? {
            Value::Null => Ok(()),
            value => self.value(value, &FieldPath::default()),
        }
    }

    /// One object or list. `item` is where in a list it stands; empty outside of lists.
    fn value(&mut self, mut value: Value, item: &FieldPath) -> Result<(), Fault> {
        let (kind, version) = (text_of(&value, "kind"), text_of(&value, "apiVersion"));
        let Some(kind) = kind else {
            return Err(self.fault(item, "kind is missing: not a Kubernetes object".to_owned()));
        };
        if let Some(element) = kind.strip_suffix("List") {
            let Some(items) = value.get_mut("items").map(Value::take) else { return Ok(()) };
            return self.list(items, element, version, item);
        }
        let Some(readable) = Readable::of(&kind) else { return Ok(()) };
        match version.as_deref() {
            Some(version) if version == readable.version() => {}
            Some(version) if readable.is_former(version) => {
                let object = self.object_of(readable, &value);
                let problem = self.former(readable, version, object);
                self.parsed.problems.push(problem);
                return Ok(());
            }
            Some(_) => return Ok(()),
            None => {
                let what = format!("apiVersion is missing: {kind} is read as {}", readable.version());
                return Err(self.fault(item, what));
            }
        }
        let object = self.object_of(readable, &value);
        let (received, unknown) = self.object(readable, value, item)?;
        self.parsed.objects.extend(received);
        for Unknown { path, hint } in unknown {
            let line = self.line_of(&item.below(&path));
            self.parsed.problems.push(Problem {
                object: Arc::clone(&object),
                severity: Severity::Warning,
                reason: Reason::ManifestUnreadable,
                message: format!("{}:{line}: {} has no field {path}", self.place.file, object.kind.as_str()),
                field: path.to_string(),
                hint,
            });
        }
        Ok(())
    }

    /// The items of a list. Those of a typed list (`IngressList`), as the API server sends it, name neither kind nor version.
    fn list(&mut self, items: Value, element: &str, version: Option<String>, item: &FieldPath) -> Result<(), Fault> {
        let Value::Array(items) = items else {
            return if items.is_null() { Ok(()) } else { Err(self.fault(item, "items is not a list".to_owned())) };
        };
        for (index, mut value) in items.into_iter().enumerate() {
            if let (Some(fields), false) = (value.as_object_mut(), element.is_empty()) {
                fields.entry("kind").or_insert_with(|| element.into());
                if let Some(version) = &version {
                    fields.entry("apiVersion").or_insert_with(|| version.as_str().into());
                }
            }
            self.value(value, &item.item("items", index))?;
        }
        Ok(())
    }

    /// The object, if it is one that counts, and the fields of it that are none of its kind.
    fn object(
        &mut self,
        kind: Readable,
        value: Value,
        item: &FieldPath,
    ) -> Result<(Option<Received>, Vec<Unknown>), Fault> {
        let mut unknown = Vec::new();
        let reduced = match kind {
            Readable::ConfigMap => {
                let typed = self.typed::<_, core::ConfigMap>(value, item, &mut unknown)?;
                self.reducer().config_map(typed).map(|map| Some(Received::ConfigMap(Arc::new(map))))
            }
            Readable::EndpointSlice => {
                let typed = self.typed::<_, discovery::EndpointSlice>(value, item, &mut unknown)?;
                self.reducer().slice(typed).map(|slice| slice.map(|slice| Received::EndpointSlice(Arc::new(slice))))
            }
            Readable::Ingress => {
                let typed = self.typed::<_, networking::Ingress>(value, item, &mut unknown)?;
                self.reducer().ingress(typed).map(|ingress| Some(Received::Ingress(Arc::new(ingress))))
            }
            Readable::IngressClass => {
                let typed = self.typed::<_, networking::IngressClass>(value, item, &mut unknown)?;
                self.reducer().class(typed).map(|class| Some(Received::IngressClass(Arc::new(class))))
            }
            Readable::Pod => {
                // Only the metadata of a Pod is read, so nothing else of it can be wrong.
                let mut value = value;
                if let Some(fields) = value.as_object_mut() {
                    fields.retain(|field, _| field == "metadata");
                }
                let typed = self.typed::<_, core::Pod>(value, item, &mut unknown)?;
                self.reducer().pod(typed).map(|pod| pod.map(|pod| Received::Pod(Arc::new(pod))))
            }
            Readable::Secret => {
                let (typed, found) = typed::read::<_, core::Secret>(value);
                unknown = found;
                let typed = typed.map_err(|misfit| self.secret_misfit(misfit, item))?;
                self.reducer().secret(typed).map(|secret| Some(Received::Secret(Arc::new(secret))))
            }
            Readable::Service => {
                let typed = self.typed::<_, core::Service>(value, item, &mut unknown)?;
                self.reducer().service(typed).map(|service| Some(Received::Service(Arc::new(service))))
            }
        };
        reduced.map(|received| (received, unknown)).map_err(|what| self.fault(item, what))
    }

    /// The value as what is read of its kind, `K`.
    fn typed<T: DeserializeOwned, K: DeserializeOwned>(
        &mut self,
        value: Value,
        item: &FieldPath,
        unknown: &mut Vec<Unknown>,
    ) -> Result<T, Fault> {
        let (read, found) = typed::read::<T, K>(value);
        *unknown = found;
        read.map_err(|misfit| self.misfit(misfit, item))
    }

    fn misfit(&mut self, Misfit { path, what }: Misfit, item: &FieldPath) -> Fault {
        let path = item.below(&path);
        Fault { line: self.line_of(&path), what: format!("{path}: {what}") }
    }

    /// A fault in a Secret, which says nothing of the values.
    fn secret_misfit(&mut self, Misfit { path, what }: Misfit, item: &FieldPath) -> Fault {
        let is_value = matches!(path.0.first(), Some(Step::Field(field)) if field == "data" || field == "stringData");
        let what = if is_value { "no text, or not base64".to_owned() } else { what };
        self.misfit(Misfit { path, what }, item)
    }

    fn line_of(&mut self, path: &FieldPath) -> u32 {
        if self.lines_to_find == 0 {
            return self.place.line;
        }
        self.lines_to_find -= 1;
        self.document.line_of(path)
    }

    /// The object that `value` is, by its name as written.
    fn object_of(&self, kind: Readable, value: &Value) -> Arc<Object> {
        let metadata = value.get("metadata");
        let part = |field| metadata.and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
        let namespace = match kind {
            Readable::IngressClass => "",
            _ => part("namespace").filter(|namespace| !namespace.is_empty()).unwrap_or("default"),
        };
        let name = Name { namespace: namespace.into(), name: part("name").unwrap_or_default().into() };
        let (file, line) = (self.place.file, self.place.line);
        Arc::new(Object { kind: kind.kind(), name, file: Some(Arc::clone(file)), line: Some(line) })
    }

    fn former(&self, kind: Readable, version: &str, object: Arc<Object>) -> Problem {
        let (file, line, wanted) = (self.place.file, self.place.line, kind.version());
        Problem {
            object,
            severity: Severity::Error,
            reason: Reason::ManifestUnreadable,
            field: "apiVersion".to_owned(),
            message: format!("{file}:{line}: apiVersion {version} is not served any more; {wanted} is read"),
            hint: format!("write the object in {wanted}"),
        }
    }

    fn fault(&self, item: &FieldPath, what: String) -> Fault {
        let what = if item.0.is_empty() { what } else { format!("{item}: {what}") };
        Fault { line: self.place.line, what }
    }

    fn reducer(&mut self) -> Reducer<'_> {
        Reducer { strings: &mut self.reader.strings, prefix: &self.reader.prefix, place: Some(self.place) }
    }
}

fn text_of(value: &Value, field: &str) -> Option<String> {
    value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The kinds that are read.
#[derive(Clone, Copy)]
enum Readable {
    ConfigMap,
    EndpointSlice,
    Ingress,
    IngressClass,
    Pod,
    Secret,
    Service,
}

impl Readable {
    fn of(kind: &str) -> Option<Readable> {
        Some(match kind {
            "ConfigMap" => Readable::ConfigMap,
            "EndpointSlice" => Readable::EndpointSlice,
            "Ingress" => Readable::Ingress,
            "IngressClass" => Readable::IngressClass,
            "Pod" => Readable::Pod,
            "Secret" => Readable::Secret,
            "Service" => Readable::Service,
            _ => return None,
        })
    }

    fn kind(self) -> Kind {
        match self {
            Readable::ConfigMap => Kind::ConfigMap,
            Readable::EndpointSlice => Kind::EndpointSlice,
            Readable::Ingress => Kind::Ingress,
            Readable::IngressClass => Kind::IngressClass,
            Readable::Pod => Kind::Pod,
            Readable::Secret => Kind::Secret,
            Readable::Service => Kind::Service,
        }
    }

    fn version(self) -> &'static str {
        match self {
            Readable::EndpointSlice => "discovery.k8s.io/v1",
            Readable::Ingress | Readable::IngressClass => "networking.k8s.io/v1",
            Readable::ConfigMap | Readable::Pod | Readable::Secret | Readable::Service => "v1",
        }
    }

    /// Whether `version` is another version of the same kind, not a kind of that name in somebody else's group.
    fn is_former(self, version: &str) -> bool {
        let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
        group(version) == group(self.version()) || (matches!(self, Readable::Ingress) && group(version) == "extensions")
    }
}

#[cfg(test)]
mod tests;
