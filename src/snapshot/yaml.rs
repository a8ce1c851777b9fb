//! YAML and JSON documents into typed objects, with file, document and line for what cannot be read.

use std::sync::Arc;

use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::Value;

use super::reduce::{Place, Reducer};
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
        let file = self.strings.share(file);
        let mut parsed = Parsed { objects: Vec::new(), problems: Vec::new(), is_whole: true };
        for (index, document) in documents(text).into_iter().enumerate() {
            let place = Place { file: &file, line: document.line };
            let mut reading = Reading { reader: self, document: &document, place, parsed: &mut parsed };
            if let Err(fault) = reading.document() {
                parsed.is_whole = false;
                parsed.problems.push(unreadable(&file, index + 1, fault));
            }
        }
        parsed.objects.shrink_to_fit();
        self.strings.sweep();
        parsed
    }
}

/// [`Reader::read`] once, with the usual annotation prefix.
pub fn read(text: &str, file: &str) -> Parsed {
    Reader::new("nginx.ingress.kubernetes.io").read(text, file)
}

/// A document that cannot be read: the line of the fault and what it is.
struct Fault {
    line: u32,
    what: String,
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
    parsed: &'a mut Parsed,
}

impl Reading<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        let value: Value = match self.document.parse(false) {
            Ok(Value::Null) => return Ok(()),
            Ok(value) => value,
            Err(fault) => return Err(fault),
        };
        self.value(value, None)
    }

    /// One object or list. `item` is where in a list it stands.
    fn value(&mut self, mut value: Value, item: Option<&str>) -> Result<(), Fault> {
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
                let problem = self.former(readable, version, &value);
                self.parsed.problems.push(problem);
                return Ok(());
            }
            Some(_) => return Ok(()),
            None => {
                let what = format!("apiVersion is missing: {kind} is read as {}", readable.version());
                return Err(self.fault(item, what));
            }
        }
        let received = self.object(readable, value, item)?;
        self.parsed.objects.extend(received);
        Ok(())
    }

    /// The items of a list. Those of a typed list (`IngressList`), as the API server sends it, name neither kind nor version.
    fn list(&mut self, items: Value, element: &str, version: Option<String>, item: Option<&str>) -> Result<(), Fault> {
        let Value::Array(items) = items else {
            return if items.is_null() { Ok(()) } else { Err(self.fault(item, "items is not a list".to_owned())) };
        };
        for (index, mut value) in items.into_iter().enumerate() {
            let at = format!("{}items[{index}]", item.map(|item| format!("{item}.")).unwrap_or_default());
            if let (Some(fields), false) = (value.as_object_mut(), element.is_empty()) {
                fields.entry("kind").or_insert_with(|| element.into());
                if let Some(version) = &version {
                    fields.entry("apiVersion").or_insert_with(|| version.as_str().into());
                }
            }
            self.value(value, Some(&at))?;
        }
        Ok(())
    }

    fn object(&mut self, kind: Readable, value: Value, item: Option<&str>) -> Result<Option<Received>, Fault> {
        let reduced = match kind {
            Readable::EndpointSlice => {
                let typed = self.typed(value, item)?;
                self.reducer().slice(typed).map(|slice| slice.map(|slice| Received::EndpointSlice(Arc::new(slice))))
            }
            Readable::Ingress => {
                let typed = self.typed(value, item)?;
                self.reducer().ingress(typed).map(|ingress| Some(Received::Ingress(Arc::new(ingress))))
            }
            Readable::IngressClass => {
                let typed = self.typed(value, item)?;
                self.reducer().class(typed).map(|class| Some(Received::IngressClass(Arc::new(class))))
            }
            Readable::Pod => {
                // Only the metadata of a Pod is read, so nothing else of it can be wrong.
                let mut value = value;
                if let Some(fields) = value.as_object_mut() {
                    fields.retain(|field, _| field == "kind" || field == "apiVersion" || field == "metadata");
                }
                let typed = self.typed(value, item)?;
                self.reducer().pod(typed).map(|pod| pod.map(|pod| Received::Pod(Arc::new(pod))))
            }
            Readable::Secret => {
                let typed = serde_json::from_value(value)
                    .map_err(|_| self.fault(item, "a value of this Secret is no text, or not base64".to_owned()))?;
                self.reducer().secret(typed).map(|secret| Some(Received::Secret(Arc::new(secret))))
            }
            Readable::Service => {
                let typed = self.typed(value, item)?;
                self.reducer().service(typed).map(|service| Some(Received::Service(Arc::new(service))))
            }
        };
        reduced.map_err(|what| self.fault(item, what))
    }

    /// The value as the type of its kind. Serde's message of a fault in a document names no line, so the document is
    /// read once more, straight into the type, for the line.
    fn typed<T: DeserializeOwned>(&self, value: Value, item: Option<&str>) -> Result<T, Fault> {
        serde_json::from_value(value).map_err(|error| {
            let located = if item.is_none() { self.document.parse::<T>(true).err() } else { None };
            located.unwrap_or_else(|| self.fault(item, error.to_string()))
        })
    }

    fn former(&self, kind: Readable, version: &str, value: &Value) -> Problem {
        let metadata = value.get("metadata");
        let part = |field| metadata.and_then(|metadata| text_of(metadata, field));
        let name = Name {
            namespace: part("namespace").unwrap_or_else(|| "default".to_owned()).into(),
            name: part("name").unwrap_or_default().into(),
        };
        let (file, line) = (self.place.file, self.place.line);
        let object = Object { kind: kind.kind(), name, file: Some(Arc::clone(file)), line: Some(line) };
        let wanted = kind.version();
        Problem {
            object: Arc::new(object),
            severity: Severity::Error,
            reason: Reason::ManifestUnreadable,
            field: "apiVersion".to_owned(),
            message: format!("{file}:{line}: apiVersion {version} is not served any more; {wanted} is read"),
            hint: format!("write the object in {wanted}"),
        }
    }

    fn fault(&self, item: Option<&str>, what: String) -> Fault {
        let what = item.map(|item| format!("{item}: {what}")).unwrap_or(what);
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
            Readable::Pod | Readable::Secret | Readable::Service => "v1",
        }
    }

    /// Whether `version` is another version of the same kind, not a kind of that name in somebody else's group.
    fn is_former(self, version: &str) -> bool {
        let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
        group(version) == group(self.version()) || (matches!(self, Readable::Ingress) && group(version) == "extensions")
    }
}

