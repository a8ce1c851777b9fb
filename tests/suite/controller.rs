//! The control loop from objects to what is served: which road a change takes, and what is said of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use fairlead::controller::{Controller, Outlets};
use fairlead::live::Registry;
use fairlead::proxy::Checks;
use fairlead::settings::CompileOptions;
use fairlead::snapshot::{Snapshot, secret, yaml};
use fairlead::source::{Delta, FolderSource, Source};
use fairlead::table::{RoutingTable, SharedTable};
use fairlead::telemetry::{Metrics, Readiness};

const INGRESS: &str = "---\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web}, spec: {rules: [{host: a.example,\n \
     http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}\n";
const SERVICE: &str = "---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}\n";
const SLICE: &str = "---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 8080}],\n \
     metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}, endpoints: [{addresses: [10.0.0.1]}]}\n";

/// A controller, what it writes, and the snapshot it saw last.
struct World {
    controller: Controller,
    outlets: Outlets,
    snapshot: Snapshot,
    zone: Option<Arc<str>>,
    now: i64,
}

pub(crate) fn outlets() -> Outlets {
    let default_certificate = Arc::new(secret::self_made(1_767_323_045).unwrap());
    let metrics = Metrics::new(1, true);
    Outlets {
        table: Arc::new(SharedTable::new(Arc::new(RoutingTable::empty(&default_certificate)))),
        registry: Arc::new(Registry::new(1)),
        checks: Checks::new(&metrics),
        metrics,
        readiness: Readiness::new(),
        problems: Arc::new(ArcSwap::default()),
        default_certificate,
    }
}

impl World {
    fn new() -> World {
        let outlets = outlets();
        let controller = Controller::new(outlets.clone(), CompileOptions::default(), Vec::new());
        World { controller, outlets, snapshot: Snapshot::default(), zone: None, now: 0 }
    }

    fn serve(&mut self, text: &str) {
        let next = Snapshot { zone: self.zone.clone(), ..yaml::read(text, "f.yaml").into_snapshot() };
        let delta = Delta::between(&self.snapshot, &next);
        self.snapshot = next;
        self.now += 1;
        self.controller.apply(&self.snapshot, &delta, Instant::now(), self.now);
    }

    fn endpoints(&self) -> Vec<String> {
        let backends = self.outlets.registry.backends();
        let addresses = |backend: &Arc<fairlead::live::Backend>| -> Vec<String> {
            backend.endpoints.load().iter().map(|endpoint| endpoint.address.to_string()).collect()
        };
        backends.iter().flat_map(addresses).collect()
    }

    fn problems(&self) -> Vec<(String, Option<u32>, i64)> {
        let standing = self.outlets.problems.load();
        standing.iter().map(|s| (s.problem.reason.to_string(), s.problem.object.line, s.since)).collect()
    }
}

#[test]
fn nothing_is_ready_before_the_first_table() {
    let mut world = World::new();
    world.outlets.readiness.listeners_bound();
    assert!(world.outlets.readiness.ready().is_err());
    world.serve("");
    assert!(world.outlets.readiness.ready().is_ok(), "an empty folder is served too");
    assert_eq!(world.outlets.table.generation(), 1);
}

#[test]
fn routes_make_a_table_and_endpoints_do_not() {
    let mut world = World::new();
    world.serve(&format!("{INGRESS}{SERVICE}{SLICE}"));
    assert!(world.outlets.table.load().find("a.example", "/x").is_some());
    assert_eq!(world.endpoints(), ["10.0.0.1:8080"]);
    let first = world.outlets.table.generation();
    world.serve(&format!("{INGRESS}{SERVICE}{}", SLICE.replace("10.0.0.1", "10.0.0.2")));
    assert_eq!(world.endpoints(), ["10.0.0.2:8080"]);
    assert_eq!(world.outlets.table.generation(), first, "the second road touches no table");
    world.serve(&format!("{}{SERVICE}{SLICE}", INGRESS.replace("a.example", "b.example")));
    assert_eq!(world.outlets.table.generation(), first + 1);
    assert!(world.outlets.table.load().find("a.example", "/").is_none());
    assert_eq!(world.endpoints(), ["10.0.0.1:8080"], "one change may take both roads");
}

