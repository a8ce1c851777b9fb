//! RFC 9113 8.2 and 8.3: what may not stand in a request over HTTP/2 never becomes one over HTTP/1.1.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::stage::Stage;
use super::text::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PROTOCOL_ERROR: u32 = 1;
/// `:status: 200` in the static table (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&len[1..], &[kind, flags], &stream.to_be_bytes()];
    [&head.concat(), payload].concat()
}

/// A field block of literals that are not indexed and not Huffman-coded (RFC 7541 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [&[0][..], &string(name), &string(value)].concat()).collect()
}

/// What became of stream 1.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The stream or its connection was ended with this code.
    Ended(u32),
    /// An answer: its field block.
    Answered(Vec<u8>),
}

/// Sends one request with this body on stream 1.
fn send(stage: &Stage, fields: &[(&str, &str)], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(stage.http()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let end = if body.is_empty() { END_STREAM } else { 0 };
    bytes.extend(frame(HEADERS, END_HEADERS | end, 1, &block(fields)));
    if !body.is_empty() {
        bytes.extend(frame(DATA, END_STREAM, 1, body.as_bytes()));
    }
    stream.write_all(&bytes).unwrap();
    stream
}

/// Reads frames until the fate of stream 1 is known.
fn fate(stream: &mut TcpStream) -> Result<Fate, ErrorKind> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).map_err(|error| error.kind())?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; len];
        stream.read_exact(&mut payload).map_err(|error| error.kind())?;
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match head[3] {
            RST_STREAM => return Ok(Fate::Ended(word(0))),
            GOAWAY if word(4) != 0 => return Ok(Fate::Ended(word(4))),
            HEADERS => return Ok(Fate::Answered(payload)),
            _ => {}
        }
    }
}

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.example")];

/// A GET with further fields.
fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&GET[..], more].concat()
}

/// A GET with one pseudo-header changed.
fn changed<'a>(name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    GET.into_iter().map(|(own, old)| if own == name { (own, value) } else { (own, old) }).collect()
}

#[test]
fn a_malformed_request_is_a_stream_error_and_nothing_of_it_is_passed_on() {
    let stage = Stage::new();
    let without = |name: &str| GET.into_iter().filter(|(own, _)| *own != name).collect::<Vec<_>>();
    let cases = [
        (with(&[("transfer-encoding", "chunked")]), "0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n"),
        (with(&[("connection", "close")]), ""),
        (with(&[("keep-alive", "5")]), ""),
        (with(&[("proxy-connection", "close")]), ""),
        (with(&[("upgrade", "websocket")]), ""),
        (with(&[("te", "gzip")]), ""),
        (with(&[("content-length", "0")]), "GET /admin HTTP/1.1\r\n\r\n"),
        (with(&[("content-length", "5")]), "hi"),
        (with(&[("content-length", "5")]), ""),
        (with(&[("content-length", "2"), ("content-length", "3")]), "hi"),
        (with(&[("content-length", "+2")]), "hi"),
        (with(&[("Upper", "x")]), ""),
        (with(&[("x", "a\r\ny: z")]), ""),
        (with(&[("x", "a\nb")]), ""),
        (with(&[("x", "a\0b")]), ""),
        (with(&[("x y", "z")]), ""),
        (with(&[("x:", "z")]), ""),
        (with(&[("", "z")]), ""),
        (with(&[("x", " leading")]), ""),
        (with(&[("x", "trailing ")]), ""),
        (with(&[("host", "b.example")]), ""),
        (with(&[("x", "y"), (":path", "/admin")]), ""),
        (with(&[(":path", "/admin")]), ""),
        (with(&[(":unknown", "x")]), ""),
        (with(&[(":status", "200")]), ""),
        ([&[("x", "y")], &GET[..]].concat(), ""),
        (without(":method"), ""),
        (without(":path"), ""),
        (without(":scheme"), ""),
        (changed(":path", ""), ""),
        (changed(":method", "GET / HTTP/1.1\r\nx: y"), ""),
    ];
    for (fields, body) in cases {
        let outcome = fate(&mut send(&stage, &fields, body));
        assert_eq!(outcome, Ok(Fate::Ended(PROTOCOL_ERROR)), "{fields:?} {body:?}");
        assert!(stage.upstream_is_untouched(), "{fields:?} {body:?}");
    }
}

#[test]
fn a_bad_target_or_authority_is_refused_and_nothing_of_it_is_passed_on() {
    let stage = Stage::new();
    let cases = [
        changed(":path", "/ HTTP/1.1\r\nhost: b"),
        changed(":path", "/a b"),
        changed(":path", "a"),
        changed(":path", "/../"),
        changed(":path", "/%00"),
        changed(":path", "*"),
        changed(":authority", "a@b"),
        changed(":authority", "a.example\r\nx: y"),
        changed(":authority", "a.example:x"),
        changed(":authority", "[::1"),
        changed(":authority", ""),
        changed(":method", "TRACE"),
    ];
    for fields in cases {
        let outcome = fate(&mut send(&stage, &fields, ""));
        let is_refused = match &outcome {
            Ok(Fate::Ended(code)) => *code == PROTOCOL_ERROR,
            Ok(Fate::Answered(block)) => block.first() != Some(&STATUS_200),
            Err(_) => false,
        };
        assert!(is_refused, "{fields:?} {outcome:?}");
        assert!(stage.upstream_is_untouched(), "{fields:?}");
    }
}

#[test]
fn a_request_over_http2_is_framed_anew() {
    let stage = Stage::new();
    let cases = [
        (with(&[]), "", passed_get("")),
        (with(&[("te", "trailers"), ("x", "y"), ("a_b", "c")]), "", passed_get("x: y\r\n")),
        (with(&[("cookie", "a=b"), ("cookie", "c=d")]), "", passed_get("cookie: a=b; c=d\r\n")),
        (with(&[("content-length", "2")]), "hi", passed("GET /", "", "Content-Length: 2\r\n", "hi")),
        (with(&[]), "hi", passed("GET /", "", "Content-Length: 2\r\n", "hi")),
        (changed(":path", "/a/../b?c"), "", passed("GET /b?c", "", "", "")),
    ];
    for (fields, body, seen) in cases {
        let mut stream = send(&stage, &fields, body);
        let answered = stage.answer(&seen, OK).map_err(|why| format!("{fields:?} {body:?}: {why}"));
        assert_eq!(answered, Ok(()));
        let outcome = fate(&mut stream);
        assert!(
            matches!(&outcome, Ok(Fate::Answered(block)) if block.first() == Some(&STATUS_200)),
            "{fields:?} {outcome:?}"
        );
    }
}
