//! Tokens: what names of fields and cookies, methods and protocols are made of (RFC 9110 5.6.2).

/// Whether a token may hold the octet (`tchar`).
pub fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

/// Whether the text is a token.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|octet| is_token_octet(*octet))
}
