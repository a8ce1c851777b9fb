//! Every algorithm on backends without sockets: shares, orders, what is left out, and what holds for all.

mod latency;
mod pinned;
mod uneven;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::ir;
use crate::ir::Algorithm::{Ewma, Hash, HashSubset, IpHash, LeastConn, Random, RandomTwo, RoundRobin};
use crate::ir::{ActiveCheck, Balancing, PassiveCheck, Probe, Template};
use crate::live::{Fault, InFlight};
use crate::table::fixture::World;

const THREE: &[(&str, u16)] = &[("10.0.0.1:80", 1), ("10.0.0.2:80", 1), ("10.0.0.3:80", 1)];

fn by() -> Arc<Template> {
    Arc::new(Template { parts: [].into() })
}

fn all() -> [Algorithm; 8] {
    [LeastConn, RoundRobin, Random, RandomTwo, Ewma, IpHash, Hash(by()), HashSubset { by: by(), size: 3 }]
}

/// Endpoints of these weights, in the order of their addresses.
fn backend(world: &World, algorithm: &Algorithm, weights: &[u16]) -> BackendRef {
    let text: Vec<String> = (0..weights.len()).map(|n| format!("10.1.{}.{}:80", n / 250, n % 250)).collect();
    let endpoints: Vec<_> = text.iter().zip(weights).map(|(address, weight)| (&**address, *weight)).collect();
    world.backend(algorithm.clone(), &endpoints)
}

fn many(world: &World, algorithm: &Algorithm, count: usize) -> BackendRef {
    backend(world, algorithm, &vec![1; count])
}

fn with(backend: &BackendRef, change: impl FnOnce(&mut Balancing)) -> BackendRef {
    let mut settings = ir::Backend::clone(&backend.settings);
    change(Arc::make_mut(&mut settings.balancing));
    BackendRef { settings: Arc::new(settings), live: Arc::clone(&backend.live), tls: None, canary: None }
}

/// A pick for a client that was never seen before.
fn pick_on(backend: &BackendRef, worker: usize, tried: &[SocketAddr]) -> Option<InFlight> {
    let key = fastrand::u64(..);
    pick(backend, &Ask { worker, tried, pinned: None, now: Instant::now(), hash: &|_| Some(key) })
}

fn pick_for(backend: &BackendRef, key: u64) -> InFlight {
    // Small numbers are no hashes.
    let key = crate::live::next(key);
    pick(backend, &Ask { worker: 0, tried: &[], pinned: None, now: Instant::now(), hash: &|_| Some(key) }).unwrap()
}

fn place(flight: &InFlight) -> usize {
    let SocketAddr::V4(address) = flight.endpoint().address else { panic!("{}", flight.endpoint().text) };
    let [_, _, high, low] = address.ip().octets();
    usize::from(high) * 250 + usize::from(low)
}

/// How often each place is picked, the workers taking turns, each request done before the next comes.
fn counts(backend: &BackendRef, workers: usize, picks: usize) -> Vec<usize> {
    let mut counts = vec![0; backend.live.endpoints.load().candidates.len()];
    for number in 0..picks {
        counts[place(&pick_on(backend, number % workers, &[]).unwrap())] += 1;
    }
    counts
}

/// A check says that these places do not work.
fn set_aside(backend: &BackendRef, places: impl IntoIterator<Item = usize>) -> BackendRef {
    let set = backend.live.endpoints.load_full();
    for place in places {
        backend.live.judge(&set.candidates[place], false, "refused".into(), Instant::now());
    }
    let second = Duration::from_secs(1);
    with(backend, |balancing| {
        let (interval, timeout) = (second, second);
        balancing.active = Some(ActiveCheck { probe: Probe::Tcp, port: None, interval, timeout, fall: 1, rise: 1 });
        balancing.panic_threshold = 0;
    })
}

#[test]
fn shares_are_those_of_the_weights() {
    fastrand::seed(1);
    let cases: [&[u16]; 2] = [&[1; 40], &[300, 200, 100, 400]];
    for algorithm in all() {
        for weights in cases {
            for workers in [1, 2, 4] {
                let world = World::with_workers(4);
                let backend = backend(&world, &algorithm, weights);
                let sum: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
                for (place, count) in counts(&backend, workers, 100_000).into_iter().enumerate() {
                    let (share, due) = (count as f64 / 1e5, f64::from(weights[place]) / sum as f64);
                    let which = format!("{} of {weights:?} on {workers} workers, place {place}", algorithm.as_str());
                    assert!((share - due).abs() < 0.01, "{which}: {share} for {due}");
                }
            }
        }
    }
}

