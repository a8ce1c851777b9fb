//! Connections of all workers, counted: how many there may be, and which worker has room.
//!
//! The kernel spreads connections unevenly over SO_REUSEPORT sockets (with 8 connections on 4 sockets one mostly gets 3 or
//! 4), so a worker that holds clearly more than its share passes what it accepts to the emptiest one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::settings::Limits;

/// The count of every worker.
pub(crate) struct Crowd {
    seats: Box<[Seat]>,
    /// Connections of all workers.
    limit: usize,
    /// Connections of one client, see [`client_of`]; 0 = off.
    limit_per_client: u64,
    /// Watches for clients that leave, of one worker.
    watches: usize,
    clients: Mutex<HashMap<IpAddr, u64>>,
}

/// One worker's count, on a cache line of its own, and the way to give it a connection.
#[repr(align(64))]
struct Seat {
    held: AtomicUsize,
    door: mpsc::UnboundedSender<Passed>,
}

/// A connection on its way to another worker.
pub(crate) struct Passed {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// The client.
    pub(crate) peer: SocketAddr,
    /// Whether it came in on an https port.
    pub(crate) is_tls: bool,
    /// Its place in the count.
    pub(crate) place: Place,
}

/// One connection in the count, until dropped.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    worker: usize,
    client: Option<IpAddr>,
}

