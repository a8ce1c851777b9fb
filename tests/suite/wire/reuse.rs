//! Connections used again: clean ones only, and a request is repeated only where that does no harm.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

/// One GET that is answered with [`OK`].
fn served(name: &str) -> Script {
    script(name).client(get("")).reaches_upstream(passed_get("")).upstream(OK).reaches_client(OK_RELAYED)
}

#[test]
fn a_clean_connection_is_used_again() {
    Stage::new().play([served("twice")
        .client(get(""))
        .reaches_same_upstream(passed_get(""))
        .upstream(OK)
        .reaches_client(OK_RELAYED)]);
}

#[test]
fn pipelined_requests_are_served_in_order() {
    Stage::new().play([script("three")
        .client(format!("{}{}{}", get("X: 1\r\n"), post("Content-Length: 2\r\n", "hi"), get("X: 3\r\n")))
        .reaches_upstream(passed_get("X: 1\r\n"))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .reaches_same_upstream(passed_post("", "hi"))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .reaches_same_upstream(passed_get("X: 3\r\n"))
        .upstream(OK)
        .reaches_client(OK_RELAYED)]);
}

#[test]
fn the_client_may_end_its_connection() {
    let close = script("close").client(get("Connection: close\r\n")).reaches_upstream(passed_get(""));
    let ignored = script("nothing is read behind it").client(get("Connection: close\r\n") + &get("X: 2\r\n"));
    Stage::new().play([
        close.upstream(OK).reaches_client(OK_CLOSE).closed(),
        ignored.reaches_upstream(passed_get("")).upstream(OK).reaches_client(OK_CLOSE).closed(),
    ]);
}

/// After this answer, which comes to the client as it should, the next request comes on another connection.
fn spoiled(name: &str, line: &str, sent: &str, seen: &str) -> Script {
    script(name)
        .client(request(line, "", ""))
        .reaches_upstream(passed(line, "", "", ""))
        .upstream(sent)
        .reaches_client(seen)
        .upstream_is_dropped()
        .client(get("X: next\r\n"))
        .reaches_upstream(passed_get("X: next\r\n"))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
}

#[test]
fn a_connection_that_is_not_clean_is_not_used_again() {
    let none = |status: &str| relayed(status, "", "", "");
    Stage::new().play(
        [
            spoiled(
                "close",
                "GET /",
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
                OK_RELAYED,
            ),
            spoiled(
                "close among others",
                "GET /",
                "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
                OK_RELAYED,
            ),
            spoiled("HTTP/1.0", "GET /", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", OK_RELAYED),
            spoiled("stray bytes", "GET /", &format!("{OK}stray"), OK_RELAYED),
            spoiled("a second answer", "GET /", &format!("{OK}{OK}"), OK_RELAYED),
            spoiled("a line behind the answer", "GET /", &format!("{OK}\r\n"), OK_RELAYED),
            spoiled("a body for HEAD", "HEAD /", OK, OK_RELAYED.strip_suffix("ok").unwrap()),
            spoiled("a body for 204", "GET /", "HTTP/1.1 204 No Content\r\n\r\nok", &none("204 No Content")),
            spoiled("a body for 304", "GET /", "HTTP/1.1 304 Not Modified\r\n\r\nok", &none("304 Not Modified")),
            spoiled(
                "bytes behind the last chunk",
                "GET /",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx",
                &relayed("200 OK", "", "Transfer-Encoding: chunked\r\n", "{chunks:ok}0\r\n\r\n"),
            ),
        ]
        .map(Script::once),
    );
}

#[test]
fn an_answer_is_never_taken_from_what_came_before_the_request() {
    Stage::new().play([served("poisoned")
        .upstream("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhacked")
        .client(get("X: next\r\n"))
        .reaches_upstream(passed_get("X: next\r\n"))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .once()]);
}

#[test]
fn an_idle_connection_that_the_upstream_ended_is_not_used() {
    let next = |script: Script| {
        script
            .client(post("Content-Length: 2\r\n", "hi"))
            .reaches_upstream(passed_post("", "hi"))
            .upstream(OK)
            .reaches_client(OK_RELAYED)
            .once()
    };
    Stage::new().play([next(served("closed").upstream_closes()), next(served("reset").upstream_resets())]);
}

#[test]
fn an_idempotent_request_is_sent_again_when_a_used_connection_ends_before_a_byte() {
    let again =
        |script: Script| script.reaches_upstream(passed_get("X: 2\r\n")).upstream(OK).reaches_client(OK_RELAYED).once();
    let second = |name: &str| served(name).client(get("X: 2\r\n")).reaches_same_upstream(passed_get("X: 2\r\n"));
    Stage::new().play([again(second("closed").upstream_closes()), again(second("reset").upstream_resets())]);
}

#[test]
fn an_empty_body_in_chunks_ends_with_its_last_chunk_when_it_is_sent_again() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let passed = passed("GET /", "", chunked, "0\r\n\r\n");
    Stage::unbuffered().play([served("closed")
        .client(request("GET /", chunked, "0\r\n\r\n"))
        .reaches_same_upstream(&passed)
        .upstream_closes()
        .reaches_upstream(&passed)
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .client(get("X: next\r\n"))
        .reaches_same_upstream(passed_get("X: next\r\n"))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .once()]);
}

#[test]
fn a_request_that_is_not_idempotent_is_sent_once() {
    let second = |name: &str| {
        served(name).client(post("Content-Length: 2\r\n", "hi")).reaches_same_upstream(passed_post("", "hi"))
    };
    Stage::new().play([
        second("closed").upstream_closes().reaches_client(failed(502)).once(),
        second("reset").upstream_resets().reaches_client(failed(502)).once(),
    ]);
}

#[test]
fn nothing_is_sent_again_after_a_byte_of_the_answer() {
    Stage::new().play([served("begun")
        .client(get("X: 2\r\n"))
        .reaches_same_upstream(passed_get("X: 2\r\n"))
        .upstream("H")
        .upstream_closes()
        .reaches_client(failed(502))
        .once()]);
}

#[test]
fn a_client_that_goes_away_takes_its_upstream_request_with_it() {
    let asked = |name: &str| script(name).client(get("")).reaches_upstream(passed_get(""));
    let ahead = get("X: ahead\r\n").repeat(2_000);
    Stage::new().play(
        [
            asked("reset").client_resets().upstream_is_dropped(),
            asked("ended").client_ends().upstream_is_dropped(),
            asked("reset behind more than is taken in").client(&ahead).client_resets().upstream_is_dropped(),
            asked("ended behind more than is taken in").client(&ahead).client_ends().upstream_is_dropped(),
            asked("reset in the answer")
                .upstream("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
                .reaches_client(relayed("200 OK", "", "Content-Length: 9\r\n", "ok"))
                .client_resets()
                .upstream_is_dropped(),
        ]
        .map(Script::once),
    );
}
