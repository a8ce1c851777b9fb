//! How the standing of an endpoint changes: by what became of requests, and by what checks say.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::standing::{self, ASIDE, EJECTED, FAILING, Fault, History, Run, Standing, TROUBLE, UNHEALTHY};
use super::{Backend, Endpoint, EndpointSet, InFlight, Transition};
use crate::ir::PassiveCheck;

/// Why an endpoint is back.
const SUCCESS: &str = "a request succeeded";

/// What is failing and stays in use is told no more often: whatever comes to itself between has nothing new to tell.
const QUIET: Duration = Duration::from_secs(10);

impl Backend {
    /// An attempt that began at `began` had a response head at `now`. `passive`: ejections count.
    pub fn succeeded(&self, flight: &mut InFlight, began: Instant, now: Instant, passive: bool) {
        let endpoint = flight.endpoint();
        if endpoint.failures.load(Ordering::Relaxed) != 0 {
            endpoint.failures.store(0, Ordering::Relaxed);
        }
        let bits = endpoint.standing.load(Ordering::Relaxed);
        if bits & EJECTED != 0 {
            self.try_return(endpoint, began, now, passive);
        } else if bits & FAILING != 0 {
            self.recovered(endpoint, began);
        }
        flight.end_probe();
    }

    /// An attempt that began at `began` failed at `now`.
    pub fn failed(&self, flight: &mut InFlight, fault: Fault, settings: &PassiveCheck, began: Instant, now: Instant) {
        let endpoint = flight.endpoint();
        if self.is_news(endpoint, began) {
            let history = endpoint.history();
            let add = |run| Some(Run(run).with(fault).0);
            let run = endpoint.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            let run = Run(run.unwrap_or_else(|run| run)).with(fault);
            let bits = endpoint.standing.load(Ordering::Relaxed);
            if bits & EJECTED != 0 {
                if self.micros(began) >= endpoint.until.load(Ordering::Relaxed) {
                    self.eject(endpoint, run, settings, began, now);
                }
            } else if run.count() >= most(settings, endpoint, history.as_deref(), now) {
                if self.may_eject(settings, now) {
                    self.eject(endpoint, run, settings, began, now);
                } else if bits & TROUBLE == 0 && !is_told(history.as_deref(), now) {
                    self.keep(endpoint, run, began, now);
                }
            }
        }
        flight.end_probe();
    }

    /// Whether what began at `began` says something about the endpoint as it is now. What is older than its last change does
    /// not: a hung endpoint fails the requests that it had, one after the other, for as long as their time-outs last, and its
    /// address may be another Pod's by then.
    pub fn is_news(&self, endpoint: &Endpoint, began: Instant) -> bool {
        endpoint.is_same_since(began, self.tenths(began))
    }

    /// Takes one more time to a response head into the mean of an endpoint.
    pub fn measured(&self, endpoint: &Endpoint, latency: Duration, now: Instant) {
        endpoint.measured(latency, self.millis(now));
    }

    /// An attempt at an endpoint failed after `latency`: whoever chooses by latency keeps away for a while.
    pub fn measured_failure(&self, endpoint: &Endpoint, latency: Duration, now: Instant) {
        endpoint.measured_failure(latency, self.millis(now));
    }

    /// A check of `endpoint` ended at `now`.
    pub fn checked(&self, endpoint: &Endpoint, now: Instant) {
        endpoint.checked.store(self.tenths(now), Ordering::Relaxed);
    }

    /// When `endpoint` was checked the last time.
    pub fn last_check(&self, endpoint: &Endpoint) -> Option<Instant> {
        let tenths = endpoint.checked.load(Ordering::Relaxed);
        (tenths != 0).then(|| self.at_tenths(tenths))
    }

    /// What checks have found: `is_healthy` takes the endpoint back into use, else it is set aside. Says whether that is
    /// a change.
    pub fn judge(&self, endpoint: &Arc<Endpoint>, is_healthy: bool, reason: Arc<str>, now: Instant) -> bool {
        let _changes = self.changes();
        let before = endpoint.standing.load(Ordering::Relaxed);
        if (before & UNHEALTHY == 0) == is_healthy {
            return false;
        }
        if is_healthy {
            endpoint.reborn(self.tenths(now));
        }
        let bits = if is_healthy { before & !UNHEALTHY } else { before | UNHEALTHY };
        let reason =
            if is_healthy && before & EJECTED != 0 { "checks succeed, requests failed".into() } else { reason };
        self.change(endpoint, bits & ASIDE, reason, now);
        true
    }

