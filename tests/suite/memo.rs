//! Compiling with memory is compiling from nothing, and what did not change stays the same `Arc`.

use std::sync::Arc;

use fairlead::compile::{self, Compiler};
use fairlead::ir::{Name, Reason, Severity};
use fairlead::settings::CompileOptions;
use fairlead::snapshot::{Received, Secret, SecretContent, Snapshot, Version, yaml};
use proptest::prelude::*;
use rcgen::{CertifiedKey, generate_simple_self_signed};

/// One object set to a variant, or deleted.
#[derive(Clone, Debug)]
enum Edit {
    Class(u8, Option<u8>),
    Ingress(u8, Option<u32>),
    Service(u8, Option<u8>),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let variant = |share: f64| prop::option::weighted(share, any::<u8>());
    let edit = prop_oneof![
        1 => (0..2u8, variant(0.5)).prop_map(|(index, variant)| Edit::Class(index, variant)),
        6 => (0..5u8, prop::option::weighted(0.8, any::<u32>())).prop_map(|(index, variant)| Edit::Ingress(index, variant)),
        3 => (0..3u8, variant(0.7)).prop_map(|(index, variant)| Edit::Service(index, variant)),
    ];
    prop::collection::vec(edit, 1..24)
}

fn options(bits: u8) -> CompileOptions {
    CompileOptions {
        folder: bits & 1 == 0,
        watch_ingress_without_class: bits & 2 == 0,
        disable_catch_all: bits & 12 == 12,
        default_backend_service: (bits & 16 == 0).then(|| Name::new("shop", "s0")),
        ..CompileOptions::default()
    }
}

fn apply(snapshot: &mut Snapshot, edit: &Edit) {
    match edit {
        Edit::Class(index, variant) => {
            snapshot.classes.remove(&Name::new("", &format!("c{index}")));
            put(snapshot, variant.map(|variant| class(*index, variant)));
        }
        Edit::Ingress(index, variant) => {
            snapshot.ingresses.remove(&Name::new("shop", &format!("i{index}")));
            put(snapshot, variant.map(|variant| ingress(*index, variant)));
        }
        Edit::Service(index, variant) => {
            snapshot.services.remove(&Name::new("shop", &format!("s{index}")));
            put(snapshot, variant.map(|variant| service(*index, variant)));
        }
    }
}

fn put(snapshot: &mut Snapshot, text: Option<String>) {
    let Some(text) = text else { return };
    let parsed = yaml::read(&text, "edit.yaml");
    assert_eq!(parsed.problems, [], "{text}");
    for object in parsed.objects {
        assert!(snapshot.insert(object), "{text}");
    }
}

fn class(index: u8, variant: u8) -> String {
    let controller = if variant & 1 == 0 { "fairlead.dev/ingress-controller" } else { "example.com/other" };
    let default = variant & 2 == 0;
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata:\n  name: c{index}\n  annotations: \
         {{ingressclass.kubernetes.io/is-default-class: \"{default}\"}}\nspec: {{controller: {controller}}}\n"
    )
}

fn service(index: u8, variant: u8) -> String {
    let ports = match variant % 4 {
        0 => "[{port: 80}]",
        1 => "[{name: http, port: 80, targetPort: 8080}]",
        2 => "[{name: http, port: 80}, {name: other, port: 81, appProtocol: https}]",
        _ => "[{port: 81}]",
    };
    let kind = if variant & 16 == 0 { "" } else { "type: ExternalName, externalName: x.example.com, " };
    let annotations = match variant >> 5 & 3 {
        0 | 1 => "",
        2 => "fairlead.dev/load-balance: random, fairlead.dev/slow-start: 5s",
        _ => "fairlead.dev/health-check-protocol: tcp, fairlead.dev/passive-health: \"off\"",
    };
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{namespace: shop, name: s{index}, annotations: {{{annotations}}}}}\n\
         spec: {{{kind}ports: {ports}}}\n"
    )
}

