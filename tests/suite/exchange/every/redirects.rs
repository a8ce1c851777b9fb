//! Redirects, hosts, paths.

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::{ingress, service};
use crate::exchange::filters::Echo;

pub(super) struct Redirects {
    web: Echo,
}

const FORCED: &[(&str, &str)] = &[("force-ssl-redirect", "true")];
const PERMANENT: &[(&str, &str)] = &[("permanent-redirect", "/new")];

pub(super) const ROWS: &[Row<Redirects>] = &[
    row("app-root", "/app", "app").asking("GET /", "").shows(&["< HTTP/1.1 302 ", "< Location: http://HOST/app\n"]),
    row("force-ssl-redirect", "true", "yes").shows(&["< HTTP/1.1 308 ", "< Location: https://HOST:PORT/x\n"]),
    row("from-to-www-redirect", "true", "yes")
        .shows(&["< HTTP/1.1 308 ", "< Location: http://HOST"])
        .seen(|_, asked| asked.view(&asked.answer_of(&format!("www.{}", asked.place.host)), &[])),
    row("permanent-redirect", "/new", "javascript:alert(1)")
        .shows(&["< HTTP/1.1 301 ", "< Location: http://HOST/new\n"]),
    row("permanent-redirect-code", "308", "309").beside(PERMANENT).shows(&["< HTTP/1.1 308 "]),
    row("preserve-trailing-slash", "true", "yes")
        .beside(FORCED)
        .asking("GET /x/", "")
        .shows(&["< Location: https://HOST:PORT/x/\n"]),
    row("relative-redirects", "true", "on").beside(PERMANENT).shows(&["< Location: /new\n"]),
    row("rewrite-target", "/new", "/$hots").shows(&["> GET /new HTTP/1.1\n"]),
    row("server-alias", "b.HOST", "b.HOST, ~(").shows(&["< HTTP/1.1 200 ", "> Host: b.HOST\n"]).seen(
        |subject, asked| asked.view(&asked.answer_of(&format!("b.{}", asked.place.host)), &[('>', &subject.web)]),
    ),
    row("ssl-redirect", "false", "no").shows(&["< HTTP/1.1 200 "]),
    row("temporal-redirect", "https://b.example/new", "/new")
        .shows(&["< HTTP/1.1 302 ", "< Location: https://b.example/new\n"]),
    row("temporal-redirect-code", "307", "308")
        .beside(&[("temporal-redirect", "https://b.example/new")])
        .shows(&["< HTTP/1.1 307 "]),
    row("use-port-in-redirects", "false", "no").beside(FORCED).shows(&["< Location: https://HOST/x\n"]),
    row("use-regex", "true", "yes").asking("GET /abc", "").shows(&["< HTTP/1.1 200 "]),
    row("x-forwarded-prefix", "/shop", "/shop!")
        .beside(&[("rewrite-target", "/new")])
        .shows(&["> X-Forwarded-Prefix: /shop\n"]),
];

impl Subject for Redirects {
    fn serve(&self, row: &Row<Self>, place: &Place, annotations: &str) -> String {
        let Place { name, host, .. } = place;
        let ingress = match row.name {
            "ssl-redirect" => {
                let tls = format!("spec:\n  tls:\n  - {{hosts: [\"{host}\"]}}\n");
                place.ingress(annotations).replacen("spec:\n", &tls, 1)
            }
            "use-regex" => ingress(name, host, "/a.c", name, annotations),
            _ => place.ingress(annotations),
        };
        service(name, &[self.web.address]) + &ingress
    }

    fn see(&self, asked: &Asked) -> String {
        asked.view(&asked.answer(), &[('>', &self.web)])
    }
}

#[test]
fn redirects_hosts_and_paths() {
    check(ROWS, &Redirects { web: Echo::start("") });
}