#[test]
fn shares_hold_while_requests_are_in_flight() {
    fastrand::seed(2);
    for algorithm in [LeastConn, RandomTwo, Hash(by())] {
        for weights in [&[1_u16; 10][..], &[5, 1, 1], &[1; 40]] {
            let world = World::new();
            let backend = backend(&world, &algorithm, weights);
            let mut flights = std::collections::VecDeque::new();
            let mut counts = vec![0; weights.len()];
            for _ in 0..100_000 {
                let flight = pick_on(&backend, 0, &[]).unwrap();
                counts[place(&flight)] += 1;
                flights.push_back(flight);
                // One more request is little for a heavy endpoint, so it gets a few more than its share of few.
                if flights.len() > 300 * weights.len() {
                    flights.pop_front();
                }
            }
            let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (count, weight) in counts.into_iter().zip(weights) {
                let (share, due) = (f64::from(count) / 1e5, f64::from(*weight) / sum);
                assert!((share - due).abs() < 0.01, "{} of {weights:?}: {share} for {due}", algorithm.as_str());
            }
        }
    }
}

#[test]
fn round_robin_is_exact_for_each_worker() {
    for weights in [[1, 1, 1], [5, 1, 1], [300, 200, 100], [1000, 999, 1]] {
        let world = World::new();
        let backend = backend(&world, &RoundRobin, &weights);
        let sum: usize = weights.iter().map(|&weight| usize::from(weight)).sum();
        for worker in [0, 1] {
            let mut picked = [0; 3];
            for _ in 0..sum {
                picked[place(&pick_on(&backend, worker, &[]).unwrap())] += 1;
            }
            assert_eq!(picked, weights.map(usize::from), "worker {worker}");
        }
    }
}

#[test]
fn round_robin_goes_on_where_it_was_when_endpoints_change() {
    let world = World::new();
    let backend = world.backend(RoundRobin, THREE);
    let first = pick_on(&backend, 0, &[]).unwrap().endpoint().address;
    world.set_endpoints(&backend.settings.id, &[("10.0.0.1:80", 2), ("10.0.0.2:80", 2), ("10.0.0.3:80", 2)]);
    assert_ne!(pick_on(&backend, 0, &[]).unwrap().endpoint().address, first);
}

#[test]
fn those_that_are_left_share_evenly() {
    fastrand::seed(3);
    for algorithm in all() {
        let world = World::new();
        let backend = set_aside(&many(&world, &algorithm, 10), [2, 3, 7]);
        for (place, count) in counts(&backend, 2, 70_000).into_iter().enumerate() {
            let due = if [2, 3, 7].contains(&place) { 0.0 } else { 10_000.0 };
            assert!((count as f64 - due).abs() <= due * 0.07, "{} place {place}: {count}", algorithm.as_str());
        }
    }
}

#[test]
fn least_connections_counts_requests_for_the_weight() {
    let world = World::new();
    let backend = backend(&world, &LeastConn, &[3, 1]);
    let flights: Vec<InFlight> = (0..400).map(|_| pick_on(&backend, 0, &[]).unwrap()).collect();
    assert_eq!(flights.iter().filter(|flight| place(flight) == 0).count(), 300);
    drop(flights);
    assert_eq!(backend.live.in_flight(), 0);
}

#[test]
fn least_connections_and_the_better_of_two_avoid_the_slow_endpoint() {
    fastrand::seed(4);
    for algorithm in [LeastConn, RandomTwo] {
        for count in [3, 100] {
            let world = World::new();
            let backend = many(&world, &algorithm, count);
            let slow = pick_on(&backend, 0, &[]).unwrap();
            let picked = counts(&backend, 1, 1_000)[place(&slow)];
            assert_eq!(picked, 0, "{} of {count}", algorithm.as_str());
        }
    }
}

#[test]
fn requests_one_after_the_other_visit_every_endpoint() {
    for algorithm in [LeastConn, RoundRobin] {
        for count in [1, 2, 32, 33, 500] {
            let world = World::new();
            let visited = counts(&many(&world, &algorithm, count), 1, count);
            assert!(visited.iter().all(|count| *count == 1), "{} of {count}", algorithm.as_str());
        }
    }
}

