//! What an attempt says about its endpoint, and what follows.

use std::time::{Duration, Instant};

use crate::ir::Algorithm;
use crate::live::{Fault, InFlight};
use crate::table::BackendRef;

/// What became of an attempt, as far as it says something about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A response head with this status.
    Answered(u16),
    /// It failed.
    Failed(Fault),
    /// The client went away, or the cause is elsewhere.
    Nothing,
}

impl Verdict {
    /// A response head with this status, or with what it says of a call of gRPC, as the status of HTTP that stands for it.
    /// The other codes, those of quotas and of methods that are not there among them, say something about the call.
    pub fn answered(status: u16, grpc_status: Option<&[u8]>) -> Verdict {
        Verdict::Answered(match (status, grpc_status) {
            // UNAVAILABLE.
            (200, Some(b"14")) => 503,
            // DEADLINE_EXCEEDED.
            (200, Some(b"4")) => 504,
            // UNKNOWN, INTERNAL, DATA_LOSS.
            (200, Some(b"2" | b"13" | b"15")) => 500,
            (status, _) => status,
        })
    }
}

/// When an attempt was made.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// When the endpoint was picked.
    pub began: Instant,
    /// From when on the endpoint was waited for, and not the client.
    pub since: Instant,
    /// When the verdict was there.
    pub ended: Instant,
    /// The time in between was the endpoint's alone, and somebody wants to know it.
    pub is_measured: bool,
}

/// Answers that took less are not asked whether they are out of date: they say little that is wrong.
const LONG: Duration = Duration::from_secs(1);

/// Tells the endpoint's standing, and the mean of its latency, what became of an attempt at it.
pub fn judge(backend: &BackendRef, in_flight: &mut InFlight, verdict: Verdict, span: &Span) {
    let (live, balancing) = (&*backend.live, &*backend.settings.balancing);
    let (passive, &Span { began, since, ended, is_measured }) = (balancing.passive.as_ref(), span);
    let fault = match verdict {
        Verdict::Answered(..500) => {
            // What took long may be older than the last change of its endpoint.
            let counts = is_measured && (ended - began < LONG || live.is_news(in_flight.endpoint(), began));
            // As it is for most: nothing to take back.
            if !in_flight.endpoint().is_spotless() {
                live.succeeded(in_flight, began, ended, passive.is_some());
            }
            if counts {
                live.measured(in_flight.endpoint(), ended - since, ended);
            }
            return;
        }
        Verdict::Answered(_) => passive.filter(|passive| passive.on_5xx).map(|_| Fault::Status),
        Verdict::Failed(fault) => Some(fault),
        Verdict::Nothing => return,
    };
    if live.is_news(in_flight.endpoint(), began) {
        // Whoever goes by latency would take what fails quickly for quick.
        if balancing.algorithm == Algorithm::Ewma {
            live.measured_failure(in_flight.endpoint(), ended - since, ended);
        } else if fault == Some(Fault::Timeout) {
            live.measured(in_flight.endpoint(), ended - since, ended);
        }
    }
    match (fault, passive) {
        (Some(fault), Some(passive)) => live.failed(in_flight, fault, passive, began, ended),
        (None, _) => live.succeeded(in_flight, began, ended, passive.is_some()),
        (Some(_), None) => {}
    }
}
