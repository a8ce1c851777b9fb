//! What the snapshot holds after each change, with time as an argument.

use std::sync::Mutex;

use tokio::sync::mpsc;

use super::*;
use crate::settings::ClusterSettings;
use crate::snapshot::api::{Event, Reader};
use crate::source::Delta;
use crate::source::cluster::target::targets;
use crate::telemetry::Metrics;

/// A state, what is sent to it, and its clock. Nothing is ever asked: nobody runs the tasks.
struct Play {
    state: State,
    targets: Vec<Target>,
    reader: Arc<Mutex<Reader>>,
    now: Instant,
}

impl Play {
    async fn new(settings: &ClusterSettings) -> Play {
        let nowhere = ClusterSettings { apiserver_host: Some("http://127.0.0.1:1".to_owned()), ..settings.clone() };
        let client = crate::source::cluster::connect(&nowhere).await.unwrap();
        let options = CompileOptions { folder: false, ..CompileOptions::default() };
        let targets = targets(settings, &options);
        let reader = Arc::new(Mutex::new(Reader::new("x")));
        let metrics = Metrics::new(1, false);
        let contents =
            |kind| Contents::new(kind, client.clone(), Arc::clone(&reader), mpsc::channel(1).0, Arc::clone(&metrics));
        let contents = ByKind { secrets: contents(Kind::Secret), config_maps: contents(Kind::ConfigMap) };
        let zone = Zone::new(client.clone(), mpsc::channel(1).0, metrics, Some("node-1".into()));
        let state = State::new(targets.clone(), options, contents, zone);
        Play { state, targets, reader, now: Instant::now() }
    }

    fn index(&self, kind: Kind) -> usize {
        self.targets.iter().position(|target| target.kind == kind).unwrap()
    }