#[test]
fn a_text_stays_at_its_endpoint_and_few_move_when_one_comes_or_goes() {
    for (count, keys) in [(3, 30_000), (10, 30_000), (17, 30_000), (100, 20_000), (1_000, 20_000)] {
        let world = World::new();
        let backend = many(&world, &Hash(by()), count);
        let owners = |backend: &BackendRef| -> Vec<SocketAddr> {
            (0..keys).map(|key| pick_for(backend, key).endpoint().address).collect()
        };
        let whole = owners(&backend);
        assert_eq!(owners(&backend), whole);
        let addresses: Vec<String> =
            backend.live.endpoints.load().candidates.iter().map(|endpoint| endpoint.text.to_string()).collect();
        let (mut moved, mut left) = (0, 0);
        let gone = [0, count / 3, count - 1];
        for gone in gone {
            let rest = addresses.iter().enumerate().filter(|(place, _)| *place != gone);
            let rest: Vec<(&str, u16)> = rest.map(|(_, address)| (&**address, 1)).collect();
            world.set_endpoints(&backend.settings.id, &rest);
            let gone: SocketAddr = addresses[gone].parse().unwrap();
            let before_and_after: Vec<_> = whole.iter().zip(owners(&backend)).collect();
            moved += before_and_after.iter().filter(|(before, after)| **before != *after).count();
            left += before_and_after.iter().filter(|(before, _)| **before == gone).count();
            let back: Vec<(&str, u16)> = addresses.iter().map(|address| (&**address, 1)).collect();
            world.set_endpoints(&backend.settings.id, &back);
            let is_quick = count <= 100;
            assert!(!is_quick || owners(&backend) == whole, "{count}: all are back where they were");
        }
        assert_eq!(moved, left, "{count}: nobody else moves");
        let share = moved as f64 / (keys as f64 * gone.len() as f64);
        assert!(share <= 1.2 / count as f64, "{count}: {share}");
    }
}

#[test]
fn keys_of_an_endpoint_that_is_set_aside_spread_over_the_others_and_come_back() {
    for algorithm in [IpHash, Hash(by())] {
        let world = World::new();
        let backend = many(&world, &algorithm, 5);
        let owners =
            |backend: &BackendRef| -> Vec<usize> { (0..10_000).map(|key| place(&pick_for(backend, key))).collect() };
        let whole = owners(&backend);
        let sick = set_aside(&backend, [2]);
        let mut spread = BTreeMap::new();
        for (before, after) in whole.iter().zip(owners(&sick)) {
            assert!(*before == after || *before == 2);
            *spread.entry(after).or_insert(0) += usize::from(*before == 2);
        }
        assert_eq!(spread.len(), 4);
        assert!(spread.values().all(|moved| (400..600).contains(moved)), "{spread:?}");
        let set = sick.live.endpoints.load_full();
        sick.live.judge(&set.candidates[2], true, "ok".into(), Instant::now());
        assert_eq!(owners(&sick), whole);
    }
}

#[test]
fn no_endpoint_has_more_than_its_bound_whatever_the_keys_are() {
    fastrand::seed(6);
    for weights in [&[1_u16; 5][..], &[1; 40], &[5, 1, 1, 3]] {
        let world = World::new();
        let backend = backend(&world, &Hash(by()), weights);
        let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        // Half of all requests have one and the same key.
        let mut flights = Vec::new();
        for number in 0..2_000_u64 {
            let key = crate::live::next(if number % 2 == 0 { 7 } else { number });
            let worker = number as usize / 2 % 2;
            let ask = Ask { worker, tried: &[], pinned: None, now: Instant::now(), hash: &|_| Some(key) };
            flights.push(pick(&backend, &ask).unwrap());
            let total = flights.len() as f64;
            let set = backend.live.endpoints.load();
            for (endpoint, weight) in set.candidates.iter().zip(weights) {
                let bound = (1.25 * total * f64::from(*weight) / sum).ceil();
                assert!(in_flight(endpoint) as f64 <= bound, "{weights:?}: {} of {total}", in_flight(endpoint));
            }
        }
        assert_eq!(backend.live.counted(), 2_000);
        flights.clear();
        assert_eq!((backend.live.counted(), backend.live.in_flight()), (0, 0));
    }
}

