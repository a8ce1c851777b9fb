//! The health port and the admin address over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::BytesMut;
use fairlead::admin::{AnswerSettings, Listener, Listeners, Server, View};
use fairlead::compile::compile;
use fairlead::http1::ResponseHead;
use fairlead::live::{Life, Place, Registry, Stored};
use fairlead::settings::CompileOptions;
use fairlead::snapshot::{secret, yaml};
use fairlead::table::{RoutingTable, SharedTable};
use fairlead::telemetry::{Metrics, Readiness};

use crate::bed::{ingress, service};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn both_ports_answer_on_every_address_and_each_only_its_own() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let other: SocketAddr = "127.0.0.2:0".parse().unwrap();
    let running = Running::start(&[any, other], &[any, other]);
    assert_eq!((running.health.len(), running.admin.len()), (2, 2));
    for address in &running.health {
        assert!(get(*address, "/healthz").starts_with("HTTP/1.1 200 "));
        assert!(get(*address, "/metrics").contains("\nfairlead_table_generation 0\n"));
        assert!(get(*address, "/api/v1/routes").starts_with("HTTP/1.1 404 "));
    }
    for address in &running.admin {
        assert!(get(*address, "/api/v1/routes").ends_with("\r\n\r\n{\"generation\":0,\"routes\":[]}"));
        assert!(get(*address, "/metrics").starts_with("HTTP/1.1 404 "));
    }
}

#[test]
fn readiness_follows_the_process() {
    let running = Running::loopback();
    let ready = || get(running.health[0], "/readyz");
    assert!(ready().ends_with("waiting for the first table\n"));
    running.view.readiness.listeners_bound();
    running.view.readiness.table_served();
    assert!(ready().starts_with("HTTP/1.1 200 "));
    running.view.readiness.begin_draining();
    let answer = ready();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\ndraining\n"), "{answer}");
}

