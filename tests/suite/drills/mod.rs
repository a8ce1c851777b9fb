//! Failure drills: back ends break in every way while clients go on asking, one back end of three or all of them.
//!
//! Clients may see only the statuses that are documented, in the times that are documented, and an endpoint that is broken
//! gets no request beyond what the rules of retries and ejections allow: counted in the log of the proxy and at the back
//! ends themselves.

mod back_end;
mod load;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead::settings::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::timeout;

use self::back_end::{BackEnd, Mood, SLOW};
use self::load::{Attempts, Load, Log, Seen};
use crate::bed::{Bed, ingress, service};
use crate::clients::{self, H1};

const HOST: &str = "a.example";
const CLIENTS: usize = 6;
/// So many failures in a row eject (the default).
const CONSECUTIVE: usize = 5;
/// The first ejection; each doubles the one before.
const EJECT: Duration = Duration::from_millis(50);
/// So long do those wait who do not wait for a time-out.
const PATIENCE: Duration = Duration::from_millis(60);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
const HEAD_TIMEOUT: Duration = Duration::from_millis(500);
/// Lets the clients meet a slow fault all at once: the least loaded endpoint is seldom one that has a request already.
const ROUND_ROBIN: &str = ", fairlead.dev/load-balance: round_robin";
/// The default of `proxy-next-upstream-tries`.
const TRIES: u32 = 3;
/// What a busy machine may add to any time.
const SLACK: Duration = Duration::from_secs(3);
/// So many requests come before anything breaks: the retry budget is 20 % of them.
const BEFORE: usize = 200;

/// What a drill saw.
struct Drill {
    back_ends: Vec<BackEnd>,
    /// Requests that began while something was broken, or were under way when it broke.
    seen: Vec<Seen>,
    /// All requests.
    requests: usize,
    attempts: Attempts,
    /// How long it was broken.
    broken: Duration,
    /// How long the whole drill took.
    whole: Duration,
}

impl Drill {
    /// Attempts at an address that came to nothing.
    fn failed_at(&self, address: SocketAddr) -> usize {
        self.attempts.values().flatten().filter(|attempt| attempt.0 == address && attempt.1 >= 500).count()
    }

    /// What holds whatever is broken.
    fn keeps_the_rules(&self, mood: Mood) {
        let mut retries = 0;
        for seen in &self.seen {
            let attempts = &self.attempts[&seen.path];
            assert!(attempts.len() <= TRIES as usize, "{attempts:?}");
            assert_eq!(attempts.last().unwrap().1, seen.status, "the last attempt decides: {attempts:?}");
            let is_free = matches!(mood, Mood::Deaf | Mood::Refuses | Mood::Resets);
            assert!(is_free || !seen.is_post || attempts.len() == 1, "a POST was sent twice: {attempts:?}");
            retries += attempts.len() - 1;
            assert!(seen.took < time_out(mood) * TRIES + SLACK, "{seen:?}");
        }
        if !matches!(mood, Mood::Deaf | Mood::Refuses) {
            // A reset that comes before the request was sent is free.
            let free: usize = if mood == Mood::Resets { self.back_ends.iter().map(BackEnd::hurt).sum() } else { 0 };
            let budget = self.requests / 5 + 3 * (self.whole.as_secs() as usize + 2);
            assert!(retries <= budget + free, "{retries} retries of {} requests", self.requests);
        }
        for back_end in &self.back_ends {
            assert!(back_end.hurt() <= self.failed_at(back_end.address), "the log hides requests");
        }
    }

    /// How many attempts may fail at one that is broken while others are not: those that eject it and those that were
    /// under way by then, those that met a connection as it broke, and one each time that an ejection is over.
    fn most_failures(&self) -> usize {
        let mut windows = 0;
        while EJECT * (2_u32.pow(windows + 1) - 1) <= self.broken {
            windows += 1;
        }
        CONSECUTIVE + (CLIENTS - 1) + CLIENTS + windows as usize
    }
}

