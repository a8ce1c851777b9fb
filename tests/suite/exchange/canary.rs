//! Canaries: which requests another back end gets, and what is remembered and logged of that.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fairlead::settings::{Limits, LogFormat};
use fairlead::telemetry::AccessLog;

use super::plain::talk;
use crate::bed::{Bed, ingress, service};
use crate::origin::Origin;

const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// An Ingress `main` with annotations and its canary with others, each before one back end.
struct Stage {
    main: Origin,
    next: Origin,
}

impl Stage {
    fn new() -> Stage {
        Stage { main: Origin::start("main"), next: Origin::start("next") }
    }

    fn manifests(&self, main: &str, canary: &str) -> String {
        let canary = format!("{PREFIX}/canary: \"true\"{canary}");
        service("web", &[self.main.address])
            + &service("next", &[self.next.address])
            + &ingress("main", "a.example", "/", "web", main)
            + &ingress("canary", "a.example", "/", "next", &canary)
    }
}

fn rule(parts: &[(&str, &str)]) -> String {
    parts.iter().map(|(name, value)| format!(", {PREFIX}/{name}: \"{value}\"")).collect()
}

/// Who answers, and the cookie that is given out.
fn ask(bed: &Bed, lines: &str) -> (String, Option<String>) {
    let answer = talk(bed.http, &format!("GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let cookie = head.lines().find_map(|line| line.strip_prefix("Set-Cookie: "));
    (body.split(' ').next().unwrap().to_owned(), cookie.map(|cookie| cookie.split(';').next().unwrap().to_owned()))
}

#[test]
fn a_field_decides_before_a_cookie_and_that_before_the_weight() {
    let stage = Stage::new();
    let word = [("canary-by-header", "X-C"), ("canary-by-cookie", "beta"), ("canary-weight", "0")];
    let value = [("canary-by-header", "X-C"), ("canary-by-header-value", "de"), ("canary-weight", "0")];
    let pattern = [("canary-by-header", "X-C"), ("canary-by-header-pattern", "^d.$"), ("canary-weight", "0")];
    let broken = [("canary-by-header", "X-C"), ("canary-by-header-pattern", "("), ("canary-weight", "100")];
    let wrong = [("canary-by-header", "X C"), ("canary-weight", "100%")];
    for (parts, lines, answers) in [
        (&word[..], "", "main"),
        (&word, "X-C: always\r\n", "next"),
        (&word, "X-C: never\r\nCookie: beta=always\r\n", "main"),
        (&word, "X-C: other\r\nCookie: beta=always\r\n", "next"),
        (&value, "X-C: de\r\n", "next"),
        (&value, "X-C: always\r\n", "main"),
        (&pattern, "X-C: de\r\n", "next"),
        (&pattern, "X-C: des\r\n", "main"),
        (&broken, "X-C: de\r\n", "main"),
        (&broken, "", "next"),
        (&wrong, "X-C: always\r\n", "main"),
    ] {
        let bed = Bed::start(&stage.manifests("", &rule(parts)));
        assert_eq!(ask(&bed, lines).0, answers, "{parts:?} {lines}");
    }
}

#[test]
fn the_weight_is_a_share_of_the_total() {
    let stage = Stage::new();
    for (weight, total, share) in [("30", "100", 0.3), ("30", "10", 0.3), ("100", "200", 0.5), ("0", "100", 0.0)] {
        let parts = [("canary-weight", weight), ("canary-weight-total", total)];
        let bed = Bed::start(&stage.manifests("", &rule(&parts)));
        let taken = (0..400).filter(|_| ask(&bed, "").0 == "next").count();
        // Five times the standard deviation of 400 draws at most.
        assert!((taken as f64 / 400.0 - share).abs() <= 0.125, "{weight} of {total}: {taken} of 400");
    }
}

#[test]
fn a_client_stays_where_its_cookie_says_whatever_the_rule() {
    let stage = Stage::new();
    let sticky = format!("{PREFIX}/affinity: cookie");
    let to_main = [("canary-by-header", "X-C"), ("canary-weight", "0")];
    let mut bed = Bed::start(&stage.manifests(&sticky, &rule(&to_main)));
    let (answers, main) = ask(&bed, "");
    assert_eq!(answers, "main");
    let (answers, next) = ask(&bed, "X-C: always\r\n");
    assert_eq!(answers, "next");
    let (main, next) = (main.unwrap(), next.unwrap());
    assert_ne!(main, next);
    assert_eq!(ask(&bed, &format!("Cookie: {main}\r\nX-C: always\r\n")), ("main".to_owned(), None));
    assert_eq!(ask(&bed, &format!("Cookie: {next}\r\nX-C: never\r\n")), ("next".to_owned(), None));

    let legacy = [("canary-by-header", "X-C"), ("affinity-canary-behavior", "legacy")];
    bed.apply(&stage.manifests(&sticky, &rule(&legacy)));
    assert_eq!(ask(&bed, "X-C: always\r\n"), ("next".to_owned(), None), "no cookie from it");
    assert_eq!(ask(&bed, &format!("Cookie: {next}\r\n")).0, "main");
}

#[test]
fn without_an_endpoint_on_one_side_there_is_no_choice() {
    let stage = Stage::new();
    let manifests = stage.manifests("", &rule(&[("canary-weight", "100")]));
    let without = |name: &str, address| manifests.replace(&service(name, &[address]), &service(name, &[]));
    let mut bed = Bed::start(&without("next", stage.next.address));
    assert_eq!(ask(&bed, "").0, "main");
    bed.apply(&without("web", stage.main.address));
    let answer = talk(bed.http, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    bed.apply(&manifests);
    assert_eq!(ask(&bed, "").0, "next");
}

#[test]
fn a_canary_whose_endpoints_are_a_last_resort_keeps_its_sticky_clients_alone() {
    let stage = Stage::new();
    let manifests = stage.manifests(&format!("{PREFIX}/affinity: cookie"), &rule(&[("canary-weight", "100")]));
    let in_state = |manifests: &str, name: &str, address, conditions: &str| {
        let ready = service(name, &[address]);
        let other = ready.replace("\"127.0.0.1\"]", &format!("\"127.0.0.1\"], conditions: {{{conditions}}}"));
        assert_ne!(ready, other);
        manifests.replace(&ready, &other)
    };
    let mut bed = Bed::start(&manifests);
    let (answers, cookie) = ask(&bed, "");
    assert_eq!(answers, "next");
    let cookie = format!("Cookie: {}\r\n", cookie.unwrap());
    for conditions in ["ready: false, serving: true, terminating: true", "ready: false, serving: true"] {
        let leaving = in_state(&manifests, "next", stage.next.address, conditions);
        bed.apply(&leaving);
        assert_eq!((0..20).filter(|_| ask(&bed, "").0 == "main").count(), 20, "{conditions}");
        assert_eq!(ask(&bed, &cookie).0, "next", "{conditions}");

        let other = Origin::start("other");
        bed.apply(
            &leaving
                .replace(&format!("port: {}", stage.next.address.port()), &format!("port: {}", other.address.port())),
        );
        assert_eq!(ask(&bed, &cookie).0, "main", "{conditions}: the endpoint that it names is gone");

        bed.apply(&in_state(&leaving, "web", stage.main.address, conditions));
        assert_eq!(ask(&bed, "").0, "next", "{conditions}: so are those of the mainline");
        bed.apply(&in_state(&manifests, "web", stage.main.address, conditions));
        assert_eq!(ask(&bed, "").0, "next", "{conditions}: those of the mainline alone");
    }
    bed.apply(&manifests);
    assert_eq!(ask(&bed, "").0, "next");
}

#[test]
fn the_canary_is_named_in_the_log_beside_the_mainline() {
    let stage = Stage::new();
    let (mut reader, writer) = io::pipe().unwrap();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let log = AccessLog::start(writer, LogFormat::Text, Arc::default()).unwrap();
    let manifests = stage.manifests("", &rule(&[("canary-by-header", "X-C")]));
    let bed = Bed::with(&manifests, Limits::default(), 1, Some(Arc::clone(&log)));
    ask(&bed, "");
    ask(&bed, "X-C: always\r\n");
    drop(bed);
    assert!(log.settle(Duration::from_secs(20)));
    drop(log);
    let text = reading.join().unwrap().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains(" [default-web-http] [] "), "{text}");
    assert!(lines[1].contains(" [default-web-http] [default-next-http] "), "{text}");
}
