//! Canaries, each beside an Ingress of its own.

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::{ingress, service};
use crate::exchange::filters::{Echo, field};

pub(super) struct Canary {
    main: Echo,
    next: Echo,
}

const ON: &[(&str, &str)] = &[("canary", "true")];
const BY_FIELD: &[(&str, &str)] = &[("canary", "true"), ("canary-by-header", "X-C")];
const ALL: &[(&str, &str)] = &[("canary", "true"), ("canary-weight", "100")];

pub(super) const ROWS: &[Row<Canary>] = &[
    row("affinity-canary-behavior", "legacy", "new")
        .beside(BY_FIELD)
        .asking("GET /", "X-C: always\r\n")
        .shows(&["= next\n", "!Set-Cookie"]),
    row("canary", "true", "yes").beside(&[("canary-weight", "100")]).shows(&["= next\n"]),
    row("canary-by-cookie", "beta", "be ta").beside(ON).asking("GET /", "Cookie: beta=always\r\n").shows(&["= next\n"]),
    row("canary-by-header", "X-C", "X C").beside(ON).asking("GET /", "X-C: always\r\n").shows(&["= next\n"]),
    row("canary-by-header-pattern", "^d.$", "(").beside(BY_FIELD).asking("GET /", "X-C: de\r\n").shows(&["= next\n"]),
    row("canary-by-header-value", "de", "d\te").beside(BY_FIELD).asking("GET /", "X-C: de\r\n").shows(&["= next\n"]),
    row("canary-weight", "100", "100%").beside(ON).shows(&["= next\n"]),
    // One request of ten million goes to the other.
    row("canary-weight-total", "1000000000", "all").beside(ALL).shows(&["= main\n"]),
];

impl Subject for Canary {
    fn serve(&self, row: &Row<Self>, place: &Place, annotations: &str) -> String {
        let Place { name, host, .. } = place;
        // Of Ingresses without a time the one with the larger name is the oldest.
        let main = format!("z-{name}");
        let sticky = if row.name == "affinity-canary-behavior" { "fairlead.dev/affinity: cookie" } else { "" };
        service(&main, &[self.main.address])
            + &service(name, &[self.next.address])
            + &ingress(&main, host, "/", &main, sticky)
            + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        let answer = asked.answer();
        // The key in the cookie is that of an endpoint of the host.
        let cookie = field(&answer, "Set-Cookie").and_then(|line| line.split(';').next()?.split_once('='));
        asked.view(&cookie.map_or(answer.clone(), |(_, key)| answer.replace(key, "")), &[])
    }
}

#[test]
fn canaries() {
    check(ROWS, &Canary { main: Echo::answering("200 OK", "", "main"), next: Echo::answering("200 OK", "", "next") });
}
