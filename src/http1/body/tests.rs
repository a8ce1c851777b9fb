//! What bodies are taken and refused, however they are split.

use proptest::prelude::*;

use super::*;

const LIMITS: BodyLimits = BodyLimits { chunk_line: 40, chunk_extensions: 60, trailers: 60, trailer_fields: 3 };

/// What a body came to: its bytes, its trailers, and how many bytes were left for the next message; or the status.
type Outcome = Result<(String, Vec<(String, String)>, usize), u16>;

/// Reads `pieces` one after the other. `None`: the body is not complete.
fn read<'a>(framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Outcome> {
    let mut decoder = Decoder::new(framing, LIMITS);
    let mut buffer = BytesMut::new();
    let mut body = Vec::new();
    let mut outcome = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while outcome.is_none() {
            match decoder.next(&mut buffer) {
                Ok(Step::NeedMore) => break,
                Ok(Step::Data(data)) => {
                    assert!(!data.is_empty());
                    body.extend_from_slice(&data);
                }
                Ok(Step::End(trailers)) => outcome = Some(Ok(trailers)),
                Err(refusal) => outcome = Some(Err(refusal.status)),
            }
        }
    }
    assert_eq!(decoder.is_done(), matches!(outcome, Some(Ok(_))) || framing == Framing::None);
    Some(outcome?.map(|trailers| {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let trailers = trailers.iter().flat_map(|fields| fields.iter()).map(|(_, n, v)| (text(n), text(v))).collect();
        (text(&body), trailers, buffer.len())
    }))
}

/// Reads `octets` whole, then split at every place, then one by one: always the same comes out.
fn every_way(framing: Framing, octets: &[u8]) -> Option<Outcome> {
    let whole = read(framing, [octets]);
    for at in 1..octets.len() {
        let (head, tail) = octets.split_at(at);
        assert_eq!(read(framing, [head, tail]), whole, "split at {at} of {:?}", String::from_utf8_lossy(octets));
    }
    assert_eq!(read(framing, octets.chunks(1)), whole, "one by one: {:?}", String::from_utf8_lossy(octets));
    whole
}

fn chunked(octets: &str) -> Option<Outcome> {
    every_way(Framing::Chunked, octets.as_bytes())
}

#[test]
fn chunked_bodies_that_are_taken() {
    let table = [
        ("0\r\n\r\n", "", 0),
        ("3\r\nabc\r\n0\r\n\r\n", "abc", 0),
        ("3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "abc", 16),
        ("1\r\na\r\n2\r\nbc\r\n000\r\n\r\n", "abc", 0),
        ("0000000000000003\r\nabc\r\n0\r\n\r\n", "abc", 0),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0),
        ("a\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n", 0),
        ("3;a\r\nabc\r\n0;b=c\r\n\r\n", "abc", 0),
        ("3;a=b;c=\"d;\\\" e\"\r\nabc\r\n0\r\n\r\n", "abc", 0),
        ("3; a\t= b ; c\r\nabc\r\n0\r\n\r\n", "abc", 0),
    ];
    for (octets, body, left) in table {
        assert_eq!(chunked(octets), Some(Ok((body.to_owned(), Vec::new(), left))), "{octets:?}");
    }
}

