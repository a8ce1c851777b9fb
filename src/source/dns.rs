//! Addresses of external names: asked again as their TTL says, the last answer kept when DNS fails.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::name::Name;
use domain::base::{Message, Question};
use domain::rdata::{A, Aaaa};
use domain::resolv::StubResolver;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep_until, timeout, timeout_at};

use crate::compile::Resolved;

/// Bounds of a TTL: neither a flood of questions nor an address for ever.
const TTL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// After a failure the next question waits this long, twice as long after each further one.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// An answer this long overdue is reported.
const STALE: Duration = Duration::from_secs(60);
/// Longest wait for one answer, whatever resolv.conf says.
const PATIENCE: Duration = Duration::from_secs(15);
/// Names that are asked at once where each is asked once: each takes sockets.
const AT_ONCE: usize = 64;

/// An answer: addresses and how long they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// At least one.
    pub addresses: Vec<IpAddr>,
    /// As received.
    pub ttl: Duration,
}

/// Names and what is known of them. Asks nobody and reads no clock.
#[derive(Debug, Default)]
pub struct Names {
    names: BTreeMap<Arc<str>, Asked>,
}

#[derive(Debug)]
struct Asked {
    addresses: Vec<IpAddr>,
    ask_at: Option<Instant>,
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    wait: Duration,
    why: String,
}

impl Names {
    /// Follows exactly `wanted`. New ones are due at once; IP literals are no names. `localhost` is answered without DNS
    /// (RFC 6761 6.3); whether it may be used at all was decided before.
    pub fn follow(&mut self, wanted: impl IntoIterator<Item = Arc<str>>, now: Instant) {
        let mut before = std::mem::take(&mut self.names);
        for name in wanted {
            if name.parse::<IpAddr>().is_ok() {
                continue;
            }
            let asked = before.remove(&name).unwrap_or_else(|| match is_local(&name) {
                true => Asked {
                    addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                    ask_at: None,
                    failing: None,
                },
                false => Asked { addresses: Vec::new(), ask_at: Some(now), failing: None },
            });
            self.names.insert(name, asked);
        }
    }

    /// Names that are due. They count as being asked until [`Names::answered`].
    pub fn due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        for (name, asked) in &mut self.names {
            if asked.ask_at.is_some_and(|at| at <= now) {
                asked.ask_at = None;
                due.push(Arc::clone(name));
            }
        }
        due
    }

    /// When the next name is due, or the next failure has to be reported.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let reports =
            self.names.values().filter_map(|asked| asked.failing.as_ref()).map(|failing| failing.since + STALE);
        let due = self.names.values().filter_map(|asked| asked.ask_at);
        due.chain(reports.filter(|at| *at > now)).min()
    }

    /// Takes what was said of a name; whether its addresses changed. A failure changes none.
    pub fn answered(&mut self, name: &str, answer: Result<Answer, String>, now: Instant) -> bool {
        let Some(asked) = self.names.get_mut(name) else { return false };
        match answer {
            Ok(Answer { mut addresses, ttl }) => {
                addresses.sort_unstable();
                addresses.dedup();
                asked.ask_at = Some(now + ttl.clamp(TTL.0, TTL.1));
                asked.failing = None;
                let is_changed = asked.addresses != addresses;
                asked.addresses = addresses;
                is_changed
            }
            Err(why) => {
                let (since, wait) = match &asked.failing {
                    Some(failing) => (failing.since, (failing.wait * 2).min(RETRY.1)),
                    None => (now, RETRY.0),
                };
                asked.ask_at = Some(now + wait);
                asked.failing = Some(Failing { since, wait, why });
                false
            }
        }
    }

    /// Names with at least one address.
    pub fn resolved(&self) -> Resolved {
        let known = self.names.iter().filter(|(_, asked)| !asked.addresses.is_empty());
        known.map(|(name, asked)| (Arc::clone(name), asked.addresses.clone())).collect()
    }

    /// Names that have addresses and could not be asked again for a minute, with the reason.
    pub fn stale(&self, now: Instant) -> BTreeMap<Arc<str>, String> {
        let mut stale = BTreeMap::new();
        for (name, asked) in self.names.iter().filter(|(_, asked)| !asked.addresses.is_empty()) {
            if let Some(failing) = asked.failing.as_ref().filter(|failing| now >= failing.since + STALE) {
                stale.insert(Arc::clone(name), failing.why.clone());
            }
        }
        stale
    }
}

fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Asks the servers of `/etc/resolv.conf` and keeps what they say.
pub struct Dns {
    names: Names,
    resolver: Arc<StubResolver>,
    asking: FuturesUnordered<Asking>,
    stale: BTreeMap<Arc<str>, String>,
}

type Asking = Pin<Box<dyn Future<Output = (Arc<str>, Result<Answer, String>)>>>;

impl Default for Dns {
    fn default() -> Self {
        Dns {
            names: Names::default(),
            resolver: Arc::new(StubResolver::new()),
            asking: FuturesUnordered::new(),
            stale: BTreeMap::new(),
        }
    }
}

impl Dns {
    /// What is known.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Follows exactly `wanted`.
    pub fn follow(&mut self, wanted: impl IntoIterator<Item = Arc<str>>) {
        self.names.follow(wanted, Instant::now());
    }

    /// Asks whatever is due until an address or a report changes. May be dropped while it waits; questions go on with
    /// the next call.
    pub async fn changed(&mut self) {
        loop {
            let now = Instant::now();
            for name in self.names.due(now) {
                let resolver = Arc::clone(&self.resolver);
                self.asking.push(Box::pin(async move {
                    let answer = match timeout(PATIENCE, ask(&resolver, &name)).await {
                        Ok(answer) => answer,
                        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
                    };
                    (name, answer)
                }));
            }
            let stale = self.names.stale(now);
            if stale != self.stale {
                self.stale = stale;
                return;
            }
            let next = self.names.next(now).map(tokio::time::Instant::from_std);
            let wake = async move {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((name, answer)) = self.asking.next(), if !self.asking.is_empty() => {
                    if self.names.answered(&name, answer, Instant::now()) {
                        return;
                    }
                }
                () = wake => {}
            }
        }
    }
}

/// What the same servers say of these names, each asked once. What does not answer in time has no address.
pub async fn look_up(wanted: impl IntoIterator<Item = Arc<str>>) -> Resolved {
    let (mut names, resolver) = (Names::default(), StubResolver::new());
    let now = Instant::now();
    names.follow(wanted, now);
    let answers = futures::stream::iter(names.due(now)).map(|name| async {
        let answer = ask(&resolver, &name).await;
        (name, answer)
    });
    let mut answers = pin!(answers.buffer_unordered(AT_ONCE));
    let end = tokio::time::Instant::from_std(now + PATIENCE);
    while let Ok(Some((name, answer))) = timeout_at(end, answers.next()).await {
        names.answered(&name, answer, now);
    }
    names.resolved()
}

/// A and AAAA of an absolute name. One of the two is enough.
async fn ask(resolver: &StubResolver, name: &str) -> Result<Answer, String> {
    let name = Name::vec_from_str(name).map_err(|error| format!("not a DNS name: {error}"))?;
    let (v4, v6) = tokio::join!(one(resolver, &name, Rtype::A), one(resolver, &name, Rtype::AAAA));
    let (addresses, ttl, why) = match (v4, v6) {
        (Ok(mut v4), Ok(v6)) => {
            v4.addresses.extend(v6.addresses);
            (v4.addresses, v4.ttl.min(v6.ttl), "it has no address".to_owned())
        }
        (Ok(answer), Err(why)) | (Err(why), Ok(answer)) => (answer.addresses, answer.ttl, why),
        (Err(why), Err(_)) => return Err(why),
    };
    if addresses.is_empty() { Err(why) } else { Ok(Answer { addresses, ttl }) }
}

/// The addresses of one type, maybe none; the TTL is the least on the way there, aliases too.
async fn one(resolver: &StubResolver, name: &Name<Vec<u8>>, kind: Rtype) -> Result<Answer, String> {
    let question = Question::new(name, kind, Class::IN);
    let answer = resolver.query(question).await.map_err(|error: io::Error| error.to_string())?;
    read(&answer.into_message()).ok_or_else(|| "the answer cannot be read".to_owned())?
}

