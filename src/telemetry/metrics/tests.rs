use super::*;
use crate::ir::{Kind as ObjectKind, Object, Reason, Severity};
use crate::settings::Limit;
use crate::telemetry::Failure;
use crate::telemetry::exposition::Exposition;

fn text(metrics: &Metrics) -> String {
    let mut page = Page::new(Exposition::Text);
    metrics.write(&mut page, 1_000);
    page.finish()
}

/// Samples of our own families, without headers and `process_*`.
fn samples(metrics: &Metrics) -> Vec<String> {
    text(metrics).lines().filter(|line| line.starts_with("fairlead_")).map(str::to_owned).collect()
}

#[test]
fn nothing_but_the_fixed_series_is_printed_before_its_first_use() {
    let metrics = Metrics::new(2, true);
    let _unused = metrics.route("n", "i", "s");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        samples(&metrics),
        [
            "fairlead_table_generation 0",
            "fairlead_log_dropped_total 0",
            "fairlead_panics_total 0",
            &format!("fairlead_build_info{{version=\"{version}\"}} 1"),
        ]
    );
}

#[test]
fn the_leader_is_shown_once_there_is_a_lease() {
    let metrics = Metrics::new(1, true);
    let shown = || text(&metrics).lines().find(|line| line.starts_with("fairlead_leader ")).map(str::to_owned);
    assert_eq!(shown(), None);
    for (is_leader, line) in [(false, "fairlead_leader 0"), (true, "fairlead_leader 1")] {
        metrics.set_leader(is_leader);
        assert_eq!(shown().as_deref(), Some(line));
    }
}

#[test]
fn what_the_api_server_refuses_is_counted_by_verb_resource_and_status() {
    let metrics = Metrics::new(1, true);
    for (verb, code) in [("get", 403), ("watch", 403), ("get", 403), ("get", 500)] {
        metrics.api_refused(verb, "secrets", code);
    }
    let printed: Vec<_> = samples(&metrics).into_iter().filter(|line| line.contains("refusals")).collect();
    let line = |verb, code, count| {
        format!("fairlead_api_refusals_total{{verb=\"{verb}\",resource=\"secrets\",code=\"{code}\"}} {count}")
    };
    assert_eq!(printed, [line("get", 403, 2), line("get", 500, 1), line("watch", 403, 1)]);
}

#[test]
fn refusals_that_are_too_many_to_be_told_apart_are_counted_as_others() {
    let metrics = Metrics::new(1, true);
    for code in (400..600).chain([400]) {
        metrics.api_refused("get", "secrets", code);
    }
    let printed: Vec<_> = samples(&metrics).into_iter().filter(|line| line.contains("refusals")).collect();
    assert_eq!(printed.len(), 25);
    assert_eq!(printed[0], r#"fairlead_api_refusals_total{verb="get",resource="secrets",code="400"} 2"#);
    let others = r#"fairlead_api_refusals_total{verb="other",resource="other",code="other"} 176"#;
    assert_eq!(printed[24], others);
}

#[test]
fn a_request_shows_in_its_class_and_buckets() {
    let metrics = Metrics::new(1, true);
    metrics.route("shop", "web", "api").record(0, 204, Duration::from_millis(20));
    let route = metrics.route("shop", "web", "api");
    route.record(0, 204, Duration::from_millis(20));
    let labels = "namespace=\"shop\",ingress=\"web\",service=\"api\"";
    let printed = text(&metrics);
    for line in [
        format!("fairlead_requests_total{{{labels},class=\"2xx\"}} 1"),
        format!("fairlead_request_seconds_bucket{{{labels},le=\"0.005\"}} 0"),
        format!("fairlead_request_seconds_bucket{{{labels},le=\"0.025\"}} 1"),
        format!("fairlead_request_seconds_sum{{{labels}}} 0.02"),
        format!("fairlead_request_seconds_count{{{labels}}} 1"),
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} in\n{printed}");
    }
}

#[test]
fn n_routes_make_at_most_14_series_each() {
    const ROUTES: usize = 50;
    let metrics = Metrics::new(2, true);
    let fixed = samples(&metrics).len();
    let routes: Vec<_> = (0..ROUTES).map(|n| metrics.route("n", format!("i{n}"), "s")).collect();
    for route in &routes {
        for status in [101, 200, 301, 404, 503] {
            route.record(0, status, Duration::from_millis(3));
            route.record(1, status, Duration::from_secs(30));
        }
    }
    assert_eq!(samples(&metrics).len() - fixed, ROUTES * 14);
}

