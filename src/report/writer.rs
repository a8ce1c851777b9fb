//! While we hold the Lease: finds out the addresses, asks what is served, and writes what is due.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Account;
use super::address;
use super::api::{Api, Complaint, Patch, Refusal};
use super::desk::Inquiry;
use super::events::{self, Events};
use super::leader::{Leadership, time};
use super::status::{self, Statuses};
use crate::settings::{Published, ReportSettings};
use crate::telemetry::Metrics;

/// Longest wait for one answer; shorter under a short Lease.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is served is asked for no more often than this: after quiet at once.
const ASK_APART: Duration = Duration::from_secs(1);
/// How often a Service, or the nodes of our Pods, are looked at.
const SERVICE_EVERY: Duration = Duration::from_secs(5);
const NODES_EVERY: Duration = Duration::from_secs(30);
/// Waits after failures: doubled from the first to the last.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(800), Duration::from_secs(30)];
/// Nodes whose addresses are written at most.
const NODES: usize = 100;

/// Writes status and Events.
pub(super) struct Writer<'a> {
    api: Api,
    settings: &'a ReportSettings,
    identity: String,
    /// Path of the Pods of our namespace.
    pods: String,
    inquiry: &'a Inquiry,
    leadership: watch::Receiver<Leadership>,
    metrics: &'a Metrics,
    statuses: Statuses,
    events: Events,
    addresses: Vec<String>,
    /// That there is no address was said.
    is_homeless: bool,
    failures: u32,
    /// Nothing is asked before.
    pause: Instant,
    complaints: [Complaint; 3],
}

/// When the next of each is due.
struct Due {
    account: Option<Instant>,
    addresses: Instant,
    /// No account before.
    not_before: Instant,
}

