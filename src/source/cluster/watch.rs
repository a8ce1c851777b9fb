//! What to ask the API server next about one kind of object, and what an answer means: decisions only, no network.
//!
//! A kind is listed, then watched from the version of the list. Where the server has streaming lists, list and watch are
//! one request. What a list brings counts only when the whole of it is there. A watch that ends goes on from the last
//! version that was heard; a version that the server does not know any more leads to a new list, and so does an outage:
//! the server that comes back may have another history. A server whose store was restored under it ends its watches, and
//! says nothing to one from a version ahead of its own; so where it stands is asked before a watch goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::snapshot::api::Status;

/// The server ends a watch after this long.
pub(super) const WATCH_SECONDS: u64 = 290;
/// A watch that says nothing for this long has stalled.
const WATCH_SILENCE: Duration = Duration::from_secs(WATCH_SECONDS + 5);
/// The same for one that sent bookmarks, which come about once a minute.
const BOOKMARK_SILENCE: Duration = Duration::from_secs(150);
/// A list that says nothing for this long has stalled.
const LIST_SILENCE: Duration = Duration::from_secs(60);
/// Least time between the starts of two watches, and of two lists.
const SPACING: Duration = Duration::from_secs(1);
/// A watch that lasted this long was a good one, though it brought nothing.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// Back-off: the first wait, doubled for each failure.
const FIRST_WAIT: Duration = Duration::from_millis(800);
/// Back-off: the longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// After this many failures in a row a watch is given up for a list.
const PATIENCE: u32 = 3;

/// One question to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// At which version the server is: a list of one object.
    Check,
    /// A page of a list: the first, or the one after `next`. `is_whole`: all objects in one page.
    Page { next: Option<String>, is_whole: bool },
    /// A watch that begins with the objects there are.
    Stream,
    /// A watch of what changes after `version`.
    Watch { version: String },
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// There are no changes up to this version; `ends_initial`: the objects that there were have all come.
    Bookmark { version: String, ends_initial: bool },
    /// The connection broke off.
    Cut,
    /// The stream ended.
    End,
    /// The stream says that it failed.
    Error(Status),
    /// An object in a stream.
    Object { version: String },
    /// A page of a list, and the token of the page after it.
    Page { version: String, next: Option<String> },
    /// The server answered with a status that is no success.
    Refused { status: Status, retry_after: Option<Duration> },
    /// Nothing came for longer than [`Watch::silence`].
    Silence,
    /// No answer came.
    Unreachable,
}

/// What it means for the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A change: to be applied at once.
    Change,
    /// What was collected of the list is void: it begins anew.
    Discard,
    /// Part of a list: to be collected.
    Collect,
    /// The list is whole: what was collected replaces what was known. `is_rewound`: the server is behind what it once said,
    /// so its store was wiped or restored.
    Complete { is_rewound: bool },
    /// Nothing.
    Nothing,
}

/// The state of one kind.
pub(super) struct Watch {
    /// Whether the server has streaming lists; one answer for all kinds.
    has_streams: Arc<AtomicBool>,
    phase: Phase,
    /// In a row, since a watch was good.
    failures: u32,
    /// The newest version that a watch brought.
    newest: Option<String>,
    /// To be waited before the next request.
    wait: Duration,
    list_began: Option<Instant>,
    watch_began: Option<Instant>,
    /// The watch that runs brought something.
    was_heard: bool,
    /// The server sends bookmarks, as far as one knows.
    has_bookmarks: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// About to watch from this version on.
    Check {
        version: String,
    },
    Pages {
        next: Option<String>,
        is_whole: bool,
    },
    Stream,
    Watch {
        version: String,
    },
}

impl Watch {
    /// Nothing asked yet. `has_streams` is shared by all kinds, true until the server refuses a streaming list.
    pub(super) fn new(has_streams: Arc<AtomicBool>) -> Watch {
        let mut watch = Watch {
            has_streams,
            phase: Phase::Stream,
            failures: 0,
            newest: None,
            wait: Duration::ZERO,
            list_began: None,
            watch_began: None,
            was_heard: false,
            has_bookmarks: false,
        };
        watch.phase = watch.beginning();
        watch
    }