/// Few hosts, paths and Services, so that Ingresses meet.
fn ingress(index: u8, variant: u32) -> String {
    let pick = |shift: u32, words: &[&str]| words[(variant >> shift) as usize % words.len()].to_owned();
    let rule = |shift: u32| {
        let host = pick(
            shift,
            &["host: a.example, ", "host: b.example, ", "host: \"*.example\", ", "", "host: www.a.example, "],
        );
        let path = pick(shift + 2, &["/", "/a", "/a/", "nonsense", "/a.*", "/(a"]);
        let kind = pick(shift + 4, &["Prefix", "Exact"]);
        let service = pick(shift + 5, &["s0", "s1", "s2"]);
        let port = pick(shift + 7, &["number: 80", "name: http"]);
        format!(
            "{{{host}http: {{paths: [{{path: {path}, pathType: {kind}, backend: {{service: {{name: {service}, port: \
             {{{port}}}}}}}}}]}}}}"
        )
    };
    let created = pick(
        16,
        &["", ", creationTimestamp: \"2026-01-01T00:00:00Z\"", ", creationTimestamp: \"2026-01-02T00:00:00Z\""],
    );
    let annotation = pick(
        18,
        &[
            "",
            "nginx.ingress.kubernetes.io/load-balance: round_robin",
            "nginx.ingress.kubernetes.io/load-balance: least_conn",
            "nginx.ingress.kubernetes.io/auth-url: x",
            "nginx.ingress.kubernetes.io/canary: \"true\"",
            "fairlead.dev/canary: \"true\", fairlead.dev/canary-weight: \"10\", fairlead.dev/load-balance: random",
            "fairlead.dev/canary: \"true\", fairlead.dev/affinity-canary-behavior: legacy, fairlead.dev/canary-by-header: x",
            "nginx.ingress.kubernetes.io/force-ssl-redirect: \"true\"",
            "nginx.ingress.kubernetes.io/backend-protocol: HTTPS",
            "nginx.ingress.kubernetes.io/backend-protocol: GRPC",
            "nginx.ingress.kubernetes.io/affinity: cookie",
            "fairlead.dev/affinity: cookie, fairlead.dev/session-cookie-name: mine",
            "fairlead.dev/session-cookie-name: idle",
            "nginx.ingress.kubernetes.io/upstream-hash-by: $host",
            "fairlead.dev/hash-by: $uri, fairlead.dev/load-balance: ewma",
            "fairlead.dev/health-check-path: /of-the-ingress",
            "fairlead.dev/health-check-interval: 1s, fairlead.dev/slow-start: 5s",
            "fairlead.dev/locality: prefer",
            "nginx.ingress.kubernetes.io/use-regex: \"true\"",
            "nginx.ingress.kubernetes.io/rewrite-target: /a",
            "nginx.ingress.kubernetes.io/app-root: /a, fairlead.dev/trailing-slash-redirect: \"true\"",
            "nginx.ingress.kubernetes.io/app-root: /b",
            "nginx.ingress.kubernetes.io/from-to-www-redirect: \"true\"",
            "nginx.ingress.kubernetes.io/server-alias: \"b.example, c.example, ~^d\"",
            "nginx.ingress.kubernetes.io/server-alias: \"c.example, www.a.example, *.e.example\"",
            "nginx.ingress.kubernetes.io/service-upstream: \"true\"",
        ],
    );
    let class = pick(22, &["", "", "ingressClassName: c0, ", "ingressClassName: c1, "]);
    let default = pick(24, &["", "", "defaultBackend: {service: {name: s1, port: {number: 80}}}, "]);
    let tls = pick(26, &["", "tls: [{hosts: [a.example], secretName: tls}], ", "tls: [{hosts: [a.example]}], "]);
    let rules = match variant >> 30 {
        0 if !default.is_empty() => String::new(),
        1 => format!("rules: [{}]", rule(0)),
        _ => format!("rules: [{}, {}]", rule(0), rule(8)),
    };
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: shop, name: i{index}{created}, annotations: \
         {{{annotation}}}}}\nspec: {{{class}{default}{tls}{rules}}}\n"
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compiling_with_memory_is_compiling_from_nothing(edits in edits(), bits in any::<u8>()) {
        let options = options(bits);
        let mut snapshot = Snapshot::default();
        let mut compiler = Compiler::default();
        for edit in &edits {
            apply(&mut snapshot, edit);
            prop_assert_eq!(compiler.compile(&snapshot, &options), compile::compile(&snapshot, &options));
        }
    }

    #[test]
    fn an_unrelated_ingress_changes_nothing_else(edits in edits(), bits in any::<u8>()) {
        let options = options(bits);
        let mut snapshot = Snapshot::default();
        for edit in &edits {
            apply(&mut snapshot, edit);
        }
        let mut compiler = Compiler::default();
        let before = compiler.compile(&snapshot, &options);
        put(&mut snapshot, Some(UNRELATED.to_owned()));
        let after = compiler.compile(&snapshot, &options);
        for (pattern, host) in &before.config.hosts {
            prop_assert!(Arc::ptr_eq(host, &after.config.hosts[pattern]), "{}", pattern);
        }
        for (id, backend) in &*before.config.backends {
            prop_assert!(Arc::ptr_eq(backend, &after.config.backends[id]), "{}", id);
        }
        let elsewhere = |name: &Name| *name.namespace == *"elsewhere";
        let others: Vec<_> = after.problems.iter().filter(|problem| !elsewhere(&problem.object.name)).collect();
        prop_assert_eq!(others, before.problems.iter().collect::<Vec<_>>());
        prop_assert!(after.config.hosts.len() <= before.config.hosts.len() + 1);
    }
}