#[test]
fn requests_leave_our_zone_while_its_endpoints_fail() {
    let mut world = World::new();
    world.zone = Some("a".into());
    let annotated =
        INGRESS.replace("{name: web}, spec", "{name: web, annotations: {fairlead.dev/locality: prefer}}, spec");
    let endpoint =
        |number: u8, zone: &str| format!("{{addresses: [10.0.0.{number}], hints: {{forZones: [{{name: {zone}}}]}}}}");
    let both = format!("{}, {}", endpoint(1, "a"), endpoint(2, "b"));
    world.serve(&format!("{annotated}{SERVICE}{}", SLICE.replace("{addresses: [10.0.0.1]}", &both)));
    let backend = Arc::clone(&world.outlets.registry.backends()[0]);
    let in_use = || -> Vec<String> {
        let set = backend.endpoints.load();
        set.candidates.iter().map(|endpoint| endpoint.address.to_string()).collect()
    };
    assert_eq!(in_use(), ["10.0.0.1:8080"]);
    let ours = Arc::clone(&backend.endpoints.load().candidates[0]);
    backend.judge(&ours, false, "a check".into(), Instant::now());
    assert_eq!(in_use(), ["10.0.0.1:8080", "10.0.0.2:8080"], "it stays, and is judged on");
    let third = format!("{both}, {}", endpoint(3, "b"));
    world.serve(&format!("{annotated}{SERVICE}{}", SLICE.replace("{addresses: [10.0.0.1]}", &third)));
    assert_eq!(in_use().len(), 3);
    backend.judge(&ours, true, "a check".into(), Instant::now());
    assert_eq!(in_use(), ["10.0.0.1:8080"]);
}

#[test]
fn a_backend_that_comes_later_has_its_endpoints_at_once() {
    let mut world = World::new();
    world.serve(&format!("{SERVICE}{SLICE}"));
    assert!(world.endpoints().is_empty(), "nobody names it");
    world.serve(&format!("{INGRESS}{SERVICE}{SLICE}"));
    assert_eq!(world.endpoints(), ["10.0.0.1:8080"]);
    world.serve(&format!("{INGRESS}{}{SLICE}", SERVICE.replace("port: 80}", "port: 80, targetPort: 9}")));
    assert_eq!(world.endpoints(), ["10.0.0.1:8080"], "the slice has the port");
}

#[test]
fn a_problem_stands_since_it_came_and_is_blamed_where_the_object_stands_now() {
    let mut world = World::new();
    world.serve(&format!("{INGRESS}{SERVICE}"));
    assert_eq!(world.problems(), [("NoEndpoints".to_owned(), Some(5), 1)]);
    let generation = world.outlets.table.generation();
    world.serve(&format!("# moved\n\n{INGRESS}{SERVICE}"));
    assert_eq!(world.problems(), [("NoEndpoints".to_owned(), Some(7), 1)]);
    assert_eq!(world.outlets.table.generation(), generation, "moving makes no table");
    world.serve(&format!("{INGRESS}{SERVICE}---\n]["));
    assert_eq!(world.problems().len(), 2);
    assert!(world.problems().iter().any(|(reason, _, since)| reason == "ManifestUnreadable" && *since == 3));
    world.serve(&format!("{INGRESS}{SERVICE}{SLICE}"));
    assert_eq!(world.problems(), []);
}

