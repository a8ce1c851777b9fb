//! Chunk-size lines with their extensions (RFC 9112 7.1).

use super::{BodyLimits, is_text_octet, too_long};
use crate::http1::Refusal;
use crate::settings::Limit;
use crate::uri::token::is_token_octet;

/// Most digits of a chunk size: as many as 64 bits have.
const SIZE_DIGITS: usize = 16;

/// A chunk-size line (RFC 9112 7.1), which must be written as the grammar says: many parsers stop at the first odd
/// octet, each at another, and what they then disagree on is a smuggled request.
pub(super) struct SizeLine {
    /// Bytes of the chunk; 0 for the last.
    pub(super) size: u64,
    /// Octets of the extensions.
    pub(super) extensions: usize,
    /// Octets of the line with its CRLF.
    pub(super) len: usize,
}

impl SizeLine {
    /// The line at the start of `buffer`; `None` if it is not complete. A fault is seen at its first octet.
    pub(super) fn parse(buffer: &[u8], limits: &BodyLimits) -> Result<Option<SizeLine>, Refusal> {
        let mut size = 0;
        let mut digits = 0;
        while let Some(value) = buffer.get(digits).and_then(|octet| char::from(*octet).to_digit(16)) {
            if digits == SIZE_DIGITS || digits == limits.chunk_line {
                return Err(too_long(Limit::chunk_line, "chunk size too long"));
            }
            size = size << 4 | u64::from(value);
            digits += 1;
        }
        let rest = buffer.get(digits..).unwrap_or_default();
        match rest {
            [] => Ok(None),
            _ if digits == 0 => Err(Refusal::bad("chunk size is no number")),
            [b'\r', b'\n', ..] => Ok(Some(SizeLine { size, extensions: 0, len: digits + 2 })),
            [b'\r'] => Ok(None),
            [b';', ..] => {
                let extensions = extensions(rest, limits.chunk_line.saturating_sub(digits))?;
                Ok(extensions.map(|len| SizeLine { size, extensions: len, len: digits + len + 2 }))
            }
            _ => Err(Refusal::bad("chunk size is no number")),
        }
    }
}

/// What the next octet of an extension may be (RFC 9112 7.1.1).
#[derive(Clone, Copy)]
enum Extension {
    /// White space, or the first octet of a name.
    BeforeName,
    /// More of the name, or what may follow it.
    Name,
    /// `=`, `;`, or more white space.
    AfterName,
    /// White space, a quote, or the first octet of a token.
    BeforeValue,
    /// More of the token, or what may follow it.
    Value,
    /// Text in quotes, or the closing one.
    Quoted,
    /// The octet behind a backslash.
    Escaped,
    /// The octet behind the closing quote.
    Closed,
    /// `;`, or more white space.
    AfterValue,
    /// LF.
    Lf,
}

/// The length of the extensions at the start of `buffer`, without CRLF; `None` if the line is not complete. They mean
/// nothing to us and are dropped.
fn extensions(buffer: &[u8], limit: usize) -> Result<Option<usize>, Refusal> {
    use Extension::{AfterName, AfterValue, BeforeName, BeforeValue, Closed, Escaped, Lf, Name, Quoted, Value};
    let mut state = BeforeName;
    for (at, &octet) in buffer.iter().enumerate().skip(1) {
        state = match (state, octet) {
            (Lf, b'\n') => return Ok(Some(at - 1)),
            (Name | Value | Closed, b'\r') => Lf,
            _ if at >= limit => return Err(too_long(Limit::chunk_line, "chunk-size line too long")),
            (BeforeName | BeforeValue, b' ' | b'\t') => state,
            (Name | AfterName, b' ' | b'\t') => AfterName,
            (Value | Closed | AfterValue, b' ' | b'\t') => AfterValue,
            (Name | AfterName | Value | Closed | AfterValue, b';') => BeforeName,
            (Name | AfterName, b'=') => BeforeValue,
            (BeforeValue, b'"') => Quoted,
            (BeforeName | Name, _) if is_token_octet(octet) => Name,
            (BeforeValue | Value, _) if is_token_octet(octet) => Value,
            (Quoted, b'"') => Closed,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, _) if is_text_octet(octet) => Quoted,
            _ => return Err(Refusal::bad("bad chunk extension")),
        };
    }
    Ok(None)
}
