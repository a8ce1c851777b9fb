//! Plays scripts: a client and an upstream on loopback sockets, and the proxy between them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::pattern::{Match, compare};
use super::proxy;
use super::script::{End, On, Pace, Script, Step};
use crate::bed::Bed;

/// How long the proxy may take for what it does at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two writes, so that they are mostly read apart. What is expected does not depend on it.
const BETWEEN_WRITES: Duration = Duration::from_micros(150);

/// A proxy with one host, `a.example`, whose Service has one endpoint: the upstream of the scripts.
pub(super) struct Stage {
    proxy: Bed,
    upstream: TcpListener,
}

impl Stage {
    /// With the default limits.
    pub(super) fn new() -> Stage {
        Stage::with_limits(&[])
    }

    /// Request bodies are passed on as they come.
    pub(super) fn unbuffered() -> Stage {
        Stage::with(&[], "nginx.ingress.kubernetes.io/proxy-request-buffering: 'off'")
    }

    /// With limits as `--limit` takes them.
    pub(super) fn with_limits(limits: &[(&str, &str)]) -> Stage {
        Stage::with(limits, "")
    }

    fn with(limits: &[(&str, &str)], annotations: &str) -> Stage {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        upstream.set_nonblocking(true).unwrap();
        let proxy = proxy::start(upstream.local_addr().unwrap(), limits, annotations);
        Stage { proxy, upstream }
    }

    /// Plays every script at every pace. Panics with all that went wrong.
    pub(super) fn play(&self, scripts: impl IntoIterator<Item = Script>) {
        let failures: Vec<String> = scripts.into_iter().filter_map(|script| self.play_one(&script).err()).collect();
        assert!(failures.is_empty(), "{} scripts failed\n\n{}", failures.len(), failures.join("\n\n"));
    }

    /// Where clients connect.
    pub(super) fn http(&self) -> SocketAddr {
        self.proxy.http
    }

    /// Whether no connection with a byte on it waits at the upstream.
    pub(super) fn upstream_is_untouched(&self) -> bool {
        std::iter::from_fn(|| self.upstream.accept().ok()).all(|(stream, _)| {
            stream.set_nonblocking(false).unwrap();
            Side::new(stream).expect_nothing("the upstream").is_ok()
        })
    }

    /// Waits for `pattern` on a new upstream connection, answers with `bytes`, and closes.
    pub(super) fn answer(&self, pattern: &str, bytes: &str) -> Result<(), String> {
        let mut scene = Scene::open(self, Pace::Whole);
        scene.step(&Step::ToUpstream(pattern.as_bytes().to_vec(), On::New))?;
        scene.step(&Step::Upstream(bytes.as_bytes().to_vec()))
    }

    fn play_one(&self, script: &Script) -> Result<(), String> {
        for pace in script.paces() {
            // What the performance before may have left.
            while self.upstream.accept().is_ok() {}
            let mut scene = Scene::open(self, pace);
            for (index, step) in script.steps.iter().enumerate() {
                let played = scene.step(step);
                played.map_err(|why| format!("{} ({pace:?}), step {}: {why}", script.name, index + 1))?;
            }
            scene.close().map_err(|why| format!("{} ({pace:?}), after the last step: {why}", script.name))?;
        }
        Ok(())
    }
}

/// One performance of a script.
struct Scene<'a> {
    stage: &'a Stage,
    pace: Pace,
    client: Side,
    upstream: Option<Side>,
    /// Connections of the upstream that were replaced by another.
    left: Vec<Side>,
}

impl Scene<'_> {
    fn open(stage: &Stage, pace: Pace) -> Scene<'_> {
        let client = Side::new(TcpStream::connect(stage.proxy.http).unwrap());
        Scene { stage, pace, client, upstream: None, left: Vec::new() }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let pace = self.pace;
        match step {
            Step::Client(bytes) => self.client.send(pace.pieces(bytes)),
            Step::ClientEnds => self.client.stream.shutdown(Shutdown::Write).map_err(|error| error.to_string())?,
            Step::ClientResets => {
                self.client.reset();
                self.client = Side::new(TcpStream::connect(self.stage.proxy.http).unwrap());
            }
            Step::ToClient(pattern) => self.client.expect(pattern).map_err(|why| format!("to the client: {why}"))?,
            Step::ClientSees(end) => self.client.expect_end(&[*end]).map_err(|why| format!("to the client: {why}"))?,
            Step::Upstream(bytes) => self.open_upstream()?.send(pace.pieces(bytes)),
            Step::UpstreamCloses => self.left.push(self.upstream.take().ok_or("no connection to close")?.ended()),
            Step::UpstreamResets => self.upstream.take().ok_or("no connection to reset")?.reset(),
            Step::ToUpstream(pattern, on) => {
                if *on == On::New {
                    let side = self.accept()?;
                    self.left.extend(self.upstream.replace(side));
                }
                self.open_upstream()?.expect(pattern).map_err(|why| format!("to the upstream: {why}"))?;
            }
            Step::UpstreamSeesEnd => {
                let ends = [End::Closed, End::Reset];
                self.open_upstream()?.expect_end(&ends).map_err(|why| format!("to the upstream: {why}"))?;
            }
        }
        Ok(())
    }

    fn open_upstream(&mut self) -> Result<&mut Side, String> {
        self.upstream.as_mut().ok_or_else(|| "the upstream has no connection".to_owned())
    }

    /// The next connection to the upstream on which a byte comes; what an earlier performance left is passed over.
    fn accept(&self) -> Result<Side, String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.stage.upstream.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    let mut side = Side::new(stream);
                    if matches!(side.read(), Ok(Some(_))) {
                        return Ok(side);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if let Some(why) = self.client.news() {
                        return Err(format!("no request came to the upstream; the client got {why}"));
                    }
                    std::thread::sleep(Duration::from_micros(50));
                }
                Err(error) => return Err(format!("accept: {error}")),
            }
        }
        Err("no request came to the upstream".to_owned())
    }

    /// Nothing may be left over on any side.
    fn close(mut self) -> Result<(), String> {
        self.client.expect_nothing("the client")?;
        for side in self.upstream.iter_mut().chain(&mut self.left) {
            side.expect_nothing("the upstream")?;
        }
        while let Ok((stream, _)) = self.stage.upstream.accept() {
            stream.set_nonblocking(false).unwrap();
            Side::new(stream).expect_nothing("the upstream, on another connection,")?;
        }
        self.client.reset();
        self.left.into_iter().chain(self.upstream).for_each(Side::drop_at_once);
        Ok(())
    }
}

