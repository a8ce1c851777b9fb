//! The control loop: what changed is compiled and served, and what is wrong is kept for those who ask.

mod standings;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use tracing::{error, info, warn};

use self::standings::{News, Starts};
use crate::compile::{self, Compiled, Compiler, Resolved};
use crate::ir::{
    Backend, BackendId, Certificate, EndpointSource, Kind, Name, Object, PortKey, Problem, Reason, Severity,
};
use crate::live::{Registry, Silence, Transition};
use crate::proxy::Checks;
use crate::report::{Account, Desk};
use crate::settings::CompileOptions;
use crate::snapshot::Snapshot;
use crate::source::dns::Dns;
use crate::source::{Changed, Delta, Source};
use crate::table::{RoutingTable, SharedTable};
use crate::telemetry::{Metrics, Readiness};

/// How often old tables are looked at while there are any.
const SWEEP: Duration = Duration::from_millis(100);
/// How often cells that nobody refers to are looked for: that goes through all of them.
const CELL_SWEEP: Duration = Duration::from_secs(5);
/// New problems that one change may log; the rest is a number, and the admin API has all.
const LOGGED: usize = 50;

type Backends = Arc<BTreeMap<BackendId, Arc<Backend>>>;

/// A problem and since when it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The problem.
    pub problem: Problem,
    /// Seconds since the epoch.
    pub since: i64,
}

/// What the loop writes and others read.
#[derive(Clone)]
pub struct Outlets {
    /// The table that is served.
    pub table: Arc<SharedTable>,
    /// Backends with their endpoints.
    pub registry: Arc<Registry>,
    /// Told which endpoints to check.
    pub checks: Checks,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Told of the first table.
    pub readiness: Arc<Readiness>,
    /// What is wrong now, sorted.
    pub problems: Arc<ArcSwap<Vec<Standing>>>,
    /// Served for names without a certificate when no default is configured.
    pub default_certificate: Arc<Certificate>,
}

/// Asks the control loop for what the source says now.
#[derive(Clone, Debug)]
pub struct Snapshots(mpsc::Sender<Question>);

/// Where a snapshot is to be sent.
type Question = oneshot::Sender<Arc<Snapshot>>;

/// Questions that may wait.
const QUESTIONS: usize = 64;

impl Snapshots {
    /// Those who ask, and the questions, for [`Controller::answer`].
    pub fn new() -> (Snapshots, Questions) {
        let (send, questions) = mpsc::channel(QUESTIONS);
        (Snapshots(send), Questions(questions))
    }

    /// The snapshot of this moment. Waits until there is one; `None` if there will be none, or too many wait. Whoever
    /// holds it for long makes the source copy it.
    pub async fn ask(&self) -> Option<Arc<Snapshot>> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(reply).ok()?;
        answer.await.ok()
    }
}

/// Questions for a snapshot that wait.
#[derive(Debug)]
pub struct Questions(mpsc::Receiver<Question>);

