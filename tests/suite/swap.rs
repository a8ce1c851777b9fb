//! Change under load: routes, endpoints and certificates change while requests, tunnels and downloads go on, and nobody
//! notices.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fairlead::settings::Limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bed::{Bed, ingress, service};
use crate::clients::{self, H1};
use crate::origin::Origin;

/// Requests in all, over HTTP/1.1, TLS and HTTP/2.
const REQUESTS: u64 = 100_000;
/// Changes meanwhile.
const CHANGES: u32 = 1000;
/// Requests that a pipelining client has sent and not yet read the answers to.
const PIPELINED: usize = 8;

#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    stop: AtomicBool,
    changes_done: AtomicBool,
}

impl Tally {
    /// The number of the next request; `None` when enough were made and all changes were seen.
    fn next(&self) -> Option<u64> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        (number < REQUESTS || !self.changes_done.load(Ordering::Relaxed)).then_some(number)
    }
}

/// What is served at one time: two counters, of which a change raises one or both.
#[derive(Default)]
struct State {
    routes: usize,
    endpoints: usize,
}

impl State {
    /// Takes the `i`-th change, and tells whether it needs a new table: each third one is of endpoints only, each third
    /// one of routes only.
    fn change(&mut self, i: u32) -> bool {
        let (routes, endpoints) = [(0, 1), (1, 0), (1, 1)][i as usize % 3];
        self.routes += routes;
        self.endpoints += endpoints;
        routes > 0
    }

    /// The endpoints of `web`: all, the first, or the last.
    fn endpoints<'o>(&self, origins: &'o [SocketAddr]) -> &'o [SocketAddr] {
        match self.endpoints % 3 {
            0 => origins,
            1 => &origins[..1],
            _ => &origins[1..],
        }
    }

    /// The certificate of the host.
    fn certificate<'c, C>(&self, certificates: &'c [C]) -> &'c C {
        &certificates[self.routes % certificates.len()]
    }

    /// Besides the above, a second Ingress of the host comes and goes, as do other hosts, and an annotation.
    fn manifests(&self, origins: &[SocketAddr], secret: &str) -> String {
        let mut text = tls_ingress(TUNED[self.routes % TUNED.len()]);
        if self.routes.is_multiple_of(2) {
            text += &ingress("extra", "a.example", "/extra", "web", "");
        }
        for n in 0..self.routes % 5 {
            text += &ingress(&format!("other-{n}"), &format!("b{n}.example"), "/", "web", "");
        }
        text + secret + &service("web", self.endpoints(origins))
    }
}

/// The Ingress of the host under test, with TLS.
fn tls_ingress(annotations: &str) -> String {
    ingress("web", "a.example", "/", "web", annotations)
        .replace("spec:\n", "spec:\n  tls: [{hosts: [a.example], secretName: tls}]\n")
}

const TUNED: [&str; 2] = [
    "nginx.ingress.kubernetes.io/ssl-redirect: 'false'",
    "nginx.ingress.kubernetes.io/ssl-redirect: 'false', fairlead.dev/load-balance: round_robin",
];

#[test]
fn no_request_fails_while_everything_changes() {
    let origins = [Origin::start("one"), Origin::start("two")];
    let addresses = [origins[0].address, origins[1].address];
    let certificates: Vec<_> = (0..3).map(|_| clients::tls_secret("tls", "a.example")).collect();
    let mut state = State::default();
    // So that no connection closes for another reason.
    let limits = Limits { requests_per_connection: 10 * REQUESTS, ..Limits::default() };
    let manifests = state.manifests(&addresses, &state.certificate(&certificates).0);
    let mut bed = Bed::with(&manifests, limits, 2, None);
    let (http, https) = (bed.http, bed.https);
    let tally = Arc::new(Tally::default());

    let load = {
        let tally = Arc::clone(&tally);
        thread::spawn(move || on_local_set(load(http, https, tally)))
    };
    let mut generation = bed.generation();
    for i in 1..=CHANGES {
        generation += u64::from(state.change(i));
        bed.apply(&state.manifests(&addresses, &state.certificate(&certificates).0));
        assert_eq!(bed.generation(), generation, "change {i}");
        assert_eq!(bed.endpoints(), sorted(state.endpoints(&addresses)), "change {i}");
        thread::sleep(Duration::from_millis(2));
    }
    tally.changes_done.store(true, Ordering::Relaxed);
    load.join().unwrap();
    let answered = || [&origins[0], &origins[1]].map(|origin| origin.answered.load(Ordering::Relaxed));
    let before = answered();
    assert!(before.iter().sum::<u64>() >= REQUESTS, "{before:?}");

    // What came last is what counts now.
    assert_eq!(state.endpoints(&addresses), addresses);
    let shown = on_local_set(async move {
        let stream = clients::tls(https, "a.example", b"http/1.1").await;
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        let mut client = H1::new(stream);
        for number in 0..100 {
            ask(&mut client, number).await;
        }
        shown
    });
    let (_, last) = state.certificate(&certificates);
    assert!(shown == *last, "a new client is shown an old certificate");
    assert_ne!(*last, certificates[0].1);
    let after = answered();
    assert!(before[0] < after[0] && before[1] < after[1], "{before:?} {after:?}");
}

