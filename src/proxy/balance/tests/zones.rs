//! Requests that stay in our zone, and those that nobody there could serve.

use super::*;

/// Endpoints `10.1.0.N:80`, from `ours` on in another zone.
fn zones(world: &World, algorithm: &Algorithm, ours: u8, count: u8) -> BackendRef {
    let backend = many(world, algorithm, 1);
    let endpoint = |number: u8| ir::Endpoint {
        address: ([10, 1, 0, number], 80).into(),
        pod: None,
        weight: 1,
        key: None,
        draining: false,
        elsewhere: number >= ours,
    };
    let endpoints = (0..count).map(endpoint).collect();
    world.registry.set_endpoints(&backend.settings.id, &ir::EndpointSet::of(endpoints));
    backend
}

#[test]
fn a_request_that_all_of_our_zone_failed_leaves_it_before_one_is_asked_twice() {
    for algorithm in all() {
        let world = World::new();
        let backend = zones(&world, &algorithm, 2, 6);
        assert_eq!(backend.live.endpoints.load().elsewhere.len(), 4);
        let (theirs, now) = (Arc::clone(&backend.live.endpoints.load().elsewhere[0]), Instant::now());
        let settings = PassiveCheck { consecutive: 1, ..PassiveCheck::default() };
        backend.live.failed(&mut Arc::clone(&theirs).begin(), Fault::Connect, &settings, now, now);
        let mut firsts = BTreeSet::new();
        for _ in 0..100 {
            let mut tried = Vec::new();
            let mut places = Vec::new();
            for _ in 0..6 {
                let flight = pick_on(&backend, 0, &tried).unwrap();
                places.push(place(&flight));
                tried.push(flight.endpoint().address);
            }
            firsts.insert(places[2]);
            let (ours, rest) = places.split_at_mut(2);
            let (others, last) = rest.split_at_mut(3);
            ours.sort_unstable();
            others.sort_unstable();
            assert_eq!((&*ours, &*others), (&[0, 1][..], &[3, 4, 5][..]), "{}", algorithm.as_str());
            assert!(last[0] < 2, "the one that is set aside is not tried before its time: {}", algorithm.as_str());
        }
        assert_eq!(firsts, [3, 4, 5].into(), "{}: not always the same", algorithm.as_str());
    }
}

#[test]
fn the_first_attempt_stays_in_our_zone() {
    for algorithm in all() {
        let world = World::new();
        let backend = zones(&world, &algorithm, 2, 6);
        assert!((0..100).all(|_| place(&pick_on(&backend, 0, &[]).unwrap()) < 2), "{}", algorithm.as_str());
    }
}
