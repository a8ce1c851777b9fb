//! Message heads: read the lines, index the known fields, decide the framing.

use bytes::{BufMut, Bytes, BytesMut};
use http::Method;

use super::fields::{Span, is_end_to_end, len32, offset};
use super::framing::Evidence;
use super::lines::{Line, Lines, RequestLine, StatusLine};
use super::{Field, Fields, Framing, Known, Refusal};
use crate::telemetry::Failure;
use crate::uri::host;

/// The version a message is treated as. 1.x with x > 1 counts as 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 (heads that the h2 side fills).
    Http2,
}

impl Version {
    /// As nginx names it.
    pub fn protocol(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }

    /// By what a request line says: 1.x with x > 1 is 1.1 (RFC 9110 2.5), and other versions are 505.
    fn of_request(text: &[u8]) -> Result<Version, Refusal> {
        match text {
            b"HTTP/1.1" => Ok(Version::Http11),
            b"HTTP/1.0" => Ok(Version::Http10),
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Ok(Version::Http11),
            [b'H', b'T', b'T', b'P', b'/', b'0' | b'2'..=b'9', b'.', b'0'..=b'9'] => Err(Refusal {
                status: 505,
                failure: Failure::BadRequest,
                limit: None,
                why: "HTTP version is not supported",
            }),
            _ => Err(Refusal::bad("request line has no HTTP version")),
        }
    }
}

/// Octets of a head for each of its fields that room is made for: few heads have more fields.
const USUAL_LINE: usize = 24;

/// A request head. Both front protocols fill it.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// Field lines and the buffer.
    pub fields: Fields,
    /// Method.
    pub method: Method,
    /// Request target as received.
    pub target: Span,
    /// Path as received; empty stands for `/`.
    pub path: Span,
    /// Query as received, with its `?`; empty when there is none.
    pub query: Span,
    /// Host with port as received: the target's authority in absolute form, else the Host field. Empty in HTTP/1.0
    /// without Host.
    pub authority: Span,
    /// The authority without its port.
    pub host: Span,
    /// The port of the authority, when one is written.
    pub port: Option<u16>,
    /// Version.
    pub version: Version,
    /// How its body ends.
    pub framing: Framing,
    /// The client will send another request on the connection.
    pub keep_alive: bool,
    /// `Expect: 100-continue`.
    pub expect_continue: bool,
    /// `TE: trailers`: the client takes trailers.
    pub takes_trailers: bool,
    /// Value of `Upgrade`, when `Connection` names it and the version is 1.1.
    pub upgrade: Option<Span>,
}

impl RequestHead {
    /// The path as received.
    pub fn path(&self) -> &[u8] {
        match self.path.of(&self.fields.bytes) {
            [] => b"/",
            path => path,
        }
    }

    /// The query as received, with its `?`.
    pub fn query(&self) -> &[u8] {
        self.query.of(&self.fields.bytes)
    }

    /// Names and values of the cookies, as sent (RFC 6265 4.2.1). HTTP/2 clients send each in a field of its own.
    pub fn cookies(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields = self.fields.iter().filter(|(_, name, _)| name.eq_ignore_ascii_case(b"cookie"));
        let pairs = fields.flat_map(|(_, _, cookies)| cookies.split(|octet| *octet == b';'));
        pairs.filter_map(|pair| {
            let pair = pair.trim_ascii();
            let (name, value) = pair.split_at_checked(memchr::memchr(b'=', pair)?)?;
            Some((name, value.get(1..)?))
        })
    }

    /// The part of the head at `span`.
    pub fn part(&self, span: Span) -> &[u8] {
        span.of(&self.fields.bytes)
    }

    /// Takes a request head of `len` octets (as [`super::HeadScan`] found it) out of `buffer`, where one
    /// that is refused stays.
    pub fn parse(buffer: &mut BytesMut, len: usize) -> Result<RequestHead, Refusal> {
        let bytes = buffer.split_to(len).freeze();
        let head = Self::read(&bytes);
        if head.is_err() {
            let rest = std::mem::replace(buffer, BytesMut::from(&*bytes));
            buffer.extend_from_slice(&rest);
        }
        head
    }

