//! The byte stream below HTTP/2: meters what a client sends, and gathers what many streams write into few system calls.
//!
//! `h2` flushes after each DATA frame. Here a flush does nothing, and the connection's task pushes once after it has
//! polled `h2`, so answers that became ready together leave together.

use std::cell::RefCell;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::meter::{Breach, Meter};

/// The end that is given to `h2`.
pub(crate) struct Wire<S> {
    shared: Rc<RefCell<Shared<S>>>,
}

/// The end that the connection's task keeps.
pub(crate) struct Tap<S> {
    shared: Rc<RefCell<Shared<S>>>,
}

struct Shared<S> {
    io: S,
    /// Bytes read before it was known that this is HTTP/2.
    prefix: Bytes,
    meter: Option<Meter>,
    breach: Option<Breach>,
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// Since when the peer takes nothing.
    stalled: Option<Instant>,
    /// Whether anything was read since somebody asked.
    heard: bool,
}

/// Both ends of `io`. `prefix` is read first; without a meter nothing is counted.
pub(crate) fn split<S>(io: S, prefix: Bytes, meter: Option<Meter>) -> (Wire<S>, Tap<S>) {
    let shared = Shared { io, prefix, meter, breach: None, out: Vec::new(), written: 0, stalled: None, heard: true };
    let shared = Rc::new(RefCell::new(shared));
    (Wire { shared: Rc::clone(&shared) }, Tap { shared })
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tap<S> {
    /// Writes what was gathered. Ready when all of it left.
    pub(crate) fn poll_push(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.borrow_mut().poll_push(cx)
    }

    /// Gives back the memory of the output buffer, if it is empty.
    pub(crate) fn release(&self) {
        let mut shared = self.shared.borrow_mut();
        if shared.out.is_empty() {
            shared.out = Vec::new();
        }
    }

    /// What the meter found. Nothing more is read once it found something.
    pub(crate) fn breach(&self) -> Option<Breach> {
        self.shared.borrow().breach
    }

    /// Counts a stream that we reset for the client's fault.
    pub(crate) fn fault(&self) {
        let mut shared = self.shared.borrow_mut();
        let now = Instant::now().into_std();
        if let Some(Err(breach)) = shared.meter.as_mut().map(|meter| meter.fault(now)) {
            shared.breach.get_or_insert(breach);
        }
    }

    /// Since when the peer takes nothing of what we have for it.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.shared.borrow().stalled
    }

    /// Whether anything was read since the last call.
    pub(crate) fn take_heard(&self) -> bool {
        std::mem::take(&mut self.shared.borrow_mut().heard)
    }

    /// Reads and forgets, so that closing does not reset the connection under what the peer has not read yet.
    /// Ready at the end of input.
    pub(crate) fn poll_forget(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.borrow_mut();
        let mut room = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut shared.io).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Shared<S> {
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx)?.is_ready();
        if self.written < self.out.len() {
            return Poll::Pending;
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.note_progress(flushed.is_ready());
        flushed
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let rest = self.out.get(self.written..).unwrap_or_default();
            let count = match Pin::new(&mut self.io).poll_write(cx, rest) {
                Poll::Ready(count) => count?,
                Poll::Pending => {
                    self.note_progress(false);
                    return Poll::Pending;
                }
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.note_progress(true);
            self.written += count;
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn note_progress(&mut self, is_progress: bool) {
        if is_progress {
            self.stalled = None;
        } else if self.stalled.is_none() {
            self.stalled = Some(Instant::now());
        }
    }

    /// Writes the gathered bytes and `bufs` in one call, without copying `bufs`. The number of bytes taken of `bufs`.
    fn poll_write_through(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let gathered = self.out.len() - self.written;
        let head = self.out.get(self.written..).unwrap_or_default();
        let mut all: smallvec::SmallVec<[IoSlice<'_>; 8]> = smallvec::SmallVec::new();
        all.push(IoSlice::new(head));
        all.extend(bufs.iter().map(|buf| IoSlice::new(buf)));
        let slices = if gathered == 0 { all.get(1..).unwrap_or_default() } else { &all };
        let count = match Pin::new(&mut self.io).poll_write_vectored(cx, slices) {
            Poll::Ready(count) => count?,
            Poll::Pending => {
                drop(all);
                self.note_progress(false);
                return Poll::Pending;
            }
        };
        drop(all);
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.note_progress(true);
        if count < gathered {
            self.written += count;
            return Poll::Ready(Ok(0));
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(count - gathered))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *self.shared.borrow_mut();
        if shared.breach.is_some() {
            // The connection's task looks at the breach after this poll and ends the connection.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if shared.prefix.is_empty() {
            ready!(Pin::new(&mut shared.io).poll_read(cx, buf))?;
        } else {
            let count = shared.prefix.len().min(buf.remaining());
            buf.put_slice(&shared.prefix.split_to(count));
        }
        let read = buf.filled().get(before..).unwrap_or_default();
        shared.heard |= !read.is_empty();
        let verdict = shared.meter.as_mut().map_or(Ok(()), |meter| meter.feed(read, Instant::now().into_std()));
        if let Err(breach) = verdict {
            shared.breach = Some(breach);
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let shared = &mut *self.shared.borrow_mut();
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        if length < LARGE && shared.out.len() - shared.written + length > GATHER {
            ready!(shared.poll_drain(cx))?;
        }
        if length >= LARGE {
            loop {
                match ready!(shared.poll_write_through(cx, bufs))? {
                    0 => {}
                    count => return Poll::Ready(Ok(count)),
                }
            }
        }
        if shared.written >= GATHER {
            // A peer that always leaves a little would let what is written pile up before it.
            shared.out.drain(..shared.written);
            shared.written = 0;
        }
        for buf in bufs {
            shared.out.extend_from_slice(buf);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared.borrow_mut();
        ready!(shared.poll_push(cx))?;
        Pin::new(&mut shared.io).poll_shutdown(cx)
    }
}

/// Most that is gathered, bytes.
const GATHER: usize = 32 << 10;
/// A write of this size is not copied.
const LARGE: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::settings::Limits;

    #[tokio::test]
    async fn writes_wait_for_the_push_and_keep_their_order() {
        let (near, mut far) = duplex(1 << 20);
        let (mut wire, tap) = split(near, Bytes::new(), None);
        let big = vec![b'b'; LARGE];
        let mut expected: Vec<u8> = Vec::new();
        for part in [&b"small "[..], b"pieces ", &big, b" end"] {
            wire.write_all(part).await.unwrap();
            wire.flush().await.unwrap();
            expected.extend(part);
        }
        poll_fn(|cx| tap.poll_push(cx)).await.unwrap();
        drop((wire, tap));
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert!(got == expected);
    }

    #[tokio::test]
    async fn a_slow_reader_gets_every_byte_once() {
        let (near, mut far) = duplex(700);
        let (mut wire, tap) = split(near, Bytes::new(), None);
        let expected: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        let sent = expected.clone();
        let writer = async move {
            let sizes = [1, 100, 9000, 300, 20_000, 8191, 8192];
            let (mut rest, mut sizes) = (&sent[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (part, tail) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                wire.write_all(part).await.unwrap();
                rest = tail;
            }
            poll_fn(|cx| tap.poll_push(cx)).await.unwrap();
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(writer, far.read_to_end(&mut got));
        read.unwrap();
        assert!(got == expected);
    }

    #[tokio::test]
    async fn a_reader_that_is_always_a_little_behind_makes_no_buffer_grow() {
        let (near, mut far) = duplex(4096);
        let (mut wire, tap) = split(near, Bytes::new(), None);
        let push = || {
            let shared = Rc::clone(&tap.shared);
            poll_fn(move |cx| Poll::Ready(shared.borrow_mut().poll_push(cx).is_ready()))
        };
        let mut room = [0; 4096];
        wire.write_all(&[1; 12_000]).await.unwrap();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
            push().await;
            far.read_exact(&mut room).await.unwrap();
            wire.write_all(&[1; 4096]).await.unwrap();
        }
        assert!(tap.shared.borrow().out.len() <= 3 * GATHER, "{}", tap.shared.borrow().out.len());
    }

    #[tokio::test]
    async fn the_prefix_is_read_first_and_metered() {
        let (near, mut far) = duplex(1024);
        let limits = Limits { h2_control_frames: 1, ..Limits::default() };
        let mut prefix = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        prefix.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        let (mut wire, tap) = split(near, prefix.clone().into(), Some(Meter::new(&limits)));
        let mut got = vec![0; prefix.len()];
        wire.read_exact(&mut got).await.unwrap();
        assert_eq!(got, prefix);
        assert_eq!(tap.breach(), None);
        far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut room = [0; 16];
        let read = poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut room);
            Poll::Ready(Pin::new(&mut wire).poll_read(cx, &mut buffer).is_ready())
        });
        assert!(!read.await, "what breaks the limit is not passed on");
        assert_eq!(tap.breach(), Some(Breach::ControlFrames));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_noticed_and_ends_with_progress() {
        let (near, mut far) = duplex(16);
        let (mut wire, tap) = split(near, Bytes::new(), None);
        wire.write_all(&[1; 40]).await.unwrap();
        let push = |tap: &Tap<_>| {
            let shared = Rc::clone(&tap.shared);
            poll_fn(move |cx| Poll::Ready(shared.borrow_mut().poll_push(cx).is_ready()))
        };
        let start = Instant::now();
        assert!(!push(&tap).await);
        assert_eq!(tap.stalled_since(), Some(start));
        let mut room = [0; 16];
        far.read_exact(&mut room).await.unwrap();
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert!(!push(&tap).await);
        assert_eq!(tap.stalled_since(), Some(start + std::time::Duration::from_secs(1)));
    }
}
