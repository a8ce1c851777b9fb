//! Every check there is: which endpoints have one, whose turn it is, and what becomes of the answers.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Checked;
use super::course::Course;
use super::probe::Failure;
use crate::ir::{ActiveCheck, BackendId};
use crate::live::{Backend, Endpoint, EndpointSet, Pod, TlsIdentity};

/// The checks of all backends.
pub(super) struct Roll {
    backends: HashMap<BackendId, Followed, foldhash::fast::RandomState>,
    entries: HashMap<Ticket, Entry, foldhash::fast::RandomState>,
    /// Those that are not under way.
    due: BTreeSet<(Instant, Ticket)>,
    next: u64,
    random: fastrand::Rng,
}

/// Names the check of one endpoint as long as it is the same check of the same endpoint. What began under a ticket that
/// is gone ends without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// A check to be made now.
pub(super) struct Task {
    /// To be given back with the answer.
    pub(super) ticket: Ticket,
    /// Where.
    pub(super) address: SocketAddr,
    /// What is asked.
    pub(super) check: Arc<ActiveCheck>,
    /// Who we are, over TLS.
    pub(super) identity: Option<Arc<TlsIdentity>>,
    /// Held until the answer is there.
    pub(super) place: Place,
}

/// One of the places that each backend has for checks under way.
pub(super) type Place = Arc<()>;

/// Checks of one backend under way at a time: those that hang must not take the places of all others.
const MOST_OF_ONE: usize = 32;

/// How long a check waits at least when its backend has no place left.
const LEAST_WAIT: Duration = Duration::from_millis(50);

/// A backend with a check.
struct Followed {
    backend: Arc<Backend>,
    check: Arc<ActiveCheck>,
    identity: Option<Arc<TlsIdentity>>,
    /// The endpoints that were last looked at.
    set: Arc<EndpointSet>,
    tickets: HashMap<SocketAddr, Ticket, foldhash::fast::RandomState>,
    /// Every check under way holds it too.
    place: Place,
}

struct Entry {
    backend: Arc<Backend>,
    endpoint: Arc<Endpoint>,
    /// Who had the address at the last look: another Pod there is another endpoint.
    pod: Arc<Pod>,
    check: Arc<ActiveCheck>,
    course: Course,
}

impl Roll {
    /// No checks.
    pub(super) fn new(random: fastrand::Rng) -> Roll {
        Roll { backends: HashMap::default(), entries: HashMap::default(), due: BTreeSet::new(), next: 0, random }
    }

    /// Checks these backends from now on. Where the check is the same as before it goes on, where it is another one it
    /// begins anew: until the first answer the endpoints stand as the old one left them. Where there is none any more, what
    /// it said is taken back. Another identity restarts nothing: it is shown from the next check on.
    pub(super) fn follow(&mut self, list: &[Checked], now: Instant) {
        let mut before = std::mem::take(&mut self.backends);
        for Checked { backend, check, identity } in list {
            let known = before.remove(&backend.id).filter(|known| Arc::ptr_eq(&known.backend, backend));
            let followed = match known {
                Some(known) if known.check == *check => Followed { identity: identity.clone(), ..known },
                other => {
                    other.iter().for_each(|other| self.forget(other));
                    Followed {
                        backend: Arc::clone(backend),
                        check: Arc::clone(check),
                        identity: identity.clone(),
                        set: Arc::default(),
                        tickets: HashMap::default(),
                        place: Arc::default(),
                    }
                }
            };
            self.backends.insert(backend.id.clone(), followed);
        }
        for left in before.values() {
            for endpoint in left.backend.endpoints.load().iter() {
                left.backend.judge(endpoint, true, "not checked any more".into(), now);
            }
            self.forget(left);
        }
        self.look(now);
    }

    /// Begins the checks of endpoints that came since the last look, and ends those of endpoints that left or drain.
    pub(super) fn look(&mut self, now: Instant) {
        let Roll { backends, entries, due, next, random } = self;
        for followed in backends.values_mut() {
            let set = followed.backend.endpoints.load_full();
            if Arc::ptr_eq(&followed.set, &set) {
                continue;
            }
            let mut before = std::mem::take(&mut followed.tickets);
            for endpoint in set.ready() {
                let pod = endpoint.who();
                let known = before.get(&endpoint.address).copied().and_then(|ticket| {
                    let entry = entries.get_mut(&ticket)?;
                    (Arc::ptr_eq(&entry.endpoint, endpoint) && !entry.pod.is_other(&pod)).then_some((ticket, entry))
                });
                let ticket = match known {
                    Some((ticket, entry)) => {
                        entry.pod = pod;
                        before.remove(&endpoint.address);
                        ticket
                    }
                    None => {
                        *next += 1;
                        let ticket = Ticket(*next);
                        let course = Course::new(now, random.f64());
                        due.insert((course.due(), ticket));
                        let (backend, check) = (Arc::clone(&followed.backend), Arc::clone(&followed.check));
                        entries.insert(ticket, Entry { backend, endpoint: Arc::clone(endpoint), pod, check, course });
                        ticket
                    }
                };
                followed.tickets.insert(endpoint.address, ticket);
            }
            for ticket in before.into_values() {
                if let Some(entry) = entries.remove(&ticket) {
                    due.remove(&(entry.course.due(), ticket));
                }
            }
            followed.set = set;
        }
    }

    /// When the next check is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    /// The check that is due for the longest time, of a backend that has a place left. It is under way until it is given
    /// back.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Task> {
        loop {
            let &(at, ticket) = self.due.first().filter(|(at, _)| *at <= now)?;
            self.due.remove(&(at, ticket));
            let Some(entry) = self.entries.get_mut(&ticket) else { continue };
            let Some(Followed { identity, place, .. }) = self.backends.get(&entry.backend.id) else { continue };
            if Arc::strong_count(place) > MOST_OF_ONE {
                entry.course.wait(now + (entry.check.timeout / 8).max(LEAST_WAIT));
                self.due.insert((entry.course.due(), ticket));
                continue;
            }
            let port = entry.check.port.unwrap_or_else(|| entry.endpoint.address.port());
            let address = SocketAddr::new(entry.endpoint.address.ip(), port);
            let (check, identity, place) = (Arc::clone(&entry.check), identity.clone(), Arc::clone(place));
            return Some(Task { ticket, address, check, identity, place });
        }
    }

    /// The check that began at `began` ended at `now`; `None`: it came to no answer, and not because of the endpoint. Nor
    /// does the answer count if another Pod has the address by now.
    pub(super) fn ended(&mut self, ticket: Ticket, began: Instant, answer: Option<Result<(), Failure>>, now: Instant) {
        let Some(Entry { backend, endpoint, pod, check, course }) = self.entries.get_mut(&ticket) else { return };
        let random = self.random.f64();
        match answer.filter(|_| !pod.is_other(&endpoint.who())) {
            None => course.skipped(check, began, now, random),
            Some(answer) => {
                backend.checked(endpoint, now);
                let settled = course.ended(answer.is_ok(), check, began, now, random);
                match (settled, answer) {
                    (Some(true), _) => drop(backend.judge(endpoint, true, "checks succeed".into(), now)),
                    (Some(false), Err(why)) => drop(backend.judge(endpoint, false, why.to_string().into(), now)),
                    _ => {}
                }
            }
        }
        self.due.insert((course.due(), ticket));
    }

    fn forget(&mut self, followed: &Followed) {
        for ticket in followed.tickets.values() {
            if let Some(entry) = self.entries.remove(ticket) {
                self.due.remove(&(entry.course.due(), *ticket));
            }
        }
    }
}

#[cfg(test)]
mod tests;
