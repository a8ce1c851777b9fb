//! The whole of Fairlead in one process: what is started in which order, and how it ends.

mod control;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use self::control::{Control, Prepared};
pub use self::signals::Signals;
use crate::admin::webhook::{Webhook, WebhookError};
use crate::admin::{AnswerSettings, Listener, Listeners, Server, ShortText, View};
use crate::compile;
use crate::controller::{Outlets, Snapshots, Standing, seconds_since_epoch};
use crate::ir::{Config, text};
use crate::live::Registry;
use crate::proxy::{self, BindError, Checks, Phase, Shared, Sockets, Workers};
use crate::settings::{CompileOptions, Settings};
use crate::snapshot::secret;
use crate::source::{ClientError, OpenError};
use crate::table::{RoutingTable, SharedTable};
use crate::telemetry::log::ProcessLog;
use crate::telemetry::{AccessLog, Metrics, Readiness};

/// Where logs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// Nowhere: for a caller that has the terminal for itself, or that runs several.
    Quiet,
    /// The process log to standard error, the access log to standard output.
    Standard,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// How to reach the Kubernetes API cannot be made out.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The manifests cannot be read.
    #[error(transparent)]
    Source(#[from] OpenError),
    /// Compiling panicked at the first attempt.
    #[error("the objects could not be compiled; this is a bug of Fairlead, please report it with them")]
    NoTable,
    /// The workers do not start.
    #[error(transparent)]
    Workers(#[from] proxy::StartError),
    /// The kernel gives no thread.
    #[error("cannot start {what}: {error}")]
    Thread {
        /// Which part.
        what: &'static str,
        /// What the kernel says.
        error: std::io::Error,
    },
    /// There is no admission webhook.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// No certificate can be made.
    #[error("{0}")]
    Certificate(String),
}

/// Addresses as bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The http port; empty = off.
    pub http: Vec<SocketAddr>,
    /// The https port; empty = off.
    pub https: Vec<SocketAddr>,
    /// Health and metrics; empty = off.
    pub health: Vec<SocketAddr>,
    /// JSON API and dashboard.
    pub admin: SocketAddr,
    /// The admission webhook; empty = off.
    pub webhook: Vec<SocketAddr>,
}

impl Addresses {
    fn log(&self) {
        let Addresses { http, https, health, admin, webhook } = self;
        info!(?http, ?https, ?health, %admin, ?webhook, "serving");
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A second signal came before everything was drained.
    Cut,
    /// Listeners closed, open requests ended or had their time.
    Drained,
}

/// A running Fairlead. To be ended with [`Running::drain`]; when it is dropped instead, its threads end with the process.
pub struct Running {
    addresses: Addresses,
    grace: Duration,
    drain: Duration,
    is_drain_given: bool,
    outlets: Outlets,
    workers: Workers,
    control: Control,
    access_log: Option<Arc<AccessLog>>,
    process_log: Option<ProcessLog>,
    /// Last: it answers probes while all else ends.
    _admin: Server,
}

impl Running {
    /// Starts everything and waits for the first table: when this returns, requests are answered. Port 0 in `settings`
    /// means any free port.
    pub fn start(settings: Settings, logs: Logs) -> Result<Running, StartError> {
        let is_over = || false;
        // It is given up only when it is over.
        Running::start_unless(settings, logs, &is_over).and_then(|running| running.ok_or(StartError::NoTable))
    }

    /// The same, given up with `None` as soon as `is_over`: the Kubernetes API may be away for ever.
    pub fn start_unless(
        mut settings: Settings,
        logs: Logs,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Option<Running>, StartError> {
        // Somebody else in this process may have chosen one before; then that one is used.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let metrics = Metrics::new(settings.workers, settings.metrics_per_ingress);
        let (process_log, access_log) = match logs {
            Logs::Quiet => (None, None),
            Logs::Standard => start_logs(&settings, &metrics)?,
        };
        let prepared = Prepared::new(&settings)?;
        let sockets =
            Sockets::bind(&settings.bind_addresses, settings.http_port, settings.https_port, settings.workers)?;
        let listeners = Listeners::bind(&settings.health_addresses, &[settings.admin_address])?;
        let (snapshots, questions) = Snapshots::new();
        let webhook = settings.webhook.as_ref().filter(|_| settings.manifests.is_empty());
        let webhook = webhook.map(|webhook| Webhook::new(webhook, &settings.cluster, &settings.options, snapshots));
        let webhook = webhook.transpose()?;
        let addresses = Addresses {
            webhook: webhook.as_ref().map(Webhook::addresses).unwrap_or_default(),
            http: sockets.http_addresses(),
            https: sockets.https_addresses(),
            health: listeners.health_addresses(),
            admin: listeners.admin_addresses().first().copied().unwrap_or(settings.admin_address),
        };
        // Redirects name the port that the kernel gave.
        settings.http_port = addresses.http.first().map(SocketAddr::port);
        settings.https_port = addresses.https.first().map(SocketAddr::port);
        settings.options.http_port = settings.http_port;
        settings.options.https_port = settings.https_port;

        let default_certificate = Arc::new(secret::self_made(seconds_since_epoch()).map_err(StartError::Certificate)?);
        let outlets = Outlets {
            table: Arc::new(SharedTable::new(Arc::new(RoutingTable::empty(&default_certificate)))),
            registry: Arc::new(Registry::with_cache(settings.workers, settings.cache_size)),
            checks: Checks::new(&metrics),
            metrics: Arc::clone(&metrics),
            readiness: Readiness::new(),
            problems: Arc::default(),
            default_certificate,
        };
        // Before the first table: a probe must learn that there is none yet.
        let admin = Server::start_with(listeners, Arc::new(view(&settings, &outlets)), webhook)
            .map_err(thread("the admin thread"))?;
        let control = prepared.start(&settings, outlets.clone(), questions)?;
        while !control.has_table(LOOK_EVERY, || outlets.table.generation())? {
            if is_over() {
                return Ok(None);
            }
        }
        let shared = Shared {
            table: Arc::clone(&outlets.table),
            limits: Arc::new(settings.limits.clone()),
            metrics,
            readiness: Arc::clone(&outlets.readiness),
            access_log: access_log.clone(),
        };
        let workers = sockets.start(&shared)?;
        outlets.readiness.listeners_bound();
        addresses.log();
        Ok(Some(Running {
            addresses,
            grace: settings.shutdown_grace_period,
            drain: settings.drain_timeout,
            is_drain_given: settings.is_drain_timeout_given,
            outlets,
            workers,
            control,
            access_log,
            process_log,
            _admin: admin,
        }))
    }

    /// Addresses as bound.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What is served now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(self.outlets.table.load().config())
    }

