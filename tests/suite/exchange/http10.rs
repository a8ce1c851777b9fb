//! HTTP/1.0 towards back ends (`proxy-http-version`).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::filters::{Echo, field, nginx, status};
use super::plain::{answer_once, talk};
use crate::bed::{Bed, ingress, service};
use crate::origin::Origin;

fn old(address: std::net::SocketAddr, more: &[(&str, &str)]) -> Bed {
    let pairs = [&[("proxy-http-version", "1.0")], more].concat();
    Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", &nginx(&pairs))))
}

const HEAD: &str = "Host: a.example\r\nConnection: close\r\n";

#[test]
fn a_request_is_the_last_of_its_connection_and_says_so() {
    let (address, backend) = answer_once(b"HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nhello", 0);
    let bed = old(address, &[]);
    let answer = talk(bed.http, &format!("GET /x HTTP/1.1\r\n{HEAD}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("hello"), "{answer}");
    let received = backend.join().unwrap();
    assert!(received.starts_with("GET /x HTTP/1.0\r\nHost: a.example\r\n"), "{received}");
    assert_eq!(field(&received, "Connection"), Some("close"));
    // Whatever the back end says of its connection.
    let echo = Echo::start("Connection: keep-alive\r\n");
    let bed = old(echo.address, &[]);
    for _ in 0..3 {
        assert_eq!(status(&talk(bed.http, &format!("GET / HTTP/1.1\r\n{HEAD}\r\n"))), 200);
    }
    assert_eq!(echo.connections(), 3);
}

#[test]
fn a_body_has_its_length_or_is_refused() {
    let chunked = |size: usize| {
        format!(
            "POST / HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n",
            "a".repeat(size)
        )
    };
    for more in [&[][..], &[("proxy-request-buffering", "off")]] {
        let (address, backend) = answer_once(b"HTTP/1.0 204 No Content\r\n\r\n", 5);
        let bed = old(address, more);
        assert_eq!(status(&talk(bed.http, &chunked(5))), 204);
        let received = backend.join().unwrap();
        assert!(received.starts_with("POST / HTTP/1.0\r\n"), "{received}");
        assert!(received.ends_with("aaaaa") && field(&received, "Content-Length") == Some("5"), "{received}");
        assert_eq!(field(&received, "Transfer-Encoding"), None);
    }
    let (address, backend) = answer_once(b"HTTP/1.0 204 No Content\r\n\r\n", 100_000);
    let bed = old(address, &[]);
    let sized = format!("POST / HTTP/1.1\r\n{HEAD}Content-Length: 100000\r\n\r\n{}", "a".repeat(100_000));
    assert_eq!(status(&talk(bed.http, &sized)), 204);
    assert!(backend.join().unwrap().ends_with("aaaaa"));
    let echo = Echo::start("");
    let bed = old(echo.address, &[]);
    let mut socket = TcpStream::connect(bed.http).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _refused_midway = socket.write_all(chunked(200_000).as_bytes());
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 411");
    assert!(echo.heads().is_empty());
    let bed = Bed::start(&(service("web", &[echo.address]) + &ingress("web", "a.example", "/", "web", "")));
    assert_eq!(status(&talk(bed.http, &chunked(5))), 200, "elsewhere chunks go on");
}

#[test]
fn nothing_is_upgraded() {
    let origin = Origin::start("web");
    let bed = old(origin.address, &[]);
    let ask = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut socket = TcpStream::connect(bed.http).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(ask.as_bytes()).unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn another_version_is_told_of_and_the_default_is_spoken() {
    for (version, problems) in [("1.1", 0), ("2", 1), ("1", 1)] {
        let (address, backend) = answer_once(b"HTTP/1.1 204 No Content\r\n\r\n", 0);
        let pairs = nginx(&[("proxy-http-version", version)]);
        let bed = Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", &pairs)));
        talk(bed.http, &format!("GET / HTTP/1.1\r\n{HEAD}\r\n"));
        assert!(backend.join().unwrap().starts_with("GET / HTTP/1.1\r\n"), "{version}");
        assert_eq!(bed.problems("AnnotationInvalid"), problems, "{version}");
    }
}

#[test]
fn a_back_end_that_closes_ends_the_body() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut piece = [0; 4096];
        let _head = socket.read(&mut piece).unwrap();
        socket.write_all(b"HTTP/1.0 200 OK\r\n\r\none").unwrap();
        thread::sleep(Duration::from_millis(50));
        socket.write_all(b"two").unwrap();
    });
    let bed = old(address, &[]);
    let answer = talk(bed.http, &format!("GET / HTTP/1.1\r\n{HEAD}\r\n"));
    assert!(answer.contains("one") && answer.contains("two") && answer.ends_with("0\r\n\r\n"), "{answer}");
    backend.join().unwrap();
}
