//! SIGTERM, SIGINT and, for whoever sits at a terminal, SIGHUP.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Signals that ask the process to end. Caught from the moment this is made, one message each.
pub struct Signals {
    came: Receiver<()>,
}

impl Signals {
    /// Catches SIGTERM and SIGINT.
    pub fn catch() -> io::Result<Signals> {
        Signals::of(&[SignalKind::terminate(), SignalKind::interrupt()])
    }

    /// Catches SIGHUP too: for a command that must clean up when its terminal closes.
    pub fn catch_all() -> io::Result<Signals> {
        Signals::of(&[SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()])
    }

    fn of(kinds: &[SignalKind]) -> io::Result<Signals> {
        let (send, came) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let streams = {
            let _inside = runtime.enter();
            kinds.iter().map(|kind| signal(*kind)).collect::<io::Result<Vec<_>>>()?
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                let waits = streams.into_iter().map(|mut stream| {
                    let send = send.clone();
                    Box::pin(async move { while stream.recv().await.is_some() && send.send(()).is_ok() {} })
                });
                futures::future::join_all(waits).await;
            });
        })?;
        Ok(Signals { came })
    }

    /// Waits for the next one.
    pub fn wait(&self) {
        let _ = self.came.recv();
    }

    /// Waits for the next one, `patience` at most; whether one came.
    pub fn came_within(&self, patience: Duration) -> bool {
        self.came.recv_timeout(patience) != Err(RecvTimeoutError::Timeout)
    }
}
