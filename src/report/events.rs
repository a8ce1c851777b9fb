//! Which problems become `events.k8s.io/v1 Event`s, and when.
//!
//! The name of an Event is made from what it says: a second one that says the same is refused by the API server, so after a
//! restart, or by the next leader, nothing is said twice, without any Event being read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Trouble;
use super::pace::{Pace, Paced};
use crate::ir::{Kind, Object, Problem, Reason};

/// 5 a second, 50 at once.
const APART: Duration = Duration::from_millis(200);
const BURST: u32 = 50;
/// A problem that stands is told again after this; an API server keeps Events as long by default.
const AGAIN: Duration = Duration::from_secs(3600);
/// What was refused is tried again after this.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);
/// Longest text, in bytes; longer ones are refused.
const NOTE: usize = 1024;
/// Longest name of an object.
const NAME: usize = 253;
/// Longest name of who writes.
const INSTANCE: usize = 128;

/// Uid, reason, and field; the text instead of an empty field, since an object may have several of those.
type Key = (Arc<str>, Reason, String);

/// One Event to write.
#[derive(Clone, Debug)]
pub(super) struct Write {
    key: Key,
    digest: u64,
    /// How many times this text is said by then, counted from the start of the process.
    count: u32,
    object: Arc<Object>,
    note: String,
}

#[derive(Debug)]
struct Told {
    digest: u64,
    count: u32,
    again: Instant,
}

/// What is to be told, and what was.
#[derive(Debug)]
pub(super) struct Events {
    told: BTreeMap<Key, Told>,
    /// What is to be written.
    pub(super) todo: Paced<Write>,
}

impl Events {
    /// Nothing told yet.
    pub(super) fn new() -> Events {
        Events { told: BTreeMap::new(), todo: Paced::new(Pace::new(APART, BURST)) }
    }

    /// From here on these are the problems that stand.
    pub(super) fn plan(&mut self, troubles: Vec<Trouble>, now: Instant) {
        let mut todo = Vec::new();
        let mut standing = BTreeSet::new();
        for Trouble { uid, problem } in troubles {
            let note = note(&problem);
            let Problem { object, reason, field, .. } = problem;
            let key = (uid, reason, if field.is_empty() { note.clone() } else { field });
            if !standing.insert(key.clone()) {
                continue;
            }
            let digest = digest(&key, &note);
            let told = self.told.get(&key).filter(|told| told.digest == digest);
            if told.is_none_or(|told| now >= told.again) {
                let count = told.map_or(0, |told| told.count) + 1;
                todo.push(Write { key, digest, count, object, note });
            }
        }
        self.told.retain(|key, _| standing.contains(key));
        todo.reverse();
        self.todo.plan(todo);
    }

    /// It is in the cluster.
    pub(super) fn written(&mut self, write: Write, now: Instant) {
        self.told.insert(write.key, Told { digest: write.digest, count: write.count, again: now + AGAIN });
    }

    /// The API server takes it no more than before.
    pub(super) fn refused(&mut self, write: Write, now: Instant) {
        let told = Told { digest: write.digest, count: write.count - 1, again: now + AFTER_REFUSAL };
        self.told.insert(write.key, told);
    }

    /// Somebody else tells from here on.
    pub(super) fn forget(&mut self) {
        self.told.clear();
        self.todo.plan(Vec::new());
    }
}

impl Write {
    /// Path of the Events of its namespace.
    pub(super) fn path(&self) -> String {
        format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace())
    }

    /// Its own path.
    pub(super) fn own_path(&self) -> String {
        format!("{}/{}", self.path(), self.name())
    }

    /// It was told before in this process, so the Event there may say how often and when last.
    pub(super) fn is_repeated(&self) -> bool {
        self.count > 1
    }

    /// The Event, written by `instance` of the controller `class`. `time` is the time of day as `v1 MicroTime`.
    pub(super) fn object(&self, class: &str, instance: &str, time: &str) -> Value {
        let Object { kind, name, .. } = &*self.object;
        let (uid, reason, _) = &self.key;
        let regarding = json!({
            "apiVersion": api_version(*kind),
            "kind": kind.as_str(),
            "namespace": Some(&*name.namespace).filter(|namespace| !namespace.is_empty()),
            "name": &*name.name,
            "uid": &**uid,
        });
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": self.namespace(), "name": self.name()},
            "eventTime": time,
            "type": "Warning",
            "reason": reason.as_str(),
            "action": "Compile",
            "note": self.note,
            "regarding": regarding,
            "reportingController": class,
            "reportingInstance": cut(instance, INSTANCE),
        })
    }

    /// What of the Event changes when the same is told again.
    pub(super) fn series(&self, time: &str) -> Value {
        json!({"series": {"count": self.count, "lastObservedTime": time}})
    }

    /// Events about what has no namespace stand in `default`.
    fn namespace(&self) -> &str {
        let namespace = &*self.object.name.namespace;
        if namespace.is_empty() { "default" } else { namespace }
    }

    fn name(&self) -> String {
        let name = cut(&self.object.name.name, NAME - 17).trim_end_matches(['.', '-']);
        format!("{name}.{:016x}", self.digest)
    }
}

fn note(problem: &Problem) -> String {
    let Problem { message, hint, .. } = problem;
    cut(&if hint.is_empty() { message.clone() } else { format!("{message}; {hint}") }, NOTE).to_owned()
}