    /// The next question, and when to ask it.
    pub(super) fn next(&self, now: Instant) -> (Instant, Request) {
        let (spaced, request) = match &self.phase {
            Phase::Pages { next: None, is_whole } => {
                (self.list_began, Request::Page { next: None, is_whole: *is_whole })
            }
            Phase::Pages { next, is_whole } => (None, Request::Page { next: next.clone(), is_whole: *is_whole }),
            // Another kind may have learned meanwhile that there are none.
            Phase::Stream if !self.has_streams.load(Ordering::Relaxed) => {
                (self.list_began, Request::Page { next: None, is_whole: false })
            }
            Phase::Stream => (self.list_began, Request::Stream),
            Phase::Check { .. } => (self.watch_began, Request::Check),
            Phase::Watch { version } => (self.watch_began, Request::Watch { version: version.clone() }),
        };
        let earliest = spaced.map_or(now, |began| now.max(began + SPACING));
        (earliest.max(now + self.wait), request)
    }

    /// Takes note that `request` is being asked.
    pub(super) fn ask(&mut self, request: &Request, now: Instant) {
        self.wait = Duration::ZERO;
        self.was_heard = false;
        match request {
            Request::Page { next: None, is_whole } => {
                self.phase = Phase::Pages { next: None, is_whole: *is_whole };
                self.list_began = Some(now);
            }
            Request::Check | Request::Page { next: Some(_), .. } => {}
            Request::Stream => {
                self.list_began = Some(now);
                self.watch_began = Some(now);
            }
            Request::Watch { .. } => self.watch_began = Some(now),
        }
    }

    /// Whether what comes is part of a list.
    pub(super) fn is_listing(&self) -> bool {
        matches!(self.phase, Phase::Pages { .. } | Phase::Stream)
    }

    /// How long the answer may be silent.
    pub(super) fn silence(&self) -> Duration {
        match &self.phase {
            Phase::Watch { .. } if self.has_bookmarks => BOOKMARK_SILENCE,
            Phase::Watch { .. } => WATCH_SILENCE,
            Phase::Check { .. } | Phase::Pages { .. } | Phase::Stream => LIST_SILENCE,
        }
    }

    /// What an answer means. `random` is between 0 and 1.
    pub(super) fn hear(&mut self, heard: Heard, now: Instant, random: f64) -> Meaning {
        match heard {
            Heard::Page { version, next } => self.page(version, next),
            Heard::Object { version } => match &mut self.phase {
                Phase::Watch { version: known } => {
                    advance(known, version);
                    self.good();
                    Meaning::Change
                }
                Phase::Check { .. } | Phase::Pages { .. } | Phase::Stream => Meaning::Collect,
            },
            Heard::Bookmark { version, ends_initial } => match &mut self.phase {
                Phase::Watch { version: known } => {
                    advance(known, version);
                    self.has_bookmarks = true;
                    self.good();
                    Meaning::Nothing
                }
                Phase::Stream if ends_initial => {
                    self.has_bookmarks = true;
                    self.complete(version)
                }
                Phase::Check { .. } | Phase::Pages { .. } | Phase::Stream => Meaning::Nothing,
            },
            Heard::End | Heard::Silence | Heard::Error(_) if self.phase == Phase::Stream => {
                self.without_streams(random)
            }
            Heard::Error(status) if status.is_expired() => self.expired(random),
            Heard::Error(_) => {
                self.fail(random, None);
                self.list_anew()
            }
            Heard::Cut if self.phase == Phase::Stream => {
                self.fail(random, None);
                Meaning::Discard
            }
            // It says nothing about the version, unlike an end.
            Heard::Cut if !self.was_heard => {
                self.fail(random, None);
                self.resume();
                Meaning::Nothing
            }
            Heard::Cut | Heard::End => self.ended(now, random),
            Heard::Silence => {
                self.has_bookmarks = false;
                self.fail(random, None);
                self.resume();
                Meaning::Nothing
            }
            Heard::Refused { status, retry_after } => self.refused(&status, retry_after, random),
            Heard::Unreachable => {
                self.fail(random, None);
                match self.phase {
                    // The server that comes back may have another history.
                    Phase::Check { .. } | Phase::Watch { .. } => self.list_anew(),
                    Phase::Pages { .. } | Phase::Stream => Meaning::Nothing,
                }
            }
        }
    }

    fn page(&mut self, version: String, next: Option<String>) -> Meaning {
        match (&self.phase, next) {
            (Phase::Check { version: known }, _) => {
                if is_behind(&version, known) {
                    return self.list_anew();
                }
                self.phase = Phase::Watch { version: known.clone() };
                Meaning::Nothing
            }
            (phase, Some(next)) => {
                let is_whole = matches!(phase, Phase::Pages { is_whole: true, .. });
                self.phase = Phase::Pages { next: Some(next), is_whole };
                Meaning::Collect
            }
            (_, None) => self.complete(version),
        }
    }

