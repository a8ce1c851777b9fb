//! Lists and events as the API server sends them, reduced object by object.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::reduce::Reducer;
use super::{Received, Strings, raw};
use crate::ir::{Kind, Name};

/// One object of a list or an event.
#[derive(Debug)]
pub struct Arrived {
    /// Its name.
    pub name: Name,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// What was read of it.
    pub content: Content,
}

/// What was read of an object.
#[derive(Debug)]
pub enum Content {
    /// Why it cannot be read, as a sentence part.
    Broken(String),
    /// Name and version are all there is to know: Namespaces, ConfigMaps and Secrets of which the metadata came, what is not for us.
    Named,
    /// All that is read of it.
    Object(Received),
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// `metadata.resourceVersion` of the list.
    pub version: String,
    /// `metadata.continue`: there are more pages.
    pub next: Option<String>,
    /// The objects.
    pub items: Vec<Arrived>,
}

/// One line of a watch.
#[derive(Debug)]
pub enum Event {
    /// There are no changes up to this version.
    Bookmark {
        /// `metadata.resourceVersion`.
        version: String,
        /// All objects that there were at the start of the watch have come.
        ends_initial: bool,
    },
    /// The object is gone, or is not selected any more; as it was at last.
    Deleted(Arrived),
    /// The watch has failed.
    Error(Status),
    /// The object is new or has changed.
    Put(Arrived),
}

/// `v1 Status`: why the API server does not do what it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// HTTP status.
    #[serde(default)]
    pub code: u16,
    /// One word.
    #[serde(default)]
    pub reason: String,
    /// A sentence.
    #[serde(default)]
    pub message: String,
}

/// Reads what the API server sends, sharing the texts that objects repeat.
pub struct Reader {
    prefix: String,
    strings: Strings,
}

impl Reader {
    /// `annotations_prefix` is `--annotations-prefix`, without the slash.
    pub fn new(annotations_prefix: &str) -> Reader {
        Reader { prefix: format!("{annotations_prefix}/"), strings: Strings::default() }
    }

    /// A page of a list of `kind`. `Err` is what serde says.
    pub fn page(&mut self, kind: Kind, text: &[u8]) -> Result<Page, String> {
        let page = match kind {
            Kind::EndpointSlice => self.page_of::<raw::EndpointSlice>(text),
            Kind::Ingress => self.page_of::<raw::Ingress>(text),
            Kind::IngressClass => self.page_of::<raw::IngressClass>(text),
            Kind::Pod => self.page_of::<Weighted>(text),
            Kind::Service => self.page_of::<raw::Service>(text),
            Kind::ConfigMap | Kind::File | Kind::Flag | Kind::Namespace | Kind::Node | Kind::Secret => {
                self.page_of::<raw::Named>(text)
            }
        };
        self.strings.sweep();
        page
    }

