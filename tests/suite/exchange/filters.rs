//! What annotations do to requests: redirects, cross-origin requests, addresses, limits, passwords.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::plain::talk;
use crate::bed::{Bed, ingress, service};

/// A back end that answers every request with 200, and keeps the heads.
pub struct Echo {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Echo {
    /// Answers with these further field lines.
    pub fn start(lines: &'static str) -> Echo {
        Echo::answering("200 OK", lines, "fine")
    }

    /// Answers with this status and body.
    pub fn answering(status: &'static str, lines: &'static str, body: &'static str) -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let (kept, over, count) = (Arc::clone(&heads), Arc::clone(&is_over), Arc::clone(&connections));
        thread::spawn(move || {
            for socket in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let (mut socket, kept) = (socket.unwrap(), Arc::clone(&kept));
                thread::spawn(move || serve(&mut socket, &kept, status, lines, body));
            }
        });
        Echo { address, heads, connections, is_over }
    }

    /// Connections accepted since the last time.
    pub fn connections(&self) -> usize {
        self.connections.swap(0, Ordering::Relaxed)
    }

    /// The heads received since the last time.
    pub fn heads(&self) -> Vec<String> {
        std::mem::take(&mut self.heads.lock().unwrap())
    }

    /// Whether one of them has this text; none is taken away.
    pub fn has_head_with(&self, text: &str) -> bool {
        self.heads.lock().unwrap().iter().any(|head| head.contains(text))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(socket: &mut TcpStream, heads: &Mutex<Vec<String>>, status: &str, lines: &str, body: &str) {
    let (mut received, mut piece) = (Vec::new(), [0; 4096]);
    // What is still to come of a body of known length.
    let mut rest = 0;
    loop {
        rest -= received.drain(..received.len().min(rest)).len();
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(received.drain(..end + 4).collect()).unwrap();
            rest = field(&head, "Content-Length").map_or(0, |length| length.parse().unwrap());
            heads.lock().unwrap().push(head);
            let answer = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len());
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        match socket.read(&mut piece) {
            Ok(count) if count > 0 => received.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
}

/// The answer to one request on a connection of its own.
pub fn ask(bed: &Bed, request_line: &str, lines: &str) -> String {
    ask_at(bed.http, request_line, lines)
}

/// The same at an address.
pub fn ask_at(address: SocketAddr, request_line: &str, lines: &str) -> String {
    talk(address, &format!("{request_line} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n"))
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default()
}

/// The value of a field of an answer or request.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    head.split("\r\n").skip(1).find_map(|line| {
        let (own, value) = line.split_once(": ")?;
        own.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// One Ingress for a.example with these annotations, and further objects.
pub fn serving(echo: &Echo, annotations: &str, more: &str) -> Bed {
    Bed::start(&(service("web", &[echo.address]) + &ingress("web", "a.example", "/", "web", annotations) + more))
}

/// Annotations under ingress-nginx's prefix.
pub fn nginx(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("nginx.ingress.kubernetes.io/{name}: '{value}'");
    pairs.iter().map(pair).collect::<Vec<_>>().join(", ")
}

#[test]
fn every_request_is_redirected_where_the_annotation_says() {
    let echo = Echo::start("");
    for (annotations, code, location) in [
        (&[("permanent-redirect", "https://b.example/new")][..], 301, "https://b.example/new"),
        (&[("permanent-redirect", "/new"), ("permanent-redirect-code", "308")], 308, "http://a.example/new"),
        (&[("permanent-redirect", "/new"), ("relative-redirects", "true")], 301, "/new"),
        (&[("permanent-redirect", "/new"), ("permanent-redirect-code", "309")], 301, "http://a.example/new"),
        (&[("temporal-redirect", "http://c.example"), ("permanent-redirect", "/new")], 302, "http://c.example"),
        (&[("temporal-redirect", "http://c.example"), ("temporal-redirect-code", "307")], 307, "http://c.example"),
        (&[("temporal-redirect", "http://c.example"), ("force-ssl-redirect", "true")], 302, "http://c.example"),
    ] {
        let bed = serving(&echo, &nginx(annotations), "");
        let answer = ask(&bed, "GET /old?x=1", "");
        assert_eq!((status(&answer), field(&answer, "Location")), (code, Some(location)), "{annotations:?}");
        assert!(echo.heads().is_empty());
    }
    let bed = serving(&echo, &nginx(&[("permanent-redirect", "javascript:alert(1)")]), "");
    assert_eq!(status(&ask(&bed, "GET /", "")), 200, "a bad target is none");
}

#[test]
fn the_redirect_to_https_keeps_or_cuts_a_slash() {
    let echo = Echo::start("");
    for (annotations, has_port, path) in [
        (&[("force-ssl-redirect", "true")][..], true, "/x"),
        (&[("force-ssl-redirect", "true"), ("preserve-trailing-slash", "true")], true, "/x/"),
        (&[("force-ssl-redirect", "true"), ("use-port-in-redirects", "false")], false, "/x"),
        (&[("force-ssl-redirect", "true"), ("use-port-in-redirects", "true")], true, "/x"),
    ] {
        let bed = serving(&echo, &nginx(annotations), "");
        let answer = ask(&bed, "GET /x/", "");
        let port = if has_port { format!(":{}", bed.https.port()) } else { String::new() };
        let location = format!("https://a.example{port}{path}");
        assert_eq!((status(&answer), field(&answer, "Location")), (308, Some(&*location)), "{annotations:?}");
    }
}

#[test]
fn pages_of_other_origins_are_told_what_they_may_read() {
    let echo = Echo::start("Access-Control-Allow-Origin: https://of.the.backend\r\n");
    let cors = [("enable-cors", "true"), ("cors-allow-origin", "https://b.example, https://*.c.example:8443")];
    let bed = serving(&echo, &nginx(&cors), "");
    let allowed = "Access-Control-Allow-Origin";
    let answer = ask(&bed, "GET /", "Origin: https://b.example\r\n");
    assert_eq!((status(&answer), field(&answer, allowed)), (200, Some("https://b.example")));
    assert_eq!(field(&answer, "Vary"), Some("Origin"));
    assert_eq!(field(&answer, "Access-Control-Allow-Credentials"), Some("true"));
    let preflight = ask(&bed, "OPTIONS /", "Origin: https://x.c.example:8443\r\n");
    assert_eq!((status(&preflight), field(&preflight, allowed)), (204, Some("https://x.c.example:8443")));
    assert_eq!(field(&preflight, "Access-Control-Max-Age"), Some("1728000"));
    assert_eq!(echo.heads().len(), 1, "a preflight is answered by the proxy");
    for origin in ["https://evil.example", "https://x.y.c.example:8443", "https://b.example.evil"] {
        let answer = ask(&bed, "OPTIONS /", &format!("Origin: {origin}\r\n"));
        assert_eq!(status(&answer), 200, "{origin}: the back end answers");
        assert_eq!(field(&answer, allowed), Some("https://of.the.backend"));
        assert_eq!(field(&answer, "Access-Control-Allow-Methods"), None);
    }
    let bed = serving(&echo, &nginx(&[("enable-cors", "true"), ("cors-allow-credentials", "false")]), "");
    let answer = ask(&bed, "GET /", "");
    assert_eq!((field(&answer, allowed), field(&answer, "Vary")), (Some("*"), None));
    assert_eq!(field(&answer, "Access-Control-Allow-Credentials"), None);
    let bed = serving(&echo, &nginx(&[("enable-cors", "true"), ("cors-allow-origin", "b.example")]), "");
    let answer = ask(&bed, "GET /", "Origin: https://b.example\r\n");
    assert_eq!(field(&answer, allowed), Some("https://of.the.backend"), "what is no origin is not all of them");
}

#[test]
fn clients_of_other_addresses_are_refused() {
    let echo = Echo::start("");
    for (annotations, expected) in [
        (&[("whitelist-source-range", "10.0.0.0/8")][..], 403),
        (&[("whitelist-source-range", "10.0.0.0/8, 127.0.0.0/8")], 200),
        (&[("allowlist-source-range", "127.0.0.1"), ("whitelist-source-range", "10.0.0.0/8")], 200),
        (&[("denylist-source-range", "127.0.0.1")], 403),
        (&[("denylist-source-range", "127.0.0.1"), ("allowlist-source-range", "127.0.0.0/8")], 403),
        (&[("denylist-source-range", "::1")], 200),
        (&[("limit-rps", "1000"), ("limit-whitelist", "10.0.0.0/8")], 200),
        (&[("allowlist-source-range", "127.0.0.1, 10.0.0.0/33")], 503),
        (&[("denylist-source-range", "everybody")], 503),
    ] {
        let bed = serving(&echo, &nginx(annotations), "");
        let answer = ask(&bed, "GET /", "");
        assert_eq!(status(&answer), expected, "{annotations:?}");
        assert_eq!(echo.heads().len(), usize::from(expected == 200));
    }
}

#[test]
fn our_word_goes_before_the_other_name_under_the_other_prefix() {
    let echo = Echo::start("");
    let annotations = "fairlead.dev/whitelist-source-range: '10.0.0.0/8', \
                       nginx.ingress.kubernetes.io/allowlist-source-range: '0.0.0.0/0'";
    assert_eq!(status(&ask(&serving(&echo, annotations, ""), "GET /", "")), 403);
}

#[test]
fn a_client_gets_exactly_its_burst_from_two_workers_and_is_told_when_to_come_back() {
    let echo = Echo::start("");
    let bed = serving(&echo, &nginx(&[("limit-rpm", "10"), ("limit-burst-multiplier", "3")]), "");
    let address = bed.http;
    let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let answer = ask_at(address, "GET /", "");
                    match status(&answer) {
                        200 => passed.fetch_add(1, Ordering::Relaxed),
                        503 => {
                            let wait: u64 = field(&answer, "Retry-After").unwrap().parse().unwrap();
                            assert!((1..=6).contains(&wait), "{answer}");
                            assert!(field(&answer, "RateLimit").unwrap().starts_with("\"ingress\";r=0;t="));
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        _ => panic!("{answer}"),
                    };
                }
            });
        }
    });
    assert_eq!((passed.into_inner(), refused.into_inner()), (31, 49), "30 at once beside the one that is due");
}