#[test]
fn what_other_workers_count_is_looked_at_once_in_a_millisecond() {
    let world = World::new();
    let backend = many(&world, &Hash(by()), 40);
    let now = Instant::now() + Duration::from_secs(1);
    let pick_by = |worker| pick(&backend, &Ask { worker, tried: &[], pinned: None, now, hash: &|_| Some(7) }).unwrap();
    let mut theirs: Vec<InFlight> = (0..10).map(|_| pick_by(1)).collect();
    assert_eq!(backend.live.counted_lately(0, now), 10);
    theirs.truncate(4);
    let ours = pick_by(0);
    assert_eq!((backend.live.counted_lately(0, now), backend.live.counted_lately(1, now)), (11, 4));
    assert_eq!(backend.live.counted_lately(0, now + Duration::from_millis(1)), 5);
    drop((ours, theirs));
}

#[test]
fn a_bound_that_is_no_whole_number_is_rounded_up_for_its_share_of_the_texts() {
    let world = World::new();
    let backend = many(&world, &Hash(by()), 10);
    let keys = 0..20_000;
    let owners: Vec<usize> = keys.clone().map(|key| place(&pick_for(&backend, key))).collect();
    let first_of = |place| owners.iter().position(|owner| *owner == place).unwrap() as u64;
    // One request at each; the next may be the second of an endpoint for which 11 x 1.25 / 10 = 1.375 are allowed.
    let flights: Vec<InFlight> = (0..10).map(|place| pick_for(&backend, first_of(place))).collect();
    let stayed = keys.zip(&owners).filter(|(key, owner)| place(&pick_for(&backend, *key)) == **owner).count();
    // Of the others a tenth comes back to the owner on its way.
    let share = stayed as f64 / owners.len() as f64;
    assert!((share - (0.375 + 0.625 / 10.0)).abs() < 0.01, "{share}");
    drop(flights);
}

#[test]
fn a_text_has_as_many_endpoints_as_its_subset_is_large() {
    fastrand::seed(7);
    let world = World::new();
    for size in [1, 2, 3, 9, 10, 50] {
        let backend = many(&world, &HashSubset { by: by(), size }, 10);
        for key in 0..50 {
            let group: BTreeSet<usize> = (0..400).map(|_| place(&pick_for(&backend, key))).collect();
            assert_eq!(group.len(), usize::from(size).min(10), "size {size}");
        }
    }
}

#[test]
fn a_request_without_the_text_goes_where_there_is_the_least_to_do() {
    let world = World::new();
    for algorithm in [Hash(by()), HashSubset { by: by(), size: 2 }] {
        let backend = many(&world, &algorithm, 4);
        let ask = Ask { worker: 0, tried: &[], pinned: None, now: Instant::now(), hash: &|_| None };
        let flights: Vec<_> = (0..40).map(|_| pick(&backend, &ask).unwrap()).collect();
        let set = backend.live.endpoints.load();
        assert!(set.candidates.iter().all(|endpoint| in_flight(endpoint) == 10));
        drop(flights);
    }
}

#[test]
fn another_endpoint_than_those_tried_comes_first() {
    for algorithm in all() {
        for count in [2, 3, 40] {
            let world = World::new();
            let backend = many(&world, &algorithm, count);
            let mut tried = Vec::new();
            for _ in 0..count {
                tried.push(pick_on(&backend, 0, &tried).unwrap().endpoint().address);
            }
            let distinct: BTreeSet<_> = tried.iter().collect();
            assert_eq!(distinct.len(), count, "{} of {count}", algorithm.as_str());
            assert!(pick_on(&backend, 0, &tried).is_some(), "all were tried: one of them again");
        }
    }
}

#[test]
fn a_retry_goes_to_what_was_set_aside_only_when_nothing_else_is_left() {
    for algorithm in all() {
        let world = World::new();
        let backend = set_aside(&many(&world, &algorithm, 3), [0]);
        let tried: Vec<SocketAddr> =
            backend.live.endpoints.load().candidates[1..].iter().map(|endpoint| endpoint.address).collect();
        let again = pick_on(&backend, 0, &tried).unwrap().endpoint().address;
        assert!(tried.contains(&again), "{}: one that is in use, again", algorithm.as_str());
    }
}