    fn read(bytes: &Bytes) -> Result<RequestHead, Refusal> {
        let mut lines = Lines::new(bytes);
        let RequestLine { method, target, version } = lines.request()?;
        let method = match Method::from_bytes(method) {
            Ok(method) if is_refused(&method) => return Err(METHOD_REFUSED),
            Ok(method) => method,
            Err(_) => return Err(Refusal::bad("method is no token")),
        };
        let version = Version::of_request(version)?;
        let mut builder = Indexer::default();
        let mut list = Vec::with_capacity(bytes.len() / USUAL_LINE);
        while let Some(Line { name, value, has_underscore }) = lines.field()? {
            let known = Known::of(name);
            builder.request_line(bytes, known, value)?;
            list.push(Field {
                name_start: offset(bytes, name),
                name_len: len32(name.len()),
                value_start: offset(bytes, value),
                value_len: len32(value.len()),
                known,
                skip: is_skipped_in_requests(known) || has_underscore,
            });
        }
        let mut fields = Fields::new(bytes.clone(), list);
        let parts = Target::parse(bytes, target, &method)?;
        let Authority { authority, host, port } = match (builder.host, parts.authority, version) {
            (None, _, Version::Http11) => return Err(Refusal::bad("no Host")),
            (_, Some(authority), _) => authority,
            (Some(host), None, _) => host,
            (None, None, _) => Authority::default(),
        };
        let connection = builder.connection(&mut fields, version);
        Ok(RequestHead {
            method,
            target: Span::within(bytes, target),
            path: parts.path,
            query: parts.query,
            authority,
            host,
            port,
            version,
            framing: builder.evidence.request(version)?,
            keep_alive: connection.keep_alive,
            expect_continue: builder.expect_continue && version == Version::Http11,
            takes_trailers: builder.takes_trailers,
            upgrade: connection.names_upgrade.then_some(builder.upgrade).flatten(),
            fields,
        })
    }
}

/// Whether a method is none for a reverse proxy: CONNECT and TRACE (RFC 9110 9.3.6, 9.3.8).
pub fn is_refused(method: &Method) -> bool {
    matches!(*method, Method::CONNECT | Method::TRACE)
}

/// The answer to a method that [`is_refused`].
pub const METHOD_REFUSED: Refusal =
    Refusal { status: 405, failure: Failure::BadRequest, limit: None, why: "method is refused here" };

/// Fields of a request that are not passed on as they are: meant for this hop, regenerated, or not to be believed.
pub fn is_skipped_in_requests(known: Known) -> bool {
    !is_end_to_end(known)
}

/// Fields of a response that are not passed on: meant for this hop, regenerated, or telling of what is behind us.
pub fn is_skipped_in_responses(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::ContentLength
            | Known::Hop
            | Known::Server
            | Known::Te
            | Known::TransferEncoding
            | Known::Upgrade
            | Known::XAccel
    )
}

/// What the lines of a head say together.
#[derive(Default)]
struct Indexer {
    evidence: Evidence,
    host: Option<Authority>,
    upgrade: Option<Span>,
    expect_continue: bool,
    takes_trailers: bool,
    has_connection: bool,
}

struct Connection {
    keep_alive: bool,
    names_upgrade: bool,
}

impl Indexer {
    fn request_line(&mut self, bytes: &Bytes, known: Known, value: &[u8]) -> Result<(), Refusal> {
        match known {
            Known::Host if self.host.is_some() => return Err(Refusal::bad("second Host")),
            Known::Host => {
                self.host = Some(Authority::parse(bytes, value).ok_or(Refusal::bad("Host is no host"))?);
            }
            Known::Expect if value.eq_ignore_ascii_case(b"100-continue") => self.expect_continue = true,
            Known::Expect => {
                let why = "expectation is not known";
                return Err(Refusal { status: 417, failure: Failure::BadRequest, limit: None, why });
            }
            Known::Te => self.takes_trailers |= options(value).any(|option| option.eq_ignore_ascii_case(b"trailers")),
            _ => self.line(bytes, known, value)?,
        }
        Ok(())
    }

