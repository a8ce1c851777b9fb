//! Idle connections of one worker, the last used first: hot sockets stay hot, the others run out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use tokio::time::Instant;

use super::http1::Http1Upstream;
use crate::ir::Protocol;

/// Which connections are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// Address of the endpoint.
    pub address: SocketAddr,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Who we are on it and whom we take the other end for: the number of its identity; 0: nobody is asked.
    pub identity: u32,
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

    /// Keeps a clean connection, `most` in all. When there is no room, the one that would soonest be too old closes.
    pub fn put(&self, connection: Box<Http1Upstream>, most: usize) {
        let mut idle = self.idle.borrow_mut();
        if self.count.get() < most {
            self.count.set(self.count.get() + 1);
        } else {
            // What was idle for longest in a stack is at its bottom. Looking at every stack costs little beside the connection just
            // made: a pool that is full has room again after each connection that it lends.
            let stacks = idle.values_mut().filter(|stack| !stack.is_empty());
            let Some(oldest) = stacks.min_by_key(|stack| stack.first().map(|bottom| bottom.usable_until())) else {
                return;
            };
            drop(oldest.remove(0));
        }
        idle.entry(*connection.key()).or_default().push(connection);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::proxy::io::Stream;
    use crate::settings::Limits;

    #[tokio::test]
    async fn a_full_pool_closes_what_is_oldest_and_keeps_what_was_just_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key =
            |port| PoolKey { address: SocketAddr::from(([10, 0, 0, 1], port)), protocol: Protocol::Http1, identity: 0 };
        let began = Instant::now();
        let pool = Pool::default();
        let mut accepted = Vec::new();
        for (second, port) in (0..).zip([1, 2, 1, 3]) {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            accepted.push(listener.accept().await.unwrap());
            let since = began + Duration::from_secs(second);
            let connection = Http1Upstream::new(Stream::Plain(stream), key(port), &Limits::default(), since);
            pool.put(Box::new(connection), 3);
        }
        let idle = pool.idle.borrow();
        let seconds = [1, 2, 3].map(|port| {
            let stack = idle.get(&key(port)).unwrap();
            stack.iter().map(|connection| (connection.usable_until() - began).as_secs()).collect::<Vec<_>>()
        });
        assert_eq!(seconds, [vec![2], vec![1], vec![3]], "the first of endpoint 1 made room for that of endpoint 3");
        assert_eq!(pool.count.get(), 3);
    }
}
