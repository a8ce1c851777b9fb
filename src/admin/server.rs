//! The HTTP server of the health port and the admin address: small, bounded, on one thread.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime;
use tokio::sync::{Semaphore, oneshot};

use super::answer::Answered;
use super::{View, api, health};
use crate::proxy::{BindError, bind_one};

/// Longest wait for a request head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Longest life of a connection, the sending of a long answer to a slow reader included.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// Largest request head, bytes. An `explain` carries a URL.
const HEAD_BYTES: usize = 32 << 10;
/// Most fields of a request.
const HEAD_FIELDS: usize = 64;
/// Connections at a time on the health port: above what probes and scrapers need by far.
const HEALTH_CONNECTIONS: usize = 512;
/// Connections at a time on the admin address.
const ADMIN_CONNECTIONS: usize = 64;
/// Pause when no connection can be accepted (out of files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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

fn bind_all(wanted: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
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

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
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
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let guard = runtime.enter();
        let sockets = |listeners: Vec<TcpListener>| -> io::Result<Vec<tokio::net::TcpListener>> {
            listeners.into_iter().map(tokio::net::TcpListener::from_std).collect()
        };
        let (health, admin) = (sockets(listeners.health)?, sockets(listeners.admin)?);
        drop(guard);
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let rooms = [HEALTH_CONNECTIONS, ADMIN_CONNECTIONS].map(|room| Arc::new(Semaphore::new(room)));
                let [health_room, admin_room] = &rooms;
                for socket in health {
                    tokio::spawn(accept(socket, Arc::clone(health_room), Arc::clone(&view), health::answer));
                }
                for socket in admin {
                    tokio::spawn(accept(socket, Arc::clone(admin_room), Arc::clone(&view), api::answer));
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

type Answer = fn(&View, &Request<Incoming>) -> Answered;

async fn accept(socket: tokio::net::TcpListener, room: Arc<Semaphore>, view: Arc<View>, answer: Answer) {
    loop {
        // Who waits here, waits in the kernel's queue.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let view = Arc::clone(&view);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&view, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            // One request for each connection: an idle one would hold its place.
            let connection = http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(HEAD_BYTES)
                .max_headers(HEAD_FIELDS)
                .serve_connection(TokioIo::new(stream), service);
            // What goes wrong here is the client's to see.
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
            drop(permit);
        });
    }
}
