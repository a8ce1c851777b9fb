//! What clients have used of the limits of an Ingress: requests in time, and requests at once.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Replicas;
use super::keyed::{Change, Keyed};

/// The cells of one Ingress.
#[derive(Debug)]
pub struct Limits {
    hasher: RandomState,
    epoch: Instant,
    per_second: Keyed,
    per_minute: Keyed,
    at_once: Keyed,
    connections: Keyed,
    replicas: Arc<Replicas>,
}

/// Which of the two rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// `limit-rpm`.
    Minute,
    /// `limit-rps`.
    Second,
}

/// A rate with what may come at once on top of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// One request is paid off in this time.
    pub every: Duration,
    /// So many requests may stand unpaid beside the one under way.
    pub burst: u32,
}

impl Rate {
    /// `count` requests in `window`, and `multiplier` times that at once on top, shared by so many replicas: what one of
    /// them allows. The parts add up to the whole, but that each allows one request in the window.
    pub fn shared(count: u32, window: Duration, multiplier: u32, replicas: u32) -> Rate {
        let (count, replicas) = (count.max(1), replicas.max(1));
        let every = window.saturating_mul(replicas) / count;
        let burst = u64::from(count.max(replicas)) * u64::from(multiplier) / u64::from(replicas);
        Rate { every: every.min(window), burst: u32::try_from(burst).unwrap_or(u32::MAX) }
    }
}

/// The part of a number that one of so many replicas allows: at least one.
pub fn share(count: u32, replicas: u32) -> u32 {
    (count / replicas.max(1)).max(1)
}

/// What a limit says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass, and was counted. So many more may come at once.
    Passed {
        /// Requests.
        left: u32,
    },
    /// It may not; one may again after this time.
    Exceeded(Duration),
    /// There is no room to remember another client, so it passes uncounted.
    Full,
}

impl Limits {
    /// Nothing used. Times are counted from `epoch`.
    pub(super) fn new(epoch: Instant, replicas: Arc<Replicas>) -> Limits {
        let keyed = Keyed::new;
        Limits {
            hasher: RandomState::new(),
            epoch,
            per_second: keyed(),
            per_minute: keyed(),
            at_once: keyed(),
            connections: keyed(),
            replicas,
        }
    }

    /// How many replicas there are, which may share the limits.
    pub fn replicas(&self) -> u32 {
        self.replicas.count()
    }

    /// The key of a client, an address or any text.
    pub fn key(&self, client: &[u8]) -> u64 {
        self.hasher.hash_one(client)
    }

    /// Counts a request in, if the rate allows it: the generic cell rate algorithm (ITU-T I.371), in nanoseconds. A cell
    /// holds when the last request will be paid off. At most `room` keys are remembered.
    pub fn take(&self, per: Per, key: u64, rate: Rate, room: u64, now: Instant) -> Verdict {
        let now = self.nanos(now);
        let every = (rate.every.as_nanos() as u64).max(1);
        let ahead = every.saturating_mul(rate.burst.into());
        let change = self.cells(per).change(
            key,
            room,
            |paid| paid <= now,
            |paid| {
                let owed = paid.saturating_sub(now);
                match owed.checked_sub(ahead) {
                    Some(late) if late > 0 => Err(Verdict::Exceeded(Duration::from_nanos(late))),
                    _ => {
                        let left = u32::try_from(ahead.saturating_sub(owed) / every).unwrap_or(u32::MAX);
                        Ok((now.max(paid) + every, Verdict::Passed { left }))
                    }
                }
            },
        );
        match change {
            Change::Made(verdict) | Change::Refused(verdict) => verdict,
            Change::Full => Verdict::Full,
        }
    }

    /// Takes one request back, which another limit refused.
    pub fn give_back(&self, per: Per, key: u64, rate: Rate, now: Instant) {
        let (now, every) = (self.nanos(now), rate.every.as_nanos() as u64);
        let _ =
            self.cells(per).change(key, 0, |paid| paid <= now, |paid| Ok::<_, ()>((paid.saturating_sub(every), ())));
    }

    /// Counts a request in among those under way, if there are fewer than `most`. `None` if there are not. At most `room`
    /// keys are remembered.
    pub fn begin(self: &Arc<Self>, key: u64, most: u32, room: u64) -> Option<Held> {
        self.hold(Counted::Requests, key, most, room)
    }

    /// The same of a connection, among those that are open.
    pub fn connect(self: &Arc<Self>, key: u64, most: u32, room: u64) -> Option<Held> {
        self.hold(Counted::Connections, key, most, room)
    }

    fn hold(self: &Arc<Self>, what: Counted, key: u64, most: u32, room: u64) -> Option<Held> {
        let change = |count: u64| if count < most.into() { Ok((count + 1, ())) } else { Err(()) };
        match self.counts(what).change(key, room, |count| count == 0, change) {
            Change::Made(()) => Some(Held(Some((Arc::clone(self), what, key)))),
            Change::Full => Some(Held(None)),
            Change::Refused(()) => None,
        }
    }

    fn counts(&self, what: Counted) -> &Keyed {
        match what {
            Counted::Connections => &self.connections,
            Counted::Requests => &self.at_once,
        }
    }

