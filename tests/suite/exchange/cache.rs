//! Answers that are kept and served again: `fairlead.dev/cache`.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fairlead::telemetry::exposition::{Exposition, Page};

use super::plain::until;
use super::scripted::{Caller, Scripted, ask, field};
use crate::bed::{Bed, ingress, service};

const ON: &str = "fairlead.dev/cache: \"on\", fairlead.dev/cache-status: \"true\"";

fn bed(origin: &Scripted, more: &str) -> Bed {
    let annotations = format!("{ON}{}{more}", if more.is_empty() { "" } else { ", " });
    Bed::start(&(service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", &annotations)))
}

fn answer(fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An origin that numbers its answers.
fn numbered(fields: &'static str) -> Scripted {
    let count = AtomicUsize::new(0);
    Scripted::start(move |_, socket| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let _gone = socket.write_all(&answer(fields, &format!("answer {number}")));
    })
}

fn told(answer: &super::scripted::Answer) -> String {
    answer.field("cache-status").unwrap_or_default()
}

/// Requests that were counted as misses.
fn misses(bed: &Bed) -> u64 {
    let mut page = Page::new(Exposition::Text);
    bed.metrics.write(&mut page, 0);
    let text = page.finish();
    let line = text.lines().find(|line| line.starts_with("fairlead_cache_misses_total "));
    line.and_then(|line| line.split(' ').nth(1)).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn what_is_fresh_is_served_without_asking() {
    let origin = numbered("Cache-Control: max-age=60\r\nETag: \"a\"\r\nX-A: b\r\n");
    let bed = bed(&origin, "");
    let first = ask(bed.http, "GET", "/x?y=1", "");
    assert_eq!((first.text(), told(&first)), ("answer 1", "fairlead; fwd=uri-miss; fwd-status=200; stored".to_owned()));
    until("the answer is kept", || told(&ask(bed.http, "GET", "/x?y=1", "")).contains("hit"));
    let hit = ask(bed.http, "GET", "/x?y=1", "");
    assert_eq!(
        (hit.text(), hit.field("x-a"), hit.field("content-length")),
        ("answer 1", Some("b".into()), Some("8".into()))
    );
    assert!(hit.field("age").is_some() && told(&hit).starts_with("fairlead; hit; ttl="), "{}", hit.head);
    let head = ask(bed.http, "HEAD", "/x?y=1", "");
    assert_eq!((head.status, head.field("content-length")), (200, Some("8".into())));
    let part = ask(bed.http, "GET", "/x?y=1", "Range: bytes=0-2\r\n");
    assert_eq!((part.status, part.text(), part.field("content-range")), (206, "ans", Some("bytes 0-2/8".into())));
    let none = ask(bed.http, "GET", "/x?y=1", "Range: bytes=8-\r\n");
    assert_eq!((none.status, none.field("content-range")), (416, Some("bytes */8".into())));
    let other = ask(bed.http, "GET", "/x?y=1", "Range: bytes=0-2\r\nIf-Range: \"b\"\r\n");
    assert_eq!((other.status, other.text()), (200, "answer 1"));
    let same = ask(bed.http, "GET", "/x?y=1", "If-None-Match: \"a\"\r\n");
    assert_eq!((same.status, same.field("etag"), same.body.len()), (304, Some("\"a\"".into()), 0));
    assert_eq!(origin.count(), 1);
    assert_eq!(ask(bed.http, "GET", "/x?y=2", "").text(), "answer 2");
    assert_eq!(ask(bed.http, "GET", "/x", "Cache-Control: only-if-cached\r\n").status, 504);
    assert_eq!(ask(bed.http, "GET", "/x?y=1", "Cache-Control: no-store\r\n").text(), "answer 3");
}

#[test]
fn a_thousand_concurrent_misses_are_one_fetch() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Scripted::start(move |_, socket| {
        wait.lock().unwrap().recv().unwrap();
        socket.write_all(&answer("Cache-Control: max-age=60\r\n", &"x".repeat(100_000))).unwrap();
    });
    let bed = bed(&origin, "");
    let address = bed.http;
    let clients = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let one = || async move {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                crate::clients::H1::new(stream).request("GET", "a.example", "/", b"").await
            };
            futures::future::join_all((0..1000).map(|_| one())).await
        })
    });
    until("all have come", || misses(&bed) == 1000);
    go.send(()).unwrap();
    let answers = clients.join().unwrap();
    assert!(answers.iter().all(|(status, body)| *status == 200 && body.len() == 100_000));
    assert_eq!((answers.len(), origin.count()), (1000, 1));
}

