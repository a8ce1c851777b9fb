//! A service of ten endpoints in virtual time: requests come at random, wait for a free place, and take a random time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fairlead::ir::{self, Algorithm, PassiveCheck};
use fairlead::live::InFlight;
use fairlead::proxy::balance::{self, Ask, Span, Verdict};
use fairlead::table::BackendRef;

use crate::routing::fixture::World;

/// Mean time of a request at a sound endpoint, in milliseconds; exponential.
pub const MEAN_MS: f64 = 10.0;
/// Endpoints.
const ENDPOINTS: u8 = 10;
/// Requests that an endpoint works on at once; more wait for their turn.
const PLACES: usize = 16;
/// Requests a second, at random intervals.
const RATE: f64 = 1_000.0;
/// Clients, each with a text and an address of its own.
const CLIENTS: u64 = 5_000;
/// Seconds from which on latencies and errors count.
pub const FIRST: u64 = 10;
/// Seconds after which no more requests come.
pub const LAST: u64 = 60;

/// What is wrong with the first endpoint.
pub struct Scenario {
    /// So many times slower.
    pub slowdown: f64,
    /// Share of its requests that it answers with 503.
    pub failing: f64,
    /// Passive checks count 5xx.
    pub on_5xx: bool,
}

/// What clients saw from [`FIRST`] to [`LAST`].
pub struct Outcome {
    /// Milliseconds, of half of the requests at most.
    pub p50: f64,
    /// Milliseconds, of 99 % of the requests at most.
    pub p99: f64,
    /// Share of requests answered with 503, the mean of five runs.
    pub errors: f64,
    /// The same second by second from the start, in one run.
    pub errors_by_second: Vec<f64>,
}

struct Request {
    flight: InFlight,
    began: u64,
    fails: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Done(usize),
}

#[derive(Default)]
struct Station {
    /// Being worked on, with the time at which each is done.
    busy: Vec<(u64, Request)>,
    waiting: VecDeque<Request>,
}

/// One run, with the errors of four more. The same runs every time.
pub fn simulate(algorithm: &Algorithm, scenario: &Scenario) -> Outcome {
    let first = run(algorithm, scenario, 1);
    if scenario.failing == 0.0 {
        return first;
    }
    let others = (2..=5).map(|seed| run(algorithm, scenario, seed).errors);
    Outcome { errors: (first.errors + others.sum::<f64>()) / 5.0, ..first }
}

fn run(algorithm: &Algorithm, scenario: &Scenario, seed: u64) -> Outcome {
    fastrand::seed(seed);
    let world = World::new();
    let backend = backend(&world, algorithm, scenario.on_5xx);
    let epoch = epoch(&backend);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut stations: Vec<Station> = (0..ENDPOINTS).map(|_| Station::default()).collect();
    let mut events = BinaryHeap::from([Reverse((0, Event::Arrival))]);
    let (mut latencies, mut turn) = (Vec::new(), 0);
    let mut seconds = vec![(0_u32, 0_u32); LAST as usize];
    while let Some(Reverse((now, event))) = events.pop() {
        let at = epoch + Duration::from_nanos(now);
        let place = match event {
            Event::Arrival => {
                let next = now + exponential(&mut random, 1e9 / RATE);
                if next < LAST * SECOND {
                    events.push(Reverse((next, Event::Arrival)));
                }
                turn += 1;
                let client = hash(random.u64(..CLIENTS));
                let ask = Ask { worker: turn % 2, tried: &[], pinned: None, now: at, hash: &|_| Some(client) };
                let flight = balance::pick(&backend, &ask).unwrap();
                let place = place(flight.endpoint().address);
                let fails = place == 0 && random.f64() < scenario.failing;
                stations[place].waiting.push_back(Request { flight, began: now, fails });
                place
            }
            Event::Done(place) => {
                let busy = &mut stations[place].busy;
                let done = busy.iter().position(|(until, _)| *until == now).unwrap();
                let (_, mut request) = busy.swap_remove(done);
                judge(&backend, &mut request, epoch, at);
                let second = &mut seconds[(request.began / SECOND) as usize];
                second.0 += 1;
                second.1 += u32::from(request.fails);
                if request.began >= FIRST * SECOND {
                    latencies.push((now - request.began) as f64 / 1e6);
                }
                place
            }
        };
        let station = &mut stations[place];
        if station.busy.len() < PLACES
            && let Some(request) = station.waiting.pop_front()
        {
            let mean = if place == 0 { MEAN_MS * scenario.slowdown } else { MEAN_MS };
            // What fails, fails quickly: the worst case for whoever looks at load or latency.
            let mean = if request.fails { mean / 10.0 } else { mean };
            let until = now + 1 + exponential(&mut random, mean * 1e6);
            station.busy.push((until, request));
            events.push(Reverse((until, Event::Done(place))));
        }
    }
    assert_eq!(backend.live.in_flight(), 0);
    latencies.sort_by(f64::total_cmp);
    let counted = &seconds[FIRST as usize..];
    let sum = |which: fn(&(u32, u32)) -> u32| f64::from(counted.iter().map(which).sum::<u32>());
    Outcome {
        p50: latencies[latencies.len() / 2],
        p99: latencies[latencies.len() * 99 / 100],
        errors: sum(|second| second.1) / sum(|second| second.0),
        errors_by_second: seconds.iter().map(|(all, failed)| f64::from(*failed) / f64::from((*all).max(1))).collect(),
    }
}

/// A whole number of seconds after the clock of the backend began, to the nanosecond: what it rounds is then the same in every
/// run. Its endpoints were made before, however slow that was.
fn epoch(backend: &BackendRef) -> Instant {
    let now = Instant::now();
    let micros = backend.live.micros(now);
    let before = (0..1_000).filter_map(|nanos| now.checked_sub(Duration::from_nanos(nanos)));
    let whole = before.take_while(|at| backend.live.micros(*at) == micros).last().unwrap_or(now);
    whole - Duration::from_micros(micros) + Duration::from_secs(60)
}

const SECOND: u64 = 1_000_000_000;

fn backend(world: &World, algorithm: &Algorithm, on_5xx: bool) -> BackendRef {
    let addresses: Vec<String> = (0..ENDPOINTS).map(|number| format!("10.0.0.{number}:80")).collect();
    let endpoints: Vec<(&str, u16)> = addresses.iter().map(|address| (&**address, 1)).collect();
    let backend = world.backend(algorithm.clone(), &endpoints);
    let mut settings = ir::Backend::clone(&backend.settings);
    let balancing = std::sync::Arc::make_mut(&mut settings.balancing);
    balancing.passive = Some(PassiveCheck { on_5xx, ..PassiveCheck::default() });
    BackendRef { settings: std::sync::Arc::new(settings), live: backend.live, tls: None, canary: None }
}

fn judge(backend: &BackendRef, request: &mut Request, epoch: Instant, now: Instant) {
    let began = epoch + Duration::from_nanos(request.began);
    let span = Span { began, since: began, ended: now, is_measured: true };
    let verdict = Verdict::Answered(if request.fails { 503 } else { 200 });
    balance::judge(backend, &mut request.flight, verdict, &span);
}

fn place(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else { panic!("{address}") };
    usize::from(address.ip().octets()[3])
}

/// Nanoseconds, with this mean.
fn exponential(random: &mut fastrand::Rng, mean: f64) -> u64 {
    (-(1.0 - random.f64()).ln() * mean) as u64
}

fn hash(client: u64) -> u64 {
    let mut hash = fairlead::live::Fnv::default();
    hash.write(&client.to_be_bytes());
    hash.finish().unwrap()
}
