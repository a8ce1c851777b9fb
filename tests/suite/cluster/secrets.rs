//! Which Secrets are read, and what becomes of their content.

use fairlead::ir::Name;
use fairlead::snapshot::{SecretContent, Snapshot};

use super::*;

fn secret(name: &str, serial: u8) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.serial_number = Some(vec![serial].into());
    let made = params.self_signed(&key).unwrap();
    let text = |text: String| serde_json::Value::from(text).to_string();
    let (chain, key) = (text(made.pem()), text(key.serialize_pem()));
    format!("---\n{{kind: Secret, metadata: {{name: {name}}}, stringData: {{tls.crt: {chain}, tls.key: {key}}}}}\n")
}

fn serial(snapshot: &Snapshot, name: &str) -> Option<String> {
    let secret = snapshot.secrets.get(&Name::new("default", name))?;
    Some(secret.certificate()?.serial.clone())
}

fn read(fake: &Fake) -> Vec<String> {
    let mut names: Vec<String> =
        fake.asked().iter().filter_map(|ask| ask.what.strip_prefix("secrets/").map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn only_secrets_that_an_ingress_of_ours_names_are_read() {
    let fake = Fake::start().await;
    let foreign = ingress("foreign", "theirs").replace("ingressClassName: fairlead", "ingressClassName: other");
    fake.apply(&format!("{CLASS}{}{foreign}", ingress("a", "ours")));
    for name in ["ours", "theirs", "nobodys", "late"] {
        fake.apply(&secret(name, 1));
    }
    let mut source = synced(&fake).await;
    assert_eq!(serial(source.snapshot(), "ours").as_deref(), Some("01"));
    assert_eq!(read(&fake), ["default/ours"]);
    assert!(fake.asked().iter().filter(|ask| ask.what == "secrets").all(|ask| ask.is_metadata));

    fake.apply(&ingress("b", "late"));
    until(&mut source, |snapshot| serial(snapshot, "late").is_some()).await;
    assert_eq!(read(&fake), ["default/late", "default/ours"]);
    // The class becomes ours.
    fake.apply(&CLASS.replace("name: fairlead", "name: other"));
    until(&mut source, |snapshot| serial(snapshot, "theirs").is_some()).await;
    fake.delete("ingresses", "default/b");
    until(&mut source, |snapshot| serial(snapshot, "late").is_none()).await;
    assert_eq!(source.snapshot().secrets.len(), 2, "what nobody names any more is forgotten");
}

#[tokio::test]
async fn a_secret_is_followed_through_rotations_and_a_bad_one_keeps_the_last_good() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{}", ingress("a", "tls")));
    let mut source = synced(&fake).await;
    assert!(source.snapshot().secrets.is_empty());
    for number in [1, 2] {
        fake.apply(&secret("tls", number));
        let expected = format!("0{number}");
        until(&mut source, |snapshot| serial(snapshot, "tls").as_deref() == Some(&*expected)).await;
    }
    let name = Name::new("default", "tls");
    let is_unusable = |snapshot: &Snapshot| {
        let secret = snapshot.secrets.get(&name);
        secret.is_some_and(|secret| matches!(secret.current, SecretContent::Unusable(_)))
    };
    fake.apply("---\n{kind: Secret, metadata: {name: tls}, stringData: {tls.crt: junk, tls.key: junk}}\n");
    until(&mut source, is_unusable).await;
    assert_eq!(serial(source.snapshot(), "tls").as_deref(), Some("02"));
    fake.delete("secrets", "default/tls");
    until(&mut source, |snapshot| snapshot.secrets.is_empty()).await;
    // And again while nobody watches.
    fake.apply(&secret("tls", 3));
    until(&mut source, |snapshot| serial(snapshot, "tls").is_some()).await;
    fake.fail(|ask| (ask.what == "secrets").then_some(Fault::Status(500)));
    fake.end_watches();
    fake.apply(&secret("tls", 4));
    fake.compact();
    fake.fail(|_| None);
    until(&mut source, |snapshot| serial(snapshot, "tls").as_deref() == Some("04")).await;
}

#[tokio::test]
async fn an_ingress_that_names_another_secret_counts_when_that_one_is_there() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{}{}{}", ingress("a", "old"), secret("old", 1), secret("new", 2)));
    let mut source = synced(&fake).await;
    let mut attempts = 0;
    fake.fail(move |ask| {
        attempts += usize::from(ask.what == "secrets/default/new");
        (ask.what == "secrets/default/new" && attempts == 1).then_some(Fault::Status(500))
    });
    fake.apply(&ingress("a", "new"));
    let names_new = |snapshot: &Snapshot| {
        snapshot.ingresses.values().flat_map(|ingress| &ingress.tls).any(|tls| tls.secret.as_deref() == Some("new"))
    };
    while !names_new(source.snapshot()) {
        assert_eq!(serial(source.snapshot(), "old").as_deref(), Some("01"));
        changed(&mut source).await;
    }
    assert_eq!(serial(source.snapshot(), "new").as_deref(), Some("02"));
    assert_eq!(source.snapshot().secrets.len(), 1);
    // One that is nowhere holds up nothing.
    fake.apply(&ingress("a", "nowhere"));
    until(&mut source, |snapshot| !names_new(snapshot)).await;
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_says_so_and_is_read_when_it_may() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{}{}", ingress("a", "tls"), secret("tls", 1)));
    fake.fail(|ask| (ask.what == "secrets/default/tls").then_some(Fault::Status(403)));
    let mut source = synced(&fake).await;
    let held = source.snapshot().secrets.values().next().expect("it is known to be forbidden");
    assert_eq!(held.current, SecretContent::Forbidden("as told: 403".to_owned()));
    fake.fail(|_| None);
    until(&mut source, |snapshot| serial(snapshot, "tls").is_some()).await;
}

#[tokio::test]
async fn a_secret_that_the_api_server_cannot_read_does_not_hold_up_the_start_for_ever() {
    let fake = Fake::start().await;
    fake.apply(&format!("{CLASS}{}{}", ingress("a", "tls"), secret("tls", 1)));
    fake.fail(|ask| (ask.what == "secrets/default/tls").then_some(Fault::Status(500)));
    let mut source = synced(&fake).await;
    assert!(source.snapshot().secrets.is_empty());
    fake.fail(|_| None);
    until(&mut source, |snapshot| serial(snapshot, "tls").is_some()).await;
}
