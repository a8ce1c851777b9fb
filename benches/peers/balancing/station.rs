//! The back ends: each works on some requests at once, takes a random time for each, and lets the others wait in order.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use super::alarm::Alarm;
use super::plan::Job;
use crate::origin::number_after;

/// What fails, fails so many times quicker: the worst case for whoever looks at load or latency.
const FAILS_QUICKER: f64 = 10.0;

const SOUND: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nsound";
const FAILED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nfailed";

/// One back end.
pub(super) struct Station {
    /// Mean time for one request.
    pub(super) mean: Duration,
    /// Share of requests that are answered with 503.
    pub(super) failing: f64,
    /// Requests that are worked on at once; fair, so that the others wait in order.
    pub(super) places: Semaphore,
    /// Requests of the plan that came here.
    pub(super) came: Cell<u64>,
    pub(super) plan: Rc<[Job]>,
    pub(super) alarm: Alarm,
}

impl Station {
    /// Listens and answers in the background of the current `LocalSet`.
    pub(super) fn listen(self: &Rc<Self>, address: SocketAddr) -> std::io::Result<()> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener: TcpListener = socket.listen(4096)?;
        let station = self.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(station.clone().answer_all(stream));
            }
        });
        Ok(())
    }

    async fn answer_all(self: Rc<Self>, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut input = BytesMut::with_capacity(4 << 10);
        loop {
            let Some(end) = memchr::memmem::find(&input, b"\r\n\r\n") else {
                if stream.read_buf(&mut input).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let head = input.split_to(end + 4);
            let fails = self.work(number_after(&head, b" /job/")).await;
            stream.write_all(if fails { FAILED } else { SOUND }).await?;
        }
    }

    /// Does the job of that number, or what a health check asks, which is no work; whether it failed.
    async fn work(&self, number: Option<usize>) -> bool {
        let Some(job) = number.and_then(|number| self.plan.get(number)) else {
            return fastrand::f64() < self.failing;
        };
        self.came.set(self.came.get() + 1);
        // Never closed, so there is always a permit in the end.
        let _place = self.places.acquire().await;
        let fails = job.luck < self.failing;
        let time = self.mean.mul_f64(job.work / if fails { FAILS_QUICKER } else { 1.0 });
        self.alarm.until(Instant::now() + time).await;
        fails
    }
}