#[test]
fn addresses_without_limits_pass_and_bad_limits_close_the_path() {
    let echo = Echo::start("");
    let bed = serving(&echo, &nginx(&[("limit-rpm", "1"), ("limit-whitelist", "127.0.0.0/8")]), "");
    assert!((0..20).all(|_| status(&ask(&bed, "GET /", "")) == 200));
    for annotations in [&[("limit-rps", "many")][..], &[("limit-rps", "1"), ("limit-whitelist", "x")]] {
        let bed = serving(&echo, &nginx(annotations), "");
        assert_eq!(status(&ask(&bed, "GET /", "")), 503, "{annotations:?}");
    }
}

#[test]
fn a_limit_can_be_for_each_value_of_a_header_or_for_all() {
    let echo = Echo::start("");
    let by = |by: &str| {
        format!("fairlead.dev/limit-rpm: '1', fairlead.dev/limit-burst-multiplier: '1', fairlead.dev/limit-by: '{by}'")
    };
    let counts = |bed: &Bed| {
        let count = |user| (0..5).filter(|_| status(&ask(bed, "GET /", &format!("X-User: {user}\r\n"))) == 200).count();
        (count("ann"), count("bob"))
    };
    assert_eq!(counts(&serving(&echo, &by("$http_x_user"), "")), (2, 2));
    assert_eq!(counts(&serving(&echo, &by("route"), "")), (2, 0));
    assert_eq!(counts(&serving(&echo, &by("client"), "")), (2, 0));
}

