//! HTTP/2 to back ends (gRPC): few connections for each address, many streams on each.

mod link;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri};

pub use self::link::Http2Pool;
use self::link::{Link, LinkState};
use super::pool::PoolKey;
use crate::http1::framing::Evidence;
use crate::http1::head::HeadBuilder;
use crate::http1::{Fields, Framing, Known, ResponseHead, Span, Version};
use crate::proxy::downstream::Part;
use crate::proxy::error::UpstreamFault;
use crate::proxy::forward::Outgoing;
use crate::proxy::outbox::{Gone, LINE_OVERHEAD, Outbox, append};
use crate::settings::Limits;

/// One request on a stream of its own.
pub struct Http2Upstream {
    send: RefCell<SendRequest<Bytes>>,
    state: Rc<LinkState>,
    scheme: Scheme,
    most_fields: usize,
    most_trailers: (usize, usize),
    /// What the connection's `heard` was at the start.
    heard_before: u64,
    to_head: Cell<bool>,
    /// The request's head, until it is sent.
    request: RefCell<Option<Request<()>>>,
    output: RefCell<Outbox>,
    response: RefCell<Option<ResponseFuture>>,
    body: RefCell<Option<RecvStream>>,
    /// The final head says that no body follows, whatever the back end sends.
    is_bodiless: Cell<bool>,
    /// Bytes given to the exchange, for which the back end gets no new window as yet.
    unreleased: Cell<usize>,
}

impl Http2Upstream {
    fn new(link: &Link, key: PoolKey, limits: &Limits) -> Http2Upstream {
        let (send, state) = link.begin();
        Http2Upstream {
            heard_before: state.heard(),
            send: RefCell::new(send),
            state,
            scheme: if key.protocol.is_tls() { Scheme::HTTPS } else { Scheme::HTTP },
            most_fields: usize::try_from(limits.response_fields).unwrap_or(usize::MAX),
            most_trailers: (limits.trailers.bytes(), usize::try_from(limits.trailer_fields).unwrap_or(usize::MAX)),
            to_head: Cell::new(false),
            request: RefCell::default(),
            output: RefCell::default(),
            response: RefCell::default(),
            body: RefCell::default(),
            is_bodiless: Cell::new(false),
            unreleased: Cell::new(0),
        }
    }

    /// Queues the request head. `end`: no body follows.
    pub fn queue_head(&self, request: &Outgoing<'_>, end: bool) {
        self.to_head.set(*request.method == Method::HEAD);
        let mut output = self.output.borrow_mut();
        if let Framing::Length(length) = request.framing {
            output.expect(length);
        }
        if end {
            output.finish(None);
        }
        *self.request.borrow_mut() = head(request, self.scheme.clone());
    }

    /// Queues body bytes.
    pub fn queue_data(&self, data: Bytes) {
        self.output.borrow_mut().push(data);
    }

    /// Queues the end of the body.
    pub fn queue_end(&self, trailers: Option<&Fields>) {
        self.output.borrow_mut().finish(trailers);
    }

    /// Sends what is queued, as far as the back end's windows allow.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamFault>> {
        let mut output = self.output.borrow_mut();
        if self.request.borrow().is_some() {
            let mut send = self.send.borrow_mut();
            ready!(send.poll_ready(cx)).map_err(|_| UpstreamFault::NotTaken)?;
            if let Some(request) = self.request.take() {
                let sent = send.send_request(request, output.is_empty_message());
                let (response, stream) = sent.map_err(|_| UpstreamFault::NotTaken)?;
                *self.response.borrow_mut() = Some(response);
                output.open(stream);
            }
        }
        if self.response.borrow().is_none() && self.body.borrow().is_none() {
            return Poll::Ready(Err(UpstreamFault::Invalid));
        }
        match output.poll_send(cx) {
            // A back end may answer without taking the whole body (RFC 9113 8.1); what it has to say is in the answer.
            Poll::Ready(Ok(()) | Err(Gone)) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The next response head, interim ones included.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, UpstreamFault>> {
        let mut slot = self.response.borrow_mut();
        let Some(response) = slot.as_mut() else { return Poll::Ready(Err(UpstreamFault::Reset)) };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            return Poll::Ready(self.response_head(&interim, false));
        }
        let response = ready!(pin!(response).poll(cx));
        *slot = None;
        let response = response.map_err(|error| fault(&error))?;
        let head = self.response_head(&response, response.body().is_end_stream());
        self.is_bodiless.set(head.as_ref().is_ok_and(|head| head.framing == Framing::None));
        *self.body.borrow_mut() = Some(response.into_body());
        Poll::Ready(head)
    }