/// How long an attempt may take.
fn time_out(mood: Mood) -> Duration {
    if mood == Mood::Deaf { CONNECT_TIMEOUT } else { HEAD_TIMEOUT }
}

fn block_on<T>(drill: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let drill = async { timeout(Duration::from_secs(30), drill).await };
    LocalSet::new().block_on(&runtime, drill).expect("the drill hangs")
}

/// Waits until the condition holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `fairlead.dev/passive-health` and more annotations as YAML flow text.
fn settings(passive: &str, more: &str) -> String {
    format!(
        "fairlead.dev/passive-health: '{passive}', fairlead.dev/proxy-connect-timeout: 200ms, \
         fairlead.dev/proxy-read-timeout: 500ms{more}"
    )
}

/// So many back ends, and a proxy before them.
async fn scene(count: usize, settings: &str, log: &Log) -> (Vec<BackEnd>, Bed) {
    let mut back_ends = Vec::new();
    for _ in 0..count {
        back_ends.push(BackEnd::start().await);
    }
    let addresses: Vec<SocketAddr> = back_ends.iter().map(|back_end| back_end.address).collect();
    let manifests = service("web", &addresses) + &ingress("web", HOST, "/", "web", settings);
    (back_ends, Bed::with(&manifests, Limits::default(), 2, Some(Arc::clone(&log.sink))))
}

/// Three back ends of which the first so many break for a while under load and are well again.
fn drill(mood: Mood, broken: usize, lasts: u64, more: &str) -> Drill {
    let log = Log::start();
    let mut told = block_on(async {
        let (back_ends, bed) = scene(3, &settings("eject=50ms", more), &log).await;
        let start = Instant::now();
        let load = Load::on(bed.http, HOST, CLIENTS);
        until("it works", || load.count() >= BEFORE).await;
        assert_eq!(load.last(BEFORE), [200; BEFORE]);

        let breaks = Instant::now();
        for back_end in &back_ends[..broken] {
            back_end.is_now(mood).await;
        }
        tokio::time::sleep(Duration::from_millis(lasts)).await;
        for back_end in &back_ends[..broken] {
            back_end.is_now(Mood::Answers).await;
        }
        let broken = breaks.elapsed();
        let is_back = || back_ends.iter().all(|back_end| bed.standing(back_end.address).0 == "ready");
        until("every endpoint is back", is_back).await;
        let count = load.count();
        until("it works again", || load.count() >= count + 50 && load.last(30) == [200; 30]).await;

        let mut seen = load.end().await;
        let requests = seen.len();
        seen.retain(|seen| seen.began + seen.took >= breaks);
        Drill { back_ends, seen, requests, attempts: Attempts::new(), broken, whole: start.elapsed() }
    });
    told.attempts = log.attempts();
    assert_eq!(told.attempts.len(), told.requests);
    told.keeps_the_rules(mood);
    told
}

/// One of three breaks: it is left alone soon, and nobody who may be served elsewhere notices. `gets` and `posts`: with
/// which statuses requests may fail.
fn one_of_three(mood: Mood, lasts: u64, more: &str, gets: &[u16], posts: &[u16]) -> Drill {
    let drill = drill(mood, 1, lasts, more);
    let bad = &drill.back_ends[0];
    for sound in &drill.back_ends[1..] {
        assert_eq!((drill.failed_at(sound.address), sound.hurt()), (0, 0));
        assert!(sound.served() > BEFORE / 4);
    }
    for seen in &drill.seen {
        let attempts = &drill.attempts[&seen.path];
        let at_bad = attempts.iter().filter(|attempt| attempt.0 == bad.address).count();
        assert!(at_bad <= 1, "it was asked twice while others stood: {attempts:?}");
        let may_be = if seen.is_post { posts } else { gets };
        assert!(seen.status == 200 || may_be.contains(&seen.status), "{seen:?} {attempts:?}");
    }
    drill
}

