//! The HTTP/1.1 client: one request at a time on each connection, plain or over TLS.

use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::{Buf, BytesMut};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::origin::number_after;
use crate::tally::Tally;
use crate::{Load, Until};

/// What a browser takes, if the load does not say.
pub(crate) const ENCODINGS: &str = "gzip, br";

/// What a browser sends, so that a proxy has an honest number of fields to carry.
pub(crate) const FIELDS: [(&str, &str); 5] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) bench"),
    ("Accept", "text/html,application/json;q=0.9,*/*;q=0.8"),
    ("Accept-Encoding", ENCODINGS),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef"),
];

/// Both kinds of stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// One connection from first to last request; opened again when the proxy closes it between two requests.
pub(crate) async fn client(load: Rc<Load>, tally: Tally) -> anyhow::Result<()> {
    let request = request(&load);
    loop {
        let mut stream = connect(&load).await?;
        match requests(&load, &tally, &request, &mut stream).await {
            Ok(Ended::Done) => return Ok(()),
            Ok(Ended::Closed) => {}
            Err(_) => tally.broke(),
        }
    }
}

enum Ended {
    Closed,
    Done,
}

async fn requests(load: &Load, tally: &Tally, request: &[u8], stream: &mut dyn Stream) -> anyhow::Result<Ended> {
    let mut input = BytesMut::with_capacity(16 << 10);
    while tally.may_send() {
        if load.rate > 0.0 {
            tokio::time::sleep_until(tally.due(load.rate).into()).await;
        }
        let sent = Instant::now();
        stream.write_all(request).await?;
        let (status, closes, octets) = answer(&mut input, stream).await?;
        tally.answered(status, sent.elapsed(), octets);
        if matches!(load.until, Until::Idle) {
            return std::future::pending().await;
        }
        if closes {
            return Ok(Ended::Closed);
        }
    }
    Ok(Ended::Done)
}

/// Reads one answer whole; its status, whether the connection ends with it, and the octets of its body.
pub(crate) async fn answer(input: &mut BytesMut, stream: &mut dyn Stream) -> anyhow::Result<(u16, bool, usize)> {
    let end = loop {
        if let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(input).await? == 0 {
            bail!("closed before an answer");
        }
    };
    let head = input.split_to(end).to_ascii_lowercase();
    let status = number_after(&head, b"http/1.1 ").context("no status")?;
    let octets = match number_after(&head, b"\r\ncontent-length: ") {
        Some(length) => {
            skip(input, stream, length).await?;
            length
        }
        None => chunks(input, stream).await?,
    };
    Ok((u16::try_from(status)?, memchr::memmem::find(&head, b"\r\nconnection: close").is_some(), octets))
}

/// Reads chunks to the last, without trailers; the octets in them.
async fn chunks(input: &mut BytesMut, stream: &mut dyn Stream) -> anyhow::Result<usize> {
    let mut octets = 0;
    loop {
        let end = loop {
            if let Some(end) = memchr::memmem::find(input, b"\r\n") {
                break end;
            }
            if stream.read_buf(input).await? == 0 {
                bail!("closed before a chunk");
            }
        };
        let line = input.split_to(end + 2);
        let size = usize::from_str_radix(str::from_utf8(line.trim_ascii())?, 16).context("no size of a chunk")?;
        skip(input, stream, size + 2).await?;
        if size == 0 {
            return Ok(octets);
        }
        octets += size;
    }
}

async fn skip(input: &mut BytesMut, stream: &mut dyn Stream, mut left: usize) -> anyhow::Result<()> {
    while left > 0 {
        if input.is_empty() && stream.read_buf(input).await? == 0 {
            bail!("closed in the body");
        }
        let here = left.min(input.len());
        input.advance(here);
        left -= here;
    }
    Ok(())
}

fn request(load: &Load) -> Vec<u8> {
    let method = if load.post > 0 { "POST" } else { "GET" };
    let mut text = format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", load.path, load.host);
    for (name, value) in FIELDS {
        let value = if name == "Accept-Encoding" { &load.encodings } else { value };
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if load.post > 0 {
        text.push_str(&format!("Content-Type: application/octet-stream\r\nContent-Length: {}\r\n", load.post));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len() + load.post, b'x');
    bytes
}

/// A connection to the target, with TLS if the load asks for it.
pub(crate) async fn connect(load: &Load) -> anyhow::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(load.target).await.with_context(|| format!("connect to {}", load.target))?;
    stream.set_nodelay(true)?;
    let Some(tls) = &load.tls else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(load.host.clone())?;
    Ok(Box::new(tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream).await.context("TLS")?))
}