    /// A line of a watch of `kind`. `Err` is what serde says.
    pub fn event(&mut self, kind: Kind, line: &[u8]) -> Result<Event, String> {
        let r#type = type_of(line)?;
        let arrived = match r#type.as_str() {
            "BOOKMARK" => {
                let Line { object: raw::Named { metadata } } = parse(line)?;
                let annotations = metadata.annotations.unwrap_or_default();
                let ends_initial = annotations.get("k8s.io/initial-events-end").is_some_and(|value| value == "true");
                let version = metadata.resource_version.unwrap_or_default();
                return Ok(Event::Bookmark { version, ends_initial });
            }
            "ERROR" => return parse(line).map(|Line { object }| Event::Error(object)),
            _ => match kind {
                Kind::EndpointSlice => self.line::<raw::EndpointSlice>(line),
                Kind::Ingress => self.line::<raw::Ingress>(line),
                Kind::IngressClass => self.line::<raw::IngressClass>(line),
                Kind::Pod => self.line::<Weighted>(line),
                Kind::Service => self.line::<raw::Service>(line),
                Kind::ConfigMap | Kind::File | Kind::Flag | Kind::Namespace | Kind::Node | Kind::Secret => {
                    self.line::<raw::Named>(line)
                }
            }?,
        };
        self.strings.sweep();
        match r#type.as_str() {
            "ADDED" | "MODIFIED" => Ok(Event::Put(arrived)),
            "DELETED" => Ok(Event::Deleted(arrived)),
            other => Err(format!("{other:?} is no type of event")),
        }
    }

    /// One Secret with its content. No value of it is in the error.
    pub fn secret(&mut self, text: &[u8]) -> Result<Arrived, String> {
        match serde_json::from_slice::<raw::Secret>(text) {
            Ok(secret) => Ok(secret.arrive(&mut self.reducer())),
            Err(_) => Err("the answer is no Secret".to_owned()),
        }
    }

    /// One ConfigMap with its content.
    pub fn config_map(&mut self, text: &[u8]) -> Result<Arrived, String> {
        parse::<raw::ConfigMap>(text).map(|map| map.arrive(&mut self.reducer()))
    }

    /// One Ingress, as it stands in something else that the API server sends.
    pub fn ingress(&mut self, object: Value) -> Arrived {
        self.value::<raw::Ingress>(object)
    }

    /// One object that cannot be read spoils no other: then each is read by itself.
    fn page_of<T: Arriving>(&mut self, text: &[u8]) -> Result<Page, String> {
        let list = match parse::<List<T>>(text) {
            Ok(list) => list,
            Err(_) => {
                let List { metadata, items } = parse::<List<Value>>(text)?;
                let items = items.unwrap_or_default().into_iter().map(|item| self.value::<T>(item)).collect();
                return Ok(Page::new(metadata, items));
            }
        };
        let mut reducer = self.reducer();
        let items = list.items.unwrap_or_default().into_iter().map(|item| item.arrive(&mut reducer)).collect();
        Ok(Page::new(list.metadata, items))
    }

    fn line<T: Arriving>(&mut self, line: &[u8]) -> Result<Arrived, String> {
        match parse::<Line<T>>(line) {
            Ok(Line { object }) => Ok(object.arrive(&mut self.reducer())),
            Err(_) => parse::<Line<Value>>(line).map(|Line { object }| self.value::<T>(object)),
        }
    }

    fn value<T: Arriving>(&mut self, value: Value) -> Arrived {
        let named = raw::Named::deserialize(&value).map(|named| named.metadata).unwrap_or_default();
        match T::deserialize(value) {
            Ok(object) => object.arrive(&mut self.reducer()),
            Err(error) => arrived(&mut self.reducer(), &named, Content::Broken(error.to_string())),
        }
    }

    fn reducer(&mut self) -> Reducer<'_> {
        Reducer { strings: &mut self.strings, prefix: &self.prefix, place: None }
    }
}

impl Status {
    /// The status in a body, if it is one; else `code` and the beginning of the text.
    pub fn of(code: u16, text: &[u8]) -> Status {
        const SHOWN: usize = 200;
        match serde_json::from_slice::<Status>(text) {
            Ok(status) => Status { code, ..status },
            Err(_) => {
                let text = String::from_utf8_lossy(text.get(..SHOWN).unwrap_or(text)).trim().to_owned();
                Status { code, reason: String::new(), message: text }
            }
        }
    }

    /// The version asked for is too old, or the token of a page is.
    pub fn is_expired(&self) -> bool {
        self.code == 410 || matches!(self.reason.as_str(), "Expired" | "Gone")
    }
}

