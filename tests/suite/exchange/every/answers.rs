//! What back ends are spoken to, what is changed on the way, who answers in place of errors, what is logged.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use fairlead::settings::LogFormat;
use fairlead::telemetry::AccessLog;

use super::{Asked, Kind, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::filters::Echo;
use crate::exchange::plain::{talk, until};

pub(super) struct Answers {
    web: Echo,
    missing: Echo,
    pages: Echo,
    log: Arc<AccessLog>,
    logged: Logged,
}

const ERRORS: &[(&str, &str)] = &[("custom-http-errors", "404"), ("default-backend", "pages")];

pub(super) const ROWS: &[Row<Answers>] = &[
    row("backend-protocol", "GRPC", "SPDY").shows(&["> PRI * HTTP/2.0\n"]),
    row("connection-proxy-header", "close", "upgrade").shows(&["> Connection: close\n"]),
    row("custom-headers", "set", "missing").shows(&["< X-Frame-Options: DENY\n", "!< X-Frame-Options: own\n"]).guards(),
    row("custom-http-errors", "404", "200")
        .beside(&[("default-backend", "pages")])
        .shows(&["= sorry\n", "< X-Page: yes\n"]),
    row("default-backend", "pages", "Pages").shows(&["= sorry\n", "< X-Page: yes\n"]),
    row("disable-proxy-intercept-errors", "true", "yes").beside(ERRORS).shows(&["< HTTP/1.1 404 ", "= theirs\n"]),
    row("enable-access-log", "false", "no").shows(&["silent"]).seen(Answers::logged),
    row("proxy-cookie-domain", "internal b.example", "internal").shows(&["; Domain=b.example;"]),
    row("proxy-cookie-path", "/app/ /", "/app/ / /").shows(&["; Path=/\n"]),
    row("proxy-http-version", "1.0", "2").shows(&["> GET /x HTTP/1.0\n", "> Connection: close\n"]),
    row("proxy-redirect-from", "http://internal/", "http://internal/;")
        .beside(&[("proxy-redirect-to", "https://b.example/")])
        .shows(&["< Location: https://b.example/x\n"]),
    row("proxy-redirect-to", "https://b.example/", "https://b.example/;")
        .beside(&[("proxy-redirect-from", "http://internal/")])
        .shows(&["< Location: https://b.example/x\n"]),
    row("upstream-vhost", "in.example", "in/example").shows(&["> Host: in.example\n", "> X-Forwarded-Host: HOST\n"]),
];

/// What was written to the log.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Answers {
    /// Whether a request is in the log by the time a later one is.
    fn logged(&self, asked: &Asked) -> String {
        let name = &asked.place.name;
        asked.answer();
        let other = Place::of("connection-proxy-header", Kind::Without).host;
        talk(asked.http, &format!("GET /after-{name} HTTP/1.1\r\nHost: {other}\r\nConnection: close\r\n\r\n"));
        self.web.heads();
        let text = || String::from_utf8(self.logged.0.lock().unwrap().clone()).unwrap();
        until("the later request is in the log", || text().contains(&format!("/after-{name} ")));
        let is_there = text().contains(&format!("[default-{name}-http]"));
        if is_there { "logged\n".to_owned() } else { "silent\n".to_owned() }
    }
}

impl Subject for Answers {
    fn objects(&self) -> String {
        let maps = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: set}\ndata: {X-Frame-Options: DENY}\n---\n\
                    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: global}\n\
                    data: {global-allowed-response-headers: X-Frame-Options}\n---\n";
        service("pages", &[self.pages.address]) + maps
    }

    fn serve(&self, row: &Row<Self>, place: &Place, annotations: &str) -> String {
        let service = match row.name {
            "custom-http-errors" | "disable-proxy-intercept-errors" => service(&place.name, &[self.missing.address]),
            "default-backend" => service(&place.name, &[]),
            _ => service(&place.name, &[self.web.address]),
        };
        service + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        asked.view(&asked.answer(), &[('>', &self.web), ('>', &self.missing), ('e', &self.pages)])
    }

    fn log(&self) -> Option<Arc<AccessLog>> {
        Some(Arc::clone(&self.log))
    }
}

#[test]
fn answers_errors_and_the_log() {
    let logged = Logged::default();
    let fields =
        "Location: http://internal/x\r\nSet-Cookie: a=b; Domain=internal; Path=/app/\r\nX-Frame-Options: own\r\n";
    check(
        ROWS,
        &Answers {
            web: Echo::start(fields),
            missing: Echo::answering("404 Not Found", "", "theirs"),
            pages: Echo::answering("200 OK", "X-Page: yes\r\n", "sorry"),
            log: AccessLog::start(logged.clone(), LogFormat::Text, Arc::default()).unwrap(),
            logged,
        },
    );
}