#[test]
fn requests_under_way_are_limited_until_they_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let echo = Echo {
        address: listener.local_addr().unwrap(),
        heads: Arc::default(),
        connections: Arc::default(),
        is_over: Arc::default(),
    };
    let bed = serving(&echo, &nginx(&[("limit-connections", "2")]), "");
    let begin = || {
        let mut client = TcpStream::connect(bed.http).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (client, listener.accept().unwrap().0)
    };
    let (first, second) = (begin(), begin());
    let answer = ask(&bed, "GET /", "");
    assert_eq!((status(&answer), field(&answer, "Retry-After")), (503, Some("1")));
    let (mut client, mut backend) = first;
    backend.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 204");
    let third = begin();
    drop((second, third));
}

#[test]
fn fastcgi_is_not_spoken_yet_and_http_is_in_its_place() {
    let echo = Echo::start("");
    let pairs = [("backend-protocol", "FCGI"), ("fastcgi-index", "index.php"), ("fastcgi-params-configmap", "params")];
    let bed = serving(&echo, &nginx(&pairs), "");
    assert_eq!(status(&ask(&bed, "GET /index.php", "")), 200);
    assert!(echo.heads().remove(0).starts_with("GET /index.php HTTP/1.1\r\nHost: a.example\r\n"));
    // What speaks nothing but FastCGI ends the connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    let manifests = service("web", &[address]) + &ingress("web", "a.example", "/", "web", &nginx(&pairs));
    assert_eq!(status(&ask(&Bed::start(&manifests), "GET /index.php", "")), 502);
}

