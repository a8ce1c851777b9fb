//! TLS towards back ends: certificates of ours, verification, names, versions, and connections that are never shared.

use rustls::version::{TLS12, TLS13};

use super::authority::{Authority, Connection, Seen, TlsEcho, client, secret};
use super::filters::{Echo, ask, status};
use super::plain::talk;
use crate::bed::{Bed, ingress, service};

fn annotations(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("nginx.ingress.kubernetes.io/{name}: '{value}'");
    pairs.iter().map(pair).collect::<Vec<_>>().join(", ")
}

fn serving(echo: &TlsEcho, pairs: &[(&str, &str)], more: &str) -> Bed {
    let all = [&[("backend-protocol", "HTTPS")], pairs].concat();
    Bed::start(&(service("web", &[echo.address]) + &ingress("web", "a.example", "/", "web", &annotations(&all)) + more))
}

#[test]
fn a_back_end_that_wants_a_certificate_gets_ours() {
    let root = Authority::root("root");
    let echo = TlsEcho::start(&root.server("web"), Some((&root, false)), &[&TLS12, &TLS13]);
    let (own, foreign) = (root.client("proxy"), Authority::root("foreign").client("proxy"));
    let secrets = secret("own", &[("tls.crt", &own.pem), ("tls.key", &own.key_pem)])
        + &secret("foreign", &[("tls.crt", &foreign.pem), ("tls.key", &foreign.key_pem)]);
    for (pairs, expected) in [
        (&[][..], 502),
        (&[("proxy-ssl-secret", "own")], 200),
        (&[("proxy-ssl-secret", "default/own")], 200),
        (&[("proxy-ssl-secret", "foreign")], 502),
    ] {
        let bed = serving(&echo, pairs, &secrets);
        assert_eq!(status(&ask(&bed, "GET /", "")), expected, "{pairs:?}");
        assert_eq!(echo.seen().iter().filter(|seen| seen.has_certificate).count(), usize::from(expected == 200));
    }
}

#[test]
fn a_back_end_is_verified_where_that_is_asked_for_and_only_there() {
    let root = Authority::root("root");
    let below = root.below("below");
    let deep = below.below("deep");
    let secrets =
        secret("ca", &[("ca.crt", &root.pem)]) + &secret("other", &[("ca.crt", &Authority::root("other").pem)]);
    let verify = ("proxy-ssl-verify", "on");
    let ca = ("proxy-ssl-secret", "ca");
    let backend = |authority: &Authority, name: &str| TlsEcho::start(&authority.server(name), None, &[&TLS12, &TLS13]);
    let of_service = backend(&root, "web.default.svc");
    for (echo, pairs, expected) in [
        (&of_service, &[verify, ca][..], 200),
        (&of_service, &[("proxy-ssl-verify", "off"), ("proxy-ssl-secret", "other")], 200),
        (&of_service, &[verify, ("proxy-ssl-secret", "other")], 502),
        (&of_service, &[verify, ca, ("proxy-ssl-name", "secret.example")], 502),
        (&of_service, &[("proxy-ssl-name", "secret.example")], 200),
        (&backend(&root, "secret.example"), &[verify, ca, ("proxy-ssl-name", "secret.example")], 200),
        (&backend(&root, "secret.example"), &[verify, ca], 502),
        (&backend(&below, "web.default.svc"), &[verify, ca], 200),
        (&backend(&below, "web.default.svc"), &[verify, ca, ("proxy-ssl-verify-depth", "0")], 502),
        (&backend(&deep, "web.default.svc"), &[verify, ca], 502),
        (&backend(&deep, "web.default.svc"), &[verify, ca, ("proxy-ssl-verify-depth", "2")], 200),
        (&of_service, &[("proxy-ssl-verify", "true"), ("proxy-ssl-secret", "other")], 200),
    ] {
        let bed = serving(echo, pairs, &secrets);
        assert_eq!(status(&ask(&bed, "GET /", "")), expected, "{pairs:?}");
    }
}

#[test]
fn without_the_secret_that_it_asks_for_a_path_is_closed() {
    let root = Authority::root("root");
    let echo = TlsEcho::start(&root.server("web"), None, &[&TLS13]);
    let own = root.client("proxy");
    for (pairs, more) in [
        (&[("proxy-ssl-secret", "missing")][..], String::new()),
        (&[("proxy-ssl-secret", "other/own")], secret("own", &[("ca.crt", &root.pem)])),
        (&[("proxy-ssl-secret", "own")], secret("own", &[("ca.crt", "junk")])),
        (&[("proxy-ssl-secret", "own")], secret("own", &[("tls.crt", &own.pem)])),
        (&[("proxy-ssl-secret", "own")], secret("own", &[("x", "y")])),
        (&[("proxy-ssl-secret", "OWN!")], String::new()),
        (&[("proxy-ssl-verify", "on")], String::new()),
    ] {
        let bed = serving(&echo, pairs, &more);
        assert_eq!(status(&ask(&bed, "GET /", "")), 503, "{pairs:?}");
        assert!(echo.seen().is_empty());
    }
}

