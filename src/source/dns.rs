//! Addresses of external names: asked again as their TTL says, the last answer kept when DNS fails.

use std::collections::BTreeMap;
use std::future::Future;
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
use tokio::time::{sleep_until, timeout_at};

use crate::compile::Resolved;

/// Bounds of a TTL: neither a flood of questions nor an address for ever.
const TTL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// After a failure the next question waits this long, twice as long after each further one.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// An answer this long overdue is reported.
const STALE: Duration = Duration::from_secs(60);
/// Longest wait for one answer, whatever resolv.conf says.
const PATIENCE: Duration = Duration::from_secs(15);
/// Why a name is asked again soon whose every answer is without an address.
const NO_ADDRESS: &str = "it has no address";
/// Names that are asked at once where each is asked once: each takes sockets.
const AT_ONCE: usize = 64;

/// What DNS says of the addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Maybe none: that the name has no such address, or does not exist, is an answer.
    pub addresses: Vec<IpAddr>,
    /// As received.
    pub ttl: Duration,
}

/// What was said of a name, family by family. `Err`: no answer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// To the question for A.
    pub v4: Result<Answer, String>,
    /// To the question for AAAA.
    pub v6: Result<Answer, String>,
}

/// Names and what is known of them. Asks nobody and reads no clock.
#[derive(Debug, Default)]
pub struct Names {
    names: BTreeMap<Arc<str>, Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    v4: Family,
    v6: Family,
    ask_at: Option<Instant>,
}

/// The addresses of one family, by its last answer.
#[derive(Debug, Default)]
struct Family {
    addresses: Vec<IpAddr>,
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    wait: Duration,
    why: String,
}

impl Answer {
    /// That there is no address.
    fn none() -> Answer {
        Answer { addresses: Vec::new(), ttl: TTL.1 }
    }
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
                    v4: Family { addresses: vec![Ipv4Addr::LOCALHOST.into()], failing: None },
                    v6: Family { addresses: vec![Ipv6Addr::LOCALHOST.into()], failing: None },
                    ..Asked::default()
                },
                false => Asked { ask_at: Some(now), ..Asked::default() },
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
        let reports = self.names.values().filter_map(|asked| Some(asked.overdue()?.since + STALE));
        let due = self.names.values().filter_map(|asked| asked.ask_at);
        due.chain(reports.filter(|at| *at > now)).min()
    }

    /// Takes what was said of a name; whether its addresses changed. A family without an answer keeps its last addresses,
    /// and so do both when nothing would be left.
    pub fn answered(&mut self, name: &str, answers: Answers, now: Instant) -> bool {
        let Some(asked) = self.names.get_mut(name) else { return false };
        let Answers { mut v4, mut v6 } = answers;
        let is_kept = |said: &Result<Answer, String>, family: &Family| match said {
            Ok(answer) => !answer.addresses.is_empty(),
            Err(_) => !family.addresses.is_empty(),
        };
        if !is_kept(&v4, &asked.v4) && !is_kept(&v6, &asked.v6) {
            let failure = |said: Result<Answer, String>| Err(said.err().unwrap_or_else(|| NO_ADDRESS.to_owned()));
            (v4, v6) = (failure(v4), failure(v6));
        }
        let (v4, v6) = (asked.v4.take(v4, now), asked.v6.take(v6, now));
        asked.ask_at = Some(now + v4.holds.min(v6.holds));
        v4.is_change || v6.is_change
    }

    /// Names with at least one address.
    pub fn resolved(&self) -> Resolved {
        let all = self.names.iter().map(|(name, asked)| (Arc::clone(name), asked.addresses()));
        all.filter(|(_, addresses)| !addresses.is_empty()).collect()
    }

    /// Names with addresses of a family that could not be asked for again for a minute, with the reason.
    pub fn stale(&self, now: Instant) -> BTreeMap<Arc<str>, String> {
        let overdue = self.names.iter().filter_map(|(name, asked)| Some((name, asked.overdue()?)));
        let stale = overdue.filter(|(_, failing)| now >= failing.since + STALE);
        stale.map(|(name, failing)| (Arc::clone(name), failing.why.clone())).collect()
    }
}

impl Asked {
    fn addresses(&self) -> Vec<IpAddr> {
        [&*self.v4.addresses, &*self.v6.addresses].concat()
    }

