//! One backend's endpoints with their counters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::ir;

/// A backend as long as anything refers to it.
pub struct Backend {
    /// Identity.
    pub id: ir::BackendId,
    /// Present endpoints; replaced whole.
    pub endpoints: ArcSwap<EndpointSet>,
    /// How many retries it may still get.
    pub retries: RetryBudget,
}

/// The endpoints of one moment.
pub struct EndpointSet {
    /// Those that get new requests.
    pub candidates: Box<[Arc<Endpoint>]>,
    /// Those that get nothing new: terminating, still serving.
    pub draining: Box<[Arc<Endpoint>]>,
}

/// One address of a backend, with the counters that outlast every change of settings. One cache line each.
#[repr(align(64))]
pub struct Endpoint {
    /// Requests in flight, over all workers.
    pub in_flight: AtomicU32,
    /// Address and port.
    pub address: SocketAddr,
    /// The address printed, for logs.
    pub text: Box<str>,
    /// Name of the Pod.
    pub pod: Option<Arc<str>>,
    /// Relative weight, 1 to 1000.
    pub weight: AtomicU32,
}

impl Endpoint {
    /// Counts a request in; it counts until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { endpoint: Arc::clone(self) }
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

/// Retries allowed: 20 % of the requests of the last 10 s, at least 3 a second.
pub struct RetryBudget {}

impl RetryBudget {
    /// Counts a request.
    pub fn request(&self, now: Instant) {
        let _ = now;
        unimplemented!()
    }

    /// Takes one retry out of the budget, if there is one.
    pub fn try_retry(&self, now: Instant) -> bool {
        let _ = now;
        unimplemented!()
    }
}