const UNRELATED: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: elsewhere, name: unrelated}
spec: {rules: [{host: unrelated.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s0, port: {number: 80}}}}]}}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: elsewhere, name: s0}
spec: {ports: [{port: 80}]}
";

#[test]
fn backends_that_are_told_the_same_share_one_copy_of_it() {
    let mut snapshot = Snapshot::default();
    put(&mut snapshot, Some(UNRELATED.to_owned()));
    let others = |annotation: &str| {
        UNRELATED.replace(
            "elsewhere, name: unrelated",
            &format!("elsewhere, name: unrelated, annotations: {{{annotation}}}"),
        )
    };
    for (namespace, annotation) in [
        ("plain", ""),
        ("one", "fairlead.dev/hash-by: $host, fairlead.dev/affinity: cookie"),
        ("two", "nginx.ingress.kubernetes.io/upstream-hash-by: $host, fairlead.dev/affinity: cookie"),
    ] {
        put(
            &mut snapshot,
            Some(others(annotation).replace("elsewhere", namespace).replace("unrelated.test", namespace)),
        );
    }
    let config = compile::compile(&snapshot, &CompileOptions::default()).config;
    let [elsewhere, one, plain, two] = &config.backends.values().collect::<Vec<_>>()[..] else { panic!("four") };
    assert!(Arc::ptr_eq(&elsewhere.balancing, &plain.balancing));
    assert!(Arc::ptr_eq(&one.balancing, &two.balancing) && !Arc::ptr_eq(&one.balancing, &plain.balancing));
    assert!(Arc::ptr_eq(&one.affinity.as_ref().unwrap().cookie, &two.affinity.as_ref().unwrap().cookie));
}

#[test]
fn the_same_objects_are_the_same_configuration() {
    let mut snapshot = Snapshot::default();
    put(&mut snapshot, Some(UNRELATED.to_owned()));
    let mut compiler = Compiler::default();
    let options = CompileOptions::default();
    let first = compiler.compile(&snapshot, &options);
    assert!(Arc::ptr_eq(&first.config, &compiler.compile(&snapshot, &options).config));
}

