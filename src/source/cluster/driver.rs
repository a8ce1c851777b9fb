//! One kind of object kept up to date: asks, reads the answer line by line, and passes on what changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep_until, timeout};
use tracing::{info, warn};

use super::contents::Answer;
use super::target::Target;
use super::watch::{Heard, Meaning, Request, Watch};
use super::zone::Place;
use crate::ir::{Kind, Name};
use crate::snapshot::api::{Arrived, Event, Reader, Status};
use crate::telemetry::{Metrics, WatchAge};

/// Longest wait for the head of an answer.
const HEAD: Duration = Duration::from_secs(60);
/// The longest line and the largest page that are read; etcd takes no object over 1.5 MiB.
const LARGEST: usize = 64 << 20;
/// The same complaint is logged this often.
const REPEAT: Duration = Duration::from_secs(60);

/// What a watch tells the source. The number is the place of its target.
#[derive(Debug)]
pub(super) enum Update {
    /// An object changed or came.
    Put(usize, Arrived),
    /// An object went.
    Deleted(usize, Name),
    /// A list is whole: these are all there are. And whether the server went back in time since the list before.
    Listed(usize, BTreeMap<Name, Arrived>, bool),
    /// The API server does not allow to list or watch; the verb and what it says.
    Forbidden(usize, &'static str, String),
    /// It allows it again.
    Allowed(usize),
    /// What a Secret or ConfigMap holds: the kind, the name, the question, the answer.
    Content(Kind, Name, u64, Answer),
    /// Where we are.
    Zone(Place),
}

/// One watch.
pub(super) struct Driver {
    pub(super) index: usize,
    pub(super) target: Target,
    pub(super) client: Client,
    pub(super) reader: Arc<Mutex<Reader>>,
    pub(super) watch: Watch,
    pub(super) age: Arc<WatchAge>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) outage: Arc<Outage>,
    pub(super) updates: Sender<Update>,
}

/// The source is gone.
struct Gone;

impl Driver {
    /// Lists and watches until nobody listens any more.
    pub(super) async fn run(mut self) {
        let outage = Arc::clone(&self.outage);
        let mut complaints = Complaints { outage, last: None, is_forbidden: false };
        let mut collected = BTreeMap::new();
        loop {
            let (at, request) = self.watch.next(Instant::now());
            sleep_until(at.into()).await;
            self.watch.ask(&request, Instant::now());
            if matches!(request, Request::Stream | Request::Page { next: None, .. }) {
                collected.clear();
            }
            if self.answer(&request, &mut collected, &mut complaints).await.is_err() {
                return;
            }
        }
    }

    /// Asks once and takes in the answer to its end.
    async fn answer(
        &mut self,
        request: &Request,
        collected: &mut BTreeMap<Name, Arrived>,
        complaints: &mut Complaints,
    ) -> Result<(), Gone> {
        let is_list = matches!(request, Request::Check | Request::Page { .. });
        let response = match self.ask(request).await {
            Ok(response) => response,
            Err(why) => {
                complaints.unreachable(&why);
                return self.take(Heard::Unreachable, None, collected).await;
            }
        };
        if !response.status().is_success() {
            let refused = self.refused(response).await;
            if let Heard::Refused { status, .. } = &refused {
                let verb = if is_list { "list" } else { "watch" };
                // Where there are streaming lists no more, the next attempt says what is wrong.
                let is_no_stream = *request == Request::Stream && matches!(status.code, 400 | 405 | 422);
                if !is_no_stream && !status.is_expired() {
                    self.metrics.api_refused(verb, self.target.resource(), status.code);
                    complaints.refused(&self.target, verb, status);
                }
                if status.code == StatusCode::FORBIDDEN.as_u16() {
                    complaints.is_forbidden = true;
                    self.send(Update::Forbidden(self.index, verb, status.message.clone())).await?;
                }
            }
            return self.take(refused, None, collected).await;
        }
        if complaints.end(&self.target) {
            self.send(Update::Allowed(self.index)).await?;
        }
        self.age.heard();
        if is_list {
            self.page(response.into_body(), collected, complaints).await
        } else {
            self.lines(response.into_body(), collected, complaints).await
        }
    }

