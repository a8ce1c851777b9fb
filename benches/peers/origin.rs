//! The origin: HTTP/1.1 with keep-alive. `GET /bytes/N` and `POST` are answered with N bytes, `/text/N` with so much HTML,
//! `/kept/N` with bytes that a cache may keep.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: origin\r\n";

/// What the path asks for.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Bytes(usize),
    Text(usize),
    Kept(usize),
}

impl Asked {
    fn of(head: &[u8]) -> Asked {
        let text = number_after(head, b"/text/").map(Asked::Text);
        let kept = || number_after(head, b"/kept/").map(Asked::Kept);
        text.or_else(kept).unwrap_or_else(|| Asked::Bytes(number_after(head, b"/bytes/").unwrap_or(1024)))
    }

    fn answer(self) -> Vec<u8> {
        let (kind, control, body) = match self {
            Asked::Bytes(length) => ("application/json", "no-cache", alphabet(length)),
            Asked::Kept(length) => ("application/json", "max-age=3600", alphabet(length)),
            Asked::Text(length) => ("text/html", "no-cache", page(length)),
        };
        let length = body.len();
        // A date of the past would make every answer stale.
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        let head = format!(
            "{HEAD}Date: {date}\r\nContent-Type: {kind}\r\nCache-Control: {control}\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }
}

fn alphabet(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}

/// HTML as an application makes it: elements that repeat with words and numbers that do less so. The same each time.
fn page(length: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "order",
        "customer",
        "invoice",
        "shipment",
        "warehouse",
        "delivery",
        "address",
        "product",
        "quantity",
        "total",
        "discount",
        "currency",
        "payment",
        "pending",
        "approved",
        "returned",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut page = String::from("<!doctype html>\n<table class=\"list\">\n");
    while page.len() < length {
        let number = random.u32(..1_000_000);
        page.push_str(&format!("  <tr class=\"row\" id=\"r{number}\"><td class=\"name\">"));
        for _ in 0..random.usize(3..9) {
            page.push_str(WORDS.get(random.usize(..WORDS.len())).copied().unwrap_or_default());
            page.push(' ');
        }
        page.push_str(&format!("</td><td class=\"sum\">{}.{:02}</td></tr>\n", random.u32(..9_000), random.u32(..100)));
    }
    page.truncate(length);
    page.into_bytes()
}

/// Listens and answers in the background of the current `LocalSet`.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<()> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener: TcpListener = socket.listen(4096)?;
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(answer_all(stream));
        }
    });
    Ok(())
}

async fn answer_all(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(16 << 10);
    let mut answer: Option<(Asked, Vec<u8>)> = None;
    loop {
        let Some(end) = memchr::memmem::find(&input, b"\r\n\r\n") else {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = input.split_to(end + 4);
        let asked = Asked::of(&head);
        swallow_body(&head, &mut input, &mut stream).await?;
        let (_, answer) = match &mut answer {
            Some(kept) if kept.0 == asked => kept,
            other => other.insert((asked, asked.answer())),
        };
        stream.write_all(answer).await?;
    }
}

/// Reads what belongs to the request: by length, or chunks up to the last one.
async fn swallow_body(head: &[u8], input: &mut BytesMut, stream: &mut TcpStream) -> std::io::Result<()> {
    let head = head.to_ascii_lowercase();
    if memchr::memmem::find(&head, b"\r\ntransfer-encoding: chunked").is_some() {
        loop {
            if let Some(end) = memchr::memmem::find(input, b"\r\n0\r\n\r\n") {
                input.advance(end + 7);
                return Ok(());
            }
            // The end of the last chunk may be cut anywhere.
            input.advance(input.len().saturating_sub(6));
            stream.read_buf(input).await?;
        }
    }
    let mut left = number_after(&head, b"\r\ncontent-length: ").unwrap_or(0);
    loop {
        let here = left.min(input.len());
        input.advance(here);
        left -= here;
        if left == 0 {
            return Ok(());
        }
        if stream.read_buf(input).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The decimal number that follows the first `name`.
pub(crate) fn number_after(text: &[u8], name: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(text, name)? + name.len();
    let digits = text.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}
