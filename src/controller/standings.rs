//! What the control loop does about endpoints between two changes of the objects: it raises the weights of those that start
//! slowly, and says in the log which were set aside and which came back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::ir::{BackendId, Balancing, Kind, Object, Problem, Reason, Severity};
use crate::live::standing::FAILING;
use crate::live::{Registry, Standing, Transition};
use crate::proxy::balance::judged;

/// Lines about changes of standing in [`RATION_TIME`]; a node that dies takes many endpoints along.
const RATION: usize = 50;
/// See [`RATION`].
const RATION_TIME: Duration = Duration::from_secs(10);

/// When the next step of a slow start is due, by backend.
#[derive(Debug, Default)]
pub(super) struct Starts(BTreeMap<BackendId, Instant>);

impl Starts {
    /// Takes note of when a backend is due; `None` = all its endpoints have their full weight.
    pub(super) fn set(&mut self, id: &BackendId, due: Option<Instant>) {
        match due {
            Some(due) => _ = self.0.insert(id.clone(), due),
            None => _ = self.0.remove(id),
        }
    }

    /// The backends that are due at `now`.
    pub(super) fn due(&self, now: Instant) -> Vec<BackendId> {
        self.0.iter().filter(|(_, due)| **due <= now).map(|(id, _)| id.clone()).collect()
    }

    /// Waits until a backend is due; for ever if none will be.
    pub(super) async fn next(&self) {
        match self.0.values().min() {
            Some(due) => tokio::time::sleep_until((*due).into()).await,
            None => std::future::pending().await,
        }
    }
}

/// The next changes of standing, as many as there are; for ever if nobody tells any.
pub(super) async fn next(heard: &mut Option<mpsc::Receiver<Transition>>) -> Vec<Transition> {
    let Some(heard) = heard else { return std::future::pending().await };
    let mut found = Vec::new();
    match heard.recv_many(&mut found, usize::MAX).await {
        0 => std::future::pending().await,
        _ => found,
    }
}

/// The backends of endpoints that came back into use.
pub(super) fn returned(transitions: &[Transition]) -> impl Iterator<Item = &BackendId> {
    let is_back = |told: &&Transition| told.to == Standing::Ready && told.from != Standing::Failing;
    transitions.iter().filter(is_back).map(|told| &told.backend)
}

/// Says in the log how endpoints and whole backends fare.
pub(super) struct News {
    endpoints: Ration,
    backends: Ration,
    /// Backends of which every endpoint is set aside or failing, with what is wrong with the last one.
    down: BTreeMap<BackendId, Arc<str>>,
}

impl News {
    /// Nothing said yet.
    pub(super) fn new(now: Instant) -> News {
        News { endpoints: Ration::new(now), backends: Ration::new(now), down: BTreeMap::new() }
    }

    /// Logs changes of standing.
    pub(super) fn log(&mut self, transitions: &[Transition], now: Instant) {
        for transition in transitions.iter().filter(|told| told.from != told.to) {
            match self.endpoints.take(now) {
                Taken::Line => log(transition),
                Taken::Last => warn!("further endpoints changed their standing; `fairlead backends` shows all"),
                Taken::Nothing => {}
            }
        }
        for Transition { backend, stays_in_zone, .. } in transitions {
            if let Some(stays) = stays_in_zone {
                self.log_zone(backend, *stays, now);
            }
        }
    }

    fn log_zone(&mut self, backend: &BackendId, stays: bool, now: Instant) {
        match (self.backends.take(now), stays) {
            (Taken::Line, true) => {
                info!(%backend, "enough endpoints of our zone are in use: requests stay in it again")
            }
            (Taken::Line, false) => {
                warn!(%backend, "too few endpoints of our zone are in use: requests go to all zones");
            }
            (Taken::Last, _) => warn!("further backends changed their standing; `fairlead backends` shows all"),
            (Taken::Nothing, _) => {}
        }
    }

    /// What is wrong with backends of which every endpoint fails: an Ingress may ask one who may come in.
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> {
        self.down.iter().map(|(backend, why)| {
            let service = Object { kind: Kind::Service, name: backend.service.clone(), file: None, line: None };
            Problem {
                object: Arc::new(service),
                severity: Severity::Warning,
                reason: Reason::NoEndpoints,
                field: String::new(),
                message: format!(
                    "port {}: every endpoint fails ({why}); all are tried until one is back",
                    backend.port
                ),
                hint: "see `fairlead backends`, and the Pods' logs".to_owned(),
            }
        })
    }

