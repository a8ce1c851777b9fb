//! Which Secrets and ConfigMaps are read, and their content: those that an Ingress of ours names, a flag, or the ConfigMap
//! of a flag.
//!
//! The metadata of all of a kind is watched and dropped at once; it only says when one of ours changed. Content is asked
//! for by name, so what nobody names is never read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header;
use kube::Client;
use kube::client::Body;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::driver::Update;
use super::watch::backoff;
use crate::ir::{Kind, Name};
use crate::snapshot::Received;
use crate::snapshot::api::{Arrived, Content, Reader, Status};
use crate::telemetry::Metrics;

/// Objects of a kind asked for at the same time, each on a connection of its own.
const AT_ONCE: usize = 8;
/// Longest wait for one.
const PATIENCE: Duration = Duration::from_secs(30);
/// After this many answers that are no answer the start does not wait any longer.
const TRIES: u32 = 3;

/// What asking for an object came to.
#[derive(Debug)]
pub(super) enum Answer {
    /// There is none.
    Absent,
    /// We may not read it; what the API server says.
    Forbidden(String),
    /// It holds this, at this `metadata.resourceVersion`.
    Found(Received, String),
    /// The API server cannot say; it is asked again.
    Unknown,
}

/// What is to be done with the object of the snapshot.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It stays as it is.
    Keep,
    /// There is none.
    Remove,
    /// It is this now.
    Replace(Received),
    /// It may not be read, so nobody knows; what the API server says.
    Forbidden(String),
}

/// The objects of one kind that somebody names.
pub(super) struct Contents {
    kind: Kind,
    client: Client,
    reader: Arc<Mutex<Reader>>,
    updates: Sender<Update>,
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    tasks: JoinSet<()>,
    wanted: BTreeMap<Name, Wanted>,
    /// Wanted ones of which nothing is known yet.
    unknown: usize,
    /// Counts the questions, so that an answer to an older one is told apart.
    asked: u64,
}

struct Wanted {
    /// How many name it.
    count: usize,
    state: State,
}

enum State {
    /// It was asked for; `again`: it has changed since. `was_known`: something is known of it.
    Asking { question: u64, task: AbortHandle, again: bool, was_known: bool },
    /// The version of the answer; `None` if there is none.
    Known(Option<String>),
}

impl Contents {
    /// Of Secrets or ConfigMaps; nothing is named yet.
    pub(super) fn new(
        kind: Kind,
        client: Client,
        reader: Arc<Mutex<Reader>>,
        updates: Sender<Update>,
        metrics: Arc<Metrics>,
    ) -> Contents {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Contents {
            kind,
            client,
            reader,
            updates,
            metrics,
            permits,
            tasks: JoinSet::new(),
            wanted: BTreeMap::new(),
            unknown: 0,
            asked: 0,
        }
    }

    /// Something is known of every one that somebody names.
    pub(super) fn are_known(&self) -> bool {
        self.unknown == 0
    }

    /// Something is known of it, be it that there is none.
    pub(super) fn is_known(&self, name: &Name) -> bool {
        let state = self.wanted.get(name).map(|wanted| &wanted.state);
        matches!(state, Some(State::Known(_) | State::Asking { was_known: true, .. }))
    }

    /// One more names it.
    pub(super) fn want(&mut self, name: &Name) {
        if let Some(wanted) = self.wanted.get_mut(name) {
            wanted.count += 1;
            return;
        }
        let state = self.ask(name, false);
        self.wanted.insert(name.clone(), Wanted { count: 1, state });
        self.unknown += 1;
    }

    /// One less names it; whether nobody does any more.
    pub(super) fn release(&mut self, name: &Name) -> bool {
        let Some(wanted) = self.wanted.get_mut(name) else { return false };
        wanted.count = wanted.count.saturating_sub(1);
        if wanted.count > 0 {
            return false;
        }
        if let State::Asking { task, was_known, .. } = &wanted.state {
            task.abort();
            self.unknown -= usize::from(!was_known);
        }
        self.wanted.remove(name);
        true
    }

    /// It has this version now, or is gone (`None`).
    pub(super) fn changed(&mut self, name: &Name, version: Option<&str>) -> Verdict {
        let Some(wanted) = self.wanted.get_mut(name) else { return Verdict::Keep };
        match &mut wanted.state {
            State::Asking { again, .. } => {
                *again = true;
                Verdict::Keep
            }
            State::Known(known) if known.as_deref() == version => Verdict::Keep,
            State::Known(known) if version.is_none() => {
                *known = None;
                Verdict::Remove
            }
            State::Known(_) => {
                self.ask_again(name);
                Verdict::Keep
            }
        }
    }

