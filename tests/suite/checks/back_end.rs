//! Back ends that answer each connection as a test says, and remember what they were asked.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

/// What becomes of a connection once a head came on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These bytes, and the end.
    Bytes(&'static str),
    /// The end.
    Close,
    /// Nothing, for as long as the other side waits.
    Silence,
}

pub const OK: Answer = Answer::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
pub const BUSY: Answer = Answer::Bytes("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

/// A back end that ends with the process. It serves one request a connection.
#[derive(Clone)]
pub struct BackEnd {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    to_checks: Answer,
    to_others: Answer,
    /// Heads of checks.
    checks: Vec<String>,
    /// Requests that were no checks.
    others: usize,
    /// When each connection came.
    accepted: Vec<Instant>,
}

impl BackEnd {
    /// Answers so to checks, and 200 to everything else.
    pub fn start(to_checks: Answer) -> BackEnd {
        BackEnd::at("127.0.0.1:0", to_checks)
    }

    /// The same on `address`.
    pub fn at(address: &str, to_checks: Answer) -> BackEnd {
        let listener = TcpListener::bind(address).unwrap();
        let shared = Shared { to_checks, to_others: OK, checks: Vec::new(), others: 0, accepted: Vec::new() };
        let back_end = BackEnd { address: listener.local_addr().unwrap(), shared: Arc::new(Mutex::new(shared)) };
        let serving = back_end.clone();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (socket, serving) = (socket.unwrap(), serving.clone());
                serving.shared().accepted.push(Instant::now());
                thread::spawn(move || serving.serve(socket));
            }
        });
        back_end
    }

    /// Answers so to checks from now on.
    pub fn answer(&self, to_checks: Answer) {
        self.shared().to_checks = to_checks;
    }

    /// How many checks came.
    pub fn checks(&self) -> usize {
        self.shared().checks.len()
    }

    /// The head of the last check.
    pub fn last_check(&self) -> String {
        self.shared().checks.last().unwrap().clone()
    }

    /// How many requests came that were no checks.
    pub fn others(&self) -> usize {
        self.shared().others
    }

    /// When each connection came.
    pub fn accepted(&self) -> Vec<Instant> {
        self.shared().accepted.clone()
    }

    fn serve(&self, mut socket: TcpStream) {
        let mut head = vec![0; 4096];
        let Ok(length @ 1..) = socket.read(&mut head) else { return };
        head.truncate(length);
        let head = String::from_utf8_lossy(&head).into_owned();
        let answer = {
            let mut shared = self.shared();
            if head.contains("User-Agent: fairlead-check") || !head.starts_with("GET ") {
                shared.checks.push(head);
                shared.to_checks
            } else {
                shared.others += 1;
                shared.to_others
            }
        };
        if let Answer::Bytes(bytes) = answer {
            let _gone = socket.write_all(bytes.as_bytes());
        }
        if answer != Answer::Silence {
            let _gone = socket.shutdown(Shutdown::Write);
        }
        // To close before all is read would reset the connection.
        let _set = socket.set_read_timeout(Some(Duration::from_secs(60)));
        while matches!(socket.read(&mut [0; 512]), Ok(1..)) {}
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }
}

/// What a gRPC server says of its health.
#[derive(Clone, Copy, Debug)]
pub enum Health {
    /// This status in a message, and `grpc-status` in trailers.
    Says(u8, &'static str),
    /// `grpc-status` in place of a message.
    Only(&'static str),
    /// A message that does not end.
    Endless,
    /// An HTTP status.
    Http(u16),
}

/// A gRPC server with nothing but its health service; it ends with the process.
pub fn grpc(health: Health) -> SocketAddr {
    grpc_over(health, None)
}

/// The same over TLS.
pub fn grpcs(health: Health, mut tls: ServerConfig) -> SocketAddr {
    tls.alpn_protocols = vec![b"h2".to_vec()];
    grpc_over(health, Some(TlsAcceptor::from(Arc::new(tls))))
}

fn grpc_over(health: Health, tls: Option<TlsAcceptor>) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve_calls(socket, health).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await
                                && stream.get_ref().1.alpn_protocol() == Some(b"h2")
                            {
                                serve_calls(stream, health).await;
                            }
                        }
                    }
                });
            }
        });
    });
    told.recv().unwrap()
}

async fn serve_calls(stream: impl AsyncRead + AsyncWrite + Unpin, health: Health) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(call(request, respond, health));
    }
}

async fn call(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, health: Health) {
    let asked = (request.method().as_str().to_owned(), request.uri().path().to_owned());
    let type_of = request.headers()["content-type"].clone();
    let mut body = request.into_body();
    let mut question = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        question.extend_from_slice(&data);
    }
    let is_right = asked == ("POST".to_owned(), "/grpc.health.v1.Health/Check".to_owned())
        && type_of == "application/grpc"
        && question == [0; 5];
    let head = Response::builder().header("content-type", "application/grpc");
    match health {
        Health::Http(status) => _ = respond.send_response(head.status(status).body(()).unwrap(), true),
        _ if !is_right => _ = respond.send_response(head.header("grpc-status", "3").body(()).unwrap(), true),
        Health::Only(status) => _ = respond.send_response(head.header("grpc-status", status).body(()).unwrap(), true),
        Health::Says(status, code) => {
            let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
            let _gone = send.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 0x08, status]), false);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            let _gone = send.send_trailers(trailers);
        }
        Health::Endless => {
            let mut send = respond.send_response(head.body(()).unwrap(), false).unwrap();
            let _gone = send.send_data(Bytes::from(vec![0; 60_000]), false);
            std::future::pending::<()>().await;
        }
    }
}
