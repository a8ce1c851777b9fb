//! What it costs to pick an endpoint and to count the request in.

use std::hint::black_box;
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
/// So often the requests in flight are ended and picked for again in one measurement.
const BATCHES: u32 = 800;
/// The time between two requests of a worker, as their clock tells it.
const BETWEEN: Duration = Duration::from_micros(20);
/// Different texts that requests have.
const TEXTS: u64 = 16_384;

/// Every algorithm among [`MANY`] endpoints, with two workers that pick at the same backend at the same time; and a few
/// other sizes and states beside it.
pub(crate) fn picks(report: &mut Report) {
    let world = World::new();
    let by = || Arc::new(Template { parts: [].into() });
    let algorithms = [
        ("least_conn", Algorithm::LeastConn),
        ("round_robin", Algorithm::RoundRobin),
        ("random", Algorithm::Random),
        ("random_two", Algorithm::RandomTwo),
        ("ewma", Algorithm::Ewma),
        ("ip_hash", Algorithm::IpHash),
        ("hash", Algorithm::Hash(by())),
        ("hash in subsets of 3", Algorithm::HashSubset { by: by(), size: 3 }),
    ];
    // How many endpoints, the weight of every second one, how many are set aside, workers, and what it is called.
    let states = [
        (MANY, 1, 0, 2, format!("a pick among {MANY}, 2 workers")),
        (MANY, 3, 0, 2, format!("a pick among {MANY}, weights 1 and 3, 2 workers")),
        (MANY, 1, 0, 1, format!("a pick among {MANY} by one worker alone")),
        (MANY, 1, MANY / 10, 2, format!("a pick among {MANY}, a tenth set aside, 2 workers")),
        (2, 1, 0, 2, "a pick among 2, 2 workers".to_owned()),
        (16, 1, 0, 2, "a pick among 16, 2 workers".to_owned()),
    ];
    let table = world.serve(&objects::one_host_each(algorithms.len() * states.len() + 1));
    let mut backends =
        (0..).map_while(|number| match table.find(&objects::host(number), "/").map(|at| &table.route(at).target) {
            Some(Target::Backend(backend)) => Some(backend),
            _ => None,
        });
    let Some(plain) = backends.next() else { return };
    let now = Instant::now();
    let budget = (0..ROUNDS).map(|_| nanoseconds(500_000, || plain.live.retries.request(0, now)));
    report.note("one request counted for the retry budget", median(budget.collect()), "ns");
    endpoints(&world, plain, MANY, 1);

    let mut cases = Vec::new();
    for (name, algorithm) in &algorithms {
        for (count, weight, aside, workers, what) in &states {
            let Some(backend) = backends.next() else { return };
            let backend = with_algorithm(backend, algorithm.clone());
            endpoints(&world, &backend, *count, *weight);
            if matches!(algorithm, Algorithm::IpHash | Algorithm::Hash(_) | Algorithm::HashSubset { .. }) {
                know_owners(&backend);
            }
            set_aside(&backend, *aside);
            let is_goal = *count == MANY && *workers == 2 && *aside == 0;
            cases.push((format!("{name}: {what}"), is_goal, *workers, backend));
        }
    }
    report.note(&format!("a request counted in at any of {MANY} endpoints, 2 workers"), counted(plain), "ns");
    for (name, is_goal, workers, backend) in cases {
        let time = contended(workers, &backend);
        if is_goal { report.at_most(&name, time, "ns", 100.0) } else { report.note(&name, time, "ns") }
    }
}

/// Works out who owns each slot of a hash, as traffic does in the first minutes.
fn know_owners(backend: &BackendRef) {
    let set = backend.live.endpoints.load();
    for slot in 0..1_u64 << 18 {
        black_box(set.rendezvous().owner(slot << (64 - 18)));
    }
}

fn with_algorithm(backend: &BackendRef, algorithm: Algorithm) -> BackendRef {
    let mut settings = ir::Backend::clone(&backend.settings);
    let balancing = Arc::make_mut(&mut settings.balancing);
    balancing.algorithm = algorithm;
    BackendRef { settings: Arc::new(settings), ..backend.clone() }
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
        elsewhere: false,
    });
    world.registry.set_endpoints(&backend.settings.id, &ir::EndpointSet::of(endpoints.collect()));
    for (number, endpoint) in backend.live.endpoints.load().candidates.iter().enumerate() {
        backend.live.measured(endpoint, Duration::from_micros(900 + number as u64 % 200), Instant::now());
    }
}

fn set_aside(backend: &BackendRef, count: usize) {
    let set = backend.live.endpoints.load_full();
    // For longer than the benchmark runs: one that may be tried again is not passed over any more.
    let eject = Duration::from_secs(3_600);
    let settings = ir::PassiveCheck { consecutive: 1, eject, ..ir::PassiveCheck::default() };
    for endpoint in set.candidates.iter().step_by(set.candidates.len() / count.max(1)).take(count) {
        let now = Instant::now();
        backend.live.failed(&mut Arc::clone(endpoint).begin(), fairlead::live::Fault::Connect, &settings, now, now);
    }
}

/// The nanoseconds of one pick with the request counted in, of so many workers at once.
fn contended(workers: usize, backend: &BackendRef) -> f64 {
    at_once(workers, |worker| {
        let mut random = fastrand::Rng::with_seed(worker as u64);
        // Worked out and not read from a list: that would lie in the cache in the place of what is measured.
        let (first, mut turn) = (u64::from(random.u32(..)), 0);
        let mut now = Instant::now();
        let mut pick = move || {
            turn = (turn + 1) % TEXTS;
            now += BETWEEN;
            let text = Some((first + turn).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            balance::pick(backend, &Ask { worker, tried: &[], pinned: None, now, hash: &|_| text })
        };
        (0..2 * TEXTS).for_each(|_| drop(pick()));
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
/// until [`IN_FLIGHT`] are there, and then dropped while no time is taken. The median of these batches: where the machine has
/// other work, a few of them are interrupted and begin again with empty caches. By the clock on the wall for the same
/// reason, and because asking for the CPU time of a thread takes as long as ten picks.
fn at_once<T, F: FnMut() -> T>(workers: usize, work: impl Fn(usize) -> F + Sync) -> f64 {
    let start = Barrier::new(workers);
    let times = thread::scope(|scope| {
        let (start, work) = (&start, &work);
        let spawned: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let mut call = work(worker);
                    let mut held = Vec::with_capacity(IN_FLIGHT as usize);
                    let mut batch = |_| {
                        held.clear();
                        let started = Instant::now();
                        (0..IN_FLIGHT).for_each(|_| held.push(black_box(call())));
                        started.elapsed().as_secs_f64() * 1e9 / f64::from(IN_FLIGHT)
                    };
                    (0..ROUNDS)
                        .flat_map(|_| {
                            start.wait();
                            (0..BATCHES).map(&mut batch).collect::<Vec<f64>>()
                        })
                        .collect::<Vec<f64>>()
                })
            })
            .collect();
        spawned.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    median(times)
}
