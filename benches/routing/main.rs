//! What routing costs: look-ups, picks, compile and build, memory. Each figure is a median, beside its goal; times are
//! CPU time of the thread, which does not depend on what else the machine does, but for picks.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a tool that reports on standard output, or stops")]

mod objects;
mod picks;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use fairlead::compile::{Compiler, compile};
use fairlead::settings::CompileOptions;
use fairlead::snapshot;
use fairlead::table::{Pin, RouteRef, RoutingTable, SharedTable};
use rustix::time::{ClockId, clock_gettime};

use self::objects::World;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut report = Report { missed: false };
    // First, while the process has used no memory for anything else.
    memory(&mut report);
    look_ups(&mut report);
    pins(&mut report);
    picks::picks(&mut report);
    builds(&mut report);
    if report.missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Figures beside their goals.
struct Report {
    missed: bool,
}

impl Report {
    fn at_most(&mut self, name: &str, value: f64, unit: &str, goal: f64) {
        let verdict = if value <= goal { "PASS" } else { "FAIL" };
        self.missed |= value > goal;
        println!("{verdict}  {name}: {value:.4} {unit} (at most {goal})");
    }

    fn note(&self, name: &str, value: f64, unit: &str) {
        println!("      {name}: {value:.4} {unit}");
    }
}

fn memory(report: &mut Report) {
    const INGRESSES: usize = 5_000;
    let start = resident();
    let world = World::new();
    let snapshot = objects::one_host_each(INGRESSES);
    let read = resident();
    let mut compiler = Compiler::default();
    let compiled = compiler.compile(&snapshot, &CompileOptions::default());
    let held = resident();
    for (id, set) in objects::endpoints(&snapshot, &compiled.config) {
        world.registry.set_endpoints(&id, &set);
    }
    let live = resident();
    let shared = SharedTable::new(Arc::new(world.build(&compiled.config, None)));
    let end = resident();
    report.at_most(&format!("memory at {INGRESSES} Ingresses with Services and endpoints"), end - start, "MB", 46.0);
    let parts =
        [("objects", read - start), ("compiled", held - read), ("live cells", live - held), ("table", end - live)];
    for (part, size) in parts {
        report.note(&format!("of that {part}"), size, "MB");
    }
    drop((snapshot, compiler, shared));
}

/// Megabytes (10^6 bytes) of the process in memory.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of every process");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024.0 / 1e6
}

const SIZES: [usize; 3] = [1, 1_000, 10_000];

fn look_ups(report: &mut Report) {
    type Objects = fn(usize) -> snapshot::Snapshot;
    type Request = fn(usize) -> (String, String);
    let cases: [(&str, Objects, Request); 2] = [
        ("hosts", objects::one_host_each, |number| (objects::host(number), "/cart/items".to_owned())),
        ("paths of one host", objects::one_path_each, |number| {
            ("a.example".to_owned(), objects::path(number) + "/items")
        }),
    ];
    for (name, objects, request) in cases {
        let tables = SIZES.map(|size| World::new().serve(&objects(size)));
        let last = SIZES.map(|size| request(size - 1));
        let first = request(0);
        let mut all: Vec<_> = SIZES.map(|_| Vec::new()).into();
        let mut firsts = Vec::new();
        // Sizes take turns, so that a noisy neighbour hits all alike.
        for _ in 0..ROUNDS {
            for ((table, request), times) in tables.iter().zip(&last).zip(&mut all) {
                times.push(nanoseconds(200_000, || find(table, request)));
            }
            firsts.extend(tables.last().map(|table| nanoseconds(200_000, || find(table, &first))));
        }
        let medians: Vec<f64> = all.into_iter().map(median).collect();
        let [one, .., many] = medians[..] else { return };
        for (size, time) in SIZES.iter().zip(&medians) {
            report.note(&format!("look-up of the last of {size} {name}"), *time, "ns");
        }
        report.at_most(&format!("last of 10000 {name} against a table of one"), many / one, "times", 1.2);
        report.at_most(&format!("last of 10000 {name} against the first"), many / median(firsts), "times", 1.2);
        let Some(table) = tables.last() else { return };
        let requests: Vec<_> = (0..10_000).map(|number| request(number * 7_919 % 10_000)).collect();
        let mut turn = requests.iter().cycle();
        let anywhere = (0..ROUNDS).map(|_| nanoseconds(200_000, || turn.next().and_then(|next| find(table, next))));
        report.note(&format!("look-up of any of 10000 {name}, caches cold"), median(anywhere.collect()), "ns");
    }
}

