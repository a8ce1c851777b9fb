//! What it costs to pick an endpoint and to count the request in.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use fairlead::ir::{self, Algorithm, Template};
use fairlead::proxy::balance::{self, Ask};
use fairlead::table::{BackendRef, Target};

use super::objects::{self, World};
use super::{ROUNDS, Report, median, nanoseconds};

/// Endpoints of the backend that is measured against the goal.
const MANY: usize = 1_000;
/// Requests that a worker has in flight at most.
const IN_FLIGHT: u32 = 128;
/// Different texts that requests have.
const TEXTS: usize = 16_384;

/// Every algorithm among [`MANY`] endpoints, with two workers that pick at the same backend at the same time; and a few
/// other sizes and states beside it.
pub(crate) fn picks(report: &mut Report) {
    let world = World::new();
    let table = world.serve(&objects::one_host_each(1));
    let target = table.find(&objects::host(0), "/").map(|at| &table.route(at).target);
    let Some(Target::Backend(backend)) = target else { return };
    let now = Instant::now();
    let budget = (0..ROUNDS).map(|_| nanoseconds(500_000, || backend.live.retries.request(0, now)));
    report.note("one request counted for the retry budget", median(budget.collect()), "ns");

    endpoints(&world, backend, MANY, 1);
    report.note(&format!("a request counted in at any of {MANY} endpoints, 2 workers"), counted(backend), "ns");

    let by = || Arc::new(Template { parts: [].into() });
    let (hash, subset) = (Algorithm::Hash(by()), Algorithm::HashSubset { by: by(), size: 3 });
    let algorithms = [
        ("least_conn", Algorithm::LeastConn),
        ("round_robin", Algorithm::RoundRobin),
        ("random", Algorithm::Random),
        ("random_two", Algorithm::RandomTwo),
        ("ewma", Algorithm::Ewma),
        ("ip_hash", Algorithm::IpHash),
        ("hash", hash),
        ("hash in subsets of 3", subset),
    ];
    for (name, algorithm) in algorithms {
        let backend = with_algorithm(backend, algorithm);
        for weight in [1, 3] {
            endpoints(&world, &backend, MANY, weight);
            let time = contended(2, &backend);
            report.at_most(
                &format!("{name}: a pick among {MANY}, weights up to {weight}, 2 workers"),
                time,
                "ns",
                100.0,
            );
        }
        endpoints(&world, &backend, MANY, 1);
        report.note(&format!("{name}: a pick among {MANY} by one worker alone"), contended(1, &backend), "ns");
        set_aside(&backend, MANY / 10);
        report.note(&format!("{name}: the same with a tenth set aside"), contended(2, &backend), "ns");
        for count in [2, 16] {
            endpoints(&world, &backend, count, 1);
            report.note(&format!("{name}: a pick among {count}, 2 workers"), contended(2, &backend), "ns");
        }
    }
}

fn with_algorithm(backend: &BackendRef, algorithm: Algorithm) -> BackendRef {
    let mut settings = ir::Backend::clone(&backend.settings);
    let balancing = Arc::make_mut(&mut settings.balancing);
    balancing.algorithm = algorithm;
    BackendRef { settings: Arc::new(settings), live: Arc::clone(&backend.live) }
}

/// Every second endpoint weighs `weight`, the others 1. All have a latency.
fn endpoints(world: &World, backend: &BackendRef, count: usize, weight: u16) {
    // Cells that stay would keep what was set aside before.
    world.registry.set_endpoints(&backend.settings.id, &ir::EndpointSet::default());
    world.registry.sweep();
    let endpoints = (0..count).map(|number| ir::Endpoint {
        address: ([10, 3, (number / 250) as u8, (number % 250) as u8], 8080).into(),
        pod: None,
        weight: if number % 2 == 0 { weight } else { 1 },
        key: None,
        draining: false,
    });
    world.registry.set_endpoints(&backend.settings.id, &ir::EndpointSet { endpoints: endpoints.collect() });
    for (number, endpoint) in backend.live.endpoints.load().candidates.iter().enumerate() {
        backend.live.measured(endpoint, Duration::from_micros(900 + number as u64 % 200), Instant::now());
    }
}

fn set_aside(backend: &BackendRef, count: usize) {
    let set = backend.live.endpoints.load_full();
    let settings = ir::PassiveCheck { consecutive: 1, ..ir::PassiveCheck::default() };
    for endpoint in set.candidates.iter().step_by(set.candidates.len() / count.max(1)) {
        let now = Instant::now();
        backend.live.failed(&mut Arc::clone(endpoint).begin(), fairlead::live::Fault::Connect, &settings, now, now);
    }
}

/// The nanoseconds of one pick with the request counted in, of so many workers at once.
fn contended(workers: usize, backend: &BackendRef) -> f64 {
    at_once(workers, |worker| {
        let mut random = fastrand::Rng::with_seed(worker as u64);
        let texts: Vec<u64> = (0..TEXTS).map(|_| random.u64(..)).collect();
        let mut turn = texts.into_iter().cycle();
        let now = Instant::now();
        let mut pick = move || {
            let text = turn.next();
            balance::pick(backend, &Ask { worker, tried: &[], pinned: None, now, hash: &|_| text })
        };
        // Owners of texts are worked out when they come for the first time, and who else gets them while the owner is busy.
        let mut held = std::collections::VecDeque::new();
        for _ in 0..8 * TEXTS {
            held.push_back(pick());
            if held.len() > IN_FLIGHT as usize {
                held.pop_front();
            }
        }
        drop(held);
        pick
    })
}

/// The nanoseconds of what any pick has to do: to find the endpoints, and to count a request in at one of them that is
/// drawn. Most of it is the way of a cache line from one processor to another.
fn counted(backend: &BackendRef) -> f64 {
    at_once(2, |worker| {
        let mut random = fastrand::Rng::with_seed(worker as u64);
        move || {
            let set = backend.live.endpoints.load();
            set.candidates.get(random.usize(..set.candidates.len())).map(|endpoint| Arc::clone(endpoint).begin())
        }
    })
}

/// The nanoseconds of one call, of so many workers that call at once. What the calls give, requests in flight, is kept
/// until [`IN_FLIGHT`] are there, and then dropped while no time is taken.
fn at_once<T, F: FnMut() -> T>(workers: usize, work: impl Fn(usize) -> F + Sync) -> f64 {
    let start = Barrier::new(workers);
    let times = thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let spawned: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let mut call = work(worker);
                    let mut held = Vec::with_capacity(IN_FLIGHT as usize);
                    (0..ROUNDS)
                        .map(|_| {
                            start.wait();
                            let batches = 100_000 / IN_FLIGHT;
                            let batch = |_| {
                                held.clear();
                                nanoseconds(IN_FLIGHT, || held.push(call()))
                            };
                            (0..batches).map(batch).sum::<f64>() / f64::from(batches)
                        })
                        .collect::<Vec<f64>>()
                })
            })
            .collect();
        spawned.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    median(times)
}
