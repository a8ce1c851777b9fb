//! Times, sizes, retries, speed: what takes its time, so that all are looked at together.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::{Asked, Kind, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::filters::Echo;
use crate::exchange::plain::until;
use crate::exchange::scripted::{Scripted, field};

pub(super) struct Times {
    web: Echo,
    /// Nobody accepts: it connects, and neither reads nor writes.
    silent: TcpListener,
    /// Fails the first request of each host.
    stumbling: Scripted,
    /// Answers with a long body.
    long: Scripted,
}

const LONG: usize = 64 << 10;
/// What ends after a second has ended by then; the defaults are 5 s and more.
const PATIENCE: Duration = Duration::from_secs(4);
const NO_RETRIES: (&str, &str) = ("proxy-next-upstream", "off");
const ON_503: &[(&str, &str)] = &[("proxy-next-upstream", "http_503")];

pub(super) const ROWS: &[Row<Times>] = &[
    row("limit-rate", "16", "16k").shows(&["slow"]).seen(Times::speed),
    row("limit-rate-after", "64", "1m").beside(&[("limit-rate", "16")]).shows(&["fast"]).seen(Times::speed),
    row("proxy-body-size", "1k", "1kB").asking("POST /", "Content-Length: 1025\r\n").shows(&["< HTTP/1.1 413 "]),
    // A handshake that does not end is a connection that does not come about.
    row("proxy-connect-timeout", "1", "soon")
        .beside(&[("backend-protocol", "HTTPS"), NO_RETRIES])
        .shows(&["< HTTP/1.1 504 "]),
    row("proxy-next-upstream", "http_503", "http_418").shows(&["< HTTP/1.1 200 "]),
    row("proxy-next-upstream-timeout", "1", "soon").beside(ON_503).shows(&["< HTTP/1.1 503 "]),
    row("proxy-next-upstream-tries", "1", "-1").beside(ON_503).shows(&["< HTTP/1.1 503 "]),
    row("proxy-read-timeout", "1", "soon").beside(&[NO_RETRIES]).shows(&["< HTTP/1.1 504 "]),
    row("proxy-request-buffering", "off", "maybe").shows(&["the back end has the head"]).seen(Times::half_a_body),
    row("proxy-send-timeout", "1", "soon")
        .beside(&[("proxy-body-size", "0"), NO_RETRIES])
        .shows(&["< HTTP/1.1 504 "])
        .seen(|_, asked| {
            let length = 64 << 20;
            let mut socket = begin(asked, &format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n"));
            let mut sender = socket.try_clone().unwrap();
            let sending = thread::spawn(move || sender.write_all(&vec![b'x'; length]).is_ok());
            let view = end(asked, &mut socket);
            let _gone = socket.shutdown(Shutdown::Both);
            assert!(!sending.join().unwrap(), "nobody reads it");
            view
        }),
];

/// A connection on which a request was begun.
fn begin(asked: &Asked, lines: &str) -> TcpStream {
    let mut socket = TcpStream::connect(asked.http).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(format!("{lines}Host: {}\r\nConnection: close\r\n\r\n", asked.place.host).as_bytes()).unwrap();
    socket
}

/// The head of the answer, if there is one in time.
fn end(asked: &Asked, socket: &mut TcpStream) -> String {
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        match socket.read(&mut piece) {
            Ok(count @ 1..) => answer.extend_from_slice(&piece[..count]),
            _ => return "no answer\n".to_owned(),
        }
    }
    asked.view(&String::from_utf8_lossy(&answer), &[])
}

impl Times {
    /// How fast an answer comes.
    fn speed(&self, asked: &Asked) -> String {
        let begun = Instant::now();
        let answer = asked.answer();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        // The first second's worth goes at once, the rest takes three seconds.
        let is_slow = begun.elapsed() > Duration::from_millis(2500);
        let speed = match body.len() {
            LONG if is_slow => "slow",
            LONG => "fast",
            _ => "nothing",
        };
        format!("{}{speed}\n", asked.marked('<', head))
    }

    /// Whether the back end hears of a request whose body has not come yet.
    fn half_a_body(&self, asked: &Asked) -> String {
        let mut socket = begin(asked, "POST / HTTP/1.1\r\nContent-Length: 10\r\n");
        socket.write_all(b"hello").unwrap();
        let is_there = || self.web.has_head_with(&asked.place.host);
        if asked.place.kind == Kind::Right {
            until("the head comes", is_there);
        } else {
            thread::sleep(Duration::from_millis(500));
        }
        format!("the back end has {}\n", if is_there() { "the head" } else { "nothing" })
    }
}

impl Subject for Times {
    const AT_ONCE: bool = true;

    fn serve(&self, row: &Row<Self>, place: &Place, annotations: &str) -> String {
        let address = match row.name {
            "limit-rate" | "limit-rate-after" => self.long.address,
            "proxy-connect-timeout" | "proxy-read-timeout" | "proxy-send-timeout" => self.silent.local_addr().unwrap(),
            name if name.starts_with("proxy-next-upstream") => self.stumbling.address,
            _ => self.web.address,
        };
        service(&place.name, &[address]) + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        let lines = format!("{} HTTP/1.1\r\n{}", asked.request, asked.lines);
        let mut socket = begin(asked, &lines);
        if asked.request.starts_with("POST") {
            // It may have been refused by now.
            let _gone = socket.write_all(&[b'x'; 1025]);
        }
        end(asked, &mut socket)
    }
}

#[test]
fn times_sizes_retries_and_speed() {
    let seen = Mutex::new(BTreeSet::new());
    let stumbling = Scripted::start(move |head, socket| {
        let host = field(head, "Host").unwrap();
        let is_late = host.contains("-timeout");
        let status = if seen.lock().unwrap().insert(host) { "503 Busy" } else { "200 OK" };
        if is_late && status != "200 OK" {
            thread::sleep(Duration::from_millis(1200));
        }
        let _gone = write!(socket, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    });
    let long = Scripted::fixed(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n{}", "x".repeat(LONG)));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    check(ROWS, &Times { web: Echo::start(""), silent, stumbling, long });
}