/// A ConfigMap for `--configmap`.
fn config(keys: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: global}}\ndata: {{{keys}}}\n---\n")
}

#[test]
fn over_a_limit_the_config_map_says_the_status() {
    let echo = Echo::start("");
    let rate = nginx(&[("limit-rpm", "1"), ("limit-burst-multiplier", "1")]);
    for (keys, expected, problems) in [
        ("limit-req-status-code: '429'", 429, 0),
        ("limit-conn-status-code: '429'", 503, 0),
        ("limit-req-status-code: '600'", 503, 1),
        ("limit-req-status-code: busy", 503, 1),
    ] {
        let bed = serving(&echo, &rate, &config(keys));
        let seen: Vec<u16> = (0..3).map(|_| status(&ask(&bed, "GET /", ""))).collect();
        assert_eq!((seen, bed.problems("ConfigKeyInvalid")), (vec![200, 200, expected], problems), "{keys}");
    }
    for (keys, expected) in [("limit-conn-status-code: '429'", 429), ("limit-req-status-code: '429'", 503)] {
        // Each its own: what is tried again when the first ends must not be taken for the request of the second.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = service("web", &[listener.local_addr().unwrap()]);
        let one = ingress("web", "a.example", "/", "web", &nginx(&[("limit-connections", "1")]));
        let bed = Bed::start(&(web + &one + &config(keys)));
        let mut first = TcpStream::connect(bed.http).unwrap();
        first.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        let _under_way = listener.accept().unwrap();
        assert_eq!(status(&ask(&bed, "GET /", "")), expected, "{keys}");
    }
}

#[test]
fn nobody_logs_in_where_the_config_map_says_so() {
    let echo = Echo::start("");
    let file = secret("users", &[("auth", "ann:{PLAIN}secret")]);
    let auth = nginx(&[("auth-type", "basic"), ("auth-secret", "users")]);
    let acme = ingress("acme", "a.example", "/.well-known/acme-challenge/", "web", &auth);
    let open = ingress("open", "a.example", "/open/x", "web", &auth);
    for (keys, expected) in [
        ("server-tokens: 'false'", [401, 200, 401]),
        ("no-auth-locations: '/open,/other'", [401, 401, 200]),
        ("no-auth-locations: 'open'", [401, 200, 401]),
    ] {
        let bed = serving(&echo, &auth, &(file.clone() + &acme + &open + &config(keys)));
        let paths = ["/", "/.well-known/acme-challenge/x", "/open/x"];
        assert_eq!(paths.map(|path| status(&ask(&bed, &format!("GET {path}"), ""))), expected, "{keys}");
    }
}

#[test]
fn objects_of_other_namespaces_count_where_the_config_map_says_so() {
    let echo = Echo::start("");
    let other = |object: String| object.replace("metadata: {", "metadata: {namespace: other, ");
    let users = other(secret("users", &[("auth", "ann:{PLAIN}secret")]));
    let fields = other(config("X-Frame-Options: DENY")).replace("global", "fields");
    let auth = nginx(&[("auth-type", "basic"), ("auth-secret", "other/users")]);
    let headers = nginx(&[("custom-headers", "other/fields")]);
    for (keys, expected) in [
        ("allow-cross-namespace-resources: 'true'", [200, 200]),
        // As in ingress-nginx, fields may be named wherever they are.
        ("allow-cross-namespace-resources: 'false'", [503, 200]),
        ("allow-cross-namespace-resources: 'yes'", [503, 200]),
    ] {
        let keys = &format!("{keys}, global-allowed-response-headers: X-Frame-Options");
        let more = [&users, &fields, &config(keys)].map(String::as_str).concat();
        let page = ingress("page", "a.example", "/page", "web", &headers);
        let bed = serving(&echo, &auth, &(more + &page));
        assert_eq!([status(&ask(&bed, "GET /", ANN)), status(&ask(&bed, "GET /page", ""))], expected, "{keys}");
        assert_eq!(status(&ask(&bed, "GET /", "")), if expected[0] == 200 { 401 } else { 503 }, "{keys}");
    }
}

