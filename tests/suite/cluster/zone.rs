//! The zone of our own node.

use fairlead::ir::{Kind, Name};
use fairlead::settings::ClusterSettings;

use super::*;

const NODE: &str =
    "---\n{kind: Node, metadata: {name: node-1, labels: {topology.kubernetes.io/zone: a}}, spec: {taints: []}}\n";

fn preferring(name: &str) -> String {
    ingress(name, "none").replace(
        &format!("metadata: {{name: {name}}}"),
        &format!("metadata: {{name: {name}, annotations: {{fairlead.dev/locality: prefer}}}}"),
    )
}

/// The source on node-1, whole.
async fn on_a_node(fake: &Fake, options: CompileOptions) -> ClusterSource {
    let settings = ClusterSettings { node_name: Some("node-1".into()), ..fake.settings() };
    let client = cluster::connect(&settings).await.unwrap();
    let mut source = ClusterSource::open(&client, &settings, &options, &Metrics::new(1, true));
    timeout(PATIENCE, source.synced(|_| {})).await.expect("everything is there");
    source
}

fn questions(fake: &Fake) -> usize {
    fake.asked().iter().filter(|ask| ask.what == "nodes/node-1").count()
}

#[tokio::test]
async fn our_node_is_asked_for_its_zone_once_somebody_wants_to_stay_there_and_then_never_again() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{NODE}{}{}", service("s"), slice("s", "10.0.0.1")));
    let mut source = on_a_node(&fake, CompileOptions { folder: false, ..CompileOptions::default() }).await;
    fake.apply(&ingress("a", "none"));
    until(&mut source, |snapshot| snapshot.ingresses.len() == 1).await;
    assert_eq!((questions(&fake), source.snapshot().zone.as_deref()), (0, None));

    fake.apply(&preferring("b"));
    let delta = until(&mut source, |snapshot| snapshot.zone.as_deref() == Some("a")).await;
    assert!(delta.endpoints.contains(&Name::new("default", "s")), "the endpoints are chosen anew");
    fake.apply(&preferring("c"));
    until(&mut source, |snapshot| snapshot.ingresses.len() == 3).await;
    assert!(is_quiet(&mut source, QUIET).await);
    assert_eq!(questions(&fake), 1);
    assert!(fake.asked().iter().filter(|ask| ask.what.starts_with("nodes")).all(|ask| ask.is_metadata));
}

#[tokio::test]
async fn a_node_that_may_not_be_read_is_told_until_it_may() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{NODE}"));
    fake.fail(|ask| (ask.what == "nodes/node-1").then_some(Fault::Status(403)));
    let options = CompileOptions { folder: false, topology_aware: true, ..CompileOptions::default() };
    let mut source = on_a_node(&fake, options).await;
    until(&mut source, |snapshot| !snapshot.problems.is_empty()).await;
    let problem = source.snapshot().problems[0].clone();
    assert_eq!((problem.object.kind, &*problem.object.name.name), (Kind::Node, "node-1"));
    assert!(problem.message.contains("as told: 403") && problem.hint.contains("rbac.nodes"), "{problem:?}");
    fake.fail(|_| None);
    until(&mut source, |snapshot| snapshot.zone.as_deref() == Some("a") && snapshot.problems.is_empty()).await;
}
