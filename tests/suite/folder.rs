//! Manifest folders as people and tools change them: by rename, in halves, through links, a thousand files at once.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairlead::ir::{Name, Problem, Reason, Severity};
use fairlead::snapshot::{SecretContent, Snapshot};
use fairlead::source::{Changed, Delta, FolderSource, folder};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn service(name: &str, port: u16) -> String {
    format!("---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{ports: [{{port: {port}}}]}}}}\n")
}

fn slice(service: &str, address: &str) -> String {
    format!(
        "---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{{port: 80}}], \
         metadata: {{name: {service}-1, labels: {{kubernetes.io/service-name: {service}}}}}, endpoints: [{{addresses: [{address}]}}]}}\n"
    )
}

/// A folder with these files, and its source.
fn opened(files: &[(&str, &str)]) -> (TempDir, FolderSource) {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        write(&folder.path().join(name), text);
    }
    let source = FolderSource::open(&[folder.path().to_owned()], "nginx.ingress.kubernetes.io").unwrap();
    (folder, source)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// As editors and careful tools write: beside, then by rename.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

async fn next(source: &mut FolderSource) -> Delta {
    let Changed { delta, .. } = timeout(PATIENCE, source.changed()).await.expect("no change was seen");
    delta
}

async fn until(source: &mut FolderSource, what: &str, is_so: impl Fn(&Snapshot) -> bool) {
    let waiting = async {
        while !is_so(source.snapshot()) {
            source.changed().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn port(snapshot: &Snapshot, name: &str) -> Option<u16> {
    snapshot.services.get(&Name::new("default", name)).map(|service| service.ports[0].port)
}

fn problems(snapshot: &Snapshot) -> Vec<(Reason, String)> {
    let line = |problem: &Problem| (problem.reason, problem.message.rsplit('/').next().unwrap().to_owned());
    snapshot.problems.iter().map(line).collect()
}

#[tokio::test]
async fn a_file_written_by_rename_or_in_place_is_seen() {
    let (folder, mut source) = opened(&[("a.yaml", &service("a", 1))]);
    let path = folder.path().join("a.yaml");
    replace(&path, &service("a", 2));
    assert_eq!(next(&mut source).await, Delta { routes: true, endpoints: [].into(), report: false });
    assert_eq!(port(source.snapshot(), "a"), Some(2));
    fs::write(&path, service("a", 3)).unwrap();
    until(&mut source, "the port is 3", |snapshot| port(snapshot, "a") == Some(3)).await;
}

#[tokio::test]
async fn a_changed_slice_takes_the_second_road_and_an_equal_file_none() {
    let text = |address| format!("{}{}", service("a", 1), slice("a", address));
    let (folder, mut source) = opened(&[("a.yaml", &text("10.0.0.1"))]);
    replace(&folder.path().join("a.yaml"), &text("10.0.0.1"));
    fs::write(folder.path().join("notes.txt"), "not a manifest").unwrap();
    replace(&folder.path().join("a.yaml"), &text("10.0.0.2"));
    let expected = Delta { routes: false, endpoints: [Name::new("default", "a")].into(), report: false };
    assert_eq!(next(&mut source).await, expected);
}

#[tokio::test]
async fn objects_of_one_file_change_together() {
    let text = |port| format!("{}{}", service("a", port), service("b", port));
    let (folder, mut source) = opened(&[("a.yaml", &text(1))]);
    for port_now in 2..20 {
        replace(&folder.path().join("a.yaml"), &text(port_now));
        next(&mut source).await;
        assert_eq!(port(source.snapshot(), "a"), port(source.snapshot(), "b"));
    }
    until(&mut source, "the last content", |snapshot| port(snapshot, "a") == Some(19)).await;
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_objects_until_it_is_whole_again() {
    let both = format!("{}{}", service("a", 1), service("b", 1));
    let (folder, mut source) = opened(&[("a.yaml", &both), ("c.yaml", &service("c", 1))]);
    let path = folder.path().join("a.yaml");
    replace(&path, &format!("{}---\nkind: ][\n", service("a", 2)));
    until(&mut source, "a problem", |snapshot| !snapshot.problems.is_empty()).await;
    let [(reason, message)] = &problems(source.snapshot())[..] else { panic!("one problem") };
    assert_eq!(*reason, Reason::ManifestUnreadable);
    assert!(message.starts_with("a.yaml:4: ") && message.ends_with(" (document 2)"), "{message}");
    let ports = ["a", "b", "c"].map(|name| port(source.snapshot(), name));
    assert_eq!(ports, [Some(1); 3], "the good half of a broken file is not mixed with the last good whole");
    replace(&path, &service("a", 3));
    until(&mut source, "repaired", |snapshot| snapshot.problems.is_empty()).await;
    assert_eq!(["a", "b"].map(|name| port(source.snapshot(), name)), [Some(3), None]);
}

#[tokio::test]
async fn a_file_that_was_never_whole_gives_what_can_be_read_of_it() {
    let (_folder, source) = opened(&[("a.yaml", &format!("{}---\nkind: ][\n", service("a", 2)))]);
    assert_eq!(port(source.snapshot(), "a"), Some(2));
    assert_eq!(source.snapshot().problems.len(), 1);
}

#[tokio::test]
async fn deleted_files_delete_their_objects_and_an_emptied_folder_is_empty() {
    let (folder, mut source) =
        opened(&[("a.yaml", &service("a", 1)), ("broken.yaml", "]["), ("sub/b.yaml", &service("b", 1))]);
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    until(&mut source, "a is gone", |snapshot| port(snapshot, "a").is_none()).await;
    assert_eq!(port(source.snapshot(), "b"), Some(1));
    fs::remove_dir_all(folder.path().join("sub")).unwrap();
    fs::remove_file(folder.path().join("broken.yaml")).unwrap();
    until(&mut source, "nothing left", |snapshot| snapshot.services.is_empty() && snapshot.problems.is_empty()).await;
}

#[tokio::test]
async fn new_folders_are_watched_and_one_that_comes_back_too() {
    let (folder, mut source) = opened(&[]);
    let deep = folder.path().join("x/y/a.yaml");
    for round in 1..4 {
        write(&deep, &service("a", round));
        until(&mut source, "the file in a new folder", |snapshot| port(snapshot, "a") == Some(round)).await;
        replace(&deep, &service("a", 100 + round));
        until(&mut source, "its change", |snapshot| port(snapshot, "a") == Some(100 + round)).await;
        fs::remove_dir_all(folder.path().join("x")).unwrap();
        until(&mut source, "its end", |snapshot| port(snapshot, "a").is_none()).await;
    }
}

#[tokio::test]
async fn a_mounted_config_map_swaps_its_link() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("..2026_1/a.yaml"), &service("a", 1));
    symlink("..2026_1", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let mut source = FolderSource::open(&[folder.path().to_owned()], "x").unwrap();
    assert_eq!(port(source.snapshot(), "a"), Some(1));
    assert_eq!(source.snapshot().services.len(), 1);
    assert_eq!(source.snapshot().problems, []);
    for round in 2..5 {
        write(&at(&format!("..2026_{round}/a.yaml")), &service("a", round));
        symlink(format!("..2026_{round}"), at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at(&format!("..2026_{}", round - 1))).unwrap();
        until(&mut source, "the swapped content", |snapshot| port(snapshot, "a") == Some(round)).await;
    }
}

#[tokio::test]
async fn a_thousand_files_at_once_are_few_changes() {
    let (folder, mut source) = opened(&[("before.yaml", &service("before", 1))]);
    for number in 0..1000 {
        write(&folder.path().join(format!("{}/s{number}.yaml", number % 7)), &service(&format!("s{number}"), 1));
    }
    let mut changes = 0;
    while source.snapshot().services.len() < 1001 {
        next(&mut source).await;
        changes += 1;
    }
    assert!(changes < 100, "{changes} changes");
    assert_eq!(source.snapshot().problems, []);
}

#[tokio::test]
async fn of_two_objects_with_one_name_the_first_path_in_byte_order_counts() {
    let files = [("a/x.yaml", service("a", 1)), ("a-b.yaml", service("a", 2)), ("z.yaml", service("a", 1))];
    let (folder, mut source) = opened(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    // '-' stands before '/'.
    assert_eq!(port(source.snapshot(), "a"), Some(2));
    let severities: Vec<_> =
        source.snapshot().problems.iter().map(|problem| (problem.reason, problem.severity)).collect();
    assert_eq!(severities, [(Reason::DuplicateObject, Severity::Error); 2]);
    fs::remove_file(folder.path().join("a-b.yaml")).unwrap();
    until(&mut source, "the next one counts", |snapshot| port(snapshot, "a") == Some(1)).await;
    let [problem] = &source.snapshot().problems[..] else { panic!("one problem") };
    assert_eq!(problem.severity, Severity::Info, "the content is the same");
    assert!(problem.message.contains("z.yaml:2 declares service default/a too"), "{}", problem.message);
}

#[tokio::test]
async fn a_bad_rotation_keeps_the_last_good_certificate() {
    let made = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        (chain, key.serialize_pem())
    };
    let secret = |chain: &str, key: &str| {
        let data = serde_json::json!({"tls.crt": chain, "tls.key": key});
        serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "stringData": data})
            .to_string()
    };
    let name = Name::new("default", "tls");
    let served =
        |snapshot: &Snapshot| snapshot.secrets[&name].certificate().map(|certificate| certificate.names.join(","));
    let ((one, one_key), (two, two_key)) = (made("one.example"), made("two.example"));
    let (folder, mut source) = opened(&[("tls.json", &secret(&one, &one_key))]);
    let path = folder.path().join("tls.json");
    for broken in [secret(&two, &one_key), secret(&two, "junk")] {
        replace(&path, &broken);
        let before = source.snapshot().secrets[&name].meta.version;
        assert!(next(&mut source).await.routes);
        assert_eq!(served(source.snapshot()).as_deref(), Some("one.example"));
        assert!(matches!(source.snapshot().secrets[&name].current, SecretContent::Unusable(_)));
        assert_ne!(source.snapshot().secrets[&name].meta.version, before);
    }
    replace(&path, &secret(&two, &two_key));
    until(&mut source, "the new one", |snapshot| served(snapshot).as_deref() == Some("two.example")).await;
}

#[tokio::test]
async fn dropping_the_wait_loses_nothing() {
    let (folder, mut source) = opened(&[("a.yaml", &service("a", 1))]);
    for round in 2..12 {
        replace(&folder.path().join("a.yaml"), &service("a", round));
        // Ends somewhere in the middle of waiting for quiet.
        let waited = timeout(Duration::from_millis(u64::from(round) * 2), source.changed()).await;
        if waited.is_err() {
            until(&mut source, "the change", |snapshot| port(snapshot, "a") == Some(round)).await;
        }
    }
}

#[test]
fn hidden_files_other_names_and_circles_are_passed_over() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["a.yaml", "b.yml", "c.json", ".d.yaml", ".e/e.yaml", "f.yaml.bak", "g.txt", "sub/h.yaml"] {
        let object = Path::new(name).file_stem().unwrap().to_str().unwrap().trim_matches('.').chars().next().unwrap();
        write(&at(name), &service(&object.to_string(), 1));
    }
    symlink(folder.path(), at("sub/circle")).unwrap();
    symlink("a.yaml", at("link.yaml")).unwrap();
    symlink("nowhere", at("dangling.yaml")).unwrap();
    let snapshot = folder::read(&[folder.path().to_owned()], "x");
    let names: Vec<&str> = snapshot.services.keys().map(|name| &*name.name).collect();
    assert_eq!(names, ["a", "b", "c", "h"]);
    assert_eq!(snapshot.problems, []);
    let file = folder::read(&[at("g.txt")], "x");
    assert_eq!(file.services.len(), 1, "a file that is named itself counts whatever its name");
}

#[test]
fn files_that_are_no_text_or_too_large_are_named() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.yaml"), b"# one\n\xff\n").unwrap();
    fs::File::create(folder.path().join("b.yaml")).unwrap().set_len(65 << 20).unwrap();
    let snapshot = folder::read(&[folder.path().to_owned()], "x");
    let expected = [
        (Reason::ManifestUnreadable, "a.yaml: line 2 is not UTF-8 text".to_owned()),
        (Reason::ManifestUnreadable, "b.yaml: it has 65 MiB, and more than 64 are not read".to_owned()),
    ];
    assert_eq!(problems(&snapshot), expected);
}

#[test]
fn a_path_that_does_not_exist_is_one_line() {
    let missing = PathBuf::from("/nonexistent/folder");
    let error = FolderSource::open(&[missing], "x").err().unwrap();
    assert_eq!(
        error.to_string(),
        "cannot read manifests from /nonexistent/folder: No such file or directory (os error 2)"
    );
}