    /// The next part of the body.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Part, UpstreamFault>> {
        let mut slot = self.body.borrow_mut();
        let Some(body) = slot.as_mut() else { return Poll::Ready(Err(UpstreamFault::Cut)) };
        if self.is_bodiless.get() {
            // What comes after a 204, a 304 or an answer to HEAD is nobody's: the client would take it for the next answer.
            return Poll::Ready(Ok(Part::End(None)));
        }
        let consumed = self.unreleased.take();
        if consumed > 0 && body.flow_control().release_capacity(consumed).is_err() {
            return Poll::Ready(Err(UpstreamFault::Cut));
        }
        loop {
            match ready!(body.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.unreleased.set(data.len());
                    return Poll::Ready(Ok(Part::Data(data)));
                }
                Some(Err(_)) => return Poll::Ready(Err(UpstreamFault::Cut)),
                None => break,
            }
        }
        let trailers = ready!(body.poll_trailers(cx)).map_err(|_| UpstreamFault::Cut)?;
        if trailers.as_ref().is_some_and(|trailers| !self.may_pass(trailers)) {
            return Poll::Ready(Err(UpstreamFault::Cut));
        }
        Poll::Ready(Ok(Part::End(trailers.map(|trailers| Box::new(self.fields(&trailers).0)))))
    }

    /// Whether trailers keep to their limits, as those from an HTTP/1.1 back end must.
    fn may_pass(&self, trailers: &HeaderMap) -> bool {
        let (most_bytes, most_fields) = self.most_trailers;
        let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + LINE_OVERHEAD;
        trailers.len() <= most_fields && trailers.iter().map(line).sum::<usize>() <= most_bytes
    }

    fn response_head<B>(&self, response: &Response<B>, ends: bool) -> Result<ResponseHead, UpstreamFault> {
        let status = response.status().as_u16();
        if status == 101 || response.headers().len() > self.most_fields {
            return Err(UpstreamFault::Invalid);
        }
        let (fields, evidence, has_date) = self.fields(response.headers());
        let evidence = evidence.ok_or(UpstreamFault::Invalid)?;
        let framing = evidence.response(Version::Http11, status, self.to_head.get());
        let framing = match framing.map_err(|_| UpstreamFault::Invalid)? {
            Framing::UntilClose if ends => Framing::Length(0),
            Framing::UntilClose => Framing::Chunked,
            framing => framing,
        };
        Ok(ResponseHead {
            fields,
            version: Version::Http2,
            status,
            reason: Span::default(),
            framing,
            named_length: evidence.named_length(),
            names_body: evidence.names_body(),
            keep_alive: true,
            upgrade: None,
            has_date,
        })
    }

    /// The fields, what they say about the body (`None`: nonsense), and whether there is a `Date`.
    fn fields(&self, map: &HeaderMap) -> (Fields, Option<Evidence>, bool) {
        let mut builder = HeadBuilder::response();
        let mut evidence = Some(Evidence::default());
        let mut has_date = false;
        for (name, value) in map {
            let value = value.as_bytes().trim_ascii();
            let known = builder.field(name.as_str().as_bytes(), value);
            has_date |= known == Known::Date;
            if evidence.as_mut().is_some_and(|evidence| evidence.line(known, value).is_err()) {
                evidence = None;
            }
        }
        (builder.finish(), evidence, has_date)
    }
}

impl Http2Upstream {
    /// Whether no other stream has told yet that the connection broke.
    pub fn is_first_to_break(&self) -> bool {
        self.state.is_first_to_break()
    }
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        let is_unanswered = self.response.get_mut().is_some();
        self.state.ended(is_unanswered, self.heard_before);
    }
}

/// What a broken stream means before its head came. What the back end says it did not look at may be sent again
/// (RFC 9113 8.7). A stream that it ends tells about this request, a connection that ends about none of its streams.
fn fault(error: &h2::Error) -> UpstreamFault {
    let is_refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    if error.is_remote() && (is_refused || error.is_go_away()) {
        UpstreamFault::NotTaken
    } else if error.is_remote() && error.is_reset() {
        UpstreamFault::StreamReset
    } else if error.is_library() {
        UpstreamFault::Invalid
    } else {
        UpstreamFault::Reset
    }
}

/// The head in HTTP/2; `None` if its host or path cannot be written there.
fn head(outgoing: &Outgoing<'_>, scheme: Scheme) -> Option<Request<()>> {
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(Authority::try_from(outgoing.host).ok()?)
        .path_and_query(target(outgoing.path, outgoing.query)?)
        .build()
        .ok()?;
    let mut request = Request::new(());
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri;
    let fields = request.headers_mut();
    fields.reserve(outgoing.head.fields.count() + ADDITIONS);
    append(fields, outgoing.fields());
    let mut add = |name: &str, value: &[u8]| {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    };
    outgoing.edits.added().iter().for_each(|(name, value)| add(name, value));
    outgoing.each_addition(|name, value| add(name, value));
    if outgoing.te_trailers {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Framing::Length(length) = outgoing.framing {
        fields.insert(header::CONTENT_LENGTH, length.into());
    }
    Some(request)
}

/// Path and query; octets that `http` does not take in a path are escaped.
fn target(path: &[u8], query: &[u8]) -> Option<PathAndQuery> {
    let mut target = Vec::with_capacity(path.len() + query.len());
    target.extend_from_slice(path);
    target.extend_from_slice(query);
    PathAndQuery::try_from(target.as_slice()).ok().or_else(|| {
        let mut escaped = String::with_capacity(target.len() + 16);
        for octet in &target {
            if matches!(octet, b'<' | b'>' | b'`' | b'"' | b'{' | b'}' | b'^' | b'|' | b'\\') {
                escaped.push_str(&format!("%{octet:02X}"));
            } else {
                escaped.push(char::from(*octet));
            }
        }
        PathAndQuery::try_from(escaped).ok()
    })
}

/// Fields that are added to a request, about.
const ADDITIONS: usize = 12;