impl Page {
    fn new(metadata: ListMetadata, items: Vec<Arrived>) -> Page {
        let ListMetadata { resource_version, r#continue } = metadata;
        Page { version: resource_version.unwrap_or_default(), next: r#continue.filter(|next| !next.is_empty()), items }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: Option<String>,
    r#continue: Option<String>,
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default)]
    metadata: ListMetadata,
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
struct Head {
    r#type: String,
}

#[derive(Deserialize)]
struct Line<T> {
    object: T,
}

/// A Pod of which only the weight counts.
struct Weighted(raw::Named);

impl<'de> Deserialize<'de> for Weighted {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        raw::Named::deserialize(from).map(Weighted)
    }
}

/// What can come from the API server.
trait Arriving: DeserializeOwned {
    fn arrive(self, reducer: &mut Reducer<'_>) -> Arrived;
}

macro_rules! arriving {
    ($($raw:ty: $metadata:expr, $reduce:expr;)*) => {
        $(impl Arriving for $raw {
            fn arrive(mut self, reducer: &mut Reducer<'_>) -> Arrived {
                let metadata: fn(&mut $raw) -> &mut raw::Metadata = $metadata;
                let reduce: fn(&mut Reducer<'_>, $raw) -> Result<Content, String> = $reduce;
                let version = metadata(&mut self).resource_version.take();
                let named = raw::Metadata {
                    name: metadata(&mut self).name.clone(),
                    namespace: metadata(&mut self).namespace.clone(),
                    resource_version: version,
                    ..raw::Metadata::default()
                };
                let content = reduce(reducer, self).unwrap_or_else(Content::Broken);
                arrived(reducer, &named, content)
            }
        })*
    };
}

arriving! {
    raw::ConfigMap: |raw| &mut raw.metadata, |reducer, raw| {
        reducer.config_map(raw).map(|map| Content::Object(Received::ConfigMap(Arc::new(map))))
    };
    raw::EndpointSlice: |raw| &mut raw.metadata, |reducer, raw| reducer.slice(raw).map(|slice| match slice {
        Some(slice) => Content::Object(Received::EndpointSlice(Arc::new(slice))),
        None => Content::Named,
    });
    raw::Ingress: |raw| &mut raw.metadata, |reducer, raw| {
        reducer.ingress(raw).map(|ingress| Content::Object(Received::Ingress(Arc::new(ingress))))
    };
    raw::IngressClass: |raw| &mut raw.metadata, |reducer, raw| {
        reducer.class(raw).map(|class| Content::Object(Received::IngressClass(Arc::new(class))))
    };
    raw::Named: |raw| &mut raw.metadata, |_, _| Ok(Content::Named);
    raw::Secret: |raw| &mut raw.metadata, |reducer, raw| {
        reducer.secret(raw).map(|secret| Content::Object(Received::Secret(Arc::new(secret))))
    };
    raw::Service: |raw| &mut raw.metadata, |reducer, raw| {
        reducer.service(raw).map(|service| Content::Object(Received::Service(Arc::new(service))))
    };
    Weighted: |raw| &mut raw.0.metadata, |reducer, raw| reducer.pod(raw.0).map(|pod| match pod {
        Some(pod) => Content::Object(Received::Pod(Arc::new(pod))),
        None => Content::Named,
    });
}

fn arrived(reducer: &mut Reducer<'_>, metadata: &raw::Metadata, content: Content) -> Arrived {
    // The object's own copy where there is one.
    let name = match &content {
        Content::Object(object) => object.meta().object.name.clone(),
        Content::Broken(_) | Content::Named => Name {
            namespace: reducer.strings.share(metadata.namespace.as_deref().unwrap_or_default()),
            name: metadata.name.as_deref().unwrap_or_default().into(),
        },
    };
    Arrived { name, version: metadata.resource_version.clone().unwrap_or_default(), content }
}

/// The type of an event. The API server writes it first, so the line need not be read twice.
fn type_of(line: &[u8]) -> Result<String, String> {
    let first = line.strip_prefix(br#"{"type":""#).and_then(|rest| rest.get(..memchr::memchr(b'"', rest)?));
    match first {
        Some(word) => Ok(String::from_utf8_lossy(word).into_owned()),
        None => parse(line).map(|Head { r#type }| r#type),
    }
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader::new("nginx.ingress.kubernetes.io")
    }

    #[test]
    fn a_page_says_its_version_and_whether_there_are_more() {
        for (more, next) in [("", None), (r#","continue":"""#, None), (r#","continue":"t""#, Some("t"))] {
            let text = format!(
                r#"{{"kind":"ServiceList","metadata":{{"resourceVersion":"9"{more}}},"items":[
                   {{"metadata":{{"name":"a","namespace":"n","resourceVersion":"3","managedFields":[{{"x":1}}]}}}},
                   {{"metadata":{{"name":"b","namespace":"n"}},"spec":{{"ports":7}}}}]}}"#
            );
            let page = reader().page(Kind::Service, text.as_bytes()).unwrap();
            assert_eq!((page.version.as_str(), page.next.as_deref()), ("9", next));
            let [good, broken] = page.items.as_slice() else { panic!("{page:?}") };
            assert_eq!((good.name.to_string().as_str(), good.version.as_str()), ("n/a", "3"));
            assert!(matches!(&good.content, Content::Object(Received::Service(_))));
            assert_eq!(broken.name.to_string(), "n/b");
            assert!(matches!(&broken.content, Content::Broken(_)), "it spoils no other");
        }
    }

    #[test]
    fn each_type_of_event_is_told_apart() {
        let event = |text: &str| reader().event(Kind::Secret, text.as_bytes());
        let object = r#""object":{"metadata":{"name":"a","namespace":"n","resourceVersion":"3"}}}"#;
        assert!(matches!(event(&format!(r#"{{"type":"ADDED",{object}"#)), Ok(Event::Put(_))));
        assert!(matches!(event(&format!(r#"{{"type":"MODIFIED",{object}"#)), Ok(Event::Put(_))));
        assert!(matches!(event(&format!(r#"{{"type":"DELETED",{object}"#)), Ok(Event::Deleted(_))));
        let Ok(Event::Bookmark { version, ends_initial: false }) = event(&format!(r#"{{"type":"BOOKMARK",{object}"#))
        else {
            panic!("a bookmark")
        };
        assert_eq!(version, "3");
        let end = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"3","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        assert!(matches!(event(end), Ok(Event::Bookmark { ends_initial: true, .. })));
        let expired =
            r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#;
        assert!(matches!(event(expired), Ok(Event::Error(status)) if status.is_expired()));
        assert!(matches!(event(r#"{"object":{"metadata":{"name":"a"}}, "type": "ADDED"}"#), Ok(Event::Put(_))));
        for broken in [
            "",
            "{",
            r#"{"type":"ADDED"#,
            r#"{"type":"ADDED","object":{}"#,
            r#"{"type":"OTHER","object":{}}"#,
            r#"{"type":"ADDED"}"#,
        ] {
            assert!(event(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_secret_that_cannot_be_read_shows_nothing_of_it() {
        let read = reader().secret(br#"{"metadata":{"name":"a","namespace":"n"},"data":{"tls.key":"hunter2"}}"#);
        assert_eq!(read.unwrap_err(), "the answer is no Secret");
    }

    #[test]
    fn writing_the_status_is_no_change_and_a_new_uid_is_one() {
        let version = |uid: &str, address: &str| {
            let text = format!(
                r#"{{"type":"ADDED","object":{{"metadata":{{"name":"a","namespace":"n","uid":"{uid}","resourceVersion":"{address}"}},
                   "status":{{"loadBalancer":{{"ingress":[{{"ip":"{address}"}}]}}}}}}}}"#
            );
            let Ok(Event::Put(Arrived { content: Content::Object(Received::Ingress(ingress)), .. })) =
                reader().event(Kind::Ingress, text.as_bytes())
            else {
                panic!("an Ingress")
            };
            assert_eq!(&*ingress.published.0[0], address);
            ingress.meta.version
        };
        assert_eq!(version("1", "10.0.0.1"), version("1", "10.0.0.2"));
        assert_ne!(version("1", "10.0.0.1"), version("2", "10.0.0.1"));
    }
}
