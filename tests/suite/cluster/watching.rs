//! Lists and watches: what is served stays whatever the API server does, and what changed comes.

use serde_json::json;
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn everything_is_there_at_once_and_changes_follow_each_on_its_road() {
    for has_streams in [true, false] {
        let fake = Fake::start().await;
        if !has_streams {
            fake.without_streams();
        }
        let many: String = (0..1_200).map(|number| service(&format!("s{number}"))).collect();
        fake.apply(&format!("{CLASS}{}{many}{}", ingress("a", "none"), slice("s1", "10.0.0.1")));
        let mut source = synced(&fake).await;
        let snapshot = source.snapshot();
        assert_eq!((snapshot.services.len(), snapshot.ingresses.len(), snapshot.slices.len()), (1_200, 1, 1));
        let pages = fake.asked().iter().filter(|ask| ask.what == "services" && ask.is_list()).count();
        assert_eq!(pages, if has_streams { 0 } else { 3 });

        fake.apply(&slice("s1", "10.0.0.2"));
        let delta = changed(&mut source).await;
        let services: Vec<String> = delta.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!((delta.routes, services, delta.report), (false, vec!["default/s1".to_owned()], false));
        fake.delete("ingresses", "default/a");
        let delta = changed(&mut source).await;
        assert!(delta.routes && delta.endpoints.is_empty() && source.snapshot().ingresses.is_empty());
    }
}

#[tokio::test]
async fn an_expired_version_leads_to_a_list_that_changes_nothing_but_what_changed() {
    for in_stream in [false, true] {
        let fake = Fake::start().await;
        fake.apply(&format!("{CLASS}{}{}", service("a"), service("b")));
        let mut source = synced(&fake).await;
        fake.compact();
        if in_stream {
            fake.say("services", "ERROR", json!({"kind": "Status", "code": 410, "reason": "Expired"}));
        } else {
            fake.end_watches();
        }
        assert!(is_quiet(&mut source, Duration::from_secs(3)).await, "the same objects are no change");
        fake.apply(&service("c"));
        until(&mut source, |snapshot| snapshot.services.len() == 3).await;
        fake.delete("services", "default/a");
        until(&mut source, |snapshot| snapshot.services.len() == 2).await;
    }
}

#[tokio::test]
async fn what_went_while_nobody_watched_goes_with_the_next_whole_list_and_not_before() {
    for fault in [Fault::Status(500), Fault::Status(410), Fault::Line("{".to_owned())] {
        let fake = Fake::start().await;
        fake.without_streams();
        fake.apply(CLASS);
        fake.apply(&(0..1_200).map(|number| service(&format!("s{number}"))).collect::<String>());
        let mut source = synced(&fake).await;
        fake.fail(|ask| (ask.what == "services").then_some(Fault::Status(500)));
        fake.end_watches();
        fake.delete("services", "default/s1");
        fake.compact();
        let (send, mut failed) = mpsc::unbounded_channel();
        let told = fault.clone();
        fake.fail(move |ask| {
            let is_second = ask.what == "services" && ask.query.get("continue").is_some_and(|token| token == "500");
            is_second.then(|| {
                let _ = send.send(());
                told.clone()
            })
        });
        let twice = async {
            failed.recv().await;
            failed.recv().await
        };
        // A list that is too slow for its pages is made in one, and that one is whole.
        if matches!(fault, Fault::Status(410)) {
            until(&mut source, |snapshot| snapshot.services.len() == 1_199).await;
            continue;
        }
        tokio::select! {
            changed = source.changed() => panic!("{fault:?}: {changed:?}"),
            told = timeout(PATIENCE, twice) => assert!(matches!(told, Ok(Some(()))), "{fault:?}"),
        }
        assert_eq!(source.snapshot().services.len(), 1_200);
        fake.fail(|_| None);
        until(&mut source, |snapshot| snapshot.services.len() == 1_199).await;
    }
}

#[tokio::test]
async fn a_store_that_was_restored_under_the_server_is_noticed() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{}{}", service("a"), service("b")));
    let mut source = synced(&fake).await;
    fake.restore_without("services", "default/b");
    // What it lost stays for a while, and what is new in it comes.
    fake.apply(&service("c"));
    until(&mut source, |snapshot| snapshot.services.len() == 3).await;
}

