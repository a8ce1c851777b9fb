//! The addresses of a backend: what a pick chooses from, and the counters that outlast every change of settings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;

use crate::ir;

/// The endpoints of one moment.
#[derive(Default)]
pub struct EndpointSet {
    /// Those that get new requests.
    pub candidates: Box<[Arc<Endpoint>]>,
    /// Those that get nothing new: terminating, still serving.
    pub draining: Box<[Arc<Endpoint>]>,
    /// Round robin with unequal weights: places in `candidates`, in the order of the turns. Empty when all weigh the same.
    pub turns: Box<[u32]>,
}

impl EndpointSet {
    /// The set that `endpoints` describe, each with the cell that `cell` gives for it. Draining ones are candidates when
    /// there is nothing else (kube-proxy's rule).
    pub(super) fn new(endpoints: &[ir::Endpoint], mut cell: impl FnMut(&ir::Endpoint) -> Arc<Endpoint>) -> EndpointSet {
        let all_drain = endpoints.iter().all(|endpoint| endpoint.draining);
        let (mut candidates, mut draining, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for endpoint in endpoints {
            if endpoint.draining && !all_drain {
                draining.push(cell(endpoint));
            } else {
                candidates.push(cell(endpoint));
                weights.push(u32::from(endpoint.weight.max(1)));
            }
        }
        EndpointSet { candidates: candidates.into(), draining: draining.into(), turns: turns(&weights) }
    }

    /// Candidates, then draining ones.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.candidates.iter().chain(&self.draining)
    }
}

/// One address of a backend, with the counters that outlast every change of settings. One cache line each.
#[repr(align(64))]
pub struct Endpoint {
    /// Requests in flight, over all workers.
    pub in_flight: AtomicU32,
    /// Relative weight, 1 to 1000.
    pub weight: AtomicU32,
    /// Address and port.
    pub address: SocketAddr,
    /// The address printed, for logs.
    pub text: Box<str>,
    pod: ArcSwapOption<Arc<str>>,
}

const _: () = assert!(size_of::<Endpoint>() == 64, "an endpoint is one cache line");

impl Endpoint {
    /// An endpoint that nobody uses yet.
    pub(super) fn new(endpoint: &ir::Endpoint) -> Endpoint {
        Endpoint {
            in_flight: AtomicU32::new(0),
            weight: AtomicU32::new(u32::from(endpoint.weight.max(1))),
            address: endpoint.address,
            text: endpoint.address.to_string().into(),
            pod: ArcSwapOption::new(endpoint.pod.clone().map(Arc::new)),
        }
    }

    /// Takes over the weight and the Pod of `endpoint`, which has the same address.
    pub(super) fn update(&self, endpoint: &ir::Endpoint) {
        self.weight.store(u32::from(endpoint.weight.max(1)), Ordering::Relaxed);
        if self.pod() != endpoint.pod {
            self.pod.store(endpoint.pod.clone().map(Arc::new));
        }
    }

    /// Name of the Pod.
    pub fn pod(&self) -> Option<Arc<str>> {
        self.pod.load().as_deref().map(Arc::clone)
    }

    /// Counts a request in; it counts until the guard is dropped. The guard takes the reference that a pick gave: all
    /// workers share its count, so one more would cost as much as the request's own.
    pub fn begin(self: Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { endpoint: self }
    }
}

/// One request in flight at an endpoint.
pub struct InFlight {
    endpoint: Arc<Endpoint>,
}

impl InFlight {
    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Turns that are laid out for weights which have no small common measure.
const MOST_TURNS: u64 = 32_768;

/// The turns of smooth weighted round robin: each place as often as its weight says, at even distances. Exact after
/// division by the common divisor; weights whose sum is out of bounds are scaled down, to at least 1.
fn turns(weights: &[u32]) -> Box<[u32]> {
    let divisor = weights.iter().fold(0, |divisor, &weight| common_divisor(divisor, weight));
    if weights.iter().all(|&weight| weight == divisor) {
        return Box::default();
    }
    let mut weights: Vec<u64> = weights.iter().map(|&weight| u64::from(weight / divisor)).collect();
    let sum: u64 = weights.iter().sum();
    if sum > MOST_TURNS {
        let count = weights.len() as u64;
        let share = MOST_TURNS.saturating_sub(count).max(count);
        weights.iter_mut().for_each(|weight| *weight = 1 + *weight * share / sum);
    }
    let mut turns: Vec<(u64, u32)> = Vec::new();
    for (place, &weight) in (0..).zip(&weights) {
        // One round lasts 2^32. Multiples of the golden ratio as first turns keep places of equal weight apart.
        let first = u64::from(GOLDEN.wrapping_mul(place + 1));
        turns.extend((0..weight).map(|turn| (((turn << 32) + first) / weight, place)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, place)| place).collect()
}

/// 2^32 divided by the golden ratio.
const GOLDEN: u32 = 0x9e37_79b9;

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_exact_and_even() {
        let cases: &[&[u32]] = &[&[5, 1, 1], &[3, 1], &[2, 2, 1], &[1000, 999], &[300, 200, 100], &[1, 1000]];
        for weights in cases {
            let turns = turns(weights);
            let sum = turns.len() as u32;
            for (place, &weight) in (0..).zip(*weights) {
                let taken: Vec<usize> = (0..turns.len()).filter(|&turn| turns[turn] == place).collect();
                assert_eq!(taken.len() as u32 * weights.iter().sum::<u32>(), weight * sum, "{weights:?} place {place}");
                let even = turns.len() as f64 / taken.len() as f64;
                for pair in taken.windows(2) {
                    let distance = (pair[1] - pair[0]) as f64;
                    assert!(
                        (distance - even).abs() < weights.len() as f64,
                        "{weights:?} place {place}: {distance} for {even}"
                    );
                }
            }
        }
        assert_eq!(&*turns(&[300, 200, 100]), &*turns(&[3, 2, 1]), "the common divisor is taken out");
    }

    #[test]
    fn equal_weights_need_no_turns() {
        assert!(turns(&[]).is_empty());
        assert!(turns(&[7]).is_empty());
        assert!(turns(&[7, 7, 7]).is_empty());
    }

    #[test]
    fn turns_are_bounded_for_any_weights() {
        for count in [100, 5_000, 40_000] {
            let weights: Vec<u32> = (0..count).map(|place| 1 + place * 7_919 % 1_000).collect();
            let turns = turns(&weights);
            assert!(turns.len() <= MOST_TURNS.max(2 * u64::from(count)) as usize);
            assert!((0..count).collect::<std::collections::BTreeSet<_>>() == turns.iter().copied().collect());
        }
    }
}
