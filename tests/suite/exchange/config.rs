//! What the ConfigMap of `--configmap` sets for all hosts, over the wire.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::version::{TLS12, TLS13};

use super::filters::{Echo, ask, field, nginx, serving, status};
use super::plain::{answer_once, talk};
use crate::bed::{Bed, ingress, service};
use crate::clients::{group_of, shake};
use crate::origin::Origin;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: apache\r\nX-Powered-By: php\r\nX-Set: theirs\r\n\r\n";

/// The ConfigMap of the bed, with `data` as YAML flow text.
pub(super) fn global(data: &str) -> String {
    map("global", data)
}

pub(super) fn map(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{data}}}\n---\n")
}

pub(super) fn web(address: SocketAddr) -> String {
    service("web", &[address]) + &ingress("web", "a.example", "/", "web", "")
}

/// What the back end receives for a request with these lines, and what the client gets.
fn exchange(config: &str, lines: &str) -> (String, String) {
    let (address, backend) = answer_once(ANSWER, 0);
    let bed = Bed::start(&(web(address) + config));
    let answer = talk(bed.http, &format!("GET /x?y HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n"));
    (backend.join().unwrap(), answer)
}

const TOLD: &str = "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.2\r\nX-Forwarded-Proto: https\r\n\
                    X-Forwarded-Host: public.example:8443\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Prefix: /app\r\n";

#[test]
fn a_proxy_that_is_trusted_is_believed_and_the_client_is_the_right_most_stranger() {
    let config = "use-forwarded-headers: 'true', proxy-real-ip-cidr: '127.0.0.0/8,10.0.0.0/8'";
    let (received, _) = exchange(&global(config), TOLD);
    for line in [
        "Host: public.example:8443",
        "X-Real-IP: 203.0.113.9",
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Host: public.example:8443",
        "X-Forwarded-Port: 8443",
        "X-Forwarded-Proto: https",
        "X-Scheme: https",
        "X-Forwarded-Prefix: /app",
        "X-Original-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.2",
    ] {
        assert!(received.contains(&format!("\r\n{line}\r\n")), "{line}: {received}");
    }
    let (received, _) = exchange(&global(&format!("{config}, compute-full-forwarded-for: 'true'")), TOLD);
    let list = "\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9, 127.0.0.2, 127.0.0.1\r\n";
    assert!(received.contains(list) && received.contains("\r\nX-Real-IP: 203.0.113.9\r\n"), "{received}");
}

#[test]
fn who_is_not_trusted_is_not_believed_and_an_address_alone_is_no_scheme() {
    for config in ["use-forwarded-headers: 'true', proxy-real-ip-cidr: 10.0.0.0/8", "use-forwarded-headers: 'false'"] {
        let (received, _) = exchange(&global(config), TOLD);
        for line in ["Host: a.example", "X-Real-IP: 127.0.0.1", "X-Forwarded-For: 127.0.0.1", "X-Scheme: http"] {
            assert!(received.contains(&format!("\r\n{line}\r\n")), "{config} {line}: {received}");
        }
        assert!(!received.contains("X-Forwarded-Prefix"), "{config}: {received}");
    }
    let config = "enable-real-ip: 'true', proxy-real-ip-cidr: 127.0.0.0/8, forwarded-for-header: X-Client";
    let (received, _) = exchange(&global(config), &format!("{TOLD}X-Client: 198.51.100.4\r\n"));
    for line in ["X-Real-IP: 198.51.100.4", "X-Scheme: http", "Host: a.example"] {
        assert!(received.contains(&format!("\r\n{line}\r\n")), "{line}: {received}");
    }
}

#[test]
fn the_host_is_read_from_the_field_that_the_key_names() {
    let trusted = "use-forwarded-headers: 'true', proxy-real-ip-cidr: '127.0.0.0/8'";
    for (keys, host) in [
        (trusted.to_owned(), "b.example"),
        (format!("{trusted}, forwarded-host-header: X-Host"), "c.example"),
        (format!("{trusted}, forwarded-host-header: 'no name'"), "b.example"),
        ("forwarded-host-header: X-Host".to_owned(), "a.example"),
    ] {
        let (received, _) = exchange(&global(&keys), "X-Forwarded-Host: b.example\r\nX-Host: c.example\r\n");
        assert!(received.contains(&format!("\r\nHost: {host}\r\n")), "{keys}: {received}");
    }
}

