//! Counts, latencies and the CPU time of the process under load.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::Until;

/// Latencies above this many microseconds count as this many.
const MAX_LATENCY: usize = 1_000_000;

/// Shared by every client of one run.
#[derive(Clone)]
pub(crate) struct Tally(Rc<RefCell<Counts>>);

struct Counts {
    until: Until,
    started: Instant,
    sent: u64,
    requests: u64,
    errors: u64,
    /// Of the bodies of all answers, as they came.
    octets: u64,
    /// Requests by latency in microseconds.
    latencies: Vec<u32>,
}

impl Tally {
    pub(crate) fn new(until: Until) -> Tally {
        let latencies = vec![0; MAX_LATENCY + 1];
        Tally(Rc::new(RefCell::new(Counts {
            until,
            started: Instant::now(),
            sent: 0,
            requests: 0,
            errors: 0,
            octets: 0,
            latencies,
        })))
    }

    /// Whether one more request may be sent; counts it as sent.
    pub(crate) fn may_send(&self) -> bool {
        let mut counts = self.0.borrow_mut();
        let may = match counts.until {
            Until::Elapsed(time) => counts.started.elapsed() < time,
            Until::Requests(most) => counts.sent < most,
            Until::Idle => true,
        };
        counts.sent += u64::from(may);
        may
    }

    /// When the last one that may be sent is due, at so many a second.
    pub(crate) fn due(&self, rate: f64) -> Instant {
        let counts = self.0.borrow();
        counts.started + Duration::from_secs_f64(counts.sent as f64 / rate)
    }

    /// Counts an answer with status 200 as a request, any other as an error.
    pub(crate) fn answered(&self, status: u16, latency: Duration, octets: usize) {
        self.0.borrow_mut().octets += octets as u64;
        if status == 200 { self.took(latency) } else { self.broke() }
    }

    /// Counts what took so long.
    pub(crate) fn took(&self, latency: Duration) {
        let mut counts = self.0.borrow_mut();
        counts.requests += 1;
        let bucket = usize::try_from(latency.as_micros()).unwrap_or(MAX_LATENCY).min(MAX_LATENCY);
        if let Some(count) = counts.latencies.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Counts a connection or a request that broke.
    pub(crate) fn broke(&self) {
        self.0.borrow_mut().errors += 1;
    }

    pub(crate) fn requests(&self) -> u64 {
        self.0.borrow().requests
    }

    pub(crate) fn errors(&self) -> u64 {
        self.0.borrow().errors
    }

    /// Microseconds that this share took at most.
    pub(crate) fn quantile(&self, share: f64) -> usize {
        self.0.borrow().quantile(share)
    }

    /// One JSON object; times in microseconds, `cpu_us` for each request.
    pub(crate) fn report(&self, elapsed: Duration, cpu: Duration) -> serde_json::Value {
        let counts = self.0.borrow();
        let cpu_us = cpu.as_secs_f64() * 1e6 / counts.requests.max(1) as f64;
        serde_json::json!({
            "requests": counts.requests,
            "errors": counts.errors,
            "octets": counts.octets,
            "seconds": elapsed.as_secs_f64(),
            "p50_us": counts.quantile(0.50),
            "p99_us": counts.quantile(0.99),
            "cpu_us": cpu_us,
        })
    }
}

impl Counts {
    fn quantile(&self, share: f64) -> usize {
        let wanted = self.requests as f64 * share;
        let mut below = 0.0;
        self.latencies
            .iter()
            .position(|count| {
                below += f64::from(*count);
                below >= wanted
            })
            .unwrap_or(MAX_LATENCY)
    }
}

/// CPU time that all threads of the processes have used so far, from the first field of `/proc/PID/task/TID/schedstat`.
pub(crate) fn cpu_time(pids: &[u32]) -> anyhow::Result<Duration> {
    let mut nanoseconds = 0;
    for pid in pids {
        let tasks = format!("/proc/{pid}/task");
        for task in std::fs::read_dir(&tasks).with_context(|| tasks.clone())? {
            // A thread may end between the listing and the reading.
            let Ok(line) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanoseconds += line.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}