#[test]
fn chunked_bodies_that_are_refused() {
    for octets in [
        "\r\n",
        "x\r\n",
        "+3\r\nabc",
        "-3\r\nabc",
        "0x3\r\nabc",
        " 3\r\nabc",
        "3 \r\nabc",
        "3\t\r\nabc",
        "3 ;a\r\nabc",
        "3\nabc",
        "3\rabc",
        "3\r\r\nabc",
        "3,3\r\nabc",
        "3_0\r\nabc",
        "3.\r\nabc",
        "3\0\r\nabc",
        "g\r\n",
        "\n",
        "00000000000000003\r\nabc",
        "10000000000000000\r\n",
        "3;\r\nabc",
        "3;;\r\nabc",
        "3;=b\r\nabc",
        "3;a=\r\nabc",
        "3;a\nabc",
        "3;a\rabc",
        "3;a\0\r\nabc",
        "3;a=b c\r\nabc",
        "3;a=\"b\r\nabc",
        "3;a=\"b\"c\r\nabc",
        "3;a=\"b\n\"\r\nabc",
        "3;a=\"b\r\n\"\r\nabc",
        "3;a=\"\\\r\n\"\r\nabc",
        "3;a \r\nabc",
        "3;a\u{7f}\r\nabc",
        "3\r\nabcd",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\r\n\r\n",
        "3\r\nabc\r\nx\r\n",
    ] {
        assert_eq!(chunked(octets), Some(Err(400)), "{octets:?}");
    }
}

#[test]
fn trailers_are_read_as_strictly_as_heads() {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let taken = [
        ("0\r\nA: b\r\n\r\n", vec![field("A", "b")]),
        ("0\r\nA:\r\nb_c: \t d e \t\r\n\r\n", vec![field("A", ""), field("b_c", "d e")]),
        ("0\r\nA: \u{e9}\r\n\r\n", vec![field("A", "\u{e9}")]),
    ];
    for (octets, trailers) in taken {
        assert_eq!(chunked(octets), Some(Ok((String::new(), trailers, 0))), "{octets:?}");
    }
    for octets in [
        "0\r\n\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\r\n\n",
        "0\r\nA: b\rc\r\n\r\n",
        "0\r\nA\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA: \0\r\n\r\n",
        "0\r\nA\0: b\r\n\r\n",
        "0\r\nA(b): c\r\n\r\n",
        "0\r\nA: \u{7f}\r\n\r\n",
        "0\r\n\rA: b\r\n\r\n",
        "0\r\n\r\r\n",
    ] {
        assert_eq!(chunked(octets), Some(Err(400)), "{octets:?}");
    }
}

#[test]
fn limits_hold_to_the_octet() {
    let line = |len: usize| format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(len - 2));
    assert!(chunked(&line(40)).unwrap().is_ok());
    assert_eq!(chunked(&line(41)), Some(Err(400)));
    assert_eq!(chunked(&format!("3;{}", "a".repeat(39))), Some(Err(400)), "before the line ends");

    let many = |count: usize| format!("{}0\r\n\r\n", "1;bcdefghij\r\nx\r\n".repeat(count));
    assert!(chunked(&many(6)).unwrap().is_ok(), "60 octets of extensions");
    assert_eq!(chunked(&many(7)), Some(Err(400)));

    let trailer = |len: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(len - 5));
    assert!(chunked(&trailer(60)).unwrap().is_ok());
    assert_eq!(chunked(&trailer(61)), Some(Err(431)));
    assert_eq!(chunked(&format!("0\r\nA: {}", "b".repeat(58))), Some(Err(431)), "before the line ends");
    assert!(chunked(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(3))).unwrap().is_ok());
    assert_eq!(chunked(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(4))), Some(Err(431)));
}

#[test]
fn the_largest_chunk_size_overflows_nothing() {
    let mut decoder = Decoder::new(Framing::Chunked, LIMITS);
    let mut buffer = BytesMut::from("ffffffffffffffff\r\nabc");
    assert!(matches!(decoder.next(&mut buffer), Ok(Step::Data(data)) if data == "abc"));
    assert_eq!(decoder.remaining(), Some(u64::MAX - 3));
    assert!(matches!(decoder.next(&mut buffer), Ok(Step::NeedMore)));
}

#[test]
fn an_incomplete_body_has_no_outcome_and_may_not_end() {
    let whole = "3;a=\"b\"\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(chunked(&whole[..end]), None, "{end}");
    }
    let mut decoder = Decoder::new(Framing::Length(2), LIMITS);
    assert!(!decoder.may_end_here());
    let mut buffer = BytesMut::from("a");
    assert!(matches!(decoder.next(&mut buffer), Ok(Step::Data(_))));
    assert_eq!((decoder.may_end_here(), decoder.remaining()), (false, Some(1)));
}