#[test]
fn everything_that_belongs_to_no_route_stays_under_250_series() {
    let metrics = Metrics::new(1, true);
    let worker = metrics.worker(0);
    Failure::ALL.iter().for_each(|reason| worker.failure(*reason));
    Limit::ALL.iter().for_each(|limit| worker.limit_hit(*limit));
    for version in ["", "TLSv1.2", "TLSv1.3", "TLSv9"] {
        for (resumed, ok) in [(false, false), (false, true), (true, false), (true, true)] {
            worker.handshake(version, resumed, ok);
        }
    }
    [true, false].into_iter().for_each(|is_taken| worker.passed_on(is_taken));
    (400..600).for_each(|code| metrics.api_refused("get", "secrets", code));
    metrics.set_leader(true);
    metrics.applied(1, Duration::ZERO);
    let object = object();
    let problems: Vec<_> = [Severity::Error, Severity::Warning, Severity::Info]
        .into_iter()
        .flat_map(|severity| Reason::ALL.iter().map(move |reason| (severity, *reason)))
        .map(|(severity, reason)| problem(&object, severity, reason))
        .collect();
    metrics.set_problems(&problems);
    let mut page = Page::new(Exposition::Text);
    metrics.write(&mut page, 0);
    // The families that are written elsewhere: octets of the cache (1) and watch age (one for each of 10 kinds).
    assert!(page.series() + 11 <= 250, "{}", page.series());
}

#[test]
fn without_per_ingress_all_routes_share_one_series_with_empty_names() {
    let metrics = Metrics::new(1, false);
    let routes = [metrics.route("a", "b", "c"), metrics.route("d", "e", "f")];
    for route in &routes {
        route.record(0, 200, Duration::ZERO);
        route.retry(0);
    }
    let printed = text(&metrics);
    assert!(
        printed.contains("fairlead_requests_total{namespace=\"\",ingress=\"\",service=\"\",class=\"2xx\"} 2\n"),
        "{printed}"
    );
    assert!(printed.contains("fairlead_retries_total{namespace=\"\",service=\"\"} 2\n"), "{printed}");
}

#[test]
fn workers_add_up_and_a_connection_is_active_or_idle() {
    let metrics = Metrics::new(2, true);
    for index in 0..2 {
        let worker = metrics.worker(index);
        worker.opened(true);
        worker.opened(true);
        worker.failure(Failure::NoRoute);
        worker.limit_hit(Limit::head_time);
        worker.handshake("TLSv1.3", true, true);
        worker.passed_on(true);
        worker.panicked();
    }
    metrics.worker(0).closed(true);
    let _under_way = metrics.worker(1).busy(true).hold();
    drop(metrics.worker(0).busy(true).hold());
    metrics.panicked();
    let printed = samples(&metrics);
    for line in [
        "fairlead_connections{listener=\"https\",state=\"active\"} 1",
        "fairlead_connections{listener=\"https\",state=\"idle\"} 2",
        "fairlead_connections_total{listener=\"https\"} 4",
        "fairlead_failures_total{reason=\"no_route\"} 2",
        "fairlead_limit_hits_total{limit=\"head-time\"} 2",
        "fairlead_tls_handshakes_total{version=\"TLSv1.3\",resumed=\"true\",result=\"ok\"} 2",
        "fairlead_passthrough_connections_total{result=\"passed\"} 2",
        "fairlead_panics_total 3",
    ] {
        assert!(printed.iter().any(|printed| printed == line), "{line} in\n{printed:#?}");
    }
    assert!(!printed.iter().any(|line| line.contains("listener=\"http\"")), "no connection, no series");
}

#[test]
fn present_problems_replace_those_of_before() {
    let metrics = Metrics::new(1, true);
    let object = object();
    metrics.set_problems(&[
        problem(&object, Severity::Error, Reason::ServiceNotFound),
        problem(&object, Severity::Error, Reason::ServiceNotFound),
    ]);
    assert!(text(&metrics).contains("fairlead_problems{severity=\"error\",reason=\"ServiceNotFound\"} 2\n"));
    metrics.set_problems(&[]);
    assert!(!text(&metrics).contains("fairlead_problems"));
}

#[test]
fn the_generation_and_the_time_of_an_apply_are_shown() {
    let metrics = Metrics::new(1, true);
    metrics.applied(7, Duration::from_millis(30));
    let printed = text(&metrics);
    assert!(printed.contains("fairlead_table_generation 7\n"));
    assert!(printed.contains("fairlead_apply_seconds_bucket{le=\"0.1\"} 1\n"));
    assert!(printed.contains("fairlead_apply_seconds_sum 0.03\n"));
}

#[test]
fn process_families_come_from_the_kernel() {
    let printed = text(&Metrics::new(1, true));
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
        assert!(printed.lines().any(|line| line.starts_with(name)), "{name} in\n{printed}");
    }
}

fn object() -> Arc<Object> {
    Arc::new(Object { kind: ObjectKind::Ingress, name: Name::new("n", "i"), file: None, line: None })
}

fn problem(object: &Arc<Object>, severity: Severity, reason: Reason) -> Problem {
    Problem {
        object: Arc::clone(object),
        severity,
        reason,
        field: String::new(),
        message: String::new(),
        hint: String::new(),
    }
}