/// A look-up as a request makes it.
fn find(table: &RoutingTable, (host, path): &(String, String)) -> Option<RouteRef> {
    let found = table.find(black_box(host), black_box(path));
    black_box(found.map(|at| table.route(at).rule.implicit));
    found
}

fn pins(report: &mut Report) {
    let table = World::new().serve(&objects::one_host_each(1));
    let pin = Pin::new(Arc::new(SharedTable::new(table)));
    let times = (0..ROUNDS).map(|_| nanoseconds(500_000, || pin.table()));
    report.note("the current table for one request", median(times.collect()), "ns");
}

fn builds(report: &mut Report) {
    const INGRESSES: usize = 10_000;
    let options = CompileOptions::default();
    let mut snapshot = objects::one_host_each(INGRESSES);
    let (mut compiles, mut tables, mut endpoints) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        let world = World::new();
        let (compiled, time) = timed(|| compile(&snapshot, &options));
        compiles.push(time);
        let (sets, time) = timed(|| objects::endpoints(&snapshot, &compiled.config));
        let ((), stored) = timed(|| sets.iter().for_each(|(id, set)| world.registry.set_endpoints(id, set)));
        endpoints.push(time + stored);
        let (table, time) = timed(|| world.build(&compiled.config, None));
        tables.push(time);
        drop(table);
    }
    let (compiling, building, endpoints) = (median(compiles), median(tables), median(endpoints));
    let all = compiling + endpoints + building;
    report.at_most(&format!("first table at {INGRESSES} Ingresses, from nothing"), all, "ms", 1_000.0);
    for (part, time) in [("compile", compiling), ("endpoints", endpoints), ("build", building)] {
        report.note(&format!("of that {part}"), time, "ms");
    }

    let world = World::new();
    let mut compiler = Compiler::default();
    let compiled = compiler.compile(&snapshot, &options);
    let shared = SharedTable::new(Arc::new(world.build(&compiled.config, None)));
    let (mut compiles, mut tables, mut frees) = (Vec::new(), Vec::new(), Vec::new());
    for version in 0..25 {
        let changed = objects::changed(INGRESSES / 2, version);
        snapshot.ingresses.extend(changed.ingresses);
        let (compiled, time) = timed(|| compiler.compile(&snapshot, &options));
        compiles.push(time);
        let ((), time) = timed(|| shared.publish(Arc::new(world.build(&compiled.config, Some(&shared.load())))));
        tables.push(time);
        drop(compiled);
        frees.push(timed(|| shared.sweep()).1);
    }
    let (compiling, building) = (median(compiles), median(tables));
    report.at_most(&format!("one changed Ingress among {INGRESSES}, served"), compiling + building, "ms", 10.0);
    for (part, time) in [("compile", compiling), ("build and publish", building)] {
        report.note(&format!("of that {part}"), time, "ms");
    }
    report.note("the table before freed, on the control thread", median(frees), "ms");
}

const ROUNDS: usize = 11;

/// The nanoseconds of one call, of `calls` in a row.
fn nanoseconds<T>(calls: u32, mut call: impl FnMut() -> T) -> f64 {
    let started = cpu_time();
    for _ in 0..calls {
        black_box(call());
    }
    (cpu_time() - started) * 1e9 / f64::from(calls)
}

/// What `work` gives, and the milliseconds it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = cpu_time();
    let result = work();
    (result, (cpu_time() - started) * 1e3)
}

/// Seconds for which the thread has run.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
