//! The client's side of an exchange: one interface, spoken in HTTP/1.1 and in HTTP/2.

pub mod http1;
pub mod http2;
pub mod meter;
pub mod proxy_header;
pub(super) mod wire;

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::filter::{self, Way};
use crate::http1::{Fields, Refusal, RequestHead, ResponseHead, serialise};
use crate::ir::Logging;
use crate::proxy::client_auth::Presented;
use crate::proxy::logged::Kept;
use crate::proxy::seats::Seats;
use crate::proxy::timer::Timer;

/// What is known of a client connection from its start.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Client address and port.
    pub address: SocketAddr,
    /// Our address and port that it connected to.
    pub local: SocketAddr,
    /// The far end of the socket: the client, or the last proxy before us.
    pub hop: IpAddr,
    /// A PROXY header named the client.
    pub is_told: bool,
    /// TLS facts; `None` in clear text.
    pub tls: Option<TlsFacts>,
    is_https: bool,
    /// The scheme, where a proxy before us names one that is neither `http` nor `https`.
    other_scheme: Option<Box<str>>,
    /// `X-Forwarded-For`, where that is more than the client's address.
    chain: Option<Box<str>>,
    /// `X-Forwarded-Port`: the listener's port, printed.
    port_text: Box<str>,
    /// A proxy before us named it.
    is_port_told: bool,
    /// The client's address, printed.
    client_text: Box<str>,
    /// The lines of a request that say who the client is, the same for every request.
    pub client_lines: Box<[u8]>,
    /// The lines that say how it came.
    pub way_lines: Box<[u8]>,
    /// What it holds of the connections that an Ingress allows its client.
    pub seats: Seats,
    /// Its number among all connections of the process, from 1 on.
    pub serial: u64,
    requests: Cell<u64>,
}

/// The number of the last connection.
static LAST: AtomicU64 = AtomicU64::new(0);

impl Peer {
    /// A client at `address` that connected to `local`, over TLS or not.
    pub fn new(address: SocketAddr, local: SocketAddr, tls: Option<TlsFacts>) -> Peer {
        let is_https = tls.is_some();
        let port = if is_https { HTTPS_PORT } else { local.port() };
        let hop = address.ip().to_canonical();
        let blank = Peer {
            address,
            local,
            hop,
            is_told: false,
            tls,
            is_https,
            other_scheme: None,
            chain: None,
            port_text: port.to_string().into(),
            is_port_told: false,
            client_text: hop.to_string().into(),
            client_lines: Box::default(),
            way_lines: Box::default(),
            seats: Seats::default(),
            serial: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            requests: Cell::default(),
        };
        blank.printed()
    }

    /// The same connection, of a client that a proxy tells of: its address, `X-Forwarded-For` where that is more, and how
    /// it came.
    pub fn seen(&self, client: Option<IpAddr>, chain: Option<String>, told: Told) -> Peer {
        let address = client.map_or(self.address, |client| SocketAddr::new(client, 0));
        let is_https = told.is_https.unwrap_or(self.is_https);
        let port_text = told.port.map_or_else(|| self.port_text.clone(), |port| port.to_string().into());
        let seen = Peer {
            address,
            local: self.local,
            hop: self.hop,
            is_told: self.is_told,
            tls: self.tls.clone(),
            is_https,
            other_scheme: told.scheme,
            chain: chain.map(String::into),
            port_text,
            is_port_told: told.port.is_some(),
            client_text: address.ip().to_canonical().to_string().into(),
            client_lines: Box::default(),
            way_lines: Box::default(),
            seats: Seats::default(),
            serial: self.serial,
            requests: Cell::default(),
        };
        seen.printed()
    }

    /// The same connection, as a PROXY header tells of it. Where it names no addresses, nothing changes.
    pub fn told(self, addresses: Option<(SocketAddr, SocketAddr)>) -> Peer {
        let Some((client, local)) = addresses else { return self };
        let is_https = self.is_https || local.port() == HTTPS_PORT;
        // Our own https port is not what a client sees in front of us; any other is what it asked for.
        let is_own = self.tls.is_some() && local.port() == self.local.port();
        let port = if is_own { HTTPS_PORT } else { local.port() };
        let told = Peer {
            address: client,
            local,
            is_told: true,
            is_https,
            port_text: port.to_string().into(),
            client_text: client.ip().to_canonical().to_string().into(),
            ..self
        };
        told.printed()
    }

    fn printed(self) -> Peer {
        let client_lines = lines(&self.client_fields());
        let way_lines = lines(&self.way_fields());
        Peer { client_lines, way_lines, ..self }
    }