#[test]
fn requests_of_any_method_are_tried_again_where_the_key_says_so() {
    for (keys, status) in [
        ("retry-non-idempotent: 'false'", "502"),
        ("retry-non-idempotent: 'true'", "200"),
        ("retry-non-idempotent: 'maybe'", "502"),
        ("retry-non-idempotent: 'true', proxy-next-upstream: 'off'", "502"),
    ] {
        // The first connection ends when its request is there, the second answers.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bed = Bed::start(&(web(listener.local_addr().unwrap()) + &global(keys)));
        let backend = std::thread::spawn(move || {
            for is_answered in [false, true] {
                let Ok((mut socket, _)) = listener.accept() else { return };
                let mut piece = [0; 4096];
                if socket.read(&mut piece).is_ok_and(|length| length > 0) && is_answered {
                    socket.write_all(ANSWER).unwrap();
                }
            }
        });
        let request = "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
        let answer = talk(bed.http, request);
        assert_eq!(answer.split(' ').nth(1), Some(status), "{keys}");
        drop(bed);
        if status == "200" {
            backend.join().unwrap();
        }
    }
}

#[test]
fn fields_are_set_hidden_and_passed_as_the_keys_say() {
    let config = global(
        "add-headers: default/added, proxy-set-headers: default/set, hide-headers: 'x-powered-by', server-tokens: 'true', \
         proxy-add-original-uri-header: 'true', generate-request-id: 'false', enable-underscores-in-headers: 'true'",
    ) + &map("added", "X-Set: ours, X-Frame-Options: DENY")
        + &map("set", "X-User: 'from $remote_addr', x-real-ip: none, X-Mine: ''");
    let (received, answer) = exchange(
        &config,
        "foo_bar: 1\r\nX_Real_IP: 6.6.6.6\r\nX-User: admin\r\nX_User: admin\r\nX-Mine: 1\r\nX_Mine: 1\r\n",
    );
    for line in ["X-User: from 127.0.0.1", "x-real-ip: none", "X-Original-URI: /x?y", "foo_bar: 1"] {
        assert!(received.contains(&format!("\r\n{line}\r\n")), "{line}: {received}");
    }
    for absent in ["X-Request-ID", "admin", "X-Mine", "X_Mine", "X_Real_IP", "X-Real-IP"] {
        assert!(!received.contains(absent), "{absent}: {received}");
    }
    for line in ["X-Set: ours", "X-Frame-Options: DENY", "Server: fairlead"] {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
    }
    assert!(!answer.contains("php") && !answer.contains("theirs") && !answer.contains("apache"), "{answer}");

    let (_, answer) = exchange(&global("allow-backend-server-header: 'true'"), "");
    assert!(answer.contains("\r\nServer: apache\r\n"), "{answer}");
    let both = global("allow-backend-server-header: 'true', server-tokens: 'true'");
    let (_, answer) = exchange(&both, "");
    assert!(answer.contains("\r\nServer: apache\r\n") && !answer.contains("fairlead"), "{answer}");
    let answer = talk(Bed::start(&both).http, "GET / HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("\r\nServer: fairlead\r\n"), "where no back end says what it is: {answer}");
    // Ours too.
    let bed = Bed::start(&(global("add-headers: default/added") + &map("added", "X-Set: ours")));
    let answer = talk(bed.http, "GET / HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("\r\nX-Set: ours\r\n"), "{answer}");
}

#[test]
fn the_name_of_a_user_ends_no_line() {
    let (web, auth) = (Echo::start(""), Echo::start(""));
    let url = format!("http://127.0.0.1:{}/", auth.address.port());
    let pairs = [("auth-url", &*url), ("auth-request-redirect", "/x?u=$remote_user")];
    let more = global("proxy-set-headers: default/set, add-headers: default/set")
        + &map("set", "X-Auth-User: 'of $remote_user', X-One: '$remote_user'");
    let bed = serving(&web, &nginx(&pairs), &more);
    // ann:x; a CR LF X-Admin: 1:x; a LF X-Admin: 1; a NUL b:
    for (basic, user) in
        [("YW5uOng=", "ann"), ("YQ0KWC1BZG1pbjogMTp4", ""), ("YQpYLUFkbWluOiAxOng=", ""), ("YQBiOg==", "")]
    {
        let answer = ask(&bed, "GET /", &format!("Authorization: Basic {basic}\r\n"));
        let (asked, served) = (auth.heads().remove(0), web.heads().remove(0));
        assert_eq!(status(&answer), 200, "{user}");
        for head in [&answer, &asked, &served] {
            assert!(!head.contains("X-Admin") && !head.contains('\0'), "{user}: {head}");
        }
        let said = Some(format!("of {user}"));
        assert_eq!(field(&served, "X-Auth-User").map(str::to_owned), said.map(|said| said.trim().to_owned()));
        assert_eq!(field(&served, "X-One"), Some(user).filter(|user| !user.is_empty()));
        assert_eq!(field(&asked, "X-Auth-Request-Redirect"), Some(&*format!("/x?u={user}")), "{asked}");
    }
}

#[test]
fn of_a_list_with_one_wrong_part_the_others_count() {
    let (web, errors) = (Echo::answering("404 None", "", ""), Echo::start(""));
    let pairs = [("custom-headers", "fields"), ("default-backend", "errors")];
    let keys = "custom-http-errors: '200, 404, demo', global-allowed-response-headers: 'X-Set, bad header!, X-B'";
    let more = service("errors", &[errors.address]) + &map("fields", "X-Set: ours, X-B: b") + &global(keys);
    let answer = ask(&serving(&web, &nginx(&pairs), &more), "GET /", "");
    assert_eq!((status(&answer), field(&answer, "X-B")), (200, Some("b")), "{answer}");
    assert_eq!(errors.heads().len(), 1);
}

#[test]
fn an_ingress_may_do_without_the_firewall_that_all_are_to_have() {
    let (address, backend) = answer_once(ANSWER, 0);
    let off = "nginx.ingress.kubernetes.io/enable-modsecurity: 'false'";
    let manifests = service("web", &[address])
        + &ingress("web", "a.example", "/", "web", "")
        + &ingress("crs", "b.example", "/", "web", "nginx.ingress.kubernetes.io/enable-owasp-core-rules: 'false'")
        + &ingress("without", "c.example", "/", "web", off)
        + &ingress("own", "e.example", "/", "web", &format!("fairlead.dev/enable-owasp-core-rules: 'true', {off}"))
        + &ingress(
            "id",
            "d.example",
            "/",
            "web",
            &format!("{off}, nginx.ingress.kubernetes.io/modsecurity-transaction-id: x"),
        )
        + &global("enable-modsecurity: 'true'");
    let bed = Bed::start(&manifests);
    for (host, status) in [("a", "503"), ("b", "503"), ("d", "503"), ("e", "503"), ("c", "200")] {
        let answer = talk(bed.http, &format!("GET / HTTP/1.1\r\nHost: {host}.example\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
    backend.join().unwrap();
}

#[test]
fn fields_of_answers_may_have_variables_of_the_request() {
    let values = "x-set: '$http_absent', X-A: '$namespace/$ingress_name', X-C: 'id $req_id', X-D: '$remote_addr at $host', x-powered-by: '$request_method'";
    let config = global("add-headers: default/added") + &map("added", values);
    let (_, answer) = exchange(&config, "X-Request-ID: rid\r\n");
    for line in ["X-A: default/web", "X-C: id rid", "X-D: 127.0.0.1 at a.example", "x-powered-by: GET"] {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
    }
    assert!(!answer.contains("php"), "{answer}");
    assert!(
        !answer.to_ascii_lowercase().contains("\r\nx-set:"),
        "a text that says nothing takes the field away: {answer}"
    );
    let bed = Bed::start(&config);
    let answer = talk(bed.http, "GET / HTTP/1.1\r\nHost: b.example\r\nX-Request-ID: rid\r\nConnection: close\r\n\r\n");
    for line in ["X-A: /", "X-C: id rid", "X-D: 127.0.0.1 at b.example"] {
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
    }
    // A request that cannot be read is answered with what is not about it.
    let unread = talk(bed.http, "GET /\r\n\r\n");
    assert!(unread.starts_with("HTTP/1.1 400 ") && !unread.contains("X-A:") && !unread.contains("X-C:"), "{unread}");
    let wrong = global("add-headers: default/added") + &map("added", "X-A: '$nobody', X-B: 'costs $5', X-C: plain");
    let (_, answer) = exchange(&wrong, "");
    assert!(answer.contains("\r\nX-C: plain\r\n") && !answer.contains("X-A") && !answer.contains("X-B"), "{answer}");
}

#[test]
fn the_variables_of_fields_for_back_ends_say_what_nginx_says() {
    let values = "X-A: '$namespace/$ingress_name', X-B: '$service_name:$service_port$location_path', X-C: '$req_id', \
                  X-D: '$proxy_add_x_forwarded_for', X-E: '$proxy_upstream_name', X-F: '${http_x_mine}-$best_http_host', \
                  X-G: '$the_real_ip', X-H: '$server_name'";
    let config = global("proxy-set-headers: default/set") + &map("set", values);
    let (received, _) = exchange(&config, "X-Request-ID: rid\r\nX-Forwarded-For: 6.6.6.6\r\nX-Mine: m\r\nX-A: eve\r\n");
    for line in [
        "X-A: default/web",
        "X-B: web:http/",
        "X-C: rid",
        "X-D: 6.6.6.6, 127.0.0.1",
        "X-E: default-web-http",
        "X-F: m-a.example",
        "X-G: 127.0.0.1",
        "X-H: a.example",
    ] {
        assert!(received.contains(&format!("\r\n{line}\r\n")), "{line}: {received}");
    }
    assert!(!received.contains("eve"), "{received}");
    let config = global("proxy-set-headers: default/set") + &map("set", "X-A: '$nobody', X-B: b");
    let (received, _) = exchange(&config, "");
    assert!(!received.contains("X-A") && received.contains("\r\nX-B: b\r\n"), "{received}");
}

#[test]
fn fields_for_back_ends_tell_of_the_moment_and_the_machine() {
    let values =
        "X-Request-Start: 't=${msec}', X-Time: $time_iso8601, X-Machine: '$hostname', X-Way: '$server_protocol'";
    let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let before = seconds();
    let (received, _) = exchange(&(global("proxy-set-headers: default/set") + &map("set", values)), "");
    let said = |name: &str| {
        let line = received.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name}: {received}"))
    };
    let (whole, millis) = said("X-Request-Start").strip_prefix("t=").unwrap().split_once('.').unwrap();
    assert!((before..=seconds()).contains(&whole.parse().unwrap()) && millis.len() == 3, "{received}");
    let time = said("X-Time");
    assert!(time.len() == 25 && time.starts_with("20") && time.ends_with("+00:00"), "{received}");
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!((said("X-Machine"), said("X-Way")), (&*own.trim().to_ascii_lowercase(), "HTTP/1.1"));
}

#[test]
fn a_connection_begins_with_a_proxy_header_where_one_is_expected() {
    let origin = Origin::start("web");
    let bed =
        Bed::start(&(web(origin.address) + &global("use-proxy-protocol: 'true', proxy-real-ip-cidr: 127.0.0.0/8")));
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    for header in ["PROXY TCP4 203.0.113.9 198.51.100.1 5000 80\r\n", "PROXY UNKNOWN\r\n"] {
        let answer = talk(bed.http, &format!("{header}{request}"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let mut socket = TcpStream::connect(bed.http).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _reset = socket.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{}", answer.escape_ascii());
    drop(bed);

    let received = |config: &str| {
        let (address, backend) = answer_once(ANSWER, 0);
        let bed = Bed::start(&(web(address) + &global(config)));
        let header = [
            &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..],
            &[203, 0, 113, 9, 198, 51, 100, 1, 0x13, 0x88, 0x01, 0xbb],
            request.as_bytes(),
        ];
        let mut socket = TcpStream::connect(bed.http).unwrap();
        socket.write_all(&header.concat()).unwrap();
        backend.join().unwrap()
    };
    let told = received("use-proxy-protocol: 'true', proxy-real-ip-cidr: 127.0.0.0/8");
    for line in ["X-Real-IP: 203.0.113.9", "X-Forwarded-Port: 443", "X-Forwarded-Proto: https"] {
        assert!(told.contains(&format!("\r\n{line}\r\n")), "{line}: {told}");
    }
    let told = received("use-proxy-protocol: 'true', proxy-real-ip-cidr: 10.0.0.0/8");
    assert!(told.contains("\r\nX-Real-IP: 127.0.0.1\r\n") && told.contains("\r\nX-Scheme: http\r\n"), "{told}");
}

#[test]
fn a_proxy_header_that_does_not_come_ends_the_connection_in_time() {
    let bed = Bed::start(&global("use-proxy-protocol: 'true', proxy-protocol-header-timeout: 50ms"));
    let mut socket = TcpStream::connect(bed.http).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(b"PROXY TCP4 ").unwrap();
    assert!(matches!(socket.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn keys_about_connections_act_on_the_connections_that_come_next() {
    let origin = Origin::start("web");
    let mut bed = Bed::start(&(web(origin.address) + &global("keep-alive: '75'")));
    let ask = |bed: &Bed, more: &str| {
        let mut socket = TcpStream::connect(bed.http).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.write_all(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{more}\r\n").as_bytes()).unwrap();
        let mut piece = [0; 4096];
        let length = socket.read(&mut piece).unwrap();
        String::from_utf8(piece[..length].to_vec()).unwrap()
    };
    assert!(!ask(&bed, "").contains("Connection: close"));
    bed.apply(&(web(origin.address) + &global("keep-alive: '0', large-client-header-buffers: 4 64k")));
    let answer = ask(&bed, "");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    let answer = ask(&bed, &format!("X-Long: {}\r\n", "a".repeat(40 << 10)));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    bed.apply(&(web(origin.address) + &global("client-header-timeout: 50ms, upstream-keepalive-connections: '0'")));
    let mut socket = TcpStream::connect(bed.http).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let answer = ask(&bed, &format!("X-Long: {}\r\n", "a".repeat(40 << 10)));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn without_http2_its_preface_is_no_request() {
    let bed = Bed::start(&global("use-http2: 'false'"));
    let answer = talk(bed.http, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(!answer.contains("\0\0"), "no SETTINGS frame: {}", answer.escape_debug());
    assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"), "{answer}");
}

#[test]
fn tls_is_spoken_as_the_keys_say_from_the_next_handshake_on() {
    let origin = Origin::start("web");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut bed = Bed::start(&(web(origin.address) + &global("ssl-protocols: TLSv1.3")));
    let ask = |bed: &Bed, name: &str, version| runtime.block_on(shake(bed.https, name, &[version]));
    assert!(ask(&bed, "a.example", &TLS12).is_err() && ask(&bed, "a.example", &TLS13).is_ok());
    bed.apply(
        &(web(origin.address)
            + &global(
                "ssl-protocols: TLSv1 TLSv1.2, ssl-ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256'",
            )),
    );
    assert!(ask(&bed, "a.example", &TLS13).is_err());
    let suite = ask(&bed, "a.example", &TLS12).unwrap();
    assert_eq!(suite, Some(rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384));
    bed.apply(&(web(origin.address) + &global("ssl-reject-handshake: 'true', ssl-session-tickets: 'false'")));
    assert!(ask(&bed, "a.example", &TLS13).is_ok() && ask(&bed, "b.example", &TLS13).is_err());
    bed.apply(&(web(origin.address) + &global("use-http2: 'false'")));
    assert!(ask(&bed, "b.example", &TLS12).is_ok());
    for (keys, group) in [
        ("ssl-ecdh-curve: 'P-384'", rustls::NamedGroup::secp384r1),
        ("ssl-ecdh-curve: 'X448:X25519'", rustls::NamedGroup::X25519),
        ("ssl-ecdh-curve: prime256v1", rustls::NamedGroup::secp256r1),
    ] {
        bed.apply(&(web(origin.address) + &global(keys)));
        for version in [&TLS12, &TLS13] {
            assert_eq!(runtime.block_on(group_of(bed.https, version)).unwrap(), Some(group), "{keys}");
        }
    }
}

#[test]
fn who_is_blocked_gets_403_on_every_host() {
    let origin = Origin::start("web");
    let mut bed = Bed::start(
        &(web(origin.address) + &global("block-user-agents: 'Bad Bot,~*^evil/', block-referers: '~spam\\.example'")),
    );
    let ask = |bed: &Bed, host: &str, line: &str| {
        let answer = talk(bed.http, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{line}\r\n"));
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for (host, line, status) in [
        ("a.example", "", "200"),
        ("a.example", "User-Agent: bad bot\r\n", "403"),
        ("b.example", "User-Agent: Evil/1.0\r\n", "403"),
        ("a.example", "User-Agent: not evil/1.0\r\n", "200"),
        ("a.example", "Referer: https://spam.example/x\r\n", "403"),
        ("a.example", "Referer: https://ham.example/x\r\n", "200"),
    ] {
        assert_eq!(ask(&bed, host, line), status, "{host} {line}");
    }
    bed.apply(&(web(origin.address) + &global("block-cidrs: '10.0.0.0/8,127.0.0.1'")));
    assert_eq!(ask(&bed, "a.example", ""), "403");
    // What cannot be read closes all paths.
    bed.apply(&(web(origin.address) + &global("block-cidrs: 'everybody'")));
    assert_eq!(ask(&bed, "a.example", ""), "503");
}
