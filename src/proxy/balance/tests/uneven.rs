//! Endpoints of very different weights, and many that are set aside at once.

use super::*;

/// Shares with `kept` requests in flight at any time.
fn shares(backend: &BackendRef, kept: usize) -> Vec<f64> {
    let mut flights = std::collections::VecDeque::new();
    let mut counts = vec![0; backend.live.endpoints.load().candidates.len()];
    for _ in 0..50_000 {
        let flight = pick_on(backend, 0, &[]).unwrap();
        counts[place(&flight)] += 1;
        flights.push_back(flight);
        if flights.len() > kept {
            flights.pop_front();
        }
    }
    counts.into_iter().map(|count| f64::from(count) / 5e4).collect()
}

#[test]
fn an_idle_light_endpoint_does_not_draw_what_is_due_to_a_heavy_one() {
    fastrand::seed(11);
    for algorithm in [RandomTwo, Ewma] {
        for (weights, kept) in [([100, 1], 5), ([100, 1], 0), ([10, 1], 3), ([1, 1], 4)] {
            let world = World::new();
            let backend = backend(&world, &algorithm, &weights);
            for endpoint in &backend.live.endpoints.load().candidates {
                backend.live.measured(endpoint, Duration::from_millis(5), Instant::now());
            }
            let share = shares(&backend, kept)[1];
            let due = f64::from(weights[1]) / f64::from(weights[0] + weights[1]);
            assert!((share - due).abs() < 0.02, "{} {weights:?}, {kept} in flight: {share:.3}", algorithm.as_str());
        }
    }
}

#[test]
fn the_endpoint_after_a_row_that_is_set_aside_gets_no_more_than_others() {
    fastrand::seed(12);
    for algorithm in [RoundRobin, LeastConn] {
        let world = World::new();
        let backend = set_aside(&many(&world, &algorithm, 1_000), 300..700);
        let shares = shares(&backend, 0);
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert!(most < 2.0 / 600.0, "{}: {most}", algorithm.as_str());
        assert!(shares[300..700].iter().all(|share| *share == 0.0));
    }
}

#[test]
fn who_fails_quickly_is_not_quick() {
    fastrand::seed(13);
    let world = World::new();
    let backend = many(&world, &Ewma, 3);
    let mut now = Instant::now();
    let mut failed = 0;
    for _ in 0..10_000 {
        now += Duration::from_millis(10);
        let ask = Ask { worker: 0, tried: &[], pinned: None, now, hash: &|_| None };
        let mut flight = pick(&backend, &ask).unwrap();
        let is_bad = place(&flight) == 0;
        failed += u32::from(is_bad);
        let (took, status) = if is_bad { (1, 503) } else { (20, 200) };
        let span = Span { began: now, since: now, ended: now + Duration::from_millis(took), is_measured: true };
        judge(&backend, &mut flight, Verdict::Answered(status), &span);
    }
    assert!(failed < 500, "{failed} of 10000 went to the endpoint that only fails");
}
