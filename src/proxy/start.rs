//! The workers: a thread for each core, its sockets, and the way out.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use super::bind::{self, BindError, Bound};
use super::connection;
use super::crowd::{self, Crowd, Passed};
use super::drain::{Drain, Phase};
use super::external::Remembered;
use super::listener::Door;
use super::tls::{BackendTls, Current, ServerConfigs};
use super::worker::Worker;
use crate::settings::Limits;
use crate::table::{Pin, SharedTable};
use crate::telemetry::{AccessLog, Metrics, Part, Readiness};

/// What the workers share.
#[derive(Clone)]
pub struct Shared {
    /// The table that is served.
    pub table: Arc<SharedTable>,
    /// Limits.
    pub limits: Arc<Limits>,
    /// Counters, with a cell for each worker.
    pub metrics: Arc<Metrics>,
    /// Where a worker that dies is missed.
    pub readiness: Arc<Readiness>,
    /// The access log; `None` = off.
    pub access_log: Option<Arc<AccessLog>>,
}

/// Sockets that are bound and do not listen yet.
pub struct Sockets {
    http: Vec<Vec<Bound>>,
    https: Vec<Vec<Bound>>,
    workers: usize,
}

/// Why the workers do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The kernel gives no thread or socket.
    #[error("cannot start the workers: {0}")]
    Io(#[from] io::Error),
}

impl Sockets {
    /// Binds both ports (`None` = off) for `workers` workers; without addresses on all of IPv4 and IPv6.
    pub fn bind(
        addresses: &[IpAddr],
        http: Option<u16>,
        https: Option<u16>,
        workers: usize,
    ) -> Result<Sockets, BindError> {
        let bind = |port: Option<u16>| match port {
            Some(port) => bind::bind(addresses, port, workers),
            None => Ok((0..workers).map(|_| Vec::new()).collect()),
        };
        Ok(Sockets { http: bind(http)?, https: bind(https)?, workers })
    }

    /// Addresses of the http port.
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.http.first().map(|bound| bound.iter().map(Bound::address).collect()).unwrap_or_default()
    }

    /// Addresses of the https port.
    pub fn https_addresses(&self) -> Vec<SocketAddr> {
        self.https.first().map(|bound| bound.iter().map(Bound::address).collect()).unwrap_or_default()
    }

    /// Listens, and starts a thread for each worker. To be called when the first table is there: from here on requests
    /// are answered.
    pub fn start(self, shared: &Shared) -> Result<Workers, StartError> {
        let table = Arc::clone(&shared.table);
        let current: Current = Arc::new(move || Some(table.load()));
        let config = Arc::new(ServerConfigs::new(current)?);
        let connector = BackendTls::new()?;
        let remembered = Arc::default();
        let (crowd, doors) = Crowd::new(self.workers, &shared.limits, crowd::raise_file_limit());
        let (phase, _) = watch::channel(Phase::Serving);
        let mut threads = Vec::with_capacity(self.workers);
        let sockets = self.http.into_iter().zip(self.https).zip(doors);
        for (index, ((http, https), door)) in sockets.enumerate() {
            let listen = |bound: Vec<Bound>, is_tls| {
                bound.into_iter().map(move |bound| Ok((bound.listen()?, is_tls))).collect::<io::Result<Vec<_>>>()
            };
            let mut listeners = listen(http, false)?;
            listeners.extend(listen(https, true)?);
            let thread = Thread {
                index,
                shared: shared.clone(),
                crowd: Arc::clone(&crowd),
                config: Arc::clone(&config),
                connector: connector.clone(),
                remembered: Arc::clone(&remembered),
                listeners,
                door,
                phase: phase.subscribe(),
            };
            threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || thread.run())?);
        }
        Ok(Workers { phase, crowd, threads })
    }
}

