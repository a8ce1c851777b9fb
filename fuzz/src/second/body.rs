//! Chunked bodies as RFC 9112 7.1 writes them, read whole.

use super::head::{Field, field, is_token};

/// Sizes that bodies are read under.
pub(crate) struct Sizes {
    /// A chunk-size line.
    pub(crate) line: usize,
    /// Extensions of the whole body, each with its semicolon.
    pub(crate) extensions: usize,
    /// Trailer section, line ends included.
    pub(crate) trailers: usize,
    /// Trailer fields.
    pub(crate) fields: usize,
}

/// The body at the start of `bytes`, its trailers, and how many octets it took; `None` if it is cut or malformed.
pub(crate) fn chunked(bytes: &[u8], sizes: &Sizes) -> Option<(Vec<u8>, Vec<Field>, usize)> {
    let mut rest = bytes;
    let mut body = Vec::new();
    let mut extensions = 0;
    loop {
        let line = take_line(&mut rest)?;
        let digits = line.iter().position(|octet| *octet == b';').unwrap_or(line.len());
        let (size, extension) = line.split_at(digits);
        extensions += extension.len();
        let is_size = (1..=16).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit);
        if !is_size || line.len() > sizes.line || extensions > sizes.extensions || !are_extensions(extension) {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
    let start = rest.len();
    let mut trailers = Vec::new();
    loop {
        let line = take_line(&mut rest)?;
        if line.is_empty() {
            return Some((body, trailers, bytes.len() - rest.len()));
        }
        trailers.push(field(line)?);
        if start - rest.len() > sizes.trailers || trailers.len() > sizes.fields {
            return None;
        }
    }
}

/// The octets before the next CRLF, which must not hold a CR or LF of their own.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|octet| *octet == b'\n')?;
    let line = rest.get(..end)?.strip_suffix(b"\r")?;
    *rest = rest.get(end + 1..)?;
    (!line.contains(&b'\r')).then_some(line)
}

/// `*( ";" name [ "=" value ] )` with white space allowed around `;` and `=`, but none behind the last.
fn are_extensions(text: &[u8]) -> bool {
    if text.is_empty() {
        return true;
    }
    if text.ends_with(b" ") || text.ends_with(b"\t") {
        return false;
    }
    let Some(parts) = split_unquoted(text, b';') else { return false };
    parts.iter().skip(1).all(|part| {
        let Some(sides) = split_unquoted(part, b'=') else { return false };
        match sides.as_slice() {
            [name] => is_token(name.trim_ascii()),
            [name, value] => is_token(name.trim_ascii()) && is_value(value.trim_ascii()),
            _ => false,
        }
    })
}

fn is_value(value: &[u8]) -> bool {
    match value.strip_prefix(b"\"") {
        None => is_token(value),
        // The closing quote is the only one that no backslash precedes.
        Some(quoted) => {
            split_unquoted(value, b'"').is_some() && {
                let mut escaped = false;
                let end = quoted.iter().position(|octet| {
                    let is_end = !escaped && *octet == b'"';
                    escaped = !escaped && *octet == b'\\';
                    is_end
                });
                end.is_some_and(|end| end + 1 == quoted.len())
            }
        }
    }
}

/// Splits where `separator` stands outside quotes. `None`: a quote is left open, or there is a control octet.
fn split_unquoted(text: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut is_quoted, mut is_escaped, mut start) = (false, false, 0);
    let mut parts = Vec::new();
    for (at, octet) in text.iter().enumerate() {
        if octet.is_ascii_control() && *octet != b'\t' {
            return None;
        }
        if is_escaped {
            is_escaped = false;
        } else if is_quoted && *octet == b'\\' {
            is_escaped = true;
        } else if *octet == b'"' {
            is_quoted = !is_quoted;
        } else if !is_quoted && *octet == separator {
            parts.push(text.get(start..at)?);
            start = at + 1;
        }
    }
    parts.push(text.get(start..)?);
    (!is_quoted && !is_escaped).then_some(parts)
}
