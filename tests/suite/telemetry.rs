//! Counting and logging as a whole: bounded, documented, and never in the way of a request.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fairlead::settings::{Limit, LogFormat};
use fairlead::telemetry::exposition::{Exposition, Page};
use fairlead::telemetry::{AccessLog, Failure, Metrics, Record};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_counter_never_goes_backwards_while_workers_count_and_handles_come_and_go() {
    const WORKERS: usize = 4;
    const EACH: u64 = 20_000;
    let metrics = Metrics::new(WORKERS, true);
    let kept = metrics.route("n", "i", "s");
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let metrics = &metrics;
                scope.spawn(move || {
                    for _ in 0..EACH {
                        metrics.route("n", "i", "s").record(worker, 200, Duration::from_millis(1));
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut last = 0;
            while running.load(Ordering::Relaxed) {
                let now = requests(&metrics);
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        running.store(false, Ordering::Relaxed);
        reader.join().unwrap();
    });
    drop(kept);
    assert_eq!(requests(&metrics), 0, "forgotten with the last handle");
}

#[test]
fn no_count_is_lost_when_each_worker_writes_its_own_cells() {
    const WORKERS: usize = 4;
    const EACH: u64 = 50_000;
    let metrics = Metrics::new(WORKERS, true);
    let route = metrics.route("n", "i", "s");
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let route = route.clone();
            scope.spawn(move || (0..EACH).for_each(|_| route.record(worker, 200, Duration::ZERO)));
        }
    });
    assert_eq!(requests(&metrics), WORKERS as u64 * EACH);
}

#[test]
fn series_of_n_routes_stay_within_the_stated_bound() {
    const ROUTES: usize = 1_000;
    let metrics = Metrics::new(2, true);
    let routes: Vec<_> = (0..ROUTES).map(|n| metrics.route("n", format!("i{n}"), format!("s{}", n % 10))).collect();
    for route in &routes {
        for (status, millis) in [(101, 1), (200, 10), (301, 50), (404, 200), (503, 700), (200, 2_000), (200, 9_000)] {
            route.record(0, status, Duration::from_millis(millis));
            route.record(1, status, Duration::from_millis(millis));
            route.retry(0);
        }
    }
    let mut page = Page::new(Exposition::Text);
    metrics.write(&mut page, 0);
    let bound = 14 * ROUTES + 10 + 250;
    assert!(page.series() > 14 * ROUTES && page.series() <= bound, "{}", page.series());
    drop(routes);
    let mut page = Page::new(Exposition::Text);
    metrics.write(&mut page, 0);
    assert!(page.series() < 250, "{}", page.series());
}

#[test]
fn every_family_and_every_reason_stands_in_the_page_about_metrics() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let metrics = Metrics::new(1, true);
    let route = metrics.route("n", "i", "s");
    route.record(0, 200, Duration::ZERO);
    route.retry(0);
    let worker = metrics.worker(0);
    worker.failure(Failure::Internal);
    worker.limit_hit(Limit::head);
    worker.opened(false);
    worker.handshake("TLSv1.3", false, true);
    metrics.applied(1, Duration::ZERO);
    let mut page = Page::new(Exposition::Text);
    metrics.write(&mut page, 0);
    let page = page.finish();
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let reasons = Failure::ALL.iter().map(|reason| reason.as_str());
    let missing: Vec<_> = families.chain(reasons).filter(|name| !document.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/metrics.md: {missing:?}");
}

#[test]
fn a_pipe_that_nobody_reads_delays_no_worker_and_every_line_is_written_or_counted() {
    const LINES: u64 = 100_000;
    let (mut reader, writer) = io::pipe().unwrap();
    let dropped = Arc::new(AtomicU64::new(0));
    let log = AccessLog::start(writer, LogFormat::Text, Arc::clone(&dropped)).unwrap();
    let mut worker = log.writer();
    let began = Instant::now();
    for _ in 0..LINES {
        worker.write(&record());
    }
    worker.flush();
    assert!(began.elapsed() < PATIENCE);
    let lost = dropped.load(Ordering::Relaxed);
    assert!(lost > 0, "the pipe and the queue cannot hold {LINES} lines");
    assert!(!log.settle(Duration::from_millis(1)), "nobody reads");

    drop(worker);
    let read = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    assert!(log.settle(PATIENCE));
    drop(log);
    let text = read.join().unwrap().unwrap();
    assert!(text.lines().all(|line| line.ends_with(ID)), "no line is cut");
    assert_eq!(text.lines().count() as u64 + lost, LINES);
}

#[test]
fn a_reader_that_goes_away_costs_lines_and_nothing_else() {
    const LINES: u64 = 1_000;
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let dropped = Arc::new(AtomicU64::new(0));
    let log = AccessLog::start(writer, LogFormat::Json, Arc::clone(&dropped)).unwrap();
    let mut worker = log.writer();
    for _ in 0..LINES {
        worker.write(&record());
    }
    worker.flush();
    assert!(log.settle(PATIENCE));
    assert_eq!(dropped.load(Ordering::Relaxed), LINES);
}

const ID: &str = "0123456789abcdef0123456789abcdef";

fn record() -> Record<'static> {
    Record {
        time: 0,
        request_id: ID.as_bytes(),
        client: "10.0.0.1",
        user: None,
        method: "GET",
        scheme: "http",
        host: b"a.example",
        target: b"/",
        protocol: "HTTP/1.1",
        status: 200,
        failure: None,
        is_cut: false,
        bytes_in: 1,
        bytes_out: 2,
        elapsed: Duration::ZERO,
        route: Some(("n", "i", "s", "80")),
        upstream_name: Some("n-s-80"),
        alternative: None,
        attempts: &[],
        tls: None,
        sni: None,
        referer: None,
        user_agent: None,
    }
}

fn requests(metrics: &Metrics) -> u64 {
    let mut page = Page::new(Exposition::Text);
    metrics.write(&mut page, 0);
    let page = page.finish();
    let line = page.lines().find(|line| line.starts_with("fairlead_requests_total"));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}
