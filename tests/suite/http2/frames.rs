//! A client that writes HTTP/2 frames by hand, to do what no library does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame as received.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection in clear text, past its preface and settings.
pub struct Raw {
    socket: TcpStream,
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Raw {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut raw = Raw { socket };
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.frame(SETTINGS, 0, 0, &[]);
        raw
    }

    /// Sends bytes; a proxy that closed already is found out by reading.
    pub fn send(&mut self, bytes: &[u8]) {
        let _closed = self.socket.write_all(bytes);
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    /// A GET on `stream`, with `fields` after the pseudo-header fields.
    pub fn get(&mut self, stream: u32, host: &str, path: &str, fields: &[(&str, &str)]) {
        self.frame(HEADERS, END_STREAM | END_HEADERS, stream, &block("GET", host, path, fields));
    }

    /// The next frame; `None` when the connection ended.
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of one of `kinds`; others are passed over.
    pub fn read_kind(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }

    /// The status of the next response head, which must be one that our encoder writes as an index or a literal.
    pub fn status(&mut self) -> u16 {
        status(&self.read_kind(&[HEADERS]).expect("the connection ended before a response").payload)
    }

    /// The code of the GOAWAY that ends the connection; nothing but `NO_ERROR` may come before it.
    pub fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.read_kind(&[GOAWAY]) {
            code = Some(frame.code());
        }
        code
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals without index and without Huffman code (RFC 7541 6.2.2).
pub fn block(method: &str, host: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)];
    for (name, value) in pseudo.iter().filter(|(name, value)| *name != ":authority" || !value.is_empty()).chain(fields)
    {
        block.push(0);
        literal(&mut block, name);
        literal(&mut block, value);
    }
    block
}

fn literal(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(length as u8);
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push((length % 128) as u8 | 128);
            length /= 128;
        }
        block.push(length as u8);
    }
    block.extend(text.as_bytes());
}

/// The status at the front of a block: of the static table, or a literal under its name.
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come first (RFC 7541 6.3).
    let block = if block[0] & 0xe0 == 0x20 { &block[1..] } else { block };
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        _ if block[1] & 0x80 == 0 => str::from_utf8(&block[2..5]).unwrap().parse().unwrap(),
        _ => huffman_digits(&block[2..2 + usize::from(block[1] & 0x7f)]),
    }
}

/// Three digits in Huffman code (RFC 7541 appendix B): 0, 1, 2 have five bits, the others six.
fn huffman_digits(code: &[u8]) -> u16 {
    let bits: Vec<u8> = code.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1)).collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let take = |count: usize| bits[at..at + count].iter().fold(0u16, |value, bit| value << 1 | u16::from(*bit));
        let (digit, length) = if take(5) <= 2 { (take(5), 5) } else { (take(6) - 0x19 + 3, 6) };
        number = number * 10 + digit;
        at += length;
    }
    number
}