    /// Sets an endpoint aside, longer each time. Nothing happens if somebody else was quicker.
    fn eject(&self, endpoint: &Arc<Endpoint>, run: Run, settings: &PassiveCheck, began: Instant, now: Instant) {
        let _changes = self.changes();
        let before = endpoint.standing.load(Ordering::Relaxed);
        let history = endpoint.history();
        if !self.is_news(endpoint, began) || (before & EJECTED == 0 && !self.may_eject(settings, now)) {
            return;
        }
        let ejections = unforgiven(settings, before, history.as_deref(), now);
        let until = now + standing::ejection(settings.eject, ejections);
        endpoint.until.store(self.micros(until), Ordering::Relaxed);
        endpoint.failures.store(0, Ordering::Relaxed);
        let reason: Arc<str> = run.to_string().into();
        let failing = history.and_then(|history| history.failing.clone());
        let in_use = Duration::ZERO;
        let next = History { since: now, reason: Arc::clone(&reason), failing, ejections: ejections + 1, in_use };
        self.write(endpoint, before & ASIDE | EJECTED, next, reason);
    }

    /// Takes note that an endpoint is failing and stays in use.
    fn keep(&self, endpoint: &Arc<Endpoint>, run: Run, began: Instant, now: Instant) {
        let _changes = self.changes();
        let before = endpoint.standing.load(Ordering::Relaxed);
        let history = endpoint.history();
        if before & TROUBLE != 0 || is_told(history.as_deref(), now) || !self.is_news(endpoint, began) {
            return;
        }
        let history = history.map_or_else(
            || History {
                since: self.came(endpoint),
                reason: "".into(),
                failing: None,
                ejections: 0,
                in_use: Duration::ZERO,
            },
            |known| (*known).clone(),
        );
        let reason: Arc<str> = run.to_string().into();
        let failing = Some((now, Arc::clone(&reason)));
        self.write(endpoint, FAILING, History { failing, ..history }, reason);
    }

    /// An endpoint that was failing answers again, if it was asked since.
    fn recovered(&self, endpoint: &Arc<Endpoint>, began: Instant) {
        let _changes = self.changes();
        let before = endpoint.standing.load(Ordering::Relaxed);
        if let (true, Some(history)) = (before & FAILING != 0, endpoint.history())
            && history.failing.as_ref().is_none_or(|(since, _)| began >= *since)
        {
            self.write(endpoint, before & ASIDE, (*history).clone(), SUCCESS.into());
        }
    }

    /// Takes an endpoint back after its time, or at once where ejections no longer count.
    fn try_return(&self, endpoint: &Arc<Endpoint>, began: Instant, now: Instant, passive: bool) {
        let is_over = || !passive || self.micros(began) >= endpoint.until.load(Ordering::Relaxed);
        // First without the lock: while all have to serve, every success at an ejected endpoint comes here.
        if !is_over() {
            return;
        }
        let _changes = self.changes();
        let before = endpoint.standing.load(Ordering::Relaxed);
        if before & EJECTED != 0 && is_over() {
            endpoint.reborn(self.tenths(now));
            self.change(endpoint, before & ASIDE & !EJECTED, SUCCESS.into(), now);
        }
    }

    /// Makes `next` the endpoints. `others` are cells whose address another Pod has now; `returned` were away, and what
    /// was found then is out of date, but for an ejection, which has an end.
    pub(super) fn replace(&self, next: EndpointSet, others: &[Arc<Endpoint>], returned: &[Arc<Endpoint>]) {
        let _changes = self.changes();
        others.iter().for_each(|endpoint| Self::forget(endpoint));
        for endpoint in returned {
            let before = endpoint.standing.fetch_and(!(UNHEALTHY | FAILING), Ordering::Relaxed);
            if before & FAILING != 0 {
                endpoint.failures.store(0, Ordering::Relaxed);
            }
        }
        let next = next.settled().unwrap_or(next);
        next.count();
        self.endpoints.store(Arc::new(next));
    }

