//! TLS that is not opened here: what a client says first is read to see whom it asks for, and goes on to an endpoint with
//! all that comes after it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use rustls::server::Acceptor;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::attempt::most_attempts;
use super::balance::{self, Ask, Span, Verdict};
use super::error::UpstreamFault;
use super::io::{Io, Stream};
use super::note::RequestId;
use super::timer::Timer;
use super::tls::lookup_form;
use super::tunnel;
use super::upstream::connect::connect;
use super::upstream::pool::PoolKey;
use super::worker::Worker;
use crate::ir::Protocol;
use crate::live::{Endpoint, Fault, InFlight};
use crate::table::{Route, Target};
use crate::telemetry::access_log::Unseen;
use crate::telemetry::{Attempt, Failure, Record};

/// Where the connections of a server name go, if they are not ours to open.
pub(super) type Destination<'a> = &'a dyn Fn(&str) -> Option<Route>;

/// Octets of a first message that are kept. Real ones have two thousand at most.
const LONGEST: usize = 16 << 10;

/// A connection that is not ours to open.
pub(super) struct Unopened {
    stream: TcpStream,
    /// What was read of it.
    heard: BytesMut,
    server_name: Box<str>,
    route: Route,
}

/// A first message, from a client that is ours to answer or not.
pub(super) enum Greeting {
    Ours(Box<StartHandshake<TcpStream>>),
    Others(Box<Unopened>),
}

/// Reads what the client says first. The caller bounds its time.
pub(super) async fn greet(stream: TcpStream, destination: Destination<'_>) -> io::Result<Greeting> {
    let listening = Listening { stream, heard: BytesMut::new(), is_cut: false };
    let started = LazyConfigAcceptor::new(Acceptor::default(), listening).await?;
    let server_name = started.client_hello().server_name().map(lookup_form);
    let StartHandshake { accepted, io: Listening { stream, heard, is_cut }, .. } = started;
    match server_name.and_then(|name| Some((destination(&name)?, name))) {
        None => Ok(Greeting::Ours(Box::new(StartHandshake::from_parts(accepted, stream)))),
        Some(_) if is_cut => Err(io::Error::new(io::ErrorKind::InvalidData, "the first message is too long")),
        Some((route, name)) => {
            Ok(Greeting::Others(Box::new(Unopened { stream, heard, server_name: name.into(), route })))
        }
    }
}

/// A stream that keeps what is read from it.
struct Listening {
    stream: TcpStream,
    heard: BytesMut,
    /// More was read than is kept.
    is_cut: bool,
}

