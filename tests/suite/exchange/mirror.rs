//! Copies of requests for another service: `mirror-target`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use fairlead::settings::Limits;
use fairlead::telemetry::exposition::{Exposition, Page};

use super::filters::{Echo, ask, field, nginx, serving, status};
use super::plain::{talk, until};
use crate::bed::{Bed, ingress, service};

/// Who gets the copies: each is kept, head and body.
struct Target {
    address: SocketAddr,
    copies: Receiver<(String, Vec<u8>)>,
}

impl Target {
    /// Answers every copy with 500, which is nobody's business.
    fn start() -> Target {
        Target::with(true)
    }

    /// Never answers.
    fn silent() -> Target {
        Target::with(false)
    }

    fn with(answers: bool) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, copies) = mpsc::channel();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let tell = tell.clone();
                thread::spawn(move || take(socket, &tell, answers));
            }
        });
        Target { address, copies }
    }

    fn url(&self, rest: &str) -> String {
        format!("http://127.0.0.1:{}{rest}", self.address.port())
    }

    /// The next copy.
    fn next(&self) -> (String, Vec<u8>) {
        self.copies.recv_timeout(Duration::from_secs(20)).expect("no copy came")
    }
}

fn take(mut socket: TcpStream, tell: &Sender<(String, Vec<u8>)>, answers: bool) {
    let (mut input, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        while let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(input.drain(..end + 4).collect()).unwrap();
            let length = field(&head, "Content-Length").map_or(0, |length| length.parse().unwrap());
            while input.len() < length {
                let count = socket.read(&mut piece).unwrap();
                assert!(count > 0, "the body of a copy breaks off");
                input.extend_from_slice(&piece[..count]);
            }
            let body = input.drain(..length).collect();
            if tell.send((head, body)).is_err() {
                return;
            }
            if answers && socket.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno").is_err() {
                return;
            }
        }
        match socket.read(&mut piece) {
            Ok(count) if count > 0 => input.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
}

/// What became of copies so far, as the metric has it.
fn became(bed: &Bed, result: &str) -> u64 {
    let mut page = Page::new(Exposition::Text);
    bed.metrics.write(&mut page, 0);
    let start = format!("fairlead_mirror_copies_total{{result=\"{result}\"}} ");
    page.finish().lines().find_map(|line| line.strip_prefix(&*start)).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_copy_has_the_method_the_fields_and_the_body_and_its_answer_is_nobodys() {
    let (web, target) = (Echo::start("X-From: web\r\n"), Target::start());
    let bed = serving(&web, &nginx(&[("mirror-target", &target.url("$request_uri"))]), "");
    let request = "POST /x%20y?z=1 HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\nX-Forwarded-For: evil\r\n\
                   Content-Length: 5\r\nConnection: close\r\n\r\nhello";
    let answer = talk(bed.http, request);
    assert_eq!((status(&answer), field(&answer, "X-From")), (200, Some("web")));
    let (head, body) = target.next();
    let host = format!("Host: {}", target.address.ip());
    assert!(head.starts_with(&format!("POST /x%20y?z=1 HTTP/1.1\r\n{host}\r\n")), "{head}");
    assert_eq!((field(&head, "X-A"), field(&head, "Content-Length"), &*body), (Some("b"), Some("5"), &b"hello"[..]));
    assert_eq!(
        (field(&head, "X-Forwarded-For"), field(&head, "X-Forwarded-Host")),
        (Some("127.0.0.1"), Some("a.example"))
    );
    let sent = web.heads().remove(0);
    assert_eq!(field(&sent, "X-Request-ID"), field(&head, "X-Request-ID"), "both are one request");
    until("the answer to the copy is counted", || became(&bed, "answered") == 1);
    // In chunks, and without a body.
    let chunked = "PUT / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    assert_eq!(status(&talk(bed.http, chunked)), 200);
    let (head, body) = target.next();
    assert_eq!((field(&head, "Content-Length"), &*body), (Some("5"), &b"hello"[..]));
    assert_eq!(status(&ask(&bed, "HEAD /", "")), 200);
    let (head, body) = target.next();
    assert!(head.starts_with("HEAD / HTTP/1.1\r\n") && body.is_empty(), "{head}");
}

#[test]
fn copies_that_come_back_end() {
    let web = Echo::start("");
    let mut bed = Bed::start("");
    let url = format!("http://127.0.0.1:{}/", bed.http.port());
    let annotations = nginx(&[("mirror-target", &url), ("mirror-host", "a.example")]);
    bed.apply(&(service("web", &[web.address]) + &ingress("web", "a.example", "/", "web", &annotations)));
    assert_eq!(status(&ask(&bed, "GET /", "")), 200);
    until("the last copy is refused", || became(&bed, "failed") == 1);
    // One for each time that it may pass; the first copies may be counted after the last.
    until("the other copies are answered", || became(&bed, "answered") == 8);
    assert_eq!((became(&bed, "failed"), web.heads().len()), (1, 9), "the request itself came too");
}

#[test]
fn the_target_has_what_is_written_and_the_host_and_the_body_as_asked() {
    let (web, target) = (Echo::start(""), Target::start());
    let url = target.url("/copies/$http_x_user?of=$request_method&$args&to=$service_name-$ingress_name");
    let pairs = [("mirror-target", &*url), ("mirror-host", "copies.example"), ("mirror-request-body", "off")];
    let bed = serving(&web, &nginx(&pairs), "");
    let post =
        "POST /x?y=1 HTTP/1.1\r\nHost: a.example\r\nX-User: a b\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert_eq!(status(&talk(bed.http, post)), 200);
    let (head, body) = target.next();
    assert!(
        head.starts_with("POST /copies/a%20b?of=POST&y=1&to=web-web HTTP/1.1\r\nHost: copies.example\r\n"),
        "{head}"
    );
    assert_eq!((field(&head, "Content-Length"), field(&head, "Transfer-Encoding"), body.len()), (None, None, 0));
    let sent = web.heads().remove(0);
    assert_eq!((field(&sent, "Host"), field(&sent, "Content-Length")), (Some("a.example"), Some("5")));
}

#[test]
fn a_client_neither_waits_for_a_copy_nor_notices_that_it_fails() {
    let web = Echo::start("");
    let silent = Target::silent();
    let bed = serving(&web, &nginx(&[("mirror-target", &silent.url("$request_uri"))]), "");
    let mut client = TcpStream::connect(bed.http).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for number in 0..3 {
        client.write_all(format!("GET /{number} HTTP/1.1\r\nHost: a.example\r\n\r\n").as_bytes()).unwrap();
        let mut answer = vec![0; 15];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, b"HTTP/1.1 200 OK", "request {number}, while no copy is answered");
        let mut rest = Vec::new();
        while !rest.ends_with(b"fine") {
            let mut piece = [0; 1];
            client.read_exact(&mut piece).unwrap();
            rest.extend_from_slice(&piece);
        }
    }
    (0..3).for_each(|_| drop(silent.next()));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bed = serving(&web, &nginx(&[("mirror-target", &format!("http://127.0.0.1:{closed}/"))]), "");
    assert_eq!(status(&ask(&bed, "GET /", "")), 200);
    until("the failure is counted", || became(&bed, "failed") == 1);
}