/// The same, where it is ejected.
fn one_of_three_is_ejected(mood: Mood, lasts: u64, more: &str, gets: &[u16], posts: &[u16]) {
    let drill = one_of_three(mood, lasts, more, gets, posts);
    let (failures, most) = (drill.failed_at(drill.back_ends[0].address), drill.most_failures());
    assert!(failures >= CONSECUTIVE, "{failures} of {}: it was not ejected", drill.requests);
    assert!(failures <= most, "{failures} of {}, at most {most}", drill.requests);
}

/// All break: each client is told so by one of these statuses (the first is the usual one), in time.
fn all_of_three(mood: Mood, lasts: u64, more: &str, statuses: &[u16]) -> Drill {
    let drill = drill(mood, 3, lasts, more);
    let usual = drill.seen.iter().filter(|seen| seen.status == statuses[0]).count();
    assert!(usual >= CLIENTS, "{usual} of {}", drill.seen.len());
    for seen in &drill.seen {
        assert!(seen.status == 200 || statuses.contains(&seen.status), "{seen:?}");
        assert!(seen.status != 504 || seen.took >= time_out(mood), "{seen:?}");
    }
    drill
}

#[test]
fn one_of_three_refuses() {
    // Only those fail that were under way when it went.
    one_of_three_is_ejected(Mood::Refuses, 800, "", &[], &[502]);
}

#[test]
fn one_of_three_takes_no_connection() {
    one_of_three_is_ejected(Mood::Deaf, 1_200, ROUND_ROBIN, &[], &[502]);
}

#[test]
fn one_of_three_resets_each_connection() {
    one_of_three_is_ejected(Mood::Resets, 800, "", &[], &[502]);
}

#[test]
fn one_of_three_resets_in_the_middle_of_a_head() {
    // Nothing is sent again after a byte of the answer.
    one_of_three_is_ejected(Mood::ResetsInHead, 800, "", &[502], &[502]);
}

#[test]
fn one_of_three_stalls() {
    one_of_three_is_ejected(Mood::Stalls, 1_200, ROUND_ROBIN, &[], &[504]);
}

#[test]
fn one_of_three_sends_garbage() {
    one_of_three_is_ejected(Mood::Garbage, 500, "", &[502], &[502]);
}

#[test]
fn one_of_three_sends_garbage_and_idempotent_requests_are_served_elsewhere_where_that_is_asked_for() {
    let more = ", nginx.ingress.kubernetes.io/proxy-next-upstream: error timeout invalid_header";
    one_of_three(Mood::Garbage, 500, more, &[], &[502]);
}

#[test]
fn all_refuse() {
    let drill = all_of_three(Mood::Refuses, 600, "", &[502]);
    for seen in drill.seen.iter().filter(|seen| !seen.is_post && seen.status == 502) {
        assert_eq!(drill.attempts[&seen.path].len(), TRIES as usize, "as often as it may");
    }
}

#[test]
fn all_take_no_connection() {
    // For a moment before and after nobody listens.
    let drill = all_of_three(Mood::Deaf, 1_500, "", &[504, 502]);
    assert!(drill.attempts.values().any(|attempts| attempts.len() == TRIES as usize));
}

#[test]
fn all_reset_each_connection() {
    all_of_three(Mood::Resets, 600, "", &[502]);
}

#[test]
fn all_reset_in_the_middle_of_a_head() {
    all_of_three(Mood::ResetsInHead, 600, "", &[502]);
}

#[test]
fn all_stall() {
    all_of_three(Mood::Stalls, 1_200, "", &[504]);
}

#[test]
fn all_send_garbage() {
    all_of_three(Mood::Garbage, 400, "", &[502]);
}

