//! RFC 9110 10.1.1: we answer `100 Continue` when we begin to read the body, and never pass the expectation on.

use super::script::script;
use super::stage::Stage;
use super::text::*;

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let head = |framing: &str| post(&format!("Expect: 100-continue\r\n{framing}"), "");
    Stage::new().play([
        script("length")
            .client(head("Content-Length: 2\r\n"))
            .reaches_client(CONTINUE)
            .client("hi")
            .reaches_upstream(passed_post("", "hi"))
            .upstream(OK)
            .reaches_client(OK_RELAYED)
            .client(get(""))
            .reaches_same_upstream(passed_get(""))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
        script("chunked, in other letters")
            .client(post("expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", ""))
            .reaches_client(CONTINUE)
            .client("2\r\nhi\r\n0\r\n\r\n")
            .reaches_upstream(passed_post("", "hi"))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
        script("no body, nothing to wait for")
            .client(get("Expect: 100-continue\r\n"))
            .reaches_upstream(passed_get(""))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
        script("length 0")
            .client(head("Content-Length: 0\r\n"))
            .reaches_upstream(passed_post("", ""))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
    ]);
}

#[test]
fn a_client_that_does_not_wait_is_not_told() {
    Stage::new().play([
        script("body at once")
            .client(post("Expect: 100-continue\r\nContent-Length: 2\r\n", "hi"))
            .reaches_upstream(passed_post("", "hi"))
            .upstream(OK)
            .reaches_client(OK_RELAYED)
            .once(),
        script("1.0")
            .client("POST / HTTP/1.0\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            .client("hi")
            .reaches_upstream(passed_post("", "hi"))
            .upstream(OK)
            .reaches_client(OK_CLOSE)
            .closed(),
    ]);
}

#[test]
fn a_refused_body_is_not_asked_for() {
    let unknown = "POST / HTTP/1.1\r\nHost: b.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    Stage::new().play([
        script("unknown host").client(unknown).reaches_client(refused(404)).closed(),
        script("too large")
            .client(post("Expect: 100-continue\r\nContent-Length: 1048577\r\n", ""))
            .reaches_client(refused(413))
            .closed(),
    ]);
}

#[test]
fn another_expectation_is_417() {
    let values = ["nothing", "100-continue, x", "100", "", "200-ok", "100-continue;q=1"];
    let script =
        |value: &str| script(value).client(get(&format!("Expect: {value}\r\n"))).reaches_client(refused(417)).closed();
    Stage::new().play(values.map(script));
}
