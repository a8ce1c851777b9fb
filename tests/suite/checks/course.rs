//! What checks do over time: to requests, and to the back ends that are asked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fairlead::ir::{ActiveCheck, Probe};

use super::back_end::{Answer, BUSY, BackEnd, OK};
use super::{http, manifests, once, refusing, serve, until};
use crate::bed::Bed;

fn often() -> ActiveCheck {
    ActiveCheck { interval: Duration::from_millis(30), ..once(http(false)) }
}

/// The status of one request on a connection of its own, within five seconds.
fn get(bed: &Bed) -> u16 {
    let mut stream = TcpStream::connect(bed.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn statuses(bed: &Bed, times: usize) -> Vec<u16> {
    (0..times).map(|_| get(bed)).collect()
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_request_until_they_succeed() {
    let (sound, failing) = (BackEnd::start(OK), BackEnd::start(OK));
    let bed = serve(&[sound.address, failing.address], |balancing| balancing.active = Some(often()));
    until("it is checked", || failing.checks() > 0);
    failing.answer(BUSY);
    until("it is set aside", || bed.standing(failing.address) == ("unhealthy", "status 503".to_owned()));
    let before = failing.others();
    assert_eq!(statuses(&bed, 20), [200; 20]);
    assert_eq!(failing.others(), before, "no request came");
    failing.answer(OK);
    until("it is taken back", || bed.standing(failing.address).0 == "ready");
    until("it gets requests", || get(&bed) == 200 && failing.others() > before);
}

#[test]
fn with_every_endpoint_failing_its_checks_all_are_used() {
    let back_ends = [BackEnd::start(BUSY), BackEnd::start(BUSY)];
    let bed = serve(&back_ends.each_ref().map(|one| one.address), |balancing| balancing.active = Some(often()));
    until("both are set aside", || back_ends.iter().all(|one| bed.standing(one.address).0 == "unhealthy"));
    assert_eq!(statuses(&bed, 20), [200; 20]);
    assert!(back_ends.iter().all(|one| one.others() > 0), "both get requests");
}

#[test]
fn without_an_endpoint_it_is_503_at_once() {
    let back_end = BackEnd::start(BUSY);
    let mut bed = serve(&[back_end.address], |balancing| balancing.active = Some(often()));
    until("it is set aside", || bed.standing(back_end.address).0 == "unhealthy");
    bed.apply(&manifests(&[]));
    let asked = Instant::now();
    assert_eq!(statuses(&bed, 10), [503; 10]);
    assert!(asked.elapsed() < Duration::from_secs(5));
    // Whatever was under way when it left.
    let checks = back_end.checks();
    until("its checks end", || {
        let before = back_end.checks();
        std::thread::sleep(Duration::from_millis(200));
        before == back_end.checks()
    });
    assert!(back_end.checks() <= checks + 3, "an endpoint that left is not checked");
}

#[test]
fn an_endpoint_serves_before_its_first_check_has_an_answer() {
    let silent = BackEnd::start(Answer::Silence);
    let bed = serve(&[silent.address, refusing()], |balancing| balancing.active = Some(once(http(false))));
    until("it is asked", || silent.checks() > 0);
    assert_eq!(bed.standing(silent.address).0, "ready");
    until("it gets requests", || get(&bed) == 200 && silent.others() > 0);
}

#[test]
fn a_change_of_anything_else_restarts_no_check() {
    let (back_end, other, last) = (BackEnd::start(OK), BackEnd::start(OK), BackEnd::start(OK));
    let mut bed = serve(&[back_end.address], |balancing| balancing.active = Some(once(http(false))));
    until("it is checked", || back_end.checks() == 1);
    for round in 0..40 {
        match round % 2 {
            0 => bed.apply(&manifests(&[back_end.address, other.address])),
            _ => bed.apply(&manifests(&[back_end.address])),
        }
        bed.balance(|balancing| {
            balancing.active = Some(once(http(false)));
            balancing.panic_threshold = round;
        });
        std::thread::sleep(Duration::from_millis(20));
    }
    bed.apply(&manifests(&[back_end.address, last.address]));
    until("a new endpoint is checked, so all changes are known", || last.checks() == 1);
    assert_eq!(back_end.checks(), 1);
    bed.balance(|balancing| balancing.active = Some(ActiveCheck { fall: 9, ..once(http(false)) }));
    until("another check begins anew", || back_end.checks() == 2);
}

#[test]
fn so_many_checks_are_under_way_at_a_time() {
    let silent = BackEnd::at("0.0.0.0:0", Answer::Silence);
    let addresses: Vec<SocketAddr> = (0..300_u16)
        .map(|number| {
            SocketAddr::from((
                Ipv4Addr::new(127, 1, (number / 200) as u8, 1 + (number % 200) as u8),
                silent.address.port(),
            ))
        })
        .collect();
    let check = ActiveCheck { timeout: Duration::from_secs(2), ..once(http(false)) };
    let _bed = serve(&addresses, |balancing| balancing.active = Some(check));
    until("all are checked", || silent.accepted().len() >= addresses.len());
    let accepted = silent.accepted();
    let wait = accepted[256] - accepted[0];
    assert!(wait > Duration::from_secs(1), "the 257th had to wait for a time-out: {wait:?}");
}

#[test]
fn a_tcp_check_leaves_nothing_behind() {
    let back_end = BackEnd::start(OK);
    let check = ActiveCheck { probe: Probe::Tcp, ..often() };
    let bed = serve(&[back_end.address], |balancing| balancing.active = Some(check));
    until("it is checked often", || back_end.accepted().len() > 5);
    assert_eq!((bed.standing(back_end.address).0, back_end.checks()), ("ready", 0));
}