    /// Those that are named.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.wanted.keys()
    }

    /// What was asked for came.
    pub(super) fn answered(&mut self, name: &Name, question: u64, answer: Answer) -> Verdict {
        while self.tasks.try_join_next().is_some() {}
        let Some(wanted) = self.wanted.get_mut(name) else { return Verdict::Keep };
        let State::Asking { question: open, again, was_known, .. } = &mut wanted.state else { return Verdict::Keep };
        if *open != question {
            return Verdict::Keep;
        }
        self.unknown -= usize::from(!std::mem::replace(was_known, true));
        let (version, verdict) = match answer {
            // The task goes on asking, so it will see what changed.
            Answer::Unknown => return Verdict::Keep,
            Answer::Forbidden(why) => return Verdict::Forbidden(why),
            Answer::Absent => (None, Verdict::Remove),
            Answer::Found(object, version) => (Some(version), Verdict::Replace(object)),
        };
        if *again {
            self.ask_again(name);
        } else {
            wanted.state = State::Known(version);
        }
        verdict
    }

    fn ask_again(&mut self, name: &Name) {
        let state = self.ask(name, true);
        if let Some(wanted) = self.wanted.get_mut(name) {
            wanted.state = state;
        }
    }

    fn ask(&mut self, name: &Name, was_known: bool) -> State {
        self.asked += 1;
        let fetch = Fetch {
            kind: self.kind,
            client: self.client.clone(),
            reader: Arc::clone(&self.reader),
            updates: self.updates.clone(),
            metrics: Arc::clone(&self.metrics),
            permits: Arc::clone(&self.permits),
            name: name.clone(),
            question: self.asked,
        };
        let task = self.tasks.spawn(fetch.run());
        State::Asking { question: self.asked, task, again: false, was_known }
    }
}

/// One question.
struct Fetch {
    kind: Kind,
    client: Client,
    reader: Arc<Mutex<Reader>>,
    updates: Sender<Update>,
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    name: Name,
    question: u64,
}

impl Fetch {
    /// Asks until there is an answer. One that is forbidden is told and asked for again: the right may come.
    async fn run(self) {
        let mut failures = 0;
        loop {
            let attempt = {
                let Ok(_permit) = self.permits.acquire().await else { return };
                timeout(PATIENCE, self.get()).await
            };
            failures += 1;
            match attempt {
                Ok(Ok(answer @ (Answer::Absent | Answer::Found(..)))) => return self.tell(answer).await,
                Ok(Ok(answer)) => self.tell(answer).await,
                Ok(Err(Failure::Refused(why))) if failures == TRIES => {
                    let (kind, name) = (self.kind.as_str(), &self.name);
                    warn!(kind, %name, error = why, "an object cannot be read; it is asked for again");
                    self.tell(Answer::Unknown).await;
                }
                // The watch of the metadata says that the API server is away.
                Ok(Err(Failure::Refused(_) | Failure::Unreachable)) | Err(_) => {}
            }
            sleep(backoff(failures, fastrand::f64())).await;
        }
    }

    async fn get(&self) -> Result<Answer, Failure> {
        let resource = if self.kind == Kind::Secret { "secrets" } else { "configmaps" };
        let Name { namespace, name } = &self.name;
        let request = http::Request::get(format!("/api/v1/namespaces/{namespace}/{resource}/{name}"))
            .header(header::ACCEPT, "application/json")
            .body(Body::empty())
            .map_err(|_| Failure::Refused("the name is no name".to_owned()))?;
        let response = self.client.send(request).await.map_err(|_| Failure::Unreachable)?;
        let code = response.status().as_u16();
        let text = response.into_body().collect_bytes().await.map_err(|_| Failure::Unreachable)?;
        if code != 404 && code >= 400 {
            self.metrics.api_refused("get", resource, code);
        }
        match code {
            200 => {}
            403 => return Ok(Answer::Forbidden(Status::of(code, &text).message)),
            404 => return Ok(Answer::Absent),
            _ => return Err(Failure::Refused(Status::of(code, &text).message)),
        }
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let read = if self.kind == Kind::Secret { reader.secret(&text) } else { reader.config_map(&text) };
        match read.map_err(Failure::Refused)? {
            Arrived { content: Content::Object(object), version, .. } => Ok(Answer::Found(object, version)),
            Arrived { content: Content::Broken(why), .. } => Err(Failure::Refused(why)),
            Arrived { content: Content::Named, .. } => Err(Failure::Refused("the answer has no content".to_owned())),
        }
    }

    async fn tell(&self, answer: Answer) {
        let _ = self.updates.send(Update::Content(self.kind, self.name.clone(), self.question, answer)).await;
    }
}

enum Failure {
    /// The API server says no; what it says.
    Refused(String),
    /// It says nothing.
    Unreachable,
}