    /// Looks whether every endpoint of a backend fails, by what counts in `balancing`: after a change of standing, when
    /// endpoints were replaced, and when the settings are other ones. Whether that is another answer than before.
    pub(super) fn look(
        &mut self,
        backend: &BackendId,
        balancing: &Balancing,
        registry: &Registry,
        now: Instant,
    ) -> bool {
        let set = registry.backend(backend).endpoints.load_full();
        let failing = if balancing.passive.is_some() { FAILING } else { 0 };
        let (all, working) = (set.ready().count(), set.without(judged(balancing) | failing));
        // Where there is none at all, a problem says so.
        let is_down = working == 0 && all > 0;
        if is_down == self.down.contains_key(backend) {
            return false;
        }
        if is_down {
            let why = set.ready().find_map(|endpoint| {
                let failing = endpoint.failing().map(|(_, why)| why);
                failing.or_else(|| Some(Arc::clone(&endpoint.history()?.reason)))
            });
            // The problem is logged.
            self.down.insert(backend.clone(), why.unwrap_or_default());
            return true;
        }
        self.down.remove(backend);
        if working > 0 {
            match self.backends.take(now) {
                Taken::Line => info!(%backend, working, all, "an endpoint works again"),
                Taken::Last => warn!("further backends changed their standing; `fairlead backends` shows all"),
                Taken::Nothing => {}
            }
        }
        true
    }

    /// Forgets the backends that are gone.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&BackendId) -> bool) {
        self.down.retain(|id, _| !is_gone(id));
    }
}

fn log(Transition { backend, address, from, to, reason, in_use, candidates, .. }: &Transition) {
    let why = tracing::field::display(reason);
    match to {
        Standing::Ready if *from == Standing::Failing => {
            info!(%backend, endpoint = %address, why, in_use, candidates, "endpoint answers again");
        }
        Standing::Ready => {
            info!(%backend, endpoint = %address, %from, why, in_use, candidates, "endpoint is back in use");
        }
        Standing::Failing => {
            warn!(%backend, endpoint = %address, why, in_use, candidates, "endpoint fails, and no more may be set aside");
        }
        Standing::Ejected | Standing::Unhealthy => {
            warn!(%backend, endpoint = %address, standing = %to, why, in_use, candidates, "endpoint is set aside");
        }
    }
}

/// So many lines in a time; then one says that there is more.
struct Ration {
    until: Instant,
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// To be logged.
    Line,
    /// To be logged in place of this and all that follow.
    Last,
    /// Not to be logged.
    Nothing,
}

impl Ration {
    fn new(now: Instant) -> Ration {
        Ration { until: now + RATION_TIME, left: RATION }
    }

