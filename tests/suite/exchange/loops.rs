//! Requests that come back: names outside the cluster may lead to the proxy itself.

use super::filters::{Echo, ask, field, nginx, status};
use crate::bed::{Bed, ingress, service};

fn outside(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: outside}}\nspec: {{type: ExternalName, externalName: 127.0.0.1, \
         ports: [{{name: http, port: {port}}}]}}\n---\n"
    )
}

#[test]
fn a_name_that_leads_to_the_proxy_itself_is_asked_a_few_times_only() {
    let mut bed = Bed::start("");
    for annotations in [
        String::new(),
        nginx(&[("configuration-snippet", "more_clear_input_headers CDN-Loop;")]),
        nginx(&[("configuration-snippet", "proxy_set_header CDN-Loop none;")]),
    ] {
        bed.apply(&(outside(bed.http.port()) + &ingress("outside", "a.example", "/", "outside", &annotations)));
        let before = bed.metric("fairlead_failures_total{reason=\"shed\"}");
        for lines in ["", "CDN-Loop: other; passed=9\r\n", "Connection: CDN-Loop\r\n"] {
            assert_eq!(status(&ask(&bed, "GET /", lines)), 508, "{annotations} {lines}");
        }
        assert_eq!(bed.metric("fairlead_failures_total{reason=\"shed\"}"), before + 3);
    }
}

#[test]
fn only_what_leaves_says_how_often_it_passed() {
    let web = Echo::start("");
    let port = web.address.port();
    let bed = Bed::start(
        &(service("web", &[web.address])
            + &ingress("web", "a.example", "/", "web", "")
            + &outside(port)
            + &ingress("outside", "a.example", "/out", "outside", "")),
    );
    let lines = "CDN-Loop: other, fairlead; passed=2\r\n";
    for (path, sent) in [("/", "CDN-Loop: other, fairlead; passed=2\r\n"), ("/out", "CDN-Loop: fairlead; passed=3\r\n")]
    {
        assert_eq!(status(&ask(&bed, &format!("GET {path}"), lines)), 200);
        let head = web.heads().remove(0);
        assert!(head.contains(sent), "{head}");
        assert_eq!(head.matches("passed=3").count(), usize::from(path == "/out"), "{head}");
    }
    let answer = ask(&bed, "GET /out", "CDN-Loop: fairlead; passed=8\r\n");
    assert_eq!((status(&answer), field(&answer, "CDN-Loop")), (508, None));
}
