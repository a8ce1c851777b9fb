//! One connection's bytes, plain or TLS, readable and writable from two places of one task.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A TCP connection with or without TLS.
#[derive(Debug)]
pub enum Stream {
    /// Clear text.
    Plain(TcpStream),
    /// TLS, of either side.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The TCP connection below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// A [`Stream`] shared by the reading and the writing half of one task: borrowed within a poll only.
#[derive(Debug)]
pub struct Io {
    stream: RefCell<Stream>,
}

impl Io {
    /// Shares `stream`.
    pub fn new(stream: Stream) -> Io {
        Io { stream: RefCell::new(stream) }
    }

    /// The stream back.
    pub fn into_inner(self) -> Stream {
        self.stream.into_inner()
    }

    /// Reads into the spare room of `buffer`; 0 = end of input.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(&mut *self.stream.borrow_mut()), cx, buffer)
    }

    /// Reads into a fixed piece of memory; 0 = end of input.
    pub fn poll_read_slice(&self, cx: &mut Context<'_>, piece: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(piece);
        ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Writes some of `pieces`, in order.
    pub fn poll_write(&self, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.borrow_mut();
        match pieces {
            [piece] => Pin::new(&mut *stream).poll_write(cx, piece),
            pieces => Pin::new(&mut *stream).poll_write_vectored(cx, pieces),
        }
    }

    /// Hands on what TLS holds back.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx)
    }

    /// Ends our side: close_notify over TLS, then FIN.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }

    /// Ends our side with FIN and without close_notify: over TLS, the sign of an answer that breaks off.
    pub fn shutdown_abruptly(&self) {
        let _gone_anyway = socket2::SockRef::from(self.stream.borrow().tcp()).shutdown(std::net::Shutdown::Write);
    }

    /// Makes the coming close a reset (RST): the sign of a close-delimited answer that breaks off.
    pub fn reset_on_close(&self) {
        let _gone_anyway =
            socket2::SockRef::from(self.stream.borrow().tcp()).set_linger(Some(std::time::Duration::ZERO));
    }
}

/// One worker's watches, counted. Each takes a descriptor, and the number of connections is bounded as if each took two
/// at most, so these must fit into what is left over (`Crowd::watches`).
#[derive(Debug)]
pub struct Watches {
    most: usize,
    count: Rc<()>,
}

impl Watches {
    /// None yet, `most` at a time.
    pub fn new(most: usize) -> Watches {
        Watches { most, count: Rc::default() }
    }

    /// Watches for the end of a connection while nothing is read. `None`: there are too many, or no descriptor is left.
    pub fn watch(&self, io: &Io) -> Option<Watch> {
        if Rc::strong_count(&self.count) > self.most {
            return None;
        }
        let descriptor = io.stream.borrow().tcp().as_fd().try_clone_to_owned().ok()?;
        let twin = TcpStream::from_std(descriptor.into()).ok()?;
        Some(Watch { twin, _counted: Rc::clone(&self.count) })
    }
}

/// Sees the end of a connection past input that nobody reads. It has a descriptor of its own, so that its readiness can
/// be put aside while the connection stays readable.
#[derive(Debug)]
pub struct Watch {
    twin: TcpStream,
    _counted: Rc<()>,
}

impl Watch {
    /// Ready when the other side closed or reset the connection.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let readiness = pin!(self.twin.ready(Interest::READABLE)).poll(cx);
            match readiness {
                Poll::Ready(Ok(readiness)) if !readiness.is_read_closed() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                // Unlike the future above, which ends with this poll, this one keeps the waker.
                Poll::Pending => return self.twin.poll_read_ready(cx).map(drop),
            }
            let _put_aside = self.twin.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }
}