/// A Secret with these keys.
fn secret(name: &str, keys: &[(&str, &str)]) -> String {
    let data: Vec<String> = keys.iter().map(|(key, value)| format!("{key}: \"{value}\"")).collect();
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{{}}}\n---\n", data.join(", "))
}

const ANN: &str = "Authorization: Basic YW5uOnNlY3JldA==\r\n";

#[test]
fn only_who_has_a_password_comes_in_and_the_back_end_does_not_see_it() {
    let echo = Echo::start("");
    let file = secret("users", &[("auth", "eve:junk\\nann:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\\n")]);
    let auth = [("auth-type", "basic"), ("auth-secret", "users"), ("auth-realm", "The shop")];
    let bed = serving(&echo, &nginx(&auth), &file);
    let answer = ask(&bed, "GET /", "");
    assert_eq!((status(&answer), field(&answer, "WWW-Authenticate")), (401, Some("Basic realm=\"The shop\"")));
    assert!(answer.contains("401 Authorization Required"));
    for wrong in ["YW5uOndyb25n", "ZXZlOmp1bms=", "bm9ib2R5OnNlY3JldA==", "%%%", "YW5u", ""] {
        let answer = ask(&bed, "GET /", &format!("Authorization: Basic {wrong}\r\n"));
        assert_eq!(status(&answer), 401, "{wrong}");
    }
    assert!(echo.heads().is_empty());
    for _ in 0..3 {
        assert_eq!(status(&ask(&bed, "GET /", ANN)), 200);
    }
    assert!(echo.heads().iter().all(|head| field(head, "Authorization").is_none()));
    let map = secret("users", &[("ann", "{PLAIN}secret")]);
    let bed = serving(&echo, &nginx(&[auth[0], auth[1], ("auth-secret-type", "auth-map")]), &map);
    assert_eq!(status(&ask(&bed, "GET /", ANN)), 200);
    assert_eq!(field(&ask(&bed, "GET /", ""), "WWW-Authenticate"), Some("Basic realm=\"\""));
}

#[test]
fn without_the_passwords_that_it_asks_for_a_path_is_closed() {
    let echo = Echo::start("");
    let file = secret("users", &[("auth", "ann:{PLAIN}secret")]);
    for (annotations, more) in [
        (&[("auth-type", "basic")][..], &*file),
        (&[("auth-type", "basic"), ("auth-secret", "missing")], &file),
        (&[("auth-type", "basic"), ("auth-secret", "other/users")], &file),
        (&[("auth-type", "digest"), ("auth-secret", "users")], &file),
        (&[("auth-type", "Xbasic"), ("auth-secret", "users")], &file),
        (&[("auth-type", "basic"), ("auth-secret", "users"), ("auth-secret-type", "auth-map2")], &file),
        (&[("auth-type", "basic"), ("auth-secret", "users"), ("auth-realm", "off")], &file),
        (&[("auth-type", "basic"), ("auth-secret", "users")], &secret("users", &[("passwords", "ann:x")])),
        (&[("auth-type", "basic"), ("auth-secret", "users")], &secret("users", &[("auth", "")])),
    ] {
        let bed = serving(&echo, &nginx(annotations), more);
        assert_eq!(status(&ask(&bed, "GET /", ANN)), 503, "{annotations:?}");
        assert!(echo.heads().is_empty());
    }
}

#[test]
fn any_rule_is_enough_where_any_is_to_be_satisfied() {
    let echo = Echo::start("");
    let file = secret("users", &[("auth", "ann:{PLAIN}secret")]);
    let auth = [("auth-type", "basic"), ("auth-secret", "users")];
    for (satisfy, range, with_password, without) in [
        ("any", "127.0.0.0/8", 200, 200),
        ("any", "10.0.0.0/8", 200, 401),
        ("all", "127.0.0.0/8", 200, 401),
        ("all", "10.0.0.0/8", 403, 403),
        ("some", "127.0.0.0/8", 503, 503),
    ] {
        let more = [("satisfy", satisfy), ("allowlist-source-range", range)];
        let bed = serving(&echo, &nginx(&[&auth[..], &more].concat()), &file);
        let seen = (status(&ask(&bed, "GET /", ANN)), status(&ask(&bed, "GET /", "")));
        assert_eq!(seen, (with_password, without), "satisfy {satisfy} {range}");
    }
}
