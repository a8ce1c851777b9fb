//! Clients that a sticky cookie keeps at an endpoint.

use super::*;
use crate::live::Key;

fn key(number: u8) -> Key {
    // Keys are hashes: they differ from the first octet on.
    let mut key = [number; 12];
    key[..8].copy_from_slice(&crate::live::next(number.into()).to_be_bytes());
    key
}

/// Endpoints `10.1.0.N:80`, those of `draining` draining, each with its key.
fn sticky(world: &World, algorithm: &Algorithm, count: u8, draining: &[u8]) -> BackendRef {
    let backend = many(world, algorithm, 1);
    set(world, &backend, &(0..count).collect::<Vec<_>>(), draining);
    backend
}

fn set(world: &World, backend: &BackendRef, present: &[u8], draining: &[u8]) {
    let endpoint = |&number: &u8| ir::Endpoint {
        address: format!("10.1.0.{number}:80").parse().unwrap(),
        pod: Some(format!("web-{number}").into()),
        weight: 1,
        key: Some(key(number)),
        draining: draining.contains(&number),
        elsewhere: false,
    };
    let endpoints = present.iter().map(endpoint).collect();
    world.registry.set_endpoints(&backend.settings.id, &ir::EndpointSet::of(endpoints));
}

fn pick_pinned(backend: &BackendRef, pinned: Key, tried: &[SocketAddr]) -> InFlight {
    pick_as(backend, pinned, tried, fastrand::u64(..))
}

fn pick_as(backend: &BackendRef, pinned: Key, tried: &[SocketAddr], client: u64) -> InFlight {
    let client = crate::live::next(client);
    let ask = Ask { worker: 0, tried, pinned: Some(pinned), now: Instant::now(), hash: &|_| Some(client) };
    pick(backend, &ask).unwrap()
}

fn eject(backend: &BackendRef, number: u8) {
    let settings = backend.settings.balancing.passive.clone().unwrap();
    for _ in 0..settings.consecutive {
        let now = Instant::now();
        let mut flight = pick_pinned(backend, key(number), &[]);
        assert_eq!(place(&flight), usize::from(number));
        backend.live.failed(&mut flight, Fault::Connect, &settings, now, now);
    }
}

#[test]
fn a_client_stays_at_its_endpoint_whatever_the_algorithm_and_the_load() {
    let world = World::new();
    for algorithm in all() {
        for count in [1, 2, 3, 40] {
            let backend = sticky(&world, &algorithm, count, &[]);
            let flights: Vec<_> = (0..100).map(|_| pick_pinned(&backend, key(count - 1), &[])).collect();
            assert!(flights.iter().all(|flight| place(flight) == usize::from(count - 1)), "{}", algorithm.as_str());
            drop(flights);
            assert_eq!((backend.live.counted(), backend.live.in_flight()), (0, 0));
        }
    }
}

#[test]
fn an_endpoint_that_drains_serves_its_own_clients_and_nobody_else() {
    let world = World::new();
    for algorithm in all() {
        let backend = sticky(&world, &algorithm, 3, &[1]);
        assert_eq!(place(&pick_pinned(&backend, key(1), &[])), 1);
        for _ in 0..100 {
            assert_ne!(place(&pick_on(&backend, 0, &[]).unwrap()), 1, "{}", algorithm.as_str());
        }
    }
}

#[test]
fn a_key_that_nobody_has_is_no_obstacle() {
    let world = World::new();
    let backend = sticky(&world, &RoundRobin, 4, &[]);
    let places: BTreeSet<_> = (0..4).map(|_| place(&pick_pinned(&backend, [0xee; 12], &[]))).collect();
    assert_eq!(places.len(), 4, "as without a cookie");
}

#[test]
fn while_its_endpoint_is_out_of_use_a_client_has_one_other_and_returns() {
    fastrand::seed(9);
    let world = World::new();
    for algorithm in all() {
        let backend = set_aside(&sticky(&world, &algorithm, 10, &[]), [3]);
        let mut places = BTreeSet::new();
        for client in 0..50 {
            let others: BTreeSet<_> = (0..20).map(|_| place(&pick_as(&backend, key(3), &[], client))).collect();
            assert_eq!(others.len(), 1, "{}", algorithm.as_str());
            places.extend(others);
        }
        assert!(!places.contains(&3) && places.len() > 5, "all of one endpoint's clients go to {places:?}");
        assert_eq!(place(&pick_pinned(&backend, key(4), &[])), 4, "others do not notice");
        let cell = Arc::clone(&backend.live.endpoints.load().candidates[3]);
        backend.live.judge(&cell, true, "200".into(), Instant::now());
        assert_eq!(place(&pick_pinned(&backend, key(3), &[])), 3);
    }
}

#[test]
fn an_ejected_endpoint_that_drains_gets_none_of_its_clients() {
    let world = World::new();
    let backend = sticky(&world, &LeastConn, 4, &[]);
    eject(&backend, 2);
    set(&world, &backend, &[0, 1, 2, 3], &[2]);
    assert_ne!(place(&pick_pinned(&backend, key(2), &[])), 2);
}

#[test]
fn where_all_have_to_serve_a_client_is_at_its_own() {
    let world = World::new();
    let most_fail = set_aside(&sticky(&world, &LeastConn, 4, &[]), 0..3);
    let backend = with(&most_fail, |balancing| balancing.panic_threshold = 50);
    for number in 0..4 {
        assert_eq!(place(&pick_pinned(&backend, key(number), &[])), usize::from(number));
    }
}

#[test]
fn a_pod_made_anew_at_the_same_address_is_not_the_one_that_the_cookie_names() {
    let world = World::new();
    let backend = sticky(&world, &LeastConn, 3, &[]);
    eject(&backend, 1);
    let endpoint = ir::Endpoint {
        address: "10.1.0.1:80".parse().unwrap(),
        pod: Some("web-1".into()),
        weight: 1,
        key: Some([9; 12]),
        draining: false,
        elsewhere: false,
    };
    world.registry.set_endpoints(&backend.settings.id, &ir::EndpointSet::of(vec![endpoint]));
    let set = backend.live.endpoints.load();
    assert!(set.keyed(&key(1)).is_none());
    let (cell, is_candidate) = set.keyed(&[9; 12]).unwrap();
    assert_eq!(
        (cell.standing(), is_candidate),
        (crate::live::Standing::Ready, true),
        "the other one's failures are not its own"
    );
}