    fn cells(&self, per: Per) -> &Keyed {
        match per {
            Per::Minute => &self.per_minute,
            Per::Second => &self.per_second,
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

/// What is counted as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Connections,
    Requests,
}

/// A request under way, or an open connection, counted until this is dropped.
#[derive(Debug)]
pub struct Held(Option<(Arc<Limits>, Counted, u64)>);

impl Held {
    /// Whether it was counted: there may be no room to remember another client.
    pub fn is_counted(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((limits, what, key)) = &self.0 {
            let less = |count: u64| Ok::<_, ()>((count.saturating_sub(1), ()));
            let _ = limits.counts(*what).change(*key, 0, |count| count == 0, less);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    const ROOM: u64 = 100_000;
    const TEN: Rate = Rate { every: Duration::from_millis(100), burst: 5 };

    fn fresh(start: Instant) -> Limits {
        Limits::new(start, Arc::default())
    }

    #[test]
    fn replicas_together_allow_what_one_would_but_each_allows_one() {
        let second = Duration::from_secs(1);
        for (count, replicas, every, burst) in [
            (10, 1, 100, 50),
            (10, 2, 200, 25),
            (10, 3, 300, 16),
            (3, 3, 1000, 5),
            (1, 3, 1000, 5),
            (2, 3, 1000, 5),
            (10, 0, 100, 50),
            (u32::MAX, 1, 0, u32::MAX),
        ] {
            let rate = Rate::shared(count, second, 5, replicas);
            assert_eq!((rate.every.as_millis(), rate.burst), (every, burst), "{count} of {replicas}");
        }
        for (count, replicas, own) in [(10, 3, 3), (10, 1, 10), (2, 3, 1), (10, 0, 10)] {
            assert_eq!(share(count, replicas), own, "{count} of {replicas}");
        }
    }

    #[test]
    fn what_was_used_stays_when_replicas_come_and_go() {
        let start = Instant::now();
        let replicas = Arc::new(Replicas::default());
        let limits = Limits::new(start, Arc::clone(&replicas));
        let key = limits.key(b"192.0.2.1");
        // 60 a minute, and as many at once on top.
        let passing = |count: u32, seconds: u64| {
            replicas.set(count);
            let now = start + Duration::from_secs(seconds);
            let rate = Rate::shared(60, Duration::from_secs(60), 1, limits.replicas());
            let passes = || matches!(limits.take(Per::Minute, key, rate, ROOM, now), Verdict::Passed { .. });
            std::iter::repeat_with(passes).take(100).take_while(|passes| *passes).count()
        };
        assert_eq!(passing(1, 0), 61);
        assert_eq!(passing(3, 0), 0, "what was used is not forgotten");
        assert_eq!(passing(3, 10), 4, "ten seconds more are paid off, and each request of a third costs three");
        assert_eq!(passing(3, 1_000), 21, "20 a minute, and as many on top");
        assert_eq!(passing(1, 1_000), 0);
        assert_eq!(passing(1, 1_010), 8);
    }

    #[test]
    fn connections_are_counted_apart_from_requests() {
        let limits = Arc::new(fresh(Instant::now()));
        let key = limits.key(b"x");
        let held = limits.connect(key, 1, ROOM).unwrap();
        assert!(limits.connect(key, 1, ROOM).is_none() && limits.begin(key, 1, ROOM).is_some());
        drop(held);
        assert!(limits.connect(key, 1, ROOM).is_some());
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate() {
        let start = Instant::now();
        let limits = fresh(start);
        let key = limits.key(b"192.0.2.1");
        let at = |ms| limits.take(Per::Second, key, TEN, ROOM, start + Duration::from_millis(ms));
        for left in (0..=5).rev() {
            assert_eq!(at(0), Verdict::Passed { left });
        }
        assert_eq!(at(0), Verdict::Exceeded(Duration::from_millis(100)));
        assert_eq!(at(99), Verdict::Exceeded(Duration::from_millis(1)));
        assert_eq!(at(100), Verdict::Passed { left: 0 });
        assert_eq!(at(150), Verdict::Exceeded(Duration::from_millis(50)));
        assert_eq!(at(10_000), Verdict::Passed { left: 5 }, "the past is forgotten");
        assert_eq!(limits.take(Per::Minute, key, TEN, ROOM, start), Verdict::Passed { left: 5 }, "the rates are apart");
    }

    #[test]
    fn clients_are_apart() {
        let start = Instant::now();
        let limits = fresh(start);
        let one = Rate { every: Duration::from_secs(1), burst: 0 };
        for client in 0..1_000_u32 {
            let key = limits.key(&client.to_be_bytes());
            assert_eq!(limits.take(Per::Second, key, one, ROOM, start), Verdict::Passed { left: 0 });
            assert_eq!(limits.take(Per::Second, key, one, ROOM, start), Verdict::Exceeded(Duration::from_secs(1)));
        }
    }

    #[test]
    fn threads_together_pass_exactly_what_the_limit_allows() {
        let start = Instant::now();
        let limits = fresh(start);
        let key = limits.key(b"x");
        let rate = Rate { every: Duration::from_secs(1), burst: 999 };
        let passed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if matches!(limits.take(Per::Second, key, rate, ROOM, start), Verdict::Passed { .. }) {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 1_000);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let start = Instant::now();
        let limits = fresh(start);
        let key = limits.key(b"x");
        let one = Rate { every: Duration::from_secs(1), burst: 0 };
        for _ in 0..3 {
            assert_eq!(limits.take(Per::Second, key, one, ROOM, start), Verdict::Passed { left: 0 });
            limits.give_back(Per::Second, key, one, start);
        }
    }

    #[test]
    fn requests_under_way_are_counted_until_they_end() {
        let limits = Arc::new(fresh(Instant::now()));
        let key = limits.key(b"x");
        let held: Vec<_> = (0..3).map(|_| limits.begin(key, 3, ROOM).unwrap()).collect();
        assert!(limits.begin(key, 3, ROOM).is_none());
        assert!(limits.begin(limits.key(b"y"), 3, ROOM).is_some());
        drop(held);
        assert!(limits.begin(key, 1, ROOM).is_some());
    }
}
