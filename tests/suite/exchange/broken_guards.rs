//! What guards access and is broken: closed as documented, told as a problem, counted, and without effect on other routes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::authority::{Authority, Connection, client, secret};
use super::filters::{Echo, ask, ask_at, nginx, status};
use crate::bed::{Bed, ingress, service};

/// `/` of a.example with these annotations, `/free` without, and b.example without.
fn serving(web: &Echo, annotations: &str, more: &str) -> Bed {
    let guarded = ingress("guarded", "a.example", "/", "web", annotations);
    let free = ingress("free", "a.example", "/free", "web", "") + &ingress("other", "b.example", "/", "web", "");
    Bed::start(&(service("web", &[web.address]) + &guarded + &free + more))
}

fn problems(bed: &Bed, severity: &str, reason: &str) -> u64 {
    bed.metric(&format!("fairlead_problems{{severity=\"{severity}\",reason=\"{reason}\"}}"))
}

fn failures(bed: &Bed, reason: &str) -> u64 {
    bed.metric(&format!("fairlead_failures_total{{reason=\"{reason}\"}}"))
}

#[test]
fn junk_in_place_of_authorities_or_of_what_they_took_back_closes_the_host_and_no_other() {
    let root = Authority::root("root");
    let ann = client(Some(&root.client("ann")));
    let web = Echo::start("");
    let junk = "-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n";
    let junk_list = "-----BEGIN X509 CRL-----\nanVuaw==\n-----END X509 CRL-----\n";
    for (name, keys) in [
        ("an authority that is no PEM", &[("ca.crt", "junk")][..]),
        ("an authority that is no certificate", &[("ca.crt", junk)]),
        ("no authority", &[("other", "x")]),
        ("a list that is no PEM", &[("ca.crt", &*root.pem), ("ca.crl", "junk")]),
        ("a list that is none", &[("ca.crt", &*root.pem), ("ca.crl", junk_list)]),
    ] {
        let auth = nginx(&[("auth-tls-secret", "default/ca")]);
        let bed = serving(&web, &auth, &secret("ca", keys));
        let get = |host: &str| status(&Connection::new(bed.https, &ann, host).get(host, "/"));
        assert_eq!((get("a.example"), get("b.example")), (403, 200), "{name}");
        assert_eq!((bed.problems("AccessRuleBroken"), problems(&bed, "error", "AccessRuleBroken")), (1, 1), "{name}");
        assert_eq!(failures(&bed, "denied"), 1, "{name}");
        web.heads();
    }
    // To back ends: nobody can be believed, so nothing is sent.
    for keys in [&[("ca.crt", "junk")][..], &[("ca.crt", junk)], &[("tls.crt", "junk"), ("tls.key", "junk")]] {
        let tls = [("backend-protocol", "HTTPS"), ("proxy-ssl-secret", "default/ca"), ("proxy-ssl-verify", "on")];
        let apart = Echo::start("");
        let more = service("apart", &[apart.address]) + &secret("ca", keys);
        let guarded = ingress("guarded", "a.example", "/", "apart", &nginx(&tls));
        let free = ingress("other", "b.example", "/", "web", "");
        let bed = Bed::start(&(service("web", &[web.address]) + &guarded + &free + &more));
        assert_eq!(
            (status(&ask(&bed, "GET /", "")), problems(&bed, "error", "AccessRuleBroken")),
            (503, 1),
            "{keys:?}"
        );
        assert_eq!((failures(&bed, "denied"), apart.connections()), (1, 0), "{keys:?}");
    }
}

#[test]
fn junk_in_place_of_passwords_lets_nobody_in_and_costs_only_who_has_it() {
    let web = Echo::start("");
    let auth = nginx(&[("auth-type", "basic"), ("auth-secret", "users")]);
    let ann = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
    for (file, expected, severity, reason) in [
        ("ann:{PLAIN}secret\neve:junk", 200, "warning", "AnnotationInvalid"),
        ("ann:junk", 401, "warning", "AnnotationInvalid"),
        ("ann:$2y$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", 401, "warning", "AnnotationInvalid"),
        ("junk without a colon", 401, "warning", "AnnotationInvalid"),
        ("", 503, "error", "AccessRuleBroken"),
        ("# nobody", 503, "error", "AccessRuleBroken"),
    ] {
        let bed = serving(&web, &auth, &secret("users", &[("auth", file)]));
        assert_eq!(status(&ask(&bed, "GET /", ann)), expected, "{file}");
        assert_eq!((problems(&bed, severity, reason), bed.problems(reason)), (1, 1), "{file}");
        let counted = failures(&bed, "denied") + failures(&bed, "auth_failed");
        assert_eq!(counted, u64::from(expected != 200), "{file}");
        assert_eq!(status(&ask(&bed, "GET /free", "")), 200, "{file}");
    }
}

