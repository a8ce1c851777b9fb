use super::*;
use crate::ir::PortKey;
use crate::snapshot::{IngressBackend, PathType, SecretContent, Version};

fn names(parsed: &Parsed) -> Vec<String> {
    parsed.objects.iter().map(|object| object.meta().object.to_string()).collect()
}

fn only(text: &str) -> Received {
    let parsed = read(text, "f.yaml");
    assert_eq!(parsed.problems, [], "{text}");
    assert_eq!(parsed.objects.len(), 1, "{text}");
    parsed.objects[0].clone()
}

#[test]
fn documents_lists_and_json_are_read() {
    let service = |name: &str| format!("{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}}}");
    let json = "{\n\t\"kind\": \"Service\",\n\t\"apiVersion\": \"v1\",\n\t\"metadata\": {\"name\": \"a\"}\n}\n";
    for (text, expected) in [
        (String::new(), vec![]),
        ("# nothing\n---\n---\n# still nothing\n...\n".to_owned(), vec![]),
        (service("a"), vec!["service default/a"]),
        (format!("\u{feff}{}", service("a")), vec!["service default/a"]),
        (
            format!("%YAML 1.2\n---\n{}\n...\n---\n{}", service("a"), service("b")),
            vec!["service default/a", "service default/b"],
        ),
        (format!("{}\r\n---\r\n{}\r\n", service("a"), service("b")), vec!["service default/a", "service default/b"]),
        (format!("--- {}\n--- # b\n{}", service("a"), service("b")), vec!["service default/a", "service default/b"]),
        (json.to_owned(), vec!["service default/a"]),
        (
            format!("kind: List\napiVersion: v1\nitems: [{}, {}]", service("a"), service("b")),
            vec!["service default/a", "service default/b"],
        ),
        (
            "kind: ServiceList\napiVersion: v1\nitems:\n- metadata: {name: a, namespace: shop}".to_owned(),
            vec!["service shop/a"],
        ),
        ("kind: List\napiVersion: v1\nitems: null".to_owned(), vec![]),
        (
            "kind: IngressClass\napiVersion: networking.k8s.io/v1\nmetadata: {name: c, namespace: x}".to_owned(),
            vec!["ingressclass c"],
        ),
        ("kind: Deployment\napiVersion: apps/v1\nspec: 5".to_owned(), vec![]),
        ("kind: Ingress\napiVersion: config.openshift.io/v1\nspec: 5".to_owned(), vec![]),
        ("kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\nmetadata: {name: of-nobody}".to_owned(), vec![]),
        ("kind: Pod\napiVersion: v1\nmetadata: {name: unlabelled}".to_owned(), vec![]),
        (
            "kind: Pod\napiVersion: v1\nspec: 5\nmetadata: {name: p, labels: {fairlead.dev/weight: '5'}}".to_owned(),
            vec!["pod default/p"],
        ),
    ] {
        let parsed = read(&text, "f.yaml");
        assert_eq!(names(&parsed), expected, "{text}");
        assert_eq!(parsed.problems, [], "{text}");
        assert!(parsed.is_whole, "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_named_by_file_line_and_document() {
    let head = "# one\n---\nkind: Role\n---\n";
    for (document, expected) in [
        (
            "kind: Ingress\nmetadata: {name: a\nspec: ][",
            "7: while parsing a flow mapping, did not find expected ',' or '}'",
        ),
        (":::not yaml", "5: kind is missing: not a Kubernetes object"),
        ("a: b: c", "5: mapping values are not allowed in this context"),
        ("a: 1\nb: 2\na: 3", "7: duplicate mapping key `a` is not allowed here"),
        ("kind: Service\nmetadata: {name: a}", "5: apiVersion is missing: Service is read as v1"),
        ("\n# two\nkind: Service\napiVersion: v1", "7: metadata.name is missing"),
        (
            "kind: Service\napiVersion: v1\nmetadata: {name: A_b}",
            "5: metadata.name \"A_b\" is not a name: lower-case letters, digits, '-' and '.' are allowed",
        ),
        (
            "kind: Service\napiVersion: v1\nmetadata:\n  name: 7",
            "8: metadata.name: expected a string, found integer `7`",
        ),
        (
            "kind: Service\napiVersion: v1\nmetadata: {name: a}\nspec:\n  ports:\n  - name: x\n    port: x",
            "11: spec.ports[0].port: expected an integer, found string \"x\"",
        ),
        (
            "kind: List\nitems:\n- {kind: Service, apiVersion: v1,\n   metadata: {name: 1}}",
            "8: items[0].metadata.name: expected a string, found integer `1`",
        ),
        (
            "kind: Service\napiVersion: v1\nmetadata: {name: a}\nspec: {ports: [{port: 70000}]}",
            "5: spec.ports[0].port is 70000; a port is 1 to 65535",
        ),
        ("kind: List\nitems:\n- kind: Service\n  apiVersion: v1\n- 5", "5: items[0]: metadata.name is missing"),
        ("kind: List\nitems: {}", "5: items is not a list"),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: a}\ndata: {a: '%'}", "8: data.a: no text, or not base64"),
        ("x: &a [y, y]\nb: *c", "6: reference to unknown value"),
    ] {
        let text = format!("{head}{document}");
        let parsed = read(&text, "dir/f.yaml");
        let messages: Vec<&str> = parsed.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, [format!("dir/f.yaml:{expected} (document 2)")], "{text}");
        assert_eq!(parsed.problems[0].reason, Reason::ManifestUnreadable);
        assert!(!parsed.is_whole, "{text}");
    }
}

