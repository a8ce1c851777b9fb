//! Each probe against back ends of every kind.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use fairlead::ir::{ActiveCheck, Probe};

use super::back_end::{Answer, BUSY, BackEnd, Health, OK, grpc};
use super::{http, once, refusing, serve, until};
use crate::bed::Bed;

/// What is thought of each endpoint, and why, when all were checked once.
fn judged(check: ActiveCheck, addresses: &[SocketAddr]) -> BTreeMap<SocketAddr, (&'static str, String)> {
    let bed = serve(addresses, |balancing| balancing.active = Some(check));
    until("all are checked", || addresses.iter().all(|address| bed.last_check(*address).is_some()));
    addresses.iter().map(|address| (*address, bed.standing(*address))).collect()
}

#[track_caller]
fn assert_judged(check: ActiveCheck, cases: &[(SocketAddr, &str)]) {
    let addresses: Vec<SocketAddr> = cases.iter().map(|(address, _)| *address).collect();
    let judged = judged(check, &addresses);
    for (address, reason) in cases {
        let state = if reason.is_empty() { "ready" } else { "unhealthy" };
        assert_eq!(judged[address], (state, (*reason).to_owned()), "{judged:?}");
    }
}

#[test]
fn tcp_asks_for_a_connection() {
    let silent = BackEnd::start(Answer::Silence);
    assert_judged(once(Probe::Tcp), &[(silent.address, ""), (refusing(), "connection refused")]);
}

#[test]
fn http_asks_for_a_status_in_time() {
    let [good, busy, silent, closing] = [OK, BUSY, Answer::Silence, Answer::Close].map(BackEnd::start);
    let [garbage, cut] = [Answer::Bytes("220 mail\r\n\r\n"), Answer::Bytes("HTTP/1.1 2")].map(BackEnd::start);
    assert_judged(
        once(http(false)),
        &[
            (good.address, ""),
            (busy.address, "status 503"),
            (silent.address, "no answer in 3 s"),
            (closing.address, "closed without an answer"),
            (garbage.address, "no HTTP/1.1 answer: HTTP version is not known"),
            (cut.address, "no HTTP/1.1 answer: its head breaks off"),
            (refusing(), "connection refused"),
        ],
    );
    let head = good.last_check();
    assert!(head.starts_with("GET /check HTTP/1.1\r\nHost: a.example\r\n"), "{head}");
}

#[test]
fn the_statuses_that_are_right_can_be_said() {
    let (good, busy) = (BackEnd::start(OK), BackEnd::start(BUSY));
    let probe = Probe::Http { is_tls: false, path: "/".into(), host: None, expected: [(404, 404), (500, 599)].into() };
    assert_judged(once(probe), &[(good.address, "status 200"), (busy.address, "")]);
    let host = format!("\r\nHost: {}\r\n", busy.address);
    assert!(busy.last_check().contains(&host), "the address is the default host: {}", busy.last_check());
}

#[test]
fn another_port_can_be_asked() {
    let (asked, endpoint) = (BackEnd::start(BUSY), BackEnd::start(OK));
    let check = ActiveCheck { port: Some(asked.address.port()), ..once(http(false)) };
    assert_judged(check, &[(endpoint.address, "status 503")]);
    assert_eq!((asked.checks(), endpoint.checks()), (1, 0));
}

#[test]
fn https_asks_over_tls_whatever_the_certificate() {
    // A proxy answers /healthz of hosts that it does not know, with a certificate that nobody trusts.
    let server = Bed::start("");
    let [silent, plain] = [Answer::Silence, OK].map(BackEnd::start);
    let probe = |path: &str| Probe::Http { is_tls: true, path: path.into(), host: None, expected: [(200, 200)].into() };
    assert_judged(
        once(probe("/healthz")),
        &[
            (server.https, ""),
            (silent.address, "no answer in 3 s"),
            (plain.address, "TLS handshake failed"),
            (refusing(), "connection refused"),
        ],
    );
    assert_judged(once(probe("/other")), &[(server.https, "status 404")]);
}

#[test]
fn grpc_asks_the_health_service() {
    let [silent, closing] = [Answer::Silence, Answer::Close].map(BackEnd::start);
    let http1 = BackEnd::start(Answer::Bytes("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    assert_judged(
        once(Probe::Grpc { is_tls: false, host: None }),
        &[
            (grpc(Health::Says(1, "0")), ""),
            (grpc(Health::Says(2, "0")), "NOT_SERVING"),
            (grpc(Health::Says(0, "0")), "UNKNOWN"),
            (grpc(Health::Says(1, "14")), "grpc-status 14"),
            (grpc(Health::Only("12")), "grpc-status 12"),
            (grpc(Health::Http(404)), "status 404"),
            (grpc(Health::Endless), "no gRPC answer: its message is too long"),
            (http1.address, "no gRPC answer: it is not HTTP/2"),
            (silent.address, "no answer in 3 s"),
            (closing.address, "closed without an answer"),
            (refusing(), "connection refused"),
        ],
    );
}