    fn arrived(&self, kind: Kind, object: &str) -> Arrived {
        let line = format!(r#"{{"type":"ADDED","object":{object}}}"#);
        match self.reader.lock().unwrap().event(kind, line.as_bytes()) {
            Ok(Event::Put(arrived)) => arrived,
            other => panic!("{other:?}"),
        }
    }

    fn apply(&mut self, update: Update) -> Delta {
        let mut differences = Differences::default();
        self.state.apply(update, &mut differences, self.now);
        differences.into_delta(&self.state.snapshot)
    }

    fn is_complete(&mut self) -> bool {
        self.state.is_complete(self.now)
    }

    fn put(&mut self, kind: Kind, object: &str) -> Delta {
        let arrived = self.arrived(kind, object);
        self.apply(Update::Put(self.index(kind), arrived))
    }

    fn delete(&mut self, kind: Kind, name: &str) -> Delta {
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        self.apply(Update::Deleted(self.index(kind), Name::new(namespace, name)))
    }

    fn list(&mut self, kind: Kind, objects: &[&str]) -> Delta {
        self.listed(kind, objects, false)
    }

    fn listed(&mut self, kind: Kind, objects: &[&str], is_rewound: bool) -> Delta {
        let arrived = objects.iter().map(|object| self.arrived(kind, object));
        let map = arrived.map(|arrived| (arrived.name.clone(), arrived)).collect();
        self.apply(Update::Listed(self.index(kind), map, is_rewound))
    }

    fn pass(&mut self, time: Duration) -> Delta {
        self.now += time;
        let mut differences = Differences::default();
        self.state.expire(&mut differences, self.now);
        differences.into_delta(&self.state.snapshot)
    }

    fn ingresses(&self) -> Vec<String> {
        self.state.snapshot.ingresses.keys().map(ToString::to_string).collect()
    }
}

const CLASS: &str = r#"{"metadata":{"name":"c"},"spec":{"controller":"fairlead.dev/ingress-controller"}}"#;
const SECONDS: fn(u64) -> Duration = Duration::from_secs;

fn named(name: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    format!(r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}"}}}}"#)
}

#[tokio::test]
async fn a_deleted_class_counts_for_ten_seconds_more_and_an_edited_one_acts_at_once() {
    for is_relist in [false, true] {
        let mut play = Play::new(&ClusterSettings::default()).await;
        let leave = |play: &mut Play| match is_relist {
            true => play.list(Kind::IngressClass, &[]),
            false => play.delete(Kind::IngressClass, "c"),
        };
        assert!(play.put(Kind::IngressClass, CLASS).routes);
        assert!(leave(&mut play).is_empty());
        assert!(play.pass(SECONDS(9)).is_empty());
        // Once more does not make it longer.
        assert!(leave(&mut play).is_empty());
        assert_eq!(play.state.deadline(), Some(play.now + SECONDS(1)));
        assert!(play.pass(SECONDS(1)).routes && play.state.snapshot.classes.is_empty());

        assert!(play.put(Kind::IngressClass, CLASS).routes);
        leave(&mut play);
        assert!(play.put(Kind::IngressClass, CLASS).is_empty(), "it is back, and was never gone");
        assert!(play.pass(SECONDS(60)).is_empty() && play.state.snapshot.classes.len() == 1);
        assert!(play.put(Kind::IngressClass, &CLASS.replace("fairlead.dev", "other.dev")).routes);
    }
}

#[tokio::test]
async fn what_a_server_that_went_back_in_time_lost_counts_for_a_minute() {
    let mut play = Play::new(&ClusterSettings::default()).await;
    play.list(Kind::Ingress, &[&named("n/1"), &named("n/2"), &named("n/3")]);
    assert!(play.listed(Kind::Ingress, &[], true).is_empty());
    assert!(play.pass(SECONDS(30)).is_empty());
    // One is made again, and the next list is from the same history.
    assert!(play.put(Kind::Ingress, &named("n/1")).is_empty());
    assert!(play.list(Kind::Ingress, &[&named("n/1")]).is_empty());
    assert!(play.pass(SECONDS(29)).is_empty());
    assert!(play.pass(SECONDS(1)).routes);
    assert_eq!(play.ingresses(), ["n/1"]);
    assert!(play.list(Kind::Ingress, &[]).routes, "what the same history lacks is gone");
}

#[tokio::test]
async fn only_ingresses_of_selected_namespaces_count() {
    let settings = ClusterSettings { watch_namespace_selector: Some("a=b".to_owned()), ..ClusterSettings::default() };
    let mut play = Play::new(&settings).await;
    assert!(play.list(Kind::Ingress, &[&named("x/1"), &named("x/2"), &named("y/1"), &named("xx/1")]).is_empty());
    assert_eq!(play.ingresses(), [""; 0]);
    assert!(play.put(Kind::Namespace, &named("x")).routes);
    assert_eq!(play.ingresses(), ["x/1", "x/2"]);
    // What a hidden one does is no change, but is known when it is shown.
    assert!(play.put(Kind::Ingress, &named("y/2")).is_empty() && play.delete(Kind::Ingress, "y/1").is_empty());
    assert!(play.list(Kind::Namespace, &[&named("y")]).routes);
    assert_eq!(play.ingresses(), ["y/2"]);
    assert!(play.list(Kind::Ingress, &[&named("x/1"), &named("y/2")]).is_empty());
    play.put(Kind::Namespace, &named("x"));
    assert_eq!(play.ingresses(), ["x/1", "y/2"], "x/2 went while it was hidden");
    assert!(play.delete(Kind::Namespace, "y").routes);
    assert_eq!(play.ingresses(), ["x/1"]);
}

#[tokio::test]
async fn a_slice_that_changes_hands_leaves_its_former_service() {
    let mut play = Play::new(&ClusterSettings::default()).await;
    let of = |service: &str| {
        format!(
            r#"{{"metadata":{{"name":"s","namespace":"n","labels":{{"kubernetes.io/service-name":"{service}"}}}},"addressType":"IPv4"}}"#
        )
    };
    let services = |delta: Delta| delta.endpoints.iter().map(|name| name.name.to_string()).collect::<Vec<_>>();
    assert_eq!(services(play.put(Kind::EndpointSlice, &of("a"))), ["a"]);
    assert_eq!(services(play.put(Kind::EndpointSlice, &of("b"))), ["a", "b"]);
    assert_eq!(play.state.snapshot.slices.len(), 1);
    assert_eq!(services(play.put(Kind::EndpointSlice, &of(""))), ["b"]);
    assert_eq!(services(play.put(Kind::EndpointSlice, &of("c"))), ["c"]);
    assert_eq!(services(play.list(Kind::EndpointSlice, &[])), ["c"]);
    assert!(play.state.snapshot.slices.is_empty() && play.state.slices.is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_keeps_what_was_read_before() {
    let mut play = Play::new(&ClusterSettings::default()).await;
    let port = |number: &str| {
        format!(r#"{{"metadata":{{"name":"a","namespace":"n"}},"spec":{{"ports":[{{"port":{number}}}]}}}}"#)
    };
    play.put(Kind::Service, &port("80"));
    assert!(play.put(Kind::Service, &port("0")).is_empty() && play.state.renew_problems());
    assert_eq!(play.state.snapshot.services.len(), 1);
    let message = &play.state.snapshot.problems[0].message;
    assert_eq!(message, "it cannot be read: spec.ports[0].port is 0; a port is 1 to 65535");
    assert!(!play.state.renew_problems(), "nothing new is wrong");
    assert!(play.put(Kind::Service, &port("81")).routes && play.state.renew_problems());
    assert!(play.state.snapshot.problems.is_empty());
}

#[tokio::test]
async fn it_is_complete_with_every_required_kind_and_an_answer_about_every_secret() {
    let mut play = Play::new(&ClusterSettings::default()).await;
    let forbidden = |play: &mut Play, kind| {
        play.now += Duration::from_secs(1);
        let index = play.index(kind);
        play.apply(Update::Forbidden(index, "list", "no".to_owned()))
    };
    forbidden(&mut play, Kind::IngressClass);
    for kind in [Kind::Ingress, Kind::Service, Kind::EndpointSlice, Kind::Secret, Kind::Pod, Kind::ConfigMap] {
        assert!(!play.is_complete());
        play.list(kind, &[]);
    }
    assert!(!play.is_complete(), "a server that has just started refuses all for a moment");
    assert_eq!(play.state.awaited(), "ingressclasses.networking.k8s.io (not allowed to list)");
    forbidden(&mut play, Kind::IngressClass);
    assert!(play.is_complete(), "it is not required");
    forbidden(&mut play, Kind::Secret);
    assert!(play.is_complete(), "what was listed once is there");
    play.put(Kind::IngressClass, CLASS);
    play.put(
        Kind::Ingress,
        r#"{"metadata":{"name":"a","namespace":"n"},"spec":{"ingressClassName":"c","tls":[{"secretName":"s"}]}}"#,
    );
    assert!(!play.is_complete());
    play.delete(Kind::Ingress, "n/a");
    play.list(Kind::IngressClass, &[]);
    assert!(play.is_complete(), "nobody asks any more");
}

#[tokio::test]
async fn a_kind_that_is_not_required_is_waited_for_a_while() {
    let mut play = Play::new(&ClusterSettings::default()).await;
    for kind in [Kind::Ingress, Kind::Service, Kind::EndpointSlice, Kind::Secret, Kind::IngressClass] {
        play.list(kind, &[]);
    }
    assert!(!play.is_complete());
    assert_eq!(play.state.deadline(), Some(play.now + OPTIONAL_PATIENCE));
    play.now += OPTIONAL_PATIENCE;
    assert!(play.is_complete());
    play.state.begin();
    assert_eq!(play.state.deadline(), None);
}
