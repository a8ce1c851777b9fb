//! What is written back to the cluster: the status of Ingresses and Events about problems, by whoever holds the Lease.
//!
//! Everything that is decided is decided without network and with `now` as an argument; two small drivers, one for the Lease
//! and one for what is written, ask the API server. The control loop is never waited for and never waits: it says that
//! something changed, and answers when it is asked what is served.

mod account;
mod address;
mod api;
mod desk;
mod events;
mod leader;
mod lease;
mod pace;
mod status;
mod writer;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use self::account::{Account, Trouble};
pub use self::desk::Desk;
use self::desk::Inquiry;
use self::leader::Leader;
use self::writer::Writer;
use crate::settings::ReportSettings;
use crate::telemetry::Metrics;

/// Pause after a panic.
const RECOVERY: Duration = Duration::from_secs(10);

/// Writes until it is dropped.
pub struct Reporter {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Reporter {
    /// Starts to write, if the settings want anything written. What is served is asked for at the desk. To be called where a
    /// Tokio runtime is.
    pub fn start(client: &Client, settings: &ReportSettings, metrics: &Arc<Metrics>) -> Option<(Reporter, Desk)> {
        if !settings.update_status && !settings.events {
            return None;
        }
        let (desk, inquiry) = desk::open();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(survive(client.clone(), settings.clone(), Arc::clone(metrics), inquiry, stop.clone()));
        Some((Reporter { stop, tasks }, desk))
    }

    /// Ends cleanly: the status is cleared if the settings say so, and the Lease is given up. `patience` at most.
    pub async fn finish(mut self, patience: Duration) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(patience, ended).await;
    }
}

/// A panic here must cost nothing but a pause in writing.
async fn survive(
    client: Client,
    settings: ReportSettings,
    metrics: Arc<Metrics>,
    inquiry: Inquiry,
    stop: CancellationToken,
) {
    loop {
        let writing = write(&client, &settings, &metrics, &inquiry, &stop);
        if AssertUnwindSafe(writing).catch_unwind().await.is_ok() {
            return;
        }
        metrics.panicked();
        error!("writing status and Events broke down; it begins anew");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RECOVERY) => {}
        }
    }
}

async fn write(
    client: &Client,
    settings: &ReportSettings,
    metrics: &Metrics,
    inquiry: &Inquiry,
    stop: &CancellationToken,
) {
    let (leader, leadership) = Leader::new(client, settings, metrics);
    let mut writer = Writer::new(client, settings, leader.identity(), inquiry, leadership, metrics);
    let written = CancellationToken::new();
    let writing = async {
        writer.run(stop).await;
        written.cancel();
    };
    // The Lease outlasts the writer, which may have something to clear.
    tokio::join!(writing, leader.run(&written));
}
