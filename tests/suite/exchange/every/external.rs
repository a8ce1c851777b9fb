//! Services that are asked who may come in.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::filters::Echo;

pub(super) struct External {
    web: Echo,
    broken: Echo,
    auth: Echo,
    with_cookie: Echo,
    refusing: Echo,
}

const AUTH: &[(&str, &str)] = &[("auth-url", "http://AUTH/verify")];
const REFUSING: &[(&str, &str)] = &[("auth-url", "http://REFUSING/")];

pub(super) const ROWS: &[Row<External>] = &[
    row("auth-always-set-cookie", "true", "yes")
        .beside(&[("auth-url", "http://COOKIE/")])
        .shows(&["< HTTP/1.1 500 ", "< Set-Cookie: session=1\n"])
        .guards(),
    row("auth-cache-duration", "403 1h", "200 soon")
        .beside(&[("auth-url", "http://AUTH/verify"), ("auth-cache-key", "$http_x_user")])
        .shows(&["asked 2 times"])
        .guards()
        .seen(twice),
    row("auth-cache-key", "$http_x_user", "$nothing").beside(AUTH).shows(&["asked 1 times"]).seen(twice),
    row("auth-method", "POST", "GETX").beside(AUTH).shows(&["? POST /verify HTTP/1.1\n", "> GET /x "]).guards(),
    row("auth-proxy-set-headers", "asks", "missing").beside(AUTH).shows(&["? X-Sent-To: NAME\n"]).guards(),
    row("auth-request-redirect", "to $host", "to $hots")
        .beside(AUTH)
        .shows(&["? X-Auth-Request-Redirect: to HOST\n"])
        .guards(),
    row("auth-response-headers", "X-User", "a b;")
        .beside(AUTH)
        .asking("GET /x", "X-User: eve\r\n")
        .shows(&["> X-User: ann\n", "!> X-User: eve\n"])
        .guards(),
    row("auth-signin", "https://$host/start", "https://$hots/start")
        .beside(REFUSING)
        .shows(&["< HTTP/1.1 302 ", "< Location: https://HOST/start?rd=http://HOST%2Fx\n"]),
    row("auth-signin-redirect-param", "to", "a&b")
        .beside(&[("auth-url", "http://REFUSING/"), ("auth-signin", "https://$host/start")])
        .shows(&["< Location: https://HOST/start?to=http://HOST%2Fx\n"]),
    row("auth-snippet", "proxy_set_header X-Of ann;", "if ($scheme = http) { return 200; }")
        .beside(AUTH)
        .shows(&["? X-Of: ann\n"])
        .closes("503", "SnippetRefused"),
    row("auth-url", "http://AUTH/verify?of=$request_method", "auth.example/verify")
        .shows(&["? GET /verify?of=GET HTTP/1.1\n", "> GET /x "])
        .guards(),
    row("enable-global-auth", "false", "no").shows(&["< HTTP/1.1 200 ", "> GET /x "]),
];

/// How often the service is asked about two requests on one connection, and the last answer.
fn twice(subject: &External, asked: &Asked) -> String {
    let mut socket = TcpStream::connect(asked.http).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let ask = |end: &str| format!("GET / HTTP/1.1\r\nHost: {}\r\nX-User: ann\r\n{end}\r\n", asked.place.host);
    socket.write_all((ask("") + &ask("Connection: close\r\n")).as_bytes()).unwrap();
    let mut answers = String::new();
    socket.read_to_string(&mut answers).unwrap();
    let last = answers.rfind("HTTP/1.1 ").unwrap();
    let view = asked.view(&answers[last..], &[('>', &subject.web)]);
    format!("asked {} times\n{view}", subject.auth.heads().len())
}

impl Subject for External {
    fn words(&self) -> Vec<(&'static str, String)> {
        let named = [("AUTH", &self.auth), ("COOKIE", &self.with_cookie), ("REFUSING", &self.refusing)];
        named.map(|(word, echo)| (word, echo.address.to_string())).into()
    }

    fn objects(&self) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: asks}}\ndata: {{X-Sent-To: $service_name}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: global}}\n\
             data: {{global-auth-url: 'http://{}/global'}}\n---\n",
            self.refusing.address
        )
    }

    fn serve(&self, row: &Row<Self>, place: &Place, annotations: &str) -> String {
        let address = if row.name == "auth-always-set-cookie" { self.broken.address } else { self.web.address };
        service(&place.name, &[address]) + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        asked.view(&asked.answer(), &[('>', &self.web), ('>', &self.broken), ('?', &self.auth), ('?', &self.refusing)])
    }
}

#[test]
fn services_that_are_asked_who_may_come_in() {
    check(
        ROWS,
        &External {
            web: Echo::start(""),
            broken: Echo::answering("500 Broken", "", "broken"),
            auth: Echo::start("X-User: ann\r\n"),
            with_cookie: Echo::start("Set-Cookie: session=1\r\n"),
            refusing: Echo::answering("401 No", "", "no"),
        },
    );
}
