//! A cluster as a source: every kind that is read is listed once and watched from then on.

mod client;
mod contents;
mod driver;
mod state;
mod target;
mod watch;
mod zone;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use kube::Client;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

pub use self::client::{ClientError, connect};
use self::contents::Contents;
pub use self::driver::causes;
use self::driver::{Driver, Update};
use self::state::{ByKind, State};
use self::watch::Watch;
use self::zone::Zone;
use super::delta::Differences;
use super::{Changed, Delta};
use crate::ir::Kind;
use crate::settings::{ClusterSettings, CompileOptions};
use crate::snapshot::Snapshot;
use crate::snapshot::api::Reader;
use crate::telemetry::Metrics;

/// Updates that may wait; more make the watches wait.
const QUEUE: usize = 1024;

/// A cluster that is watched. When it is dropped the watches end.
pub struct ClusterSource {
    state: State,
    updates: Receiver<Update>,
    _drivers: JoinSet<()>,
}

impl ClusterSource {
    /// Begins to watch; nothing is known yet. To be called where a Tokio runtime is.
    pub fn open(
        client: &Client,
        settings: &ClusterSettings,
        options: &CompileOptions,
        metrics: &Arc<Metrics>,
    ) -> ClusterSource {
        let targets = target::targets(settings, options);
        let (send, updates) = mpsc::channel(QUEUE);
        let reader = Arc::new(Mutex::new(Reader::new(&options.annotations_prefix)));
        let has_streams = Arc::new(AtomicBool::new(true));
        let outage = Arc::default();
        let mut drivers = JoinSet::new();
        for (index, target) in targets.iter().enumerate() {
            let driver = Driver {
                index,
                target: target.clone(),
                client: client.clone(),
                reader: Arc::clone(&reader),
                watch: Watch::new(Arc::clone(&has_streams)),
                age: metrics.watch(target.kind),
                metrics: Arc::clone(metrics),
                outage: Arc::clone(&outage),
                updates: send.clone(),
            };
            drivers.spawn(driver.run());
        }
        let contents =
            |kind| Contents::new(kind, client.clone(), Arc::clone(&reader), send.clone(), Arc::clone(metrics));
        let contents = ByKind { secrets: contents(Kind::Secret), config_maps: contents(Kind::ConfigMap) };
        let zone = Zone::new(client.clone(), send, Arc::clone(metrics), settings.node_name.clone());
        ClusterSource { state: State::new(targets, options.clone(), contents, zone), updates, _drivers: drivers }
    }

    /// Waits until everything without which nothing may be served is known; for ever if the API server is away. What is
    /// missing is said to `tell` each time.
    pub async fn synced(&mut self, tell: impl Fn(String)) {
        while !self.state.is_complete(Instant::now()) {
            tell(self.state.awaited());
            self.step().await;
        }
        self.state.begin();
    }

    /// What the cluster says now, for somebody who does not watch it. What may not be read is among its problems.
    pub async fn read_once(mut self) -> Arc<Snapshot> {
        while !self.state.is_settled() {
            self.step().await;
        }
        Arc::clone(&self.state.snapshot)
    }

    /// What the cluster says, as of the last change.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.state.snapshot
    }

    /// Waits until the cluster says something else. The first change after quiet is answered at once; changes that came
    /// meanwhile are answered together. May be dropped while it waits; nothing is lost.
    pub async fn changed(&mut self) -> Changed {
        loop {
            let changed = self.step().await;
            if !changed.delta.is_empty() {
                return changed;
            }
        }
    }

    /// Takes over all updates that wait, of which there is at least one, or what is due.
    async fn step(&mut self) -> Changed {
        let deadline = self.state.deadline();
        let due = async {
            match deadline {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let first = tokio::select! {
            update = self.updates.recv() => update,
            () = due => None,
        };
        let since = Instant::now();
        let mut differences = Differences::default();
        let mut next = first;
        while let Some(update) = next {
            self.state.apply(update, &mut differences, since);
            next = self.updates.try_recv().ok();
        }
        self.state.expire(&mut differences, Instant::now());
        let report = self.state.renew_problems();
        let mut delta: Delta = differences.into_delta(&self.state.snapshot);
        delta.report |= report;
        Changed { delta, since }
    }
}