#[tokio::test]
async fn empty_answers_are_asked_for_less_than_once_a_second() {
    let fake = Fake::start().await;
    fake.without_streams();
    fake.apply(CLASS);
    fake.fail(|ask| (ask.is_watch() && !ask.is_stream()).then_some(Fault::Empty));
    let mut source = synced(&fake).await;
    let before = fake.asked().len();
    assert!(is_quiet(&mut source, Duration::from_secs(4)).await);
    let asked: Vec<_> = fake.asked().drain(before..).collect();
    for (what, count) in [
        ("lists", asked.iter().filter(|ask| ask.what == "services" && ask.is_list()).count()),
        ("watches", asked.iter().filter(|ask| ask.what == "services" && ask.is_watch()).count()),
    ] {
        assert!((1..=4).contains(&count), "{count} {what} in 4 s");
    }
}

#[tokio::test]
async fn a_forbidden_kind_is_told_and_blocks_only_if_it_is_required() {
    for (resource, is_required) in
        [("ingressclasses", false), ("pods", false), ("endpointslices", true), ("secrets", true)]
    {
        let fake = Fake::start().await;
        fake.apply(&format!("{CLASS}{}", service("a")));
        fake.fail(move |ask| (ask.what == resource).then_some(Fault::Status(403)));
        let mut source = open(&fake).await;
        let is_there = timeout(if is_required { QUIET } else { PATIENCE }, source.synced(|_| {})).await.is_ok();
        assert_eq!(is_there, !is_required, "{resource}");
        assert_eq!(source.snapshot().services.len(), 1, "the others are there");
        let problems: Vec<_> = source.snapshot().problems.iter().map(|problem| problem.message.clone()).collect();
        assert_eq!(problems.len(), 1, "{resource}: {problems:?}");
        assert!(problems[0].contains(&format!("refuses to watch {resource}")), "{problems:?}");
        fake.fail(|_| None);
        timeout(PATIENCE, source.synced(|_| {})).await.expect("it recovers by itself");
        until(&mut source, |snapshot| snapshot.problems.is_empty()).await;
    }
}

#[tokio::test]
async fn a_right_taken_away_later_takes_nothing_away() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{}{}", service("a"), slice("a", "10.0.0.1")));
    let mut source = synced(&fake).await;
    fake.fail(|ask| (ask.what == "endpointslices").then_some(Fault::Status(403)));
    fake.end_watches();
    until(&mut source, |snapshot| !snapshot.problems.is_empty()).await;
    assert_eq!(source.snapshot().slices.len(), 1);
    fake.apply(&service("b"));
    until(&mut source, |snapshot| snapshot.services.len() == 2).await;
    fake.fail(|_| None);
    fake.apply(&slice("a", "10.0.0.2"));
    let delta = until(&mut source, |snapshot| snapshot.problems.is_empty()).await;
    let delta = if delta.endpoints.is_empty() { changed(&mut source).await } else { delta };
    assert_eq!(delta.endpoints.len(), 1, "what changed meanwhile comes");
}

#[tokio::test]
async fn a_kind_that_hangs_holds_up_no_other() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{}", service("a")));
    let mut source = synced(&fake).await;
    fake.fail(|ask| (ask.what == "endpointslices").then_some(Fault::Hang));
    fake.end_watches();
    fake.apply(&service("b"));
    until(&mut source, |snapshot| snapshot.services.len() == 2).await;
}

#[tokio::test]
async fn an_object_made_anew_under_its_name_is_another() {
    let fake = Fake::start().await;
    let with_uid = |uid: u8| service("a").replace("name: a", &format!("name: a, uid: '{uid}'"));
    fake.apply(&format!("{CLASS}{}", with_uid(1)));
    let mut source = synced(&fake).await;
    fake.compact();
    fake.apply(&with_uid(2));
    assert!(changed(&mut source).await.routes);
}

#[tokio::test]
async fn a_written_status_is_known_and_no_change() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{}", ingress("a", "none")));
    let mut source = synced(&fake).await;
    let status = ", status: {loadBalancer: {ingress: [{ip: 10.0.0.1}]}}, spec: {";
    fake.apply(&ingress("a", "none").replace(", spec: {", status));
    fake.apply(&service("a"));
    changed(&mut source).await;
    assert!(is_quiet(&mut source, QUIET).await);
    let published = source.snapshot().ingresses.values().flat_map(|ingress| &ingress.published.0);
    assert_eq!(published.map(|address| &**address).collect::<Vec<&str>>(), ["10.0.0.1"]);
}
