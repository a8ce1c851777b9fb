//! Idle connections of one worker, the last used first: hot sockets stay hot, the others run out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use tokio::time::Instant;

use super::http1::Http1Upstream;
use crate::ir::Protocol;
use crate::settings::limits::POOL_IDLE_CONNECTIONS;

/// Which connections are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// Address of the endpoint.
    pub address: SocketAddr,
    /// What is spoken on it; TLS without verification and without a name has one identity.
    pub protocol: Protocol,
}

/// Connections that are alike, the last used on top. Boxed, since each is put and taken as it is: once a request.
#[allow(clippy::vec_box, reason = "moving the box is what saves copying the connection")]
type Stack = Vec<Box<Http1Upstream>>;

/// The idle HTTP/1.1 connections of one worker.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<PoolKey, Stack, foldhash::fast::RandomState>>,
    count: std::cell::Cell<usize>,
}

impl Pool {
    /// A connection that is open and clean as far as can be seen.
    pub fn take(&self, key: &PoolKey, now: Instant) -> Option<Box<Http1Upstream>> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(key)?;
        while let Some(connection) = stack.pop() {
            self.count.set(self.count.get().saturating_sub(1));
            if connection.is_usable(now) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a clean connection, if there is room.
    pub fn put(&self, connection: Box<Http1Upstream>) {
        if self.count.get() >= POOL_IDLE_CONNECTIONS {
            return;
        }
        self.idle.borrow_mut().entry(*connection.key()).or_default().push(connection);
        self.count.set(self.count.get() + 1);
    }

    /// Closes what has been idle too long or was closed by the other side. To be called every few seconds.
    pub fn sweep(&self, now: Instant) {
        let mut count = 0;
        self.idle.borrow_mut().retain(|_, stack| {
            stack.retain(|connection| connection.is_usable(now));
            count += stack.len();
            !stack.is_empty()
        });
        self.count.set(count);
    }
}
