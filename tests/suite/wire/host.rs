//! RFC 9112 3.2: exactly one Host, and a valid one.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

fn refused_head(name: &str, head: &str) -> Script {
    script(name).client(head).reaches_client(refused(400)).closed()
}

#[test]
fn a_missing_repeated_or_invalid_host_is_400() {
    let values = [
        "a@b",
        "user@a.example",
        "[::1",
        "::1",
        "a:b",
        "a:1:2",
        "a.example:80:80",
        "a.example:x",
        "a.example:65536",
        "a b",
        "a,b",
        "a.example, a.example",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "http://a.example",
        "a%41",
        "",
        " ",
        ".",
        "\"a\"",
        "<a>",
        "a\u{e9}",
        "[a]",
        "[::1]x",
        "*",
    ];
    let mut scripts: Vec<Script> = values
        .iter()
        .map(|value| refused_head(&format!("Host {value:?}"), &format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n")))
        .collect();
    let heads = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nX-Host: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nhOST:\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a@b\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET http://a@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET http://a.example:x/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ];
    scripts.extend(heads.iter().map(|head| refused_head(head, head)));
    Stage::new().play(scripts);
}

#[test]
fn the_host_is_looked_up_without_port_case_and_last_dot_and_passed_on_as_received() {
    let with_host = |host: &str| {
        let ours = OURS.replace("X-Forwarded-Host: a.example", &format!("X-Forwarded-Host: {host}"));
        script(host)
            .client(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .reaches_upstream(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{ours}\r\n"))
            .upstream(OK)
            .reaches_client(OK_RELAYED)
    };
    Stage::new().play(["a.example", "A.EXAMPLE", "a.example:80", "a.example:", "a.example."].map(with_host));
}

#[test]
fn an_unknown_host_is_404_and_the_connection_stays() {
    let unknown = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "b.example");
    Stage::new().play([script("unknown, then known")
        .client(unknown)
        .reaches_client(failed(404))
        .client(get(""))
        .reaches_upstream(passed_get(""))
        .upstream(OK)
        .reaches_client(OK_RELAYED)]);
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let head = "GET http://a.example/x?y HTTP/1.1\r\nHost: b.example\r\n\r\n";
    let upper = "GET HTTP://a.example?y HTTP/1.1\r\nHost: b.example\r\n\r\n";
    Stage::new().play([
        script("absolute")
            .client(head)
            .reaches_upstream(passed("GET /x?y", "", "", ""))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
        script("no path")
            .client(upper)
            .reaches_upstream(passed("GET /?y", "", "", ""))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
        script("another host's authority")
            .client("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .reaches_client(failed(404)),
    ]);
}
