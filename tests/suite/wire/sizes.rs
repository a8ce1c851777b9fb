//! Every size has its limit, and every limit its status.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

fn refused_request(name: &str, sent: String, status: u16) -> Script {
    script(name).client(sent).reaches_client(refused(status)).closed().once()
}

#[test]
fn request_heads_have_limits() {
    let long = "x".repeat(16 << 10);
    let fields = |count: usize| "X: y\r\n".repeat(count);
    Stage::new().play([
        refused_request("line", format!("GET /{long} HTTP/1.1\r\n"), 414),
        refused_request("line without an end", format!("GET /{long}"), 414),
        refused_request("field", format!("GET / HTTP/1.1\r\nX: {long}\r\n"), 431),
        refused_request("field without an end", format!("GET / HTTP/1.1\r\nX: {long}"), 431),
        refused_request("fields", get(&fields(128)), 431),
        refused_request("head", get(&format!("X: {}\r\n", "y".repeat(15 << 10)).repeat(5)), 431),
        script("as many fields as may be")
            .client(get(&fields(127)))
            .reaches_upstream(passed_get(&fields(127)))
            .upstream(OK)
            .reaches_client(OK_RELAYED)
            .once(),
    ]);
}

#[test]
fn bodies_have_a_limit() {
    let stage = Stage::with_limits(&[("body", "10")]);
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    stage.play([
        script("11 announced").client(post("Content-Length: 11\r\n", "")).reaches_client(refused(413)).closed(),
        script("11 in chunks")
            .client(chunked("6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"))
            .reaches_client(refused(413))
            .closed(),
        script("10 announced")
            .client(post("Content-Length: 10\r\n", "helloworld"))
            .reaches_upstream(passed_post("", "helloworld"))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
        script("10 in chunks")
            .client(chunked("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"))
            .reaches_upstream(passed_post("", "helloworld"))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
    ]);
}

#[test]
fn chunk_lines_extensions_and_trailers_have_limits() {
    let body = |name: &str, body: String, status: u16| {
        refused_request(name, post("Transfer-Encoding: chunked\r\n", &body), status)
    };
    let extension = format!("1;{}\r\nx\r\n", "a".repeat(200));
    Stage::new().play([
        body("chunk line", format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(255)), 400),
        body("extensions of all chunks", format!("{}0\r\n\r\n", extension.repeat(82)), 400),
        body("trailers", format!("0\r\nX: {}\r\n\r\n", "y".repeat(8 << 10)), 431),
        body("trailer fields", format!("0\r\n{}\r\n", "X: y\r\n".repeat(33)), 431),
    ]);
}

#[test]
fn response_heads_have_limits() {
    let answer = |name: &str, head: String| {
        script(name)
            .client(get(""))
            .reaches_upstream(passed_get(""))
            .upstream(format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 2\r\n\r\nok"))
            .reaches_client(failed(502))
            .upstream_is_dropped()
            .once()
    };
    Stage::new()
        .play([answer("bytes", format!("X: {}\r\n", "y".repeat(64 << 10))), answer("fields", "X: y\r\n".repeat(256))]);
}

#[test]
fn a_head_that_does_not_come_in_time_is_408() {
    let stage = Stage::with_limits(&[("head-time", "200ms")]);
    stage.play([
        script("half a head").client("GET / HTTP/1.1\r\nHost:").reaches_client(refused(408)).closed().once(),
        script("nothing").closed().once(),
    ]);
}

#[test]
fn a_body_that_does_not_come_in_time_is_408() {
    let stage = Stage::with_limits(&[("body-gap", "200ms")]);
    stage.play([script("half a body")
        .client(post("Content-Length: 5\r\n", "he"))
        .reaches_client(refused(408))
        .closed()
        .once()]);
}

#[test]
fn an_answer_that_does_not_come_in_time_is_504() {
    let stage = Stage::with_limits(&[("response-head-time", "200ms")]);
    stage.play([script("no head")
        .client(post("Content-Length: 2\r\n", "hi"))
        .reaches_upstream(passed_post("", "hi"))
        .reaches_client(failed(504))
        .upstream_is_dropped()
        .once()]);
}