#[test]
fn a_body_that_is_not_held_as_a_whole_is_not_copied_and_that_is_counted() {
    let (web, target) = (Echo::start(""), Target::start());
    // The copy asks for the body to be held, whatever is said of the backend.
    let pairs = [("mirror-target", &*target.url("/")), ("proxy-request-buffering", "off")];
    let bed = serving(&web, &nginx(&pairs), "");
    for (length, is_copied) in [(64 << 10, true), ((64 << 10) + 1, false), (200 << 10, false)] {
        let head =
            format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let body = "x".repeat(length);
        // The back end reads on while it answers, but an answer may come before all is sent.
        assert_eq!(status(&talk(bed.http, &(head + &body))), 200, "{length}");
        if is_copied {
            assert_eq!(target.next().1.len(), length);
        }
    }
    until("both are counted", || became(&bed, "body_too_long") == 2);
    assert!(target.copies.try_recv().is_err());
}

#[test]
fn only_so_many_copies_are_under_way() {
    let (web, silent) = (Echo::start(""), Target::silent());
    let annotations = nginx(&[("mirror-target", &silent.url("/"))]);
    let manifests = service("web", &[web.address]) + &ingress("web", "a.example", "/", "web", &annotations);
    let bed = Bed::with(&manifests, Limits { mirror_copies: 2, ..Limits::default() }, 1, None);
    for _ in 0..5 {
        assert_eq!(status(&ask(&bed, "GET /", "")), 200);
    }
    until("three are counted", || became(&bed, "too_many") == 3);
    (0..2).for_each(|_| drop(silent.next()));
    assert!(silent.copies.recv_timeout(Duration::from_millis(200)).is_err());
}

#[test]
fn what_the_proxy_answers_itself_is_not_copied_and_passwords_are_withheld() {
    let (web, target) = (Echo::start(""), Target::start());
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: users}\nstringData: {auth: \"ann:{PLAIN}secret\"}\n---\n";
    let url = target.url("$request_uri");
    let pairs = [("mirror-target", &*url), ("auth-type", "basic"), ("auth-secret", "users"), ("enable-cors", "true")];
    let bed = serving(&web, &nginx(&pairs), secret);
    assert_eq!(status(&ask(&bed, "GET /refused", "")), 401);
    assert_eq!(status(&ask(&bed, "OPTIONS /preflight", "Origin: https://b.example\r\n")), 204);
    assert_eq!(status(&ask(&bed, "GET /let-in", "Authorization: Basic YW5uOnNlY3JldA==\r\n")), 200);
    let (head, _) = target.next();
    assert!(head.starts_with("GET /let-in ") && field(&head, "Authorization").is_none(), "{head}");
}

#[test]
fn a_wrong_value_copies_nothing_and_the_path_serves() {
    let (web, target) = (Echo::start(""), Target::start());
    let right = target.url("/");
    for pairs in [
        &[("mirror-target", "copies.example")][..],
        &[("mirror-target", "ftp://copies.example/")],
        &[("mirror-target", "http://$host/")],
        &[("mirror-target", "http://copies-$host/")],
        &[("mirror-target", "http://127.0.0.1/$nothing")],
        &[("mirror-target", "http://169.254.169.254/latest")],
        &[("mirror-host", "copies.example")],
    ] {
        let bed = serving(&web, &nginx(pairs), "");
        assert_eq!(status(&ask(&bed, "GET /", "")), 200, "{pairs:?}");
        assert_eq!(["answered", "failed"].map(|result| became(&bed, result)), [0, 0], "{pairs:?}");
    }
    let pairs = [("mirror-target", &*right), ("mirror-request-body", "maybe"), ("mirror-host", "a/b")];
    let bed = serving(&web, &nginx(&pairs), "");
    assert_eq!(status(&ask(&bed, "GET /", "")), 200);
    assert_eq!(field(&target.next().0, "Host"), Some("127.0.0.1"), "what is wrong is as if it was not written");
}
