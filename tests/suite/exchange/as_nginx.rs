//! Small things that manifests and back ends know from ingress-nginx, each of them once done otherwise.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use fairlead::settings::{Limits, LogFormat};
use fairlead::telemetry::AccessLog;

use super::authority::{Authority, secret};
use super::filters::{Echo, ask, field, nginx, serving, status};
use super::plain::talk;
use crate::bed::{Bed, ingress, service};

fn map(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{data}}}\n---\n")
}

/// An Ingress that names the port of its Service, which has a name, by its number.
fn by_number(name: &str, host: &str, annotations: &str) -> String {
    ingress(name, host, "/", "web", annotations).replace("port: {name: http}", "port: {number: 80}")
}

#[test]
fn where_nobody_can_answer_nobody_is_counted_or_asked_who_he_is() {
    let auth = Echo::answering("401 No", "", "no");
    let url = format!("http://127.0.0.1:{}/", auth.address.port());
    let guards = [("auth-url", &*url), ("limit-rps", "1"), ("limit-burst-multiplier", "1")];
    let nobody = service("none", &[]) + &ingress("web", "a.example", "/", "none", &nginx(&guards));
    let bed = Bed::start(&nobody);
    for _ in 0..4 {
        assert_eq!(status(&ask(&bed, "GET /", "")), 503);
    }
    assert!(auth.heads().is_empty());
    // Somebody else answers, and not everybody.
    let errors = Echo::start("");
    let guards = [("auth-url", &*url), ("default-backend", "errors")];
    let bed = Bed::start(
        &(service("none", &[])
            + &service("errors", &[errors.address])
            + &ingress("web", "a.example", "/", "none", &nginx(&guards))),
    );
    assert_eq!(status(&ask(&bed, "GET /", "")), 401);
    assert!(errors.heads().is_empty());
}