#[test]
fn what_is_not_kept_makes_nobody_wait_for_the_next() {
    let (arrived, arrivals) = mpsc::channel::<()>();
    let (go, wait) = mpsc::channel::<()>();
    let (wait, count) = (Mutex::new(wait), AtomicUsize::new(0));
    let origin = Scripted::start(move |_, socket| {
        // All but the first are held until all are there.
        if count.fetch_add(1, Ordering::Relaxed) > 0 {
            arrived.send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
        socket.write_all(&answer("Cache-Control: private\r\n", "mine")).unwrap();
    });
    let bed = bed(&origin, "");
    assert_eq!(ask(bed.http, "GET", "/", "").text(), "mine");
    let address = bed.http;
    let clients: Vec<_> = (0..5).map(|_| thread::spawn(move || ask(address, "GET", "/", "").status)).collect();
    for _ in 0..5 {
        arrivals.recv_timeout(Duration::from_secs(10)).expect("one waits for another");
    }
    (0..5).for_each(|_| go.send(()).unwrap());
    assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));
}

#[test]
fn a_client_that_leaves_does_not_take_the_answer_with_it() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Scripted::start(move |_, socket| {
        socket.write_all(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n12345").unwrap();
        wait.lock().unwrap().recv().unwrap();
        socket.write_all(b"67890").unwrap();
    });
    let bed = bed(&origin, "");
    let mut first = Caller::connect(bed.http);
    first.send("GET", "/", "");
    // It streams to the first while it is stored.
    assert!(first.head().contains("200 OK"));
    let mut second = Caller::connect(bed.http);
    second.send("GET", "/", "");
    assert!(second.head().contains("collapsed"));
    drop(first);
    go.send(()).unwrap();
    until("the answer is kept", || told(&ask(bed.http, "GET", "/", "")).contains("hit"));
    assert_eq!((ask(bed.http, "GET", "/", "").text(), origin.count()), ("1234567890", 1));
}

#[test]
fn hosts_and_ingresses_share_nothing() {
    let origin = numbered("Cache-Control: max-age=60\r\n");
    let one = ingress("one", "a.example", "/", "web", ON);
    let two = ingress("two", "a.example", "/two", "web", ON);
    let bed = Bed::start(&(service("web", &[origin.address]) + &one + &two));
    assert_eq!(ask(bed.http, "GET", "/x", "").text(), "answer 1");
    until("the answer is kept", || told(&ask(bed.http, "GET", "/x", "")).contains("hit"));
    let port = super::plain::talk(bed.http, "GET /x HTTP/1.1\r\nHost: a.example:81\r\nConnection: close\r\n\r\n");
    assert!(port.ends_with("answer 2"), "{port}");
    assert_eq!(ask(bed.http, "GET", "/two/x", "").text(), "answer 3");
}

#[test]
fn a_change_makes_what_is_kept_worthless() {
    let origin = numbered("Cache-Control: max-age=60\r\nLocation: /other\r\n");
    let bed = bed(&origin, "");
    for path in ["/x", "/other"] {
        ask(bed.http, "GET", path, "");
        until("the answer is kept", || told(&ask(bed.http, "GET", path, "")).contains("hit"));
    }
    assert_eq!(told(&ask(bed.http, "POST", "/x", "Content-Length: 0\r\n")), "fairlead; fwd=method");
    assert_eq!(ask(bed.http, "GET", "/x", "").text(), "answer 4");
    assert_eq!(ask(bed.http, "GET", "/other", "").text(), "answer 5");
}

