//! TLS that is passed on unopened: by server name, to endpoints that answer themselves, for as long as both sides like.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fairlead::admin::Listener;
use fairlead::admin::explain::{Request, explain};
use fairlead::admin::shape::Answer;
use fairlead::settings::{Limits, LogFormat};
use fairlead::telemetry::AccessLog;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};

use super::authority::{Authority, Connection, TlsEcho, client};
use super::filters::{Echo, ask, field, status};
use super::plain::until;
use crate::bed::{Bed, ingress, service};

const PASS: &str = "nginx.ingress.kubernetes.io/ssl-passthrough: 'true'";

/// Under `--enable-ssl-passthrough`.
fn passing(manifests: &str) -> Bed {
    Bed::told(manifests, Limits::default(), 2, None, |options| options.ssl_passthrough = true)
}

/// Where a Service `web` at `address` gets what is for a.example.
fn one(address: SocketAddr, annotations: &str) -> String {
    service("web", &[address]) + &ingress("web", "a.example", "/", "web", annotations)
}

/// Which certificate is shown for a name: how it is called.
pub fn shown(address: SocketAddr, name: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = rustls::ClientConnection::new(client(None), name).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket).unwrap();
    }
    let own = session.peer_certificates().unwrap()[0].to_vec();
    String::from_utf8_lossy(&own).into_owned()
}

/// A back end that tells what it was sent, and on which connection it may answer.
struct Raw {
    address: SocketAddr,
    accepted: Receiver<TcpStream>,
}

