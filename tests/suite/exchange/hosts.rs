//! What a host answers before any of its paths, and under which other names.

use super::plain::{answer_once, talk};
use crate::bed::{Bed, ingress, service};
use crate::origin::Origin;

const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// Status line and `Location` of the answer to `GET target` at `host`, and the body.
fn get(bed: &Bed, host: &str, target: &str) -> (String, Option<String>, String) {
    let answer = talk(bed.http, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
    let location = head.lines().find_map(|line| line.strip_prefix("Location: "));
    (status.to_owned(), location.map(str::to_owned), body.to_owned())
}

#[test]
fn the_root_goes_to_the_application_and_nothing_else_does() {
    let origin = Origin::start("web");
    let bed = Bed::start(
        &(service("web", &[origin.address])
            + &ingress("web", "a.example", "/app", "web", &format!("{PREFIX}/app-root: /app$is_args$args"))
            + &ingress("bad", "b.example", "/", "web", &format!("{PREFIX}/app-root: app"))),
    );
    for (target, location) in [
        ("/", "http://a.example:81/app"),
        ("/?x=1", "http://a.example:81/app?x=1"),
        ("//./", "http://a.example:81/app"),
    ] {
        let (status, sent, _) = get(&bed, "a.example:81", target);
        assert_eq!((&*status, sent.as_deref()), ("302 Found", Some(location)), "{target}");
    }
    assert_eq!(get(&bed, "a.example", "/app/x").2, "web /app/x");
    assert_eq!(get(&bed, "b.example", "/").2, "web /", "a wrong one is none");
}

#[test]
fn the_other_host_only_redirects_every_path_with_its_port() {
    let origin = Origin::start("web");
    let manifests = service("web", &[origin.address])
        + &ingress("web", "a.example", "/", "web", &format!("{PREFIX}/from-to-www-redirect: \"true\""));
    let mut bed = Bed::start(&manifests);
    let port = bed.http.port();
    for (host, target, location) in [
        ("www.a.example", "/", format!("http://a.example:{port}")),
        ("www.a.example", "/x/?y=1", format!("http://a.example:{port}/x/?y=1")),
        ("www.a.example:81", "/x/", "http://a.example:81/x".to_owned()),
    ] {
        let (status, sent, _) = get(&bed, host, target);
        assert_eq!((&*status, sent), ("308 Permanent Redirect", Some(location)), "{host}{target}");
    }
    assert_eq!(get(&bed, "a.example", "/x").2, "web /x");
    let trusting =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: global}\ndata: {use-forwarded-headers: 'true'}\n---\n";
    let trusting = Bed::start(&(manifests.clone() + trusting));
    let told = "GET /x HTTP/1.1\r\nHost: www.a.example:81\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 444\r\nConnection: close\r\n\r\n";
    let answer = talk(trusting.http, told);
    assert!(answer.contains("\r\nLocation: https://a.example:444/x\r\n"), "{answer}");
    let other = Origin::start("other");
    bed.apply(&(manifests + &service("other", &[other.address]) + &ingress("www", "www.a.example", "/", "other", "")));
    assert_eq!(get(&bed, "www.a.example", "/").2, "other /", "rules of its own come first");
}

#[test]
fn a_further_name_reaches_every_path_and_is_the_host_that_the_back_end_sees() {
    let (address, backend) = answer_once(b"HTTP/1.1 204 No Content\r\n\r\n", 0);
    let manifests = service("web", &[address])
        + &ingress("web", "a.example", "/", "web", &format!("{PREFIX}/server-alias: \"b.example,~^c[0-9]\""))
        + &ingress("more", "a.example", "/more", "none", "")
        + &service("none", &[]);
    let mut bed = Bed::start(&manifests);
    assert_eq!(get(&bed, "c7.example", "/more").0, "503 Service Temporarily Unavailable");
    assert_eq!(get(&bed, "c.example", "/").0, "404 Not Found");
    assert_eq!(get(&bed, "b.example", "/").0, "204 No Content");
    assert!(backend.join().unwrap().contains("\r\nHost: b.example\r\n"));
    bed.apply(&manifests.replace("b.example,~^c[0-9]", "not_a.name"));
    assert_eq!(get(&bed, "b.example", "/").0, "404 Not Found", "wrong ones are none");
}

#[test]
fn a_prefix_with_a_slash_is_redirected_to_where_that_is_asked_for() {
    let origin = Origin::start("web");
    let bed = Bed::start(
        &(service("web", &[origin.address])
            + &ingress("asked", "a.example", "/a/", "web", "fairlead.dev/trailing-slash-redirect: \"true\"")
            + &ingress("bad", "a.example", "/b/", "web", "fairlead.dev/trailing-slash-redirect: maybe")),
    );
    let (status, location, _) = get(&bed, "a.example:81", "/a?x=1");
    assert_eq!((&*status, location.as_deref()), ("301 Moved Permanently", Some("http://a.example:81/a/?x=1")));
    assert_eq!(get(&bed, "a.example", "/a/").2, "web /a/");
    assert_eq!(get(&bed, "a.example", "/b").2, "web /b", "by default the prefix is served");
}

#[test]
fn the_address_of_the_service_is_asked_where_that_is_said() {
    let (whole, one) = (Origin::start("whole"), Origin::start("one"));
    // A Service whose own address is another back end.
    let own = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{clusterIP: {}, ports: [{{name: http, port: {}}}]}}\n---\n",
        whole.address.ip(),
        whole.address.port()
    );
    let slice = service("web", &[one.address]).split_once("---\n").unwrap().1.to_owned();
    for (said, answers) in [("\"true\"", "whole /x"), ("\"false\"", "one /x"), ("maybe", "one /x")] {
        let annotation = format!("{PREFIX}/service-upstream: {said}");
        let bed = Bed::start(&(own.clone() + &slice + &ingress("web", "a.example", "/", "web", &annotation)));
        assert_eq!(get(&bed, "a.example", "/x").2, answers, "{said}");
    }
}