#[test]
fn what_is_stale_is_asked_about_and_renewed() {
    let origin = Scripted::start(|head, socket| {
        let not_modified: &[u8] =
            b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\nX-N: 2\r\n\r\n";
        let first = answer("Cache-Control: max-age=0\r\nETag: \"a\"\r\nX-N: 1\r\n", "body");
        socket.write_all(if field(head, "if-none-match").is_some() { not_modified } else { &first }).unwrap();
    });
    let bed = bed(&origin, "");
    assert_eq!(ask(bed.http, "GET", "/", "If-None-Match: \"b\"\r\n").text(), "body");
    assert_eq!(field(&origin.heads()[0], "if-none-match"), None, "the whole is asked for, to be kept");
    until("it is renewed", || ask(bed.http, "GET", "/", "").field("x-n").as_deref() == Some("2"));
    let hit = ask(bed.http, "GET", "/", "");
    assert_eq!((hit.text(), told(&hit).starts_with("fairlead; hit")), ("body", true), "{}", hit.head);
}

#[test]
fn stale_answers_are_served_while_others_are_fetched() {
    let origin = numbered("Cache-Control: max-age=0, stale-while-revalidate=60\r\nETag: \"a\"\r\n");
    let bed = bed(&origin, "");
    ask(bed.http, "GET", "/", "");
    until("a stale answer is served at once", || told(&ask(bed.http, "GET", "/", "")).contains("hit; ttl=-"));
    let before = origin.count();
    until("the origin is asked meanwhile", || {
        // One that finds another under way asks for nothing.
        ask(bed.http, "GET", "/", "");
        origin.count() > before
    });
}

#[test]
fn stale_answers_stand_in_for_a_backend_that_fails() {
    let count = AtomicUsize::new(0);
    let origin = Scripted::start(move |_, socket| match count.fetch_add(1, Ordering::Relaxed) {
        0 => socket.write_all(&answer("Cache-Control: max-age=0\r\nETag: \"a\"\r\n", "good")).unwrap(),
        1 => socket.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").unwrap(),
        _ => socket.shutdown(std::net::Shutdown::Both).unwrap(),
    });
    let bed = bed(&origin, "fairlead.dev/cache-stale-if-error: \"60s\"");
    ask(bed.http, "GET", "/", "");
    for _ in 0..3 {
        let stale = ask(bed.http, "GET", "/", "");
        assert_eq!((stale.status, stale.text()), (200, "good"), "{}", stale.head);
    }
    assert!(origin.count() > 3);
    assert_eq!(ask(bed.http, "GET", "/other", "").status, 502);
}

#[test]
fn a_body_that_is_too_long_passes_whole_and_is_not_kept() {
    let body = "0123456789".repeat(1000);
    let long = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len(),
        body.len()
    );
    for (origin, expected) in [
        (Scripted::fixed(long), body.repeat(2)),
        (Scripted::fixed(answer("Cache-Control: max-age=60\r\n", &body)), body.clone()),
    ] {
        let bed = bed(&origin, "fairlead.dev/cache-max-object: 9k");
        for _ in 0..2 {
            let answer = ask(bed.http, "GET", "/", "");
            assert!(answer.text() == expected, "{}", answer.head);
        }
        assert_eq!(origin.count(), 2);
    }
    let origin = Scripted::fixed(answer("Cache-Control: max-age=60\r\n", &body));
    let bed = bed(&origin, "fairlead.dev/cache-max-object: 11k");
    ask(bed.http, "GET", "/", "");
    until("what fits is kept", || told(&ask(bed.http, "GET", "/", "")).contains("hit"));
}

#[test]
fn who_waits_for_a_body_that_does_not_end_asks_by_itself() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Scripted::start(move |_, socket| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        let _over = wait.lock().unwrap().recv();
    });
    let bed = bed(&origin, "");
    let mut callers: Vec<Caller> = Vec::new();
    for number in 1..=3 {
        let mut caller = Caller::connect(bed.http);
        caller.send("GET", "/", "");
        assert!(caller.head().starts_with("HTTP/1.1 200"), "{number}");
        assert_eq!(caller.chunk(), b"event", "{number}");
        assert_eq!(origin.count(), number, "each has its own");
        callers.push(caller);
    }
    drop(go);
}