#[test]
fn with_all_ejected_all_are_tried_and_it_works_as_soon_as_one_does() {
    let log = Log::start();
    block_on(async {
        let passive = "consecutive=2, eject=60s, max-ejected=100%";
        let (back_ends, bed) = scene(3, &settings(passive, ""), &log).await;
        let load = Load::on(bed.http, HOST, CLIENTS);
        until("it works", || load.count() >= 2 * BEFORE).await;
        for back_end in &back_ends {
            back_end.is_now(Mood::Resets).await;
        }
        until("all are ejected", || back_ends.iter().all(|one| bed.standing(one.address).0 == "ejected")).await;
        let (before, count) = (back_ends.iter().map(BackEnd::hurt).sum::<usize>(), load.count());
        until("requests fail", || load.count() > count + 20).await;
        // Those under way at both ends do not count.
        assert_eq!(load.last(20 - CLIENTS), [502; 20 - CLIENTS]);
        assert!(
            back_ends.iter().map(BackEnd::hurt).sum::<usize>() >= before + 20 - CLIENTS,
            "they were not even asked"
        );

        for back_end in &back_ends {
            back_end.is_now(Mood::Answers).await;
        }
        let (served, count) = (back_ends.iter().map(BackEnd::served).collect::<Vec<_>>(), load.count());
        until("there are more", || load.count() > count + 40).await;
        assert_eq!(load.last(40 - CLIENTS), [200; 40 - CLIENTS], "at once, long before an ejection is over");
        assert!(back_ends.iter().zip(served).all(|(back_end, before)| back_end.served() > before));
        load.end().await;
    });
}

#[test]
fn whoever_goes_by_latency_learns_from_clients_that_lose_patience() {
    impatience(async |proxy, number| {
        let mut talk = H1::new(TcpStream::connect(proxy).await.unwrap());
        let path = format!("/{number}");
        let asked = async {
            talk.send("GET", HOST, &path, b"").await;
            talk.answer(&path).await.0
        };
        timeout(PATIENCE, asked).await.ok()
    });
}

#[test]
fn whoever_goes_by_latency_learns_from_streams_that_are_reset() {
    impatience(async |proxy, number| {
        let mut client = clients::h2(TcpStream::connect(proxy).await.unwrap()).await;
        // The stream is reset when the future is dropped.
        let url = format!("http://{HOST}/{number}");
        let asked = clients::h2_get(&mut client, &url);
        let status = timeout(PATIENCE, asked).await.ok().map(|(status, _)| status);
        // Before the connection goes.
        tokio::time::sleep(Duration::from_millis(5)).await;
        status
    });
}

#[test]
fn whoever_goes_by_latency_learns_from_clients_that_lose_patience_after_a_body_that_was_streamed() {
    impatience(async |proxy, number| {
        let mut talk = H1::new(TcpStream::connect(proxy).await.unwrap());
        let path = format!("/{number}");
        // More than is held.
        let asked = talk.request("POST", HOST, &path, &[b'x'; 200_000]);
        timeout(PATIENCE, asked).await.ok().map(|(status, _)| status)
    });
}

#[test]
fn whoever_goes_by_latency_measures_requests_whose_body_is_streamed() {
    let log = Log::start();
    block_on(async {
        for (more, body) in [("", 200_000), (", fairlead.dev/proxy-request-buffering: 'off'", 100)] {
            let ewma = format!("{more}, fairlead.dev/load-balance: ewma");
            let (back_ends, bed) = scene(3, &settings("eject=50ms", &ewma), &log).await;
            back_ends[0].is_now(Mood::Slow).await;
            let mut talk = H1::new(TcpStream::connect(bed.http).await.unwrap());
            for number in 0..120 {
                let path = format!("/{number}");
                assert_eq!(talk.request("POST", HOST, &path, &vec![b'x'; body]).await.0, 200);
            }
            let (asked, latency) = (back_ends[0].served(), bed.latency(back_ends[0].address));
            // Chance decides until all are known.
            assert!((1..=15).contains(&asked), "{asked} of 120");
            assert!(latency.unwrap() >= SLOW, "{latency:?}");

            // How long a client takes to send is not the endpoint's time.
            let (back_ends, bed) = scene(1, &settings("eject=50ms", &ewma), &log).await;
            let mut slow = TcpStream::connect(bed.http).await.unwrap();
            let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {body}\r\n\r\n");
            slow.write_all(head.as_bytes()).await.unwrap();
            slow.write_all(&vec![b'x'; body - 1]).await.unwrap();
            tokio::time::sleep(SLOW).await;
            slow.write_all(b"x").await.unwrap();
            assert!(slow.read(&mut [0; 100]).await.unwrap() > 0);
            let latency = bed.latency(back_ends[0].address).unwrap();
            assert!(latency < SLOW, "{latency:?}");
        }
    });
}

