mod endpoints;
mod zone;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures::FutureExt;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use super::explain::{Request as Asked, explain};
use super::*;
use crate::ir::{HostPattern, Name, PathKind, Severity};
use crate::table::{RoutingTable, fixture};

fn get(view: &View, uri: &str) -> (StatusCode, String) {
    let request = Request::builder().uri(uri).header(HOST, "127.0.0.1:10246").body(()).unwrap();
    taken(api::answer(view, &request))
}

fn taken(response: Response<Full<bytes::Bytes>>) -> (StatusCode, String) {
    let status = response.status();
    let body = response.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn health(view: &View, path: &str) -> (StatusCode, String) {
    taken(health::answer(view, &Request::builder().uri(path).body(()).unwrap()))
}

#[test]
fn routes_are_listed_for_each_listener_with_their_keys_in_order() {
    let (status, body) = get(&shop(), "/api/v1/routes?host=a.example&namespace=shop");
    assert_eq!(status, StatusCode::OK);
    let origin = |field| format!(r#""origin":{{"kind":"Ingress","namespace":"shop","name":"web","field":"{field}"}}"#);
    let row = |listener: &str, filter: &str| {
        [
            format!(
                r#"{{"listener":"{listener}","host":"a.example","match":"exact","path":"/login","closed":"ServiceNotFound","filters":[],{}}}"#,
                origin("spec.rules[0].http.paths[1]")
            ),
            format!(
                r#"{{"listener":"{listener}","host":"a.example","match":"prefix","path":"/api","backend":"shop/api:80","filters":["{filter}"],{}}}"#,
                origin("spec.rules[0].http.paths[0]")
            ),
        ]
        .join(",")
    };
    assert_eq!(
        body,
        format!(r#"{{"generation":1,"routes":[{},{}]}}"#, row("http:8080", "ssl-redirect"), row("https:8443", "hsts"))
    );
}

#[test]
fn a_filter_takes_the_host_a_name_belongs_to_and_nothing_of_other_namespaces() {
    let view = shop();
    let count = |query: &str, list: &str| {
        let body: Value = serde_json::from_str(&get(&view, &format!("/api/v1/{list}{query}")).1).unwrap();
        body[list].as_array().unwrap().len()
    };
    for (query, routes, backends, certificates, problems) in [
        ("", 8, 2, 2, 2),
        ("?namespace=shop", 6, 1, 1, 2),
        ("?namespace=blog", 2, 1, 0, 0),
        ("?host=a.example", 4, 1, 1, 1),
        ("?host=x.wild.example", 2, 1, 0, 1),
        ("?host=*.wild.example", 2, 1, 0, 1),
        ("?host=*", 2, 1, 0, 0),
        ("?host=rejected.example", 0, 0, 0, 1),
        ("?namespace=blog&host=a.example", 0, 0, 0, 0),
    ] {
        assert_eq!(count(query, "routes"), routes, "routes{query}");
        assert_eq!(count(query, "backends"), backends, "backends{query}");
        assert_eq!(count(query, "certificates"), certificates, "certificates{query}");
        assert_eq!(count(query, "problems"), problems, "problems{query}");
    }
}

#[test]
fn backends_show_their_endpoints_of_this_moment() {
    let view = shop();
    let api = view.registry.backend(&backend_id("shop", "api"));
    let _in_flight = Arc::clone(&api.endpoints.load().candidates[0]).begin();
    let (_, body) = get(&view, "/api/v1/backends?namespace=shop");
    let since = body.split(r#""since":""#).nth(1).unwrap().split('"').next().unwrap();
    assert_recent(since);
    assert_eq!(
        body.replace(since, "…"),
        r#"{"backends":[{"name":"shop/api:80","protocol":"http1","balance":"least_conn","endpoints":[{"address":"10.0.0.7:8080","pod":"api-x","weight":3,"state":"ready","since":"…","in_flight":1},{"address":"10.0.0.8:8080","weight":1,"state":"ready","since":"…","in_flight":0},{"address":"10.0.0.9:8080","weight":1,"state":"draining","reason":"terminating","since":"…","in_flight":0}]}]}"#
    );
}

/// An endpoint like any other.
fn endpoint(number: u8) -> ir::Endpoint {
    ir::Endpoint {
        address: ([10, 0, 0, number], 8080).into(),
        pod: None,
        weight: 1,
        key: None,
        draining: false,
        elsewhere: false,
    }
}

/// The shop with checks of its API: one endpoint works and is checked, one is set aside by `failed`.
fn checked(failed: &[usize]) -> View {
    let view = shop();
    let api = view.registry.backend(&backend_id("shop", "api"));
    let mut config = ir::Config::clone(view.table.load().config());
    let active = ir::ActiveCheck {
        probe: ir::Probe::Tcp,
        port: None,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        fall: 3,
        rise: 2,
    };
    let balancing = Arc::new(ir::Balancing { active: Some(active), ..ir::Balancing::default() });
    for backend in Arc::make_mut(&mut config.backends).values_mut() {
        Arc::make_mut(backend).balancing = Arc::clone(&balancing);
    }
    let self_made = Arc::new(certificate_of_ourselves());
    let table = RoutingTable::build(&Arc::new(config), None, &view.registry, &view.metrics, &self_made);
    view.table.publish(Arc::new(table));
    let (set, now) = (api.endpoints.load_full(), Instant::now());
    api.measured(&set.candidates[0], Duration::from_micros(1_937), now);
    for (place, endpoint) in set.candidates.iter().enumerate() {
        api.checked(endpoint, now);
        if failed.contains(&place) {
            api.judge(endpoint, false, "status 503".into(), now);
        }
    }
    view
}

#[test]
fn backends_show_how_each_endpoint_stands_and_why() {
    let (status, body) = get(&checked(&[1]), "/api/v1/backends?namespace=shop");
    assert_eq!(status, StatusCode::OK);
    let told: Value = serde_json::from_str(&body).unwrap();
    let [works, fails, drains] = &told["backends"][0]["endpoints"].as_array().unwrap()[..] else { panic!("{body}") };
    assert_eq!((works["state"].as_str(), works["latency_ms"].as_f64()), (Some("ready"), Some(1.9)));
    assert_eq!(works.get("reason"), None);
    assert_eq!((fails["state"].as_str(), fails["reason"].as_str()), (Some("unhealthy"), Some("status 503")));
    for moment in [&works["since"], &works["checked"], &fails["since"], &fails["checked"], &drains["since"]] {
        assert_recent(moment.as_str().unwrap());
    }
    assert_eq!((drains["state"].as_str(), drains["reason"].as_str()), (Some("draining"), Some("terminating")));
}

/// The moment is at most a few seconds ago.
fn assert_recent(moment: &str) {
    let age = jiff::Timestamp::now().as_second() - moment.parse::<jiff::Timestamp>().unwrap().as_second();
    assert!((0..=5).contains(&age), "{moment} is {age} s ago");
}

#[test]
fn an_endpoint_without_an_answer_yet_is_starting() {
    let view = checked(&[]);
    let id = backend_id("shop", "api");
    let endpoint = |number: u8| ir::Endpoint {
        address: ([10, 0, 0, number], 8080).into(),
        pod: None,
        weight: 2,
        key: None,
        draining: false,
        elsewhere: false,
    };
    let set = ir::EndpointSet::of(vec![endpoint(7), endpoint(9)]);
    view.registry.set_starting(&id, &set, Duration::from_secs(10), Instant::now());
    let shown = || {
        let body: Value = serde_json::from_str(&get(&view, "/api/v1/backends?namespace=shop").1).unwrap();
        let endpoint = body["backends"][0]["endpoints"].as_array().unwrap()[1].clone();
        (endpoint["state"].as_str().unwrap().to_owned(), endpoint["reason"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(shown(), ("starting".to_owned(), "not checked yet".to_owned()));
    let api = view.registry.backend(&id);
    api.checked(&api.endpoints.load().candidates[1], Instant::now());
    assert_eq!(shown(), ("starting".to_owned(), "weight at 10 %".to_owned()));
    view.registry.ramp(&id, Duration::from_secs(10), Instant::now() + Duration::from_secs(60));
    assert_eq!(shown(), ("ready".to_owned(), String::new()));
}

#[test]
fn metrics_count_endpoints_by_state() {
    let (_, text) = health(&checked(&[1]), "/metrics");
    for (state, count) in [("ready", 1), ("unhealthy", 1), ("draining", 1)] {
        let line = format!(
            r#"fairlead_backend_endpoints{{namespace="shop",service="api",port="80",state="{state}"}} {count}"#
        );
        assert!(text.lines().any(|printed| printed == line), "{line} in\n{text}");
    }
}

#[test]
fn certificates_show_names_and_dates_and_never_keys() {
    let (_, body) = get(&shop(), "/api/v1/certificates");
    assert_eq!(
        body,
        r#"{"certificates":[{"names":["fairlead.invalid"],"serial":"01","not_before":"1970-01-01T00:00:00Z","not_after":"2026-11-22T10:00:00Z","hosts":[],"default":true},{"names":["a.example"],"secret":"shop/tls","serial":"0a1b","not_before":"1970-01-01T00:00:00Z","not_after":"2026-11-22T10:00:00Z","hosts":["a.example"],"default":false}]}"#
    );
}

#[test]
fn problems_say_what_is_wrong_and_what_to_do() {
    let (_, body) = get(&shop(), "/api/v1/problems?host=a.example");
    assert_eq!(
        body,
        r#"{"problems":[{"object":{"kind":"Ingress","namespace":"shop","name":"web","file":null,"line":null},"severity":"error","reason":"ServiceNotFound","field":"spec.rules[0].http.paths[1]","message":"no Service shop/cart","hint":"create it, or name one of: cart-v2, web","since":"2026-11-22T10:00:00Z"}]}"#
    );
}

#[test]
fn explain_tells_the_route_its_endpoints_and_who_lost() {
    let view = shop();
    let (status, body) = get(&view, "/api/v1/explain?url=https%3A%2F%2Fa.example%2Fapi%2Fv1&method=POST");
    assert_eq!(status, StatusCode::OK, "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    let keys: Vec<&str> = ["status", "answer", "route", "endpoints", "steps", "lost", "rejected"].to_vec();
    let mut places: Vec<usize> = keys.iter().map(|key| body.find(&format!("\"{key}\":")).expect(key)).collect();
    places.dedup();
    assert!(places.is_sorted(), "{body}");
    assert_eq!((told["status"].as_u64(), told["answer"].as_str()), (Some(200), Some("routed")));
    assert_eq!(told["route"]["listener"], "https:8443");
    assert_eq!(told["endpoints"].as_array().unwrap().len(), 3);
    let stages: Vec<&str> = told["steps"].as_array().unwrap().iter().map(|s| s["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["listener", "host", "path", "filters", "backend", "endpoint", "endpoint"]);
    assert_eq!(told["lost"][0]["route"]["path"], "/login");
    assert_eq!(told["lost"][0]["why"], "exact path differs");
    assert_eq!(told["rejected"].as_array().unwrap().len(), 0);
}

#[test]
fn explain_tells_what_closed_a_path() {
    let (_, body) = get(&shop(), "/api/v1/explain?url=http%3A%2F%2Fa.example%2Flogin");
    let told: Value = serde_json::from_str(&body).unwrap();
    let text = &told["steps"].as_array().unwrap().last().unwrap()["text"];
    assert_eq!(text, "by spec.rules[0].http.paths[1]: no Service shop/cart");
}

#[test]
fn explain_in_text_begins_with_the_answer() {
    let view = shop();
    let text = |url: &str| {
        let request = Asked::new("GET", url).unwrap();
        explain(&view.table.load(), &view.listeners, &request).text(&request)
    };
    let first = |url: &str| text(url).lines().next().unwrap().to_owned();
    for (url, line) in [
        ("https://a.example/api", "200 shop/api:80 (ingress shop/web, ^ /api)"),
        ("http://a.example/api", "308 shop/api:80 (ingress shop/web, ^ /api)"),
        ("http://a.example/login", "503 closed by ServiceNotFound (ingress shop/web, = /login)"),
        ("http://a.example/", "404 no route"),
        ("http://b.example/", "503 blog/web:80 (ingress blog/web, ^ /)"),
        ("http://a.example/%zz", "400"),
    ] {
        assert_eq!(first(url), format!("GET {url} → {line}"));
    }
    assert_eq!(
        text("http://rejected.example/x"),
        "GET http://rejected.example/x → 503 blog/web:80 (ingress blog/web, ^ /)\n\
         why:\n  \
           listener  http:8080\n  \
           host      no rule for host rejected.example; rules without a host answer\n  \
           path      ^ / is the longest prefix of /x\n  \
           backend   blog/web:80 over http1, least_conn\n  \
           endpoint  none is ready\n\
         not considered:\n  \
           ingress shop/foreign spec.rules[0]: class nginx is not ours\n"
    );
    assert!(
        text("https://a.example/api")
            .ends_with("lost:\n  = /login  closed by ServiceNotFound  ingress shop/web: exact path differs\n")
    );
}

#[test]
fn of_many_routes_that_lost_the_nearest_are_listed_and_the_others_counted() {
    let view = shop();
    let mut config = ir::Config::clone(view.table.load().config());
    let host = config.hosts.get_mut(&HostPattern::Exact("a.example".into())).unwrap();
    let mut routes: Vec<_> = (0..30)
        .map(|index| ir::Route {
            path: ir::PathMatch { kind: PathKind::Prefix, path: format!("/far/{index:02}").into() },
            ..ir::Route::clone(&host.routes[1])
        })
        .map(Arc::new)
        .collect();
    routes.extend(host.routes.iter().cloned());
    *host = Arc::new(ir::VirtualHost {
        host: host.host.clone(),
        routes,
        redirect: None,
        client_auth: None,
        tls: None,
        passthrough: None,
    });
    let self_made = Arc::new(certificate_of_ourselves());
    let table = RoutingTable::build(&Arc::new(config), None, &view.registry, &view.metrics, &self_made);
    let request = Asked::new("GET", "https://a.example/far/00/x").unwrap();
    let told = explain(&table, &view.listeners, &request);
    assert_eq!((told.lost.len(), told.more_lost), (20, 11));
    assert!(told.text(&request).ends_with("\n  and 11 more\n"), "{}", told.text(&request));
}

#[test]
fn of_a_host_that_is_passed_on_one_route_is_listed_over_tls() {
    let view = shop();
    let mut config = ir::Config::clone(view.table.load().config());
    let host = Arc::make_mut(config.hosts.get_mut(&HostPattern::Exact("a.example".into())).unwrap());
    host.passthrough = Some(Arc::clone(&host.routes[1]));
    let self_made = Arc::new(certificate_of_ourselves());
    let table = RoutingTable::build(&Arc::new(config), None, &view.registry, &view.metrics, &self_made);
    view.table.publish(Arc::new(table));
    let told: Value = serde_json::from_str(&get(&view, "/api/v1/routes?host=a.example").1).unwrap();
    let rows = told["routes"].as_array().unwrap().iter();
    let rows: Vec<_> = rows.filter(|row| row["listener"] == "https:8443").collect();
    assert_eq!(rows.len(), 1, "{told}");
    assert_eq!((&rows[0]["path"], &rows[0]["filters"][0]), (&"/api".into(), &"ssl-passthrough".into()));
}

#[test]
fn a_listener_that_is_off_answers_nothing() {
    let mut view = shop();
    view.listeners.truncate(1);
    let request = Asked::new("GET", "https://a.example/api").unwrap();
    let told = explain(&view.table.load(), &view.listeners, &request);
    assert_eq!((told.status, told.answer), (0, shape::Answer::Refused));
    assert!(told.text(&request).starts_with("GET https://a.example/api → no answer\n"));
}

#[test]
fn a_wrong_question_is_told_in_json() {
    let view = shop();
    for (uri, status, part) in [
        ("/api/v1/nothing", 404, "/api/v1/routes"),
        ("/api/v1/routes?colour=red", 400, "colour"),
        ("/api/v1/explain", 400, "url is missing"),
        ("/api/v1/explain?url=a.example", 400, "http://host/path"),
        ("/api/v1/explain?url=http://a/&method=G%20T", 400, "not a method"),
        ("/api/v1/explain?url=http://a/&header=Content-Length:%20-1", 400, "no length"),
    ] {
        let (code, body) = get(&view, uri);
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(code.as_u16(), status, "{uri}");
        assert!(told["error"].as_str().unwrap().contains(part), "{uri}: {body}");
        assert!(body.starts_with(r#"{"error":""#), "{body}");
    }
}

#[test]
fn only_reading_is_answered_and_only_under_a_local_name() {
    let view = shop();
    let post = Request::post("/api/v1/routes").header(HOST, "localhost").body(()).unwrap();
    let response = api::answer(&view, &post);
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    let rebound = Request::get("/api/v1/routes").header(HOST, "evil.example").body(()).unwrap();
    assert_eq!(taken(api::answer(&view, &rebound)).0, StatusCode::FORBIDDEN);
    let post = Request::post("/readyz").body(()).unwrap();
    assert_eq!(health::answer(&view, &post).status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn the_page_and_the_short_text_are_there() {
    let view = shop();
    let (status, page) = get(&view, "/");
    assert!(status == StatusCode::OK && page.starts_with("<!doctype html>"));
    assert_eq!(get(&view, "/api/v1/config"), (StatusCode::OK, "2 backends\n".to_owned()));
}

#[test]
fn health_and_readiness_say_why_not() {
    let view = shop();
    let ok = (StatusCode::OK, "ok\n".to_owned());
    let not = |reason: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"));
    assert_eq!(health(&view, "/readyz"), not("waiting for the first table"));
    view.readiness.awaits("secrets".to_owned());
    assert_eq!(health(&view, "/readyz"), not("waiting for the first table: secrets"));
    view.readiness.table_served();
    assert_eq!(health(&view, "/readyz"), not("listeners not bound"));
    view.readiness.listeners_bound();
    for path in ["/readyz", "/healthz", "/alive"] {
        assert_eq!(health(&view, path), ok, "{path}");
    }
    drop(view.readiness.alive(crate::telemetry::Part::Control));
    for path in ["/readyz", "/healthz", "/alive"] {
        assert_eq!(health(&view, path), not("control thread dead"), "{path}");
    }
    assert_eq!(health(&view, "/nothing").0, StatusCode::NOT_FOUND);
    assert_eq!(health(&view, "/api/v1/routes").0, StatusCode::NOT_FOUND);
}

#[test]
fn metrics_come_in_the_form_asked_for_with_the_backends() {
    let mut view = shop();
    let scrape = |accept: &str| {
        let request = Request::get("/metrics").header(ACCEPT, accept).body(()).unwrap();
        let response = health::answer(&view, &request);
        let form = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        (form, taken(response).1)
    };
    let (form, text) = scrape("text/plain");
    assert!(form.starts_with("text/plain; version=0.0.4") && !text.contains("# EOF"), "{form}");
    for line in [
        r#"fairlead_backend_endpoints{namespace="shop",service="api",port="80",state="ready"} 2"#,
        r#"fairlead_backend_endpoints{namespace="shop",service="api",port="80",state="draining"} 1"#,
        r#"fairlead_backend_endpoints{namespace="blog",service="web",port="80",state="ready"} 0"#,
        r#"fairlead_backend_in_flight{namespace="shop",service="api",port="80"} 0"#,
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} in\n{text}");
    }
    let (form, text) = scrape("application/openmetrics-text; version=1.0.0");
    assert!(form.starts_with("application/openmetrics-text") && text.ends_with("# EOF\n"), "{form}");
    view.settings.has_metrics = false;
    assert_eq!(health(&view, "/metrics").0, StatusCode::NOT_FOUND);
}

#[test]
fn without_per_ingress_backends_are_summed_under_empty_names() {
    let mut view = shop();
    view.metrics = Metrics::new(1, false);
    let (_, text) = health(&view, "/metrics");
    let line = r#"fairlead_backend_endpoints{namespace="",service="",port="80",state="ready"} 2"#;
    assert!(text.lines().any(|printed| printed == line), "{text}");
}

/// Three hosts, two backends (one without endpoints), a closed path, a rejected Ingress, one certificate of a Secret.
fn shop() -> View {
    let web = object("shop", "web");
    let blog = object("blog", "web");
    let redirect = ir::Filters {
        tls_redirect: Some(ir::TlsRedirect { status: 308, port: Some(8443), only_from: None, keeps_slash: false }),
        hsts: Some(ir::Hsts { value: "max-age=31536000".into() }),
        ..ir::Filters::default()
    };
    let plain = ir::Filters::default();
    let (api, no_endpoints) = (backend_id("shop", "api"), backend_id("blog", "web"));
    let (first, second) = ("spec.rules[0].http.paths[0]", "spec.rules[0].http.paths[1]");
    let closed = ir::Target::Closed(ir::Reason::ServiceNotFound);
    let to_api = ir::Target::Backend(api.clone());
    let hosts = [
        host(
            HostPattern::Exact("a.example".into()),
            vec![
                route(&web, second, PathKind::Exact, "/login", closed, plain.clone()),
                route(&web, first, PathKind::Prefix, "/api", to_api.clone(), redirect),
                implicit(route(&web, "", PathKind::Prefix, "/", ir::Target::NotFound, plain.clone())),
            ],
        ),
        host(
            HostPattern::Wildcard("wild.example".into()),
            vec![route(&web, first, PathKind::Prefix, "/", to_api, plain.clone())],
        ),
        host(
            HostPattern::Any,
            vec![route(&blog, first, PathKind::Prefix, "/", ir::Target::Backend(no_endpoints.clone()), plain)],
        ),
    ];
    let certificate = certificate(ir::CertificateOrigin::Secret(Name::new("shop", "tls")), "a.example", "0a1b");
    let config = ir::Config {
        aliases: Arc::default(),
        globals: Arc::default(),
        hosts: hosts.into_iter().map(|host| (host.host.clone(), Arc::new(host))).collect(),
        backends: Arc::new(
            [&api, &no_endpoints]
                .into_iter()
                .map(|id| (id.clone(), fixture::backend(id, ir::Algorithm::LeastConn)))
                .collect(),
        ),
        certificates: Arc::new([(HostPattern::Exact("a.example".into()), Arc::new(certificate))].into_iter().collect()),
        defaulted: BTreeSet::new(),
        default_certificate: None,
        rejected: vec![Arc::new(ir::Rejected {
            host: HostPattern::Exact("rejected.example".into()),
            path: None,
            origin: origin(&object("shop", "foreign"), "spec.rules[0]"),
            why: "class nginx is not ours".to_owned(),
        })],
    };
    let (registry, metrics) = (Arc::new(Registry::new(1)), Metrics::new(1, true));
    let self_made = Arc::new(certificate_of_ourselves());
    let table = RoutingTable::build(&Arc::new(config), None, &registry, &metrics, &self_made);
    let endpoint = |address: &str, pod: Option<&str>, weight, draining| ir::Endpoint {
        address: address.parse().unwrap(),
        pod: pod.map(Into::into),
        weight,
        key: None,
        draining,
        elsewhere: false,
    };
    let endpoints = vec![
        endpoint("10.0.0.7:8080", Some("api-x"), 3, false),
        endpoint("10.0.0.8:8080", None, 1, false),
        endpoint("10.0.0.9:8080", None, 1, true),
    ];
    registry.set_endpoints(&api, &ir::EndpointSet::of(endpoints));
    let problems = vec![
        standing(
            &web,
            ir::Reason::ServiceNotFound,
            second,
            "no Service shop/cart",
            "create it, or name one of: cart-v2, web",
        ),
        standing(&object("shop", "foreign"), ir::Reason::ClassNotOurs, "", "class nginx is not ours", "none needed"),
    ];
    View {
        table: Arc::new(SharedTable::new(Arc::new(table))),
        registry,
        metrics,
        readiness: Readiness::new(),
        problems: Arc::new(ArcSwap::from_pointee(problems)),
        listeners: vec![Listener { name: "http", port: 8080 }, Listener { name: "https", port: 8443 }],
        default_certificate: self_made,
        short_text: Box::new(|config| format!("{} backends\n", config.backends.len())),
        settings: AnswerSettings { has_metrics: true, health_check_path: "/alive".to_owned() },
    }
}

/// 2026-11-22T10:00:00Z.
const WHEN: i64 = 1_795_341_600;

fn standing(object: &Arc<ir::Object>, reason: ir::Reason, field: &str, message: &str, hint: &str) -> Standing {
    let problem = ir::Problem {
        object: Arc::clone(object),
        severity: if field.is_empty() { Severity::Info } else { Severity::Error },
        reason,
        field: field.to_owned(),
        message: message.to_owned(),
        hint: hint.to_owned(),
    };
    Standing { problem, since: WHEN }
}

fn object(namespace: &str, name: &str) -> Arc<ir::Object> {
    Arc::new(ir::Object { kind: ir::Kind::Ingress, name: Name::new(namespace, name), file: None, line: None })
}

fn origin(object: &Arc<ir::Object>, field: &str) -> ir::Origin {
    ir::Origin { object: Arc::clone(object), field: field.into() }
}

fn backend_id(namespace: &str, name: &str) -> ir::BackendId {
    ir::BackendId::new(Name::new(namespace, name), ir::PortKey::Number(80))
}

fn host(host: HostPattern, routes: Vec<ir::Route>) -> ir::VirtualHost {
    ir::VirtualHost {
        host,
        routes: routes.into_iter().map(Arc::new).collect(),
        redirect: None,
        client_auth: None,
        tls: None,
        passthrough: None,
    }
}

fn implicit(route: ir::Route) -> ir::Route {
    ir::Route { implicit: true, ..route }
}

fn route(
    object: &Arc<ir::Object>,
    field: &str,
    kind: PathKind,
    path: &str,
    target: ir::Target,
    filters: ir::Filters,
) -> ir::Route {
    let plain = fixture::route(ir::PathMatch { kind, path: path.into() }, false, target);
    ir::Route { origin: origin(object, field), filters: Arc::new(filters), ..plain }
}

fn certificate_of_ourselves() -> ir::Certificate {
    certificate(ir::CertificateOrigin::SelfMade, "fairlead.invalid", "01")
}

fn certificate(origin: ir::CertificateOrigin, name: &str, serial: &str) -> ir::Certificate {
    ir::Certificate {
        serial: serial.to_owned(),
        not_after: WHEN,
        fingerprint: [serial.len() as u8; 32],
        ..ir::Certificate::clone(&fixture::certificate(origin, name))
    }
}