    fn take(&mut self, now: Instant) -> Taken {
        if now >= self.until {
            *self = Ration::new(now);
        }
        let taken = match self.left {
            0 => Taken::Nothing,
            1 => Taken::Last,
            _ => Taken::Line,
        };
        self.left = self.left.saturating_sub(1);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{self, Name, PortKey};
    use crate::live::Fault;

    fn id(service: &str) -> BackendId {
        BackendId::new(Name::new("shop", service), PortKey::Number(80))
    }

    #[test]
    fn a_backend_is_due_until_it_says_otherwise() {
        let now = Instant::now();
        let mut starts = Starts::default();
        starts.set(&id("a"), Some(now + Duration::from_secs(1)));
        starts.set(&id("b"), Some(now));
        assert_eq!(starts.due(now), [id("b")]);
        starts.set(&id("b"), None);
        assert_eq!(starts.due(now + Duration::from_secs(2)), [id("a")]);
        starts.set(&id("a"), Some(now + Duration::from_secs(3)));
        assert!(starts.due(now + Duration::from_secs(2)).is_empty());
    }

    #[test]
    fn lines_are_rationed_and_the_last_one_says_that_there_is_more() {
        let now = Instant::now();
        let mut ration = Ration::new(now);
        let taken: Vec<Taken> = (0..60).map(|_| ration.take(now)).collect();
        let count = |what| taken.iter().filter(|taken| **taken == what).count();
        assert_eq!([Taken::Line, Taken::Last, Taken::Nothing].map(count), [49, 1, 10]);
        assert_eq!(ration.take(now + RATION_TIME), Taken::Line);
    }

    fn endpoints(numbers: &[u8]) -> ir::EndpointSet {
        let endpoint = |number| ir::Endpoint {
            address: ([10, 0, 0, number], 80).into(),
            pod: None,
            weight: 1,
            key: None,
            draining: false,
            elsewhere: false,
        };
        ir::EndpointSet::of(numbers.iter().map(|&number| endpoint(number)).collect())
    }

    fn fail(registry: &Registry, balancing: &Balancing, place: usize) {
        let backend = registry.backend(&id("a"));
        let endpoint = Arc::clone(&backend.endpoints.load().candidates[place]);
        let now = Instant::now();
        for _ in 0..5 {
            let passive = balancing.passive.as_ref().unwrap();
            backend.failed(&mut Arc::clone(&endpoint).begin(), Fault::Connect, passive, now, now);
        }
    }

    #[test]
    fn a_new_endpoint_or_none_at_all_ends_that_too() {
        let (now, balancing) = (Instant::now(), Balancing::default());
        for after in [&[1, 2][..], &[]] {
            let (mut news, registry) = (News::new(now), Registry::new(1));
            registry.set_endpoints(&id("a"), &endpoints(&[1]));
            fail(&registry, &balancing, 0);
            news.look(&id("a"), &balancing, &registry, now);
            assert_eq!(news.down.len(), 1);
            registry.set_endpoints(&id("a"), &endpoints(after));
            news.look(&id("a"), &balancing, &registry, now);
            assert!(news.down.is_empty(), "{after:?}");
        }
        let mut news = News::new(now);
        news.down.insert(id("a"), "x".into());
        let problem = news.problems().next().map(|problem| problem.message).unwrap_or_default();
        assert_eq!(problem, "port 80: every endpoint fails (x); all are tried until one is back");
        news.forget(|gone| *gone == id("a"));
        assert!(news.down.is_empty());
    }

    #[test]
    fn that_the_endpoints_which_are_left_all_fail_is_told_and_that_it_no_longer_counts() {
        let (now, registry, balancing) = (Instant::now(), Registry::new(1), Balancing::default());
        let mut news = News::new(now);
        registry.set_endpoints(&id("a"), &endpoints(&[1, 2]));
        fail(&registry, &balancing, 0);
        news.look(&id("a"), &balancing, &registry, now);
        assert!(news.down.is_empty(), "another one works");
        registry.set_endpoints(&id("a"), &endpoints(&[1]));
        news.look(&id("a"), &balancing, &registry, now);
        assert_eq!(news.down.values().map(|why| &**why).collect::<Vec<_>>(), ["5 connect failures"]);
        news.look(&id("a"), &Balancing { passive: None, ..balancing }, &registry, now);
        assert!(news.down.is_empty(), "nobody asks what becomes of requests");
    }

    #[test]
    fn a_lone_endpoint_that_fails_is_told_once_until_it_answers() {
        let (now, registry, balancing) = (Instant::now(), Registry::new(1), Balancing::default());
        let mut heard = registry.transitions().unwrap();
        let mut news = News::new(now);
        registry.set_endpoints(&id("a"), &endpoints(&[1]));
        let mut told = || std::iter::from_fn(|| heard.try_recv().ok()).collect::<Vec<_>>();
        fail(&registry, &balancing, 0);
        news.log(&told(), now);
        assert_eq!(news.endpoints.left, RATION - 1, "a line");
        assert!(news.look(&id("a"), &balancing, &registry, now));
        assert!(!news.look(&id("a"), &balancing, &registry, now), "told once");
        assert_eq!(news.down.values().map(|why| &**why).collect::<Vec<_>>(), ["5 connect failures"]);
        fail(&registry, &balancing, 0);
        assert!(told().is_empty());
        let backend = registry.backend(&id("a"));
        let lone = Arc::clone(&backend.endpoints.load().candidates[0]);
        let now = Instant::now();
        backend.succeeded(&mut lone.begin(), now, now, true);
        assert!(news.look(&id("a"), &balancing, &registry, now), "and that it is over");
        assert_eq!((news.down.len(), news.backends.left), (0, RATION - 1));
        assert_eq!(returned(&told()).count(), 0, "it was in use all the time");
    }
}
