//! Who may write: one `coordination.k8s.io/v1 Lease`, as a state machine without network or clock.
//!
//! No time of another machine is believed. A record of somebody else counts until it was seen unchanged for its own duration
//! on our monotonic clock; our own counts from the moment at which the request that renewed it was sent, for two thirds of
//! its duration. Whoever takes over does so by `resourceVersion`, so two that try cannot both succeed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::at;

/// The record in a Lease.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// The object as received: what others wrote into it stays.
    object: Value,
}

/// What to ask the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Create the Lease with us as its holder.
    Create,
    /// Read it.
    Read,
    /// Replace the record that was seen last with one that has us as its holder.
    Update,
}

/// What the API server said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Somebody else was quicker.
    Conflict,
    /// None of the others; nothing is known.
    Failed,
    /// There is no Lease.
    Missing,
    /// The record as it is now.
    Record(Record),
}

/// One candidate.
#[derive(Debug)]
pub(super) struct Lease {
    identity: String,
    ttl: Duration,
    /// The last record, and since when it stands unchanged.
    seen: Option<(Record, Instant)>,
    /// When the last request was sent that made or kept us the holder.
    held: Option<Instant>,
    step: Step,
    due: Instant,
}

impl Lease {
    /// A candidate that has seen nothing.
    pub(super) fn new(identity: String, ttl: Duration, now: Instant) -> Lease {
        Lease { identity, ttl, seen: None, held: None, step: Step::Read, due: now }
    }

    /// What to ask next, and when.
    pub(super) fn next(&self) -> (Instant, Step) {
        (self.due, self.step)
    }

    /// Until when we may write; `None` if we may not. No longer than two thirds of the duration after the last success.
    pub(super) fn until(&self) -> Option<Instant> {
        self.held.map(|held| held + self.ttl * 2 / 3)
    }

    /// The object that a [`Step::Create`] or [`Step::Update`] sends. `time` is the time of day in RFC 3339 with
    /// microseconds: for people, nobody compares it.
    pub(super) fn object(&self, name: &str, time: &str) -> Value {
        let before = match self.step {
            Step::Create | Step::Read => None,
            Step::Update => self.seen.as_ref().map(|(record, _)| record),
        };
        let object = before.map_or_else(
            || json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}),
            |record| record.object.clone(),
        );
        let is_ours = before.is_some_and(|record| record.holder() == self.identity);
        let transitions = before.map_or(0, |record| record.transitions() + i64::from(!is_ours));
        let acquired = before.filter(|_| is_ours).map(Record::acquired).filter(|time| time.is_string());
        let spec = json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self.ttl.as_secs().max(1),
            "acquireTime": acquired.cloned().unwrap_or_else(|| json!(time)),
            "renewTime": time,
            "leaseTransitions": transitions,
        });
        with_spec(object, spec)
    }

    /// The object that gives the Lease up; `None` if it is not ours.
    pub(super) fn released(&self, time: &str) -> Option<Value> {
        let (record, _) = self.seen.as_ref().filter(|_| self.held.is_some())?;
        let spec = json!({
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": record.acquired(),
            "renewTime": time,
            "leaseTransitions": record.transitions(),
        });
        (record.holder() == self.identity).then(|| with_spec(record.object.clone(), spec))
    }

    /// Takes in the answer to the step of [`Lease::next`], asked at `sent`. `jitter` is from 0 to 1.
    pub(super) fn hear(&mut self, answer: Answer, sent: Instant, now: Instant, jitter: f64) {
        let retry = (self.ttl / 15).max(Duration::from_millis(200)).mul_f64(1.0 + jitter * 0.2);
        (self.step, self.due) = match (self.step, answer) {
            (Step::Create | Step::Update, Answer::Record(record)) => {
                self.held = Some(sent);
                self.seen = Some((record, now));
                (Step::Update, sent + self.ttl / 3)
            }
            (Step::Read, Answer::Record(record)) => {
                let since = match &self.seen {
                    // The version too: a holder whose clock stands still renews with the same words.
                    Some((seen, since)) if *seen == record => *since,
                    _ => now,
                };
                let end = since + record.duration().unwrap_or(self.ttl);
                let is_ours = record.holder() == self.identity;
                let is_free = is_ours || record.holder().is_empty() || now >= end;
                self.seen = Some((record, since));
                if !is_ours {
                    self.held = None;
                }
                if is_free { (Step::Update, now) } else { (Step::Read, end.min(now + retry)) }
            }
            (Step::Create | Step::Update, Answer::Conflict) => (Step::Read, now + retry.mul_f64(0.1)),
            (Step::Read | Step::Update, Answer::Missing) => {
                self.seen = None;
                (Step::Create, now)
            }
            // As holder we go on renewing; the version says whether we still are it.
            (Step::Update, Answer::Failed) if self.held.is_some() => (Step::Update, now + retry),
            (_, Answer::Conflict | Answer::Failed | Answer::Missing) => (Step::Read, now + retry),
        };
    }
}