#[test]
fn a_field_that_no_object_of_the_kind_has_is_told_and_the_object_is_read() {
    let text = "kind: Service\napiVersion: v1\nmetadata: {name: a}\n---\nkind: List\nitems:\n- kind: Service\n  \
                apiVersion: v1\n  metadata: {name: b}\n  spec:\n    prots:\n    - port: 80\n- kind: EndpointSlice\n  \
                apiVersion: discovery.k8s.io/v1\n  metadata: {name: c, namespace: shop, lables: {}}\n";
    let parsed = read(text, "f.yaml");
    assert!(parsed.is_whole);
    assert_eq!(names(&parsed), ["service default/a", "service default/b"]);
    let told = parsed.problems.iter().map(|problem| {
        let Problem { object, severity, reason, field, message, hint } = problem;
        format!("{object} {} {reason} {field} | {message} | {hint}", severity.as_str())
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "service default/b warning ManifestUnreadable spec.prots | f.yaml:11: Service has no field spec.prots | \
             did you mean spec.ports?",
            "endpointslice shop/c warning ManifestUnreadable metadata.lables | f.yaml:15: EndpointSlice has no field \
             metadata.lables | did you mean metadata.labels?",
        ]
    );
}

#[test]
fn only_documents_that_changed_are_read_again() {
    let service = |name: &str| format!("kind: Service\napiVersion: v1\nmetadata: {{name: {name}}}\n");
    let mut reader = Reader::new("x");
    let text = format!("{}---\n{}---\n{}", service("a"), service("b"), service("c"));
    let first = reader.read(&text, "f.yaml");
    // Objects that no reading would come to.
    let marked = read(&["k", "l", "m"].map(service).join("---\n"), "f.yaml").objects;
    let changed = format!("{}---\n# moved\n{}---\n{}---\nspec: ][", service("a"), service("d"), service("c"));
    let second = reader.read_again(&changed, "f.yaml", &first.kept, &marked);
    assert_eq!(names(&second), ["service default/k", "service default/d", "service default/m"]);
    let lines: Vec<_> = second.objects.iter().map(|object| object.meta().object.line).collect();
    assert_eq!(lines, [Some(1), Some(6), Some(10)]);
    assert!(!second.is_whole);
    let third = reader.read_again(&changed, "f.yaml", &second.kept, &second.objects);
    assert_eq!((third.objects, third.problems), (second.objects, second.problems));
}

#[test]
fn a_broken_document_spoils_no_other() {
    let parsed = read("a: ][\n---\n{apiVersion: v1, kind: Service, metadata: {name: a}}\n", "f.yaml");
    assert_eq!(names(&parsed), ["service default/a"]);
    assert_eq!(parsed.objects[0].meta().object.line, Some(3));
    assert_eq!(parsed.problems.len(), 1);
}

#[test]
fn aliases_cannot_fill_the_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 9].join(", "));
    }
    assert!(!read(&text, "f.yaml").is_whole);
}

#[test]
fn former_versions_are_refused_by_name_and_the_file_is_whole() {
    let parsed =
        read("kind: Ingress\napiVersion: extensions/v1beta1\nmetadata: {name: old, namespace: shop}", "f.yaml");
    assert!(parsed.is_whole);
    assert_eq!(parsed.problems[0].object.to_string(), "ingress shop/old");
    assert_eq!(
        parsed.problems[0].message,
        "f.yaml:1: apiVersion extensions/v1beta1 is not served any more; networking.k8s.io/v1 is read"
    );
}