#[test]
fn length_none_and_until_close() {
    let ok = |body: &str, left| Some(Ok((body.to_owned(), Vec::new(), left)));
    assert_eq!(every_way(Framing::Length(3), b"abcGET"), ok("abc", 3));
    assert_eq!(every_way(Framing::Length(0), b"GET"), ok("", 3));
    assert_eq!(every_way(Framing::None, b"GET"), ok("", 3));
    assert_eq!(every_way(Framing::Length(4), b"abc"), None);
    assert_eq!(every_way(Framing::UntilClose, b"abc"), None);
    assert!(Decoder::new(Framing::UntilClose, LIMITS).may_end_here());
}

#[test]
fn data_is_a_slice_of_the_buffer() {
    let mut buffer = BytesMut::from("3\r\nabc\r\n");
    let place = buffer[3..].as_ptr();
    let mut decoder = Decoder::new(Framing::Chunked, LIMITS);
    assert!(matches!(decoder.next(&mut buffer), Ok(Step::Data(data)) if data.as_ptr() == place));
}

#[test]
fn after_a_refusal_nothing_more_is_read() {
    let mut decoder = Decoder::new(Framing::Chunked, LIMITS);
    assert!(decoder.next(&mut BytesMut::from("x")).is_err());
    assert!(decoder.next(&mut BytesMut::from("0\r\n\r\n")).is_err());
    assert!(!decoder.may_end_here() && !decoder.is_done());
}

#[test]
fn chunk_sizes_are_written_in_hexadecimal() {
    for (len, line) in [(1, "1\r\n"), (10, "a\r\n"), (16, "10\r\n"), (65_535, "ffff\r\n"), (65_536, "10000\r\n")] {
        let mut out = Vec::new();
        chunk_start(&mut out, len);
        assert_eq!(out, line.as_bytes());
    }
    let mut out = Vec::new();
    chunk_start(&mut out, usize::MAX);
    assert_eq!(out, b"ffffffffffffffff\r\n");
}

proptest! {
    #[test]
    fn what_we_chunk_we_read(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
        extension in "(;[a-z]{1,3}(=([a-z]{1,3}|\"[ -!#-Z]{0,4}\"))?)?",
        splits in proptest::collection::vec(1_usize..30, 1..10),
    ) {
        let mut octets = Vec::new();
        for piece in &pieces {
            chunk_start(&mut octets, piece.len());
            if pieces.len() * extension.len() <= LIMITS.chunk_extensions {
                let line_end = octets.len() - 2;
                octets.splice(line_end..line_end, extension.bytes());
            }
            octets.extend_from_slice(piece);
            octets.extend_from_slice(CHUNK_END);
        }
        octets.extend_from_slice(LAST_CHUNK);
        let mut cuts = Vec::new();
        let mut rest = &octets[..];
        for len in splits.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at((*len).min(rest.len()));
            cuts.push(piece);
            rest = tail;
        }
        let body = String::from_utf8_lossy(&pieces.concat()).into_owned();
        prop_assert_eq!(read(Framing::Chunked, cuts), Some(Ok((body, Vec::new(), 0))));
    }

    #[test]
    fn any_octets_read_the_same_however_split(
        octets in proptest::collection::vec(
            proptest::sample::select(vec![
                "0", "1", "3", "a", "f", "\r\n", "\r\n", "\r", "\n", ";", "=", "\"", "\\", " ", ":", "A: b\r\n", "abc",
                "3\r\nabc\r\n", "0\r\n", "\0", "\u{e9}",
            ]),
            0..14,
        )
    ) {
        every_way(Framing::Chunked, octets.concat().as_bytes());
    }
}