/// One document of a text.
struct Document<'a> {
    text: &'a str,
    /// Line on which `text` begins.
    first: u32,
    /// Line of its first content.
    line: u32,
}

impl Document<'_> {
    /// `is_strict`: numbers and booleans are no texts, which a `Value` knows and a typed field must be told.
    fn parse<T: DeserializeOwned>(&self, is_strict: bool) -> Result<T, Fault> {
        // A document of 10,000 objects is fine. Aliases stay limited, or one page of text could fill the memory.
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_events: usize::MAX,
                max_nodes: usize::MAX,
                max_documents: usize::MAX,
                max_total_scalar_bytes: usize::MAX,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
            legacy_octal_numbers: true,
            with_snippet: false,
            no_schema: is_strict,
        };
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| {
            let line = error.location().and_then(|location| u32::try_from(location.line()).ok());
            let line = line.map_or(self.line, |line| self.first + line.saturating_sub(1));
            let what = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            // The message ends in the line within the document.
            let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
            Fault { line, what: what.to_owned() }
        })
    }
}

/// Cuts a text at its document markers. A line that begins with `---` or `...` is one wherever it stands: YAML forbids it
/// inside scalars (YAML 1.2.2, 9.1.2 `c-forbidden`). So one broken document spoils no other.
fn documents(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut documents, mut start, mut first, mut offset) = (Vec::new(), 0, 1, 0);
    let mut close = |from: usize, to: usize, first: u32| {
        let text = text.get(from..to).unwrap_or_default();
        let is_content = |line: &&str| !line.trim_start().is_empty() && !line.trim_start().starts_with(['#', '%']);
        if let Some(blank) = text.lines().position(|line| is_content(&line)) {
            documents.push(Document { text, first, line: first + u32::try_from(blank).unwrap_or(0) });
        }
    };
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let marker = line.get(..3).filter(|marker| *marker == "---" || *marker == "...");
        if marker.is_some()
            && line.get(3..).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        {
            close(start, offset, first);
            // What follows the marker on its line is content: `--- {kind: List}`.
            start = offset + 3;
            first = u32::try_from(index + 1).unwrap_or(u32::MAX);
        }
        offset += line.len();
    }
    close(start, offset, first);
    documents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::PortKey;
    use crate::snapshot::{IngressBackend, PathType, SecretContent, Version};

    fn names(parsed: &Parsed) -> Vec<String> {
        parsed.objects.iter().map(|object| object.meta().object.to_string()).collect()
    }

    fn only(text: &str) -> Received {
        let parsed = read(text, "f.yaml");
        assert_eq!(parsed.problems, [], "{text}");
        assert_eq!(parsed.objects.len(), 1, "{text}");
        parsed.objects[0].clone()
    }

    #[test]
    fn documents_lists_and_json_are_read() {
        let service = |name: &str| format!("{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}}}");
        let json = "{\n\t\"kind\": \"Service\",\n\t\"apiVersion\": \"v1\",\n\t\"metadata\": {\"name\": \"a\"}\n}\n";
        for (text, expected) in [
            (String::new(), vec![]),
            ("# nothing\n---\n---\n# still nothing\n...\n".to_owned(), vec![]),
            (service("a"), vec!["service default/a"]),
            (format!("\u{feff}{}", service("a")), vec!["service default/a"]),
            (
                format!("%YAML 1.2\n---\n{}\n...\n---\n{}", service("a"), service("b")),
                vec!["service default/a", "service default/b"],
            ),
            (
                format!("{}\r\n---\r\n{}\r\n", service("a"), service("b")),
                vec!["service default/a", "service default/b"],
            ),
            (
                format!("--- {}\n--- # b\n{}", service("a"), service("b")),
                vec!["service default/a", "service default/b"],
            ),
            (json.to_owned(), vec!["service default/a"]),
            (
                format!("kind: List\napiVersion: v1\nitems: [{}, {}]", service("a"), service("b")),
                vec!["service default/a", "service default/b"],
            ),
            (
                "kind: ServiceList\napiVersion: v1\nitems:\n- metadata: {name: a, namespace: shop}".to_owned(),
                vec!["service shop/a"],
            ),
            ("kind: List\napiVersion: v1\nitems: null".to_owned(), vec![]),
            (
                "kind: IngressClass\napiVersion: networking.k8s.io/v1\nmetadata: {name: c, namespace: x}".to_owned(),
                vec!["ingressclass c"],
            ),
            ("kind: Deployment\napiVersion: apps/v1\nspec: 5".to_owned(), vec![]),
            ("kind: Ingress\napiVersion: config.openshift.io/v1\nspec: 5".to_owned(), vec![]),
            ("kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\nmetadata: {name: of-nobody}".to_owned(), vec![]),
            ("kind: Pod\napiVersion: v1\nmetadata: {name: unlabelled}".to_owned(), vec![]),
            (
                "kind: Pod\napiVersion: v1\nspec: 5\nmetadata: {name: p, labels: {fairlead.dev/weight: '5'}}"
                    .to_owned(),
                vec!["pod default/p"],
            ),
        ] {
            let parsed = read(&text, "f.yaml");
            assert_eq!(names(&parsed), expected, "{text}");
            assert_eq!(parsed.problems, [], "{text}");
            assert!(parsed.is_whole, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_by_file_line_and_document() {
        let head = "# one\n---\nkind: ConfigMap\n---\n";
        for (document, expected) in [
            (
                "kind: Ingress\nmetadata: {name: a\nspec: ][",
                "7: while parsing a flow mapping, did not find expected ',' or '}'",
            ),
            (":::not yaml", "5: kind is missing: not a Kubernetes object"),
            ("a: b: c", "5: mapping values are not allowed in this context"),
            ("a: 1\nb: 2\na: 3", "7: duplicate mapping key `a` is not allowed here"),
            ("kind: Service\nmetadata: {name: a}", "5: apiVersion is missing: Service is read as v1"),
            ("\n# two\nkind: Service\napiVersion: v1", "7: metadata.name is missing"),
            (
                "kind: Service\napiVersion: v1\nmetadata: {name: A_b}",
                "5: metadata.name \"A_b\" is not a name: lower-case letters, digits, '-' and '.' are allowed",
            ),
            ("kind: Service\napiVersion: v1\nmetadata:\n  name: 7", "8: value requires quoting"),
            ("kind: Service\napiVersion: v1\nmetadata: {name: a}\nspec:\n  ports:\n  - port: x", "10: invalid i32"),
            (
                "kind: Service\napiVersion: v1\nmetadata: {name: a}\nspec: {ports: [{port: 70000}]}",
                "5: spec.ports[0].port is 70000; a port is 1 to 65535",
            ),
            ("kind: List\nitems:\n- kind: Service\n  apiVersion: v1\n- 5", "5: items[0]: metadata.name is missing"),
            ("kind: List\nitems: {}", "5: items is not a list"),
            (
                "kind: Secret\napiVersion: v1\nmetadata: {name: a}\ndata: {a: '%'}",
                "5: a value of this Secret is no text, or not base64",
            ),
            ("x: &a [y, y]\nb: *c", "6: reference to unknown value"),
        ] {
            let text = format!("{head}{document}");
            let parsed = read(&text, "dir/f.yaml");
            let messages: Vec<&str> = parsed.problems.iter().map(|problem| problem.message.as_str()).collect();
            assert_eq!(messages, [format!("dir/f.yaml:{expected} (document 2)")], "{text}");
            assert_eq!(parsed.problems[0].reason, Reason::ManifestUnreadable);
            assert!(!parsed.is_whole, "{text}");
        }
    }

    #[test]
    fn a_broken_document_spoils_no_other() {
        let parsed = read("a: ][\n---\n{apiVersion: v1, kind: Service, metadata: {name: a}}\n", "f.yaml");
        assert_eq!(names(&parsed), ["service default/a"]);
        assert_eq!(parsed.objects[0].meta().object.line, Some(3));
        assert_eq!(parsed.problems.len(), 1);
    }

    #[test]
    fn aliases_cannot_fill_the_memory() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 9].join(", "));
        }
        assert!(!read(&text, "f.yaml").is_whole);
    }

    #[test]
    fn former_versions_are_refused_by_name_and_the_file_is_whole() {
        let parsed =
            read("kind: Ingress\napiVersion: extensions/v1beta1\nmetadata: {name: old, namespace: shop}", "f.yaml");
        assert!(parsed.is_whole);
        assert_eq!(parsed.problems[0].object.to_string(), "ingress shop/old");
        assert_eq!(
            parsed.problems[0].message,
            "f.yaml:1: apiVersion extensions/v1beta1 is not served any more; networking.k8s.io/v1 is read"
        );
    }

    #[test]
    fn an_ingress_keeps_what_is_read_and_no_more() {
        let Received::Ingress(ingress) = only(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: web\n  creationTimestamp: 2026-01-02T03:04:05Z\n  annotations:\n\
             \u{20}   kubectl.kubernetes.io/last-applied-configuration: '{}'\n    fairlead.dev/upgrade: 'off'\n    nginx.ingress.kubernetes.io/app-root: /x\n\
             \u{20}   kubernetes.io/ingress.class: mine\nspec:\n  rules:\n  - http:\n      paths:\n\
             \u{20}     - {backend: {service: {name: a, port: {number: 80}}}}\n      - {pathType: Prefix, path: /p, backend: {service: {name: a, port: {name: http}}}}\n\
             \u{20}     - {pathType: Glob, backend: {resource: {kind: Bucket, name: b}}}\n      - {backend: {service: {name: a}}}\n      - {}\n",
        ) else {
            panic!("not an Ingress")
        };
        let keys: Vec<&str> = ingress.annotations.keys().map(|key| &**key).collect();
        assert_eq!(
            keys,
            ["fairlead.dev/upgrade", "kubernetes.io/ingress.class", "nginx.ingress.kubernetes.io/app-root"]
        );
        assert_eq!(ingress.meta.created, Some(1_767_323_045));
        let service = |port| IngressBackend::Service { name: "a".into(), port };
        let paths: Vec<_> =
            ingress.rules[0].paths.iter().map(|path| (path.path_type.clone(), path.backend.clone())).collect();
        assert_eq!(
            paths,
            [
                (PathType::ImplementationSpecific, service(Some(PortKey::Number(80)))),
                (PathType::Prefix, service(Some(PortKey::Name("http".into())))),
                (
                    PathType::Unknown("Glob".into()),
                    IngressBackend::Resource { kind: "Bucket".into(), name: "b".into() }
                ),
                (PathType::ImplementationSpecific, service(None)),
                (PathType::ImplementationSpecific, IngressBackend::Missing),
            ]
        );
    }

    #[test]
    fn absent_conditions_mean_ready_and_serving() {
        let Received::EndpointSlice(slice) = only(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a-1, labels: {kubernetes.io/service-name: a}}\naddressType: IPv4\n\
             ports: [{port: 80}]\nendpoints:\n- {addresses: [10.0.0.1, junk]}\n- {addresses: [], conditions: {ready: false}, targetRef: {kind: Pod, name: p}}\n\
             - {addresses: [], conditions: {ready: false, serving: true, terminating: true}, targetRef: {kind: Node, name: m}}\n",
        ) else {
            panic!("not a slice")
        };
        let read: Vec<_> = slice
            .endpoints
            .iter()
            .map(|e| (e.addresses.len(), e.ready, e.serving, e.terminating, e.pod.as_deref()))
            .collect();
        assert_eq!(
            read,
            [(1, true, true, false, None), (0, false, false, false, Some("p")), (0, false, true, true, None)]
        );
    }

    #[test]
    fn string_data_wins_over_data() {
        let Received::Secret(secret) = only(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {tls.crt: eA==, tls.key: eA==}\nstringData: {tls.crt: ''}",
        ) else {
            panic!("not a Secret")
        };
        assert_eq!(secret.current, SecretContent::Unusable("tls.crt is empty".to_owned()));
    }

    #[test]
    fn a_version_changes_with_the_content_and_not_with_the_place() {
        let version = |text: &str| -> Version { only(text).meta().version };
        let text = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}";
        assert_eq!(version(text), version(&format!("\n\n{text}")));
        assert_eq!(version(text), version(&text.replace("name: a", "name: a, labels: {x: z}")));
        assert_ne!(version(text), version(&text.replace("80", "81")));
        assert_ne!(version(text), version(&text.replace("name: a", "name: a, uid: x")));
    }
}