#[test]
fn the_service_port_is_told_as_the_ingress_writes_it() {
    let (web, errors) = (Echo::answering("404 None", "", ""), Echo::start(""));
    let annotations = nginx(&[("custom-http-errors", "404"), ("default-backend", "errors")]);
    let manifests = service("web", &[web.address])
        + &service("errors", &[errors.address])
        + &by_number("number", "a.example", &annotations)
        + &ingress("name", "b.example", "/", "web", &annotations);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let log = AccessLog::start(writer, LogFormat::Text, Arc::default()).unwrap();
    let bed = Bed::with(&manifests, Limits::default(), 1, Some(Arc::clone(&log)));
    for host in ["a.example", "b.example"] {
        talk(bed.http, &format!("GET /x?q=1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    }
    let heads = errors.heads();
    assert!(heads.iter().all(|head| head.starts_with("GET /?q=1 HTTP/1.1\r\n")), "{heads:?}");
    let told: Vec<_> = heads.iter().map(|head| field(head, "X-Service-Port").map(str::to_owned)).collect();
    assert_eq!(told, [Some("80".to_owned()), Some("http".to_owned())]);
    drop(bed);
    assert!(log.settle(Duration::from_secs(10)));
    drop(log);
    let text = reading.join().unwrap().unwrap();
    let names: Vec<_> = text.lines().map(|line| line.split(['[', ']']).nth(3)).collect();
    assert_eq!(names, [Some("default-web-80"), Some("default-web-http")], "{text}");
}

#[test]
fn answers_and_error_pages_know_the_host_that_a_trusted_proxy_tells() {
    let (web, errors) = (Echo::start(""), Echo::start(""));
    let pages =
        nginx(&[("custom-http-errors", "403"), ("default-backend", "errors"), ("denylist-source-range", "127.0.0.1")]);
    let manifests = service("web", &[web.address])
        + &service("errors", &[errors.address])
        + &ingress("web", "a.example", "/", "web", "")
        + &ingress("pages", "a.example", "/pages", "web", &pages)
        + &map("global", "use-forwarded-headers: 'true', add-headers: default/added")
        + &map("added", "X-Host: '$best_http_host'");
    let bed = Bed::start(&manifests);
    for (path, expected) in [("/", 200), ("/pages", 403), ("/%zz", 400)] {
        let answer = talk(
            bed.http,
            &format!(
                "GET {path} HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Host: pub.example\r\nConnection: close\r\n\r\n"
            ),
        );
        assert_eq!((status(&answer), field(&answer, "X-Host")), (expected, Some("pub.example")), "{path}: {answer}");
    }
    let asked = errors.heads().remove(0);
    assert_eq!((field(&asked, "Host"), field(&asked, "X-Forwarded-Host")), (Some("pub.example"), Some("pub.example")));
}

#[test]
fn cookies_stay_in_the_order_in_which_the_back_end_sets_them() {
    let web = Echo::start("Set-Cookie: x=1\r\nSet-Cookie: a=1; Path=/one/\r\nSet-Cookie: a=2; Path=/\r\n");
    let path = ("proxy-cookie-path", "/one/ /");
    let snippet = ("configuration-snippet", "add_header Set-Cookie a=3;");
    for (pairs, expected) in [
        (&[path][..], &["x=1", "a=1; Path=/", "a=2; Path=/"][..]),
        (&[("proxy-cookie-domain", "internal a.example")], &["x=1", "a=1; Path=/one/", "a=2; Path=/"]),
        (&[path, snippet], &["x=1", "a=1; Path=/", "a=2; Path=/", "a=3"]),
    ] {
        let answer = ask(&serving(&web, &nginx(pairs), ""), "GET /", "");
        let cookies: Vec<_> = answer.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).collect();
        assert_eq!(cookies, expected, "{pairs:?}: {answer}");
    }
}

#[test]
fn who_stands_in_for_a_service_keeps_no_sessions_of_its_clients() {
    let (web, errors) = (Echo::answering("404 None", "", ""), Echo::start(""));
    let sticky = ("affinity", "cookie");
    let services = service("web", &[web.address]) + &service("errors", &[errors.address]) + &service("none", &[]);
    let manifests = services
        + &ingress("own", "c.example", "/", "errors", &nginx(&[sticky]))
        + &ingress(
            "web",
            "a.example",
            "/",
            "web",
            &nginx(&[sticky, ("custom-http-errors", "404"), ("default-backend", "errors")]),
        )
        + &ingress("none", "b.example", "/", "none", &nginx(&[sticky, ("default-backend", "errors")]));
    let bed = Bed::start(&manifests);
    for (host, has_cookie) in [("a.example", false), ("b.example", false), ("c.example", true)] {
        let answer = talk(bed.http, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        assert_eq!((status(&answer), answer.contains("Set-Cookie: INGRESSCOOKIE=")), (200, has_cookie), "{answer}");
    }
    assert_eq!(errors.heads().len(), 3);
}

#[test]
fn a_client_that_leaves_while_an_error_page_is_fetched_is_logged_as_gone() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let annotations = nginx(&[("custom-http-errors", "502"), ("default-backend", "errors")]);
    let manifests = service("web", &[dead])
        + &service("errors", &[silent.local_addr().unwrap()])
        + &ingress("web", "a.example", "/", "web", &annotations);
    let config = super::config::global("log-format-upstream: '$status'");
    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let log = AccessLog::start(writer, LogFormat::Text, Arc::default()).unwrap();
    let bed = Bed::with(&(manifests + &config), Limits::default(), 1, Some(Arc::clone(&log)));
    let mut client = TcpStream::connect(bed.http).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let (mut asked, _) = silent.accept().unwrap();
    assert!(asked.read(&mut [0; 4096]).unwrap() > 0);
    drop(client);
    // Whoever waits for it lets go of the connection when the client is gone.
    assert_eq!(asked.read(&mut [0; 4096]).unwrap_or_default(), 0);
    drop(bed);
    assert!(log.settle(Duration::from_secs(10)));
    drop(log);
    assert_eq!(reading.join().unwrap().unwrap(), "499\n");
}

#[test]
fn a_service_that_is_asked_hears_no_scheme() {
    let (web, auth) = (Echo::start(""), Echo::start(""));
    let url = format!("http://127.0.0.1:{}/", auth.address.port());
    for (more, told) in [(&[][..], None), (&[("auth-method", "POST")], Some("http"))] {
        let bed = serving(&web, &nginx(&[&[("auth-url", &*url)], more].concat()), "");
        ask(&bed, "GET /", "X-Forwarded-Proto: https\r\nX-Scheme: https\r\n");
        let asked = auth.heads().remove(0);
        assert_eq!((field(&asked, "X-Forwarded-Proto"), field(&asked, "X-Scheme")), (None, told), "{asked}");
        assert_eq!(field(&asked, "X-Forwarded-For"), Some("127.0.0.1"), "{asked}");
    }
}

#[test]
fn a_trusted_proxy_may_name_a_scheme_of_its_own() {
    let web = Echo::start("");
    let bed = serving(&web, "", &map("global", "use-forwarded-headers: 'true'"));
    for (sent, told) in [("myproto", "myproto"), ("wss", "wss"), ("HTTPS", "https"), ("a b", "http"), ("1x", "http")] {
        ask(&bed, "GET /", &format!("X-Forwarded-Proto: {sent}\r\n"));
        let head = web.heads().remove(0);
        for name in ["X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme"] {
            assert_eq!(field(&head, name), Some(told), "{sent}: {head}");
        }
        assert_eq!(field(&head, "X-Forwarded-Port"), Some(&*bed.http.port().to_string()), "no port is told");
    }
    let bed = serving(&web, &nginx(&[("force-ssl-redirect", "true")]), &map("global", "use-forwarded-headers: 'true'"));
    for (sent, expected) in [("http", 308), ("https", 200), ("myproto", 200), ("a b", 308)] {
        let answer = ask(&bed, "GET /", &format!("X-Forwarded-Proto: {sent}\r\n"));
        assert_eq!(status(&answer), expected, "{sent}: only http is sent to https");
    }
}

#[test]
fn behind_a_proxy_header_counts_who_stands_before_it_and_the_port_it_names() {
    let web = Echo::start("");
    let told = |config: &str, port: u16, lines: &str| {
        let keys = format!("use-proxy-protocol: 'true', {config}");
        let bed = serving(&web, "", &map("global", &keys));
        let header = format!("PROXY TCP4 192.168.0.1 192.168.0.11 56324 {port}\r\n");
        let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n");
        assert_eq!(status(&talk(bed.http, &(header + &request))), 200);
        let head = web.heads().remove(0);
        (field(&head, "X-Forwarded-For").map(str::to_owned), field(&head, "X-Forwarded-Port").map(str::to_owned))
    };
    let some = |address: &str, port: &str| (Some(address.to_owned()), Some(port.to_owned()));
    let forwarded = "X-Forwarded-For: 192.168.0.111\r\n";
    let both = "use-forwarded-headers: 'true', proxy-real-ip-cidr";
    assert_eq!(told("proxy-real-ip-cidr: '127.0.0.0/8'", 1234, forwarded), some("192.168.0.1", "1234"));
    assert_eq!(told(&format!("{both}: '127.0.0.0/8'"), 1234, forwarded), some("192.168.0.1", "1234"), "a client");
    let trusted = format!("{both}: '127.0.0.0/8,192.168.0.1/32'");
    assert_eq!(told(&trusted, 1234, forwarded), some("192.168.0.111", "1234"), "a proxy");
    assert_eq!(told(&trusted, 1234, ""), some("192.168.0.1", "1234"), "a proxy that says nothing");
}

#[test]
fn over_tls_a_proxy_header_names_the_port_too() {
    let web = Echo::start("");
    let bed = serving(&web, "", &map("global", "use-proxy-protocol: 'true'"));
    for (port, told) in [(1234, "1234".to_owned()), (bed.https.port(), "443".to_owned())] {
        let mut socket = TcpStream::connect(bed.https).unwrap();
        write!(socket, "PROXY TCP4 192.168.0.1 192.168.0.11 56324 {port}\r\n").unwrap();
        let mut connection = super::authority::Connection::on(socket, &super::authority::client(None), "a.example");
        assert_eq!(status(&connection.get("a.example", "/")), 200);
        assert_eq!(field(&web.heads()[0], "X-Forwarded-Port"), Some(&*told));
    }
}

#[test]
fn https_is_asked_for_whatever_port_the_host_names_where_that_is_forced_or_clients_show_certificates() {
    let web = Echo::start("");
    let get = |bed: &Bed, host: &str| {
        status(&talk(bed.http, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")))
    };
    let tls = |annotations: &str| {
        ingress("web", "a.example", "/", "web", annotations)
            .replace("spec:\n", "spec:\n  tls: [{hosts: [a.example]}]\n")
    };
    let ca = secret("ca", &[("ca.crt", &Authority::root("root").pem)]);
    let asks = nginx(&[("auth-tls-secret", "default/ca")]);
    for (text, mapped) in [
        // In a folder another port is that of a mapping, and where https is behind it nobody knows.
        (tls(""), 200),
        (ingress("web", "a.example", "/", "web", &nginx(&[("force-ssl-redirect", "true")])), 308),
        (tls(&asks) + &ca, 308),
        (tls("") + &ca + &ingress("other", "a.example", "/other", "web", &asks), 308),
    ] {
        let bed = Bed::start(&(service("web", &[web.address]) + &text));
        let found = ["a.example", "a.example:80", "a.example:9090"].map(|host| get(&bed, host));
        assert_eq!(found, [308, 308, mapped], "{text}");
    }
}

#[test]
fn the_line_of_the_log_has_the_variables_that_are_usual() {
    let web = Echo::start("");
    let format =
        "$bytes_sent $proxy_add_x_forwarded_for $proxy_protocol_addr $server_name [$proxy_alternative_upstream_name]";
    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let log = AccessLog::start(writer, LogFormat::Text, Arc::default()).unwrap();
    let manifests = service("web", &[web.address])
        + &ingress("web", "a.example", "/", "web", "")
        + &map("global", &format!("log-format-upstream: '{format}'"));
    let bed = Bed::with(&manifests, Limits::default(), 1, Some(Arc::clone(&log)));
    ask(&bed, "GET /", "X-Forwarded-For: 1.2.3.4\r\n");
    ask(&bed, "GET /", "");
    drop(bed);
    assert!(log.settle(Duration::from_secs(10)));
    drop(log);
    let text = reading.join().unwrap().unwrap();
    assert_eq!(text, "4 1.2.3.4, 127.0.0.1 127.0.0.1 a.example []\n4 127.0.0.1 127.0.0.1 a.example []\n");
}

#[test]
fn what_is_said_of_traces_right_or_wrong_changes_no_answer() {
    let echo = Echo::start("");
    for (pairs, ignored, invalid) in [
        (&[("enable-opentelemetry", "true"), ("opentelemetry-trust-incoming-span", "false")][..], 1, 0),
        (&[("enable-opentelemetry", "on"), ("opentelemetry-operation-name", "a span")], 0, 2),
        (&[("enable-opentelemetry", "false")], 0, 0),
    ] {
        let bed = serving(&echo, &nginx(pairs), "");
        assert_eq!(status(&ask(&bed, "GET /", "traceparent: 00-1-2-01\r\n")), 200, "{pairs:?}");
        assert_eq!(field(&echo.heads()[0], "traceparent"), Some("00-1-2-01"), "{pairs:?}");
        assert_eq!(
            (bed.problems("AnnotationIgnored"), bed.problems("AnnotationInvalid")),
            (ignored, invalid),
            "{pairs:?}"
        );
    }
}
