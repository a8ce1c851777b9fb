//! A small API server on loopback that does what it is told, also what a real one does only in bad hours.

mod writes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use fairlead::settings::ClusterSettings;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use super::forward;

/// What a request is answered with in place of the right answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, and a body that says it.
    Status(u16),
    /// Status 200 and nothing else.
    Empty,
    /// Status 200 and this line in the stream, which ends then.
    Line(String),
    /// No answer, for ever.
    Hang,
}

type Faults = Box<dyn FnMut(&Ask) -> Option<Fault> + Send>;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    /// `ingresses`, or `secrets/n/a` for a single object.
    pub(crate) what: String,
    pub(crate) namespace: Option<String>,
    /// What is to be written.
    pub(crate) object: Value,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) is_metadata: bool,
}

impl Ask {
    pub(crate) fn is_list(&self) -> bool {
        !self.is_watch() && !self.is_write()
    }

    pub(crate) fn is_write(&self) -> bool {
        self.method != "GET"
    }

    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains_key("watch")
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.query.contains_key("sendInitialEvents")
    }
}

/// The server.
#[derive(Clone)]
pub(crate) struct Fake {
    address: std::net::SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    store: Mutex<Store>,
    events: broadcast::Sender<(u64, Event)>,
    asked: Mutex<Vec<Ask>>,
    faults: Mutex<Faults>,
    has_streams: AtomicBool,
}

#[derive(Default)]
struct Store {
    version: u64,
    /// Older versions than this are not known any more.
    oldest: u64,
    objects: BTreeMap<(String, String), Value>,
    history: Vec<(u64, Event)>,
}

#[derive(Clone)]
struct Event {
    resource: String,
    verb: &'static str,
    object: Value,
}

