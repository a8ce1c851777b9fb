//! What is written back: by the leader only, once, and to nobody else's objects.

use fairlead::controller::Controller;
use fairlead::report::Reporter;
use fairlead::settings::{Election, Published, ReportSettings};
use fairlead::source::Source;
use serde_json::json;
use tokio::sync::oneshot;

use super::*;
use crate::controller::outlets;

fn settings(pod: &str) -> ReportSettings {
    ReportSettings {
        pod_name: Some(pod.to_owned()),
        pod_namespace: Some("edge".to_owned()),
        controller_class: "fairlead.dev/ingress-controller".into(),
        election: Some(Election { id: "l".to_owned(), ttl: Duration::from_secs(3) }),
        update_status: true,
        clear_on_exit: false,
        status_interval: Duration::from_secs(60),
        published: Published::Service(fairlead::ir::Name::new("edge", "lb")),
        events: true,
    }
}

/// Serves and reports until `end`, and then ends cleanly.
async fn replica(fake: &Fake, settings: ReportSettings, end: oneshot::Receiver<()>) {
    let client = cluster::connect(&fake.settings()).await.unwrap();
    let source = synced(fake).await;
    let outlets = outlets();
    let (reporter, desk) = Reporter::start(&client, &settings, &outlets.metrics).unwrap();
    let options = CompileOptions { folder: false, ..CompileOptions::default() };
    let controller = Controller::new(outlets, options, Vec::new()).reporting(Some(desk));
    tokio::select! {
        never = controller.run(Source::Cluster(Box::new(source))) => match never {},
        () = async {
            end.await.unwrap();
            reporter.finish(PATIENCE).await;
        } => {}
    }
}

/// Runs a replica beside what is to be seen of it.
async fn beside(fake: &Fake, settings: ReportSettings, seen: impl Future<Output = ()>) {
    let (end, ended) = oneshot::channel();
    let script = async {
        timeout(PATIENCE, seen).await.expect("it comes");
        end.send(()).unwrap();
    };
    tokio::join!(replica(fake, settings, ended), script);
}

fn world() -> String {
    let lb = "---\n{kind: Service, metadata: {name: lb, namespace: edge}, spec: {type: LoadBalancer},\n \
              status: {loadBalancer: {ingress: [{hostname: lb.example}, {ip: 192.0.2.1}, {ip: '2001:db8::1'}]}}}\n";
    let foreign = ingress("foreign", "none").replace("ingressClassName: fairlead", "ingressClassName: other");
    let other = "---\n{kind: IngressClass, metadata: {name: other}, spec: {controller: other.example/x}}\n";
    format!("{CLASS}{other}{lb}{foreign}{}", ingress("a", "none"))
}

fn addresses(fake: &Fake, name: &str) -> serde_json::Value {
    fake.find("ingresses", &format!("default/{name}")).unwrap()["status"]["loadBalancer"]["ingress"].clone()
}

/// How often the status of the Ingress was written.
fn writes(fake: &Fake, name: &str) -> usize {
    let what = format!("ingresses/default/{name}/status");
    fake.asked().iter().filter(|ask| ask.what == what).count()
}

fn holder(fake: &Fake) -> String {
    let lease = fake.find("leases", "edge/l").unwrap_or_default();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_leader_writes_each_status_and_event_once_and_its_successor_nothing_again() {
    let fake = Fake::start().await;
    fake.apply(&world());
    let all = json!([{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}, {"hostname": "lb.example"}]);
    beside(&fake, settings("one"), async {
        fake.until(|fake| addresses(fake, "a") == all && !fake.all("events").is_empty()).await;
        assert_eq!(holder(&fake), "one");
        let event = &fake.all("events")[0];
        assert_eq!((&event["reason"], &event["regarding"]["name"]), (&json!("SecretNotFound"), &json!("a")));
        assert_eq!(event["regarding"]["uid"], "uid of ingresses default/a");
        let asked = fake.asked();
        let patch = asked.iter().find(|ask| ask.what == "ingresses/default/a/status").unwrap();
        assert_eq!(patch.query["fieldManager"], "fairlead.dev/ingress-controller");
        assert_eq!(patch.query["force"], "true");

        // Somebody else writes too: no fight. What comes later is written meanwhile.
        fake.apply(&ingress("a", "none"));
        fake.apply(&ingress("b", "none"));
        fake.until(|fake| addresses(fake, "b") == all && fake.all("events").len() == 2).await;
    })
    .await;
    assert_eq!((writes(&fake, "a"), writes(&fake, "b"), writes(&fake, "foreign")), (1, 1, 0));
    assert_eq!(holder(&fake), "", "it is given up");

    beside(&fake, settings("two"), async {
        fake.until(|fake| addresses(fake, "a") == all).await;
        fake.until(|fake| fake.asked().iter().filter(|ask| ask.method == "POST" && ask.what == "events").count() >= 3)
            .await;
    })
    .await;
    assert_eq!((writes(&fake, "a"), writes(&fake, "b")), (2, 1), "what is equal is left out");
    assert_eq!(fake.all("events").len(), 2, "nothing is said twice");
}

#[tokio::test]
async fn who_does_not_hold_the_lease_writes_nothing() {
    let fake = Fake::start().await;
    fake.apply(&world());
    fake.apply("---\n{kind: Lease, metadata: {name: l, namespace: edge}, spec: {holderIdentity: other, leaseDurationSeconds: 600}}\n");
    beside(&fake, settings("one"), async {
        // It looks more than once.
        while fake.asked().iter().filter(|ask| ask.what == "leases/edge/l").count() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(fake.asked().iter().all(|ask| !ask.is_write()));
    assert_eq!(holder(&fake), "other");
}

#[tokio::test]
async fn what_the_api_server_refuses_holds_up_nothing_else() {
    let fake = Fake::start().await;
    fake.apply(&world());
    fake.fail(|ask| match ask.what.as_str() {
        "ingresses/default/a/status" | "events" => Some(Fault::Status(403)),
        _ => None,
    });
    beside(&fake, ReportSettings { election: None, ..settings("one") }, async {
        fake.apply(&ingress("b", "none"));
        fake.until(|fake| addresses(fake, "b").is_array()).await;
    })
    .await;
    assert!(fake.all("leases").is_empty(), "there is no election");
}

#[tokio::test]
async fn the_status_is_cleared_on_exit_only_if_that_is_asked() {
    for clear_on_exit in [false, true] {
        let fake = Fake::start().await;
        fake.apply(&world());
        fake.apply("---\n{kind: Pod, metadata: {name: one, namespace: edge}}\n");
        beside(&fake, ReportSettings { clear_on_exit, ..settings("one") }, async {
            fake.until(|fake| addresses(fake, "a").is_array()).await;
        })
        .await;
        let left = addresses(&fake, "a").as_array().unwrap().len();
        assert_eq!(left, if clear_on_exit { 0 } else { 3 });
    }
}