    /// What is wrong now, in the order of every printed list.
    pub fn problems(&self) -> Arc<Vec<Standing>> {
        self.outlets.problems.load_full()
    }

    /// Ends in this order: not ready from here on, the grace period, then open requests have the drain
    /// time-out. A signal that comes meanwhile cuts everything.
    pub fn drain(self, signals: &Signals) -> Ended {
        let said = self.outlets.table.load().globals().drain.filter(|_| !self.is_drain_given);
        let longest = said.unwrap_or(self.drain);
        info!(grace = ?self.grace, timeout = ?longest, connections = self.workers.connections(), "draining");
        self.outlets.readiness.begin_draining();
        self.workers.enter(Phase::Farewell);
        if !self.grace.is_zero() && signals.came_within(self.grace) {
            return self.end(Ended::Cut);
        }
        self.workers.enter(Phase::Closing);
        let deadline = Instant::now() + longest;
        while !self.workers.have_ended() {
            if Instant::now() >= deadline {
                warn!(connections = self.workers.connections(), "drain time-out: closing what is open");
                break;
            }
            if signals.came_within(LOOK_EVERY) {
                return self.end(Ended::Cut);
            }
        }
        self.end(Ended::Drained)
    }

    /// Control last: endpoints may change while requests end. Then what was logged is written.
    fn end(self, how: Ended) -> Ended {
        if how == Ended::Cut {
            warn!("second signal: exiting at once");
        } else {
            self.workers.wait(Duration::ZERO);
            info!("drained");
        }
        match how {
            Ended::Cut => drop(self.control),
            Ended::Drained => self.control.finish(),
        }
        if let Some(log) = &self.access_log {
            log.settle(LOG_PATIENCE);
        }
        if let Some(log) = &self.process_log {
            log.settle(LOG_PATIENCE);
        }
        how
    }
}

fn start_logs(
    settings: &Settings,
    metrics: &Metrics,
) -> Result<(Option<ProcessLog>, Option<Arc<AccessLog>>), StartError> {
    let dropped = metrics.dropped_lines();
    let process_log = ProcessLog::start(settings.log_level, settings.log_format, Arc::clone(&dropped));
    let access_log = AccessLog::stdout(settings.log_format, dropped).map_err(thread("the access log"))?;
    Ok((Some(process_log.map_err(thread("the log"))?), Some(access_log)))
}

fn thread(what: &'static str) -> impl FnOnce(std::io::Error) -> StartError {
    move |error| StartError::Thread { what, error }
}

fn view(settings: &Settings, outlets: &Outlets) -> View {
    let Outlets { table, registry, checks: _, metrics, readiness, problems, default_certificate } = outlets.clone();
    let answers =
        AnswerSettings { has_metrics: settings.metrics, health_check_path: settings.health_check_path.clone() };
    View {
        table,
        registry,
        metrics,
        readiness,
        problems,
        listeners: named_listeners(settings),
        default_certificate,
        short_text: short_text(settings.options.clone()),
        settings: answers,
    }
}

/// `check` prints the same.
fn short_text(options: CompileOptions) -> ShortText {
    let (filters, policy) = compile::plain(&options);
    Box::new(move |config| {
        let (http_port, https_port) = (options.http_port, options.https_port);
        text::Form { http_port, https_port, filters: &filters, policy: &policy }.config(config)
    })
}

fn named_listeners(settings: &Settings) -> Vec<Listener> {
    let http = settings.http_port.map(|port| Listener { name: "http", port });
    let https = settings.https_port.map(|port| Listener { name: "https", port });
    http.into_iter().chain(https).collect()
}

/// How often a wait looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for the writers of logs.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
