//! nginx's own configuration in annotations.

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::filters::Echo;

pub(super) struct Snippets {
    web: Echo,
}

const CONDITION: &str = "if ($scheme = http) { return 403; }";

pub(super) const ROWS: &[Row<Snippets>] = &[
    row("configuration-snippet", "more_set_headers \"X-A: 1\";", CONDITION)
        .shows(&["< X-A: 1\n"])
        .closes("503", "SnippetRefused"),
    row("server-snippet", "add_header X-A 1;", CONDITION).shows(&["< X-A: 1\n"]).closes("503", "SnippetRefused"),
];

impl Subject for Snippets {
    fn serve(&self, _: &Row<Self>, place: &Place, annotations: &str) -> String {
        service(&place.name, &[self.web.address]) + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        asked.view(&asked.answer(), &[('>', &self.web)])
    }
}

#[test]
fn snippets() {
    check(ROWS, &Snippets { web: Echo::start("") });
}
