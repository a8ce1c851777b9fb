//! RFC 9112 4 and 6.3: an upstream's head that is not plain HTTP is a 502, and its connection dies.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

fn bad_answer(name: &str, answer: &str) -> Script {
    script(name)
        .client(get(""))
        .reaches_upstream(passed_get(""))
        .upstream(answer)
        .reaches_client(failed(502))
        .upstream_is_dropped()
        .client(get(""))
        .reaches_upstream(passed_get(""))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
}

#[test]
fn a_bad_status_line_is_502() {
    let lines = [
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 -200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "ICY 200 OK",
        "<html>hello",
        "GET / HTTP/1.1",
        "HTTP/1.1 200 a\0b",
        "HTTP/1.1 200 a\rb",
        "HTTP/1.1200 OK",
        "HTTP/1.1 200OK",
    ];
    let script = |line: &str| bad_answer(line, &format!("{line}\r\nContent-Length: 2\r\n\r\nok"));
    Stage::new().play(lines.map(script));
}

#[test]
fn what_is_not_http_is_502_before_its_end() {
    let answers =
        ["SSH-2.0-OpenSSH_10.0\r\n", "220 mail ESMTP\r\n", "\x15\x03\x03\0\x02\x02\x46", "HTTP/2", "HTTQ", "\r"];
    Stage::new().play(answers.map(|answer| bad_answer(&answer.escape_default().to_string(), answer)));
}

#[test]
fn a_bad_head_is_502() {
    let heads = [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: 2x\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: +2\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length : 2\r\n",
        "X: a\r\n b\r\n",
        " X: a\r\n",
        "X: a\0b\r\n",
        "X: a\rb\r\n",
        "X: a\nContent-Length: 2\r\n",
        "X\r\n",
        ": a\r\n",
        "X y: a\r\n",
    ];
    let script = |head: &str| bad_answer(head, &format!("HTTP/1.1 200 OK\r\n{head}\r\n2\r\nok\r\n0\r\n\r\n"));
    Stage::new().play(heads.map(script));
}

#[test]
fn transfer_encoding_in_an_http_1_0_answer_is_502() {
    let answer = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    Stage::new().play([bad_answer("1.0", answer)]);
}

#[test]
fn an_answer_that_breaks_off_in_its_head_is_502() {
    let broken = |name: &str, part: &str| {
        script(name)
            .client(post("Content-Length: 0\r\n", ""))
            .reaches_upstream(passed_post("", ""))
            .upstream(part)
            .upstream_closes()
            .reaches_client(failed(502))
    };
    Stage::new().play([
        broken("in the status line", "HTTP/1.1 20"),
        broken("in a field", "HTTP/1.1 200 OK\r\nContent-Le"),
        broken("before the empty line", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
        broken("behind an interim answer", "HTTP/1.1 100 Continue\r\n\r\n"),
    ]);
}

#[test]
fn odd_but_clear_status_lines_pass() {
    let answer = |name: &str, sent: &str, passed: &str| {
        script(name)
            .client(get(""))
            .reaches_upstream(passed_get(""))
            .upstream(format!("HTTP/1.1 {sent}\r\nContent-Length: 2\r\n\r\nok"))
            .reaches_client(relayed(passed, "", "Content-Length: 2\r\n", "ok"))
    };
    Stage::new().play([
        answer("no reason, with space", "200 ", "200 OK"),
        answer("no reason, no space", "200", "200 OK"),
        answer("another reason", "200 Fine", "200 Fine"),
        answer("an unknown status", "599 Odd", "599 Odd"),
        answer("a long status", "999 Odd", "999 Odd"),
    ]);
}
