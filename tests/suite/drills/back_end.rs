//! Back ends that break, each in its own way, and count whom they hurt.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::timeout;

/// What becomes of who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// 200 with the path as body.
    Answers,
    /// Connections are not taken and not refused: what is sent to the address is lost.
    Deaf,
    /// A request is answered with something that is no HTTP.
    Garbage,
    /// Nobody listens.
    Refuses,
    /// Each connection is taken and reset.
    Resets,
    /// A request is answered with the beginning of a head and a reset.
    ResetsInHead,
    /// A request is answered after [`SLOW`].
    Slow,
    /// A request is never answered.
    Stalls,
}

/// See [`Mood::Slow`].
pub const SLOW: Duration = Duration::from_millis(150);

impl Mood {
    /// The process is gone: its connections break too.
    fn ends_connections(self) -> bool {
        matches!(self, Mood::Deaf | Mood::Refuses | Mood::Resets)
    }

    fn listens(self) -> bool {
        !matches!(self, Mood::Deaf | Mood::Refuses)
    }
}

/// A back end on the current `LocalSet`. It keeps its connections open as long as all is well.
#[derive(Clone)]
pub struct BackEnd {
    /// Where it listens.
    pub address: SocketAddr,
    mood: Rc<watch::Sender<Mood>>,
    hurt: Rc<Cell<usize>>,
    served: Rc<Cell<usize>>,
}

impl BackEnd {
    /// One that answers.
    pub async fn start() -> BackEnd {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1_024);
        let (mood, _) = watch::channel(Mood::Answers);
        let back_end = BackEnd {
            address: listener.local_addr().unwrap(),
            mood: Rc::new(mood),
            hurt: Rc::default(),
            served: Rc::default(),
        };
        spawn_local(back_end.clone().run(listener));
        back_end
    }

    /// Breaks, or is well again. From here on it is so for every connection.
    pub async fn is_now(&self, mood: Mood) {
        self.mood.send_replace(mood);
        // Its tasks see it before anybody else does something.
        tokio::task::yield_now().await;
    }

    /// How many connections or requests came to harm here, as far as a back end can see it.
    pub fn hurt(&self) -> usize {
        self.hurt.get()
    }

    /// How many requests it answered.
    pub fn served(&self) -> usize {
        self.served.get()
    }

    async fn run(self, first: TcpListener) {
        let mut mood = self.mood.subscribe();
        let mut open = Some(first);
        let deafness = RefCell::new(None);
        let mut connections = JoinSet::new();
        loop {
            let now = *mood.borrow_and_update();
            if now.ends_connections() {
                connections.shutdown().await;
            }
            if !now.listens() {
                drop(open.take());
            } else if open.is_none() {
                deafness.take();
                open = Some(listen(self.address, 1_024));
            }
            if now == Mood::Deaf && deafness.borrow().is_none() {
                deafness.replace(Some(Deafness::at(self.address).await));
            }
            tokio::select! {
                changed = mood.changed() => if changed.is_err() { return },
                socket = accept(open.as_ref()) => {
                    if now == Mood::Resets {
                        self.hurt.set(self.hurt.get() + 1);
                        reset(socket);
                    } else {
                        connections.spawn_local(self.clone().serve(socket));
                    }
                }
            }
        }
    }

    async fn serve(self, mut socket: TcpStream) {
        let mut input = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end + 4 + body(&input[..end]);
                }
                if !matches!(socket.read_buf(&mut input).await, Ok(1..)) {
                    return;
                }
            };
            while input.len() < end {
                if !matches!(socket.read_buf(&mut input).await, Ok(1..)) {
                    return;
                }
            }
            let request: Vec<u8> = input.drain(..end).collect();
            let mood = *self.mood.borrow();
            if mood != Mood::Answers {
                self.hurt.set(self.hurt.get() + 1);
            }
            match mood {
                Mood::Garbage => {
                    let _gone = socket.write_all(b"SSH-2.0-OpenSSH_10.0\r\n").await;
                    // To close before the other side read it would reset the connection.
                    let _end = socket.read(&mut [0]).await;
                    return;
                }
                Mood::ResetsInHead => {
                    let _gone = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Len").await;
                    return reset(socket);
                }
                Mood::Stalls => {
                    // Until the other side gives up.
                    let _end = socket.read(&mut [0]).await;
                    return;
                }
                Mood::Slow => tokio::time::sleep(SLOW).await,
                Mood::Answers | Mood::Deaf | Mood::Refuses | Mood::Resets => {}
            }
            self.served.set(self.served.get() + 1);
            let path = request.split(|octet| *octet == b' ').nth(1).unwrap();
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", path.len()).into_bytes();
            answer.extend_from_slice(path);
            // A request takes a moment, so that there are always some under way.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if socket.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

/// A listener that has no room: it is full of connections of our own.
struct Deafness {
    _listener: TcpListener,
    _fill: Vec<TcpStream>,
}

impl Deafness {
    async fn at(address: SocketAddr) -> Deafness {
        let listener = listen(address, 0);
        let mut fill = Vec::new();
        let began = Instant::now();
        // The kernel drops what comes once the queue is full.
        while let Ok(connected) = timeout(Duration::from_millis(20), TcpStream::connect(address)).await {
            fill.push(connected.unwrap());
            assert!(began.elapsed() < Duration::from_secs(5), "the queue has no end");
        }
        Deafness { _listener: listener, _fill: fill }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.unwrap().0,
        None => std::future::pending().await,
    }
}

fn listen(address: SocketAddr, backlog: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(backlog).unwrap()
}

fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
}

/// The length of the body behind a head.
fn body(head: &[u8]) -> usize {
    let head = str::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.map_or(0, |length| length.parse().unwrap())
}