/// Running workers.
pub struct Workers {
    phase: watch::Sender<Phase>,
    crowd: Arc<Crowd>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Workers {
    /// Goes a step further on the way out. Steps back are ignored.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let forward = phase > *current;
            if forward {
                *current = phase;
            }
            forward
        });
    }

    /// Open client connections.
    pub fn connections(&self) -> usize {
        self.crowd.total()
    }

    /// Whether every worker ended, as they do after [`Phase::Closing`] when their last connection is gone.
    pub fn have_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the workers to end, after [`Phase::Closing`], for `patience`; then ends what is left. Whether
    /// everything ended by itself.
    pub fn wait(self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while !self.threads.iter().all(JoinHandle::is_finished) && Instant::now() < deadline {
            std::thread::sleep(TICK.min(deadline.saturating_duration_since(Instant::now())));
        }
        let ended = self.threads.iter().all(JoinHandle::is_finished);
        self.enter(Phase::Ending);
        for thread in self.threads {
            // A panic of the thread itself was printed; there is nothing left to do for it.
            let _ended = thread.join();
        }
        ended
    }
}

/// How often a worker looks after what nobody else looks after.
const TICK: Duration = Duration::from_millis(20);
/// How often the access log is handed on at least.
const FLUSH: Duration = Duration::from_millis(100);
/// How often idle upstream connections are looked at, in flushes.
const SWEEP_EVERY: u32 = 30;

/// What one worker's thread begins with.
struct Thread {
    index: usize,
    shared: Shared,
    crowd: Arc<Crowd>,
    config: Arc<ServerConfigs>,
    connector: BackendTls,
    remembered: Arc<Remembered>,
    listeners: Vec<(TcpListener, bool)>,
    door: mpsc::UnboundedReceiver<Passed>,
    phase: watch::Receiver<Phase>,
}

impl Thread {
    fn run(self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default())?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> io::Result<()> {
        let _alive = self.shared.readiness.alive(Part::Worker);
        let Thread { index, shared, crowd, config, connector, remembered, listeners, door, phase } = self;
        let drain = Rc::new(Drain::default());
        let log = shared.access_log.as_ref().map(AccessLog::writer);
        let worker = Worker::new(
            index,
            Pin::new(shared.table),
            shared.limits,
            Arc::clone(&shared.metrics),
            log,
            Rc::clone(&drain),
            connector,
        );
        let worker = Rc::new(worker.with(crowd.watches(), remembered));
        tokio::task::spawn_local(Rc::clone(&drain).follow(phase));
        tokio::task::spawn_local(Rc::clone(&worker).follow_drain());
        tokio::task::spawn_local(look_after(Rc::clone(&worker)));
        let serving = Rc::clone(&worker);
        let entrance = Rc::new(Door {
            worker: index,
            crowd: Arc::clone(&crowd),
            metrics: shared.metrics,
            drain: Rc::clone(&drain),
            serve: move |arrival| connection::serve(Rc::clone(&serving), Arc::clone(&config), arrival),
        });
        let receiving = Rc::clone(&entrance);
        tokio::task::spawn_local(async move { receiving.receive(door).await });
        let loops = listeners.into_iter().map(|(listener, is_tls)| entrance.listen(listener, is_tls));
        futures::future::try_join_all(loops).await?;
        drain.reached(Phase::Closing).await;
        while crowd.held(index) > 0 && drain.phase() < Phase::Ending {
            tokio::time::sleep(TICK).await;
        }
        worker.flush_log();
        Ok(())
    }
}

/// The allocator gives freed memory back to the system a while after, but looks only when it takes or frees a page. In
/// a quiet thread that is never, so what a burst needed would stay: take one that no bin holds, and free it.
fn give_memory_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
}

/// Hands on log lines, closes what has been idle, and lets go of old tables while no request comes.
async fn look_after(worker: Rc<Worker>) {
    for turn in 1u32.. {
        tokio::time::sleep(FLUSH).await;
        worker.flush_log();
        if turn % SWEEP_EVERY == 0 {
            let now = tokio::time::Instant::now();
            worker.pool().sweep(now);
            worker.http2_pool().sweep(now);
            give_memory_back();
        }
        drop(worker.table());
    }
}
