//! Pages of other origins.

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::filters::Echo;

pub(super) struct Cors {
    web: Echo,
}

const ON: &[(&str, &str)] = &[("enable-cors", "true")];
const ORIGIN: &str = "Origin: https://b.example\r\n";

const fn preflight(name: &'static str, right: &'static str, wrong: &'static str) -> Row<Cors> {
    row(name, right, wrong).beside(ON).asking("OPTIONS /", ORIGIN)
}

pub(super) const ROWS: &[Row<Cors>] = &[
    preflight("cors-allow-credentials", "false", "no")
        .shows(&["< Access-Control-Allow-Origin: *\n", "!< Access-Control-Allow-Credentials"]),
    preflight("cors-allow-headers", "X-User, X-Page", "X-User: a")
        .shows(&["< Access-Control-Allow-Headers: X-User, X-Page\n"]),
    preflight("cors-allow-methods", "GET, POST", "GET;POST").shows(&["< Access-Control-Allow-Methods: GET, POST\n"]),
    preflight("cors-allow-origin", "https://b.example", "b.example")
        .shows(&["< Access-Control-Allow-Origin: https://b.example\n", "< Vary: Origin\n"])
        .wrongly("AnnotationIgnored", &["< HTTP/1.1 200 ", "!Access-Control-", "> OPTIONS / "]),
    preflight("cors-expose-headers", "X-Total", "X Total!")
        .asking("GET /", ORIGIN)
        .shows(&["< Access-Control-Expose-Headers: X-Total\n"]),
    preflight("cors-max-age", "600", "ten").shows(&["< Access-Control-Max-Age: 600\n"]),
    preflight("enable-cors", "true", "on").beside(&[]).shows(&["< HTTP/1.1 204 ", "!> OPTIONS"]),
];

impl Subject for Cors {
    fn serve(&self, _: &Row<Self>, place: &Place, annotations: &str) -> String {
        service(&place.name, &[self.web.address]) + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        asked.view(&asked.answer(), &[('>', &self.web)])
    }
}

#[test]
fn pages_of_other_origins() {
    check(ROWS, &Cors { web: Echo::start("") });
}
