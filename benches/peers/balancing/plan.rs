//! What is asked, when, and how much work it is: drawn before the run, so that two proxies get the very same requests and
//! differ in nothing but where they send them.

use std::time::Duration;

/// One request.
#[derive(Clone, Copy)]
pub(super) struct Job {
    /// When it is sent, since the start.
    pub(super) at: Duration,
    /// Which client asks.
    pub(super) client: u64,
    /// Its service time in parts of the mean; exponential.
    pub(super) work: f64,
    /// From 0 to 1: an endpoint fails it if this is below the share that it fails.
    pub(super) luck: f64,
}

/// Requests at random intervals, `rate` a second for so long, each of one of `clients`.
pub(super) fn plan(seed: u64, rate: f64, length: Duration, clients: u64) -> Vec<Job> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = 0.0;
    let mut jobs = Vec::new();
    loop {
        at += exponential(&mut random) / rate;
        if at >= length.as_secs_f64() {
            return jobs;
        }
        jobs.push(Job {
            at: Duration::from_secs_f64(at),
            client: random.u64(..clients),
            work: exponential(&mut random),
            luck: random.f64(),
        });
    }
}

/// With mean 1.
fn exponential(random: &mut fastrand::Rng) -> f64 {
    -(1.0 - random.f64()).ln()
}
