//! Clients that go on asking whatever happens, and what the proxy's log says became of their requests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fairlead::settings::LogFormat;
use fairlead::telemetry::AccessLog;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::clients::H1;

/// From one request of a client to its next.
const PAUSE: Duration = Duration::from_millis(3);

/// What a client saw of one request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub is_post: bool,
    pub status: u16,
    pub began: Instant,
    pub took: Duration,
}

/// Clients that ask one thing after the other, by turns with GET and POST, each on a connection of its own.
pub struct Load {
    seen: Rc<RefCell<Vec<Seen>>>,
    is_over: Rc<Cell<bool>>,
    clients: JoinSet<()>,
}

impl Load {
    /// Begins.
    pub fn on(proxy: SocketAddr, host: &'static str, clients: usize) -> Load {
        let mut load = Load { seen: Rc::default(), is_over: Rc::default(), clients: JoinSet::new() };
        for client in 0..clients {
            let (seen, is_over) = (Rc::clone(&load.seen), Rc::clone(&load.is_over));
            load.clients.spawn_local(async move {
                let mut connection = None;
                let mut number = client;
                while !is_over.get() {
                    let mut talk: H1<TcpStream> = match connection.take() {
                        Some(talk) => talk,
                        None => H1::new(TcpStream::connect(proxy).await.unwrap()),
                    };
                    let is_post = number % 2 == 1;
                    let path = format!("/{client}-{number}");
                    let (method, body): (_, &[u8]) = if is_post { ("POST", b"some") } else { ("GET", b"") };
                    let began = Instant::now();
                    let (status, answer) = talk.request(method, host, &path, body).await;
                    assert!(status != 200 || answer == path.as_bytes(), "the answer to another request");
                    seen.borrow_mut().push(Seen { path, is_post, status, began, took: began.elapsed() });
                    if !talk.closes {
                        connection = Some(talk);
                    }
                    number += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        load
    }

    /// How many requests were answered so far.
    pub fn count(&self) -> usize {
        self.seen.borrow().len()
    }

    /// Statuses of the requests that were answered last.
    pub fn last(&self, count: usize) -> Vec<u16> {
        self.seen.borrow().iter().rev().take(count).map(|seen| seen.status).collect()
    }

    /// Ends it, and gives what was seen.
    pub async fn end(mut self) -> Vec<Seen> {
        self.is_over.set(true);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.seen.take()
    }
}

/// The attempts of each request, by its path: which endpoint, and what came of it (5xx: nothing).
pub type Attempts = BTreeMap<String, Vec<(SocketAddr, u16)>>;

/// The access log of a proxy, read as it is written.
pub struct Log {
    pub sink: Arc<AccessLog>,
    reading: JoinHandle<io::Result<String>>,
}

impl Log {
    /// An empty one.
    pub fn start() -> Log {
        let (mut reader, writer) = io::pipe().unwrap();
        let reading = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        Log { sink: AccessLog::start(writer, LogFormat::Text, Arc::default()).unwrap(), reading }
    }

    /// What it says, once the proxy that wrote it is gone.
    pub fn attempts(self) -> Attempts {
        assert!(self.sink.settle(Duration::from_secs(10)));
        drop(self.sink);
        self.reading.join().unwrap().unwrap().lines().map(request).collect()
    }
}

/// A line ends with `[web] [] address, address bytes, bytes seconds, seconds status, status id`.
fn request(line: &str) -> (String, Vec<(SocketAddr, u16)>) {
    let path = line.split(' ').find(|word| word.starts_with('/')).unwrap();
    let (_, upstream) = line.split_once("] [] ").unwrap();
    let mut words = upstream.split(' ');
    let mut list = || {
        let mut found = Vec::new();
        for word in words.by_ref() {
            found.push(word.trim_end_matches(','));
            if !word.ends_with(',') {
                break;
            }
        }
        found
    };
    let (addresses, _bytes, _seconds, statuses) = (list(), list(), list(), list());
    let attempt = |(address, status): (&&str, &&str)| (address.parse().unwrap(), status.parse().unwrap());
    (path.to_owned(), addresses.iter().zip(&statuses).map(attempt).collect())
}