/// Every kind of client at once, until enough was asked and everything has changed.
async fn load(http: SocketAddr, https: SocketAddr, tally: Arc<Tally>) {
    let mut tasks = Vec::new();
    for _ in 0..8 {
        tasks.push(tokio::task::spawn_local(plain(http, Arc::clone(&tally))));
    }
    for _ in 0..4 {
        tasks.push(tokio::task::spawn_local(over_tls(https, Arc::clone(&tally))));
        tasks.push(tokio::task::spawn_local(over_h2(https, Arc::clone(&tally))));
        tasks.push(tokio::task::spawn_local(reconnecting(http, Arc::clone(&tally))));
    }
    tasks.push(tokio::task::spawn_local(pipelining(http, Arc::clone(&tally))));
    let (plain, other_plain) = (TcpStream::connect(http).await.unwrap(), TcpStream::connect(http).await.unwrap());
    let tls = clients::tls(https, "a.example", b"http/1.1").await;
    let other_tls = clients::tls(https, "a.example", b"http/1.1").await;
    let long = [
        tokio::task::spawn_local(tunnel(plain, Arc::clone(&tally))),
        tokio::task::spawn_local(tunnel(tls, Arc::clone(&tally))),
        tokio::task::spawn_local(download(other_plain)),
        tokio::task::spawn_local(download(other_tls)),
    ];
    for task in tasks {
        task.await.unwrap();
    }
    tally.stop.store(true, Ordering::Relaxed);
    for task in long {
        task.await.unwrap();
    }
}

/// Runs `work` on a runtime of its own, with room for tasks that stay on this thread.
fn on_local_set<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

fn sorted(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut sorted = addresses.to_vec();
    sorted.sort();
    sorted
}

/// One keep-alive connection; every answer must be the one to its request.
async fn plain(address: SocketAddr, tally: Arc<Tally>) {
    let mut client = H1::new(TcpStream::connect(address).await.unwrap());
    while let Some(number) = tally.next() {
        ask(&mut client, number).await;
    }
}

async fn over_tls(address: SocketAddr, tally: Arc<Tally>) {
    while !tally.changes_done.load(Ordering::Relaxed) || tally.sent.load(Ordering::Relaxed) < REQUESTS {
        let mut client = H1::new(clients::tls(address, "a.example", b"http/1.1").await);
        for _ in 0..200 {
            let Some(number) = tally.next() else { return };
            ask(&mut client, number).await;
        }
    }
}

async fn reconnecting(address: SocketAddr, tally: Arc<Tally>) {
    while let Some(number) = tally.next() {
        ask(&mut H1::new(TcpStream::connect(address).await.unwrap()), number).await;
    }
}

/// One connection on which the next requests are sent before the first is answered; the answers keep their order.
async fn pipelining(address: SocketAddr, tally: Arc<Tally>) {
    let mut client = H1::new(TcpStream::connect(address).await.unwrap());
    let mut unanswered = VecDeque::new();
    loop {
        while unanswered.len() < PIPELINED
            && let Some(number) = tally.next()
        {
            let path = format!("/echo/{number}");
            client.send("GET", "a.example", &path, b"").await;
            unanswered.push_back(path);
        }
        let Some(path) = unanswered.pop_front() else { return };
        let (status, body) = client.answer(&path).await;
        check(status, &body, &path);
    }
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(client: &mut H1<S>, number: u64) {
    let path = format!("/echo/{number}");
    let (status, body) = client.request("GET", "a.example", &path, b"").await;
    check(status, &body, &path);
}

fn check(status: u16, body: &[u8], path: &str) {
    let body = String::from_utf8_lossy(body);
    assert_eq!(status, 200, "{path}: {body}");
    assert!(body == format!("one {path}") || body == format!("two {path}"), "{path} was answered {body:?}");
}

async fn over_h2(address: SocketAddr, tally: Arc<Tally>) {
    let mut client = clients::h2(clients::tls(address, "a.example", b"h2").await).await;
    while let Some(number) = tally.next() {
        let path = format!("/echo/{number}");
        let (status, body) = clients::h2_get(&mut client, &format!("https://a.example{path}")).await;
        check(status, &body, &path);
    }
}

/// A tunnel that lives through every change.
async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S, tally: Arc<Tally>) {
    let ask = "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    socket.write_all(ask.as_bytes()).await.unwrap();
    socket.flush().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let mut echoed = 0u64;
    while !tally.stop.load(Ordering::Relaxed) {
        socket.write_u64(echoed).await.unwrap();
        socket.flush().await.unwrap();
        assert_eq!(socket.read_u64().await.unwrap(), echoed);
        echoed += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(echoed > 10);
}

/// A download that takes two seconds of trickling.
async fn download<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let mut client = H1::new(stream);
    let (status, body) = client.request("GET", "a.example", "/slow/200", b"").await;
    assert_eq!((status, body.len()), (200, 800));
}

#[test]
fn a_drain_during_load_loses_no_request() {
    let origin = Origin::start("one");
    let text = service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", "");
    let mut bed = Bed::start(&text);
    let address = bed.http;
    let load = thread::spawn(move || {
        on_local_set(async move {
            let tasks: Vec<_> = (0..16).map(|_| tokio::task::spawn_local(until_closed(address))).collect();
            let mut answered = 0;
            for task in tasks {
                answered += task.await.unwrap();
            }
            answered
        })
    });
    thread::sleep(Duration::from_millis(500));
    assert!(bed.drain(Duration::from_secs(10)), "connections were still open");
    assert!(load.join().unwrap() > 100);
}

/// Asks until an answer says `Connection: close`; every request sent before must have been answered.
async fn until_closed(address: SocketAddr) -> u64 {
    let mut client = H1::new(TcpStream::connect(address).await.unwrap());
    for number in 0.. {
        let path = format!("/echo/{number}");
        let (status, body) = client.request("GET", "a.example", &path, b"").await;
        check(status, &body, &path);
        if client.closes {
            return number;
        }
    }
    0
}