    /// Forgets that an endpoint failed. The caller holds the lock and makes a new set.
    fn forget(endpoint: &Endpoint) {
        endpoint.standing.fetch_and(!TROUBLE, Ordering::Relaxed);
        endpoint.checked.store(0, Ordering::Relaxed);
        endpoint.failures.store(0, Ordering::Relaxed);
        endpoint.latency.store(0, Ordering::Relaxed);
        endpoint.history.store(None);
    }

    /// Whether one more may be ejected.
    fn may_eject(&self, settings: &PassiveCheck, now: Instant) -> bool {
        let set = self.endpoints.load();
        // Those of other zones can do the work too; while they get no requests an ejection counts as long as it was meant to
        // last. What checks say is another matter: they may be wrong.
        let now = self.micros(now);
        let is_away = |other: &&Arc<Endpoint>| {
            other.standing.load(Ordering::Relaxed) & EJECTED != 0 && other.until.load(Ordering::Relaxed) > now
        };
        let ejected = set.aside(EJECTED) + set.elsewhere.iter().filter(is_away).count();
        standing::may_eject(set.ready().count(), ejected + 1, settings.max_ejected)
    }

    /// Gives an endpoint new bits at `now`; its ejections stay as they are. The caller holds the lock.
    fn change(&self, endpoint: &Arc<Endpoint>, bits: u32, reason: Arc<str>, now: Instant) {
        let before = endpoint.standing.load(Ordering::Relaxed);
        let known = endpoint.history();
        let (ejections, in_use) =
            known.as_ref().map_or((0, Duration::ZERO), |known| (known.ejections, known.in_use(before, now)));
        let failing = known.and_then(|known| known.failing.clone());
        self.write(
            endpoint,
            bits,
            History { since: now, reason: Arc::clone(&reason), failing, ejections, in_use },
            reason,
        );
    }

    /// Gives an endpoint new bits, keeps the count of the set exact, and tells of it. The caller holds the lock.
    fn write(&self, endpoint: &Arc<Endpoint>, bits: u32, history: History, reason: Arc<str>) {
        let before = endpoint.standing.load(Ordering::Relaxed);
        endpoint.history.store(Some(Arc::new(history)));
        // Another bit of the word belongs to the request that tries the endpoint.
        endpoint.standing.fetch_or(bits & TROUBLE, Ordering::Relaxed);
        endpoint.standing.fetch_and(bits | !TROUBLE, Ordering::Relaxed);
        let set = self.endpoints.load();
        if set.candidates.iter().any(|candidate| Arc::ptr_eq(candidate, endpoint)) {
            set.counted(endpoint, before, bits);
        }
        let mut zone = None;
        if let Some(next) = set.settled() {
            zone = Some(next.stays_in_zone());
            next.count();
            self.endpoints.store(Arc::new(next));
        }
        let set = self.endpoints.load();
        self.news.tell(Transition {
            backend: self.id.clone(),
            address: endpoint.address,
            from: Standing::of(before),
            to: Standing::of(bits),
            reason,
            in_use: set.candidates.len().saturating_sub(set.aside(ASIDE)),
            candidates: set.candidates.len(),
            stays_in_zone: zone,
        });
    }
}

/// Whether it was told a moment ago that an endpoint is failing and stays in use.
fn is_told(history: Option<&History>, now: Instant) -> bool {
    let told = history.and_then(|history| history.failing.as_ref());
    told.is_some_and(|(since, _)| now.saturating_duration_since(*since) < QUIET)
}

/// How many failures in a row eject an endpoint that is not ejected.
fn most(settings: &PassiveCheck, endpoint: &Endpoint, history: Option<&History>, now: Instant) -> u32 {
    let bits = endpoint.standing.load(Ordering::Relaxed);
    standing::most_failures(settings.consecutive, unforgiven(settings, bits, history, now))
}

/// Ejections of an endpoint with these bits that are not forgiven yet.
fn unforgiven(settings: &PassiveCheck, bits: u32, history: Option<&History>, now: Instant) -> u32 {
    history.map_or(0, |history| standing::forgiven(settings.eject, history.ejections, history.in_use(bits, now)))
}

#[cfg(test)]
mod tests;