    async fn ask(&self, request: &Request) -> Result<Response<Body>, String> {
        let built = http::Request::get(self.target.uri(request))
            .header(header::ACCEPT, self.target.accept(request))
            .body(Body::empty())
            .map_err(|error| error.to_string())?;
        match timeout(HEAD, self.client.send(built)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(causes(&error)),
            Err(_) => Err(format!("no answer in {} s", HEAD.as_secs())),
        }
    }

    async fn refused(&self, response: Response<Body>) -> Heard {
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let code = response.status().as_u16();
        let text = timeout(HEAD, response.into_body().collect_bytes()).await;
        let text = text.map(Result::unwrap_or_default).unwrap_or_default();
        Heard::Refused { status: Status::of(code, &text), retry_after }
    }

    async fn page(
        &mut self,
        mut body: Body,
        collected: &mut BTreeMap<Name, Arrived>,
        complaints: &mut Complaints,
    ) -> Result<(), Gone> {
        let mut text: Vec<u8> = Vec::new();
        loop {
            match self.more(&mut body).await {
                Ok(bytes) if text.len() + bytes.len() > LARGEST => {
                    complaints.unreadable(&self.target, "a page is larger than 64 MiB");
                    return self.take(Heard::End, None, collected).await;
                }
                Ok(bytes) => text.extend_from_slice(&bytes),
                Err(Heard::End) => break,
                Err(other) => return self.take(other, None, collected).await,
            }
        }
        let page = self.reader().page(self.target.kind, &text);
        drop(text);
        match page {
            Ok(page) => {
                self.age.heard();
                // The one object of a check is no list.
                if self.watch.is_listing() {
                    collected.extend(page.items.into_iter().map(|arrived| (arrived.name.clone(), arrived)));
                }
                self.take(Heard::Page { version: page.version, next: page.next }, None, collected).await
            }
            Err(why) => {
                complaints.unreadable(&self.target, &why);
                self.take(Heard::End, None, collected).await
            }
        }
    }

