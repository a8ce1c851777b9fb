//! Limits that replicas share, and limits of connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::filters::{Echo, ask, field, nginx, serving, status};
use crate::bed::{Bed, ingress, service};
use crate::clients::h2;

/// `web` with these annotations, and our own Service with so many ready endpoints.
fn manifests(web: &Echo, annotations: &str, replicas: u8) -> String {
    let own: Vec<SocketAddr> = (1..=replicas).map(|n| ([127, 0, 0, n], 80).into()).collect();
    let own = if own.is_empty() { String::new() } else { service("ourselves", &own) };
    service("web", &[web.address]) + &ingress("web", "a.example", "/", "web", annotations) + &own
}

fn shared(limits: &[(&str, &str)]) -> String {
    let by = "fairlead.dev/limit-scope: cluster, fairlead.dev/limit-by: $http_x_user";
    format!("{}, {by}", nginx(limits))
}

/// How many of 50 requests of a user pass, and what the last one was told of the policy.
fn passing(bed: &Bed, user: &str) -> (usize, Option<String>) {
    let mut last = String::new();
    let ask_once = || {
        last = ask(bed, "GET /", &format!("X-User: {user}\r\n"));
        status(&last)
    };
    let count = std::iter::repeat_with(ask_once).take(50).take_while(|status| *status == 200).count();
    (count, field(&last, "RateLimit-Policy").map(str::to_owned))
}

#[test]
fn replicas_share_a_limit_and_what_was_used_stays_when_they_come_and_go() {
    let web = Echo::start("");
    let limit = shared(&[("limit-rpm", "6")]);
    let policy = |quota: u32| Some(format!("\"ingress\";q={quota};w=60"));
    let mut bed = Bed::start(&manifests(&web, &limit, 1));
    assert_eq!(passing(&bed, "ann"), (31, policy(36)));
    let tables = bed.generation();
    bed.apply(&manifests(&web, &limit, 3));
    assert_eq!((passing(&bed, "ann"), passing(&bed, "bob")), ((0, policy(12)), (11, policy(12))));
    bed.apply(&manifests(&web, &limit, 1));
    assert_eq!((passing(&bed, "ann"), passing(&bed, "eve")), ((0, policy(36)), (31, policy(36))));
    assert_eq!(bed.generation(), tables, "limits follow without a new table");
    // Less than one request for each is one.
    bed.apply(&manifests(&web, &shared(&[("limit-rpm", "2"), ("limit-burst-multiplier", "1")]), 3));
    assert_eq!(passing(&bed, "new"), (2, policy(2)));
}

#[test]
fn without_a_service_of_ours_each_replica_allows_all_and_that_is_told() {
    let web = Echo::start("");
    let limit = shared(&[("limit-rpm", "6")]);
    let mut bed = Bed::start(&manifests(&web, &limit, 0));
    assert_eq!((passing(&bed, "ann").0, bed.problems("AnnotationIgnored")), (31, 1));
    bed.apply(&manifests(&web, &limit, 3));
    assert_eq!((passing(&bed, "bob").0, bed.problems("AnnotationIgnored")), (11, 0));
    bed.apply(&manifests(&web, &limit, 0));
    assert_eq!((passing(&bed, "eve").0, bed.problems("AnnotationIgnored")), (31, 1));
    bed.apply(&manifests(&web, &nginx(&[("limit-rpm", "6")]), 0));
    assert_eq!(bed.problems("AnnotationIgnored"), 0, "nobody asks");
    for wrong in ["fairlead.dev/limit-scope: all", "nginx.ingress.kubernetes.io/limit-scope: cluster"] {
        let bed = serving(&web, &format!("{}, {wrong}", nginx(&[("limit-rpm", "6")])), "");
        assert_eq!(status(&ask(&bed, "GET /", "")), 503, "{wrong}");
    }
}