#[test]
fn name_and_version_are_those_that_are_asked_for() {
    let root = Authority::root("root");
    let echo = TlsEcho::start(&root.server("web"), None, &[&TLS12, &TLS13]);
    let named =
        |name: Option<&str>, is_tls13| vec![Seen { name: name.map(str::to_owned), has_certificate: false, is_tls13 }];
    let ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384:DHE-RSA-AES128-SHA";
    for (pairs, expected) in [
        (&[][..], named(None, true)),
        (&[("proxy-ssl-server-name", "on")], named(Some("web.default.svc"), true)),
        (&[("proxy-ssl-server-name", "on"), ("proxy-ssl-name", "A.Example")], named(Some("a.example"), true)),
        (&[("proxy-ssl-server-name", "off"), ("proxy-ssl-name", "a.example")], named(None, true)),
        (&[("proxy-ssl-server-name", "yes")], named(None, true)),
        (&[("proxy-ssl-protocols", "TLSv1.2")], named(None, false)),
        (&[("proxy-ssl-protocols", "TLSv1.1 TLSv1.3")], named(None, true)),
        (&[("proxy-ssl-protocols", "TLSv1.2"), ("proxy-ssl-ciphers", ciphers)], named(None, false)),
    ] {
        let bed = serving(&echo, pairs, "");
        assert_eq!(status(&ask(&bed, "GET /", "")), 200, "{pairs:?}");
        assert_eq!(echo.seen(), expected, "{pairs:?}");
    }
}

#[test]
fn connections_are_never_shared_between_identities() {
    let root = Authority::root("root");
    let echo = TlsEcho::start(&root.server("web"), Some((&root, true)), &[&TLS12, &TLS13]);
    let own = root.client("proxy");
    let with = annotations(&[("backend-protocol", "HTTPS"), ("proxy-ssl-secret", "own")]);
    let without = annotations(&[("backend-protocol", "HTTPS")]);
    let text = service("web", &[echo.address])
        + &service("plain", &[echo.address])
        + &ingress("web", "a.example", "/with", "web", &with)
        + &ingress("plain", "a.example", "/", "plain", &without)
        + &secret("own", &[("tls.crt", &own.pem), ("tls.key", &own.key_pem)]);
    let bed = Bed::start(&text);
    for round in 0..10 {
        for (path, has_certificate) in [("/with", true), ("/", false)] {
            assert_eq!(status(&ask(&bed, &format!("GET {path}"), "")), 200);
            let seen = echo.seen();
            assert_eq!(seen.iter().map(|seen| seen.has_certificate).collect::<Vec<_>>(), [has_certificate], "{round}");
        }
    }
}

#[test]
fn auto_http_speaks_as_the_client_does() {
    let root = Authority::root("root");
    let annotation = annotations(&[("backend-protocol", "AUTO_HTTP")]);
    let plain = Echo::start("");
    let bed =
        |address| Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/", "web", &annotation)));
    assert_eq!(status(&ask(&bed(plain.address), "GET /", "")), 200);
    let echo = TlsEcho::start(&root.server("web"), None, &[&TLS13]);
    let bed = bed(echo.address);
    assert_eq!(status(&Connection::new(bed.https, &client(None), "a.example").get("a.example", "/")), 200);
    assert_eq!(echo.seen().len(), 1);
    assert_eq!(status(&ask(&bed, "GET /", "")), 502, "clear text where TLS is spoken");
}

#[test]
fn how_a_back_end_is_spoken_to_is_said_for_the_paths_of_the_ingress_alone() {
    let root = Authority::root("root");
    let (plain, tls) = (Echo::start(""), TlsEcho::start(&root.server("web.default.svc"), None, &[&TLS12, &TLS13]));
    let https = ("backend-protocol", "HTTPS");
    let verified =
        |ca| [https, ("proxy-ssl-verify", "on"), ("proxy-ssl-name", "web.default.svc"), ("proxy-ssl-secret", ca)];
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16);
    let cases: [Case<'_>; 8] = [
        ("a", "plain", &[], 200),
        // A back end in clear text waits for the end of what it takes for a request.
        ("b", "plain", &[https, ("proxy-connect-timeout", "1"), ("proxy-next-upstream-tries", "1")], 504),
        ("c", "plain", &[("backend-protocol", "GRPC")], 502),
        ("d", "plain", &[("backend-protocol", "AUTO_HTTP")], 200),
        ("e", "tls", &[https], 200),
        ("f", "tls", &[], 502),
        ("g", "tls", &verified("ca"), 200),
        ("h", "tls", &verified("other"), 502),
    ];
    let manifests = cases.iter().fold(
        service("plain", &[plain.address])
            + &service("tls", &[tls.address])
            + &secret("ca", &[("ca.crt", &root.pem)])
            + &secret("other", &[("ca.crt", &Authority::root("other").pem)]),
        |text, (name, to, pairs, _)| text + &ingress(name, &format!("{name}.example"), "/", to, &annotations(pairs)),
    );
    let bed = Bed::start(&manifests);
    // In one order and in the other: what one asks for must not be left for the next.
    for (name, _, pairs, expected) in cases.iter().chain(cases.iter().rev()) {
        let request = format!("GET / HTTP/1.1\r\nHost: {name}.example\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&talk(bed.http, &request)), *expected, "{name} {pairs:?}");
    }
}
