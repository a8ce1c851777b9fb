//! What becomes of requests sets endpoints aside and takes them back, and the limit of requests in flight.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fairlead::ir::{Balancing, PassiveCheck};

use super::plain::talk;
use crate::bed::{Bed, ingress, service};

/// How a back end takes requests.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Mood {
    Answers,
    Closes,
    Fails,
    Switches,
    Waits,
}

/// A back end whose mood a test changes. It serves one request a connection, and its thread ends with the process.
struct Moody {
    address: SocketAddr,
    mood: Arc<AtomicU8>,
    requests: Arc<AtomicU32>,
}

impl Moody {
    fn start(mood: Mood) -> Moody {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let back_end = Moody {
            address: listener.local_addr().unwrap(),
            mood: Arc::new(AtomicU8::new(mood as u8)),
            requests: Arc::default(),
        };
        let (mood, requests) = (Arc::clone(&back_end.mood), Arc::clone(&back_end.requests));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (mut socket, mood, requests) = (socket.unwrap(), Arc::clone(&mood), Arc::clone(&requests));
                thread::spawn(move || {
                    let mut head = [0; 4096];
                    if socket.read(&mut head).is_ok_and(|length| length > 0) {
                        requests.fetch_add(1, Ordering::SeqCst);
                        answer(socket, &mood);
                    }
                });
            }
        });
        back_end
    }

    fn is_now(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(mut socket: TcpStream, mood: &AtomicU8) {
    while mood.load(Ordering::SeqCst) == Mood::Waits as u8 {
        thread::sleep(Duration::from_millis(2));
    }
    let mood = mood.load(Ordering::SeqCst);
    let status = match mood {
        _ if mood == Mood::Closes as u8 => return,
        _ if mood == Mood::Fails as u8 => "503 Service Unavailable",
        _ if mood == Mood::Switches as u8 => {
            let _gone = socket.write_all(b"HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
            let _end = socket.read(&mut [0]);
            return;
        }
        _ => "200 OK",
    };
    let _gone =
        socket.write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").as_bytes());
}

fn serve(addresses: &[SocketAddr], balance: impl FnOnce(&mut Balancing)) -> Bed {
    let bed = Bed::start(&(service("web", addresses) + &ingress("web", "a.example", "/", "web", "")));
    bed.balance(balance);
    bed
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

fn get(bed: &Bed) -> u16 {
    talk(bed.http, GET).split(' ').nth(1).unwrap().parse().unwrap()
}

/// The statuses of `times` requests, one after the other.
fn statuses(bed: &Bed, times: usize) -> Vec<u16> {
    (0..times).map(|_| get(bed)).collect()
}

/// Waits until the condition holds, which it must within ten seconds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An address at which nobody listens.
fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_endpoint_that_refuses_is_ejected_and_no_client_sees_it() {
    let (sound, dead) = (Moody::start(Mood::Answers), refusing());
    let bed = serve(&[sound.address, dead], |_| {});
    assert_eq!(statuses(&bed, 40), [200; 40]);
    assert_eq!(bed.standing(dead), ("ejected", "5 connect failures".to_owned()));
    assert_eq!(bed.standing(sound.address).0, "ready");
}

#[test]
fn a_lone_endpoint_is_asked_however_often_it_fails() {
    let lone = Moody::start(Mood::Closes);
    let bed = serve(&[lone.address], |_| {});
    assert_eq!(statuses(&bed, 12), [502; 12]);
    assert!(lone.requests() >= 12);
    lone.is_now(Mood::Answers);
    assert_eq!(get(&bed), 200);
}

#[test]
fn without_a_limit_of_attempts_a_lone_endpoint_is_asked_as_often_as_by_default() {
    let lone = Moody::start(Mood::Closes);
    for (tries, expected) in [("0", 3), ("1", 1), ("2", 2), ("3", 3)] {
        let before = lone.requests();
        let annotations = format!("nginx.ingress.kubernetes.io/proxy-next-upstream-tries: '{tries}'");
        let web = service("web", &[lone.address]) + &ingress("web", "a.example", "/", "web", &annotations);
        assert_eq!((get(&Bed::start(&web)), lone.requests() - before), (502, expected), "{tries}");
    }
}

#[test]
fn an_endpoint_that_resets_is_ejected_tried_by_one_and_taken_back() {
    let (sound, sick) = (Moody::start(Mood::Answers), Moody::start(Mood::Closes));
    let bed = serve(&[sound.address, sick.address], |balancing| {
        let eject = Duration::from_millis(300);
        balancing.passive = Some(PassiveCheck { eject, ..PassiveCheck::default() });
    });
    until("it is ejected", || {
        get(&bed);
        bed.standing(sick.address).0 == "ejected"
    });
    assert_eq!(bed.standing(sick.address).1, "5 resets");
    assert_eq!(sick.requests(), 5, "nothing reached it after the fifth");
    sick.is_now(Mood::Answers);
    until("it comes back", || {
        assert_eq!(get(&bed), 200);
        bed.standing(sick.address).0 == "ready"
    });
    let before = sick.requests();
    statuses(&bed, 20);
    assert!(sick.requests() - before >= 8, "it gets its share again");
}

#[test]
fn answers_of_5xx_count_only_where_that_is_asked_for() {
    for on_5xx in [false, true] {
        let (sound, sick) = (Moody::start(Mood::Answers), Moody::start(Mood::Fails));
        let bed = serve(&[sound.address, sick.address], |balancing| {
            balancing.passive = Some(PassiveCheck { on_5xx, ..PassiveCheck::default() });
        });
        let failed = statuses(&bed, 60).into_iter().filter(|status| *status == 503).count();
        let (standing, _) = bed.standing(sick.address);
        assert_eq!(standing, if on_5xx { "ejected" } else { "ready" });
        // Each of two workers takes turns of its own.
        let due = if on_5xx { 5..=5 } else { 25..=35 };
        assert!(due.contains(&failed), "{failed} of 60");
    }
}

#[test]
fn passive_checks_can_be_off() {
    let (sound, dead) = (Moody::start(Mood::Answers), refusing());
    let bed = serve(&[sound.address, dead], |balancing| balancing.passive = None);
    assert_eq!(statuses(&bed, 40), [200; 40]);
    assert_eq!(bed.standing(dead).0, "ready");
}

#[test]
fn over_the_limit_of_requests_in_flight_is_503_at_once_and_tunnels_do_not_count() {
    let back_end = Moody::start(Mood::Switches);
    let bed = serve(&[back_end.address], |balancing| balancing.max_in_flight = 2);
    let mut tunnel = TcpStream::connect(bed.http).unwrap();
    tunnel.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").unwrap();
    let mut head = [0; 12];
    tunnel.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");

    back_end.is_now(Mood::Waits);
    let address = bed.http;
    let waiting: Vec<_> = (0..2).map(|_| thread::spawn(move || talk(address, GET))).collect();
    until("both are at the back end", || back_end.requests() == 3);
    let refused = talk(bed.http, GET);
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: 1\r\n"), "{refused}");
    assert_eq!(back_end.requests(), 3, "nothing waits in a queue");
    back_end.is_now(Mood::Answers);
    for answer in waiting {
        assert!(answer.join().unwrap().starts_with("HTTP/1.1 200 "));
    }
    until("there is room again", || get(&bed) == 200);
}