impl AsyncRead for Listening {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Listening { stream, heard, is_cut } = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        *is_cut |= heard.len() + read.len() > LONGEST;
        if *is_cut {
            *heard = BytesMut::new();
        } else {
            heard.extend_from_slice(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Listening {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Passes the connection of the client at `client` on, to its end. Where nobody takes it, it closes.
pub(super) async fn serve(worker: &Rc<Worker>, unopened: Unopened, client: IpAddr) {
    let _busy = worker.metrics().busy(true).hold();
    let Unopened { stream, heard, server_name, route } = unopened;
    let mut course = Course::new(client);
    match reach(worker, &route, &mut course).await {
        Ok((upstream, _in_flight)) => {
            let (down, up) = (Io::new(Stream::Plain(stream)), Io::new(upstream));
            let idle = route.rule.policy.timeouts.tunnel_idle;
            let sides = tunnel::Sides { down: &down, up: &up, from_client: heard, from_backend: BytesMut::new() };
            let moved = sides.carry(worker, &Timer::default(), idle).await;
            (course.bytes_in, course.bytes_out) = (moved.upward, moved.downward);
        }
        Err(Refused { status, failure }) => {
            drop(stream);
            (course.status, course.failure) = (status, Some(failure));
            worker.metrics().failure(failure);
        }
    }
    worker.metrics().passed_on(course.failure.is_none());
    if !route.rule.filters.is_silent {
        course.log(worker, &route, &server_name);
    }
}

/// Why nobody takes a connection, as for a request.
struct Refused {
    status: u16,
    failure: Failure,
}

impl From<UpstreamFault> for Refused {
    fn from(fault: UpstreamFault) -> Refused {
        Refused { status: fault.status(), failure: fault.failure() }
    }
}

/// A connection to one endpoint of the Service, counted among what is under way there.
async fn reach(worker: &Rc<Worker>, route: &Route, course: &mut Course) -> Result<(Stream, InFlight), Refused> {
    let refused = |failure| Refused { status: 503, failure };
    let Target::Backend(backend) = &route.target else { return Err(refused(Failure::Denied)) };
    let policy = &route.rule.policy;
    let client = course.client;
    // What a template takes from a request is not known: the client stands for it.
    let hash = |_: Option<&_>| balance::key::of_client(client);
    let mut tried: SmallVec<[SocketAddr; 1]> = SmallVec::new();
    let mut last = None;
    loop {
        let began = Instant::now();
        let ask = Ask { worker: worker.index, tried: &tried, pinned: None, now: began.into_std(), hash: &hash };
        let Some(mut in_flight) = balance::pick(backend, &ask) else {
            return Err(last.unwrap_or_else(|| refused(Failure::NoEndpoints)));
        };
        let address = in_flight.endpoint().address;
        let key = PoolKey { address, protocol: Protocol::Http1, identity: 0 };
        let connected = connect(worker, &key, None, policy.timeouts.connect).await;
        let ended = Instant::now();
        let since = began.into_std();
        let span = Span { began: since, since, ended: ended.into_std(), is_measured: true };
        let verdict = match &connected {
            // Of what is said then, nothing is known.
            Ok(_) => Verdict::Answered(200),
            Err(UpstreamFault::Exhausted) => Verdict::Nothing,
            Err(_) => Verdict::Failed(Fault::Connect),
        };
        balance::judge(backend, &mut in_flight, verdict, &span);
        course.attempt(&in_flight, began);
        match connected {
            Ok(stream) => return Ok((stream, in_flight)),
            Err(fault) => {
                course.failed(fault);
                tried.push(address);
                if tried.len() >= most_attempts(policy.retry.tries, backend) {
                    return Err(fault.into());
                }
                last = Some(fault.into());
                route.metrics.retry(worker.index);
            }
        }
    }
}

/// What is noted of a connection for its line of the log.
struct Course {
    client: IpAddr,
    id: RequestId,
    started: Instant,
    status: u16,
    failure: Option<Failure>,
    bytes_in: u64,
    bytes_out: u64,
    attempts: SmallVec<[Tried; 1]>,
}

/// One endpoint that was to take it.
struct Tried {
    endpoint: Arc<Endpoint>,
    began: Instant,
    /// How long it failed, and the status that stands for why.
    failed: Option<(Duration, u16)>,
}

impl Course {
    fn new(client: IpAddr) -> Course {
        Course {
            client: client.to_canonical(),
            id: RequestId::make(),
            started: Instant::now(),
            status: 200,
            failure: None,
            bytes_in: 0,
            bytes_out: 0,
            attempts: SmallVec::new(),
        }
    }

    fn attempt(&mut self, in_flight: &InFlight, began: Instant) {
        self.attempts.push(Tried { endpoint: Arc::clone(in_flight.endpoint()), began, failed: None });
    }

    fn failed(&mut self, fault: UpstreamFault) {
        if let Some(last) = self.attempts.last_mut() {
            last.failed = Some((last.began.elapsed(), fault.status()));
        }
    }

    /// One line, as of a request whose head nobody saw.
    fn log(&self, worker: &Worker, route: &Route, server_name: &str) {
        let mut attempts: SmallVec<[Attempt<'_>; 2]> = SmallVec::new();
        for Tried { endpoint, began, failed } in &self.attempts {
            attempts.push(match *failed {
                None => Attempt {
                    address: &endpoint.text,
                    status: None,
                    elapsed: began.elapsed(),
                    bytes: self.bytes_out,
                    connect: None,
                    header: None,
                },
                Some((elapsed, status)) => Attempt {
                    address: &endpoint.text,
                    status: Some(status),
                    elapsed,
                    bytes: 0,
                    connect: None,
                    header: None,
                },
            });
        }
        let ingress = &route.rule.origin.object.name;
        let record = Record {
            time: worker.clock().now_nanos(),
            request_id: self.id.octets(None),
            client: &self.client.to_string(),
            user: None,
            method: "",
            scheme: "https",
            host: server_name.as_bytes(),
            target: b"",
            protocol: "",
            status: self.status,
            failure: self.failure,
            is_cut: false,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            elapsed: self.started.elapsed(),
            route: Some((&*ingress.namespace, &*ingress.name, &*route.service, &*route.port)),
            upstream_name: route.upstream_name.as_deref(),
            alternative: None,
            attempts: &attempts,
            tls: None,
            sni: Some(server_name),
            referer: None,
            user_agent: None,
        };
        worker.log(worker.table().globals(), &record, &Unseen);
    }
}