    async fn lines(
        &mut self,
        mut body: Body,
        collected: &mut BTreeMap<Name, Arrived>,
        complaints: &mut Complaints,
    ) -> Result<(), Gone> {
        let mut buffer = Lines::default();
        loop {
            while let Some(line) = buffer.next() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let event = self.reader().event(self.target.kind, &line);
                self.age.heard();
                let (heard, change) = match event {
                    Ok(Event::Bookmark { version, ends_initial }) => (Heard::Bookmark { version, ends_initial }, None),
                    Ok(Event::Error(status)) => {
                        if !status.is_expired() {
                            complaints.refused(&self.target, "watch", &status);
                        }
                        return self.take(Heard::Error(status), None, collected).await;
                    }
                    Ok(Event::Put(arrived)) => {
                        let version = arrived.version.clone();
                        (Heard::Object { version }, Some(Change::Put(arrived)))
                    }
                    Ok(Event::Deleted(arrived)) => {
                        let version = arrived.version.clone();
                        (Heard::Object { version }, Some(Change::Deleted(arrived.name)))
                    }
                    Err(why) => {
                        complaints.unreadable(&self.target, &why);
                        return self.take(Heard::Error(Status::default()), None, collected).await;
                    }
                };
                self.take(heard, change, collected).await?;
            }
            match self.more(&mut body).await {
                Ok(bytes) if buffer.len() + bytes.len() > LARGEST => {
                    complaints.unreadable(&self.target, "an event is larger than 64 MiB");
                    return self.take(Heard::Error(Status::default()), None, collected).await;
                }
                Ok(bytes) => buffer.push(&bytes),
                Err(heard) => return self.take(heard, None, collected).await,
            }
        }
    }

    /// The next bytes of an answer; `Err` when it ends, however it ends.
    async fn more(&self, body: &mut Body) -> Result<Bytes, Heard> {
        loop {
            match timeout(self.watch.silence(), body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => return Ok(bytes),
                    // Trailers say nothing.
                    Err(_) => continue,
                },
                Ok(Some(Err(_))) => return Err(Heard::Cut),
                Ok(None) => return Err(Heard::End),
                Err(_) => return Err(Heard::Silence),
            }
        }
    }

    /// Does what the answer means.
    async fn take(
        &mut self,
        heard: Heard,
        change: Option<Change>,
        collected: &mut BTreeMap<Name, Arrived>,
    ) -> Result<(), Gone> {
        let index = self.index;
        match (self.watch.hear(heard, Instant::now(), fastrand::f64()), change) {
            (Meaning::Change, Some(Change::Put(arrived))) => self.send(Update::Put(index, arrived)).await,
            (Meaning::Change, Some(Change::Deleted(name))) => self.send(Update::Deleted(index, name)).await,
            (Meaning::Collect, Some(Change::Put(arrived))) => {
                collected.insert(arrived.name.clone(), arrived);
                Ok(())
            }
            (Meaning::Collect, Some(Change::Deleted(name))) => {
                collected.remove(&name);
                Ok(())
            }
            (Meaning::Complete { is_rewound }, _) => {
                self.send(Update::Listed(index, std::mem::take(collected), is_rewound)).await
            }
            (Meaning::Discard, _) => {
                collected.clear();
                Ok(())
            }
            (Meaning::Change | Meaning::Collect | Meaning::Nothing, _) => Ok(()),
        }
    }

    async fn send(&self, update: Update) -> Result<(), Gone> {
        self.updates.send(update).await.map_err(|_| Gone)
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Change {
    Put(Arrived),
    Deleted(Name),
}

/// Bytes into lines.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where no end of a line was found.
    looked: usize,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.looked -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
        // One large event need not be paid for ever after.
        if self.bytes.len() < 64 << 10 {
            self.bytes.shrink_to(64 << 10);
        }
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let found = memchr::memchr(b'\n', self.bytes.get(self.looked..)?);
        let Some(end) = found.map(|at| self.looked + at) else {
            self.looked = self.bytes.len();
            return None;
        };
        let line = self.bytes.get(self.start..end)?.to_vec();
        self.start = end + 1;
        self.looked = self.start;
        Some(line)
    }
}

/// What is wrong with a watch, logged when it begins, once a minute while it stands, and when it ends.
struct Complaints {
    outage: Arc<Outage>,
    last: Option<Instant>,
    is_forbidden: bool,
}

/// The API server is away: for all watches at once, so one of them says so.
#[derive(Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// Nobody complained in the last minute.
    fn is_due(&self) -> bool {
        is_due(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

fn is_due(last: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= REPEAT);
    if is_due {
        *last = Some(now);
    }
    is_due
}

impl Complaints {
    fn unreachable(&self, why: &str) {
        if self.outage.is_due() {
            warn!(error = why, "the API server cannot be reached; what is known is served");
        }
    }

    fn unreadable(&mut self, target: &Target, why: &str) {
        if is_due(&mut self.last) {
            warn!(resource = target.resource(), error = why, "the API server's answer cannot be read");
        }
    }

    fn refused(&mut self, target: &Target, verb: &'static str, status: &Status) {
        if is_due(&mut self.last) {
            let (resource, namespace, code) = (target.resource(), target.namespace(), status.code);
            warn!(verb, resource, %namespace, code, error = status.message, "the API server refuses");
        }
    }

    /// All is well; whether it was forbidden before.
    fn end(&mut self, target: &Target) -> bool {
        if self.outage.end() {
            info!("the API server is reached again");
        }
        if self.last.take().is_some() {
            info!(resource = target.resource(), "the API server answers again");
        }
        std::mem::take(&mut self.is_forbidden)
    }
}

/// An error with its causes, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_the_bytes_are() {
        let text = b"one\n\ntwo and more\nthree";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                lines.push(piece);
                while let Some(line) = lines.next() {
                    found.push(String::from_utf8(line).unwrap());
                }
            }
            assert_eq!(found, ["one", "", "two and more"], "{size}");
            assert_eq!(lines.len(), "three".len());
        }
    }
}
