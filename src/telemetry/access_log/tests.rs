use std::sync::atomic::Ordering;

use super::*;
use crate::telemetry::Failure;
use crate::telemetry::sink::tests::Memory;

const PATIENCE: Duration = Duration::from_secs(20);

fn record<'a>(attempts: &'a [Attempt<'a>]) -> Record<'a> {
    Record {
        time: 1_795_648_255_123_456_789,
        request_id: b"0123456789abcdef0123456789abcdef",
        client: "10.1.2.3",
        user: None,
        method: "GET",
        scheme: "https",
        host: b"a.example",
        target: b"/api?x=1",
        protocol: "HTTP/2.0",
        status: 200,
        failure: None,
        is_cut: false,
        bytes_in: 345,
        bytes_out: 1024,
        elapsed: Duration::from_micros(12_345),
        route: Some(("shop", "web", "api", "80")),
        upstream_name: Some("shop-api-80"),
        alternative: None,
        attempts,
        tls: Some("TLSv1.3"),
        sni: Some("a.example"),
        referer: None,
        user_agent: Some(b"curl/8.5.0"),
    }
}

fn attempt(address: &str, status: Option<u16>, micros: u64, bytes: u64) -> Attempt<'_> {
    Attempt { address, status, elapsed: Duration::from_micros(micros), bytes, connect: None, header: None }
}

