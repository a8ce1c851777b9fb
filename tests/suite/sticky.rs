//! Sticky sessions over the wire: through changes, a restart and two replicas, and when an endpoint dies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as Socket};
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::bed::{Bed, ingress};
use crate::clients::{self, H1};
use crate::origin::Origin;

/// Requests with a valid cookie in all; half of them before a replica is made anew.
const REQUESTS: usize = 100_000;
/// Changes meanwhile, each on both replicas.
const CHANGES: usize = 1_000;
const CLIENTS: usize = 40;

const NAMES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
/// So many of them are always there; the others come and go.
const STABLE: usize = 4;

/// What an Ingress says.
fn sticky(annotations: &str) -> String {
    format!("fairlead.dev/affinity: cookie, fairlead.dev/ssl-redirect: 'false'{annotations}")
}

/// The Service `web` with the Pods of these numbers.
fn pods(pods: &[(usize, SocketAddr)], draining: &[usize]) -> String {
    let mut text =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, uid: the-service}\nspec: {ports: [{name: http, port: 80}]}\n---\n"
            .to_owned();
    for (number, address) in pods {
        let is_ready = !draining.contains(number);
        text += &format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-{number}, labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nports: [{{name: http, port: {}, protocol: TCP}}]\nendpoints: [{{addresses: [\"{}\"], conditions: {{ready: {is_ready}, serving: true, terminating: {}}}, targetRef: {{kind: Pod, name: web-{number}, uid: pod-{number}}}}}]\n---\n",
            address.port(),
            address.ip(),
            !is_ready,
        );
    }
    text
}

/// The manifests after the `i`-th change: an endpoint comes or goes, a route or the algorithm changes, all in turn.
fn manifests(addresses: &[SocketAddr], i: usize) -> String {
    let present = addresses
        .iter()
        .copied()
        .enumerate()
        .filter(|(number, _)| *number < STABLE || (i >> (number - STABLE)) & 1 == 0);
    let algorithm = [", fairlead.dev/load-balance: random", "", ", fairlead.dev/load-balance: ip_hash"][i / 3 % 3];
    let mut text = ingress("web", "a.example", "/", "web", &sticky(algorithm));
    if i.is_multiple_of(5) {
        text += &ingress("extra", "b.example", "/", "web", "");
    }
    text + &pods(&present.collect::<Vec<_>>(), &[])
}

/// Runs `work` on a runtime of its own, with room for tasks that stay on this thread.
fn on_local_set<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

fn cookie_of(head: &str) -> Option<String> {
    head.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).map(str::to_owned)
}

/// The line that sends back what `Set-Cookie` gave.
fn line_of(cookie: &str) -> String {
    format!("Cookie: theme=dark; {}\r\n", cookie.split(';').next().unwrap())
}

/// One who was given a cookie.
#[derive(Clone)]
struct Visitor {
    line: String,
    endpoint: String,
}

/// First visits until `CLIENTS` were given a cookie of an endpoint that stays.
fn visitors(replicas: [SocketAddr; 2]) -> Vec<Visitor> {
    on_local_set(async {
        let mut visitors = Vec::new();
        for number in 0..20 * CLIENTS {
            let mut client = H1::new(TcpStream::connect(replicas[number % 2]).await.unwrap());
            let (status, body) = client.request("GET", "a.example", "/", b"").await;
            assert_eq!(status, 200);
            let line = line_of(&cookie_of(&client.head).unwrap());
            let endpoint = String::from_utf8(body).unwrap().split(' ').next().unwrap().to_owned();
            if NAMES[..STABLE].contains(&&*endpoint) {
                visitors.push(Visitor { line, endpoint });
            }
            if visitors.len() == CLIENTS {
                return visitors;
            }
        }
        panic!("{} cookies of endpoints that stay", visitors.len())
    })
}

/// Sends `requests` requests with the visitors' cookies to both replicas by turns, over HTTP/1.1 and HTTP/2. Every answer has
/// to come from the visitor's endpoint, without a new cookie.
fn visit(http: [SocketAddr; 2], https: [SocketAddr; 2], visitors: &[Visitor], requests: usize) {
    on_local_set(async {
        let each = requests / visitors.len();
        let tasks: Vec<_> = visitors
            .iter()
            .enumerate()
            .map(|(number, visitor)| {
                let visitor = visitor.clone();
                tokio::task::spawn_local(async move {
                    if number % 4 == 0 {
                        over_h2(https, &visitor, each).await
                    } else {
                        over_h1(http, &visitor, each).await
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn over_h1(replicas: [SocketAddr; 2], visitor: &Visitor, requests: usize) {
    let mut clients = Vec::new();
    for replica in replicas {
        let mut client = H1::new(TcpStream::connect(replica).await.unwrap());
        client.lines.clone_from(&visitor.line);
        clients.push(client);
    }
    for number in 0..requests {
        let (client, replica) = (&mut clients[number % 2], replicas[number % 2]);
        let path = format!("/{number}");
        let (status, body) = client.request("GET", "a.example", &path, b"").await;
        assert_eq!((status, String::from_utf8(body).unwrap()), (200, format!("{} {path}", visitor.endpoint)));
        assert_eq!(cookie_of(&client.head), None, "the cookie was good");
        if client.closes {
            *client = H1::new(TcpStream::connect(replica).await.unwrap());
            client.lines.clone_from(&visitor.line);
        }
    }
}

async fn over_h2(replicas: [SocketAddr; 2], visitor: &Visitor, requests: usize) {
    let cookie = visitor.line.strip_prefix("Cookie: ").unwrap().trim();
    for replica in replicas {
        let client = clients::h2(clients::tls(replica, "a.example", b"h2").await).await;
        for number in 0..requests / 2 {
            let mut request = http::Request::get(format!("https://a.example/{number}"));
            // A client may send each cookie in a field of its own (RFC 9113 8.2.3).
            for pair in cookie.split("; ") {
                request = request.header("cookie", pair);
            }
            let mut ready = client.clone().ready().await.unwrap();
            let (response, _) = ready.send_request(request.body(()).unwrap(), true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(!response.headers().contains_key("set-cookie"), "the cookie was good");
            let mut body = response.into_body();
            let mut bytes = Vec::new();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                bytes.extend_from_slice(&data);
            }
            assert_eq!(String::from_utf8(bytes).unwrap(), format!("{} /{number}", visitor.endpoint));
        }
    }
}

#[test]
fn a_valid_cookie_leads_to_its_endpoint_through_changes_a_restart_and_two_replicas() {
    let origins = NAMES.map(Origin::start);
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let start = || Bed::start(&manifests(&addresses, 0));
    let mut replicas = [start(), start()];
    let visitors = visitors([replicas[0].http, replicas[1].http]);
    let seen: std::collections::BTreeSet<_> = visitors.iter().map(|visitor| &visitor.endpoint).collect();
    assert!(seen.len() > 1, "all are at {seen:?}");
    let mut change = 0;
    for half in 0..2 {
        if half == 1 {
            replicas[0] = start();
        }
        let (http, https) = (replicas.each_ref().map(|bed| bed.http), replicas.each_ref().map(|bed| bed.https));
        let visitors = visitors.clone();
        let load = thread::spawn(move || visit(http, https, &visitors, REQUESTS / 2));
        for _ in 0..CHANGES / 2 {
            change += 1;
            let text = manifests(&addresses, change);
            replicas.iter_mut().for_each(|bed| bed.apply(&text));
            thread::sleep(Duration::from_millis(5));
        }
        load.join().unwrap();
    }
}

/// A request with `lines` over a connection of its own: who answered, and the cookie given.
fn visit_once(address: SocketAddr, path: &str, lines: &str) -> (String, Option<String>) {
    on_local_set(async {
        let mut client = H1::new(TcpStream::connect(address).await.unwrap());
        lines.clone_into(&mut client.lines);
        let (status, body) = client.request("GET", "a.example", path, b"").await;
        assert_eq!(status, 200, "{}", client.head);
        (String::from_utf8(body).unwrap().split(' ').next().unwrap().to_owned(), cookie_of(&client.head))
    })
}

/// How often somebody who keeps cookies changes the endpoint in 20 requests, with the last endpoint.
fn moves(address: SocketAddr, line: &mut String, mut endpoint: String) -> (usize, String) {
    let mut moves = 0;
    for _ in 0..20 {
        let (answered, cookie) = visit_once(address, "/", line);
        if let Some(cookie) = cookie {
            *line = line_of(&cookie);
        }
        if answered != endpoint {
            moves += 1;
            endpoint = answered;
        }
    }
    (moves, endpoint)
}

/// Serves all but those of `gone`; the addresses of those in `refusing` have nobody who listens.
struct Shop {
    bed: Bed,
    origins: Vec<Option<Origin>>,
    addresses: Vec<SocketAddr>,
    annotations: &'static str,
}

impl Shop {
    fn open(annotations: &'static str) -> Shop {
        let origins: Vec<_> = NAMES.map(Origin::start).into_iter().collect();
        let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
        let all: Vec<_> = addresses.iter().copied().enumerate().collect();
        let text = ingress("web", "a.example", "/", "web", &sticky(annotations)) + &pods(&all, &[]);
        Shop { bed: Bed::start(&text), origins: origins.into_iter().map(Some).collect(), addresses, annotations }
    }

    fn serve(&mut self, gone: &[usize], draining: &[usize]) {
        let present: Vec<_> =
            self.addresses.iter().copied().enumerate().filter(|(number, _)| !gone.contains(number)).collect();
        let text = ingress("web", "a.example", "/", "web", &sticky(self.annotations)) + &pods(&present, draining);
        self.bed.apply(&text);
    }

    /// A first visit: the line of the cookie, and the number of the endpoint.
    fn first(&self) -> (String, usize) {
        let (endpoint, cookie) = visit_once(self.bed.http, "/", "");
        (line_of(&cookie.unwrap()), NAMES.iter().position(|name| *name == endpoint).unwrap())
    }

    fn kill(&mut self, number: usize) {
        self.origins[number] = None;
        // Its listener closes when its thread notices.
        while Socket::connect(self.addresses[number]).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_client_whose_endpoint_is_gone_is_moved_once() {
    let mut shop = Shop::open("");
    let (mut line, number) = shop.first();
    assert_eq!(moves(shop.bed.http, &mut line, NAMES[number].to_owned()).0, 0);
    let before = line.clone();
    shop.serve(&[number], &[]);
    let (moved, _) = moves(shop.bed.http, &mut line, NAMES[number].to_owned());
    assert_eq!(moved, 1);
    assert_ne!(line, before, "it was given another cookie");
}

#[test]
fn a_client_whose_endpoint_drains_stays_until_its_end() {
    let mut shop = Shop::open("");
    let (mut line, number) = shop.first();
    shop.serve(&[], &[number]);
    assert_eq!(moves(shop.bed.http, &mut line, NAMES[number].to_owned()).0, 0);
    for _ in 0..20 {
        assert_ne!(visit_once(shop.bed.http, "/", "").0, NAMES[number], "nothing new comes there");
    }
    shop.serve(&[number], &[]);
    assert_eq!(moves(shop.bed.http, &mut line, NAMES[number].to_owned()).0, 1);
}

#[test]
fn a_client_whose_endpoint_fails_is_moved_for_good_if_that_is_asked_for() {
    let mut shop = Shop::open(", fairlead.dev/session-cookie-change-on-failure: 'true'");
    let (mut line, number) = shop.first();
    shop.kill(number);
    assert_eq!(moves(shop.bed.http, &mut line, NAMES[number].to_owned()).0, 1);
    let (endpoint, cookie) = visit_once(shop.bed.http, "/", &line);
    assert_ne!(endpoint, NAMES[number]);
    assert_eq!(cookie, None, "the new cookie is good");
}

#[test]
fn a_client_whose_endpoint_fails_for_a_while_keeps_its_cookie_and_has_one_other_endpoint() {
    let mut shop = Shop::open("");
    let (mut line, number) = shop.first();
    let before = line.clone();
    shop.kill(number);
    let (moved, _) = moves(shop.bed.http, &mut line, NAMES[number].to_owned());
    assert_eq!((moved, &line), (1, &before));
}

#[test]
fn only_ingresses_that_ask_for_it_give_out_cookies_and_all_of_the_service_follow_them() {
    let origins = NAMES.map(Origin::start);
    let all: Vec<_> = origins.iter().map(|origin| origin.address).enumerate().collect();
    let text = ingress("asks", "a.example", "/cart", "web", &sticky(", fairlead.dev/session-cookie-path: /"))
        + &ingress("plain", "a.example", "/", "web", "")
        + &pods(&all, &[]);
    let bed = Bed::start(&text);
    assert_eq!(visit_once(bed.http, "/", "").1, None);
    let (endpoint, cookie) = visit_once(bed.http, "/cart", "");
    let line = line_of(&cookie.unwrap());
    for _ in 0..20 {
        assert_eq!(visit_once(bed.http, "/", &line), (endpoint.clone(), None));
    }
}

#[test]
fn a_cookie_says_nothing_of_names_and_addresses_and_one_of_another_proxy_is_replaced() {
    let shop = Shop::open("");
    let (_, cookie) = visit_once(shop.bed.http, "/", "Cookie: INGRESSCOOKIE=1707744000.123.45.678901|8d8b4959\r\n");
    let cookie = cookie.unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly");
    let value = pair.strip_prefix("INGRESSCOOKIE=").unwrap();
    let (tag, key) = value.split_once('.').unwrap();
    // printf 'default/web:http' | sha256sum, the first 6 octets in base64url
    assert_eq!((tag, key.len()), ("fya1plu9", 16));
    for word in ["127", "web", "default"] {
        assert!(!value.contains(word), "{value}");
    }
}

#[test]
fn an_upgrade_is_given_the_cookie_too_and_follows_it() {
    let shop = Shop::open("");
    let upgrade = |line: &str| {
        let mut socket = Socket::connect(shop.bed.http).unwrap();
        let ask =
            format!("GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{line}\r\n");
        socket.write_all(ask.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            socket.read_exact(&mut octet).unwrap();
            head.push(octet[0]);
        }
        String::from_utf8(head).unwrap()
    };
    let head = upgrade("");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let line = line_of(&cookie_of(&head).unwrap());
    let (endpoint, again) = visit_once(shop.bed.http, "/", &line);
    assert_eq!(again, None);
    let number = NAMES.iter().position(|name| *name == endpoint).unwrap();
    let before = shop.origins[number].as_ref().unwrap().answered.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..10 {
        assert_eq!(cookie_of(&upgrade(&line)), None);
    }
    let after = shop.origins[number].as_ref().unwrap().answered.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(after - before, 10);
}