#[test]
fn an_ingress_keeps_what_is_read_and_no_more() {
    let Received::Ingress(ingress) = only(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: web\n  creationTimestamp: 2026-01-02T03:04:05Z\n  annotations:\n\
         \u{20}   kubectl.kubernetes.io/last-applied-configuration: '{}'\n    fairlead.dev/upgrade: 'off'\n    nginx.ingress.kubernetes.io/app-root: /x\n\
         \u{20}   kubernetes.io/ingress.class: mine\nspec:\n  rules:\n  - http:\n      paths:\n\
         \u{20}     - {backend: {service: {name: a, port: {number: 80}}}}\n      - {pathType: Prefix, path: /p, backend: {service: {name: a, port: {name: http}}}}\n\
         \u{20}     - {pathType: Glob, backend: {resource: {kind: Bucket, name: b}}}\n      - {backend: {service: {name: a}}}\n      - {}\n",
    ) else {
        panic!("not an Ingress")
    };
    let keys: Vec<&str> = ingress.annotations.keys().map(|key| &**key).collect();
    assert_eq!(keys, ["fairlead.dev/upgrade", "kubernetes.io/ingress.class", "nginx.ingress.kubernetes.io/app-root"]);
    assert_eq!(ingress.meta.created, Some(1_767_323_045));
    let service = |port| IngressBackend::Service { name: "a".into(), port };
    let paths: Vec<_> =
        ingress.rules[0].paths.iter().map(|path| (path.path_type.clone(), path.backend.clone())).collect();
    assert_eq!(
        paths,
        [
            (PathType::ImplementationSpecific, service(Some(PortKey::Number(80)))),
            (PathType::Prefix, service(Some(PortKey::Name("http".into())))),
            (PathType::Unknown("Glob".into()), IngressBackend::Resource { kind: "Bucket".into(), name: "b".into() }),
            (PathType::ImplementationSpecific, service(None)),
            (PathType::ImplementationSpecific, IngressBackend::Missing),
        ]
    );
}

#[test]
fn absent_conditions_mean_ready_and_serving() {
    let Received::EndpointSlice(slice) = only(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a-1, labels: {kubernetes.io/service-name: a}}\naddressType: IPv4\n\
         ports: [{port: 80}]\nendpoints:\n- {addresses: [10.0.0.1, junk]}\n- {addresses: [], conditions: {ready: false}, targetRef: {kind: Pod, name: p}}\n\
         - {addresses: [], conditions: {ready: false, serving: true, terminating: true}, targetRef: {kind: Node, name: m}}\n",
    ) else {
        panic!("not a slice")
    };
    let read: Vec<_> = slice
        .endpoints
        .iter()
        .map(|e| (e.addresses.len(), e.ready, e.serving, e.terminating, e.pod.as_deref()))
        .collect();
    assert_eq!(read, [(1, true, true, false, None), (0, false, false, false, Some("p")), (0, false, true, true, None)]);
}

#[test]
fn string_data_wins_over_data() {
    let Received::Secret(secret) = only(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {tls.crt: eA==, tls.key: eA==}\nstringData: {tls.crt: ''}",
    ) else {
        panic!("not a Secret")
    };
    assert_eq!(secret.current, SecretContent::Unusable("tls.crt is empty".to_owned()));
}

#[test]
fn a_version_changes_with_the_content_and_not_with_the_place() {
    let version = |text: &str| -> Version { only(text).meta().version };
    let text = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}";
    assert_eq!(version(text), version(&format!("\n\n{text}")));
    assert_eq!(version(text), version(&text.replace("name: a", "name: a, labels: {x: z}")));
    assert_ne!(version(text), version(&text.replace("80", "81")));
    assert_ne!(version(text), version(&text.replace("name: a", "name: a, uid: x")));
}

#[test]
fn a_long_comment_is_none_of_the_content() {
    let comment = "  # a line of a long text\n".repeat(500);
    only(&format!("apiVersion: v1\nkind: Service\nmetadata:\n{comment}  name: a\nspec: {{ports: [{{port: 80}}]}}\n"));
}

#[test]
fn plain_documents_are_whatever_they_are_with_their_lines() {
    let text = "# first\na: 1\n--- {b: 2}\n---\nc: [\n";
    let told: Vec<_> = plain(text).into_iter().map(|one| (one.first, one.line, one.content.is_ok())).collect();
    assert_eq!(told, [(1, 2, true), (3, 3, true), (4, 5, false)]);
}
