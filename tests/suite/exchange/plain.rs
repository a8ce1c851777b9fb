//! Ordinary requests over HTTP/1.1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::bed::{Bed, ingress, service};

/// Waits until it is so, which it must be within 20 seconds.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A back end that answers each connection with `answer` after one request head (and `body` octets of its body), and
/// gives what it received.
pub fn answer_once(answer: &'static [u8], body: usize) -> (SocketAddr, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut received = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let end = received.windows(4).position(|w| w == b"\r\n\r\n");
            if end.is_some_and(|end| received.len() >= end + 4 + body) {
                break;
            }
            let n = socket.read(&mut piece).unwrap();
            assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&piece[..n]);
        }
        socket.write_all(answer).unwrap();
        String::from_utf8(received).unwrap()
    });
    (address, thread)
}

/// Sends `request` and reads until the connection closes.
pub fn talk(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_request_reaches_the_back_end_canonical_and_its_answer_comes_back() {
    let (address, backend) =
        answer_once(b"HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nServer: secret\r\nX-A: b\r\n\r\nhello", 0);
    let bed = Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", "")));
    let answer = talk(
        bed.http,
        "GET /x?y=1 HTTP/1.1\r\nHost: A.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-Request-ID: me\r\nfoo_bar: 1\r\nX-Hop: 1\r\nConnection: close, X-Hop\r\n\r\n",
    );
    let port = bed.http.port();
    assert_eq!(
        backend.join().unwrap(),
        format!(
            "GET /x?y=1 HTTP/1.1\r\nHost: A.example\r\nX-Request-ID: me\r\nX-Real-IP: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: A.example\r\nX-Forwarded-Port: {port}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Scheme: http\r\nX-Scheme: http\r\nX-Original-Forwarded-For: 6.6.6.6\r\n\r\n"
        )
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "hello");
    let lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("Date: ")).collect();
    assert_eq!(lines, ["HTTP/1.1 200 Fine", "X-A: b", "Content-Length: 5", "Connection: close"]);
}

#[test]
fn a_chunked_body_that_fits_the_buffer_goes_out_with_its_length() {
    let (address, backend) = answer_once(b"HTTP/1.1 204 No Content\r\n\r\n", 5);
    let bed = Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", "")));
    let answer = talk(
        bed.http,
        "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n",
    );
    let received = backend.join().unwrap();
    assert!(received.ends_with("Content-Length: 5\r\n\r\nabcde"), "{received}");
    assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
}

#[test]
fn own_answers_have_the_documented_form() {
    let bed = Bed::start(&(service("none", &[]) + &ingress("web", "a.example", "/", "none", "")));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n", "404 Not Found"),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n", "503 Service Temporarily Unavailable"),
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("CONNECT a.example:1 HTTP/1.1\r\nHost: a.example\r\n\r\n", "405 Method Not Allowed"),
        ("GET / HTTP/3.0\r\nHost: a.example\r\n\r\n", "505 HTTP Version Not Supported"),
    ] {
        let answer = talk(bed.http, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        let body =
            format!("<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
        assert!(answer.contains("\r\nX-Request-ID: "), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}