#[test]
fn clients_that_send_nothing_keep_no_probe_waiting() {
    let running = Running::loopback();
    // More than the port holds; half of a head is no more than none.
    let silent: Vec<_> = (0..600)
        .map(|i| {
            let mut stream = TcpStream::connect(running.health[0]).unwrap();
            stream.write_all(if i % 2 == 0 { b"" } else { b"GET /he" }).unwrap();
            stream
        })
        .collect();
    let begin = Instant::now();
    assert!(get(running.health[0], "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    drop(silent);
}

#[test]
fn a_purge_is_posted_as_json_and_tells_how_much_is_gone() {
    let running = Running::loopback();
    let cache = running.view.registry.cache();
    let life = Life {
        received: 0,
        initial_age: 0,
        fresh: 0,
        while_revalidate: 0,
        if_error: 0,
        must_revalidate: false,
        no_cache: false,
    };
    for path in ["/x", "/y", "/%5C"] {
        let head = "HTTP/1.1 200 OK\r\n\r\n";
        let head = ResponseHead::parse(&mut BytesMut::from(head), head.len(), false).unwrap();
        let stored = Stored { head, body: Arc::default(), selecting: Box::default(), life };
        cache.insert(path.as_bytes(), Place { host: b"a.example", path: path.as_bytes() }, Arc::new(stored));
    }
    let post = |body: &str| {
        let head = "POST /api/v1/cache/purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        ask(running.admin[0], &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    for (body, end) in [
        (r#"{"host":"A.example:8080","path":"/x"}"#, r#"{"purged":1}"#),
        (r#"{"host":"a.example","path":"/x"}"#, r#"{"purged":0}"#),
        (r#"{"host":"a.example","path":"/%5c"}"#, r#"{"purged":1}"#),
        (r#"{"host":"a.example"}"#, r#"{"purged":1}"#),
    ] {
        let answer = post(body);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(end), "{body}: {answer}");
    }
    assert!(post(r#"{"hots":"a.example"}"#).starts_with("HTTP/1.1 400 "));
    assert!(post(r#"{"host":"a b"}"#).starts_with("HTTP/1.1 400 "));
    assert!(post(&" ".repeat(40 << 10)).starts_with("HTTP/1.1 413 "));
    assert!(get(running.admin[0], "/api/v1/cache/purge").starts_with("HTTP/1.1 405 "));
    assert!(get(running.health[0], "/api/v1/cache/purge").starts_with("HTTP/1.1 404 "));
}

#[test]
fn every_backend_of_the_table_is_listed_once_whatever_it_is_for() {
    let running = Running::loopback();
    let n = "nginx.ingress.kubernetes.io";
    let asks = format!(
        "{n}/auth-url: 'http://127.0.0.1:81/', {n}/mirror-target: 'http://127.0.0.1:82/$request_uri', \
         {n}/custom-http-errors: '404', {n}/default-backend: both"
    );
    let errors = format!("{n}/custom-http-errors: '503', {n}/default-backend: errors");
    let canary = format!("{n}/canary: 'true', {n}/canary-weight: '10'");
    let manifests = [
        ["both", "canary", "errors", "main", "unused"].map(|name| service(name, &[])).concat(),
        ingress("main", "a.example", "/", "main", &asks),
        ingress("canary", "a.example", "/", "canary", &canary),
        // What is a route's own somewhere is listed as that.
        ingress("other", "b.example", "/", "both", &format!("{errors}, {n}/backend-protocol: GRPC")),
    ];
    running.serve(&manifests.concat());
    let listed = |query: &str| {
        let answer = get(running.admin[0], &format!("/api/v1/backends{query}"));
        let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let line = |backend: &serde_json::Value| {
            format!("{} {}", backend["name"].as_str().unwrap(), backend["protocol"].as_str().unwrap())
        };
        body["backends"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    };
    let (urls, services) = (
        ["http://127.0.0.1:81 http1", "http://127.0.0.1:82 http1"],
        ["canary:http http1", "errors:http http1", "main:http http1"].map(|line| format!("default/{line}")),
    );
    let [canary, errors, main] = &services;
    let both = "default/both:http h2c";
    let all = [urls[0], urls[1], both, canary, errors, main];
    assert_eq!(listed(""), all);
    assert_eq!(listed("?namespace=default"), all);
    assert_eq!(listed("?host=b.example"), [both, errors]);
    assert_eq!(listed("?namespace=other"), [""; 0]);
}

#[test]
fn a_connection_carries_one_request() {
    let running = Running::loopback();
    let answer =
        ask(running.health[0], "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[test]
fn heads_out_of_bounds_are_refused() {
    let running = Running::loopback();
    let long = format!("GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "x".repeat(64 << 10));
    let many = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    for head in [long, many] {
        let answer = ask(running.admin[0], &head);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

#[test]
fn a_foreign_name_is_refused_and_nothing_but_reading_is_allowed() {
    let running = Running::loopback();
    let address = running.admin[0];
    assert!(ask(address, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").starts_with("HTTP/1.1 403 "));
    assert!(
        ask(address, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").starts_with("HTTP/1.1 405 ")
    );
    let head = ask(address, "HEAD /api/v1/routes HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_port_in_use_is_named_with_its_holder() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (health, admin) in [(vec![address], vec![]), (vec![], vec![address])] {
        let error = Listeners::bind(&health, &admin).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }
}

#[test]
fn the_server_ends_when_it_is_dropped() {
    let running = Running::loopback();
    let address = running.health[0];
    drop(running);
    assert!(TcpStream::connect(address).is_err());
}

struct Running {
    view: Arc<View>,
    health: Vec<SocketAddr>,
    admin: Vec<SocketAddr>,
    _server: Server,
}

impl Running {
    fn loopback() -> Running {
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        Running::start(&[address], &[address])
    }

    fn start(health: &[SocketAddr], admin: &[SocketAddr]) -> Running {
        // The free port of the first address may be taken on the second.
        let listeners = (0..10).find_map(|_| Listeners::bind(health, admin).ok()).unwrap();
        let certificate = Arc::new(secret::self_made(0).unwrap());
        let view = Arc::new(View {
            table: Arc::new(SharedTable::new(Arc::new(RoutingTable::empty(&certificate)))),
            registry: Arc::new(Registry::new(1)),
            metrics: Metrics::new(1, true),
            readiness: Readiness::new(),
            problems: Arc::new(ArcSwap::from_pointee(Vec::new())),
            listeners: vec![Listener { name: "http", port: 80 }],
            default_certificate: certificate,
            short_text: Box::new(|_| String::new()),
            settings: AnswerSettings { has_metrics: true, health_check_path: "/healthz".to_owned() },
        });
        Running {
            health: listeners.health_addresses(),
            admin: listeners.admin_addresses(),
            _server: Server::start(listeners, Arc::clone(&view)).unwrap(),
            view,
        }
    }

    fn serve(&self, manifests: &str) {
        let view = &self.view;
        let snapshot = yaml::read(manifests, "test.yaml").into_snapshot();
        let config = compile(&snapshot, &CompileOptions::default()).config;
        let table = RoutingTable::build(&config, None, &view.registry, &view.metrics, &view.default_certificate);
        view.table.publish(Arc::new(table));
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

/// Everything that comes back until the server closes. A refusal may reset the connection before all is sent.
fn ask(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(bytes.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}