    /// Since when one of the families keeps addresses without a new answer: the one for the longest time.
    fn overdue(&self) -> Option<&Failing> {
        let families = [&self.v4, &self.v6].into_iter().filter(|family| !family.addresses.is_empty());
        families.filter_map(|family| family.failing.as_ref()).min_by_key(|failing| failing.since)
    }
}

impl Family {
    fn take(&mut self, said: Result<Answer, String>, now: Instant) -> Taken {
        match said {
            Ok(Answer { mut addresses, ttl }) => {
                addresses.sort_unstable();
                addresses.dedup();
                self.failing = None;
                let is_change = self.addresses != addresses;
                self.addresses = addresses;
                Taken { is_change, holds: ttl.clamp(TTL.0, TTL.1) }
            }
            Err(why) => {
                let (since, wait) = match &self.failing {
                    Some(failing) => (failing.since, (failing.wait * 2).min(RETRY.1)),
                    None => (now, RETRY.0),
                };
                self.failing = Some(Failing { since, wait, why });
                Taken { is_change: false, holds: wait }
            }
        }
    }
}

/// What came of an answer.
struct Taken {
    is_change: bool,
    /// Until the next question.
    holds: Duration,
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

type Asking = Pin<Box<dyn Future<Output = (Arc<str>, Answers)>>>;

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
                    let answers = ask(&resolver, &name, tokio::time::Instant::from_std(now + PATIENCE)).await;
                    (name, answers)
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
                Some((name, answers)) = self.asking.next(), if !self.asking.is_empty() => {
                    if self.names.answered(&name, answers, Instant::now()) {
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
    let end = tokio::time::Instant::from_std(now + PATIENCE);
    let answers = futures::stream::iter(names.due(now)).map(|name| async {
        let answers = ask(&resolver, &name, end).await;
        (name, answers)
    });
    let mut answers = pin!(answers.buffer_unordered(AT_ONCE));
    while let Some((name, answers)) = answers.next().await {
        names.answered(&name, answers, now);
    }
    names.resolved()
}

/// A and AAAA of an absolute name. Each has its own time: one that hangs does not lose what the other says.
async fn ask(resolver: &StubResolver, name: &str, end: tokio::time::Instant) -> Answers {
    let name = match Name::vec_from_str(name) {
        Ok(name) => name,
        Err(error) => {
            let why = format!("not a DNS name: {error}");
            return Answers { v4: Err(why.clone()), v6: Err(why) };
        }
    };
    let (v4, v6) = tokio::join!(one(resolver, &name, Rtype::A, end), one(resolver, &name, Rtype::AAAA, end));
    Answers { v4, v6 }
}

/// The addresses of one type, maybe none; the TTL is the least on the way there, aliases too.
async fn one(
    resolver: &StubResolver,
    name: &Name<Vec<u8>>,
    kind: Rtype,
    end: tokio::time::Instant,
) -> Result<Answer, String> {
    let question = resolver.query(Question::new(name, kind, Class::IN));
    let said = match timeout_at(end, question).await {
        Ok(Ok(answer)) => read(&answer.into_message()).unwrap_or_else(|| Err("the answer cannot be read".to_owned())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    said.map_err(|why| format!("{kind}: {why}"))
}

/// The addresses in an answer. `None`: it is not as an answer has to be.
fn read(message: &Message<bytes::Bytes>) -> Option<Result<Answer, String>> {
    match message.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Some(Ok(Answer::none())),
        code => return Some(Err(format!("DNS answers {code}"))),
    }
    let mut answer = Answer::none();
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
    use domain::base::MessageBuilder;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn family(addresses: &[&str], ttl: u32) -> Result<Answer, String> {
        Ok(Answer { addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(), ttl: S * ttl })
    }

    /// IPv4 alone; DNS says that there is no other.
    fn answer(addresses: &[&str], ttl: u32) -> Answers {
        Answers { v4: family(addresses, ttl), v6: family(&[], 300) }
    }

    fn failed(why: &str) -> Result<Answer, String> {
        Err(why.to_owned())
    }

    fn failure(why: &str) -> Answers {
        Answers { v4: failed(why), v6: failed(why) }
    }

    fn known(names: &Names) -> Vec<String> {
        names.resolved().into_values().flatten().map(|address| address.to_string()).collect()
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
            assert!(!names.answered("a.example", failure("SERVFAIL"), at));
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
    fn a_family_that_fails_keeps_its_last_addresses_and_is_asked_again_soon() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        let both = Answers { v4: family(&["10.0.0.1", "10.0.0.2"], 5), v6: family(&["::1"], 300) };
        assert!(names.answered("a.example", both.clone(), now));
        let half = || Answers { v4: failed("A: DNS answers SERVFAIL"), ..both.clone() };
        let mut at = now + S * 5;
        for wait in [5, 10, 20, 30, 30] {
            assert_eq!(names.due(at).len(), 1, "{wait}");
            assert!(!names.answered("a.example", half(), at));
            assert_eq!(known(&names), ["10.0.0.1", "10.0.0.2", "::1"]);
            assert_eq!(names.stale(at).is_empty(), at < now + S * 65, "{wait}");
            at += S * wait;
        }
        assert_eq!(names.stale(at).values().collect::<Vec<_>>(), ["A: DNS answers SERVFAIL"]);
        assert!(names.answered("a.example", Answers { v4: family(&["10.0.0.1"], 5), ..both }, at));
        assert_eq!(known(&names), ["10.0.0.1", "::1"]);
        assert!(names.stale(at).is_empty());
        assert_eq!(names.next(at), Some(at + S * 5));
    }

    #[test]
    fn a_family_that_has_no_address_any_more_has_answered() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        names.answered("a.example", Answers { v4: family(&["10.0.0.1"], 60), v6: family(&["::1"], 300) }, now);
        assert!(names.answered("a.example", Answers { v4: family(&[], 60), v6: family(&["::1"], 300) }, now));
        assert_eq!(known(&names), ["::1"]);
        assert_eq!(names.next(now), Some(now + S * 60));
        assert!(names.stale(now + S * 600).is_empty());
    }

    #[test]
    fn a_family_that_never_answered_is_asked_again_soon_and_reported_by_nobody() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        let half = || Answers { v4: family(&["10.0.0.1"], 300), v6: failed("AAAA: DNS answers SERVFAIL") };
        assert!(names.answered("a.example", half(), now));
        assert_eq!(known(&names), ["10.0.0.1"]);
        assert_eq!(names.next(now), Some(now + S * 5));
        assert_eq!(names.due(now + S * 5).len(), 1);
        names.answered("a.example", half(), now + S * 5);
        assert_eq!(names.next(now), Some(now + S * 15));
        assert!(names.stale(now + S * 600).is_empty());
    }

    #[test]
    fn the_last_addresses_serve_where_answers_would_leave_none() {
        let now = Instant::now();
        for without in [
            answer(&[], 300),
            Answers { v4: failed("A: DNS answers SERVFAIL"), v6: family(&[], 300) },
            Answers { v4: family(&[], 300), v6: failed("AAAA: DNS answers SERVFAIL") },
        ] {
            let mut names = followed("a.example", now);
            names.answered("a.example", answer(&["10.0.0.1"], 60), now);
            assert!(!names.answered("a.example", without.clone(), now), "{without:?}");
            assert_eq!(known(&names), ["10.0.0.1"]);
            assert_eq!(names.next(now), Some(now + S * 5));
            assert_eq!(names.stale(now + S * 60).len(), 1);
        }
    }

    #[test]
    fn that_a_name_does_not_exist_is_an_answer_and_that_the_server_fails_is_none() {
        let said = |code| {
            let mut message = MessageBuilder::new_bytes();
            message.header_mut().set_rcode(code);
            read(&message.into_message()).unwrap()
        };
        assert_eq!(said(Rcode::NOERROR), family(&[], 300));
        assert_eq!(said(Rcode::NXDOMAIN), family(&[], 300));
        assert_eq!(said(Rcode::SERVFAIL), failed("DNS answers SERVFAIL"));
        assert_eq!(said(Rcode::REFUSED), failed("DNS answers REFUSED"));
    }

    #[test]
    fn the_minute_wakes_even_when_nothing_is_due() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        names.answered("a.example", answer(&["10.0.0.1"], 60), now);
        names.answered("a.example", failure("SERVFAIL"), now);
        names.due(now + S * 5);
        assert_eq!(names.next(now + S * 5), Some(now + S * 60));
        assert_eq!(names.next(now + S * 60), None);
    }

    #[test]
    fn a_name_that_never_answered_has_no_address_and_is_asked_again() {
        let now = Instant::now();
        let mut names = followed("a.example", now);
        names.answered("a.example", answer(&[], 300), now);
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
