//! Which ConfigMaps are read, and what becomes of their content.

use fairlead::ir::{Name, Reason};
use fairlead::snapshot::Snapshot;

use super::*;

fn map(name: &str, data: &str) -> String {
    format!("---\n{{kind: ConfigMap, metadata: {{name: {name}}}, data: {{{data}}}}}\n")
}

fn options() -> CompileOptions {
    let config_map = Some(Name::new("default", "global"));
    CompileOptions { folder: false, config_map, ..CompileOptions::default() }
}

fn value(snapshot: &Snapshot, name: &str, key: &str) -> Option<String> {
    let map = snapshot.config_maps.get(&Name::new("default", name))?;
    map.data.get(key).map(|value| value.to_string())
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.config_maps.keys().map(|name| &*name.name).collect()
}

#[tokio::test]
async fn those_that_the_flag_its_keys_or_an_annotation_name_are_read_and_no_other() {
    let fake = Fake::start().await;
    fake.apply(CLASS);
    let foreign = ingress("foreign", "tls").replace("name: foreign", "name: foreign, annotations: {x/y: z}");
    fake.apply(&foreign.replace("x/y: z", "fairlead.dev/custom-headers: theirs").replace("fairlead,", "other,"));
    let ours = "name: a, annotations: {nginx.ingress.kubernetes.io/custom-headers: default/custom}";
    fake.apply(&ingress("a", "tls").replace("name: a}", &format!("{ours}}}")));
    fake.apply(&map("global", "'add-headers': default/added, keep-alive: '5'"));
    for name in ["added", "custom", "nobodys", "theirs", "later"] {
        fake.apply(&map(name, "X-A: '1'"));
    }
    let mut source = open_with(&fake, options()).await;
    timeout(PATIENCE, source.synced(|_| {})).await.expect("everything is there");
    assert_eq!(names(source.snapshot()), ["added", "custom", "global"]);
    let is_of_maps = |ask: &&fake::Ask| ask.what == "configmaps";
    assert!(fake.asked().iter().filter(is_of_maps).all(|ask| ask.is_metadata));

    // They are followed, and so is what names them.
    fake.apply(&map("added", "X-A: '2'"));
    until(&mut source, |snapshot| value(snapshot, "added", "X-A").as_deref() == Some("2")).await;
    fake.apply(&map("global", "'proxy-set-headers': default/later"));
    until(&mut source, |snapshot| names(snapshot) == ["custom", "global", "later"]).await;
    fake.delete("configmaps", "default/global");
    let delta = until(&mut source, |snapshot| names(snapshot) == ["custom"]).await;
    assert!(delta.routes);
    fake.delete("ingresses", "default/a");
    until(&mut source, |snapshot| names(snapshot).is_empty()).await;
}

#[tokio::test]
async fn nothing_is_served_before_the_one_of_the_flag_is_known() {
    let fake = Fake::start().await;
    fake.apply(CLASS);
    fake.apply(&map("global", "keep-alive: '5'"));
    fake.fail(|ask| (ask.what == "configmaps").then_some(Fault::Status(500)));
    let mut source = open_with(&fake, options()).await;
    let synced = timeout(QUIET, source.synced(|missing| assert!(missing.contains("configmaps"), "{missing}"))).await;
    assert!(synced.is_err());
    fake.fail(|_| None);
    timeout(PATIENCE, source.synced(|_| {})).await.expect("everything is there");
    assert_eq!(value(source.snapshot(), "global", "keep-alive").as_deref(), Some("5"));
}

#[tokio::test]
async fn one_that_may_not_be_read_says_so_and_is_read_when_it_may() {
    let fake = Fake::start().await;
    fake.apply(CLASS);
    fake.apply(&map("global", "keep-alive: '5'"));
    fake.fail(|ask| (ask.what == "configmaps/default/global").then_some(Fault::Status(403)));
    let mut source = open_with(&fake, options()).await;
    timeout(PATIENCE, source.synced(|_| {})).await.expect("everything is there");
    let told = |snapshot: &Snapshot| snapshot.problems.iter().any(|problem| problem.reason == Reason::WatchForbidden);
    assert!(told(source.snapshot()), "{:?}", source.snapshot().problems);
    fake.fail(|_| None);
    until(&mut source, |snapshot| value(snapshot, "global", "keep-alive").is_some() && !told(snapshot)).await;
}