#[test]
fn a_body_that_breaks_off_is_not_kept() {
    let count = AtomicUsize::new(0);
    let origin = Scripted::start(move |_, socket| {
        let whole = answer("Cache-Control: max-age=60\r\n", "1234567890");
        let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
        socket.write_all(if is_first { &whole[..whole.len() - 5] } else { &whole }).unwrap();
        if is_first {
            socket.shutdown(std::net::Shutdown::Both).unwrap();
        }
    });
    let bed = bed(&origin, "");
    let cut = super::plain::talk(bed.http, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    assert!(cut.ends_with("\r\n\r\n12345"), "{cut}");
    assert_eq!((ask(bed.http, "GET", "/", "").text(), origin.count()), ("1234567890", 2));
}

#[test]
fn a_key_of_ones_own_and_a_default_time_decide_what_is_kept() {
    let origin = numbered("");
    let bed = bed(&origin, "fairlead.dev/cache-key: $arg_id, fairlead.dev/cache-ttl: 60s");
    assert_eq!(ask(bed.http, "GET", "/?id=1&x=1", "").text(), "answer 1");
    until("the answer is kept", || told(&ask(bed.http, "GET", "/?id=1&x=2", "")).contains("hit"));
    assert_eq!(ask(bed.http, "GET", "/?id=1&x=3", "").text(), "answer 1");
    assert_eq!(ask(bed.http, "GET", "/?id=2&x=1", "").text(), "answer 2");
}

#[test]
fn what_is_kept_is_compressed_as_each_client_likes() {
    let body = "<p>hello</p>".repeat(1000);
    let origin = Scripted::fixed(answer("Cache-Control: max-age=60\r\nContent-Type: text/html\r\n", &body));
    let bed = bed(&origin, "fairlead.dev/compress: gzip");
    for _ in 0..2 {
        let plain = ask(bed.http, "GET", "/", "");
        assert!(plain.text() == body && plain.field("vary").as_deref() == Some("Accept-Encoding"));
        let packed = ask(bed.http, "GET", "/", "Accept-Encoding: gzip\r\n");
        assert_eq!(packed.field("content-encoding").as_deref(), Some("gzip"), "{}", packed.head);
    }
    until("one answer serves both", || origin.count() == 1);
}

#[test]
fn nothing_is_kept_unless_asked_for() {
    let origin = numbered("Cache-Control: max-age=60\r\n");
    for annotations in ["", "fairlead.dev/cache: \"off\"", "fairlead.dev/cache: \"yes\""] {
        let bed =
            Bed::start(&(service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", annotations)));
        let before = origin.count();
        for _ in 0..2 {
            assert_eq!(ask(bed.http, "GET", "/", "").field("cache-status"), None);
        }
        assert_eq!(origin.count(), before + 2, "{annotations}");
    }
}

#[test]
fn a_purge_forgets_a_path_or_a_host() {
    let origin = numbered("Cache-Control: max-age=60\r\n");
    let bed = bed(&origin, "");
    let fill = |address: SocketAddr, path: &str| {
        ask(address, "GET", path, "");
        until("the answer is kept", || told(&ask(address, "GET", path, "")).contains("hit"));
    };
    ["/a", "/a?x", "/b"].iter().for_each(|path| fill(bed.http, path));
    assert_eq!(bed.cache().purge(b"b.example", None), 0);
    assert_eq!(bed.cache().purge(b"a.example", Some(b"/a")), 2);
    assert!(told(&ask(bed.http, "GET", "/b", "")).contains("hit"));
    assert!(told(&ask(bed.http, "GET", "/a", "")).contains("uri-miss"));
    until("it is kept again", || told(&ask(bed.http, "GET", "/a", "")).contains("hit"));
    assert_eq!(bed.cache().purge(b"a.example", None), 2);
    assert_eq!(bed.cache().octets(), 0);
}

#[test]
fn memory_is_bounded() {
    let body = "x".repeat(100_000);
    let origin = Scripted::fixed(answer("Cache-Control: max-age=60\r\n", &body));
    let bed = bed(&origin, "");
    for number in 0..700 {
        ask(bed.http, "GET", &format!("/{number}"), "");
    }
    assert!(bed.cache().octets() <= 64 << 20, "{}", bed.cache().octets());
    assert!(bed.cache().octets() > 30 << 20, "{}", bed.cache().octets());
}
