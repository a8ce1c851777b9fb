//! A message on its way into an HTTP/2 stream: what waits for the other side's windows, in both directions alike.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::{Reason, SendStream};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::http1::Fields;

/// The body and trailers of one message.
#[derive(Default)]
pub(crate) struct Outbox {
    /// There once the head is sent and a body follows.
    send: Option<SendStream<Bytes>>,
    data: VecDeque<Bytes>,
    /// Small pieces after `data`, copied together: each may be a few bytes of a whole buffer, which it would keep.
    tail: BytesMut,
    queued: usize,
    /// Bytes of the body still to be queued, when its length is told.
    missing: Option<u64>,
    ends: bool,
    trailers: Option<HeaderMap>,
    is_done: bool,
}

/// The stream or its connection is gone.
pub(crate) struct Gone;

impl Outbox {
    /// The length of the body, as the head tells it.
    pub(crate) fn expect(&mut self, length: u64) {
        self.missing = Some(length);
    }

    /// Queues body bytes.
    pub(crate) fn push(&mut self, data: Bytes) {
        self.queued += data.len();
        self.missing = self.missing.map(|missing| missing.saturating_sub(data.len() as u64));
        if data.len() < SMALL {
            self.tail.extend_from_slice(&data);
            if self.tail.len() < ENOUGH {
                return;
            }
        }
        self.seal();
        if data.len() >= SMALL {
            self.data.push_back(data);
        }
    }

    /// Lets the small pieces go as one.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.data.push_back(self.tail.split().freeze());
        }
    }

    /// Queues the end.
    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        self.trailers = trailers.filter(|fields| fields.passed().next().is_some()).map(|fields| {
            let mut map = HeaderMap::with_capacity(fields.count());
            append(&mut map, fields);
            map
        });
        self.ends = true;
    }

    /// Whether the head is the whole message.
    pub(crate) fn is_empty_message(&self) -> bool {
        self.ends && self.queued == 0 && self.trailers.is_none()
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// The head was sent; `send` takes what follows it.
    pub(crate) fn open(&mut self, send: SendStream<Bytes>) {
        self.is_done = self.is_empty_message();
        self.send = Some(send);
    }

    /// The stream, once the head is sent.
    pub(crate) fn stream(&mut self) -> Option<&mut SendStream<Bytes>> {
        self.send.as_mut()
    }

    /// Nothing more is sent. False when the head was not sent, so that the stream must be reset another way.
    pub(crate) fn reset(&mut self, reason: Reason) -> bool {
        self.is_done = true;
        self.send.as_mut().map(|send| send.send_reset(reason)).is_some()
    }

    /// Gives data to `h2` as far as the other side's windows and the send buffer allow. Ready when all is given.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.send.is_none() || self.is_done {
            return Poll::Ready(Ok(()));
        }
        loop {
            // Not before: while older pieces wait, the tail grows instead of their number.
            if self.data.is_empty() {
                self.seal();
            }
            let Some(send) = &mut self.send else { return Poll::Ready(Ok(())) };
            let Some(front) = self.data.front_mut() else { break };
            // The last bytes of a body of known length wait for its end, which comes at once: one frame less.
            if self.missing == Some(0) && !self.ends && self.queued == front.len() {
                return Poll::Ready(Ok(()));
            }
            let wanted = front.len();
            send.reserve_capacity(wanted);
            let room = send.capacity();
            if room == 0 {
                match ready!(send.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
                }
            }
            let piece = if room >= wanted { std::mem::take(front) } else { front.split_to(room) };
            if !front.has_remaining() {
                self.data.pop_front();
            }
            self.queued -= piece.len();
            let is_last = self.ends && self.queued == 0 && self.trailers.is_none();
            send.send_data(piece, is_last).map_err(|_| Gone)?;
            self.is_done = is_last;
        }
        if let (true, false, Some(send)) = (self.ends, self.is_done, &mut self.send) {
            self.is_done = true;
            match self.trailers.take() {
                Some(trailers) => send.send_trailers(trailers).map_err(|_| Gone)?,
                None => send.send_data(Bytes::new(), true).map_err(|_| Gone)?,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Adds the fields that are passed on; values share the buffer they came in.
pub(crate) fn append(map: &mut HeaderMap, fields: &Fields) {
    for (field, name, _) in fields.passed() {
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_maybe_shared(fields.value_bytes(field));
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
}

/// Colon and space of a line, as HTTP/1.1 counts it.
pub(crate) const LINE_OVERHEAD: usize = 2;
/// Pieces below this are copied, bytes.
const SMALL: usize = 4 << 10;
/// So many copied bytes make a piece: one frame of the usual size.
const ENOUGH: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_keep_no_buffers_and_all_stay_in_order() {
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        let buffer = Bytes::from(vec![7; 64 << 10]);
        for _ in 0..40_000 {
            outbox.push(buffer.slice(..1));
        }
        expected.resize(40_000, 7);
        assert_eq!((outbox.queued(), outbox.data.len()), (40_000, 40_000 / ENOUGH));
        assert!(buffer.is_unique(), "a small piece keeps its whole buffer");
        for length in [SMALL, 3, 0, SMALL - 1, 2 * SMALL] {
            let piece = Bytes::from(vec![length as u8 ^ 0x55; length]);
            expected.extend_from_slice(&piece);
            outbox.push(piece);
        }
        assert_eq!(outbox.queued(), expected.len());
        outbox.seal();
        assert!(outbox.data.iter().flatten().eq(&expected));
    }
}