    /// The fields of [`Peer::client_lines`].
    pub fn client_fields(&self) -> [(&'static str, &str); 2] {
        let list = self.chain.as_deref().unwrap_or(&self.client_text);
        [("X-Real-IP", &self.client_text), ("X-Forwarded-For", list)]
    }

    /// The fields of [`Peer::way_lines`].
    pub fn way_fields(&self) -> [(&'static str, &str); 4] {
        let (port, scheme) = (&*self.port_text, self.other_scheme.as_deref().unwrap_or(self.scheme()));
        [
            ("X-Forwarded-Port", port),
            ("X-Forwarded-Proto", scheme),
            ("X-Forwarded-Scheme", scheme),
            ("X-Scheme", scheme),
        ]
    }

    /// The client's address without port; an IPv4 client on an IPv6 socket is an IPv4 client.
    pub fn client(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }

    /// The same, printed.
    pub fn client_text(&self) -> &str {
        &self.client_text
    }

    /// The port that the client sees: `X-Forwarded-Port`.
    pub fn port_text(&self) -> &str {
        &self.port_text
    }

    /// Counts one more request of the connection, and says which one that is, from 1 on.
    pub fn count(&self) -> u64 {
        self.requests.update(|count| count + 1);
        self.requests.get()
    }

    /// A request of it, as filters see it.
    pub fn request<'a>(&'a self, head: &'a RequestHead) -> filter::Request<'a> {
        filter::Request {
            head,
            client: self.client(),
            client_text: &self.client_text,
            is_tls: self.is_https,
            is_clear: !self.is_https && self.other_scheme.is_none(),
            forwarded_host: None,
            request_id: b"",
            port: &self.port_text,
            is_port_told: self.is_port_told,
            route: None,
        }
    }

    /// How answers go to it.
    pub fn way(&self) -> Way {
        Way { is_tls: self.tls.is_some(), is_self_made: self.tls.as_ref().is_some_and(|tls| tls.is_self_made) }
    }

    /// The client speaks TLS, to us or to a proxy before us that is believed.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// `https` or `http`, as the client sees it.
    pub fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}

/// How a client came to a proxy before us, as far as that says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Over TLS.
    pub is_https: Option<bool>,
    /// By a scheme that is neither `http` nor `https`, in its words.
    pub scheme: Option<Box<str>>,
    /// To this port.
    pub port: Option<u16>,
}

/// The fields as HTTP/1.1 writes them.
fn lines(fields: &[(&str, &str)]) -> Box<[u8]> {
    let mut lines = Vec::new();
    for (name, value) in fields {
        serialise::field(&mut lines, name.as_bytes(), value.as_bytes());
    }
    lines.into()
}

/// `X-Forwarded-Port` over TLS, whatever port we listen on: what a client sees in front of us.
const HTTPS_PORT: u16 = 443;

/// What the handshake said.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as OpenSSL names it.
    pub cipher: &'static str,
    /// Server name asked for, lower case.
    pub server_name: Option<Box<str>>,
    /// The certificate served is the one we made ourselves.
    pub is_self_made: bool,
    /// What the client showed, where it was asked for a certificate.
    pub presented: Option<Rc<Presented>>,
}

/// A part of a body, of either direction.
#[derive(Debug)]
pub enum Part {
    /// Body bytes, not empty.
    Data(Bytes),
    /// The end, with trailers if there were any.
    End(Option<Box<Fields>>),
}

/// Why a client gets no answer, or a refusal instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// The connection or stream is gone: closed, reset, or half-closed during a request.
    Gone,
    /// The body is malformed or too slow: answer this, then close.
    Refused(Refusal),
}

/// How the length of an answer's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodySize {
    /// No body follows, and the head names `length` if it is known (HEAD, 304).
    None {
        /// `Content-Length` of the head.
        length: Option<u64>,
    },
    /// Nothing, which the head does not say where it can end the message itself (HTTP/2).
    Empty,
    /// Exactly so many octets.
    Length(u64),
    /// Known when it ends.
    Unknown,
}

/// The head of an answer, on its way to the client.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Status.
    pub status: u16,
    /// Reason phrase for HTTP/1.1; empty = the usual one.
    pub reason: &'a [u8],
    /// The upstream's fields; those marked `skip` stay behind.
    pub fields: Option<&'a Fields>,
    /// Fields of ours, after those of the upstream.
    pub extra: &'a [(&'a str, &'a [u8])],
    /// Body.
    pub body: BodySize,
    /// The upstream's fields have a `Date` already.
    pub has_date: bool,
    /// The upstream switched protocols: `Connection: upgrade` and this token are sent.
    pub upgrade: Option<&'a [u8]>,
}

/// The client's side of one exchange. Everything is polled from one task, and takes `&self`, so that a body can come in
/// while an answer goes out.
pub trait Client {
    /// The next part of the request body. Sends `100 Continue` first if the client waits for it. A gap between reads
    /// is not judged here but by the exchange.
    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Part, ClientFault>>;

    /// Ready when the client went away. Called only while no body is being read; takes in pipelined bytes up to a limit.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Queues an interim (1xx) answer; nothing for clients that do not understand them.
    fn queue_interim(&self, head: &ResponseHead);

    /// Queues the head of the final answer. `close` asks for the end of the connection after it (HTTP/1.1 only).
    fn queue_head(&self, answer: &Answer<'_>, close: bool);

    /// Queues body bytes. At most the limit `buffer` bytes are queued before [`Client::poll_flush`] is ready.
    fn queue_data(&self, data: Bytes);

    /// Queues the end of the answer; trailers go only to clients that take them.
    fn queue_end(&self, trailers: Option<&Fields>);

    /// Keeps of the answer what the access log names of it.
    fn keep(&self, _rules: Arc<Logging>) {}

    /// Hands over what was kept.
    fn sent(&self) -> Kept {
        Kept::new()
    }

    /// Bytes queued and not yet written.
    fn queued(&self) -> usize;

    /// Writes what is queued.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), ClientFault>>;

    /// The answer breaks off: what comes next on the wire must look cut, never complete.
    fn cut(&self);

    /// The HTTP/1.1 connection, for upgrades; `None` for other protocols.
    fn http1(&self) -> Option<&http1::Http1Client> {
        None
    }

    /// The timer of the task.
    fn timer(&self) -> &Timer;

    /// Who it is.
    fn peer(&self) -> &Peer;
}
