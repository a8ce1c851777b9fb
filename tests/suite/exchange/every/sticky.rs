//! Keeping a client at its endpoint.

use std::io::Write;
use std::net::Shutdown;

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::filters::field;
use crate::exchange::plain::talk;
use crate::exchange::scripted::Scripted;

/// Each endpoint hangs up on who asks it to.
pub(super) struct Sticky {
    endpoints: [Scripted; 2],
}

const ON: &[(&str, &str)] = &[("affinity", "cookie")];
/// One of the browsers that misread `SameSite=None`.
const CHROME_60: &str =
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/60.0.3112.90 Safari/537.36\r\n";

const fn cookie(name: &'static str, right: &'static str, wrong: &'static str) -> Row<Sticky> {
    row(name, right, wrong).beside(ON)
}

pub(super) const ROWS: &[Row<Sticky>] = &[
    cookie("affinity", "cookie", "coockie").beside(&[]).shows(&["< Set-Cookie: INGRESSCOOKIE=; Path=/; HttpOnly\n"]),
    // Both modes are one.
    cookie("affinity-mode", "persistent", "persistant").shows(&["< Set-Cookie: INGRESSCOOKIE=; "]).alike(),
    cookie("session-cookie-change-on-failure", "true", "on").shows(&["another cookie"]).seen(Sticky::failing),
    cookie("session-cookie-conditional-samesite-none", "true", "yes")
        .beside(&[("affinity", "cookie"), ("session-cookie-samesite", "None")])
        .asking("GET /", CHROME_60)
        .shows(&["< Set-Cookie: ", "!SameSite"]),
    cookie("session-cookie-domain", ".b.example", "b..example").shows(&["; Domain=.b.example"]),
    cookie("session-cookie-expires", "3600", "1h").shows(&["; Expires="]),
    cookie("session-cookie-max-age", "3600", "-1").shows(&["; Max-Age=3600"]),
    cookie("session-cookie-name", "route", "ro ute").shows(&["< Set-Cookie: route=; "]),
    cookie("session-cookie-path", "/shop", "shop").shows(&["; Path=/shop;"]),
    cookie("session-cookie-samesite", "Strict", "lex").shows(&["; SameSite=Strict"]),
    cookie("session-cookie-secure", "true", "yes").shows(&["; Secure"]),
];

impl Sticky {
    /// What a client is given whose endpoint fails.
    fn failing(&self, asked: &Asked) -> String {
        let first = asked.answer();
        let (_, endpoint) = first.rsplit_once("\r\n").unwrap();
        let cookie = field(&first, "Set-Cookie").unwrap().split(';').next().unwrap();
        let host = &asked.place.host;
        let lines = format!("Host: {host}\r\nConnection: close\r\nCookie: {cookie}\r\nX-Fails: {endpoint}\r\n");
        let second = talk(asked.http, &format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        assert!(second.starts_with("HTTP/1.1 200 ") && !second.ends_with(endpoint), "{second}");
        let is_other = field(&second, "Set-Cookie").is_some_and(|other| !other.starts_with(cookie));
        if is_other { "another cookie\n".to_owned() } else { "the same cookie\n".to_owned() }
    }
}

impl Subject for Sticky {
    fn serve(&self, _: &Row<Self>, place: &Place, annotations: &str) -> String {
        service(&place.name, &self.endpoints.each_ref().map(|one| one.address)) + &place.ingress(annotations)
    }

    /// The answer without the key in the cookie.
    fn see(&self, asked: &Asked) -> String {
        let answer = asked.answer();
        let cookie = field(&answer, "Set-Cookie").and_then(|line| line.split(';').next()?.split_once('='));
        let answer = cookie.map_or(answer.clone(), |(_, key)| answer.replace(key, ""));
        asked.view(answer.split("\r\n\r\n").next().unwrap(), &[])
    }
}

#[test]
fn keeping_a_client_at_its_endpoint() {
    let endpoints = ["a", "b"].map(|name| {
        Scripted::start(move |head, socket| {
            if head.contains(&format!("\r\nX-Fails: {name}\r\n")) {
                let _gone = socket.shutdown(Shutdown::Both);
            } else {
                let _gone = write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}");
            }
        })
    });
    check(ROWS, &Sticky { endpoints });
}
