//! Back ends that talk and never answer, and those that take too long for all of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::plain::talk;
use super::scripted::Scripted;
use crate::bed::{Bed, ingress, service};
use crate::clients::H1;

#[test]
fn interim_answers_without_end_do_not_put_off_the_end_of_the_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let back_end = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let interims = "HTTP/1.1 100 Continue\r\n\r\n".repeat(64);
        while socket.write_all(interims.as_bytes()).is_ok() {}
    });
    let annotations = "nginx.ingress.kubernetes.io/proxy-read-timeout: '1', nginx.ingress.kubernetes.io/proxy-next-upstream-tries: '1'";
    let bed = Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", annotations)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let mut client = H1::new(TcpStream::connect(bed.http).await.unwrap());
        let answer = client.request("GET", "a.example", "/", b"");
        tokio::time::timeout(Duration::from_secs(20), answer).await.expect("the wait ends").0
    });
    assert_eq!(status, 504);
    back_end.join().unwrap();
}

/// A bed whose requests may take 500 ms in all.
fn hurried(addresses: &[SocketAddr], more: &str) -> Bed {
    let annotations = format!("fairlead.dev/request-timeout: 500ms{more}");
    Bed::start(&(service("web", addresses) + &ingress("web", "a.example", "/", "web", &annotations)))
}

fn timed(bed: &Bed, lines: &str) -> (String, Duration) {
    let began = Instant::now();
    let answer = talk(bed.http, &format!("GET / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n"));
    (answer, began.elapsed())
}

/// A back end that takes requests and says nothing.
fn silent() -> Scripted {
    Scripted::start(|_, socket| drop(socket.read(&mut [0])))
}

/// One failure ejects, whoever is left.
const STRICT: &str = ", fairlead.dev/passive-health: 'consecutive=1, max-ejected=100%'";

const SOON: std::ops::Range<Duration> = Duration::from_millis(450)..Duration::from_secs(5);

#[test]
fn a_request_that_is_not_answered_in_the_time_for_all_of_it_is_sent_to_nobody_else() {
    let silent = silent();
    let (answer, took) = timed(&hurried(&[silent.address], ""), "Connection: close\r\n");
    assert!(answer.starts_with("HTTP/1.1 504 ") && SOON.contains(&took), "{took:?}: {answer}");
    assert_eq!(silent.count(), 1);
}

#[test]
fn an_answer_that_drips_breaks_off_when_the_time_for_all_of_it_is_over() {
    let dripping = Scripted::start(|_, socket| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nCache-Control: max-age=60\r\n\r\n";
        let mut sent = socket.write_all(head.as_bytes());
        while sent.is_ok() {
            thread::sleep(Duration::from_millis(50));
            sent = socket.write_all(b"x");
        }
    });
    for more in ["", ", fairlead.dev/cache: 'on'"] {
        let (answer, took) = timed(&hurried(&[dripping.address], more), "");
        assert!(answer.starts_with("HTTP/1.1 200 ") && SOON.contains(&took), "{took:?}: {answer}");
        let length = answer.split_once("\r\n\r\n").unwrap().1.len();
        assert!((1..1000).contains(&length), "{answer}");
    }
}

#[test]
fn an_endpoint_that_had_only_what_another_left_of_the_time_is_not_blamed() {
    let (first, second) = (silent(), silent());
    let more = format!("{STRICT}, fairlead.dev/proxy-read-timeout: 300ms, fairlead.dev/load-balance: round_robin");
    let bed = hurried(&[first.address, second.address], &more);
    let (answer, took) = timed(&bed, "Connection: close\r\n");
    assert!(answer.starts_with("HTTP/1.1 504 ") && SOON.contains(&took), "{took:?}: {answer}");
    assert_eq!((first.count(), second.count()), (1, 1));
    let mut standings = [first.address, second.address].map(|address| bed.standing(address).0);
    standings.sort_unstable();
    assert_eq!(standings, ["ejected", "ready"]);
}

#[test]
fn an_endpoint_is_not_blamed_for_a_client_that_takes_most_of_the_time_to_send() {
    let (first, second) = (silent(), silent());
    let bed = hurried(&[first.address, second.address], STRICT);
    let mut client = std::net::TcpStream::connect(bed.http).unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 80001\r\n\r\n";
    client.write_all(&[head.as_bytes(), &[b'x'; 80_000]].concat()).unwrap();
    thread::sleep(Duration::from_millis(400));
    client.write_all(b"x").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert_eq!([first.address, second.address].map(|address| bed.standing(address).0), ["ready"; 2]);
}

#[test]
fn an_endpoint_that_takes_no_connection_in_the_time_for_all_of_it_is_set_aside() {
    // The kernel drops what comes once the queue is full.
    let deaf: [_; 2] = std::array::from_fn(|_| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
        let fill: Vec<_> = std::iter::from_fn(connect).take(64).collect();
        (socket, address, fill)
    });
    let addresses = [deaf[0].1, deaf[1].1];
    let bed = hurried(&addresses, STRICT);
    let (answer, took) = timed(&bed, "Connection: close\r\n");
    assert!(answer.starts_with("HTTP/1.1 504 ") && SOON.contains(&took), "{took:?}: {answer}");
    let mut standings = addresses.map(|address| bed.standing(address).0);
    standings.sort_unstable();
    assert_eq!(standings, ["ejected", "ready"]);
}

#[test]
fn tunnels_have_their_own_time() {
    let late = Scripted::start(|_, socket| {
        socket.write_all(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(900));
        socket.write_all(b"late").unwrap();
        socket.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let (answer, _) = timed(&hurried(&[late.address], ""), "Connection: upgrade\r\nUpgrade: x\r\n");
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("late"), "{answer}");
}