#[test]
fn the_config_map_says_who_counts_as_one_client() {
    let web = Echo::start("");
    let config = |key: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: global}}\ndata: {{limit-conn-zone-variable: '{key}'}}\n"
        )
    };
    let limit = nginx(&[("limit-rpm", "1"), ("limit-burst-multiplier", "1")]);
    let own = format!("{limit}, fairlead.dev/limit-by: route");
    for (key, annotations, expected) in [
        ("$http_x_user", &limit, (2, 2)),
        ("$binary_remote_addr", &limit, (2, 0)),
        ("$nothing", &limit, (2, 0)),
        ("$http_x_user", &own, (2, 0)),
    ] {
        let bed = serving(&web, annotations, &config(key));
        assert_eq!((passing(&bed, "ann").0, passing(&bed, "bob").0), expected, "{key}");
    }
}

/// Keeps a connection open, and asks on it.
struct Caller(TcpStream);

impl Caller {
    fn new(address: SocketAddr) -> Caller {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Caller(socket)
    }

    fn ask(&mut self, path: &str, lines: &str) -> String {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n").as_bytes()).unwrap();
        let mut piece = [0; 4096];
        let length = self.0.read(&mut piece).unwrap();
        String::from_utf8_lossy(&piece[..length]).into_owned()
    }

    fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).is_ok()
    }
}

#[test]
fn a_client_has_so_many_connections_for_an_ingress_and_one_more_is_closed() {
    let web = Echo::start("");
    let free = ingress("free", "a.example", "/free", "web", "");
    let bed = serving(&web, "fairlead.dev/connections-per-client: '2'", &free);
    let [mut first, mut second, mut third] = [(); 3].map(|()| Caller::new(bed.http));
    for _ in 0..2 {
        assert_eq!([status(&first.ask("/", "")), status(&second.ask("/", ""))], [200, 200]);
    }
    assert_eq!(status(&third.ask("/free", "")), 200, "it counts when it is used for the Ingress");
    let refused = third.ask("/", "");
    assert_eq!((status(&refused), field(&refused, "Connection")), (503, Some("close")), "{refused}");
    assert!(third.is_closed());
    assert_eq!(bed.metric("fairlead_limit_hits_total{limit=\"connections-per-client\"}"), 1);
    drop(first);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while status(&Caller::new(bed.http).ask("/", "")) != 200 {
        assert!(std::time::Instant::now() < deadline, "the place of a connection that is gone is free");
        std::thread::sleep(Duration::from_millis(5));
    }
    let bed = serving(&web, "fairlead.dev/connections-per-client: few", "");
    assert_eq!((status(&ask(&bed, "GET /", "")), bed.problems("AccessRuleBroken")), (503, 1));
}

#[test]
fn connections_of_a_proxy_that_speaks_for_others_are_nobodys() {
    let web = Echo::start("");
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: global}\ndata: {use-forwarded-headers: 'true', \
                  proxy-real-ip-cidr: 127.0.0.0/8}\n";
    let bed = serving(&web, "fairlead.dev/connections-per-client: '1'", config);
    let mut kept = Vec::new();
    for n in 1..=3 {
        let mut caller = Caller::new(bed.http);
        assert_eq!(status(&caller.ask("/", &format!("X-Forwarded-For: 203.0.113.{n}\r\n"))), 200);
        kept.push(caller);
    }
    let [mut first, mut second] = [(); 2].map(|()| Caller::new(bed.http));
    assert_eq!([status(&first.ask("/", "")), status(&second.ask("/", ""))], [200, 503], "who speaks for itself");
}

#[test]
fn a_connection_of_http_2_counts_once_and_one_more_is_told_to_go() {
    let web = Echo::start("");
    let bed = serving(&web, "fairlead.dev/connections-per-client: '1'", "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asking = async {
        let connect = || async { h2(tokio::net::TcpStream::connect(bed.http).await.unwrap()).await };
        let (mut first, mut second) = (connect().await, connect().await);
        let request = || http::Request::get("http://a.example/").body(()).unwrap();
        for _ in 0..3 {
            let answer = first.send_request(request(), true).unwrap().0.await.unwrap();
            assert_eq!(answer.status(), 200);
        }
        let answer = second.send_request(request(), true).unwrap().0.await.unwrap();
        assert_eq!(answer.status(), 503);
        while second.clone().ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first.ready().await.unwrap();
    };
    let limited = async { tokio::time::timeout(Duration::from_secs(20), asking).await };
    tokio::task::LocalSet::new().block_on(&runtime, limited).unwrap();
}