impl<'a> Writer<'a> {
    /// Nothing written yet.
    pub(super) fn new(
        client: &Client,
        settings: &'a ReportSettings,
        identity: &str,
        inquiry: &'a Inquiry,
        leadership: watch::Receiver<Leadership>,
        metrics: &'a Metrics,
    ) -> Writer<'a> {
        let ttl = settings.election.as_ref().map_or(PATIENCE * 3, |election| election.ttl);
        let namespace = settings.pod_namespace.as_deref().unwrap_or_else(|| client.default_namespace());
        Writer {
            // A request that is under way when the Lease is lost must not outlast it.
            api: Api::new(client, PATIENCE.min(ttl / 4)),
            settings,
            identity: identity.to_owned(),
            pods: format!("/api/v1/namespaces/{namespace}/pods"),
            inquiry,
            leadership,
            metrics,
            statuses: Statuses::new(settings.status_interval),
            events: Events::new(),
            addresses: Vec::new(),
            is_homeless: false,
            failures: 0,
            pause: Instant::now(),
            complaints: Default::default(),
        }
    }

    /// Writes until `stop`, whenever we are the leader.
    pub(super) async fn run(&mut self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.write() => {}
        }
        if self.settings.update_status && self.settings.clear_on_exit && self.is_leader() && self.is_alone().await {
            self.clear().await;
        }
    }

    async fn write(&mut self) {
        loop {
            if self.wait_for_leadership().await.is_err() {
                return;
            }
            let now = Instant::now();
            self.pause = now;
            let mut due = Due { account: Some(now), addresses: now, not_before: now };
            while self.is_leader() {
                self.step(&mut due).await;
                tokio::select! {
                    () = sleep_until(self.wake(&due).into()) => {}
                    () = self.inquiry.changed() => due.account = Some(due.not_before),
                    _ = self.leadership.changed() => {}
                }
            }
            self.statuses.forget();
            self.events.forget();
        }
    }

    async fn wait_for_leadership(&mut self) -> Result<(), watch::error::RecvError> {
        let is_held = |leadership: &Leadership| leadership.is_held(Instant::now());
        self.leadership.wait_for(is_held).await.map(drop)
    }

    fn is_leader(&self) -> bool {
        self.leadership.borrow().is_held(Instant::now())
    }

    /// When there is something to do next.
    fn wake(&self, due: &Due) -> Instant {
        let now = Instant::now();
        let statuses = self.statuses.todo.due(now);
        let mut wake = due.addresses;
        for other in
            [due.account.map(|at| at.max(due.not_before)), statuses, self.events.todo.due(now)].into_iter().flatten()
        {
            wake = wake.min(other);
        }
        let wake = wake.max(self.pause);
        match *self.leadership.borrow() {
            Leadership::Until(until) => wake.min(until),
            Leadership::Always | Leadership::None => wake,
        }
    }

    /// Does what is due: at most one of each, so that one kind does not hold up the other.
    async fn step(&mut self, due: &mut Due) {
        if Instant::now() < self.pause {
            return;
        }
        if Instant::now() >= due.addresses {
            if self.settings.update_status && self.look_up().await {
                due.account = Some(due.not_before);
            }
            due.addresses = Instant::now() + self.look_up_every();
        }
        let now = Instant::now();
        if due.account.is_some_and(|at| now >= at.max(due.not_before)) {
            // A question that is not answered is asked again, and what is wrong or differs then is told again.
            due.account = Some(now + self.settings.status_interval);
            due.not_before = now + ASK_APART;
            if let Some(account) = self.inquiry.account().await {
                self.plan(account);
            }
        }
        if self.is_leader()
            && let Some(write) = self.statuses.todo.next(Instant::now())
        {
            self.write_status(write, due).await;
        }
        if self.is_leader()
            && let Some(write) = self.events.todo.next(Instant::now())
        {
            self.write_event(write, due).await;
        }
    }

    fn plan(&mut self, account: Account) {
        let Account { ingresses, troubles } = account;
        let now = Instant::now();
        if self.settings.update_status {
            self.statuses.plan(&ingresses, &self.addresses, now);
        }
        if self.settings.events {
            self.events.plan(troubles, now);
        }
    }

    async fn write_status(&mut self, write: status::Write, due: &mut Due) {
        let how = Patch::Apply(&self.settings.controller_class);
        let answer = self.api.patch(&write.path(), how, &write.object()).await;
        let now = Instant::now();
        match answer {
            Ok(_) => {
                self.failures = 0;
                self.statuses.written(write, now);
            }
            // It went, or another one has its name now.
            Err(refusal) if matches!(refusal.code(), 404 | 409) => self.statuses.written(write, now),
            Err(refusal) if refusal.is_passing() => self.fail("patch", STATUS, &refusal, due),
            Err(refusal) => {
                self.complain("patch", STATUS, &refusal);
                self.statuses.written(write, now);
            }
        }
    }

    async fn write_event(&mut self, write: events::Write, due: &mut Due) {
        let event = write.object(&self.settings.controller_class, &self.identity, &time());
        let answer = self.api.create(&write.path(), &event).await;
        let is_there = answer.as_ref().is_err_and(|refusal| refusal.code() == 409);
        let (verb, answer) = if is_there && write.is_repeated() {
            ("patch", self.api.patch(&write.own_path(), Patch::Merge, &write.series(&time())).await)
        } else {
            ("create", answer)
        };
        let now = Instant::now();
        match answer {
            Ok(_) => {
                self.failures = 0;
                self.events.written(write, now);
            }
            Err(_) if is_there && verb == "create" => self.events.written(write, now),
            Err(refusal) if refusal.is_passing() => self.fail(verb, EVENTS, &refusal, due),
            Err(refusal) => {
                self.complain(verb, EVENTS, &refusal);
                self.events.refused(write, now);
            }
        }
    }

    /// Finds out under which addresses we are reached; whether they are others than before. While nothing can be found out,
    /// what was known counts.
    async fn look_up(&mut self) -> bool {
        let found = match &self.settings.published {
            Published::Addresses(addresses) => Ok(address::sorted(addresses.iter().map(String::as_str))),
            Published::Service(name) => {
                let path = format!("/api/v1/namespaces/{}/services/{}", name.namespace, name.name);
                self.api.read(&path).await.map(|service| address::of_service(&service)).map_err(|why| ("services", why))
            }
            Published::Nodes { only_internal } => self.nodes(*only_internal).await,
        };
        match found {
            Ok(found) if !found.is_empty() && found != self.addresses => {
                info!(addresses = found.join(","), "the status of Ingresses shows these");
                self.addresses = found;
                true
            }
            Ok(_) if self.addresses.is_empty() && !self.is_homeless => {
                self.is_homeless = true;
                info!(of = ?self.settings.published, "no address to show in the status of Ingresses yet");
                false
            }
            Ok(_) => false,
            Err((resource, refusal)) => {
                self.complain("get", resource, &refusal);
                false
            }
        }
    }

    async fn nodes(&self, only_internal: bool) -> Result<Vec<String>, (&'static str, Refusal)> {
        // Outside of a Pod there is no node to name.
        let Some(pods) = self.fellows().await.map_err(|why| ("pods", why))? else { return Ok(Vec::new()) };
        let mut all = BTreeSet::new();
        for node in address::nodes(&pods).into_iter().take(NODES) {
            let found = self.api.read(&format!("/api/v1/nodes/{node}")).await.map_err(|why| ("nodes", why))?;
            all.extend(address::of_node(&found, only_internal));
        }
        Ok(address::sorted(all.iter().map(String::as_str)))
    }

    /// The Pods of our Deployment or DaemonSet, as a list; `None` if we are in none.
    async fn fellows(&self) -> Result<Option<serde_json::Value>, Refusal> {
        let Some(pod) = &self.settings.pod_name else { return Ok(None) };
        let own = self.api.read(&format!("{}/{pod}", self.pods)).await?;
        let Some(selector) = address::selector(&own) else { return Ok(None) };
        self.api.read(&format!("{}?labelSelector={selector}", self.pods)).await.map(Some)
    }

    fn look_up_every(&self) -> Duration {
        match self.settings.published {
            Published::Addresses(_) => self.settings.status_interval,
            Published::Nodes { .. } if !self.addresses.is_empty() => NODES_EVERY,
            Published::Nodes { .. } | Published::Service(_) => SERVICE_EVERY,
        }
    }

    /// No other Pod of ours runs, as far as one can see.
    async fn is_alone(&self) -> bool {
        match self.fellows().await {
            Ok(Some(pods)) => {
                address::running(&pods).iter().all(|name| Some(*name) == self.settings.pod_name.as_deref())
            }
            Ok(None) => true,
            Err(refusal) => {
                let error = refusal.words();
                warn!(error, "the status is kept: whether other Pods of ours run cannot be seen");
                false
            }
        }
    }

    async fn clear(&mut self) {
        let Some(account) = self.inquiry.account().await else { return };
        self.statuses.plan_clearing(&account.ingresses);
        while let Some(due) = self.statuses.todo.due(Instant::now()) {
            sleep_until(due.into()).await;
            if !self.is_leader() {
                return;
            }
            let Some(write) = self.statuses.todo.next(Instant::now()) else { continue };
            let how = Patch::Apply(&self.settings.controller_class);
            if let Err(refusal) = self.api.patch(&write.path(), how, &write.object()).await {
                self.complain("patch", STATUS, &refusal);
            }
        }
    }

    /// Nothing is asked for a while, longer each time, and then everything that is due is found out anew.
    fn fail(&mut self, verb: &'static str, resource: &'static str, refusal: &Refusal, due: &mut Due) {
        self.complain(verb, resource, refusal);
        let [first, last] = BACK_OFF;
        let wait = first.saturating_mul(1 << self.failures.min(10)).min(last);
        self.failures += 1;
        self.pause = Instant::now() + wait.mul_f64(0.5 + fastrand::f64() / 2.0);
        due.account = Some(self.pause);
    }

    fn complain(&mut self, verb: &'static str, resource: &'static str, refusal: &Refusal) {
        let [statuses, events, others] = &mut self.complaints;
        let complaint = match resource {
            STATUS => statuses,
            EVENTS => events,
            _ => others,
        };
        complaint.log(verb, resource, refusal, self.metrics, Instant::now());
    }
}

const STATUS: &str = "ingresses/status.networking.k8s.io";
const EVENTS: &str = "events.events.k8s.io";
