//! The origin: HTTP/1.1 with keep-alive, `GET /bytes/N` and `POST` answered with N bytes.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 22 Nov 2026 07:00:00 GMT\r\nContent-Type: application/json\r\n\
    Cache-Control: no-cache\r\nContent-Length: ";

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
    let mut answer = (usize::MAX, Vec::new());
    loop {
        let Some(end) = memchr::memmem::find(&input, b"\r\n\r\n") else {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = input.split_to(end + 4);
        let length = number_after(&head, b"/bytes/").unwrap_or(1024);
        if answer.0 != length {
            answer = (length, format!("{HEAD}{length}\r\n\r\n").into_bytes());
            answer.1.extend((b'a'..=b'z').cycle().take(length));
        }
        swallow_body(&head, &mut input, &mut stream).await?;
        stream.write_all(&answer.1).await?;
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