#[test]
fn an_object_that_moved_takes_its_compiled_problem_along() {
    let mut world = World::new();
    world.serve(INGRESS);
    let lines = |world: &World| world.problems().iter().map(|(_, line, _)| *line).collect::<Vec<_>>();
    assert_eq!(lines(&world), [Some(2)]);
    world.serve(&format!("\n\n{INGRESS}"));
    assert_eq!(lines(&world), [Some(4)]);
}

#[tokio::test]
async fn the_loop_serves_what_the_folder_has_and_gets_and_frees_old_tables() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, format!("{INGRESS}{SERVICE}{SLICE}")).unwrap();
    let source = FolderSource::open(&[folder.path().to_owned()], "x").unwrap();
    let outlets = outlets();
    let controller = Controller::new(outlets.clone(), CompileOptions::default(), Vec::new());
    let has = async |host: &str| {
        while outlets.table.load().find(host, "/").is_none() {
            tokio::task::yield_now().await;
        }
    };
    let test = async {
        has("a.example").await;
        let first = Arc::downgrade(&outlets.table.load());
        for host in ["b.example", "c.example"] {
            let text = format!("{}{SERVICE}{SLICE}", INGRESS.replace("a.example", host));
            std::fs::write(path.with_extension("tmp"), text).unwrap();
            std::fs::rename(path.with_extension("tmp"), &path).unwrap();
            has(host).await;
        }
        while first.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        never = controller.run(Source::Folder(Box::new(source))) => match never {},
        done = tokio::time::timeout(Duration::from_secs(20), test) => done.expect("what the folder says is not served"),
    }
}

#[tokio::test]
async fn the_weight_of_a_new_endpoint_grows_in_steps_through_other_changes_while_the_old_ones_keep_theirs() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("a.yaml");
    let write = |host: &str, endpoints: &str| {
        let service = SERVICE.replace("{name: web}", "{name: web, annotations: {fairlead.dev/slow-start: 1s}}");
        let slice = SLICE.replace("{addresses: [10.0.0.1]}", endpoints);
        std::fs::write(path.with_extension("tmp"), INGRESS.replace("a.example", host) + &service + &slice).unwrap();
        std::fs::rename(path.with_extension("tmp"), &path).unwrap();
    };
    let (one, two) = ("{addresses: [10.0.0.1]}", "{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}");
    write("a.example", one);
    let source = FolderSource::open(&[folder.path().to_owned()], "x").unwrap();
    let outlets = outlets();
    let controller = Controller::new(outlets.clone(), CompileOptions::default(), Vec::new());
    // Tenths of the weight, in the order of addresses.
    let weights = || -> Vec<u32> {
        let backends = outlets.registry.backends();
        let Some(backend) = backends.first() else { return Vec::new() };
        let set = backend.endpoints.load();
        set.candidates.iter().map(|endpoint| endpoint.weight.load(Ordering::Relaxed)).collect()
    };
    let test = async {
        while weights() != [10] {
            tokio::task::yield_now().await;
        }
        write("a.example", two);
        while weights().len() < 2 {
            tokio::task::yield_now().await;
        }
        let (came, mut steps) = (Instant::now(), vec![weights()[1]]);
        while steps.last() != Some(&10) {
            let now = weights();
            assert_eq!(now[0], 10);
            if steps.last() != Some(&now[1]) {
                steps.push(now[1]);
                // A change of routes, which makes another table.
                write(&format!("host-{}.example", now[1]), two);
            }
            tokio::task::yield_now().await;
        }
        (steps, came.elapsed())
    };
    let (steps, took) = tokio::select! {
        never = controller.run(Source::Folder(Box::new(source))) => match never {},
        done = tokio::time::timeout(Duration::from_secs(20), test) => done.expect("it never has its full weight"),
    };
    // A busy machine may miss steps.
    assert!(steps.is_sorted() && steps[0] == 1 && steps.len() >= 5, "{steps:?}");
    assert!((800..3_000).contains(&took.as_millis()), "{steps:?} in {took:?}");
    assert!(outlets.table.generation() > 2);
}