    fn complete(&mut self, version: String) -> Meaning {
        let is_rewound = self.newest.take().is_some_and(|newest| is_behind(&version, &newest));
        self.phase = Phase::Watch { version };
        Meaning::Complete { is_rewound }
    }

    fn ended(&mut self, now: Instant, random: f64) -> Meaning {
        match &self.phase {
            Phase::Watch { .. } => {
                let lasted = self.watch_began.map(|began| now.saturating_duration_since(began));
                if self.was_heard || lasted.is_some_and(|lasted| lasted >= LONG_ENOUGH) {
                    self.good();
                    self.resume();
                    return Meaning::Nothing;
                }
                // Some servers answer so when they do not know the version any more.
                self.fail(random, None);
                self.list_anew()
            }
            Phase::Check { .. } | Phase::Pages { .. } | Phase::Stream => {
                self.fail(random, None);
                Meaning::Nothing
            }
        }
    }

    fn refused(&mut self, status: &Status, retry_after: Option<Duration>, random: f64) -> Meaning {
        match (&self.phase, status.code) {
            (Phase::Stream, 400 | 405 | 422) => self.without_streams(random),
            // The token of the next page is too old, so the list takes too long: all of it at once.
            (Phase::Pages { next: Some(_), .. }, _) if status.is_expired() => {
                self.fail(random, None);
                self.phase = Phase::Pages { next: None, is_whole: true };
                Meaning::Discard
            }
            _ if status.is_expired() => self.expired(random),
            (Phase::Check { .. } | Phase::Watch { .. }, code) => {
                self.fail(random, retry_after);
                self.resume();
                // What is forbidden now may be allowed again with the version still known.
                let may_come_back = matches!(code, 401 | 403 | 429);
                if self.failures > PATIENCE && !may_come_back { self.list_anew() } else { Meaning::Nothing }
            }
            (Phase::Pages { .. } | Phase::Stream, _) => {
                self.fail(random, retry_after);
                Meaning::Nothing
            }
        }
    }

    /// The version is too old. The first time that happens the list is made at once.
    fn expired(&mut self, random: f64) -> Meaning {
        self.wait = backoff(self.failures, random);
        self.failures = self.failures.saturating_add(1);
        self.list_anew()
    }

    fn without_streams(&mut self, random: f64) -> Meaning {
        self.has_streams.store(false, Ordering::Relaxed);
        self.wait = backoff(self.failures, random);
        // The attempt was no list, so the first page need not keep a distance to it.
        self.list_began = None;
        self.list_anew()
    }

    /// The next watch goes on from where this one was.
    fn resume(&mut self) {
        if let Phase::Watch { version } = &self.phase {
            self.phase = Phase::Check { version: version.clone() };
        }
    }

    fn list_anew(&mut self) -> Meaning {
        if let Phase::Check { version } | Phase::Watch { version } = &self.phase {
            self.newest = Some(version.clone());
        }
        self.phase = self.beginning();
        Meaning::Discard
    }

    fn beginning(&self) -> Phase {
        if self.has_streams.load(Ordering::Relaxed) {
            Phase::Stream
        } else {
            Phase::Pages { next: None, is_whole: false }
        }
    }

    fn good(&mut self) {
        self.was_heard = true;
        self.failures = 0;
    }

    fn fail(&mut self, random: f64, retry_after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        self.wait = backoff(self.failures, random).max(retry_after.unwrap_or_default().min(LONGEST_WAIT));
    }
}

/// An event without a version is none to go on from.
fn advance(known: &mut String, version: String) {
    if !version.is_empty() {
        *known = version;
    }
}

/// Whether a server at version `now` cannot have told us `known`. Versions are whole numbers that grow; what is no number
/// tells nothing.
fn is_behind(now: &str, known: &str) -> bool {
    matches!((now.parse::<u64>(), known.parse::<u64>()), (Ok(now), Ok(known)) if now < known)
}

/// How long to wait after that many failures in a row: twice as long each time, with full jitter, so that a thousand
/// clients do not come back in one moment.
pub(super) fn backoff(failures: u32, random: f64) -> Duration {
    let Some(doubled) = failures.checked_sub(1) else { return Duration::ZERO };
    FIRST_WAIT.saturating_mul(1 << doubled.min(8)).min(LONGEST_WAIT).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