impl Raw {
    fn start() -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, accepted) = channel();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                if tell.send(socket).is_err() {
                    return;
                }
            }
        });
        Raw { address, accepted }
    }

    fn next(&self) -> TcpStream {
        self.accepted.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

/// What a client says first that asks for `name`.
fn hello(name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = rustls::ClientConnection::new(client(None), name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}

/// A connection on which that was said.
fn greeted(address: SocketAddr, hello: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(hello).unwrap();
    socket
}

fn heard(socket: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut heard = vec![0; length];
    socket.read_exact(&mut heard).unwrap();
    heard
}

/// Whether the other side says no more; how it says so does not matter.
fn is_over(socket: &mut TcpStream) -> bool {
    !matches!(socket.read(&mut [0]), Ok(1..))
}

#[test]
fn the_back_end_answers_itself_and_other_names_are_answered_here() {
    let root = Authority::root("root");
    let echo = TlsEcho::start(&root.server("inner.example"), None, &[&TLS12, &TLS13]);
    let plain = Echo::start("");
    let text = service("web", &[echo.address])
        + &service("plain", &[plain.address])
        + &ingress("web", "a.example", "/", "web", PASS)
        + &ingress("wild", "*.w.example", "/", "web", PASS)
        + &ingress("own", "own.w.example", "/", "plain", "")
        + &ingress("plain", "b.example", "/", "plain", "");
    let bed = passing(&text);
    for name in ["a.example", "A.Example", "x.w.example"] {
        let mut connection = Connection::new(bed.https, &client(None), name);
        assert!(connection.get("whatever.example", "/x").ends_with("fine"), "{name}");
        assert_eq!(echo.seen()[0].name.as_deref(), Some(&*name.to_ascii_lowercase()));
        assert!(shown(bed.https, name).contains("inner.example"), "{name}");
    }
    for (name, expected) in [("b.example", 200), ("own.w.example", 200), ("w.example", 404), ("c.example", 404)] {
        assert!(!shown(bed.https, name).contains("inner.example"), "{name}");
        let mut connection = Connection::new(bed.https, &client(None), name);
        assert_eq!(status(&connection.get(name, "/")), expected, "{name}");
    }
    let mut connection = Connection::new(bed.https, &client(None), "127.0.0.1");
    assert_eq!(status(&connection.get("b.example", "/")), 200, "without a name");
    assert!(echo.seen().is_empty());
    until("all of them are counted", || bed.metric("fairlead_passthrough_connections_total{result=\"passed\"}") == 6);
}

#[test]
fn requests_in_clear_text_go_by_the_ingress() {
    let echo = Echo::start("");
    let force = format!("{PASS}, nginx.ingress.kubernetes.io/force-ssl-redirect: 'true'");
    let bed = passing(&one(echo.address, &force));
    let answer = ask(&bed, "GET /x", "");
    let location = format!("https://a.example:{}/x", bed.https.port());
    assert_eq!((status(&answer), field(&answer, "Location")), (308, Some(&*location)));
    let bed = passing(&one(echo.address, PASS));
    assert_eq!(status(&ask(&bed, "GET /x", "")), 200);
}

#[test]
fn one_ingress_of_the_host_is_enough() {
    let raw = Raw::start();
    let bed = passing(
        &(one(raw.address, "")
            + &ingress("more", "a.example", "/more", "elsewhere", PASS)
            + &service("elsewhere", &[])),
    );
    let hello = hello("a.example");
    let _client = greeted(bed.https, &hello);
    assert_eq!(heard(&mut raw.next(), hello.len()), hello);
}

#[test]
fn without_flag_value_or_root_tls_ends_here_and_a_problem_says_why() {
    let echo = Echo::start("");
    let no = "nginx.ingress.kubernetes.io/ssl-passthrough: 'false'";
    let bad = "nginx.ingress.kubernetes.io/ssl-passthrough: 'yes'";
    let root = |annotations: &str| one(echo.address, annotations);
    let below = service("web", &[echo.address]) + &ingress("web", "a.example", "/x", "web", PASS);
    let anybody = service("web", &[echo.address])
        + &ingress("web", "a.example", "/", "web", PASS).replace("  - host: \"a.example\"\n    http", "  - http");
    for (has_flag, text, told) in [
        (false, root(PASS), Some("AnnotationIgnored")),
        (true, root(bad), Some("AnnotationInvalid")),
        (true, below, Some("AnnotationIgnored")),
        (true, anybody, Some("AnnotationIgnored")),
        (true, root(no), None),
        (false, root(no), None),
    ] {
        let bed = Bed::told(&text, Limits::default(), 1, None, |options| options.ssl_passthrough = has_flag);
        let mut connection = Connection::new(bed.https, &client(None), "a.example");
        assert_eq!(status(&connection.get("a.example", "/x")), 200, "{text}");
        for reason in ["AnnotationIgnored", "AnnotationInvalid"] {
            assert_eq!(bed.problems(reason), usize::from(told == Some(reason)), "{reason} of {text}");
        }
    }
}

#[test]
fn endpoints_get_connections_in_turn_and_what_is_under_way_counts() {
    let raws = [Raw::start(), Raw::start()];
    let text = service("web", &[raws[0].address, raws[1].address]) + &ingress("web", "a.example", "/", "web", PASS);
    let bed = passing(&text);
    let hello = hello("a.example");
    let clients: Vec<_> = (0..6).map(|_| greeted(bed.https, &hello)).collect();
    let _accepted: Vec<_> = raws.iter().flat_map(|raw| [raw.next(), raw.next(), raw.next()]).collect();
    drop(clients);
}

#[test]
fn another_endpoint_is_tried_and_where_there_is_none_the_connection_closes() {
    let raw = Raw::start();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hello = hello("a.example");
    let both = service("web", &[gone, raw.address]) + &ingress("web", "a.example", "/", "web", PASS);
    let bed = passing(&both);
    for _ in 0..8 {
        let _client = greeted(bed.https, &hello);
        assert_eq!(heard(&mut raw.next(), hello.len()), hello);
    }
    assert_eq!(bed.standing(raw.address).0, "ready");
    let refused = |bed: &Bed, reason: &str| {
        assert!(is_over(&mut greeted(bed.https, &hello)), "{reason}");
        until(reason, || bed.metric(&format!("fairlead_failures_total{{reason=\"{reason}\"}}")) == 1);
        assert_eq!(bed.metric("fairlead_passthrough_connections_total{result=\"refused\"}"), 1);
    };
    refused(&passing(&one(gone, PASS)), "upstream_refused");
    refused(&passing(&(service("web", &[]) + &ingress("web", "a.example", "/", "web", PASS))), "no_endpoints");
    refused(&passing(&ingress("web", "a.example", "/", "web", PASS)), "no_endpoints");
    let broken = format!("{PASS}, nginx.ingress.kubernetes.io/whitelist-source-range: office");
    let bed = passing(&one(raw.address, &broken));
    refused(&bed, "denied");
    assert_eq!(bed.reasons("web", "nginx.ingress.kubernetes.io/ssl-passthrough"), ["AnnotationIgnored"]);
}

#[test]
fn a_first_message_may_come_in_any_pieces() {
    let raw = Raw::start();
    let bed = passing(&one(raw.address, PASS));
    let hello = hello("a.example");
    let mut socket = greeted(bed.https, &[]);
    socket.set_nodelay(true).unwrap();
    for octet in &hello {
        socket.write_all(&[*octet]).unwrap();
    }
    assert_eq!(heard(&mut raw.next(), hello.len()), hello);
    // The same message in records of their own (RFC 8446 5.1), and bytes after it that nobody here understands.
    let mut records: Vec<u8> = Vec::new();
    for piece in hello[5..].chunks(7) {
        records.extend_from_slice(&[22, 3, 1, 0, piece.len() as u8]);
        records.extend_from_slice(piece);
    }
    records.extend_from_slice(b"\x17\x03\x03\x00\x03abc");
    let _client = greeted(bed.https, &records);
    assert_eq!(heard(&mut raw.next(), records.len()), records);
}

#[test]
fn what_is_no_first_message_ends_within_its_time_and_its_bounds() {
    let raw = Raw::start();
    let limits = Limits { tls_handshake_time: Duration::from_millis(200), ..Limits::default() };
    let text = one(raw.address, PASS);
    let bed = Bed::told(&text, limits, 1, None, |options| options.ssl_passthrough = true);
    let long = {
        // Padding (RFC 7685) to more than is kept.
        let mut hello = hello("a.example");
        let padding: usize = 17 << 10;
        let extensions = extensions_at(&hello);
        let length = usize::from(u16::from_be_bytes([hello[extensions], hello[extensions + 1]]));
        hello.extend_from_slice(&[0, 21]);
        hello.extend_from_slice(&(padding as u16).to_be_bytes());
        hello.resize(hello.len() + padding, 0);
        hello[extensions..extensions + 2].copy_from_slice(&((length + padding + 4) as u16).to_be_bytes());
        let body = hello.len() - 9;
        hello[6..9].copy_from_slice(&(body as u32).to_be_bytes()[1..]);
        let mut records = Vec::new();
        for piece in hello[5..].chunks(16 << 10) {
            records.extend_from_slice(&[22, 3, 1]);
            records.extend_from_slice(&(piece.len() as u16).to_be_bytes());
            records.extend_from_slice(piece);
        }
        records
    };
    for said in [&b""[..], b"\x16\x03\x01\x00", b"\x17ET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x02\x01\x00", &long] {
        let mut socket = greeted(bed.https, said);
        let mut answer = Vec::new();
        let _reset = socket.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer[0] == 21, "an alert at most: {answer:?}");
    }
    let mut socket = greeted(bed.https, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(raw.accepted.try_recv().is_err(), "nobody is asked for");
    assert!(bed.metric("fairlead_limit_hits_total{limit=\"tls-handshake-time\"}") >= 2);
    let hello = hello("a.example");
    let _client = greeted(bed.https, &hello);
    assert_eq!(heard(&mut raw.next(), hello.len()), hello, "the next one is served");
}

/// Where the length of the extensions stands in a first message of one record.
fn extensions_at(hello: &[u8]) -> usize {
    // Record, message, version, random.
    let session = 5 + 4 + 2 + 32;
    let suites = session + 1 + usize::from(hello[session]);
    let compressions = suites + 2 + usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
    compressions + 1 + usize::from(hello[compressions])
}

#[test]
fn a_side_may_end_before_the_other_and_the_end_of_both_is_the_end() {
    let raw = Raw::start();
    let bed = passing(&one(raw.address, PASS));
    let hello = hello("a.example");
    let mut socket = greeted(bed.https, &hello);
    let mut backend = raw.next();
    heard(&mut backend, hello.len());
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(is_over(&mut backend));
    backend.write_all(b"more").unwrap();
    assert_eq!(heard(&mut socket, 4), b"more");
    backend.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(is_over(&mut socket));
    until("it is over here too", || bed.metric("fairlead_passthrough_connections_total{result=\"passed\"}") == 1);
}

#[test]
fn a_silent_connection_ends_when_tunnels_do_and_times_of_requests_are_not_its() {
    let raw = Raw::start();
    let idle = format!("{PASS}, fairlead.dev/tunnel-idle-timeout: 100ms");
    let bed = passing(&one(raw.address, &idle));
    let hello = hello("a.example");
    assert!(is_over(&mut greeted(bed.https, &hello)));
    assert_eq!(bed.metric("fairlead_limit_hits_total{limit=\"tunnel-idle\"}"), 1);
    let read = format!(
        "{PASS}, nginx.ingress.kubernetes.io/proxy-read-timeout: '1', {}",
        "nginx.ingress.kubernetes.io/proxy-send-timeout: '1'"
    );
    let bed = passing(&one(raw.address, &read));
    raw.next();
    let mut socket = greeted(bed.https, &hello);
    let mut backend = raw.next();
    thread::sleep(Duration::from_millis(1300));
    backend.write_all(b"late").unwrap();
    assert_eq!(heard(&mut socket, 4), b"late");
}

#[test]
fn connections_outlive_their_endpoint_their_route_and_the_listener() {
    let (raw, other) = (Raw::start(), Raw::start());
    let mut bed = passing(&one(raw.address, PASS));
    let hello = hello("a.example");
    let mut socket = greeted(bed.https, &hello);
    let mut backend = raw.next();
    heard(&mut backend, hello.len());
    let mut speak = |what: &[u8]| {
        socket.write_all(what).unwrap();
        assert_eq!(heard(&mut backend, what.len()), what);
        backend.write_all(what).unwrap();
        assert_eq!(heard(&mut socket, what.len()), what);
    };
    bed.apply(&one(other.address, PASS));
    speak(b"without the endpoint");
    let moved = greeted(bed.https, &hello);
    assert_eq!(heard(&mut other.next(), hello.len()), hello, "a new one goes elsewhere");
    bed.apply("");
    speak(b"without the route");
    bed.workers().enter(fairlead::proxy::Phase::Closing);
    until("nobody listens", || TcpStream::connect(bed.https).is_err());
    speak(b"without the listener");
    drop((moved, socket, backend));
    assert!(bed.drain(Duration::from_secs(10)), "it ended by itself");
}

#[test]
fn explain_and_the_list_of_routes_say_where_it_goes() {
    let raw = Raw::start();
    let more = ingress("more", "a.example", "/more", "web", "") + &ingress("none", "b.example", "/", "none", PASS);
    let bed = passing(&(one(raw.address, PASS) + &more + &service("none", &[])));
    let listeners =
        [Listener { name: "http", port: bed.http.port() }, Listener { name: "https", port: bed.https.port() }];
    let told = |url: &str| {
        let request = Request::new("TRACE", url).unwrap();
        let told = explain(&bed.table(), &listeners, &request);
        (told.text(&request), told)
    };
    let (text, story) = told("https://a.example/more");
    assert_eq!((story.status, story.answer), (200, Answer::Routed));
    assert_eq!(story.route.unwrap().filters, ["ssl-passthrough"]);
    assert!(
        text.starts_with("TRACE https://a.example/more → 200 default/web:http (ingress default/web, ^ /)\n"),
        "{text}"
    );
    for line in [
        "host      TLS is passed on unopened (ssl-passthrough), so no path and nothing that is set for requests counts",
        "backend   default/web:http, the bytes as they come, least_conn",
        &format!("endpoint  {}", raw.address),
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let (text, story) = told("https://b.example/");
    assert_eq!((story.status, story.answer), (0, Answer::Refused), "{text}");
    assert!(text.contains("endpoint  the connection closes"), "{text}");
    assert_eq!(told("http://a.example/").1.status, 405, "in clear text it is a request");
}

#[test]
fn a_change_of_the_table_acts_on_the_connections_that_come_next() {
    let root = Authority::root("root");
    let echo = TlsEcho::start(&root.server("inner.example"), None, &[&TLS13]);
    let text = |annotations| one(echo.address, annotations);
    let mut bed = passing(&text(""));
    for (annotations, is_passed) in [(PASS, true), ("", false), (PASS, true)] {
        bed.apply(&text(annotations));
        assert_eq!(shown(bed.https, "a.example").contains("inner.example"), is_passed);
    }
}

/// An access log, and what will have been written to it.
fn read_log() -> (Arc<AccessLog>, JoinHandle<std::io::Result<String>>) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    (AccessLog::start(writer, LogFormat::Json, Arc::default()).unwrap(), reading)
}

#[test]
fn each_connection_is_one_line_that_names_the_client_of_a_proxy_before_us() {
    let raw = Raw::start();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (log, reading) = read_log();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: global}\ndata: {use-proxy-protocol: 'true'}\n---\n";
    let quiet = format!("{PASS}, nginx.ingress.kubernetes.io/enable-access-log: 'false'");
    let text = one(raw.address, PASS)
        + &service("gone", &[gone])
        + &ingress("gone", "b.example", "/", "gone", PASS)
        + &ingress("quiet", "c.example", "/", "web", &quiet)
        + map;
    let bed = Bed::told(&text, Limits::default(), 1, Some(Arc::clone(&log)), |options| options.ssl_passthrough = true);
    let proxied = |name: &str| [b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n", &*hello(name)].concat();
    for name in ["a.example", "c.example"] {
        let mut socket = greeted(bed.https, &proxied(name));
        let mut backend = raw.next();
        heard(&mut backend, hello(name).len());
        backend.write_all(b"hello").unwrap();
        drop(backend);
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"hello");
    }
    assert!(is_over(&mut greeted(bed.https, &proxied("b.example"))));
    drop(bed);
    assert!(log.settle(Duration::from_secs(10)));
    drop(log);
    let text = reading.join().unwrap().unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    let (passed, refused) = (&lines[0], &lines[1]);
    for (key, value) in [("client", "192.0.2.7"), ("scheme", "https"), ("host", "a.example"), ("sni", "a.example")] {
        assert_eq!(passed[key], value, "{text}");
    }
    assert_eq!((&passed["status"], &passed["bytes_out"]), (&200.into(), &5.into()), "{text}");
    assert_eq!(passed["bytes_in"], hello("a.example").len(), "{text}");
    assert_eq!(
        (&passed["ingress"], &passed["service"], &passed["port"]),
        (&"web".into(), &"web".into(), &"http".into())
    );
    assert_eq!(passed["upstream"], raw.address.to_string());
    assert!(passed.get("method").is_none() && passed.get("protocol").is_none(), "{text}");
    assert_eq!((&refused["status"], &refused["reason"]), (&502.into(), &"upstream_refused".into()), "{text}");
    assert_eq!(refused["attempts"], 3);
}

#[test]
fn a_client_stays_where_its_address_leads() {
    let raws: Vec<_> = (0..4).map(|_| Raw::start()).collect();
    let addresses: Vec<_> = raws.iter().map(|raw| raw.address).collect();
    let hello = hello("a.example");
    for by in ["fairlead.dev/load-balance: ip_hash", "nginx.ingress.kubernetes.io/upstream-hash-by: $request_uri"] {
        let bed =
            passing(&(service("web", &addresses) + &ingress("web", "a.example", "/", "web", &format!("{PASS}, {by}"))));
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        // One after the other: an endpoint that has more than its share would not get all of them.
        for count in 1..=8 {
            drop(greeted(bed.https, &hello));
            until("it came", || {
                let came = raws.iter().enumerate().filter(|(_, raw)| raw.accepted.try_recv().is_ok());
                let came: Vec<_> = came.map(|(at, _)| at).collect();
                chosen.extend(&came);
                !came.is_empty()
            });
            until("it is over", || bed.metric("fairlead_passthrough_connections_total{result=\"passed\"}") == count);
        }
        assert_eq!(chosen.len(), 1, "{by}");
    }
}
