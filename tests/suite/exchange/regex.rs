//! Paths as regular expressions, and what goes upstream in their place.

use super::plain::{answer_once, talk};
use crate::bed::{Bed, ingress, service};
use crate::origin::Origin;

/// What a client gets for `target`: the status line, the `Location` if there is one, and the body.
fn get(bed: &Bed, target: &str) -> (String, Option<String>, String) {
    let answer = talk(bed.http, &format!("GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
    let location = head.lines().find_map(|line| line.strip_prefix("Location: "));
    (status.to_owned(), location.map(str::to_owned), body.to_owned())
}

const REGEX: &str = "nginx.ingress.kubernetes.io/use-regex: \"true\"";

fn rewrite(target: &str) -> String {
    format!("nginx.ingress.kubernetes.io/rewrite-target: \"{target}\"")
}

#[test]
fn long_paths_are_not_compared_with_an_expression_that_may_be_slow() {
    let origin = Origin::start("web");
    let slow = ingress("slow", "a.example", "/.*a.{0,400}c", "web", REGEX);
    let quick = ingress("quick", "b.example", "/.*a.{0,40}c", "web", REGEX);
    let bed = Bed::start(&(service("web", &[origin.address]) + &slow + &quick));
    let path = |length: usize| format!("/{}c", "a".repeat(length - 2));
    assert_eq!((get(&bed, &path(1024)).0, get(&bed, &path(1025)).0), ("200 OK".into(), "404 Not Found".into()));
    let long = format!("GET {} HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n", path(15 << 10));
    assert!(talk(bed.http, &long).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn the_back_end_gets_the_rewritten_path_with_the_query_and_escapes_of_the_client() {
    let origin = Origin::start("web");
    let bed = Bed::start(
        &(service("web", &[origin.address])
            + &ingress("groups", "a.example", "/app(/|$)(.*)", "web", &rewrite("/$2"))
            + &ingress("fixed", "a.example", "/fixed", "web", &rewrite("/other"))
            + &ingress("query", "a.example", "/query/(.*)", "web", &rewrite("/q?of=$1"))
            + &ingress("drop", "a.example", "/drop", "web", &rewrite("/d?"))
            + &ingress(
                "named",
                "a.example",
                "/named/(.*)",
                "web",
                &rewrite("/$namespace/$ingress_name/$service_name/$1"),
            )
            + &ingress("plain", "a.example", "/plain", "web", "")),
    );
    for (sent, received) in [
        ("/app", "/"),
        ("/APP/x/y?z=1", "/x/y?z=1"),
        ("/app/a%2Fb%20c", "/a%2Fb%20c"),
        ("/app//x/../y", "/y"),
        ("/fixed/and/more?q", "/other?q"),
        ("/query/x?y=2", "/q?of=x&y=2"),
        ("/drop?y=2", "/d"),
        ("/named/x", "/default/named/web/x"),
        ("/plainly//x", "/plainly//x"),
    ] {
        let (status, _, body) = get(&bed, sent);
        assert_eq!((&*status, body), ("200 OK", format!("web {received}")), "{sent}");
    }
    assert_eq!(get(&bed, "/apple").0, "404 Not Found");
}

#[test]
fn a_rewritten_path_that_climbs_above_the_root_is_refused() {
    let origin = Origin::start("web");
    let bed = Bed::start(
        &(service("web", &[origin.address])
            + &ingress("web", "a.example", "/api(.*)", "web", &rewrite("/v1/$1"))
            + &ingress("bare", "a.example", "/bare(.*)", "web", &rewrite("/$1"))),
    );
    assert_eq!(get(&bed, "/api/x").2, "web /v1//x");
    assert_eq!(get(&bed, "/api../x").2, "web /x");
    for climbing in ["/bare../x", "/bare%2e%2e", "/BARE%2E./x?y"] {
        assert_eq!(get(&bed, climbing).0, "400 Bad Request", "{climbing}");
    }
}

#[test]
fn a_target_with_a_scheme_is_a_redirect_with_the_query() {
    let manifests =
        service("web", &[]) + &ingress("web", "a.example", "/old/(.*)", "web", &rewrite("https://b.example/$1"));
    let bed = Bed::start(&manifests);
    let (status, location, _) = get(&bed, "/old/x%20y?z=1");
    assert_eq!((&*status, location.as_deref()), ("302 Found", Some("https://b.example/x%20y?z=1")));
}

#[test]
fn the_prefix_is_told_upstream_where_the_path_is_rewritten_and_a_client_cannot_say_it() {
    let prefix = ", nginx.ingress.kubernetes.io/x-forwarded-prefix: /shop";
    for (annotations, told) in [(rewrite("/$1") + prefix, true), (REGEX.to_owned() + prefix, false)] {
        let (address, backend) = answer_once(b"HTTP/1.1 204 No Content\r\n\r\n", 0);
        let bed =
            Bed::start(&(service("web", &[address]) + &ingress("web", "a.example", "/(.*)", "web", &annotations)));
        talk(bed.http, "GET /x HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Prefix: /evil\r\nConnection: close\r\n\r\n");
        let received = backend.join().unwrap();
        assert_eq!(received.contains("\r\nX-Forwarded-Prefix: /shop\r\n"), told, "{received}");
        assert!(!received.contains("/evil"), "{received}");
    }
}

#[test]
fn the_prefix_may_be_what_a_group_took_and_nothing_else_of_a_client() {
    for (prefix, told) in [("/shop/$1", "/shop/abc"), ("$1", "abc"), ("/$9", "/"), ("/$http_x", ""), ("/$arg_y", "")] {
        let (address, backend) = answer_once(b"HTTP/1.1 204 No Content\r\n\r\n", 0);
        let annotations = rewrite("/$2") + &format!(", nginx.ingress.kubernetes.io/x-forwarded-prefix: {prefix}");
        let web = ingress("web", "a.example", "/x/([a-z]+)/(.*)", "web", &annotations);
        let bed = Bed::start(&(service("web", &[address]) + &web));
        talk(bed.http, "GET /x/abc/d?y=eve HTTP/1.1\r\nHost: a.example\r\nX: eve\r\nConnection: close\r\n\r\n");
        let head = backend.join().unwrap();
        let sent = head.lines().find_map(|line| line.strip_prefix("X-Forwarded-Prefix: ")).unwrap_or_default();
        assert!(head.starts_with("GET /d?y=eve ") && sent == told, "{prefix}: {head}");
    }
}

#[test]
fn a_path_that_is_no_regular_expression_here_is_closed_and_no_other() {
    let origin = Origin::start("web");
    let bed = Bed::start(
        &(service("web", &[origin.address])
            + &ingress("broken", "a.example", "/a(?=b)", "web", REGEX)
            + &ingress("whole", "a.example", "/b+", "web", REGEX)),
    );
    assert_eq!(get(&bed, "/ab").0, "503 Service Temporarily Unavailable");
    assert_eq!(get(&bed, "/bbb").2, "web /bbb");
}

#[test]
fn a_wrong_target_leaves_the_path_as_it_is() {
    let origin = Origin::start("web");
    let manifests = service("web", &[origin.address]) + &ingress("web", "a.example", "/a", "web", &rewrite("/$hots"));
    let bed = Bed::start(&manifests);
    assert_eq!(get(&bed, "/a/x").2, "web /a/x");
    assert_eq!(get(&bed, "/ab").0, "404 Not Found");
}
