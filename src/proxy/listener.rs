//! Accepting: one loop for each worker and port, and a task for each connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing::warn;

use super::crowd::{Crowd, Passed, Place};
use super::drain::{Drain, Phase};
use crate::settings::Limit;
use crate::telemetry::Metrics;

/// A client's connection, before its first byte.
pub(crate) struct Arrival {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// The client.
    pub(crate) peer: SocketAddr,
    /// Whether it came in on an https port.
    pub(crate) is_tls: bool,
}

/// One worker's door: what accepts, counts and starts connections.
pub(crate) struct Door<F> {
    /// Which worker.
    pub(crate) worker: usize,
    /// The count of all workers.
    pub(crate) crowd: Arc<Crowd>,
    /// Where connections, limits and panics are counted.
    pub(crate) metrics: Arc<Metrics>,
    /// When to close.
    pub(crate) drain: Rc<Drain>,
    /// Serves one connection to its end.
    pub(crate) serve: F,
}

impl<F, S> Door<F>
where
    F: Fn(Arrival) -> S,
    S: Future<Output = ()> + 'static,
{
    /// Accepts on `listener` until the process closes; then takes what waits in its queue, and closes it.
    pub(crate) async fn listen(&self, listener: std::net::TcpListener, is_tls: bool) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let closing = self.drain.reached(Phase::Closing);
        let accepting = self.accept(&listener, is_tls);
        tokio::select! {
            biased;
            () = closing => {}
            () = accepting => {}
        }
        // The runtime may not have heard yet of what is in the queue; the kernel has.
        let listener = listener.into_std()?;
        while let Ok((stream, peer)) = listener.accept() {
            stream.set_nonblocking(true)?;
            self.admit(TcpStream::from_std(stream)?, peer, is_tls);
        }
        Ok(())
    }

    /// Starts what other workers pass on.
    pub(crate) async fn receive(&self, mut passed: mpsc::UnboundedReceiver<Passed>) {
        while let Some(Passed { stream, peer, is_tls, place }) = passed.recv().await {
            if let Ok(stream) = TcpStream::from_std(stream) {
                self.start(Arrival { stream, peer, is_tls }, place);
            }
        }
    }

    async fn accept(&self, listener: &TcpListener, is_tls: bool) {
        let mut is_warned = false;
        loop {
            if self.crowd.is_full() {
                self.metrics.worker(self.worker).limit_hit(Limit::connections);
                tokio::time::sleep(FULL_PAUSE).await;
                continue;
            }
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer, is_tls),
                Err(error) if is_exhaustion(&error) => {
                    // The connection stays in the queue, so the socket stays readable: without a pause this loop spins.
                    if !std::mem::replace(&mut is_warned, true) {
                        warn!(%error, "cannot accept connections");
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                // The client went away before it was accepted, or its network did (accept(2)).
                Err(_) => {}
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, is_tls: bool) {
        // A worker without connections is gone as soon as the process closes.
        let is_closing = self.drain.phase() >= Phase::Closing;
        let chosen = if is_closing { self.worker } else { self.crowd.choose(self.worker) };
        let Some(place) = self.crowd.enter(chosen, peer.ip()) else {
            self.metrics.worker(self.worker).limit_hit(Limit::connections_per_client);
            return;
        };
        if stream.set_nodelay(true).is_err() {
            // Only a socket that is dead already refuses.
            return;
        }
        if chosen == self.worker {
            self.start(Arrival { stream, peer, is_tls }, place);
        } else if let Ok(stream) = stream.into_std() {
            self.crowd.pass(Passed { stream, peer, is_tls, place });
        }
    }

    fn start(&self, arrival: Arrival, place: Place) {
        let open =
            Open { metrics: Arc::clone(&self.metrics), worker: self.worker, is_tls: arrival.is_tls, _place: place };
        open.metrics.worker(open.worker).opened(open.is_tls);
        let served = AssertUnwindSafe((self.serve)(arrival)).catch_unwind();
        tokio::task::spawn_local(async move {
            if served.await.is_err() {
                open.metrics.worker(open.worker).panicked();
            }
        });
    }
}

/// A connection in the metrics, until dropped.
struct Open {
    metrics: Arc<Metrics>,
    worker: usize,
    is_tls: bool,
    _place: Place,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.worker(self.worker).closed(self.is_tls);
    }
}

/// Whether it is we who have no room (files, memory), not the client who went away.
fn is_exhaustion(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// How long a full house waits before it looks again.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// How long accepting rests when the system has no file or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::TcpStream as Client;

    use super::*;
    use crate::settings::Limits;

    fn door<F>(metrics: &Arc<Metrics>, limits: &Limits, serve: F) -> (Door<F>, SocketAddr, std::net::TcpListener) {
        let bound =
            super::super::bind::bind(&[std::net::Ipv4Addr::LOCALHOST.into()], 0, 1).unwrap().remove(0).remove(0);
        let address = bound.address();
        let (crowd, _) = Crowd::new(1, limits, 1000);
        let door = Door { worker: 0, crowd, metrics: Arc::clone(metrics), drain: Rc::default(), serve };
        (door, address, bound.listen().unwrap())
    }

    async fn local(test: impl Future<Output = ()>) {
        let limited = tokio::time::timeout(Duration::from_secs(10), test);
        tokio::task::LocalSet::new().run_until(limited).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_ends_its_connection_is_counted_and_leaves_the_others() {
        let metrics = Metrics::new(1, false);
        let served = Rc::new(RefCell::new(0));
        let count = Rc::clone(&served);
        let (door, address, listener) = door(&metrics, &Limits::default(), move |_: Arrival| {
            let count = Rc::clone(&count);
            async move {
                *count.borrow_mut() += 1;
                assert!(*count.borrow() != 1, "the first connection panics");
            }
        });
        local(async {
            let clients = [Client::connect(address).unwrap(), Client::connect(address).unwrap()];
            let drain = Rc::clone(&door.drain);
            let closing = async {
                while door.crowd.total() > 0 || *served.borrow() < 2 {
                    tokio::task::yield_now().await;
                }
                drain.enter(Phase::Closing);
            };
            let (listened, ()) = tokio::join!(door.listen(listener, false), closing);
            listened.unwrap();
            drop(clients);
        })
        .await;
        assert_eq!((*served.borrow(), metrics.panics()), (2, 1));
    }

    #[tokio::test]
    async fn what_waits_in_the_queue_is_served_before_the_socket_closes() {
        let metrics = Metrics::new(1, false);
        let served = Rc::new(RefCell::new(0));
        let count = Rc::clone(&served);
        let (door, address, listener) = door(&metrics, &Limits::default(), move |_: Arrival| {
            *count.borrow_mut() += 1;
            async {}
        });
        local(async {
            let clients: Vec<_> = (0..5).map(|_| Client::connect(address).unwrap()).collect();
            door.drain.enter(Phase::Closing);
            door.listen(listener, false).await.unwrap();
            drop(clients);
        })
        .await;
        assert_eq!(*served.borrow(), 5);
        assert!(Client::connect(address).is_err(), "nobody listens any more");
    }

    #[test]
    fn only_our_own_want_of_room_makes_accepting_rest() {
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        let gone = [Errno::CONNABORTED, Errno::PROTO, Errno::NETDOWN, Errno::HOSTUNREACH];
        assert!(exhausted.iter().all(|errno| is_exhaustion(&(*errno).into())));
        assert!(!gone.iter().any(|errno| is_exhaustion(&(*errno).into())));
    }
}
