//! What one hostile object may cost: problems, memory for regular expressions, time.

use std::fmt::Write;
use std::time::{Duration, Instant};

use fairlead::compile::{Compiled, compile};
use fairlead::ir::{HostPattern, PathKind, Problem, Target};
use fairlead::settings::CompileOptions;
use fairlead::snapshot::yaml;

/// Memory for the regular expressions of one Ingress, and one more that goes over it.
const MOST_MEMORY: usize = (64 << 20) + (1 << 20);
/// Problems of one object from one source, and the one that counts the others.
const MOST_PROBLEMS: usize = 256 + 1;

fn compiled(annotations: &str, tls: &str, rules: &str) -> Compiled {
    let text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{namespace: shop, name: hostile, annotations: \
         {{{annotations}}}}}\nspec:\n  tls: [{tls}]\n  rules:\n{rules}"
    );
    let parsed = yaml::read(&text, "test.yaml");
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    compile(&parsed.into_snapshot(), &CompileOptions::default())
}

fn rule(host: &str, paths: &[String]) -> String {
    let mut text = format!("  - host: {host}\n    http:\n      paths:\n");
    for path in paths {
        let _ = writeln!(
            text,
            "      - {{path: '{path}', pathType: ImplementationSpecific, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}"
        );
    }
    text
}

fn octets(problems: &[Problem]) -> usize {
    problems.iter().map(|problem| problem.message.len() + problem.hint.len() + problem.field.len()).sum()
}

#[test]
fn ten_thousand_bad_annotations_come_to_a_few_problems() {
    let mut annotations = String::new();
    for number in 0..10_000 {
        let _ = write!(annotations, "nginx.ingress.kubernetes.io/proxy-body-sise-{number}: \"{}\", ", "x".repeat(20));
    }
    let found = compiled(&annotations, "", &rule("a.example", &["/".to_owned()]));
    assert!(found.problems.len() <= 64, "{} problems", found.problems.len());
    assert!(octets(&found.problems) < 64 << 10);
    let more = found.problems.iter().find(|problem| problem.message.contains("more annotations")).unwrap();
    assert!(more.message.starts_with("9968 "), "{}", more.message);
}

#[test]
fn ten_thousand_bad_paths_come_to_a_bounded_list_of_problems() {
    let paths: Vec<String> = (0..10_000).map(|number| format!("/%zz{number}")).collect();
    let found = compiled("", "", &rule("a.example", &paths));
    assert!(found.problems.len() <= 2 * MOST_PROBLEMS, "{} problems", found.problems.len());
    assert!(found.problems.iter().any(|problem| problem.message.contains("more problems of this object")));
}

#[test]
fn five_thousand_large_expressions_take_no_more_memory_than_one_ingress_has() {
    let large = |number: usize| format!("/x{number}/(a|b[c-f]{{20}}){{50}}/{}", "y".repeat(100));
    for (hosts, annotations) in [
        (1, "nginx.ingress.kubernetes.io/use-regex: \"true\""),
        (100, "nginx.ingress.kubernetes.io/use-regex: \"true\""),
    ] {
        let mut rules = String::new();
        for host in 0..hosts {
            let paths: Vec<String> = (0..5_000 / hosts).map(|number| large(host * 10_000 + number)).collect();
            rules += &rule(&format!("h{host}.example"), &paths);
        }
        let found = compiled(annotations, "", &rules);
        let mut memory = 0;
        let mut closed = 0;
        for route in found.config.hosts.values().flat_map(|host| &host.routes) {
            if let PathKind::Regex(pattern) = &route.path.kind {
                memory += pattern.cost();
            }
            closed += usize::from(matches!(route.target, Target::Closed(_)));
        }
        assert!(memory <= MOST_MEMORY, "{memory} octets on {hosts} hosts");
        assert!(closed > 0 && closed < 5_000, "{closed} closed on {hosts} hosts");
        assert!(found.problems.len() <= (hosts + 2) * MOST_PROBLEMS, "{} problems", found.problems.len());
    }
}

#[test]
fn an_ingress_of_four_thousand_usual_expressions_is_served_whole() {
    let paths: Vec<String> = (0..4_000).map(|number| format!("/api/v{number}/([a-z]+)(/|$)(.*)")).collect();
    let found = compiled("nginx.ingress.kubernetes.io/use-regex: \"true\"", "", &rule("a.example", &paths));
    let host = &found.config.hosts[&HostPattern::Exact("a.example".into())];
    let is_regex_fault = |problem: &&Problem| problem.reason.as_str() == "RegexInvalid";
    assert_eq!(found.problems.iter().filter(is_regex_fault).count(), 0);
    assert_eq!(host.routes.iter().filter(|route| !route.implicit).count(), 4_000);
}

#[test]
fn many_hosts_with_many_entries_of_tls_take_time_in_proportion() {
    let compile = |count: usize| {
        let tls: String = (0..count).map(|number| format!("{{hosts: [t{number}.example], secretName: s}}, ")).collect();
        let rules: String = (0..count).map(|number| rule(&format!("h{number}.example"), &["/".to_owned()])).collect();
        let began = Instant::now();
        let found = compiled("", &tls, &rules);
        assert_eq!(found.config.hosts.len(), count);
        began.elapsed()
    };
    let few = compile(1_000);
    let many = compile(8_000);
    assert!(many < few * 32 + Duration::from_secs(1), "{few:?} for a thousand, {many:?} for eight thousand");
}
