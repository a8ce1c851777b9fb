//! `check --from-ingress-nginx` as the real binary: whole reports beside what they are about, and what cannot be read.
//!
//! `tests/migration/<case>/in` is what somebody has for ingress-nginx, `report.txt` what is said of it; the shapes are those
//! of public repositories, with other names. `GOLDEN_WRITE=1` writes the reports anew.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use similar::TextDiff;
use tempfile::TempDir;

/// Exit code, standard output, standard error, run in `folder`.
fn check(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
    let output = command.current_dir(folder).args(["check", "--from-ingress-nginx"]).args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migration");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|case| case.unwrap().path()).collect();
    cases.sort();
    cases
}

#[test]
fn every_report_says_what_stands_beside_it() {
    let mut failures = String::new();
    let cases = cases();
    assert!(cases.len() >= 5, "only {} cases", cases.len());
    for case in cases {
        let (code, found, err) = check(&case, &["in"]);
        assert!(err.is_empty() && code < 2, "{}: {code} {err}", case.display());
        let path = case.join("report.txt");
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if std::env::var_os("GOLDEN_WRITE").is_some() {
            fs::write(&path, &found).unwrap();
        } else if found != expected {
            let diff = TextDiff::from_lines(&expected, &found);
            let _ = writeln!(failures, "{}\n{}", case.display(), diff.unified_diff().header("expected", "found"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn the_page_shows_the_report_of_its_case() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let report = fs::read_to_string(root.join("tests/migration/page/report.txt")).unwrap();
    let report = report.replace("in/shop.yaml", "shop.yaml");
    let path = root.join("docs/migration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("```text\n").unwrap();
    let (shown, after) = rest.split_once("```\n").unwrap();
    if std::env::var_os("GOLDEN_WRITE").is_some() {
        fs::write(&path, format!("{before}```text\n{report}```\n{after}")).unwrap();
    } else {
        assert_eq!(shown, report);
    }
}

#[test]
fn json_has_what_the_text_says() {
    for case in cases() {
        let (code, text, _) = check(&case, &["in"]);
        let (json_code, json, _) = check(&case, &["-o", "json", "in"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(code, json_code, "{}", case.display());
        for fate in ["refused", "differs", "ignored", "honoured"] {
            let lines = text.lines().filter(|line| line.starts_with(&format!("  {fate:8}  "))).count();
            // One more line is the sum.
            let told = json[fate].as_u64().unwrap() as usize;
            let settings =
                json["objects"].as_array().unwrap().iter().flat_map(|one| one["settings"].as_array().unwrap());
            assert_eq!(settings.filter(|one| one["fate"] == fate).count(), told, "{}: {fate}", case.display());
            assert!(lines == told || lines == told + 1, "{}: {fate} {lines} {told}", case.display());
        }
        let is_bad = json["refused"] != 0 || !json["unread"].as_array().unwrap().is_empty();
        assert_eq!(code, i32::from(is_bad), "{}", case.display());
    }
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

const INGRESS: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  annotations: {nginx.ingress.kubernetes.io/ANNOTATION}
spec:
  ingressClassName: nginx
  rules:
  - host: shop.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
";

fn ingress(annotation: &str) -> String {
    INGRESS.replace("ANNOTATION", annotation)
}

#[test]
fn what_cannot_be_read_is_said_with_its_place_and_fails() {
    for (files, line) in [
        (&[("a.yaml", "nginx: [\n")][..], "a.yaml:1: "),
        (&[("a.yaml", "kind: Ingress\nmetadata: {name: {{ .Values.name }}}\n")], "a.yaml:1: a template"),
        (
            &[
                ("c/Chart.yaml", "name: c\n"),
                ("c/templates/a.yaml", "kind: Ingress {{ x }}"),
                ("c/templates/b.yaml", "kind: Ingress {{ x }}"),
                ("c/templates/c.yaml", "kind: Secret {{ x }}"),
                ("c/templates/d.yaml", "policyTypes: [Ingress] {{ x }}"),
            ],
            "c/templates: 2 templates of a Helm chart",
        ),
        (&[("a.yaml", "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\n")], "a.yaml:1: "),
        (
            &[(
                "a.yaml",
                "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {x/y: 5}}\n",
            )],
            "a.yaml:",
        ),
    ] {
        let folder = folder(files);
        let (code, out, err) = check(folder.path(), &["."]);
        assert_eq!(code, 1, "{out}{err}");
        let is_told = out.lines().any(|told| told.trim_start().trim_start_matches("./").starts_with(line));
        assert!(is_told, "{line}: {out}{err}");
        assert!(out.contains("\n    → "), "{out}");
    }
}

#[test]
fn nothing_to_check_is_an_error_of_its_own() {
    let folder = folder(&[("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")]);
    for (words, part) in [
        (&["."][..], "there is nothing of ingress-nginx here"),
        (&[], "PATH is missing"),
        (&["/no/such/file"], "does not exist"),
        (&["--cluster", "."], "give one of them"),
    ] {
        let (code, out, err) = check(folder.path(), words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?} {err}");
        assert!(err.contains(part) && err.lines().count() == 1, "{words:?}: {err}");
    }
}

#[test]
fn each_word_says_what_serving_does() {
    for (annotation, code, line) in [
        ("proxy-body-size: 8m", 0, "  honoured  proxy-body-size: 8m\n\n"),
        ("affinity-mode: persistent", 0, "  honoured  affinity-mode: persistent\n"),
        ("affinity-mode: balanced", 0, "  differs   affinity-mode: balanced\n"),
        ("rewrite-target: /", 0, "  honoured  rewrite-target: /\n"),
        ("keep-alive: '5'", 0, "→ use the ConfigMap key of that name\n"),
        ("upstream-hash-by: $no_such", 0, "  differs   upstream-hash-by: $no_such\n"),
        ("proxy-request-buffering: 'on'", 0, "  differs   proxy-request-buffering: on\n            up to 64 KiB"),
        ("proxy-buffers-number: '4'", 0, "  ignored   proxy-buffers-number: 4\n"),
        ("no-such-name: x", 0, "  ignored   no-such-name: x\n            no annotation is named no-such-name\n"),
        ("secure-backends: 'true'", 0, "            → write backend-protocol: HTTPS\n"),
        ("whitelist-source-range: nonsense", 1, "  refused   whitelist-source-range: nonsense\n"),
        ("enable-modsecurity: 'true'", 1, "  refused   enable-modsecurity: true\n"),
        (
            "auth-type: basic, nginx.ingress.kubernetes.io/auth-secret: users",
            0,
            "there and right\n  Secret shop/users\n",
        ),
        ("rewrite-target: '{{ .Values.x }}'", 1, "rewrite-target has {{ .Values.x }}, which something fills in\n"),
        ("auth-tls-secret: other/ca", 1, "  refused   auth-tls-secret: other/ca\n"),
        (
            "canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '500'",
            0,
            "  honoured  canary-weight: 500\n            canary-weight: 500 is more than canary-weight-total, 100",
        ),
        ("canary: 'true', nginx.ingress.kubernetes.io/canary-weight: half", 0, "  ignored   canary-weight: half\n"),
        (
            "canary: 'true', nginx.ingress.kubernetes.io/affinity: cookie",
            0,
            "  ignored   affinity: cookie\n            affinity has no effect on a canary\n",
        ),
        (
            "canary: 'true', fairlead.dev/max-in-flight: '5'",
            0,
            "  ignored   fairlead.dev/max-in-flight: 5\n            max-in-flight has no effect on a canary\n",
        ),
        ("canary: 'true', nginx.ingress.kubernetes.io/load-balance: ewma", 0, "  honoured  load-balance: ewma\n"),
    ] {
        let folder = folder(&[("a.yaml", &ingress(annotation))]);
        let (found, out, err) = check(folder.path(), &["."]);
        assert!(out.contains(line), "{annotation}: {out}{err}");
        assert_eq!(found, code, "{annotation}: {out}{err}");
    }
}

#[test]
fn an_ingress_of_another_class_is_counted_only() {
    let other =
        ingress("ssl-redirect: 'true'").replace("nginx.ingress.kubernetes.io/", "x/").replace(": nginx", ": alb");
    let folder = folder(&[("a.yaml", &other), ("b.yaml", &ingress("ssl-redirect: 'true'").replace("shop", "other"))]);
    let (code, out, _) = check(folder.path(), &["."]);
    assert!(code == 0 && out.contains("summary: Ingress 1\n"), "{out}");
    assert!(out.contains("1 Ingress of class alb not looked at\n"), "{out}");
}

#[test]
fn an_ingress_that_names_no_class_is_judged_and_told_of() {
    let text = ingress("enable-modsecurity: 'true'").replace("  ingressClassName: nginx\n", "");
    let folder = folder(&[("a.yaml", &text)]);
    let (code, out, _) = check(folder.path(), &["."]);
    assert!(code == 1 && out.contains("  refused   enable-modsecurity: true\n"), "{out}");
    assert!(out.contains("1 Ingress names no class, judged as of class nginx\n"), "{out}");
}

#[test]
fn flags_of_the_controller_are_those_of_serve() {
    let deployment = "apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress-nginx-controller, namespace: edge}
spec:
  template:
    spec:
      containers:
      - name: controller
        args:
        - /nginx-ingress-controller
        - --configmap=$(POD_NAMESPACE)/settings
        - --ingress-class
        - public
        - --enable-metrics
        - --sync-period=10s
        - --http-port=none
        - --no-such-flag=1
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: edge}
data: {proxy-body-size: 8m}
---
";
    let text = deployment.to_owned() + &ingress("ssl-redirect: 'true'").replace("Name: nginx", "Name: public");
    let folder = folder(&[("a.yaml", &text)]);
    let (code, out, err) = check(folder.path(), &["a.yaml"]);
    assert_eq!(code, 1, "{out}{err}");
    for part in [
        "ConfigMap edge/settings  a.yaml:19\n  honoured  proxy-body-size: 8m\n",
        "Deployment edge/ingress-nginx-controller  a.yaml:1\n  refused   --http-port: none\n",
        "  refused   --no-such-flag: 1\n",
        "  ignored   --sync-period: 10s\n",
        "  honoured  --configmap: edge/settings\n  honoured  --enable-metrics: true\n  honoured  --ingress-class: public\n",
        "Ingress shop/web  a.yaml:",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}
