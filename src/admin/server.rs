//! The HTTP server of the health port and the admin address: small, bounded, on one thread.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::answer::Answered;
use super::webhook::{self, Webhook};
use super::{View, api, health, purge};
use crate::proxy::{BindError, bind_one};

/// Longest wait for a request head on the health port. Probes send theirs at once.
const HEALTH_HEAD_TIME: Duration = Duration::from_secs(2);
/// Longest wait for a request head on the admin address.
const ADMIN_HEAD_TIME: Duration = Duration::from_secs(10);
/// Longest life of a connection, the sending of a long answer to a slow reader included.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// Largest request head, bytes. An `explain` carries a URL.
pub(super) const HEAD_BYTES: usize = 32 << 10;
/// Most fields of a request.
pub(super) const HEAD_FIELDS: usize = 64;
/// Connections at a time on the health port: above what probes and scrapers need by far.
const HEALTH_CONNECTIONS: usize = 512;
/// Connections at a time on the admin address.
const ADMIN_CONNECTIONS: usize = 64;
/// Pause when no connection can be accepted (out of files).
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The sockets, bound at start so that a port in use is told early.
#[derive(Debug)]
pub struct Listeners {
    health: Vec<TcpListener>,
    admin: Vec<TcpListener>,
}

impl Listeners {
    /// Binds every address; with port 0 all addresses of one kind get the same free port. An unspecified IPv6 address is
    /// left out on a machine without IPv6.
    pub fn bind(health: &[SocketAddr], admin: &[SocketAddr]) -> Result<Listeners, BindError> {
        Ok(Listeners { health: bind_all(health)?, admin: bind_all(admin)? })
    }

    /// Addresses of the health port, as bound.
    pub fn health_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.health)
    }

    /// Admin addresses, as bound.
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.admin)
    }
}

pub(super) fn bind_all(wanted: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    let mut bound: Vec<TcpListener> = Vec::new();
    for address in wanted {
        let mut address = *address;
        if let (0, Some(first)) = (address.port(), addresses(&bound).first()) {
            address.set_port(first.port());
        }
        match bind_one(address) {
            Ok(listener) => bound.push(listener),
            Err(BindError::Other { .. }) if address.is_ipv6() && address.ip().is_unspecified() && !bound.is_empty() => {
            }
            Err(error) => return Err(error),
        }
    }
    Ok(bound)
}

pub(super) fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

/// The running server; it ends when this is dropped.
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the thread. Fails when there is no thread or no runtime to be had.
    pub fn start(listeners: Listeners, view: Arc<View>) -> io::Result<Server> {
        Server::start_with(listeners, view, None)
    }

    /// The same, with the admission webhook.
    pub fn start_with(listeners: Listeners, view: Arc<View>, webhook: Option<Webhook>) -> io::Result<Server> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let guard = runtime.enter();
        let sockets = |listeners: Vec<TcpListener>| -> io::Result<Vec<tokio::net::TcpListener>> {
            listeners.into_iter().map(tokio::net::TcpListener::from_std).collect()
        };
        let (health, admin) = (sockets(listeners.health)?, sockets(listeners.admin)?);
        if let Some(webhook) = webhook {
            webhook::serve(webhook)?;
        }
        drop(guard);
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let health_crowd = Arc::new(Crowd::new(HEALTH_CONNECTIONS, HEALTH_HEAD_TIME));
                for socket in health {
                    tokio::spawn(accept(socket, Arc::clone(&health_crowd), Arc::clone(&view), HEALTH));
                }
                let admin_crowd = Arc::new(Crowd::new(ADMIN_CONNECTIONS, ADMIN_HEAD_TIME));
                for socket in admin {
                    tokio::spawn(accept(socket, Arc::clone(&admin_crowd), Arc::clone(&view), ADMIN));
                }
                // An error means that the sender is gone, which is the order to stop too.
                let _ = stopped.await;
            });
        })?;
        Ok(Server { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic is counted and printed where it happened.
            let _ = thread.join();
        }
    }
}

/// What one port answers.
#[derive(Clone, Copy)]
struct Port {
    reads: fn(&View, &Request<Incoming>) -> Answered,
    purges: bool,
}

const HEALTH: Port = Port { reads: health::answer, purges: false };
const ADMIN: Port = Port { reads: api::answer, purges: true };

async fn answer(view: Arc<View>, request: Request<Incoming>, port: Port) -> Answered {
    if port.purges && purge::is_meant(&request) {
        return purge::answer(&view, request).await;
    }
    (port.reads)(&view, &request)
}

async fn accept(socket: tokio::net::TcpListener, crowd: Arc<Crowd>, view: Arc<View>, port: Port) {
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some((permit, place)) = crowd.admit().await else { return };
        let view = Arc::clone(&view);
        tokio::spawn(async move {
            let place = &place;
            let service = service_fn(move |request| {
                place.head_came();
                let answered = answer(Arc::clone(&view), request, port);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            // One request for each connection: an idle one would hold its place.
            let connection = http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(place.crowd.head_time)
                .max_buf_size(HEAD_BYTES)
                .max_headers(HEAD_FIELDS)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // What goes wrong here is the client's to see.
                _ = tokio::time::timeout(CONNECTION_TIME, connection) => {}
                () = place.dismissed() => {}
            }
            drop(permit);
        });
    }
}

/// The connections of one port. A full port makes room by closing the one that is the longest time without a head, else
/// the oldest: those who hold connections open keep no probe waiting.
pub(super) struct Crowd {
    room: Arc<Semaphore>,
    head_time: Duration,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    next: u64,
    /// Under whether a head came and the order of arrival.
    present: BTreeMap<(bool, u64), Arc<Notify>>,
}

impl Crowd {
    pub(super) fn new(connections: usize, head_time: Duration) -> Crowd {
        Crowd { room: Arc::new(Semaphore::new(connections)), head_time, members: Mutex::default() }
    }

    /// A place for one more connection, made if there is none; `None` if there will be none any more.
    pub(super) async fn admit(self: &Arc<Self>) -> Option<(OwnedSemaphorePermit, Place)> {
        let room = Arc::clone(&self.room);
        let permit = match Arc::clone(&room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.dismiss_one();
                room.acquire_owned().await.ok()?
            }
        };
        Some((permit, Place::new(self)))
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dismiss_one(&self) {
        if let Some((_, dismissed)) = self.members().present.pop_first() {
            dismissed.notify_one();
        }
    }
}

/// One connection's place among the others.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    dismissed: Arc<Notify>,
}

impl Place {
    fn new(crowd: &Arc<Crowd>) -> Place {
        let dismissed = Arc::new(Notify::new());
        let mut members = crowd.members();
        let number = members.next;
        members.next += 1;
        members.present.insert((false, number), Arc::clone(&dismissed));
        Place { crowd: Arc::clone(crowd), number, dismissed }
    }

    /// Waits until somebody else needs the place.
    pub(super) async fn dismissed(&self) {
        self.dismissed.notified().await;
    }

    pub(super) fn head_came(&self) {
        let mut members = self.crowd.members();
        if let Some(dismissed) = members.present.remove(&(false, self.number)) {
            members.present.insert((true, self.number), dismissed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut members = self.crowd.members();
        members.present.remove(&(false, self.number));
        members.present.remove(&(true, self.number));
    }
}
