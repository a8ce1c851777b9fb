//! Passwords that take long to compare: who waits for how long.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use fairlead::settings::Limits;

use super::filters::{Echo, ask, field, nginx, status};
use super::plain::{talk, until};
use crate::bed::{Bed, ingress, service};

/// Cost of a bcrypt that takes a fraction of a second.
const DEAR: &str = "12";
/// Cost of the dearest that is taken.
const DEAREST: &str = "14";
/// Cost of one that takes milliseconds.
const CHEAP: &str = "04";
const WRONG: &str = "Authorization: Basic YW5uOndyb25n\r\n";

fn bed(echo: &Echo, cost: &str, limits: Limits) -> Bed {
    let web = service("web", &[echo.address]) + &guarded("a.example", "web", cost);
    Bed::with(&web, limits, 1, None)
}

/// An Ingress and its Secret, both of this name.
fn guarded(host: &str, name: &str, cost: &str) -> String {
    let hash = format!("$2y${cost}$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW");
    let auth = format!("stringData: {{auth: \"ann:{hash}\"}}");
    let secret = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n{auth}\n---\n");
    let annotations = nginx(&[("auth-type", "basic"), ("auth-secret", name)]);
    ingress(name, host, "/", "web", &annotations) + &secret
}

/// The answers to eight requests at once.
fn crowd(bed: &Bed) -> Vec<String> {
    let address = bed.http;
    let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{WRONG}\r\n");
    let all = [(); 8].map(|()| request.clone()).map(|request| thread::spawn(move || talk(address, &request)));
    all.into_iter().map(|one| one.join().unwrap()).collect()
}

#[test]
fn who_finds_no_room_to_wait_or_waits_too_long_is_told_to_come_again() {
    let echo = Echo::start("");
    for limits in [
        Limits { password_queue: 1, ..Limits::default() },
        Limits { password_time: Duration::from_millis(1), ..Limits::default() },
    ] {
        let answers = crowd(&bed(&echo, DEAR, limits));
        let (busy, judged): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| status(answer) == 503);
        assert!(!busy.is_empty() && !judged.is_empty(), "{answers:?}");
        assert!(busy.iter().all(|answer| field(answer, "Retry-After") == Some("1")), "{busy:?}");
        assert!(judged.iter().all(|answer| status(answer) == 401), "{judged:?}");
    }
    let answers = crowd(&bed(&echo, CHEAP, Limits { password_time: Duration::from_secs(60), ..Limits::default() }));
    assert!(answers.iter().all(|answer| status(answer) == 401), "with room and time all are judged: {answers:?}");
    assert!(echo.heads().is_empty());
}

#[test]
fn who_goes_away_leaves_its_place_in_the_queue() {
    let echo = Echo::start("");
    let bed =
        bed(&echo, DEAR, Limits { password_queue: 40, password_time: Duration::from_secs(60), ..Limits::default() });
    for _ in 0..40 {
        let mut client = TcpStream::connect(bed.http).unwrap();
        client.write_all(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{WRONG}\r\n").as_bytes()).unwrap();
    }
    // All are gone by now: to compare each would take ten seconds or more.
    let begun = Instant::now();
    assert_eq!(status(&ask(&bed, "GET /", WRONG)), 401);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn slow_passwords_of_one_ingress_keep_nobody_of_another_one_waiting() {
    let echo = Echo::start("");
    let limits = Limits { password_queue: 4, password_time: Duration::from_secs(60), ..Limits::default() };
    let two = guarded("a.example", "slow", DEAREST) + &guarded("b.example", "quick", CHEAP);
    let bed = Bed::with(&(service("web", &[echo.address]) + &two), limits, 1, None);
    let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{WRONG}\r\n");
    let (judged, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| match status(&talk(bed.http, &request("a.example"))) {
                401 => judged.fetch_add(1, Relaxed),
                503 => refused.fetch_add(1, Relaxed),
                other => panic!("{other}"),
            });
        }
        // One is compared, four wait.
        until("the queue is full", || refused.load(Relaxed) > 0);
        let before = judged.load(Relaxed);
        assert_eq!(status(&talk(bed.http, &request("b.example"))), 401);
        let others = judged.load(Relaxed) - before;
        assert!(others <= 2, "{others} of the others were compared first");
    });
}
