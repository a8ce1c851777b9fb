//! Asks the API server for the Lease, and tells the writer whether it may write.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::api::{Api, Complaint, Refusal};
use super::lease::{Answer, Lease, Record, Step};
use crate::settings::ReportSettings;
use crate::telemetry::Metrics;

/// Whether we may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leadership {
    /// For ever: there is no election.
    Always,
    /// Somebody else may.
    None,
    /// Until then, if nothing else is said before.
    Until(Instant),
}

impl Leadership {
    /// Whether we may write at `now`.
    pub(super) fn is_held(self, now: Instant) -> bool {
        match self {
            Leadership::Always => true,
            Leadership::None => false,
            Leadership::Until(until) => now < until,
        }
    }
}

/// The candidate.
pub(super) struct Leader<'a> {
    identity: String,
    /// `None` without election.
    election: Option<Election>,
    told: watch::Sender<Leadership>,
    metrics: &'a Metrics,
}

struct Election {
    api: Api,
    name: String,
    /// Path of the Leases of the namespace.
    leases: String,
    lease: Lease,
    complaint: Complaint,
}

impl<'a> Leader<'a> {
    /// The candidate, and where it says whether we may write.
    pub(super) fn new(
        client: &Client,
        settings: &ReportSettings,
        metrics: &'a Metrics,
    ) -> (Leader<'a>, watch::Receiver<Leadership>) {
        let identity = settings.pod_name.clone().unwrap_or_else(|| format!("fairlead-{:016x}", fastrand::u64(..)));
        let namespace = settings.pod_namespace.as_deref().unwrap_or_else(|| client.default_namespace());
        let election = settings.election.as_ref().map(|election| {
            let ttl = election.ttl.max(LEAST_TTL);
            Election {
                api: Api::new(client, ttl / 3),
                name: election.id.clone(),
                leases: format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
                lease: Lease::new(identity.clone(), ttl, Instant::now()),
                complaint: Complaint::default(),
            }
        });
        let first = if election.is_some() { Leadership::None } else { Leadership::Always };
        let (told, leadership) = watch::channel(first);
        (Leader { identity, election, told, metrics }, leadership)
    }

    /// What we are called: the Pod, else a name of this process.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Runs for the Lease and renews it, until `stop`; then gives it up.
    pub(super) async fn run(self, stop: &CancellationToken) {
        let Leader { election, told, metrics, .. } = self;
        let Some(mut election) = election else { return stop.cancelled().await };
        metrics.set_leader(false);
        loop {
            let until = election.lease.until();
            let (due, _) = election.lease.next();
            // The end of the time in which we may write must be told too.
            let was_held = told.borrow().is_held(Instant::now());
            let wake = until.filter(|_| was_held).map_or(due, |until| until.min(due));
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(wake.into()) => {}
            }
            if Instant::now() >= due {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = election.step(metrics) => {}
                }
            }
            let now = Instant::now();
            let next = match election.lease.until() {
                Some(until) if now < until => Leadership::Until(until),
                _ => Leadership::None,
            };
            let before = told.send_replace(next);
            metrics.set_leader(next.is_held(now));
            match (before == Leadership::None, next == Leadership::None) {
                (true, false) => info!(lease = election.name, "leader: status and Events are written here"),
                (false, true) => info!(lease = election.name, "leader no more"),
                _ => {}
            }
        }
        told.send_replace(Leadership::None);
        metrics.set_leader(false);
        election.release(metrics).await;
    }
}

impl Election {
    async fn step(&mut self, metrics: &Metrics) {
        let (_, step) = self.lease.next();
        let sent = Instant::now();
        let path = format!("{}/{}", self.leases, self.name);
        let (verb, answer) = match step {
            Step::Create => ("create", self.api.create(&self.leases, &self.lease.object(&self.name, &time())).await),
            Step::Read => ("get", self.api.read(&path).await),
            Step::Update => ("update", self.api.replace(&path, &self.lease.object(&self.name, &time())).await),
        };
        let now = Instant::now();
        let answer = match answer {
            Ok(object) => Answer::Record(Record::of(object)),
            // A namespace that is not there is no missing Lease, but asking on does no harm.
            Err(Refusal::Status(404, _)) if step != Step::Create => Answer::Missing,
            Err(Refusal::Status(409, _)) => Answer::Conflict,
            Err(refusal) => {
                self.complaint.log(verb, "leases.coordination.k8s.io", &refusal, metrics, now);
                Answer::Failed
            }
        };
        self.lease.hear(answer, sent, now, fastrand::f64());
    }

    async fn release(&mut self, metrics: &Metrics) {
        let Some(object) = self.lease.released(&time()) else { return };
        let path = format!("{}/{}", self.leases, self.name);
        if let Err(refusal) = self.api.replace(&path, &object).await {
            self.complaint.log("update", "leases.coordination.k8s.io", &refusal, metrics, Instant::now());
        }
    }
}

/// Shorter Leases would be asked for all the time.
const LEAST_TTL: Duration = Duration::from_secs(1);

/// The time of day as `v1 MicroTime` writes it.
pub(super) fn time() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