/// What is written for the records.
fn written(format: LogFormat, records: &[Record<'_>]) -> String {
    let memory = Memory::default();
    let log = AccessLog::start(memory.clone(), format, Arc::default()).unwrap();
    let mut writer = log.writer();
    for record in records {
        writer.write(record);
    }
    drop(writer);
    assert!(log.settle(PATIENCE));
    memory.text()
}

#[test]
fn the_text_line_is_that_of_ingress_nginx() {
    let one = [attempt("10.0.0.7:8080", Some(200), 11_999, 1024)];
    assert_eq!(
        written(LogFormat::Text, &[record(&one)]),
        "10.1.2.3 - - [25/Nov/2026:23:10:55 +0000] \"GET /api?x=1 HTTP/2.0\" 200 1024 \"-\" \"curl/8.5.0\" 345 0.012 \
         [shop-api-80] [] 10.0.0.7:8080 1024 0.011 200 0123456789abcdef0123456789abcdef\n"
    );
}

#[test]
fn retries_are_separated_by_commas_and_what_is_missing_is_a_dash() {
    let two = [attempt("10.0.0.7:8080", None, 5_000_000, 0), attempt("[2001:db8::1]:80", Some(503), 7_000, 5)];
    let mut with_retry = record(&two);
    with_retry.user = Some(b"ann");
    with_retry.client = "2001:db8::9";
    let mut unread = record(&[]);
    unread.client = "192.0.2.1";
    unread.method = "";
    unread.target = b"";
    unread.protocol = "";
    unread.route = None;
    unread.upstream_name = None;
    unread.status = 400;
    unread.user_agent = None;
    unread.referer = Some(b"");
    assert_eq!(
        written(LogFormat::Text, &[with_retry, unread]),
        "2001:db8::9 - ann [25/Nov/2026:23:10:55 +0000] \"GET /api?x=1 HTTP/2.0\" 200 1024 \"-\" \"curl/8.5.0\" 345 \
         0.012 [shop-api-80] [] 10.0.0.7:8080, [2001:db8::1]:80 0, 5 5.000, 0.007 -, 503 \
         0123456789abcdef0123456789abcdef\n\
         192.0.2.1 - - [25/Nov/2026:23:10:55 +0000] \"-\" 400 1024 \"\" \"-\" 345 0.012 [-] [] - - - - \
         0123456789abcdef0123456789abcdef\n"
    );
}

#[test]
fn text_fields_are_escaped_so_that_a_line_stays_a_line() {
    let mut evil = record(&[]);
    evil.target = b"/\"\\";
    evil.user_agent = Some(b"a\r\nb\x00\x7f\xc3\xa9 ok");
    let line = written(LogFormat::Text, &[evil]);
    assert!(line.contains("\"GET /\\x22\\x5C HTTP/2.0\""), "{line}");
    assert!(line.contains("\"a\\x0D\\x0Ab\\x00\\x7F\\xC3\\xA9 ok\""), "{line}");
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn the_json_line_has_its_keys_in_order() {
    let two = [attempt("10.0.0.7:8080", None, 5_000, 0), attempt("10.0.0.8:8080", Some(502), 7_250, 5)];
    let mut full = record(&two);
    full.failure = Some(Failure::UpstreamReset);
    full.referer = Some(b"https://b.example/");
    assert_eq!(
        written(LogFormat::Json, &[full]),
        "{\"time\":\"2026-11-25T23:10:55.123Z\",\"request_id\":\"0123456789abcdef0123456789abcdef\",\
         \"client\":\"10.1.2.3\",\"method\":\"GET\",\"scheme\":\"https\",\"host\":\"a.example\",\"path\":\"/api\",\
         \"query\":\"x=1\",\"protocol\":\"HTTP/2.0\",\"status\":200,\"reason\":\"upstream_reset\",\"bytes_in\":345,\
         \"bytes_out\":1024,\"duration_ms\":12.345,\"namespace\":\"shop\",\"ingress\":\"web\",\"service\":\"api\",\
         \"port\":\"80\",\"upstream\":\"10.0.0.8:8080\",\"upstream_status\":502,\"upstream_ms\":7.250,\"attempts\":2,\
         \"tls\":\"TLSv1.3\",\"sni\":\"a.example\",\"referer\":\"https://b.example/\",\"user_agent\":\"curl/8.5.0\"}\n"
    );
}

#[test]
fn json_leaves_out_what_is_absent_and_escapes_what_is_there() {
    let mut sparse = record(&[]);
    sparse.route = None;
    sparse.tls = None;
    sparse.sni = None;
    sparse.target = b"/";
    sparse.user_agent = Some(b"\"\\\n\xff\xc3\xa9");
    let line = written(LogFormat::Json, &[sparse]);
    for key in ["query", "reason", "namespace", "upstream", "attempts", "tls", "referer"] {
        assert!(!line.contains(&format!("\"{key}\"")), "{key} in {line}");
    }
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(parsed["user_agent"], "\"\\\n\u{fffd}é");
}

#[test]
fn the_time_follows_the_clock() {
    let (mut first, mut second) = (record(&[]), record(&[]));
    first.time = 999_999_999;
    second.time = 1_000_000_000;
    let lines = written(LogFormat::Text, &[first, second]);
    assert!(
        lines.contains("[01/Jan/1970:00:00:00 +0000]") && lines.contains("[01/Jan/1970:00:00:01 +0000]"),
        "{lines}"
    );
}

#[test]
fn a_full_buffer_is_handed_on_without_a_flush() {
    let (memory, dropped) = (Memory::default(), Arc::default());
    let log = AccessLog::start(memory.clone(), LogFormat::Text, Arc::clone(&dropped)).unwrap();
    let mut writer = log.writer();
    let line = written(LogFormat::Text, &[record(&[])]).len();
    for _ in 0..FULL / line {
        writer.write(&record(&[]));
    }
    assert!(log.settle(PATIENCE) && memory.text().is_empty(), "not full yet");
    writer.write(&record(&[]));
    assert!(log.settle(PATIENCE));
    assert_eq!(memory.text().lines().count(), FULL / line + 1);
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
}

#[test]
fn a_first_line_without_a_protocol_ends_where_it_breaks_off() {
    let mut cut = record(&[]);
    cut.protocol = "";
    let mut bare = cut;
    bare.target = b"";
    let lines = written(LogFormat::Text, &[cut, bare]);
    assert!(lines.contains("] \"GET /api?x=1\" 200 ") && lines.contains("] \"GET\" 200 "), "{lines}");
}

#[test]
fn an_answer_that_broke_off_is_not_complete() {
    let ended = |status, failure, is_cut| Record { status, failure, is_cut, ..record(&[]) }.is_complete();
    assert!(ended(200, None, false) && ended(404, Some(Failure::NoRoute), false));
    assert!(ended(502, Some(Failure::UpstreamReset), false) && ended(302, Some(Failure::AuthFailed), false));
    assert!([200, 404, 500].iter().all(|&status| !ended(status, Some(Failure::UpstreamCut), true)));
    assert!(!ended(499, Some(Failure::ClientGone), true) && !ended(200, Some(Failure::ClientGone), false));
}

#[test]
fn the_upstream_name_is_made_with_its_escapes() {
    assert_eq!(&*upstream_name("shop", "api", "80"), "shop-api-80");
    assert_eq!(&*upstream_name("shop", "a\"b", "80"), "shop-a\\x22b-80");
}
