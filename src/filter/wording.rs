//! Texts with parts of the request and of its path in them.

use std::io::Write;

use super::{Request, text};
use crate::ir::{Groups, Piece, Wording};

/// Appends the text.
pub(super) fn write(out: &mut Vec<u8>, wording: &Wording, request: &Request<'_>, groups: &Groups<'_>) {
    for piece in &wording.0 {
        match piece {
            Piece::Group(number) => out.extend_from_slice(groups.get(*number).as_bytes()),
            Piece::Other(part) => text::piece(part, request, &mut |piece| visible(out, piece)),
        }
    }
}

/// Appends what may stand in a path, a query and a `Location`: everything else is escaped, or a field that a client sends
/// could end the request line.
pub(super) fn visible(out: &mut Vec<u8>, text: &[u8]) {
    for octet in text {
        match octet {
            0x21..=0x7E if *octet != b'#' => out.push(*octet),
            _ => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "%{octet:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};
    use crate::ir::Part;

    #[test]
    fn what_a_client_sends_in_a_field_cannot_end_the_request_line() {
        let head = head("GET /", "a.example", "X-A: b HTTP/1.1#\r\n");
        let mut out = Vec::new();
        let wording = Wording([Piece::Other(Part::Field("x-a".into())), Piece::Group(1)].into());
        write(&mut out, &wording, &request(&head, false), &Groups::default());
        assert_eq!(out.escape_ascii().to_string(), "b%20HTTP/1.1%23");
    }
}
