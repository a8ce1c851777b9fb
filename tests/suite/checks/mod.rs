//! Active checks over real sockets: what each probe makes of each back end, and what follows for requests.

mod back_end;
mod course;
mod probes;
mod tls;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use fairlead::ir::{ActiveCheck, Balancing, Probe};

use crate::bed::{Bed, ingress, service};

/// The back end answers to this path as to any other, unless a test says otherwise.
const PATH: &str = "/check";

/// A proxy in front of a Service with these endpoints, with settings that no object says.
fn serve(addresses: &[SocketAddr], balance: impl FnOnce(&mut Balancing)) -> Bed {
    let bed = Bed::start(&manifests(addresses));
    bed.balance(balance);
    bed
}

fn manifests(addresses: &[SocketAddr]) -> String {
    service("web", addresses) + &ingress("web", "a.example", "/", "web", "")
}

/// A check that is made once and not again while a test runs.
fn once(probe: Probe) -> ActiveCheck {
    ActiveCheck {
        probe,
        port: None,
        interval: Duration::from_secs(600),
        timeout: Duration::from_secs(3),
        fall: 2,
        rise: 2,
    }
}

fn http(is_tls: bool) -> Probe {
    Probe::Http { is_tls, path: PATH.into(), host: Some("a.example".into()), expected: [(200, 399)].into() }
}

/// Waits until the condition holds, which it must within twenty seconds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An address at which nobody listens.
fn refusing() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
