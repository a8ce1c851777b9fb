//! A back end for tests: echoes an id, trickles, switches protocols, all over HTTP/1.1 on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A running back end; it ends when dropped.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    /// Requests answered.
    pub answered: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

impl Origin {
    /// Starts one named `name`: every answer tells the name, so that a test sees who answered.
    pub fn start(name: &str) -> Origin {
        let answered = Arc::new(AtomicU64::new(0));
        let (stop, mut stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let (name, count) = (name.to_owned(), Arc::clone(&answered));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        accepted = listener.accept() => {
                            let (name, count) = (name.clone(), Arc::clone(&count));
                            let (socket, _) = accepted.unwrap();
                            socket.set_nodelay(true).unwrap();
                            tokio::spawn(async move { serve(socket, &name, &count).await });
                        }
                    }
                }
            });
        });
        Origin { address: told.recv().unwrap(), answered, _stop: stop }
    }
}

/// Serves a connection until it closes. Paths: `/slow/N` trickles N chunks, one each 10 ms; a request that asks for an
/// upgrade gets it, and its bytes back; all else is answered with `name` and the path.
async fn serve(mut socket: TcpStream, name: &str, answered: &AtomicU64) {
    let mut input = Vec::new();
    loop {
        let Some((head, rest)) = read_head(&mut socket, input).await else { return };
        input = rest;
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let length = field(&head, "content-length").map_or(0, |value| value.parse::<usize>().unwrap());
        while input.len() < length {
            let mut piece = [0; 16 << 10];
            match socket.read(&mut piece).await {
                Ok(n) if n > 0 => input.extend_from_slice(&piece[..n]),
                _ => return,
            }
        }
        input.drain(..length);
        answered.fetch_add(1, Ordering::Relaxed);
        if let Some(protocol) = field(&head, "upgrade") {
            let switch =
                format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
            let _gone = socket.write_all(switch.as_bytes()).await;
            return echo(socket).await;
        }
        let outcome = match path.strip_prefix("/slow/") {
            Some(count) => trickle(&mut socket, count.parse().unwrap()).await,
            None => {
                let body = format!("{name} {path}");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                socket.write_all(head.as_bytes()).await
            }
        };
        if outcome.is_err() {
            return;
        }
    }
}

async fn read_head(socket: &mut TcpStream, mut input: Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = input.split_off(end + 4);
            return Some((String::from_utf8(input).unwrap(), rest));
        }
        let mut piece = [0; 4096];
        match socket.read(&mut piece).await {
            Ok(n) if n > 0 => input.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
}

fn field(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

async fn trickle(socket: &mut TcpStream, count: usize) -> std::io::Result<()> {
    socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    for _ in 0..count {
        socket.write_all(b"4\r\nslow\r\n").await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    socket.write_all(b"0\r\n\r\n").await
}

async fn echo(mut socket: TcpStream) {
    let mut piece = [0; 4096];
    while let Ok(n) = socket.read(&mut piece).await {
        if n == 0 || socket.write_all(&piece[..n]).await.is_err() {
            return;
        }
    }
}
