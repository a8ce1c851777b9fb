//! Bodies: a decoder that reads one out of a connection's buffer, and the chunk frames that we write.

use bytes::{Bytes, BytesMut};

use super::{Fields, Framing, Refusal};
use crate::settings::Limits;

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
    End(Option<Fields>),
    /// More bytes must be read into the buffer.
    NeedMore,
}

/// Reads one body out of a buffer. After an error or [`Step::End`] it gives nothing more.
#[derive(Debug)]
pub struct Decoder {}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(framing: Framing, limits: BodyLimits) -> Decoder {
        let _ = (framing, limits);
        unimplemented!()
    }

    /// The next part of the body. Refusals are 400 for bad chunks and 431 for trailers over the limit.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Step, Refusal> {
        let _ = buffer;
        unimplemented!()
    }

    /// Whether the whole body was given out.
    pub fn is_done(&self) -> bool {
        unimplemented!()
    }

    /// Whether the end of input is the end of the body (only with `Framing::UntilClose`, or after the end).
    pub fn may_end_here(&self) -> bool {
        unimplemented!()
    }

    /// Bytes of the present chunk or length still to come, when known: how much to read next.
    pub fn remaining(&self) -> Option<u64> {
        unimplemented!()
    }
}

/// Appends the size line of a chunk of `len` bytes (not 0) to `out`; the data and [`CHUNK_END`] follow.
pub fn chunk_start(out: &mut Vec<u8>, len: usize) {
    let _ = (out, len);
    unimplemented!()
}

/// Ends a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
