//! The control thread: one runtime for the source, the compiler and DNS.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kube::Client;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tracing::info;

use super::StartError;
use crate::controller::{Controller, Outlets, Questions};
use crate::report::Reporter;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::source::cluster::{self, ClusterSource};
use crate::source::{FolderSource, OpenError, Source};
use crate::telemetry::Part;

/// Longest wait for what is to be written back to the cluster at the end.
const FAREWELL: Duration = Duration::from_secs(2);
/// The same where the status of many Ingresses is to be cleared, ten a second.
const CLEARING: Duration = Duration::from_secs(60);

/// The running thread; it ends when this is dropped.
pub(super) struct Control {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    first: Receiver<Result<(), OpenError>>,
}

/// All of it that can be said to be wrong before a port is taken.
pub(super) struct Prepared {
    runtime: Runtime,
    /// `None` in a folder.
    client: Option<Client>,
}

impl Prepared {
    /// `Err` if the settings of the Kubernetes API cannot be used; one that is away is no error.
    pub(super) fn new(settings: &Settings) -> Result<Prepared, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let client = match settings.manifests.is_empty() {
            true => Some(runtime.block_on(cluster::connect(&settings.cluster))?),
            false => None,
        };
        Ok(Prepared { runtime, client })
    }

    /// Starts the thread.
    pub(super) fn start(
        self,
        settings: &Settings,
        outlets: Outlets,
        questions: Questions,
    ) -> Result<Control, StartError> {
        let Prepared { runtime, client } = self;
        let (stop, stopped) = oneshot::channel();
        let (report, first) = mpsc::channel();
        let settings = settings.clone();
        let farewell = if settings.report.clear_on_exit { CLEARING } else { FAREWELL };
        let body = move || {
            let _alive = outlets.readiness.alive(Part::Control);
            let reporter = RefCell::new(None);
            let reporting = &reporter;
            let control = async move {
                let source = match open(&settings, client.as_ref(), &outlets).await {
                    Ok(source) => source,
                    Err(error) => return drop(report.send(Err(error))),
                };
                let metrics = Arc::clone(&outlets.metrics);
                let mut controller = Controller::new(outlets, settings.options, settings.problems);
                controller.answer(questions);
                let started = client.and_then(|client| Reporter::start(&client, &settings.report, &metrics));
                let (reporter, desk) = started.unzip();
                reporting.replace(reporter);
                let mut running = std::pin::pin!(controller.reporting(desk).run(source));
                // The first step applies what is there now; it waits for nothing before.
                let _ = futures::poll!(running.as_mut());
                let _ = report.send(Ok(()));
                match running.await {}
            };
            runtime.block_on(async {
                tokio::select! {
                    () = control => {}
                    // What is written last needs the control loop.
                    () = async {
                        if stopped.await.is_ok() && let Some(reporter) = reporter.take() {
                            reporter.finish(farewell).await;
                        }
                    } => {}
                }
            });
        };
        let thread = thread::Builder::new().name("control".to_owned()).spawn(body).map_err(failed)?;
        Ok(Control { stop: Some(stop), thread: Some(thread), first })
    }
}

impl Control {
    /// Waits for the first table, `patience` at most; whether it is there. Once it is, this is not to be asked again.
    pub(super) fn has_table(&self, patience: Duration, generation: impl Fn() -> u64) -> Result<bool, StartError> {
        match self.first.recv_timeout(patience) {
            Ok(Ok(())) if generation() > 0 => Ok(true),
            Ok(Err(error)) => Err(error.into()),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            // A panic was printed and counted.
            Ok(Ok(())) | Err(RecvTimeoutError::Disconnected) => Err(StartError::NoTable),
        }
    }
}

impl Control {
    /// Ends cleanly: what is to be written to the cluster at the end is written.
    pub(super) fn finish(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn failed(error: std::io::Error) -> StartError {
    StartError::Thread { what: "the control thread", error }
}

/// The source with everything in it that the first table needs.
async fn open(settings: &Settings, client: Option<&Client>, outlets: &Outlets) -> Result<Source, OpenError> {
    let Some(client) = client else {
        let folder = FolderSource::open(&settings.manifests, &settings.options.annotations_prefix)?;
        return Ok(Source::Folder(Box::new(folder)));
    };
    let mut cluster = ClusterSource::open(client, &settings.cluster, &settings.options, &outlets.metrics);
    info!("waiting for the Kubernetes API");
    cluster.synced(|what| outlets.readiness.awaits(what)).await;
    let Snapshot { ingresses, services, slices, secrets, .. } = &**cluster.snapshot();
    info!(
        ingresses = ingresses.len(),
        services = services.len(),
        with_endpoints = slices.len(),
        secrets = secrets.len(),
        "the cluster is known"
    );
    Ok(Source::Cluster(Box::new(cluster)))
}
