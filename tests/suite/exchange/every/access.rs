//! Addresses, passwords, limits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::filters::{Echo, status};
use crate::exchange::scripted::Scripted;

pub(super) struct Access {
    web: Echo,
    holding: Scripted,
}

const ANN: &str = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
const PASSWORD: &[(&str, &str)] = &[("auth-type", "basic"), ("auth-secret", "users")];
const A_MINUTE: &[(&str, &str)] = &[("limit-rpm", "1")];

pub(super) const ROWS: &[Row<Access>] = &[
    row("allowlist-source-range", "10.0.0.0/8", "10.0.0.0/33").shows(&["< HTTP/1.1 403 ", "!> "]).guards(),
    row("auth-realm", "Staff only", "off")
        .beside(PASSWORD)
        .shows(&["< HTTP/1.1 401 ", "< WWW-Authenticate: Basic realm=\"Staff only\"\n"])
        .guards(),
    row("auth-secret", "users", "missing")
        .beside(&[("auth-type", "basic")])
        .asking("GET /", ANN)
        .shows(&["< HTTP/1.1 200 ", "!> Authorization"])
        .closes("503", "SecretNotFound"),
    row("auth-secret-type", "auth-map", "auth-list")
        .beside(&[("auth-type", "basic"), ("auth-secret", "map")])
        .asking("GET /", ANN)
        .shows(&["< HTTP/1.1 200 "])
        .guards(),
    row("auth-type", "basic", "digest")
        .beside(&[("auth-secret", "users")])
        .shows(&["< HTTP/1.1 401 ", "< WWW-Authenticate: Basic ", "!> "])
        .guards(),
    row("denylist-source-range", "127.0.0.0/8", "everybody").shows(&["< HTTP/1.1 403 ", "!> "]).guards(),
    row("limit-allowlist", "127.0.0.0/8", "everybody").beside(A_MINUTE).shows(&["12 passed"]).guards().seen(dozen),
    row("limit-burst-multiplier", "1", "twice").beside(A_MINUTE).shows(&["2 passed"]).seen(dozen),
    row("limit-connections", "1", "-1").shows(&["< HTTP/1.1 503 ", "< Retry-After: 1\n"]).guards().seen(beside_another),
    row("limit-rpm", "1", "few").shows(&["6 passed", "< HTTP/1.1 503 ", "< Retry-After: "]).guards().seen(dozen),
    row("limit-rps", "1", "1.5").shows(&["!12 passed", "< HTTP/1.1 503 ", "< Retry-After: 1\n"]).guards().seen(dozen),
    row("limit-whitelist", "127.0.0.0/8", "127.0.0.1;").beside(A_MINUTE).shows(&["12 passed"]).guards().seen(dozen),
    row("satisfy", "any", "some")
        .beside(&[("auth-type", "basic"), ("auth-secret", "users"), ("allowlist-source-range", "127.0.0.0/8")])
        .shows(&["< HTTP/1.1 200 "])
        .guards(),
    row("whitelist-source-range", "10.0.0.0/8", "10.0.0.0/8;").shows(&["< HTTP/1.1 403 ", "!> "]).guards(),
];

/// How many of twelve requests pass, and the last answer.
fn dozen(subject: &Access, asked: &Asked) -> String {
    let answers: Vec<String> = (0..12).map(|_| asked.answer()).collect();
    let count = answers.iter().filter(|answer| status(answer) == 200).count();
    let view = asked.view(answers.last().unwrap(), &[]);
    assert_eq!(subject.web.heads().len(), count);
    format!("{count} passed\n{view}")
}

/// The answer while another request of the same client is under way.
fn beside_another(subject: &Access, asked: &Asked) -> String {
    let before = subject.holding.count();
    let mut other = TcpStream::connect(asked.http).unwrap();
    write!(other, "GET /hold HTTP/1.1\r\nHost: {}\r\n\r\n", asked.place.host).unwrap();
    other.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    // It is under way when the back end has it, or refused.
    while subject.holding.count() == before && other.read(&mut [0]).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    asked.view(&asked.answer(), &[])
}

impl Subject for Access {
    fn objects(&self) -> String {
        let secret = |name, key| {
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{{key}secret\"}}\n---\n")
        };
        secret("users", "auth: \"ann:{PLAIN}") + &secret("map", "ann: \"{PLAIN}")
    }

    fn serve(&self, row: &Row<Self>, place: &Place, annotations: &str) -> String {
        let address = if row.name == "limit-connections" { self.holding.address } else { self.web.address };
        service(&place.name, &[address]) + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        asked.view(&asked.answer(), &[('>', &self.web)])
    }
}

#[test]
fn addresses_passwords_and_limits() {
    let holding = Scripted::start(|head, socket| {
        if head.starts_with("GET /hold ") {
            let _until_it_is_gone = socket.read(&mut [0]);
        } else {
            let _gone = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
        }
    });
    check(ROWS, &Access { web: Echo::start(""), holding });
}