#[test]
fn when_too_few_are_in_use_all_are() {
    fastrand::seed(8);
    for algorithm in all() {
        let world = World::new();
        let backend = set_aside(&many(&world, &algorithm, 10), 0..6);
        let used = |percent| {
            let backend = with(&backend, |balancing| balancing.panic_threshold = percent);
            counts(&backend, 1, 2_000).iter().filter(|count| **count > 0).count()
        };
        assert_eq!([40, 41, 50].map(used), [4, 10, 10], "{}", algorithm.as_str());
        let none = set_aside(&backend, 0..10);
        assert_eq!(counts(&none, 1, 2_000).iter().filter(|count| **count > 0).count(), 10);
    }
}

#[test]
fn a_retry_goes_to_one_in_use_also_where_all_are_used() {
    fastrand::seed(10);
    for algorithm in all() {
        let world = World::new();
        let backend = with(&set_aside(&many(&world, &algorithm, 8), 0..5), |balancing| balancing.panic_threshold = 50);
        let first: Vec<usize> = (0..400).map(|_| place(&pick_on(&backend, 0, &[]).unwrap())).collect();
        assert!(first.iter().any(|place| *place < 5), "{}: all are used", algorithm.as_str());
        let mut tried = vec![backend.live.endpoints.load().candidates[0].address];
        let mut places = Vec::new();
        for _ in 0..7 {
            let flight = pick_on(&backend, 0, &tried).unwrap();
            places.push(place(&flight));
            tried.push(flight.endpoint().address);
        }
        let (sound, rest) = places.split_at_mut(3);
        sound.sort_unstable();
        rest.sort_unstable();
        assert_eq!((&*sound, &*rest), (&[5, 6, 7][..], &[1, 2, 3, 4][..]), "{}", algorithm.as_str());
    }
}

#[test]
fn retries_take_no_turns() {
    for algorithm in [RoundRobin, LeastConn] {
        let world = World::new();
        let backend = many(&world, &algorithm, 2);
        let fails = backend.live.endpoints.load().candidates[0].address;
        let mut firsts = [0; 2];
        for _ in 0..100 {
            let first = pick_on(&backend, 0, &[]).unwrap();
            firsts[place(&first)] += 1;
            if first.endpoint().address == fails {
                assert_eq!(place(&pick_on(&backend, 0, &[fails]).unwrap()), 1);
            }
        }
        assert_eq!(firsts, [50, 50], "{}", algorithm.as_str());
    }
}

#[test]
fn where_checks_are_not_believed_what_becomes_of_requests_is() {
    let world = World::new();
    let backend = set_aside(&many(&world, &RoundRobin, 4), 0..4);
    let backend = with(&backend, |balancing| balancing.panic_threshold = 50);
    let (set, now) = (backend.live.endpoints.load_full(), Instant::now());
    let settings = PassiveCheck { consecutive: 1, ..PassiveCheck::default() };
    let fail = |place: usize| {
        let mut flight = Arc::clone(&set.candidates[place]).begin();
        backend.live.failed(&mut flight, Fault::Connect, &settings, now, now);
    };
    fail(1);
    let used = || counts(&backend, 1, 4_000).iter().map(|count| *count > 0).collect::<Vec<_>>();
    assert_eq!(used(), [true, false, true, true]);
    backend.live.judge(&set.candidates[0], true, "a check".into(), now);
    backend.live.judge(&set.candidates[1], true, "a check".into(), now);
    assert_eq!(used(), [true, true, false, false], "of the two the checks are believed, if they can be");
    let tried: Vec<SocketAddr> = [0, 1].map(|place: usize| set.candidates[place].address).into();
    let again = place(&pick_on(&backend, 0, &tried).unwrap());
    assert!(again < 2, "one that was asked is asked again before {again}, of which checks say that it is down");
}

#[test]
fn what_is_not_asked_for_sets_nothing_aside() {
    let world = World::new();
    let backend = set_aside(&many(&world, &RoundRobin, 4), [0]);
    let off = with(&backend, |balancing| balancing.active = None);
    assert_eq!(counts(&off, 1, 400), [100; 4]);
}

