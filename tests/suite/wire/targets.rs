//! Request lines: targets, methods, versions.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

fn refused_line(line: &str, status: u16) -> Script {
    script(line).client(format!("{line}\r\nHost: a.example\r\n\r\n")).reaches_client(refused(status)).closed()
}

fn target(sent: &str, forwarded: &str) -> Script {
    script(sent)
        .client(request(&format!("GET {sent}"), "", ""))
        .reaches_upstream(passed(&format!("GET {forwarded}"), "", "", ""))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
}

#[test]
fn a_bad_request_line_is_refused() {
    let bad = [
        "GET /",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / a HTTP/1.1",
        "GET a HTTP/1.1",
        "GET a.example/ HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "G@T / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP/01.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/1.10",
        "GET / HTTPS/1.1",
        "GET / FTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://a.example/ HTTP/1.1",
        "GET /../ HTTP/1.1",
        "GET /%2e%2e HTTP/1.1",
        "GET /% HTTP/1.1",
        "GET /%4 HTTP/1.1",
        "GET /%zz HTTP/1.1",
        "GET /%00 HTTP/1.1",
    ];
    Stage::new().play(bad.map(|line| refused_line(line, 400)));
}

#[test]
fn what_can_only_be_another_protocol_gets_no_answer() {
    let script = |line: &str| script(line).client(format!("{line}\r\nHost: a.example\r\n\r\n")).closed();
    Stage::new().play(["INVALID CONNECTION PREFACE", "A B C"].map(script));
    Stage::new().play(["GET", "GET a", "SSH-2.0-x"].map(|line| refused_line(line, 400)));
}

#[test]
fn other_versions_are_505() {
    Stage::new().play(["GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/3.1"].map(|line| refused_line(line, 505)));
}

#[test]
fn connect_and_trace_are_405() {
    let allow = own(405, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n", "Connection: close\r\n");
    let line = |line: &str| script(line).client(request(line, "", "")).reaches_client(&allow).closed();
    Stage::new().play([line("CONNECT a.example:443"), line("CONNECT /"), line("TRACE /")]);
}

#[test]
fn our_own_version_is_sent_both_ways() {
    Stage::new().play([
        script("a later 1.x is 1.1")
            .client("GET / HTTP/1.7\r\nHost: a.example\r\n\r\n")
            .reaches_upstream(passed_get(""))
            .upstream("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .reaches_client(OK_RELAYED),
        script("1.0")
            .client("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
            .reaches_upstream(passed_get(""))
            .upstream(OK)
            .reaches_client(OK_CLOSE)
            .closed(),
        script("1.0 that wants to stay")
            .client("GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n")
            .reaches_upstream(passed_get(""))
            .upstream(OK)
            .reaches_client(OK_CLOSE.replace("close", "keep-alive"))
            .client(get(""))
            .reaches_same_upstream(passed_get(""))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
    ]);
}

#[test]
fn one_empty_line_before_a_request_is_passed_over_and_no_more() {
    Stage::new().play([
        script("one")
            .client(format!("\r\n{}", get("")))
            .reaches_upstream(passed_get(""))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
        script("two").client(format!("\r\n\r\n{}", get(""))).reaches_client(refused(400)).closed(),
        script("bare").client(format!("\n{}", get(""))).reaches_client(refused(400)).closed(),
    ]);
}

#[test]
fn the_path_is_forwarded_as_received_unless_something_was_decoded_or_removed() {
    Stage::new().play([
        target("/a/b?c=%41&d=../e", "/a/b?c=%41&d=../e"),
        target("/%61", "/a"),
        target("/a%2fb%5c", "/a%2fb%5c"),
        target("/a/%2e%2E/b", "/b"),
        target("/a/../b?q", "/b?q"),
        target("//a//b", "//a//b"),
        target("/./a", "/a"),
        target("/a\\..\\b", "/a\\..\\b"),
        target("/?", "/?"),
    ]);
}
