//! The trailer section behind the last chunk (RFC 9112 7.1.2).

use bytes::BytesMut;

use super::{BodyLimits, Step, is_text_octet};
use crate::http1::{Field, Fields, Known, Refusal};
use crate::settings::Limit;
use crate::telemetry::Failure;
use crate::uri::token::is_token;

/// A trailer section being read.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    /// Where the present line begins.
    line: usize,
    /// No LF stands before here.
    searched: usize,
    list: Vec<Field>,
}

impl Trailers {
    /// Reads on: [`Step::End`] with the fields, if there are any, or [`Step::NeedMore`].
    pub(super) fn read(&mut self, buffer: &mut BytesMut, limits: &BodyLimits) -> Result<Step, Refusal> {
        loop {
            let found = memchr::memchr(b'\n', buffer.get(self.searched..).unwrap_or_default());
            let end = found.map_or(buffer.len(), |offset| self.searched + offset);
            let line = buffer.get(self.line..end).unwrap_or_default();
            if line == b"\r" {
                if found.is_none() {
                    return Ok(Step::NeedMore);
                }
                let bytes = buffer.split_to(end + 1).freeze();
                let list = std::mem::take(&mut self.list);
                let fields = (!list.is_empty()).then(|| Box::new(Fields::new(bytes, list)));
                return Ok(Step::End(fields));
            }
            if end + usize::from(found.is_some()) > limits.trailers {
                return Err(trailers_too_long(Limit::trailers, "trailers too long"));
            }
            if found.is_none() {
                self.searched = end;
                return Ok(Step::NeedMore);
            }
            let line = line.strip_suffix(b"\r").ok_or(Refusal::bad("bare LF in trailers"))?;
            self.list.push(field(line, self.line)?);
            if self.list.len() > limits.trailer_fields {
                return Err(trailers_too_long(Limit::trailer_fields, "too many trailers"));
            }
            self.line = end + 1;
            self.searched = end + 1;
        }
    }
}

/// The field in `line`, which begins at `start` (RFC 9112 5). Names that mean something to a proxy are not passed on
/// (RFC 9110 6.5.1). A line that continues the one before (obs-fold) begins
/// with white space and is therefore refused like any name that is no token.
fn field(line: &[u8], start: usize) -> Result<Field, Refusal> {
    let colon = memchr::memchr(b':', line).ok_or(Refusal::bad("trailer without colon"))?;
    let (name, rest) = line.split_at(colon);
    if !is_token(name) {
        return Err(Refusal::bad("trailer name is no token"));
    }
    let after = rest.get(1..).unwrap_or_default();
    if !after.iter().all(|octet| is_text_octet(*octet)) {
        return Err(Refusal::bad("control octet in trailer"));
    }
    let value = after.trim_ascii_start();
    let value_start = line.len() - value.len();
    let known = Known::of(name);
    Ok(Field {
        name_start: offset(start)?,
        name_len: offset(name.len())?,
        value_start: offset(start + value_start)?,
        value_len: offset(value.trim_ascii_end().len())?,
        known,
        skip: known != Known::Other || name.contains(&b'_'),
    })
}

/// An offset into the trailers, as fields hold it.
fn offset(at: usize) -> Result<u32, Refusal> {
    u32::try_from(at).map_err(|_| trailers_too_long(Limit::trailers, "trailers too long"))
}

/// A trailer section that breaks one of our limits.
const fn trailers_too_long(limit: Limit, why: &'static str) -> Refusal {
    Refusal { status: 431, failure: Failure::HeadTooLarge, limit: Some(limit), why }
}