#[test]
fn an_ejected_endpoint_gets_one_request_when_its_time_is_over() {
    fastrand::seed(9);
    for algorithm in all() {
        let world = World::new();
        let backend = many(&world, &algorithm, 4);
        let set = backend.live.endpoints.load_full();
        let now = Instant::now();
        let settings = PassiveCheck { consecutive: 1, ..PassiveCheck::default() };
        backend.live.failed(&mut Arc::clone(&set.candidates[1]).begin(), Fault::Connect, &settings, now, now);
        let later = now + settings.eject;
        let pick_at = |now| {
            let key = fastrand::u64(..);
            pick(&backend, &Ask { worker: 0, tried: &[], pinned: None, now, hash: &|_| Some(key) }).unwrap()
        };
        let to_it = |flights: &[InFlight]| flights.iter().filter(|flight| place(flight) == 1).count();
        let early: Vec<InFlight> = (0..200).map(|_| pick_at(now)).collect();
        assert_eq!(to_it(&early), 0, "{}", algorithm.as_str());
        let mut late: Vec<InFlight> = (0..200).map(|_| pick_at(later)).collect();
        assert_eq!(to_it(&late), 1, "{}", algorithm.as_str());
        let probe = late.iter_mut().find(|flight| place(flight) == 1).unwrap();
        backend.live.succeeded(probe, later, later, true);
        drop(early);
        assert!(to_it(&(0..400).map(|_| pick_at(later)).collect::<Vec<_>>()) > 1, "{}", algorithm.as_str());
    }
}

#[test]
fn draining_endpoints_get_nothing() {
    for algorithm in all() {
        let world = World::new();
        let backend = world.backend(algorithm, THREE);
        let endpoints = THREE.iter().map(|(address, weight)| ir::Endpoint {
            address: address.parse().unwrap(),
            pod: None,
            weight: *weight,
            key: None,
            draining: *address == "10.0.0.2:80",
            elsewhere: false,
        });
        world.registry.set_endpoints(&backend.settings.id, &ir::EndpointSet::of(endpoints.collect()));
        let draining: SocketAddr = "10.0.0.2:80".parse().unwrap();
        assert!((0..1_000).all(|_| pick_on(&backend, 0, &[]).unwrap().endpoint().address != draining));
    }
}

#[test]
fn none_one_and_ten_thousand_endpoints() {
    for algorithm in all() {
        let world = World::new();
        assert!(pick_on(&many(&world, &algorithm, 0), 0, &[]).is_none());
        let lone = many(&world, &algorithm, 1);
        let only = pick_on(&lone, 0, &[]).unwrap().endpoint().address;
        assert_eq!(pick_on(&lone, 0, &[only]).unwrap().endpoint().address, only, "a lone one is tried again");
        let crowd = many(&world, &algorithm, 10_000);
        // Work out a hash of so many takes long in a test build.
        let picks = if matches!(algorithm, IpHash | Hash(_) | HashSubset { .. }) { 50 } else { 2_000 };
        let visited = counts(&crowd, 1, picks).iter().filter(|count| **count > 0).count();
        assert!(visited * 2 > picks, "{}: {visited} of {picks}", algorithm.as_str());
    }
}

#[test]
fn a_limit_lets_so_many_in_and_counts_down() {
    let world = World::new();
    let live = world.backend(LeastConn, THREE).live;
    let first = live.admit(2).unwrap();
    let _second = live.admit(2).unwrap();
    assert!(live.admit(2).is_none() && live.admit(2).is_none());
    drop(first);
    assert!(live.admit(2).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_set_aside_the_rest_is_picked_and_nobody_starves(
        weights in prop::collection::vec(1_u16..=9, 1..40),
        aside in prop::collection::vec(any::<bool>(), 40),
        which in 0_usize..8,
        seed in any::<u64>(),
    ) {
        fastrand::seed(seed);
        let world = World::new();
        let algorithm = all()[which].clone();
        let away: Vec<usize> = (0..weights.len()).filter(|place| aside[*place]).collect();
        let backend = set_aside(&backend(&world, &algorithm, &weights), away.iter().copied());
        let sum: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
        // So many that the lightest is due 60.
        let counts = counts(&backend, 2, sum * 60);
        let all_away = away.len() == weights.len();
        for (place, count) in counts.iter().enumerate() {
            let is_used = all_away || !away.contains(&place);
            // A text has few endpoints: some may belong to nobody's.
            let may_starve = matches!(algorithm, HashSubset { .. });
            prop_assert!(*count == 0 || is_used, "{} picks of {place}", count);
            prop_assert!(*count > 0 || !is_used || may_starve, "{} starves {}", algorithm.as_str(), place);
        }
        prop_assert_eq!(backend.live.in_flight(), 0);
    }
}