    fn line(&mut self, bytes: &Bytes, known: Known, value: &[u8]) -> Result<(), Refusal> {
        match known {
            Known::Connection => self.has_connection = true,
            Known::Upgrade => self.upgrade = Some(Span::within(bytes, value)),
            _ => self.evidence.line(known, value)?,
        }
        Ok(())
    }

    /// Reads the `Connection` options (RFC 9110 7.6.1) and marks the fields they name.
    fn connection(&self, fields: &mut Fields, version: Version) -> Connection {
        let mut connection = Connection { keep_alive: version != Version::Http10, names_upgrade: false };
        if !self.has_connection {
            return connection;
        }
        let bytes = fields.bytes.clone();
        let values: smallvec::SmallVec<[Span; 2]> = fields
            .list
            .iter()
            .filter(|field| field.known == Known::Connection)
            .map(|field| Span { start: field.value_start, len: field.value_len })
            .collect();
        let mut close = false;
        for option in values.iter().flat_map(|span| options(span.of(&bytes))) {
            if option.eq_ignore_ascii_case(b"close") {
                close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                connection.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                connection.names_upgrade = version == Version::Http11;
            } else {
                fields.skip_option(option);
            }
        }
        connection.keep_alive &= !close;
        connection
    }
}

/// The members of a comma-separated list, without white space and empty ones.
pub fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b',').map(trim).filter(|option| !option.is_empty())
}

/// Without surrounding spaces and tabs.
fn trim(value: &[u8]) -> &[u8] {
    let is_space = |octet: &u8| matches!(octet, b' ' | b'\t');
    let Some(start) = value.iter().position(|octet| !is_space(octet)) else { return &[] };
    let end = value.iter().rposition(|octet| !is_space(octet)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// Where an authority stands in a head.
#[derive(Clone, Copy, Default)]
struct Authority {
    authority: Span,
    host: Span,
    port: Option<u16>,
}

impl Authority {
    fn parse(bytes: &Bytes, value: &[u8]) -> Option<Authority> {
        let (name, port) = host::split(value)?;
        Some(Authority { authority: Span::within(bytes, value), host: Span::within(bytes, name), port })
    }
}

/// The parts of a request target (RFC 9112 3.2).
struct Target {
    path: Span,
    query: Span,
    authority: Option<Authority>,
}

impl Target {
    fn parse(bytes: &Bytes, target: &[u8], method: &Method) -> Result<Target, Refusal> {
        if !target.iter().all(|octet| (0x21..0x7f).contains(octet) && *octet != b'#') {
            return Err(Refusal::bad("target has an octet that must be escaped"));
        }
        let (authority, rest) = match target.first() {
            Some(b'/') => (None, target),
            Some(b'*') if target.len() == 1 && *method == Method::OPTIONS => (None, target),
            _ => {
                let rest = strip_scheme(target).ok_or(Refusal::bad("target is no path"))?;
                let end = rest.iter().position(|octet| matches!(octet, b'/' | b'?')).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                let why = Refusal::bad("authority of the target is no host");
                (Some(Authority::parse(bytes, authority).ok_or(why)?), rest)
            }
        };
        let end = memchr::memchr(b'?', rest).unwrap_or(rest.len());
        let (path, query) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        Ok(Target { path: Span::within(bytes, path), query: Span::within(bytes, query), authority })
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })
}

/// A response head.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Field lines and the buffer.
    pub fields: Fields,
    /// Version.
    pub version: Version,
    /// Status, 100 to 999.
    pub status: u16,
    /// Reason phrase as received.
    pub reason: Span,
    /// How its body ends.
    pub framing: Framing,
    /// The length that a head without body names (HEAD, 304).
    pub named_length: Option<u64>,
    /// The head speaks of a body that is not empty, whether one follows or not.
    pub names_body: bool,
    /// The upstream will take another request on the connection.
    pub keep_alive: bool,
    /// Value of `Upgrade` in a 101.
    pub upgrade: Option<Span>,
    /// It has a `Date`.
    pub has_date: bool,
}

