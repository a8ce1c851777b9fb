//! Heads and bodies into bytes: the only place where HTTP/1.1 is written, so everything sent is canonical.

use std::io::IoSlice;

use bytes::Bytes;

use super::{Fields, Framing};

/// Bodies up to this size are copied behind their head, so that one write carries both.
const COPY_LIMIT: usize = 4096;

/// Appends `name: value`.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the field lines that are passed on.
/// Lines that were received in the one form that is sent, one after the other, are copied in one piece.
pub fn fields(out: &mut Vec<u8>, fields: &Fields) {
    let bytes = &fields.bytes;
    let mut run = 0..0;
    for line in fields.list.iter().filter(|line| !line.skip) {
        let start = line.name_start as usize;
        let name_end = start + line.name_len as usize;
        let value_start = line.value_start as usize;
        let end = value_start + line.value_len as usize;
        let is_canonical = value_start == name_end + 2
            && bytes.get(name_end..value_start) == Some(b": ")
            && bytes.get(end..end + 2) == Some(b"\r\n");
        if is_canonical && start == run.end {
            run.end = end + 2;
            continue;
        }
        out.extend_from_slice(bytes.get(run).unwrap_or_default());
        if is_canonical {
            run = start..end + 2;
        } else {
            field(out, fields.name(line), fields.value(line));
            run = end..end;
        }
    }
    out.extend_from_slice(bytes.get(run).unwrap_or_default());
}

/// Appends a request line, of HTTP/1.1 or of HTTP/1.0.
pub fn request_line(out: &mut Vec<u8>, method: &str, path: &[u8], query: &[u8], is_http10: bool) {
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(path);
    out.extend_from_slice(query);
    out.extend_from_slice(if is_http10 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
}

/// Appends a status line; an empty `reason` becomes the usual one.
pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(if reason.is_empty() { phrase(status).as_bytes() } else { reason });
    out.extend_from_slice(b"\r\n");
}

/// The reason phrase: nginx's where its error pages have one of their own, else RFC 9110's.
pub fn phrase(status: u16) -> &'static str {
    match status {
        401 => "Authorization Required",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default(),
    }
}

/// Appends the field that frames a body.
pub fn framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(length) => field(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes()),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::None | Framing::UntilClose => {}
    }
}

/// What one side has to write: a head, body bytes, and what follows them.
#[derive(Debug, Default)]
pub struct OutQueue {
    head: Vec<u8>,
    body: Bytes,
    tail: Vec<u8>,
    chunked: bool,
}

impl OutQueue {
    /// Where a head is appended. Only before any body bytes of its message.
    pub fn head(&mut self) -> &mut Vec<u8> {
        &mut self.head
    }

    /// Whether body bytes are sent as chunks from now on.
    pub fn set_chunked(&mut self, chunked: bool) {
        self.chunked = chunked;
    }

    /// Appends body bytes. None at all are nothing: as a chunk they would end the body.
    pub fn data(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if self.chunked {
            super::body::chunk_start(self.end(), data.len());
        }
        if data.len() <= COPY_LIMIT || !self.body.is_empty() {
            self.end().extend_from_slice(&data);
        } else {
            self.body = data;
        }
        if self.chunked {
            self.end().extend_from_slice(super::body::CHUNK_END);
        }
    }

    /// Appends the end of the body: the last chunk and the trailers, if it goes in chunks.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        if !self.chunked {
            return;
        }
        let end = self.end();
        match trailers {
            None => end.extend_from_slice(super::body::LAST_CHUNK),
            Some(trailers) => {
                end.extend_from_slice(b"0\r\n");
                fields(end, trailers);
                end.extend_from_slice(b"\r\n");
            }
        }
        self.chunked = false;
    }

    /// The piece that the next bytes belong to.
    fn end(&mut self) -> &mut Vec<u8> {
        if self.body.is_empty() { &mut self.head } else { &mut self.tail }
    }

    /// Bytes to write.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces to write, in order; empty ones are left out.
    pub fn pieces(&self) -> ([IoSlice<'_>; 3], usize) {
        let mut pieces = [IoSlice::new(&[]); 3];
        let mut count = 0;
        for piece in [&self.head[..], &self.body[..], &self.tail[..]] {
            if !piece.is_empty()
                && let Some(slot) = pieces.get_mut(count)
            {
                *slot = IoSlice::new(piece);
                count += 1;
            }
        }
        (pieces, count)
    }

    /// Takes note that `written` bytes are out.
    pub fn advance(&mut self, written: usize) {
        if written >= self.len() {
            self.head.clear();
            self.body.clear();
            self.tail.clear();
            return;
        }
        let from_head = written.min(self.head.len());
        self.head.drain(..from_head);
        let from_body = (written - from_head).min(self.body.len());
        bytes::Buf::advance(&mut self.body, from_body);
        self.tail.drain(..(written - from_head - from_body).min(self.tail.len()));
    }

    /// Writes heads into `memory` from now on, unless there is some already.
    pub fn lend(&mut self, memory: impl FnOnce() -> Vec<u8>) {
        if self.head.capacity() == 0 {
            self.head = memory();
        }
    }

    /// Gives the memory back when nothing is queued: an idle connection holds none.
    pub fn release(&mut self) -> Option<Vec<u8>> {
        if !self.is_empty() {
            return None;
        }
        self.tail = Vec::new();
        Some(std::mem::take(&mut self.head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut OutQueue, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !queue.is_empty() {
            let (pieces, count) = queue.pieces();
            let all: Vec<u8> = pieces[..count].iter().flat_map(|piece| piece.to_vec()).collect();
            let n = step.min(all.len());
            out.extend_from_slice(&all[..n]);
            queue.advance(n);
        }
        out
    }

    #[test]
    fn a_chunked_body_of_any_sizes_comes_out_in_order_however_it_is_written() {
        for step in [1, 7, 4096, 1 << 20] {
            let mut queue = OutQueue::default();
            queue.head().extend_from_slice(b"H\r\n\r\n");
            queue.set_chunked(true);
            queue.data(Bytes::from_static(b"abc"));
            queue.data(Bytes::from(vec![b'x'; 5000]));
            queue.data(Bytes::from_static(b"de"));
            queue.data(Bytes::from(vec![b'y'; 5000]));
            queue.finish(None);
            let x = "x".repeat(5000);
            let y = "y".repeat(5000);
            let expected = format!("H\r\n\r\n3\r\nabc\r\n1388\r\n{x}\r\n2\r\nde\r\n1388\r\n{y}\r\n0\r\n\r\n");
            assert_eq!(String::from_utf8(drain(&mut queue, step)).unwrap(), expected, "{step}");
        }
    }

    #[test]
    fn a_status_line_has_the_phrase_of_the_contract() {
        let mut out = Vec::new();
        status_line(&mut out, 503, b"");
        status_line(&mut out, 404, b"");
        status_line(&mut out, 200, b"Fine");
        let expected =
            "HTTP/1.1 503 Service Temporarily Unavailable\r\nHTTP/1.1 404 Not Found\r\nHTTP/1.1 200 Fine\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