impl Crowd {
    /// Nobody yet, and for each worker the end where it receives what others pass on. `file_limit` bounds the number of
    /// connections when the settings do not: each may need a second one upstream.
    pub(crate) fn new(
        workers: usize,
        limits: &Limits,
        file_limit: u64,
    ) -> (Arc<Crowd>, Vec<mpsc::UnboundedReceiver<Passed>>) {
        let (doors, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let limit = if limits.connections == 0 { file_limit / 5 * 4 / 2 } else { limits.connections };
        let crowd = Crowd {
            seats: doors.into_iter().map(|door| Seat { held: AtomicUsize::new(0), door }).collect(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            limit_per_client: limits.connections_per_client,
            // A quarter of the files that no connection takes.
            watches: usize::try_from(file_limit / 5 / 4).unwrap_or(usize::MAX).div_euclid(workers.max(1)).min(WATCHES),
            clients: Mutex::default(),
        };
        (Arc::new(crowd), receivers)
    }

    /// How many watches one worker may keep for clients that leave while their input is not read.
    pub(crate) fn watches(&self) -> usize {
        self.watches
    }

    /// Connections of all workers.
    pub(crate) fn total(&self) -> usize {
        self.seats.iter().map(|seat| seat.held.load(Ordering::Relaxed)).sum()
    }

    /// Connections of one worker.
    pub(crate) fn held(&self, worker: usize) -> usize {
        self.seats.get(worker).map_or(0, |seat| seat.held.load(Ordering::Relaxed))
    }

    /// Whether no further connection may be accepted.
    pub(crate) fn is_full(&self) -> bool {
        self.total() >= self.limit
    }

    /// The worker that should serve a connection which `worker` accepted: itself, unless it holds more than 1.25 times the
    /// mean and four.
    pub(crate) fn choose(&self, worker: usize) -> usize {
        let held = |seat: &Seat| seat.held.load(Ordering::Relaxed);
        let mine = self.seats.get(worker).map_or(0, held);
        if mine.saturating_sub(4) * 4 * self.seats.len() <= self.total() * 5 {
            return worker;
        }
        let emptiest = self.seats.iter().enumerate().min_by_key(|(_, seat)| held(seat));
        emptiest.map_or(worker, |(index, _)| index)
    }

    /// Counts a connection from `address` to `worker`. `None`: the client has too many.
    pub(crate) fn enter(self: &Arc<Self>, worker: usize, address: IpAddr) -> Option<Place> {
        let client = if self.limit_per_client == 0 {
            None
        } else {
            let client = client_of(address);
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let count = clients.entry(client).or_default();
            if *count >= self.limit_per_client {
                return None;
            }
            *count += 1;
            Some(client)
        };
        if let Some(seat) = self.seats.get(worker) {
            seat.held.fetch_add(1, Ordering::Relaxed);
        }
        Some(Place { crowd: Arc::clone(self), worker, client })
    }

    /// Gives a connection to the worker that its place is with. A worker that is gone lets it fall.
    pub(crate) fn pass(&self, passed: Passed) {
        if let Some(seat) = self.seats.get(passed.place.worker) {
            let _ = seat.door.send(passed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(seat) = self.crowd.seats.get(self.worker) {
            seat.held.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(client) = self.client else { return };
        let mut clients = self.crowd.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

/// Who counts as one client: an IPv4 address, however it is written and also behind NAT64 (RFC 6052 2.1), or an IPv6
/// network of 64 bits, which is what one customer has (RFC 6177).
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if address.to_bits() & NAT64_MASK == NAT64_PREFIX => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & u128::from(u64::MAX) << 64).into(),
        address => address,
    }
}

/// Most watches of one worker: they are for clients that send far ahead, which few do.
const WATCHES: usize = 32;

/// 64:ff9b::/96, the network in which an IPv4 address is written as IPv6 address by NAT64.
const NAT64_PREFIX: u128 = 0x0064_ff9b << 96;
/// The octets of [`NAT64_PREFIX`].
const NAT64_MASK: u128 = u128::MAX << 32;

/// Raises the number of files the process may open to what the system allows, and says how many that is.
pub fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn crowd(workers: usize, limits: &Limits) -> Arc<Crowd> {
        Crowd::new(workers, limits, 1000).0
    }

    #[test]
    fn a_worker_keeps_its_share_and_passes_the_rest_to_the_emptiest() {
        let crowd = crowd(3, &Limits::default());
        let mut places = Vec::new();
        let mut counts = [0_u32; 3];
        for _ in 0..300 {
            let worker = crowd.choose(0);
            counts[worker] += 1;
            places.push(crowd.enter(worker, CLIENT));
        }
        let most = counts.iter().max().unwrap();
        assert!(*most <= 300 * 5 / 12 + 5, "{counts:?}");
        assert!(counts[0] >= counts[1] && counts[1].abs_diff(counts[2]) <= 1, "{counts:?}");
    }

    #[test]
    fn a_lone_worker_and_a_quiet_one_pass_nothing() {
        let lone = crowd(1, &Limits::default());
        let pair = crowd(2, &Limits::default());
        let mut places = Vec::new();
        for _ in 0..100 {
            places.push(lone.enter(0, CLIENT));
            assert_eq!(lone.choose(0), 0);
        }
        for _ in 0..4 {
            places.push(pair.enter(0, CLIENT));
            assert_eq!(pair.choose(0), 0);
        }
    }

    #[test]
    fn the_limit_holds_for_all_workers_and_ends_with_a_connection() {
        let crowd = crowd(2, &Limits { connections: 2, ..Limits::default() });
        let first = crowd.enter(0, CLIENT);
        let _second = crowd.enter(1, CLIENT);
        assert!(crowd.is_full());
        drop(first);
        assert!(!crowd.is_full());
    }

    #[test]
    fn without_a_setting_four_fifths_of_the_files_serve_two_each() {
        let crowd = Crowd::new(1, &Limits::default(), 1000).0;
        assert_eq!(crowd.limit, 400);
        assert_eq!((crowd.watches(), Crowd::new(8, &Limits::default(), 1000).0.watches()), (32, 6));
    }

    #[test]
    fn one_client_has_only_so_many() {
        let crowd = crowd(2, &Limits { connections_per_client: 1, ..Limits::default() });
        let first = crowd.enter(0, CLIENT);
        assert!(first.is_some());
        assert!(crowd.enter(1, CLIENT).is_none());
        assert!(crowd.enter(1, Ipv4Addr::new(127, 0, 0, 2).into()).is_some());
        drop(first);
        assert!(crowd.enter(0, CLIENT).is_some());
        assert_eq!(crowd.total(), 0);
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_a_mapped_address_an_ipv4_client() {
        for (first, second, is_one) in [
            ("2001:db8::1", "2001:db8::ffff:1:2:3", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("192.0.2.1", "192.0.2.2", false),
            ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", false),
            ("64:ff9b:1::1", "64:ff9b:1::2", true),
        ] {
            let crowd = crowd(1, &Limits { connections_per_client: 1, ..Limits::default() });
            let _place = crowd.enter(0, first.parse().unwrap()).unwrap();
            assert_eq!(crowd.enter(0, second.parse().unwrap()).is_none(), is_one, "{first} {second}");
        }
    }
}