fn digest((uid, reason, field): &Key, note: &str) -> u64 {
    let text = [uid, reason.as_str(), field.as_str(), note].join("\0");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn api_version(kind: Kind) -> &'static str {
    match kind {
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::Ingress | Kind::IngressClass => "networking.k8s.io/v1",
        Kind::ConfigMap
        | Kind::File
        | Kind::Flag
        | Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::Secret
        | Kind::Service => "v1",
    }
}

/// The first `length` bytes, or a little less where a character would be cut.
fn cut(text: &str, length: usize) -> &str {
    text.get(..text.floor_char_boundary(length)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Name, Severity};

    fn trouble(name: &str, field: &str, message: &str) -> Trouble {
        let object = Object { kind: Kind::Ingress, name: Name::new("shop", name), file: None, line: None };
        let problem = Problem {
            object: Arc::new(object),
            severity: Severity::Error,
            reason: Reason::PathInvalid,
            field: field.to_owned(),
            message: message.to_owned(),
            hint: "mend it".to_owned(),
        };
        Trouble { uid: format!("u-{name}").into(), problem }
    }

    /// What is written of these problems at `now`.
    fn tell(events: &mut Events, troubles: &[Trouble], now: Instant) -> Vec<String> {
        events.plan(troubles.to_vec(), now);
        let mut told = Vec::new();
        while let Some(write) = events.todo.next(now) {
            told.push(format!("{} {}", write.note, write.count));
            events.written(write, now);
        }
        told
    }

    #[test]
    fn a_problem_is_told_once_again_when_its_text_changes_and_again_after_an_hour() {
        let start = Instant::now();
        let mut events = Events::new();
        let first = [trouble("a", "spec.x", "one"), trouble("a", "", "two"), trouble("a", "", "three")];
        let told = ["one; mend it 1", "two; mend it 1", "three; mend it 1"];
        assert_eq!(tell(&mut events, &first, start), told);
        assert_eq!(tell(&mut events, &first, start + Duration::from_secs(3599)), [""; 0]);
        let other = [trouble("a", "spec.x", "other")];
        assert_eq!(tell(&mut events, &other, start + Duration::from_secs(60)), ["other; mend it 1"]);
        assert_eq!(tell(&mut events, &other, start + Duration::from_secs(3659)), [""; 0]);
        assert_eq!(tell(&mut events, &other, start + Duration::from_secs(3660)), ["other; mend it 2"]);
        // What was solved and comes back is told.
        assert_eq!(tell(&mut events, &[], start + Duration::from_secs(3700)), [""; 0]);
        assert_eq!(tell(&mut events, &other, start + Duration::from_secs(3701)), ["other; mend it 1"]);
    }

    #[test]
    fn fifty_are_told_at_once_and_five_a_second_then() {
        let start = Instant::now();
        let mut events = Events::new();
        let many: Vec<Trouble> = (0..60).map(|number| trouble(&format!("n{number}"), "f", "m")).collect();
        assert_eq!(tell(&mut events, &many, start).len(), 50);
        assert_eq!(tell(&mut events, &many, start + Duration::from_secs(1)).len(), 5);
        assert_eq!(tell(&mut events, &many, start + Duration::from_secs(9)).len(), 5);
    }

    #[test]
    fn what_is_refused_is_told_a_minute_later() {
        let start = Instant::now();
        let mut events = Events::new();
        let one = vec![trouble("a", "f", "m")];
        events.plan(one.clone(), start);
        let write = events.todo.next(start).unwrap();
        events.refused(write, start);
        assert_eq!(tell(&mut events, &one, start + Duration::from_secs(59)), [""; 0]);
        assert_eq!(tell(&mut events, &one, start + Duration::from_secs(60)), ["m; mend it 1"]);
    }

    #[test]
    fn equal_words_have_equal_names_and_other_words_others() {
        let name = |trouble: Trouble| {
            let mut events = Events::new();
            events.plan(vec![trouble], Instant::now());
            events.todo.next(Instant::now()).unwrap().name()
        };
        let first = name(trouble("a", "f", "m"));
        // Also in the next release: what was told before an upgrade is not told after it.
        assert_eq!(first, "a.7fd32bae4604d8f5");
        assert_eq!(first, name(trouble("a", "f", "m")));
        for other in [trouble("a", "f", "n"), trouble("a", "g", "m"), trouble("b", "f", "m")] {
            assert_ne!(first, name(other));
        }
        let long = name(trouble(&"x.".repeat(126), "f", "m"));
        assert!(long.len() <= 253 && !long.contains(".."), "{long}");
    }

    #[test]
    fn an_event_is_what_the_api_server_takes() {
        let mut events = Events::new();
        events.plan(vec![trouble("a", "f", &"ü".repeat(1000))], Instant::now());
        let write = events.todo.next(Instant::now()).unwrap();
        let event = write.object("fairlead.dev/ingress-controller", &"p".repeat(300), "2026-01-02T03:04:05.000000Z");
        assert_eq!(event["note"].as_str().unwrap().len(), 1024);
        assert_eq!(event["reportingInstance"].as_str().unwrap().len(), 128);
        let regarding = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "namespace": "shop", "name": "a", "uid": "u-a"});
        assert_eq!(event["regarding"], regarding);
        assert_eq!(
            (&event["type"], &event["reason"], &event["action"]),
            (&json!("Warning"), &json!("PathInvalid"), &json!("Compile"))
        );
        assert_eq!(write.path(), "/apis/events.k8s.io/v1/namespaces/shop/events");
    }
}