impl Record {
    /// The record in a Lease.
    pub(super) fn of(object: Value) -> Record {
        Record { object }
    }

    fn holder(&self) -> &str {
        at(&self.object, "/spec/holderIdentity").as_str().unwrap_or_default()
    }

    fn duration(&self) -> Option<Duration> {
        at(&self.object, "/spec/leaseDurationSeconds").as_u64().map(Duration::from_secs)
    }

    fn acquired(&self) -> &Value {
        at(&self.object, "/spec/acquireTime")
    }

    fn transitions(&self) -> i64 {
        at(&self.object, "/spec/leaseTransitions").as_i64().unwrap_or_default()
    }
}

fn with_spec(mut object: Value, spec: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert("spec".to_owned(), spec);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    /// The Lease as the API server has it.
    #[derive(Default)]
    struct Server {
        object: Option<Value>,
        version: u64,
    }

    impl Server {
        /// Does one step of a candidate that is due. The time of day is wrong by `clock` seconds.
        fn serve(&mut self, lease: &mut Lease, now: Instant, clock: i64) {
            let (due, step) = lease.next();
            if due > now {
                return;
            }
            let object = lease.object("l", &format!("clock {clock}"));
            let answer = match (step, &self.object) {
                (Step::Read, Some(object)) => Answer::Record(Record::of(object.clone())),
                (Step::Read | Step::Update, None) => Answer::Missing,
                (Step::Create, Some(_)) => Answer::Conflict,
                (Step::Update, Some(present)) if present["metadata"] != object["metadata"] => Answer::Conflict,
                (Step::Create, None) | (Step::Update, Some(_)) => Answer::Record(Record::of(self.put(object))),
            };
            lease.hear(answer, now, now, 0.5);
        }

        fn put(&mut self, mut object: Value) -> Value {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.object = Some(object.clone());
            object
        }

        fn holder(&self) -> &str {
            self.object.as_ref().map_or("", |object| object["spec"]["holderIdentity"].as_str().unwrap())
        }
    }

    fn may_write(lease: &Lease, now: Instant) -> bool {
        lease.until().is_some_and(|until| now < until)
    }

    fn seconds(count: u64) -> impl Iterator<Item = Duration> {
        (0..count * 10).map(|tenth| Duration::from_millis(tenth * 100))
    }

    #[test]
    fn of_two_candidates_one_writes_and_the_other_takes_over_when_it_is_gone() {
        let start = Instant::now();
        let mut server = Server::default();
        let mut a = Lease::new("a".to_owned(), TTL, start);
        let mut b = Lease::new("b".to_owned(), TTL, start);
        for time in seconds(120) {
            server.serve(&mut a, start + time, 0);
            // Its clock is an hour behind, then an hour ahead.
            server.serve(&mut b, start + time, if time < TTL { -3600 } else { 3600 });
            assert!(!may_write(&b, start + time), "{time:?}");
        }
        assert!(may_write(&a, start + Duration::from_secs(120)));
        // From here on a is cut off from the API server.
        let mut taken_over = None;
        for time in seconds(60) {
            let now = start + Duration::from_secs(120) + time;
            server.serve(&mut b, now, 3600);
            assert!(!may_write(&a, now) || !may_write(&b, now), "both write at {time:?}");
            taken_over = taken_over.or(may_write(&b, now).then_some(time));
        }
        assert!(!may_write(&a, start + Duration::from_secs(140)));
        let taken_over = taken_over.expect("b takes over");
        assert!(taken_over <= TTL + Duration::from_secs(3), "{taken_over:?}");
        assert_eq!(server.object.as_ref().unwrap()["spec"]["leaseTransitions"], 1);
        // It comes back late, finds out, and does no harm.
        let now = start + Duration::from_secs(181);
        server.serve(&mut a, now, 0);
        server.serve(&mut a, now + Duration::from_secs(1), 0);
        assert_eq!((server.holder(), a.until()), ("b", None));
    }

    #[test]
    fn writing_stops_two_thirds_after_the_last_success_was_asked_for() {
        let start = Instant::now();
        let mut server = Server::default();
        let mut lease = Lease::new("a".to_owned(), TTL, start);
        server.serve(&mut lease, start, 0);
        server.serve(&mut lease, start, 0);
        assert_eq!(server.holder(), "a");
        let (renew, step) = lease.next();
        assert_eq!((renew - start, step), (TTL / 3, Step::Update));
        for _ in 0..20 {
            let (due, _) = lease.next();
            lease.hear(Answer::Failed, due, due, 1.0);
        }
        assert_eq!(lease.until().unwrap() - start, TTL * 2 / 3);
        // An answer that took long counts from its question.
        let (due, _) = lease.next();
        let record = Record::of(server.object.clone().unwrap());
        lease.hear(Answer::Record(record), due, due + Duration::from_secs(9), 0.0);
        assert_eq!(lease.until().unwrap() - due, TTL * 2 / 3);
    }

    #[test]
    fn a_lease_that_is_given_up_or_our_own_from_before_is_taken_at_once() {
        for (holder, is_taken) in [("", true), ("a", true), ("b", false)] {
            let start = Instant::now();
            let mut server = Server::default();
            server.put(json!({"metadata": {"name": "l", "labels": {"x": "y"}}, "spec": {"holderIdentity": holder,
                "leaseDurationSeconds": 30, "leaseTransitions": 4}}));
            let mut lease = Lease::new("a".to_owned(), TTL, start);
            server.serve(&mut lease, start, 0);
            server.serve(&mut lease, start, 0);
            assert_eq!(may_write(&lease, start), is_taken, "{holder:?}");
            assert_eq!(server.object.as_ref().unwrap()["metadata"]["labels"]["x"], "y");
        }
    }

    #[test]
    fn what_is_given_up_has_no_holder_and_only_the_holder_gives_up() {
        let start = Instant::now();
        let mut server = Server::default();
        let mut a = Lease::new("a".to_owned(), TTL, start);
        let mut b = Lease::new("b".to_owned(), TTL, start);
        for _ in 0..2 {
            server.serve(&mut a, start, 0);
        }
        server.serve(&mut b, start, 0);
        assert_eq!(b.released("t"), None);
        let released = a.released("t").unwrap();
        assert_eq!(released["spec"]["holderIdentity"], "");
        server.put(released);
        let later = start + Duration::from_secs(3);
        server.serve(&mut b, later, 0);
        server.serve(&mut b, later, 0);
        assert_eq!((server.holder(), may_write(&b, later)), ("b", true));
    }

    #[test]
    fn a_lease_that_was_deleted_is_made_again() {
        let start = Instant::now();
        let mut server = Server::default();
        let mut lease = Lease::new("a".to_owned(), TTL, start);
        for time in seconds(5) {
            server.serve(&mut lease, start + time, 0);
        }
        server.object = None;
        for time in seconds(20) {
            server.serve(&mut lease, start + time, 0);
        }
        assert_eq!(server.holder(), "a");
    }
}
