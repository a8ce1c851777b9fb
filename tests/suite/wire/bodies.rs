//! Bodies both ways: framed anew from what was read, and none where there is none.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

fn answer(name: &str, line: &str, sent: &str, seen: &str) -> Script {
    script(name)
        .client(request(line, "", ""))
        .reaches_upstream(passed(line, "", "", ""))
        .upstream(sent)
        .reaches_client(seen)
        .client(get("X: next\r\n"))
        .reaches_same_upstream(passed_get("X: next\r\n"))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
}

#[test]
fn request_bodies_are_framed_as_they_were_read() {
    let body = |line: &str, framing: &str, body: &str, passed_body: &str| {
        let length = format!("Content-Length: {}\r\n", passed_body.len());
        script(&format!("{line} {framing:?} {body:?}"))
            .client(request(line, framing, body))
            .reaches_upstream(passed(line, "", &length, passed_body))
            .upstream(OK)
            .reaches_client(OK_RELAYED)
    };
    Stage::new().play(
        [
            body("POST /", "Content-Length: 5\r\n", "hello", "hello"),
            body("POST /", "Content-Length: 005\r\n", "hello", "hello"),
            body("POST /", "Content-Length: 0\r\n", "", ""),
            body("GET /", "Content-Length: 5\r\n", "hello", "hello"),
            body("HEAD /", "Content-Length: 5\r\n", "hello", "hello"),
            body("DELETE /", "Content-Length: 5\r\n", "hello", "hello"),
            body("PATCH /", "Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"),
            body("GET /", "Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", "hello"),
            body("POST /", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", ""),
        ]
        .into_iter()
        .map(|script| if script.name.starts_with("HEAD") { head_answer(script) } else { script })
        .collect::<Vec<_>>(),
    );
}

/// The answer to HEAD has no body.
fn head_answer(script: Script) -> Script {
    use super::script::Step;
    let cut = |bytes: Vec<u8>| bytes.strip_suffix(b"ok").map(<[u8]>::to_vec).unwrap_or(bytes);
    let steps = script.steps.into_iter().map(|step| match step {
        Step::Upstream(bytes) => Step::Upstream(cut(bytes)),
        Step::ToClient(bytes) => Step::ToClient(cut(bytes)),
        step => step,
    });
    Script { steps: steps.collect(), ..script }
}

#[test]
fn a_long_chunked_request_streams_in_chunks() {
    let body = "x".repeat(100_000);
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    let seen = passed("POST /", "", "Transfer-Encoding: chunked\r\n", &format!("{{chunks:{body}}}0\r\n\r\n"));
    Stage::new().play([script("100 000 bytes")
        .client(post("Transfer-Encoding: chunked\r\n", &format!("{chunk}0\r\nX-T: 1\r\n\r\n")))
        .reaches_upstream(seen)
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .once()]);
}

#[test]
fn a_long_request_of_known_length_streams() {
    let body = "x".repeat(300_000);
    Stage::new().play([script("300 000 bytes")
        .client(post("Content-Length: 300000\r\n", &body))
        .reaches_upstream(passed_post("", &body))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .once()]);
}

#[test]
fn answers_are_framed_anew_and_the_connection_is_used_again() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    Stage::new().play([
        answer("length", "GET /", OK, OK_RELAYED),
        answer(
            "chunks",
            "GET /",
            chunked,
            &relayed("200 OK", "", "Transfer-Encoding: chunked\r\n", "{chunks:hello}0\r\n\r\n"),
        ),
        answer(
            "empty",
            "GET /",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            &relayed("200 OK", "", "Content-Length: 0\r\n", ""),
        ),
        answer(
            "a Date of the upstream's stays",
            "GET /",
            "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok",
        ),
    ]);
}

#[test]
fn answers_without_body_have_none() {
    let no_body = |name: &str, line: &str, status: &str, sent: &str, seen: &str| {
        answer(name, line, &format!("HTTP/1.1 {status}\r\n{sent}\r\n"), &relayed(status, "", seen, ""))
    };
    // The back end may be about to send the body that it speaks of: its connection is not used again.
    let maybe_body = |name: &str, line: &str, status: &str, sent: &str, seen: &str| {
        script(name)
            .client(request(line, "", ""))
            .reaches_upstream(passed(line, "", "", ""))
            .upstream(format!("HTTP/1.1 {status}\r\n{sent}\r\n"))
            .reaches_client(relayed(status, "", seen, ""))
            .upstream_is_dropped()
            .client(get("X: next\r\n"))
            .reaches_upstream(passed_get("X: next\r\n"))
            .upstream(OK)
            .reaches_client(OK_RELAYED)
    };
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    Stage::new().play([
        maybe_body("HEAD with length", "HEAD /", "200 OK", length, length),
        maybe_body("HEAD in chunks", "HEAD /", "200 OK", chunked, ""),
        no_body("HEAD without framing", "HEAD /", "200 OK", "", ""),
        no_body("204", "GET /", "204 No Content", "", ""),
        maybe_body("204 with a length it must not have", "GET /", "204 No Content", length, ""),
        maybe_body("204 in chunks it must not have", "GET /", "204 No Content", chunked, ""),
        no_body("304", "GET /", "304 Not Modified", "", ""),
        no_body("304 with length", "GET /", "304 Not Modified", length, length),
    ]);
}

#[test]
fn chunks_for_an_http_1_0_client_end_with_the_connection() {
    Stage::new().play([script("1.0")
        .client("GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n")
        .reaches_upstream(passed_get(""))
        .upstream("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n")
        .reaches_client(relayed("200 OK", "", "Connection: close\r\n", "hello"))
        .closed()]);
}

#[test]
fn trailers_go_to_a_client_that_takes_them() {
    let sent = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
        X-T: 1\r\nContent-Length: 9\r\nHost: x\r\nTransfer-Encoding: gzip\r\nX_U: 1\r\n\r\n";
    let seen = |end: &str| relayed("200 OK", "", "Transfer-Encoding: chunked\r\n", &format!("{{chunks:ok}}{end}"));
    let ask = |name: &str, fields: &str, end: &str| {
        script(name).client(get(fields)).reaches_upstream(passed_get("")).upstream(sent).reaches_client(seen(end))
    };
    Stage::new().play([
        ask("asked for", "TE: trailers\r\n", "0\r\nX-T: 1\r\n\r\n"),
        ask("asked for among others", "TE: gzip;q=0.5, Trailers\r\nConnection: TE\r\n", "0\r\nX-T: 1\r\n\r\n"),
        ask("not asked for", "", "0\r\n\r\n"),
        ask("asked for something else", "TE: gzip\r\n", "0\r\n\r\n"),
    ]);
}

#[test]
fn an_answer_may_come_before_the_request_ends() {
    let half = "x".repeat(70_000);
    Stage::new().play([script("early answer")
        .client(post("Content-Length: 200000\r\n", &half))
        .reaches_upstream(passed("POST /", "", "Content-Length: 200000\r\n", &half))
        .upstream("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        .reaches_client(relayed("403 Forbidden", "", "Content-Length: 2\r\nConnection: close\r\n", "no"))
        .closed()
        .upstream_is_dropped()
        .once()]);
}
