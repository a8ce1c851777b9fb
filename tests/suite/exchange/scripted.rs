//! A back end that answers as a test says, and a client that reads whole answers, both over blocking sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A back end. Its threads end with its connections.
pub struct Scripted {
    /// Where it listens.
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Answers each request by `answer`, which gets its head and the socket to write to.
    pub fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&heads), Arc::new(answer));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || serve(socket, &log, &*answer));
            }
        });
        Scripted { address, heads }
    }

    /// One that answers every request with these octets.
    pub fn fixed(answer: impl Into<Vec<u8>>) -> Scripted {
        let answer = answer.into();
        Scripted::start(move |_, socket| socket.write_all(&answer).unwrap())
    }

    /// The heads received so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

fn serve(mut socket: TcpStream, log: &Mutex<Vec<String>>, answer: &dyn Fn(&str, &mut TcpStream)) {
    let mut input = Vec::new();
    loop {
        let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
            let mut piece = [0; 4096];
            match socket.read(&mut piece) {
                Ok(n @ 1..) => input.extend_from_slice(&piece[..n]),
                _ => return,
            }
            continue;
        };
        let head = String::from_utf8(input.drain(..end + 4).collect()).unwrap();
        let mut body = field(&head, "content-length").map_or(0, |value| value.parse().unwrap());
        body -= input.drain(..input.len().min(body)).len();
        socket.read_exact(&mut vec![0; body]).unwrap();
        log.lock().unwrap().push(head.clone());
        answer(&head, &mut socket);
    }
}

/// The value of a field in a head.
pub fn field(head: &str, name: &str) -> Option<String> {
    let line = head.lines().skip(1).filter_map(|line| line.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case(name));
    line.map(|(_, value)| value.trim().to_owned())
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Status line and fields.
    pub head: String,
    /// Body without framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// A client connection.
pub struct Caller {
    socket: TcpStream,
    input: Vec<u8>,
}

impl Caller {
    /// Connects; nothing is waited for longer than 10 s.
    pub fn connect(address: SocketAddr) -> Caller {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Caller { socket, input: Vec::new() }
    }

    /// Sends `GET path` for `a.example` with further lines, each with its line end.
    pub fn send(&mut self, method: &str, path: &str, lines: &str) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
        self.socket.write_all(request.as_bytes()).unwrap();
    }

    /// Reads an answer's head.
    pub fn head(&mut self) -> String {
        let end = self.until(b"\r\n\r\n");
        String::from_utf8(self.input.drain(..end).collect()).unwrap()
    }

    /// Reads the next chunk; empty at the end.
    pub fn chunk(&mut self) -> Vec<u8> {
        let end = self.until(b"\r\n");
        let line = String::from_utf8(self.input.drain(..end).collect()).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        self.take(size + 2)[..size].to_vec()
    }

    /// Reads an answer to a request with this method.
    pub fn answer(&mut self, method: &str) -> Answer {
        let head = self.head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = field(&head, "content-length").map(|value| value.parse().unwrap());
        let body = match length {
            _ if method == "HEAD" || matches!(status, 204 | 304) => Vec::new(),
            Some(length) => self.take(length),
            None if field(&head, "transfer-encoding").is_some() => {
                let mut body = Vec::new();
                loop {
                    match self.chunk() {
                        chunk if chunk.is_empty() => break body,
                        chunk => body.extend_from_slice(&chunk),
                    }
                }
            }
            None => Vec::new(),
        };
        Answer { status, head, body }
    }

    fn until(&mut self, mark: &[u8]) -> usize {
        loop {
            if let Some(at) = self.input.windows(mark.len()).position(|window| window == mark) {
                return at + mark.len();
            }
            self.more();
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.input.len() < length {
            self.more();
        }
        self.input.drain(..length).collect()
    }

    fn more(&mut self) {
        let mut piece = [0; 16 << 10];
        let n = self.socket.read(&mut piece).unwrap();
        assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&self.input));
        self.input.extend_from_slice(&piece[..n]);
    }
}

/// One request on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, lines: &str) -> Answer {
    let mut caller = Caller::connect(address);
    caller.send(method, path, lines);
    caller.answer(method)
}
