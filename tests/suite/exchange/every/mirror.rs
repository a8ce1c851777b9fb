//! Copies of requests.

use std::time::Duration;

use super::{Asked, Kind, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::filters::Echo;
use crate::exchange::plain::until;

pub(super) struct Mirror {
    web: Echo,
    copies: Echo,
}

const TARGET: &[(&str, &str)] = &[("mirror-target", "http://COPIES$request_uri")];

pub(super) const ROWS: &[Row<Mirror>] = &[
    row("mirror-host", "copies.example", "a/b").beside(TARGET).shows(&["+ Host: copies.example\n"]),
    row("mirror-request-body", "off", "maybe")
        .beside(TARGET)
        .asking("POST /x", "Content-Length: 5\r\n")
        .sending("hello")
        .shows(&["+ POST /x ", "!+ Content-Length: 5\n", "> Content-Length: 5\n"]),
    row("mirror-target", "http://COPIES$request_uri", "ftp://COPIES/").shows(&["+ GET /x HTTP/1.1\n", "> GET /x "]),
];

impl Subject for Mirror {
    fn words(&self) -> Vec<(&'static str, String)> {
        vec![("COPIES", self.copies.address.to_string())]
    }

    fn serve(&self, _: &Row<Self>, place: &Place, annotations: &str) -> String {
        service(&place.name, &[self.web.address]) + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        let answer = asked.answer();
        // A copy is nobody's business: it may come later than the answer.
        if asked.place.kind == Kind::Right || !asked.place.name.ends_with("mirror-target") {
            until("a copy comes", || self.copies.has_head_with(""));
        } else {
            std::thread::sleep(Duration::from_millis(200));
        }
        asked.view(&answer, &[('>', &self.web), ('+', &self.copies)])
    }
}

#[test]
fn copies_of_requests() {
    check(ROWS, &Mirror { web: Echo::start(""), copies: Echo::start("") });
}