fn read(message: &Message<bytes::Bytes>) -> Option<Result<Answer, String>> {
    match message.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Some(Err("the name does not exist".to_owned())),
        code => return Some(Err(format!("DNS answers {code}"))),
    }
    let mut answer = Answer { addresses: Vec::new(), ttl: TTL.1 };
    for record in message.answer().ok()? {
        let record = record.ok()?;
        answer.ttl = answer.ttl.min(Duration::from_secs(record.ttl().as_secs().into()));
        if let Ok(Some(record)) = record.to_record::<A>() {
            answer.addresses.push(record.data().addr().into());
        } else if let Ok(Some(record)) = record.to_record::<Aaaa>() {
            answer.addresses.push(record.data().addr().into());
        }
    }
    Some(Ok(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn answer(addresses: &[&str], ttl: u64) -> Result<Answer, String> {
        Ok(Answer { addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(), ttl: S * ttl as u32 })
    }

    fn followed(name: &str, now: Instant) -> Names {
        let mut names = Names::default();
        names.follow([Arc::from(name)], now);
        assert_eq!(names.due(now), [Arc::from(name)]);
        assert!(names.due(now).is_empty(), "it is being asked");
        names
    }

    #[test]
    fn an_answer_holds_for_its_ttl_within_bounds() {
        let now = Instant::now();
        for (ttl, expected) in [(0, 5), (5, 5), (60, 60), (300, 300), (86_400, 300)] {
            let mut names = followed("a.example", now);
            assert!(names.answered("a.example", answer(&["10.0.0.1"], ttl), now));
            assert_eq!(names.next(now), Some(now + S * expected), "{ttl}");
            assert!(names.due(now + S * expected - S).is_empty());
            assert_eq!(names.due(now + S * expected).len(), 1);
        }
    }

    #[test]
    fn only_other_addresses_are_a_change() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        assert!(names.answered("a.example", answer(&["10.0.0.2", "10.0.0.1"], 60), now));
        assert!(!names.answered("a.example", answer(&["10.0.0.1", "10.0.0.2", "10.0.0.1"], 60), now));
        assert!(names.answered("a.example", answer(&["10.0.0.1"], 60), now));
        assert!(!names.answered("b.example", answer(&["10.0.0.1"], 60), now), "nobody follows it");
    }

    #[test]
    fn a_failure_keeps_the_last_answer_and_is_reported_after_a_minute() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        names.answered("a.example", answer(&["10.0.0.1"], 60), now);
        let mut at = now;
        for wait in [5, 10, 20, 30, 30] {
            assert!(!names.answered("a.example", Err("SERVFAIL".to_owned()), at));
            assert_eq!(names.resolved().len(), 1);
            assert_eq!(names.stale(at).is_empty(), at < now + S * 60, "{wait}");
            assert_eq!(names.due(at + S * wait).len(), 1);
            at += S * wait;
        }
        assert_eq!(names.stale(at).values().collect::<Vec<_>>(), ["SERVFAIL"]);
        assert!(!names.answered("a.example", answer(&["10.0.0.1"], 60), at));
        assert!(names.stale(at).is_empty());
    }

    #[test]
    fn the_minute_wakes_even_when_nothing_is_due() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        names.answered("a.example", answer(&["10.0.0.1"], 60), now);
        names.answered("a.example", Err("SERVFAIL".to_owned()), now);
        names.due(now + S * 5);
        assert_eq!(names.next(now + S * 5), Some(now + S * 60));
        assert_eq!(names.next(now + S * 60), None);
    }

    #[test]
    fn a_name_that_never_answered_has_no_address_and_is_asked_again() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        names.answered("a.example", Err("NXDOMAIN".to_owned()), now);
        assert!(names.resolved().is_empty() && names.stale(now + S * 600).is_empty());
        assert_eq!(names.next(now + S), Some(now + S * 5));
    }

    #[test]
    fn names_that_nobody_wants_are_forgotten_and_kept_ones_keep_their_answer() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        names.answered("a.example", answer(&["10.0.0.1"], 60), now);
        names.follow(["a.example", "b.example"].map(Arc::from), now);
        assert_eq!(names.due(now), [Arc::from("b.example")]);
        names.follow(["b.example"].map(Arc::from), now);
        assert!(names.resolved().is_empty());
    }

    #[test]
    fn literals_and_localhost_are_never_asked() {
        let now = Instant::now();
        let mut names = Names::default();
        names.follow(["10.0.0.1", "::1", "localhost", "x.localhost"].map(Arc::from), now);
        assert!(names.due(now + S * 1000).is_empty());
        let resolved = names.resolved();
        assert_eq!(resolved.keys().map(|name| &**name).collect::<Vec<_>>(), ["localhost", "x.localhost"]);
        assert_eq!(resolved["localhost"], ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    }
}
