//! Active checks: every endpoint of a Service that asks for it is asked whether it works.
//!
//! One thread asks for all workers. It is told which backends have which check, decides by a state machine of its own
//! ([`course`]), and says what it found to the live cells. It shares nothing else with the workers, so a slow check
//! delays no request.

mod course;
mod probe;
mod roll;

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::error;

use self::probe::{Failure, probe};
use self::roll::{Place, Roll, Task, Ticket};
use super::tls::BackendTls;
use crate::ir::{self, ActiveCheck, Config};
use crate::live::{Backend, Registry, TlsIdentity};
use crate::telemetry::Metrics;

/// Checks under way at a time: what hangs must not take every descriptor.
const MOST_AT_ONCE: usize = 256;
/// From one look at changed endpoints to the next: in a rollout they change many times a second.
const PAUSE: Duration = Duration::from_millis(50);

/// A backend whose endpoints are to be checked.
struct Checked {
    backend: Arc<Backend>,
    check: Arc<ActiveCheck>,
    /// Who we are towards them, where that is asked for and TLS is spoken.
    identity: Option<Arc<TlsIdentity>>,
}

/// Tells the thread that checks what to check. The thread begins with the first check and ends with the last handle.
#[derive(Clone)]
pub struct Checks(Arc<Shared>);

struct Shared {
    list: watch::Sender<Arc<[Checked]>>,
    is_running: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Checks {
    /// Nothing to check yet. A panic of the thread is counted in `metrics`.
    pub fn new(metrics: &Arc<Metrics>) -> Checks {
        let (list, _) = watch::channel(Arc::default());
        Checks(Arc::new(Shared { list, is_running: AtomicBool::new(false), metrics: Arc::clone(metrics) }))
    }

    /// Checks the backends of `config` that ask for it from now on, and no others. A check that is equal to the one before
    /// goes on undisturbed. To be called when a table names the backends.
    pub fn follow(&self, config: &Config, registry: &Registry) {
        let checked = |backend: &Arc<ir::Backend>| {
            let check = Arc::new(backend.balancing.active.clone()?);
            let tls = backend.tls.as_ref().filter(|_| check.probe.is_tls());
            let identity = tls.map(|tls| registry.identity(tls));
            Some(Checked { backend: registry.backend(&backend.id), check, identity })
        };
        let list: Arc<[Checked]> = config.backends.values().filter_map(checked).collect();
        if list.is_empty() && self.0.list.borrow().is_empty() {
            return;
        }
        let is_needed = !list.is_empty();
        self.0.list.send_replace(list);
        if is_needed && !self.0.is_running.swap(true, Ordering::AcqRel) {
            let (list, metrics) = (self.0.list.subscribe(), Arc::clone(&self.0.metrics));
            if let Err(error) = start(list, metrics) {
                self.0.is_running.store(false, Ordering::Release);
                error!(%error, "cannot start the thread of the checks; endpoints are not checked until the next change");
            }
        }
    }

    /// Endpoints were replaced.
    pub fn look(&self) {
        self.0.list.send_if_modified(|list| !list.is_empty());
    }
}

fn start(mut list: watch::Receiver<Arc<[Checked]>>, metrics: Arc<Metrics>) -> io::Result<()> {
    let tls = BackendTls::new().map_err(io::Error::other)?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    list.mark_changed();
    std::thread::Builder::new().name("checks".to_owned()).spawn(move || {
        runtime.block_on(async {
            while AssertUnwindSafe(run(&mut list, &tls, &metrics)).catch_unwind().await.is_err() {
                metrics.panicked();
                error!("the checks broke down; they begin anew");
                tokio::time::sleep(PAUSE).await;
                list.mark_changed();
            }
        });
    })?;
    Ok(())
}

/// An answer that came.
struct Done {
    ticket: Ticket,
    _place: Place,
    began: Instant,
    /// `None`: it is our fault that nothing is known, not the endpoint's.
    answer: Option<Result<(), Failure>>,
}

/// Checks until nobody is left who could say what.
async fn run(list: &mut watch::Receiver<Arc<[Checked]>>, tls: &BackendTls, metrics: &Arc<Metrics>) {
    let mut roll = Roll::new(fastrand::Rng::new());
    let mut followed: Option<Arc<[Checked]>> = None;
    let mut under_way: JoinSet<Done> = JoinSet::new();
    let mut next_look = Instant::now();
    loop {
        let now = Instant::now();
        while under_way.len() < MOST_AT_ONCE
            && let Some(task) = roll.take_due(now.into_std())
        {
            under_way.spawn(make(task, now, tls.clone(), Arc::clone(metrics)));
        }
        let due = roll.next_due().filter(|_| under_way.len() < MOST_AT_ONCE).map(Instant::from_std);
        let may_look = now >= next_look;
        let wake = due.into_iter().chain((!may_look).then_some(next_look)).min();
        tokio::select! {
            changed = list.changed(), if may_look => {
                if changed.is_err() {
                    return;
                }
                let current = Arc::clone(&list.borrow_and_update());
                let now = Instant::now();
                if followed.as_ref().is_some_and(|followed| Arc::ptr_eq(followed, &current)) {
                    roll.look(now.into_std());
                } else {
                    roll.follow(&current, now.into_std());
                    followed = Some(current);
                }
                next_look = now + PAUSE;
            }
            Some(done) = under_way.join_next(), if !under_way.is_empty() => {
                // It cannot panic nor be ended from outside.
                if let Ok(Done { ticket, began, answer, _place }) = done {
                    roll.ended(ticket, began.into_std(), answer, Instant::now().into_std());
                }
            }
            () = until(wake) => {}
        }
    }
}

/// Waits for a moment; for ever without one.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn make(task: Task, began: Instant, tls: BackendTls, metrics: Arc<Metrics>) -> Done {
    let asked = AssertUnwindSafe(probe(&task.check, task.address, &tls, task.identity.as_deref())).catch_unwind();
    let answer = asked.await.inspect_err(|_| metrics.panicked()).ok();
    let answer = answer.filter(|answer| *answer != Err(Failure::Exhausted));
    Done { ticket: task.ticket, began, answer, _place: task.place }
}
