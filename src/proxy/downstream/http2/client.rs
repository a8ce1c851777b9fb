//! One stream: the client's side of one exchange in HTTP/2.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::Shared;
use super::request::{self, Fault};
use crate::http1::{Fields, Framing, RequestHead, ResponseHead};
use crate::ir::Logging;
use crate::proxy::downstream::{Answer, BodySize, Client, ClientFault, Part, Peer};
use crate::proxy::logged::{self, Kept};
use crate::proxy::outbox::{Gone, Outbox, append};
use crate::proxy::timer::Timer;

/// A stream that an exchange answers.
pub(super) struct Http2Client {
    connection: Rc<Shared>,
    body: RefCell<RecvStream>,
    /// Bytes given to the exchange, for which the client gets no new window as yet.
    unreleased: Cell<usize>,
    /// `100 Continue` is owed before the body is read.
    owes_continue: Cell<bool>,
    respond: RefCell<SendResponse<Bytes>>,
    /// The head of the answer, until it is sent.
    head: RefCell<Option<Response<()>>>,
    output: RefCell<Outbox>,
    /// Asked for by the access log.
    keeps: RefCell<Option<Arc<Logging>>>,
    /// What it names of the answer.
    sent: RefCell<Kept>,
    timer: Timer,
}

impl Http2Client {
    pub(super) fn new(
        connection: Rc<Shared>,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        head: Option<&RequestHead>,
    ) -> Http2Client {
        let owes_continue = head.is_some_and(|head| head.expect_continue && head.framing != Framing::None);
        Http2Client {
            connection,
            body: RefCell::new(body),
            unreleased: Cell::new(0),
            owes_continue: Cell::new(owes_continue),
            respond: RefCell::new(respond),
            head: RefCell::default(),
            output: RefCell::default(),
            keeps: RefCell::default(),
            sent: RefCell::default(),
            timer: Timer::default(),
        }
    }

    fn poll_trailers(&self, cx: &mut Context<'_>) -> Poll<Result<Part, ClientFault>> {
        let trailers = match ready!(self.body.borrow_mut().poll_trailers(cx)) {
            Ok(trailers) => trailers,
            Err(_) => return Poll::Ready(Err(ClientFault::Gone)),
        };
        let Some(trailers) = trailers else { return Poll::Ready(Ok(Part::End(None))) };
        Poll::Ready(match request::trailers(&trailers, self.connection.worker.limits()) {
            Ok(fields) => Ok(Part::End(Some(Box::new(fields)))),
            Err(Fault::Refused(refusal)) => Err(ClientFault::Refused(refusal)),
            Err(Fault::Malformed(_)) => {
                self.connection.fault();
                self.reset(Reason::PROTOCOL_ERROR);
                Err(ClientFault::Gone)
            }
        })
    }

    fn reset(&self, reason: Reason) {
        self.head.take();
        if !self.output.borrow_mut().reset(reason) {
            self.respond.borrow_mut().send_reset(reason);
        }
    }
}

impl Client for Http2Client {
    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Part, ClientFault>> {
        let mut body = self.body.borrow_mut();
        let consumed = self.unreleased.take();
        if consumed > 0 && body.flow_control().release_capacity(consumed).is_err() {
            return Poll::Ready(Err(ClientFault::Gone));
        }
        loop {
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
                Poll::Ready(Some(Ok(data))) => {
                    self.owes_continue.set(false);
                    self.unreleased.set(data.len());
                    return Poll::Ready(Ok(Part::Data(data)));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(ClientFault::Gone)),
                Poll::Ready(None) => break,
                Poll::Pending => {
                    if self.owes_continue.replace(false) {
                        let interim = response(StatusCode::CONTINUE, HeaderMap::new());
                        let _gone_anyway = self.respond.borrow_mut().send_informational(interim);
                    }
                    return Poll::Pending;
                }
            }
        }
        drop(body);
        self.poll_trailers(cx)
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut output = self.output.borrow_mut();
        match output.stream() {
            Some(send) => send.poll_reset(cx).map(drop),
            None => self.respond.borrow_mut().poll_reset(cx).map(drop),
        }
    }

    fn queue_interim(&self, head: &ResponseHead) {
        let Ok(status) = StatusCode::from_u16(head.status) else { return };
        let mut fields = HeaderMap::new();
        append(&mut fields, &head.fields);
        let _gone_anyway = self.respond.borrow_mut().send_informational(response(status, fields));
    }

    fn keep(&self, rules: Arc<Logging>) {
        self.keeps.replace(Some(rules));
    }

    fn sent(&self) -> Kept {
        self.sent.take()
    }

    fn queue_head(&self, answer: &Answer<'_>, _close: bool) {
        if let Some(rules) = &*self.keeps.borrow() {
            self.sent.replace(logged::sent(rules, answer));
        }
        self.owes_continue.set(false);
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let count = answer.fields.map_or(0, |fields| fields.count());
        let mut fields = HeaderMap::with_capacity(count + answer.extra.len() + 2);
        if let Some(upstream) = answer.fields {
            append(&mut fields, upstream);
        }
        if !answer.has_date {
            self.connection.worker.clock().with_date(|date| {
                if let Ok(date) = HeaderValue::from_bytes(date) {
                    fields.append(header::DATE, date);
                }
            });
        }
        for (name, value) in answer.extra {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                fields.append(name, value);
            }
        }
        let mut output = self.output.borrow_mut();
        match answer.body {
            BodySize::None { length } => {
                if let Some(length) = length {
                    fields.insert(header::CONTENT_LENGTH, length.into());
                }
                output.finish(None);
            }
            BodySize::Empty => output.finish(None),
            BodySize::Length(length) => {
                fields.insert(header::CONTENT_LENGTH, length.into());
                output.expect(length);
                if length == 0 {
                    output.finish(None);
                }
            }
            BodySize::Unknown => {}
        }
        self.head.replace(Some(response(status, fields)));
    }

    fn queue_data(&self, data: Bytes) {
        self.output.borrow_mut().push(data);
    }

    fn queue_end(&self, trailers: Option<&Fields>) {
        self.output.borrow_mut().finish(trailers);
    }

    fn queued(&self) -> usize {
        self.output.borrow().queued()
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), ClientFault>> {
        let mut output = self.output.borrow_mut();
        if let Some(head) = self.head.take() {
            match self.respond.borrow_mut().send_response(head, output.is_empty_message()) {
                Ok(send) => output.open(send),
                Err(_) => return Poll::Ready(Err(ClientFault::Gone)),
            }
        }
        output.poll_send(cx).map_err(|Gone| ClientFault::Gone)
    }

    fn cut(&self) {
        self.reset(Reason::INTERNAL_ERROR);
    }

    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn peer(&self) -> &Peer {
        &self.connection.peer
    }
}

fn response(status: StatusCode, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