/// One end of a connection with the bytes that came and were not yet compared.
struct Side {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Side {
    fn new(stream: TcpStream) -> Side {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Side { stream, seen: Vec::new() }
    }

    /// Writes all pieces. The proxy may have closed already: what it sent before is what counts.
    fn send(&mut self, pieces: Vec<&[u8]>) {
        let last = pieces.len().saturating_sub(1);
        for (index, piece) in pieces.into_iter().enumerate() {
            if self.stream.write_all(piece).is_err() {
                return;
            }
            if index < last {
                std::thread::sleep(BETWEEN_WRITES);
            }
        }
    }

    /// Reads once: how many bytes came, nothing at the end of input, or why not.
    fn read(&mut self) -> Result<Option<usize>, ErrorKind> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => Ok(None),
            Ok(len) => {
                self.seen.extend_from_slice(&piece[..len]);
                Ok(Some(len))
            }
            Err(error) => Err(error.kind()),
        }
    }

    fn expect(&mut self, pattern: &[u8]) -> Result<(), String> {
        loop {
            match compare(pattern, &self.seen) {
                Match::Whole(len) => {
                    self.seen.drain(..len);
                    return Ok(());
                }
                Match::Differs(at) => return Err(self.wrong(&format!("differs at {at}"), pattern)),
                Match::Begun => match self.read() {
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(self.wrong("ends early", pattern)),
                    Err(kind) => return Err(self.wrong(&format!("ends early, {kind:?}"), pattern)),
                },
            }
        }
    }

    fn expect_end(&mut self, ends: &[End]) -> Result<(), String> {
        let end = match self.read() {
            Ok(Some(_)) => return Err(self.wrong("goes on", b"the end")),
            Ok(None) => End::Closed,
            Err(ErrorKind::ConnectionReset) => End::Reset,
            Err(kind) => return Err(self.wrong(&format!("stays open, {kind:?}"), b"the end")),
        };
        let is_wanted = ends.contains(&end) && self.seen.is_empty();
        if is_wanted { Ok(()) } else { Err(self.wrong(&format!("ends with {end:?}"), format!("{ends:?}").as_bytes())) }
    }

    /// Fails if anything is there to be read.
    fn expect_nothing(&mut self, who: &str) -> Result<(), String> {
        self.stream.set_nonblocking(true).unwrap();
        let _ = self.read();
        if self.seen.is_empty() { Ok(()) } else { Err(format!("{who} got more: {}", show(&self.seen))) }
    }

    /// What can be read now, for messages.
    fn news(&self) -> Option<String> {
        let mut piece = [0; 1024];
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut piece);
        self.stream.set_nonblocking(false).unwrap();
        match peeked {
            Ok(0) => Some("the end".to_owned()),
            // An interim answer is no sign that the request will not be passed on.
            Ok(len) if piece.starts_with(b"HTTP/1.1 1") || len < 10 => None,
            Ok(len) => Some(show(&piece[..len])),
            Err(_) => None,
        }
    }

    /// With FIN sent; what still comes can be seen.
    fn ended(self) -> Side {
        // It fails if the other side was first.
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Closes with RST, which also leaves no socket behind in TIME_WAIT.
    fn reset(&self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn drop_at_once(self) {
        self.reset();
    }

    fn wrong(&self, what: &str, wanted: &[u8]) -> String {
        format!("{what}\n  expected {}\n  got      {}", show(wanted), show(&self.seen))
    }
}

fn show(bytes: &[u8]) -> String {
    let shown = bytes.get(..2000).unwrap_or(bytes);
    let more =
        if shown.len() < bytes.len() { format!(" and {} more", bytes.len() - shown.len()) } else { String::new() };
    format!("\"{}\"{more}", shown.escape_ascii())
}