impl Fake {
    pub(crate) async fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            store: Mutex::new(Store { version: 1, oldest: 1, ..Store::default() }),
            events: broadcast::channel(10_000).0,
            asked: Mutex::default(),
            faults: Mutex::new(Box::new(|_| None)),
            has_streams: AtomicBool::new(true),
        };
        let fake = Fake { address: listener.local_addr().unwrap(), inner: Arc::new(inner) };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(socket).await });
            }
        });
        fake
    }

    /// How to reach it.
    pub(crate) fn settings(&self) -> ClusterSettings {
        ClusterSettings { apiserver_host: Some(format!("http://{}", self.address)), ..ClusterSettings::default() }
    }

    pub(crate) fn without_streams(&self) {
        self.inner.has_streams.store(false, Ordering::Relaxed);
    }

    /// Decides about every request from now on.
    pub(crate) fn fail(&self, faults: impl FnMut(&Ask) -> Option<Fault> + Send + 'static) {
        *self.inner.faults.lock().unwrap() = Box::new(faults);
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Ask> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// Creates or changes objects: YAML documents as for `kubectl apply`.
    pub(crate) fn apply(&self, text: &str) {
        for document in text.split("---\n").filter(|document| !document.trim().is_empty()) {
            let mut object: Value = serde_saphyr::from_str(document).unwrap();
            let kind = object["kind"].as_str().unwrap().to_ascii_lowercase();
            let resource = if kind.ends_with('s') { format!("{kind}es") } else { format!("{kind}s") };
            let metadata = object["metadata"].as_object_mut().unwrap();
            if !matches!(resource.as_str(), "ingressclasses" | "namespaces" | "nodes") {
                metadata.entry("namespace").or_insert(json!("default"));
            }
            self.put(&resource, object);
        }
    }

    /// Creates or changes an object, and tells all watches; gives it with its new version.
    fn put(&self, resource: &str, mut object: Value) -> Value {
        let name = full_name(&object);
        let mut store = self.inner.store.lock().unwrap();
        store.version += 1;
        let version = store.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let uid = format!("uid of {resource} {name}");
        object["metadata"].as_object_mut().unwrap().entry("uid").or_insert(json!(uid));
        let is_new = store.objects.insert((resource.to_owned(), name), object.clone()).is_none();
        let verb = if is_new { "ADDED" } else { "MODIFIED" };
        let event = Event { resource: resource.to_owned(), verb, object: object.clone() };
        store.history.push((version, event.clone()));
        let _ = self.inner.events.send((version, event));
        object
    }

    /// The object as it is now.
    pub(crate) fn find(&self, resource: &str, name: &str) -> Option<Value> {
        self.inner.store.lock().unwrap().objects.get(&(resource.to_owned(), name.to_owned())).cloned()
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        let store = self.inner.store.lock().unwrap();
        store.objects.iter().filter(|((of, _), _)| *of == resource).map(|(_, object)| object.clone()).collect()
    }

    /// Waits until what the server holds is as wanted.
    pub(crate) async fn until(&self, is_there: impl Fn(&Fake) -> bool) {
        let mut events = self.inner.events.subscribe();
        while !is_there(self) {
            let _ = events.recv().await;
        }
    }

    pub(crate) fn delete(&self, resource: &str, name: &str) {
        let mut store = self.inner.store.lock().unwrap();
        store.version += 1;
        let version = store.version;
        let mut object = store.objects.remove(&(resource.to_owned(), name.to_owned())).expect("it is there");
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let event = Event { resource: resource.to_owned(), verb: "DELETED", object };
        store.history.push((version, event.clone()));
        let _ = self.inner.events.send((version, event));
    }

    /// Forgets all history: watches from now on are told that their version is too old.
    pub(crate) fn compact(&self) {
        let mut store = self.inner.store.lock().unwrap();
        store.version += 1;
        store.oldest = store.version;
        store.history.clear();
    }

    /// A backup is put in the place of the store, in which the object is not yet: the server goes back in time.
    pub(crate) fn restore_without(&self, resource: &str, name: &str) {
        let mut store = self.inner.store.lock().unwrap();
        store.objects.remove(&(resource.to_owned(), name.to_owned())).expect("it is there");
        store.history.clear();
        (store.version, store.oldest) = (2, 1);
        drop(store);
        self.end_watches();
    }

    /// Ends every watch that runs.
    pub(crate) fn end_watches(&self) {
        let event = Event { resource: String::new(), verb: "END", object: Value::Null };
        let _ = self.inner.events.send((0, event));
    }

    /// Says this in every watch of the resource, and ends it.
    pub(crate) fn say(&self, resource: &str, verb: &'static str, object: Value) {
        let _ = self.inner.events.send((u64::MAX, Event { resource: resource.to_owned(), verb, object }));
    }

    async fn serve(&self, socket: TcpStream) {
        let mut socket = BufReader::new(socket);
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                match socket.read_line(&mut line).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) if line == "\r\n" => break,
                    Ok(_) => head.push(line),
                }
            }
            let mut ask = parse(&head);
            let length = head
                .iter()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if socket.read_exact(&mut body).await.is_err() {
                return;
            }
            ask.object = serde_json::from_slice(&body).unwrap_or_default();
            self.inner.asked.lock().unwrap().push(ask.clone());
            let fault = (self.inner.faults.lock().unwrap())(&ask);
            let is_open = match fault {
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::Status(code)) => status(&mut socket, code).await,
                Some(Fault::Empty) => whole(&mut socket, 200, "").await,
                Some(Fault::Line(line)) => whole(&mut socket, 200, &line).await,
                None if ask.what.starts_with("portforward/") => return forward::serve(&mut socket, &head, &ask).await,
                None if ask.is_write() => {
                    let (code, object) = self.write(&ask);
                    whole(&mut socket, code, &object.to_string()).await
                }
                None if ask.is_watch() => return self.watch(&mut socket, &ask).await,
                None => self.answer(&mut socket, &ask).await,
            };
            if !is_open {
                return;
            }
        }
    }

    async fn answer(&self, socket: &mut BufReader<TcpStream>, ask: &Ask) -> bool {
        if let Some((resource, name)) = ask.what.split_once('/') {
            return match self.find(resource, name) {
                Some(object) => whole(socket, 200, &object.to_string()).await,
                None => status(socket, 404).await,
            };
        }
        let (version, all) = self.list(ask);
        let limit = ask.query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let start: usize = ask.query.get("continue").map_or(0, |token| token.parse().unwrap());
        let items: Vec<_> = all.iter().skip(start).take(limit).collect();
        let next = start + items.len();
        let next = if next < all.len() { next.to_string() } else { String::new() };
        let text = json!({"metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": items});
        whole(socket, 200, &text.to_string()).await
    }

    fn list(&self, ask: &Ask) -> (u64, Vec<Value>) {
        let store = self.inner.store.lock().unwrap();
        let of_kind = store.objects.iter().filter(|((resource, _), _)| *resource == ask.what);
        (store.version, of_kind.map(|(_, object)| shown(object, ask)).collect())
    }

    async fn watch(&self, socket: &mut BufReader<TcpStream>, ask: &Ask) {
        if ask.is_stream() && !self.inner.has_streams.load(Ordering::Relaxed) {
            status(socket, 422).await;
            return;
        }
        let mut events = self.inner.events.subscribe();
        let mut lines = Vec::new();
        let seen = if ask.is_stream() {
            let (version, all) = self.list(ask);
            lines.extend(all.into_iter().map(|object| line("ADDED", &object)));
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            let end = json!({"metadata": {"resourceVersion": version.to_string(), "annotations": annotations}});
            lines.push(line("BOOKMARK", &end));
            Some(version)
        } else {
            self.since(ask, &mut lines)
        };
        let Some(seen) = seen else {
            status(socket, 410).await;
            return;
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        if socket.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        for line in lines {
            if !chunk(socket, &line).await {
                return;
            }
        }
        while let Ok((version, event)) = events.recv().await {
            if event.verb == "END" {
                let _ = socket.write_all(b"0\r\n\r\n").await;
                return;
            }
            let is_told = version > seen && event.resource == ask.what;
            if is_told && !chunk(socket, &line(event.verb, &shown(&event.object, ask))).await {
                return;
            }
            if is_told && version == u64::MAX {
                let _ = socket.write_all(b"0\r\n\r\n").await;
                return;
            }
        }
    }
}

