//! How long a message is: decided here and nowhere else (RFC 9112 6.3, stricter where the RFC leaves a choice).

use super::{Known, Refusal, Version};

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the connection closes (responses only).
    UntilClose,
}

/// What the field lines of one head say about its body, gathered line by line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    length: Option<u64>,
    is_chunked: bool,
}

impl Evidence {
    /// Takes note of one field line. A second `Content-Length` or `Transfer-Encoding` line, a length that is not only
    /// digits, and a coding other than exactly `chunked` are refused, even where the RFC would let them pass: no user
    /// needs them and every disagreement about a length is a smuggling bug.
    pub fn line(&mut self, known: Known, value: &[u8]) -> Result<(), Refusal> {
        match known {
            Known::ContentLength if self.length.is_some() => Err(Refusal::bad("second Content-Length")),
            Known::ContentLength => {
                self.length = Some(decimal(value).ok_or(Refusal::bad("Content-Length is not a number"))?);
                Ok(())
            }
            Known::TransferEncoding if self.is_chunked => Err(Refusal::bad("second Transfer-Encoding")),
            Known::TransferEncoding if value.eq_ignore_ascii_case(b"chunked") => {
                self.is_chunked = true;
                Ok(())
            }
            Known::TransferEncoding => Err(Refusal::bad("Transfer-Encoding other than chunked")),
            _ => Ok(()),
        }
    }

    /// The framing of a request (RFC 9112 6.1, 6.3).
    pub fn request(self, version: Version) -> Result<Framing, Refusal> {
        match (self.length, self.is_chunked) {
            (Some(_), true) => Err(Refusal::bad("Content-Length with Transfer-Encoding")),
            (None, true) if version == Version::Http10 => Err(Refusal::bad("Transfer-Encoding in HTTP/1.0")),
            (None, true) => Ok(Framing::Chunked),
            (Some(length), false) => Ok(Framing::Length(length)),
            (None, false) => Ok(Framing::None),
        }
    }

    /// The framing of a response with `status` to a request that was `HEAD` or not.
    pub fn response(self, version: Version, status: u16, to_head: bool) -> Result<Framing, Refusal> {
        let framing = match self.request(version)? {
            Framing::None => Framing::UntilClose,
            framing => framing,
        };
        let has_no_body = to_head || (100..200).contains(&status) || matches!(status, 204 | 304);
        Ok(if has_no_body { Framing::None } else { framing })
    }

    /// Whether the head speaks of a body that is not empty.
    pub fn names_body(self) -> bool {
        self.is_chunked || self.length.is_some_and(|length| length > 0)
    }

    /// The length that a head without body names (HEAD, 304): passed on as it is.
    pub fn named_length(self) -> Option<u64> {
        self.length
    }
}

/// A number of one or more digits and nothing else, below 2^63 so that sums never overflow.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let mut value = 0u64;
    for digit in text {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (value <= i64::MAX as u64).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(lines: &[(Known, &str)]) -> Result<Evidence, Refusal> {
        let mut evidence = Evidence::default();
        for (known, value) in lines {
            evidence.line(*known, value.as_bytes())?;
        }
        Ok(evidence)
    }

    #[test]
    fn only_one_plain_length_or_exactly_chunked_is_taken() {
        use Known::{ContentLength as CL, TransferEncoding as TE};
        let framing = |lines: &[(Known, &str)]| gather(lines).and_then(|e| e.request(Version::Http11)).ok();
        assert_eq!(framing(&[]), Some(Framing::None));
        assert_eq!(framing(&[(CL, "0")]), Some(Framing::Length(0)));
        assert_eq!(framing(&[(CL, "007")]), Some(Framing::Length(7)));
        assert_eq!(framing(&[(TE, "Chunked")]), Some(Framing::Chunked));
        for bad in ["", "+5", "-1", "5, 5", "0x5", "5 ", "1e3", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(framing(&[(CL, bad)]), None, "{bad:?}");
        }
        for bad in ["", "gzip", "gzip, chunked", "chunked, chunked", ",chunked", "xchunked", "chunked;q=1", "identity"]
        {
            assert_eq!(framing(&[(TE, bad)]), None, "{bad:?}");
        }
        assert_eq!(framing(&[(CL, "5"), (CL, "5")]), None);
        assert_eq!(framing(&[(CL, "5"), (TE, "chunked")]), None);
        assert_eq!(framing(&[(TE, "chunked"), (CL, "5")]), None);
        assert_eq!(framing(&[(TE, "chunked"), (TE, "chunked")]), None);
    }

    #[test]
    fn http_1_0_has_no_transfer_encoding() {
        let evidence = gather(&[(Known::TransferEncoding, "chunked")]).unwrap();
        assert!(evidence.request(Version::Http10).is_err());
        assert!(evidence.response(Version::Http10, 200, false).is_err());
    }

    #[test]
    fn responses_end_as_rfc_9112_6_3_says() {
        let none = gather(&[]).unwrap();
        let length = gather(&[(Known::ContentLength, "5")]).unwrap();
        assert_eq!(none.response(Version::Http11, 200, false).unwrap(), Framing::UntilClose);
        assert_eq!(length.response(Version::Http11, 200, false).unwrap(), Framing::Length(5));
        assert_eq!(length.response(Version::Http11, 200, true).unwrap(), Framing::None);
        for status in [100, 103, 204, 304] {
            assert_eq!(length.response(Version::Http11, status, false).unwrap(), Framing::None, "{status}");
        }
    }
}
