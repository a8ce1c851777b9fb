//! Pieces of a line, without the machinery of `format!`.

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a number with zeros in front, `width` digits at least.
pub(super) fn padded(out: &mut Vec<u8>, value: u32, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    for _ in digits.len()..width {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
}

/// Whether an octet may not stand in a line as it is: quote, backslash, and all but printable ASCII.
pub(super) fn must_escape(octet: u8) -> bool {
    !(b' '..0x7f).contains(&octet) | (octet == b'"') | (octet == b'\\')
}

/// Whether any octet must be escaped. One pass without branches, which the compiler turns into vector code: escapes
/// are rare.
pub(super) fn any_must_escape(value: &[u8]) -> bool {
    value.iter().fold(false, |found, octet| found | must_escape(*octet))
}