impl Fake {
    /// What happened since the version asked for, and up to which version; `None` if nobody knows any more.
    fn since(&self, ask: &Ask, lines: &mut Vec<String>) -> Option<u64> {
        let since: u64 = ask.query["resourceVersion"].parse().unwrap();
        let store = self.inner.store.lock().unwrap();
        let after = store.history.iter().filter(|(version, event)| *version > since && event.resource == ask.what);
        lines.extend(after.map(|(_, event)| line(event.verb, &shown(&event.object, ask))));
        // As in a real one, a watch from a version that is still to come hears nothing before.
        (since >= store.oldest).then_some(store.version.max(since))
    }
}

fn shown(object: &Value, ask: &Ask) -> Value {
    if ask.is_metadata { json!({"metadata": object["metadata"]}) } else { object.clone() }
}

fn full_name(object: &Value) -> String {
    let part = |field: &str| object["metadata"][field].as_str();
    part("namespace").into_iter().chain(part("name")).collect::<Vec<_>>().join("/")
}

fn line(verb: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": verb, "object": object}))
}

fn parse(head: &[String]) -> Ask {
    let mut words = head[0].split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let parts = &parts[if parts[0] == "apis" { 3 } else { 2 }..];
    let namespace = parts.strip_prefix(&["namespaces"]).and_then(|rest| rest.first()).map(|name| (*name).to_owned());
    let what = match parts {
        ["namespaces", namespace, "pods", name, "portforward"] => format!("portforward/{namespace}/{name}"),
        ["namespaces", namespace, resource, name, "status"] => format!("{resource}/{namespace}/{name}/status"),
        ["namespaces", namespace, resource, name] => format!("{resource}/{namespace}/{name}"),
        ["namespaces", _, resource] | [resource] => (*resource).to_owned(),
        ["nodes", name] => format!("nodes/{name}"),
        other => panic!("{other:?}"),
    };
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let is_metadata = head.iter().any(|line| line.contains("as=PartialObjectMetadata"));
    Ask { method, what, namespace, object: Value::Null, query, is_metadata }
}

async fn status(socket: &mut BufReader<TcpStream>, code: u16) -> bool {
    let text = json!({"kind": "Status", "code": code, "reason": "Fault", "message": format!("as told: {code}")});
    whole(socket, code, &text.to_string()).await
}

async fn whole(socket: &mut BufReader<TcpStream>, code: u16, text: &str) -> bool {
    let answer = format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    socket.write_all(answer.as_bytes()).await.is_ok()
}

async fn chunk(socket: &mut BufReader<TcpStream>, text: &str) -> bool {
    socket.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.is_ok()
}
