//! Bodies: a decoder that reads one out of a connection's buffer, and the chunk frames that we write.

mod size_line;
#[cfg(test)]
mod tests;
mod trailers;

use bytes::{Buf, Bytes, BytesMut};

use self::size_line::SizeLine;
use self::trailers::Trailers;
use super::{Fields, Framing, Refusal};
use crate::settings::{Limit, Limits};

/// The limits a body is read under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Longest chunk-size line, bytes without CRLF.
    pub chunk_line: usize,
    /// Extensions of all chunks of one message, bytes.
    pub chunk_extensions: usize,
    /// Trailer section, bytes.
    pub trailers: usize,
    /// Trailer fields.
    pub trailer_fields: usize,
}

impl From<&Limits> for BodyLimits {
    fn from(limits: &Limits) -> Self {
        BodyLimits {
            chunk_line: limits.chunk_line.bytes(),
            chunk_extensions: limits.chunk_extensions.bytes(),
            trailers: limits.trailers.bytes(),
            trailer_fields: usize::try_from(limits.trailer_fields).unwrap_or(usize::MAX),
        }
    }
}

/// What the decoder found in the buffer.
#[derive(Debug)]
pub enum Step {
    /// Body bytes, taken out of the buffer without copying.
    Data(Bytes),
    /// The body ended; its trailers, if it had any. What is left in the buffer belongs to the next message.
    End(Option<Box<Fields>>),
    /// More bytes must be read into the buffer.
    NeedMore,
}

/// Reads one body out of a buffer. After an error or [`Step::End`] it gives nothing more.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    limits: BodyLimits,
    /// Octets of chunk extensions so far.
    extensions: usize,
}

/// What comes next.
#[derive(Debug)]
enum State {
    /// Body bytes of `Content-Length`, this many, not 0.
    Length(u64),
    /// Body bytes, until the connection closes.
    UntilClose,
    /// A chunk-size line.
    Size,
    /// Data of a chunk, this many bytes, not 0.
    Chunk(u64),
    /// The CRLF behind the data of a chunk.
    ChunkEnd,
    /// A trailer field line or the empty line.
    Trailers(Trailers),
    /// Nothing: the body was given out.
    Done,
    /// Nothing: the body is malformed.
    Refused(Refusal),
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(framing: Framing, limits: BodyLimits) -> Decoder {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Decoder { state, limits, extensions: 0 }
    }

    /// The next part of the body. Refusals are 400 for bad chunks and 431 for trailers over the limit.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Step, Refusal> {
        let step = self.step(buffer);
        if let Err(refusal) = step {
            self.state = State::Refused(refusal);
        }
        step
    }

    fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, Refusal> {
        loop {
            match &mut self.state {
                State::Done => return Ok(Step::End(None)),
                State::Refused(refusal) => return Err(*refusal),
                _ if buffer.is_empty() => return Ok(Step::NeedMore),
                State::UntilClose => return Ok(Step::Data(buffer.split().freeze())),
                State::Length(left) => {
                    let data = take(buffer, left);
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    return Ok(Step::Data(data));
                }
                State::Chunk(left) => {
                    let data = take(buffer, left);
                    if *left == 0 {
                        self.state = State::ChunkEnd;
                    }
                    return Ok(Step::Data(data));
                }
                State::Size => {
                    let Some(line) = SizeLine::parse(buffer, &self.limits)? else { return Ok(Step::NeedMore) };
                    self.extensions += line.extensions;
                    if self.extensions > self.limits.chunk_extensions {
                        return Err(too_long(Limit::chunk_extensions, "chunk extensions too long"));
                    }
                    buffer.advance(line.len);
                    self.state = match line.size {
                        0 => State::Trailers(Trailers::default()),
                        size => State::Chunk(size),
                    };
                }
                State::ChunkEnd => match &buffer[..] {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    [b'\r'] => return Ok(Step::NeedMore),
                    _ => return Err(Refusal::bad("chunk data does not end in CRLF")),
                },
                State::Trailers(trailers) => {
                    let step = trailers.read(buffer, &self.limits)?;
                    if matches!(step, Step::End(_)) {
                        self.state = State::Done;
                    }
                    return Ok(step);
                }
            }
        }
    }

    /// Whether the whole body was given out.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the end of input is the end of the body (only with `Framing::UntilClose`, or after the end).
    pub fn may_end_here(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// Bytes of the present chunk or length still to come, when known: how much to read next.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) | State::Chunk(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }
}

/// Takes at most `left` bytes, and counts them off.
fn take(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    *left -= count as u64;
    buffer.split_to(count).freeze()
}

/// A body that breaks one of our limits.
const fn too_long(limit: Limit, why: &'static str) -> Refusal {
    Refusal { limit: Some(limit), ..Refusal::bad(why) }
}

/// What a field value or a quoted string may hold (RFC 9110 5.5): no control octet but the tab.
fn is_text_octet(octet: u8) -> bool {
    octet == b'\t' || octet >= b' ' && octet != 0x7F
}

/// Appends the size line of a chunk of `len` bytes (not 0) to `out`; the data and [`CHUNK_END`] follow.
pub fn chunk_start(out: &mut Vec<u8>, len: usize) {
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        let value = (len >> (4 * digit)) as u32 & 0xF;
        out.push(char::from_digit(value, 16).map_or(b'0', |digit| digit as u8));
    }
    out.extend_from_slice(CHUNK_END);
}

/// Ends a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