impl ResponseHead {
    /// Whether what came so far, less than a head, can become one. Who does not speak HTTP may never send the empty line
    /// that a head ends with, and nobody should wait for it.
    pub fn may_begin(input: &[u8]) -> bool {
        const BEGINNING: &[u8] = b"HTTP/1.";
        input.iter().zip(BEGINNING).all(|(found, wanted)| found == wanted)
    }

    /// Takes a response head of `len` octets out of `buffer`. Every refusal is a 502.
    pub fn parse(buffer: &mut BytesMut, len: usize, to_head: bool) -> Result<ResponseHead, Refusal> {
        let bytes = buffer.split_to(len).freeze();
        let mut lines = Lines::new(&bytes);
        let StatusLine { version, status, reason } = lines.status()?;
        if status < 100 {
            return Err(Refusal::bad("no status line"));
        }
        let mut indexer = Indexer::default();
        let mut has_date = false;
        let mut list = Vec::with_capacity(bytes.len() / USUAL_LINE);
        while let Some(Line { name, value, has_underscore: _ }) = lines.field()? {
            let known = Known::of(name);
            indexer.line(&bytes, known, value)?;
            has_date |= known == Known::Date;
            list.push(Field {
                name_start: offset(&bytes, name),
                name_len: len32(name.len()),
                value_start: offset(&bytes, value),
                value_len: len32(value.len()),
                known,
                skip: is_skipped_in_responses(known),
            });
        }
        let reason = if reason.is_empty() { Span::default() } else { Span::within(&bytes, reason) };
        let mut fields = Fields::new(bytes, list);
        let connection = indexer.connection(&mut fields, version);
        Ok(ResponseHead {
            framing: indexer.evidence.response(version, status, to_head)?,
            named_length: indexer.evidence.named_length(),
            names_body: indexer.evidence.names_body(),
            keep_alive: connection.keep_alive,
            upgrade: indexer.upgrade,
            fields,
            version,
            status,
            reason,
            has_date,
        })
    }
}

/// Writes a head that did not come as HTTP/1.1 octets (HTTP/2) into one buffer, so that everything after it sees the
/// same type.
#[derive(Debug)]
pub struct HeadBuilder {
    buffer: BytesMut,
    list: Vec<Field>,
    is_request: bool,
}

impl HeadBuilder {
    /// For a request.
    pub fn request() -> HeadBuilder {
        HeadBuilder { buffer: BytesMut::with_capacity(1024), list: Vec::new(), is_request: true }
    }

    /// For a response, or for trailers of either side.
    pub fn response() -> HeadBuilder {
        HeadBuilder { buffer: BytesMut::with_capacity(1024), list: Vec::new(), is_request: false }
    }

    /// Appends a part that is no field, and says where it stands.
    pub fn part(&mut self, octets: &[u8]) -> Span {
        let start = len32(self.buffer.len());
        self.buffer.put_slice(octets);
        Span { start, len: len32(octets.len()) }
    }

    /// Appends a field, and says which one it is.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Known {
        let known = Known::of(name);
        let name_at = self.part(name);
        let value_at = self.part(value);
        self.list.push(Field {
            name_start: name_at.start,
            name_len: name_at.len,
            value_start: value_at.start,
            value_len: value_at.len,
            known,
            skip: match self.is_request {
                true => is_skipped_in_requests(known) || memchr::memchr(b'_', name).is_some(),
                false => is_skipped_in_responses(known),
            },
        });
        known
    }

    /// The fields, with the buffer frozen.
    pub fn finish(self) -> Fields {
        Fields::new(self.buffer.freeze(), self.list)
    }
}
