//! Change under load: routes, endpoints and certificates change while requests, tunnels and downloads go on, and nobody
//! notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bed::{Bed, ingress, service};
use crate::clients::{self, H1};
use crate::origin::Origin;

/// Requests in all, over HTTP/1.1, TLS and HTTP/2.
const REQUESTS: u64 = 100_000;
/// Tables published meanwhile.
const CHANGES: u32 = 1000;

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

/// Manifests of the `i`-th state: the endpoints of `web` alternate, a second Ingress comes and goes, the certificate of
/// the host is another.
fn state(i: u32, origins: &[Origin], certificates: &[String]) -> String {
    let all: Vec<SocketAddr> = origins.iter().map(|origin| origin.address).collect();
    let some = match i % 3 {
        0 => &all[..],
        1 => &all[..1],
        _ => &all[1..],
    };
    let mut text = service("web", some) + &tls_ingress(TUNED[i as usize % TUNED.len()]);
    if i.is_multiple_of(2) {
        text += &ingress("extra", "a.example", "/extra", "web", "");
    }
    for n in 0..i % 5 {
        text += &ingress(&format!("other-{n}"), &format!("b{n}.example"), "/", "web", "");
    }
    text + &certificates[i as usize % certificates.len()]
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
    let certificates: Vec<String> = (0..3).map(|_| clients::tls_secret("tls", "a.example")).collect();
    let mut bed = Bed::start(&state(0, &origins, &certificates));
    let (http, https) = (bed.http, bed.https);
    let tally = Arc::new(Tally::default());

    let load = {
        let tally = Arc::clone(&tally);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let mut tasks = Vec::new();
                for _ in 0..8 {
                    tasks.push(tokio::task::spawn_local(plain(http, Arc::clone(&tally))));
                }
                for _ in 0..4 {
                    tasks.push(tokio::task::spawn_local(over_tls(https, Arc::clone(&tally))));
                    tasks.push(tokio::task::spawn_local(over_h2(https, Arc::clone(&tally))));
                    tasks.push(tokio::task::spawn_local(reconnecting(http, Arc::clone(&tally))));
                }
                let tunnel = tokio::task::spawn_local(tunnel(http, Arc::clone(&tally)));
                let download = tokio::task::spawn_local(download(http));
                for task in tasks {
                    task.await.unwrap();
                }
                tally.stop.store(true, Ordering::Relaxed);
                tunnel.await.unwrap();
                download.await.unwrap();
            });
        })
    };
    for i in 1..=CHANGES {
        bed.apply(&state(i, &origins, &certificates));
        thread::sleep(Duration::from_millis(2));
    }
    tally.changes_done.store(true, Ordering::Relaxed);
    load.join().unwrap();
    assert!(tally.sent.load(Ordering::Relaxed) >= REQUESTS);
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
async fn tunnel(address: SocketAddr, tally: Arc<Tally>) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let ask = "GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    socket.write_all(ask.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let mut echoed = 0u64;
    while !tally.stop.load(Ordering::Relaxed) {
        socket.write_u64(echoed).await.unwrap();
        assert_eq!(socket.read_u64().await.unwrap(), echoed);
        echoed += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(echoed > 10);
}

/// A download that takes two seconds of trickling.
async fn download(address: SocketAddr) {
    let mut client = H1::new(TcpStream::connect(address).await.unwrap());
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
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