#[test]
fn what_was_streamed_is_sent_again_like_what_was_held() {
    let log = Log::start();
    block_on(async {
        let more = ", fairlead.dev/proxy-request-buffering: 'off', fairlead.dev/load-balance: round_robin";
        let (back_ends, bed) = scene(2, &format!("fairlead.dev/passive-health: 'off'{more}"), &log).await;
        back_ends[0].is_now(Mood::Resets).await;
        let mut talk = H1::new(TcpStream::connect(bed.http).await.unwrap());
        // No more than the budget has for a second.
        for number in 0..3 {
            let path = format!("/{number}");
            assert_eq!(talk.request("PUT", HOST, &path, &[b'x'; 100]).await.0, 200, "{number}");
        }
        assert!(back_ends[0].hurt() > 0);
    });
}

/// One of three stalls, and no client waits so long that it would be a failure: nearly all are served elsewhere.
fn impatience(ask: impl AsyncFn(SocketAddr, usize) -> Option<u16>) {
    let log = Log::start();
    block_on(async {
        let more = ", fairlead.dev/load-balance: ewma, fairlead.dev/proxy-read-timeout: 60s";
        let (back_ends, bed) = scene(3, &format!("fairlead.dev/passive-health: 'off'{more}"), &log).await;
        let load = Load::on(bed.http, HOST, CLIENTS);
        until("it works", || load.count() >= BEFORE).await;
        load.end().await;
        back_ends[0].is_now(Mood::Stalls).await;
        let is_served = async |number| {
            let status = ask(bed.http, number).await;
            assert!(status.is_none_or(|status| status == 200), "{status:?}");
            status.is_some()
        };
        // It may have been the slowest by chance, and is then asked when that is old.
        let mut number = 0;
        while is_served(number).await {
            number += 1;
        }
        let mut impatient = 1;
        for more in 1..100 {
            impatient += u32::from(!is_served(number + more).await);
        }
        assert!(impatient <= 5, "{impatient} of 100 asked the one that stalls");
    });
}

#[test]
fn six_of_twelve_break_each_in_its_own_way() {
    let log = Log::start();
    let more =
        ", fairlead.dev/proxy-next-upstream: error timeout invalid_header, fairlead.dev/proxy-next-upstream-tries: '0'";
    block_on(async {
        let (back_ends, bed) = scene(12, &settings("eject=200ms", more), &log).await;
        let load = Load::on(bed.http, HOST, CLIENTS);
        until("it works", || load.count() >= 3 * BEFORE).await;
        let breaks = Instant::now();
        let moods = [Mood::Deaf, Mood::Garbage, Mood::Refuses, Mood::Resets, Mood::ResetsInHead, Mood::Stalls];
        for (back_end, mood) in back_ends.iter().zip(moods) {
            back_end.is_now(mood).await;
        }
        until("those are ejected that fail at once", || {
            [1, 2, 3, 4].iter().all(|&place: &usize| bed.standing(back_ends[place].address).0 == "ejected")
        })
        .await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        let seen = load.end().await;
        assert!(seen.iter().all(|seen| seen.status == 200 || seen.is_post), "{seen:?}");
        let after: Vec<&Seen> = seen.iter().filter(|seen| seen.began > breaks).collect();
        assert!(after.len() > BEFORE / 2, "{}", after.len());
        for seen in after {
            assert!([200, 502, 504].contains(&seen.status) && seen.took < HEAD_TIMEOUT * 2 + SLACK, "{seen:?}");
        }
        for sound in &back_ends[moods.len()..] {
            assert_eq!(bed.standing(sound.address).0, "ready");
        }
    });
}
