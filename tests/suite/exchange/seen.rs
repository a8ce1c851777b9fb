//! What is seen of exchanges from outside: the log line of a head that was refused, connections by what they do.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fairlead::settings::{Limits, LogFormat};
use fairlead::telemetry::AccessLog;
use fairlead::telemetry::exposition::{Exposition, Page};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::plain::talk;
use crate::bed::{Bed, ingress, service};
use crate::clients::{h2, h2_get};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { tokio::time::timeout(PATIENCE, test).await };
    LocalSet::new().block_on(&runtime, test).expect("the test hangs");
}

#[test]
fn a_refused_head_is_logged_as_far_as_it_was_read() {
    let long = "a".repeat(17 << 10);
    let cases = [
        ("GET /a?b HTTP/1.1\r\n\r\n".to_owned(), r"GET /a?b HTTP/1.1", 400),
        ("GET /\"\x01 HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), r"GET /\x22\x01 HTTP/1.1", 400),
        ("GET / HTTP/3.0\r\nHost: a.example\r\n\r\n".to_owned(), "GET / HTTP/3.0", 505),
        ("GET /x HTTP/1.1\nHost: a.example\r\n\r\n".to_owned(), "GET /x HTTP/1.1", 400),
        ("G(T / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), "-", 400),
        (format!("GET /{long}"), &format!("GET /{}", &long[..1023]), 414),
        (format!("GET /x HTTP/1.1\r\nX: {long}"), "GET /x HTTP/1.1", 431),
        ("GET /late HTTP/1.1\r\nHost:".to_owned(), "GET /late HTTP/1.1", 408),
    ];
    let (mut reader, writer) = io::pipe().unwrap();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let log = AccessLog::start(writer, LogFormat::Text, Arc::default()).unwrap();
    let limits = Limits { head_time: Duration::from_millis(500), ..Limits::default() };
    let bed = Bed::with("", limits, 1, Some(Arc::clone(&log)));
    for (head, ..) in &cases {
        talk(bed.http, head);
    }
    run(async {
        let mut client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        assert_eq!(h2_get(&mut client, "http://user@a.example/x?y").await.0, 400);
    });
    drop(bed);
    assert!(log.settle(PATIENCE));
    drop(log);
    let text = reading.join().unwrap().unwrap();
    let mut lines = text.lines();
    for (head, first, status) in &cases {
        let (_, line) = lines.next().unwrap().split_once("] \"").unwrap();
        assert!(line.starts_with(&format!("{first}\" {status} ")), "{first}: {line}");
        assert!(line.contains(&format!("\"-\" \"-\" {} ", head.len())), "{first}: {line}");
    }
    let line = lines.next().unwrap();
    assert!(line.contains("] \"GET /x?y HTTP/2.0\" 400 ") && line.contains("\"-\" \"-\" 18 "), "{line}");
    assert_eq!(lines.next(), None);
}

#[test]
fn a_connection_is_active_while_a_request_is_under_way_and_idle_otherwise() {
    run(async {
        for is_http2 in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let manifests =
                service("web", &[listener.local_addr().unwrap()]) + &ingress("web", "a.example", "/", "web", "");
            let bed = Bed::start(&manifests);
            let socket = TcpStream::connect(bed.http).await.unwrap();
            let client = async {
                if is_http2 {
                    let mut client = h2(socket).await;
                    assert_eq!(h2_get(&mut client, "http://a.example/").await.0, 200);
                    becomes(&bed, 0, 1).await;
                } else {
                    let mut socket = socket;
                    socket.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
                    assert!(socket.read(&mut [0; 1024]).await.unwrap() > 0);
                    becomes(&bed, 0, 1).await;
                }
            };
            let origin = async {
                let (mut upstream, _) = listener.accept().await.unwrap();
                assert!(upstream.read(&mut [0; 1024]).await.unwrap() > 0);
                assert_eq!(connections(&bed), (1, 0));
                upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                upstream
            };
            tokio::join!(client, origin);
        }
    });
}

/// The worker lets go of a request a moment after its answer came.
async fn becomes(bed: &Bed, active: u64, idle: u64) {
    let deadline = Instant::now() + PATIENCE / 2;
    while connections(bed) != (active, idle) {
        assert!(Instant::now() < deadline, "{:?}", connections(bed));
        tokio::task::yield_now().await;
    }
}

/// Client connections, active and idle.
fn connections(bed: &Bed) -> (u64, u64) {
    let mut page = Page::new(Exposition::Text);
    bed.metrics.write(&mut page, 0);
    let page = page.finish();
    let count = |state: &str| {
        let name = format!("fairlead_connections{{listener=\"http\",state=\"{state}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
    };
    (count("active"), count("idle"))
}