impl Questions {
    /// The next; for ever if nobody can ask.
    async fn next(asked: &mut Option<Questions>) -> Question {
        let question = match asked {
            Some(Questions(questions)) => questions.recv().await,
            None => None,
        };
        match question {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}

/// Turns snapshots into what is served.
pub struct Controller {
    outlets: Outlets,
    options: CompileOptions,
    /// What the flags had wrong.
    flags: Vec<Problem>,
    compiler: Compiler,
    compiled: Compiled,
    /// What is wrong with the endpoints of a backend; of most backends nothing.
    endpoints: BTreeMap<BackendId, Vec<Problem>>,
    /// A panic came before the endpoints of all backends were set.
    has_unset: bool,
    /// Endpoints whose weight still grows.
    starts: Starts,
    /// What the log says about standings.
    news: News,
    /// Services that are asked who may come in, and do not say.
    silent: BTreeMap<BackendId, Silence>,
    dns: Dns,
    questions: Option<Questions>,
    /// The snapshot was not compiled to the end.
    is_behind: bool,
    /// Our own Service is known.
    knows_replicas: bool,
    /// Where somebody asks what to write back to the cluster.
    desk: Option<Desk>,
}

impl Controller {
    /// Nothing compiled yet. `flags` are problems that stay as long as the process.
    pub fn new(outlets: Outlets, options: CompileOptions, flags: Vec<Problem>) -> Controller {
        Controller {
            outlets,
            options,
            flags,
            compiler: Compiler::default(),
            compiled: Compiled::default(),
            endpoints: BTreeMap::new(),
            has_unset: false,
            starts: Starts::default(),
            news: News::new(Instant::now()),
            silent: BTreeMap::new(),
            dns: Dns::default(),
            questions: None,
            is_behind: true,
            knows_replicas: false,
            desk: None,
        }
    }

    /// The same, which answers at the desk what is served and what is wrong.
    pub fn reporting(self, desk: Option<Desk>) -> Controller {
        Controller { desk, ..self }
    }

    /// Lets others ask for the snapshot while it runs.
    pub fn answer(&mut self, questions: Questions) {
        self.questions = Some(questions);
    }

    /// Serves what the source has, and whatever it has next, for ever. While a change is applied, further ones pile up
    /// in the source and are one change then.
    pub async fn run(mut self, mut source: Source) -> Infallible {
        enum Event {
            Account(oneshot::Sender<Account>),
            Objects(Changed),
            Names,
            Question(Question),
            Standings(Vec<Transition>),
            Starts,
            Sweep,
        }
        // No snapshot is held while it waits: the source changes its own in place if nobody else has it.
        let first = Arc::clone(source.snapshot());
        self.apply(&first, &Delta::default(), Instant::now(), seconds_since_epoch());
        drop(first);
        let mut questions = self.questions.take();
        let mut heard = self.outlets.registry.transitions();
        let mut next_sweep = tokio::time::Instant::now() + SWEEP;
        let mut next_cell_sweep = tokio::time::Instant::now() + CELL_SWEEP;
        loop {
            let event = tokio::select! {
                changed = source.changed() => Event::Objects(changed),
                () = self.dns.changed() => Event::Names,
                question = Questions::next(&mut questions) => Event::Question(question),
                () = sleep_until(next_sweep) => Event::Sweep,
                () = self.starts.next() => Event::Starts,
                transitions = standings::next(&mut heard) => Event::Standings(transitions),
                question = Desk::asked(self.desk.as_mut()) => Event::Account(question),
            };
            let snapshot = Arc::clone(source.snapshot());
            match event {
                // What is not served yet must not be reported; the question is asked again.
                Event::Account(_) if self.is_behind => {}
                Event::Account(question) => {
                    let _ = question.send(self.account(&snapshot, seconds_since_epoch()));
                }
                Event::Objects(changed) => {
                    self.apply(&snapshot, &changed.delta, changed.since, seconds_since_epoch());
                    next_sweep = next_sweep.min(tokio::time::Instant::now() + SWEEP);
                }
                Event::Names => self.apply_names(&snapshot, seconds_since_epoch()),
                // Whoever does not listen any more has no time left.
                Event::Question(reply) => drop(reply.send(snapshot)),
                Event::Standings(transitions) => {
                    if self.follow_standings(&transitions, Instant::now()) {
                        self.report(&snapshot, seconds_since_epoch());
                    }
                }
                Event::Starts => self.raise_weights(Instant::now()),
                Event::Sweep => {
                    let now = tokio::time::Instant::now();
                    let left = self.outlets.table.sweep();
                    if now >= next_cell_sweep {
                        self.outlets.registry.sweep();
                        next_cell_sweep = now + CELL_SWEEP;
                        self.look_after_guards(&snapshot, seconds_since_epoch());
                        self.look_after_lost_news(&snapshot, seconds_since_epoch());
                    }
                    next_sweep = if left > 0 { now + SWEEP } else { next_cell_sweep };
                }
            }
        }
    }

    /// Serves a snapshot. `delta` is the difference to the last one and `since` when its first event came; `now` is
    /// seconds since the epoch. A panic on the way is counted and leaves what was served before.
    pub fn apply(&mut self, snapshot: &Snapshot, delta: &Delta, since: Instant, now: i64) {
        // The second road goes first: it is quick, and goes on even if compiling breaks down.
        let services = &delta.endpoints;
        let mut is_applied = self.survive("endpoints", |this| this.second_road(snapshot, services)).is_some();
        // Whether it is known who shares limits with us is told of the Ingresses that want that.
        let must_tell = self.count_replicas(snapshot, services);
        let must_serve = delta.routes || self.is_behind || must_tell;
        if must_serve || delta.report {
            self.is_behind = must_serve;
            match self.survive("compile", |this| this.first_road(snapshot, must_serve)) {
                Some(()) => self.is_behind = false,
                None => {
                    // Its memory may be half-written.
                    self.compiler = Compiler::default();
                    self.is_behind = true;
                    is_applied = false;
                }
            }
        }
        let problems = self.report(snapshot, now);
        let generation = self.outlets.table.generation();
        let elapsed = since.elapsed();
        if is_applied {
            self.outlets.metrics.applied(generation, elapsed);
        }
        let (hosts, changed_services) = (self.compiled.config.hosts.len(), services.len());
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        info!(generation, hosts, changed_services, problems, ms, "applied");
    }

    /// Takes over what DNS said since.
    pub fn apply_names(&mut self, snapshot: &Snapshot, now: i64) {
        self.survive("endpoints", |this| {
            let config = Arc::clone(&this.compiled.config);
            let resolved = this.dns.names().resolved();
            for backend in config.backends.values().filter(|backend| dns_name(backend).is_some()) {
                this.set_endpoints(snapshot, backend, &resolved);
            }
            this.outlets.checks.look();
        });
        let problems = self.report(snapshot, now);
        info!(problems, "external names resolved");
    }

    /// Raises the weights of endpoints that start slowly, as far as they are due at `now`.
    pub fn raise_weights(&mut self, now: Instant) {
        for id in self.starts.due(now) {
            let backend = self.compiled.config.backends.get(&id);
            let slow_start = backend.map(|backend| backend.balancing.slow_start);
            let due = slow_start.and_then(|slow_start| self.outlets.registry.ramp(&id, slow_start, now));
            self.starts.set(&id, due);
        }
    }

    /// Looks whether those that are asked who may come in say so.
    pub fn look_after_guards(&mut self, snapshot: &Snapshot, now: i64) {
        let silent = self.outlets.registry.silent();
        if silent != self.silent {
            self.silent = silent;
            self.report(snapshot, now);
        }
    }

    /// Looks at all Services if it was not told of all changes of standing.
    fn look_after_lost_news(&mut self, snapshot: &Snapshot, now: i64) {
        if !self.outlets.registry.lost_transitions() {
            return;
        }
        let mut is_changed = false;
        for (id, backend) in self.compiled.config.backends.iter() {
            is_changed |= self.news.look(id, &backend.balancing, &self.outlets.registry, Instant::now());
        }
        if is_changed {
            self.report(snapshot, now);
        }
    }

    /// Logs what changed; an endpoint that came back starts as slowly as a new one. Whether there are other problems.
    fn follow_standings(&mut self, transitions: &[Transition], now: Instant) -> bool {
        self.news.log(transitions, now);
        let mut is_changed = false;
        for id in transitions.iter().map(|told| &told.backend).collect::<BTreeSet<_>>() {
            if let Some(backend) = self.compiled.config.backends.get(id) {
                is_changed |= self.news.look(id, &backend.balancing, &self.outlets.registry, now);
            }
        }
        for backend in standings::returned(transitions) {
            let settings = self.compiled.config.backends.get(backend);
            if settings.is_some_and(|settings| !settings.balancing.slow_start.is_zero()) {
                self.starts.set(backend, Some(now));
            }
        }
        self.raise_weights(now);
        is_changed
    }

    fn account(&self, snapshot: &Snapshot, now: i64) -> Account {
        let standing = self.outlets.problems.load();
        Account::of(snapshot, &self.options, standing.iter().map(|standing| &standing.problem), now)
    }

    /// Counts those who share limits with us, if they may be others than before: limits follow at once. Says whether they
    /// are known now and were not, or the other way round.
    fn count_replicas(&mut self, snapshot: &Snapshot, services: &BTreeSet<Name>) -> bool {
        let Some(own) = &self.options.own else { return false };
        let namespaces = [&own.service, &own.pod].map(|name| name.as_ref().map(|name| &name.namespace));
        let is_concerned = |service: &Name| namespaces.contains(&Some(&service.namespace));
        if !self.is_behind && !services.iter().any(is_concerned) {
            return false;
        }
        let count = compile::replicas(snapshot, &self.options);
        self.outlets.registry.replicas().set(count.unwrap_or(1));
        let before = std::mem::replace(&mut self.knows_replicas, count.is_some());
        before != count.is_some()
    }

    /// Replaces the endpoints of the backends of `services`, and touches no table.
    fn second_road(&mut self, snapshot: &Snapshot, services: &BTreeSet<Name>) {
        let config = Arc::clone(&self.compiled.config);
        let resolved = self.dns.names().resolved();
        for service in services {
            // The least port there is.
            let first = BackendId::new(service.clone(), PortKey::Name("".into()));
            let backends = config.backends.range(first..).take_while(|(id, _)| id.service == *service);
            for (_, backend) in backends {
                self.set_endpoints(snapshot, backend, &resolved);
            }
        }
        self.outlets.checks.look();
    }

    /// Compiles, and serves the result as a new table. Endpoints of new backends are there before the table that sends
    /// requests to them.
    fn first_road(&mut self, snapshot: &Snapshot, must_serve: bool) {
        let compiled = self.compiler.compile(snapshot, &self.options);
        if !must_serve {
            self.compiled.problems = compiled.problems;
            return;
        }
        let before = std::mem::replace(&mut self.compiled, compiled);
        let config = Arc::clone(&self.compiled.config);
        self.follow_backends(snapshot, &before.config.backends, &config.backends);

        let Outlets { table, registry, checks, metrics, readiness, default_certificate, .. } = &self.outlets;
        let previous = table.load();
        let next = RoutingTable::build(&config, Some(&previous), registry, metrics, default_certificate);
        table.publish(Arc::new(next));
        readiness.table_served();
        if !Arc::ptr_eq(&before.config.backends, &config.backends) {
            checks.follow(&config, registry);
        }
        let certificates = config.certificates.values().chain(&config.default_certificate);
        metrics.set_certificates(certificates.map(Arc::as_ref));
    }

    /// Asks for the names of the backends, and sets the endpoints of those that are new or changed. Usually none is, and
    /// then this costs one comparison of pointers.
    fn follow_backends(&mut self, snapshot: &Snapshot, before: &Backends, now: &Backends) {
        let had_unset = std::mem::replace(&mut self.has_unset, true);
        if had_unset || !Arc::ptr_eq(before, now) {
            self.dns.follow(now.values().filter_map(|backend| dns_name(backend).cloned()).collect::<BTreeSet<_>>());
            let resolved = self.dns.names().resolved();
            // Both are sorted, and most are the same: then no identity has to be compared.
            let mut before = before.values().peekable();
            for (id, backend) in &**now {
                while before.next_if(|known| !Arc::ptr_eq(known, backend) && known.id < *id).is_some() {}
                let known = before.next_if(|known| Arc::ptr_eq(known, backend) || known.id == *id);
                if had_unset || known.is_none_or(|known| !Arc::ptr_eq(known, backend) && known != backend) {
                    self.set_endpoints(snapshot, backend, &resolved);
                }
            }
            self.endpoints.retain(|id, _| now.contains_key(id));
            self.news.forget(|id| !now.contains_key(id));
        }
        self.has_unset = false;
    }

    fn set_endpoints(&mut self, snapshot: &Snapshot, backend: &Backend, resolved: &Resolved) {
        let (set, problems) = compile::endpoints(snapshot, backend, resolved);
        let slow_start = backend.balancing.slow_start;
        let due = self.outlets.registry.set_starting(&backend.id, &set, slow_start, Instant::now());
        self.starts.set(&backend.id, due);
        self.news.look(&backend.id, &backend.balancing, &self.outlets.registry, Instant::now());
        if problems.is_empty() {
            self.endpoints.remove(&backend.id);
        } else {
            self.endpoints.insert(backend.id.clone(), problems);
        }
    }

    /// Publishes what is wrong now and logs what is new in it; gives the number.
    fn report(&self, snapshot: &Snapshot, now: i64) -> usize {
        let mut problems: Vec<Problem> = self.flags.clone();
        problems.extend_from_slice(&self.compiled.problems);
        problems.extend(self.endpoints.values().flatten().cloned());
        problems.extend(self.stale_names());
        problems.extend(self.news.problems());
        problems.extend(self.silent.iter().filter_map(|(id, how)| self.unasked(id, *how)));
        for problem in &mut problems {
            relocate(problem, snapshot);
        }
        problems.sort();
        problems.dedup();
        self.outlets.metrics.set_problems(&problems);

        let before = self.outlets.problems.load_full();
        let known: BTreeMap<_, i64> =
            before.iter().map(|standing| (identity(&standing.problem), standing.since)).collect();
        let mut unlogged = 0_usize;
        let mut logged = 0_usize;
        let standing: Vec<Standing> = problems
            .into_iter()
            .map(|problem| {
                let since = known.get(&identity(&problem)).copied();
                match since {
                    // The source says it once a minute as long as it stands.
                    None if problem.reason == Reason::WatchForbidden => {}
                    None if logged < LOGGED => {
                        logged += 1;
                        log(&problem);
                    }
                    None => unlogged += 1,
                    Some(_) => {}
                }
                Standing { problem, since: since.unwrap_or(now) }
            })
            .collect();
        if unlogged > 0 {
            warn!(count = unlogged, "further new problems; `fairlead problems` lists all");
        }
        let count = standing.len();
        self.outlets.problems.store(Arc::new(standing));
        if let Some(desk) = &self.desk {
            desk.changed();
        }
        count
    }

    /// Backends whose name has addresses that are overdue.
    fn stale_names(&self) -> Vec<Problem> {
        let stale = self.dns.names().stale(Instant::now());
        if stale.is_empty() {
            return Vec::new();
        }
        let problem = |backend: &Arc<Backend>| {
            let name = dns_name(backend)?;
            let why = stale.get(name)?;
            let service = Object { kind: Kind::Service, name: backend.id.service.clone(), file: None, line: None };
            Some(Problem {
                object: Arc::new(service),
                severity: Severity::Warning,
                reason: Reason::ExternalNameUnresolved,
                field: "spec.externalName".to_owned(),
                message: format!("{name} cannot be resolved any more ({why}); its last addresses are used"),
                hint: "check the name, and that DNS answers here".to_owned(),
            })
        };
        self.compiled.config.backends.values().filter_map(problem).collect()
    }

    /// What is wrong with a service that is asked who may come in, told of the first that asks it.
    fn unasked(&self, id: &BackendId, how: Silence) -> Option<Problem> {
        let origin = &self.compiled.config.backends.get(id)?.origin;
        let says = match how {
            Silence::NoAnswer => "does not answer".to_owned(),
            Silence::Status(status) => format!("answers {status}, which is neither yes nor no"),
        };
        Some(Problem {
            object: Arc::clone(&origin.object),
            severity: Severity::Warning,
            reason: Reason::AccessRuleBroken,
            field: origin.field.to_string(),
            message: format!("{id}, which is asked who may come in, {says}; so nobody comes in, and gets 500"),
            hint: "look after that service; `fairlead backends` shows what is seen of it".to_owned(),
        })
    }

    /// Runs a step that must not end the control thread.
    fn survive<T>(&mut self, step: &'static str, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(done) => Some(done),
            Err(_) => {
                self.outlets.metrics.panicked();
                error!(step, "a change could not be applied; what was served before stays");
                None
            }
        }
    }
}

fn dns_name(backend: &Backend) -> Option<&Arc<str>> {
    match &backend.source {
        EndpointSource::Dns { name, .. } => Some(name),
        EndpointSource::Fixed(_) | EndpointSource::None | EndpointSource::Slices { .. } => None,
    }
}

/// An object that only moved is not compiled again, so its problems still have the old file and line.
fn relocate(problem: &mut Problem, snapshot: &Snapshot) {
    // These are about a document, not about the object that counts under its name.
    let is_of_document = matches!(problem.reason, Reason::DuplicateObject | Reason::ManifestUnreadable);
    if let (false, Some(object)) = (is_of_document, snapshot.object(problem.object.kind, &problem.object.name)) {
        problem.object = Arc::clone(object);
    }
}

/// What makes a problem the same one as before, though it moved or is put in other words.
fn identity(problem: &Problem) -> (Kind, Name, Reason, String, Option<String>) {
    let Problem { object, reason, field, message, .. } = problem;
    // Of these an object may have several.
    let message = field.is_empty().then(|| message.clone());
    (object.kind, object.name.clone(), *reason, field.clone(), message)
}

fn log(problem: &Problem) {
    let Problem { object, severity, reason, field, message, hint } = problem;
    let word = severity.as_str();
    // The message about a file begins with its path.
    let object = Some(tracing::field::display(object)).filter(|_| object.kind != Kind::File);
    let field = Some(field.as_str()).filter(|field| !field.is_empty());
    match severity {
        Severity::Error | Severity::Warning => {
            warn!(severity = %word, %reason, object, field, hint, "{message}");
        }
        Severity::Info => info!(severity = %word, %reason, object, field, hint, "{message}"),
    }
}

/// The time of day in seconds since the epoch.
pub(crate) fn seconds_since_epoch() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