/// A service that does this with each connection.
fn lying(act: impl Fn(&mut std::net::TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let act = act.clone();
            thread::spawn(move || {
                let mut piece = [0; 4096];
                let _gone = socket.read(&mut piece);
                act(&mut socket);
            });
        }
    });
    address
}

fn saying(answer: &'static str) -> SocketAddr {
    lying(move |socket| {
        let _gone = socket.write_all(answer.as_bytes());
    })
}

#[test]
fn a_service_that_is_down_slow_or_lies_lets_nobody_in_and_does_not_hold_up_others() {
    let web = Echo::start("");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (name, address, expected) in [
        ("nobody is there", nobody, 500),
        ("it says nothing", lying(|_| thread::sleep(Duration::from_secs(20))), 500),
        ("it hangs up", lying(|_| {}), 500),
        ("it speaks something else", saying("220 mail.example ESMTP\r\n"), 500),
        ("its head breaks off", saying("HTTP/1.1 200 OK\r\nX-User: a"), 500),
        ("its head has no end of a line", saying("HTTP/1.1 200 OK\r\nX-User\r\n\r\n"), 500),
        ("it redirects", saying("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), 500),
        ("it has no such page", saying("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), 500),
        ("it is broken", saying("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), 500),
        ("it switches protocols", saying("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), 500),
        (
            "its body never ends",
            lying(|socket| {
                let _gone = socket.write_all(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
                thread::sleep(Duration::from_secs(20));
            }),
            403,
        ),
    ] {
        let url = format!("http://{address}/");
        let auth = [("auth-url", &*url), ("proxy-read-timeout", "1"), ("proxy-connect-timeout", "1")];
        let bed = serving(&web, &nginx(&auth), "");
        thread::scope(|scope| {
            let http = bed.http;
            let asking = scope.spawn(move || status(&ask_at(http, "GET /", "")));
            let begun = Instant::now();
            assert_eq!(status(&ask(&bed, "GET /free", "")), 200, "{name}");
            assert!(begun.elapsed() < Duration::from_secs(1), "{name}");
            assert_eq!(asking.join().unwrap(), expected, "{name}");
        });
        let reason = if expected == 500 { "auth_error" } else { "auth_failed" };
        assert_eq!((failures(&bed, reason), web.heads().len()), (1, 1), "{name}: only the free one came through");
    }
    // What was seen often enough is a problem of the Ingress, until it says yes or no.
    for address in [nobody, saying("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")] {
        let mut bed = serving(&web, &nginx(&[("auth-url", &*format!("http://{address}/"))]), "");
        for count in 1..10 {
            assert_eq!(status(&ask(&bed, "GET /", "")), 500);
            bed.look_after_guards();
            assert_eq!(problems(&bed, "warning", "AccessRuleBroken"), u64::from(count >= 5), "after {count}");
        }
    }
    let is_well = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_well);
    let service = lying(move |socket| {
        let status = if seen.load(Ordering::Relaxed) { "401 Who" } else { "503 Busy" };
        let _gone = write!(socket, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    let mut bed = serving(&web, &nginx(&[("auth-url", &*format!("http://{service}/"))]), "");
    for (is_now_well, expected) in [(false, (500, 1)), (true, (401, 0))] {
        is_well.store(is_now_well, Ordering::Relaxed);
        let last = (0..6).map(|_| status(&ask(&bed, "GET /", ""))).last();
        bed.look_after_guards();
        assert_eq!((last.unwrap(), bed.problems("AccessRuleBroken")), expected);
    }
    // That it has no address is known before anybody asks.
    let bed = serving(&web, &nginx(&[("auth-url", "http://auth.invalid/")]), "");
    assert_eq!(problems(&bed, "error", "ExternalNameUnresolved"), 1);
    assert_eq!((status(&ask(&bed, "GET /", "")), status(&ask(&bed, "GET /free", ""))), (500, 200));
}