#[test]
fn a_changed_port_of_a_service_touches_its_backend_and_no_host() {
    let mut snapshot = Snapshot::default();
    put(&mut snapshot, Some(UNRELATED.to_owned()));
    let mut compiler = Compiler::default();
    let options = CompileOptions::default();
    let before = compiler.compile(&snapshot, &options).config;
    snapshot.services.clear();
    let changed = "apiVersion: v1\nkind: Service\nmetadata: {namespace: elsewhere, name: s0}\nspec: {ports: [{port: 80, targetPort: 81}]}\n";
    put(&mut snapshot, Some(changed.to_owned()));
    let after = compiler.compile(&snapshot, &options).config;
    assert!(before.hosts.iter().all(|(pattern, host)| Arc::ptr_eq(host, &after.hosts[pattern])));
    assert_ne!(before.backends, after.backends);
}

#[test]
fn a_route_that_stays_is_the_same_when_another_of_its_host_changes() {
    let host = |paths: &str| {
        let paths = paths.split(' ').map(|path| {
            format!("{{path: {path}, pathType: Prefix, backend: {{service: {{name: s0, port: {{number: 80}}}}}}}}")
        });
        let paths = paths.collect::<Vec<_>>().join(", ");
        let meta = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {namespace: shop, name: i}\n";
        format!("{meta}spec: {{rules: [{{host: a.example, http: {{paths: [{paths}]}}}}]}}\n")
    };
    let mut snapshot = Snapshot::default();
    put(&mut snapshot, Some(host("/stays /goes")));
    let mut compiler = Compiler::default();
    let options = CompileOptions::default();
    let before = compiler.compile(&snapshot, &options).config;
    snapshot.ingresses.clear();
    put(&mut snapshot, Some(host("/stays /comes")));
    let after = compiler.compile(&snapshot, &options).config;
    let find = |config: &fairlead::ir::Config| {
        let host = config.hosts.values().next().unwrap();
        Arc::clone(host.routes.iter().find(|route| *route.path.path == *"/stays").unwrap())
    };
    assert!(Arc::ptr_eq(&find(&before), &find(&after)));
}

#[test]
fn a_bad_rotation_keeps_the_last_good_certificate_and_says_its_serial() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let indent = |pem: String| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let objects = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: shop, name: i}}\nspec: {{tls: [{{hosts: \
         [a.example], secretName: tls}}], rules: [{{host: a.example}}]}}\n---\napiVersion: v1\nkind: Secret\nmetadata: \
         {{namespace: shop, name: tls}}\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indent(cert.pem()),
        indent(signing_key.serialize_pem()),
    );
    let mut snapshot = yaml::read(&objects, "x.yaml").into_snapshot();
    let mut compiler = Compiler::default();
    let options = CompileOptions::default();
    let before = compiler.compile(&snapshot, &options);
    assert_eq!(before.problems, []);
    let served = before.config.certificates.values().next().unwrap();

    let secret = Arc::clone(&snapshot.secrets[&Name::new("shop", "tls")]);
    let mut meta = secret.meta.clone();
    meta.version = Version(secret.meta.version.0.wrapping_add(1));
    let current = SecretContent::Unusable("tls.key is missing".to_owned());
    let broken = Secret { meta, current, last_good: Some(Arc::clone(served)), others: secret.others.clone() };
    snapshot.secrets.clear();
    snapshot.insert(Received::Secret(Arc::new(broken)));
    let after = compiler.compile(&snapshot, &options);

    assert_eq!(after.config.certificates, before.config.certificates);
    let problem = &after.problems[0];
    assert_eq!((problem.severity, problem.reason), (Severity::Warning, Reason::CertificateUnusable));
    assert!(problem.message.contains(&served.serial), "{}", problem.message);
}
