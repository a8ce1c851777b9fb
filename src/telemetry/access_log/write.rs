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

/// Whether any octet must be escaped. Sixteen at a time without branches, which the compiler turns into vector code:
/// escapes are rare, and this is most of what a line costs.
pub(super) fn any_must_escape(value: &[u8]) -> bool {
    let any = |octets: &[u8; 16]| octets.iter().fold(0, |found, octet| found | u8::from(must_escape(*octet))) != 0;
    match value.last_chunk() {
        // The last sixteen overlap those before them.
        Some(last) => any(last) || value.as_chunks().0.iter().any(any),
        None => value.iter().any(|octet| must_escape(*octet)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_octet_to_escape_is_found_at_every_place_of_every_length() {
        for length in 0..70 {
            let clean = vec![b'a'; length];
            assert!(!any_must_escape(&clean), "{length}");
            for place in 0..length {
                for octet in [0, 0x1f, b'"', b'\\', 0x7f, 0x80, 0xff] {
                    let mut value = clean.clone();
                    value[place] = octet;
                    assert!(any_must_escape(&value), "{octet} at {place} of {length}");
                }
            }
        }
        assert!((b' '..0x7f).filter(|octet| must_escape(*octet)).eq(*b"\"\\"));
    }
}
