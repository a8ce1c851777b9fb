//! Requests in requests: every way to make two parsers disagree on where a message ends is refused, and nothing of it
//! comes to the upstream.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

/// What a smuggler wants the upstream to see.
const SMUGGLED: &str = "GET /admin HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn refused_request(name: &str, request: impl AsRef<[u8]>) -> Script {
    script(name).client(request).reaches_client(refused(400)).closed()
}

/// `POST /` with these fields, and a body that ends differently for different readers.
fn post_with(fields: &str) -> Script {
    refused_request(fields, post(fields, &format!("0\r\n\r\n{SMUGGLED}")))
}

#[test]
fn two_lengths_are_refused() {
    Stage::new().play([
        post_with("Content-Length: 43\r\nTransfer-Encoding: chunked\r\n"),
        post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        post_with("Content-Length: 5\r\nTransfer-Encoding: identity\r\n"),
        post_with("Content-Length: 5\r\nContent-Length: 43\r\n"),
        post_with("Content-Length: 5\r\nContent-Length: 5\r\n"),
        post_with("Content-Length: 5, 5\r\n"),
        post_with("Content-Length: 5, 43\r\n"),
        post_with("Content-Length: 5\r\nX: y\r\ncontent-length: 0\r\n"),
    ]);
}

#[test]
fn a_length_that_is_not_only_digits_is_refused() {
    let values = [
        "",
        " ",
        "+5",
        "-5",
        "5 5",
        "0x5",
        "5.0",
        "5e0",
        "5;",
        "5,",
        ",5",
        "\"5\"",
        "five",
        "5\u{660}",
        "\u{665}",
        "18446744073709551617",
        "9223372036854775808",
        "99999999999999999999999999",
    ];
    Stage::new().play(values.map(|value| post_with(&format!("Content-Length: {value}\r\n"))));
}

#[test]
fn a_transfer_coding_other_than_chunked_is_refused() {
    let values = [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, identity",
        "chunked, chunked",
        "xchunked",
        "chunkedx",
        "x",
        ",chunked",
        "chunked,",
        "chunked;q=1",
        "chunked; a",
        "\"chunked\"",
        "'chunked'",
        "chun ked",
        "\u{b}chunked",
        "chunked\u{b}",
        "\u{c}chunked",
        "\u{a0}chunked",
        "chunked\0",
        "cow",
        "deflate",
        "compress",
    ];
    let mut scripts: Vec<Script> =
        values.iter().map(|value| post_with(&format!("Transfer-Encoding: {value}\r\n"))).collect();
    scripts.push(post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"));
    scripts.push(post_with("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n"));
    scripts.push(post_with("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n"));
    Stage::new().play(scripts);
}

#[test]
fn transfer_encoding_in_http_1_0_is_refused() {
    let head = |fields: &str| format!("POST / HTTP/1.0\r\nHost: a.example\r\n{fields}\r\n0\r\n\r\n{SMUGGLED}");
    Stage::new().play([
        refused_request("alone", head("Transfer-Encoding: chunked\r\n")),
        refused_request("kept alive", head("Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n")),
        refused_request("with length", head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
    ]);
}

#[test]
fn fields_that_parsers_read_differently_are_refused() {
    let fields = [
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\r\n\tz\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Content-Length\0: 5\r\n",
        "Content-Length: 5\0\r\n",
        "\0Content-Length: 5\r\n",
        "X: y\0\r\n",
        "X: y\u{1}\r\n",
        "X: y\u{7f}\r\n",
        "X: y\u{b}\r\n",
        "X y\r\n",
        ": y\r\n",
        "X(: y\r\n",
        "X\u{e9}: y\r\n",
        "X;: y\r\n",
        "X\"y\": z\r\n",
        "Transfer-Encoding chunked\r\n",
    ];
    Stage::new().play(fields.map(post_with));
}

#[test]
fn bare_carriage_returns_and_line_feeds_are_refused() {
    let heads = [
        "GET / HTTP/1.1\nHost: a.example\n\n",
        "GET / HTTP/1.1\r\nHost: a.example\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\n\n",
        "GET / HTTP/1.1\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: y\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: y\rContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX\r: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX:\ry\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\n\r\r\n\r\n",
        "GET /\r HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /\n HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ];
    Stage::new().play(heads.map(|head| refused_request(head, head)));
}

#[test]
fn chunks_that_parsers_read_differently_are_refused() {
    let bodies = [
        "0x2\r\nhi\r\n0\r\n\r\n",
        "+2\r\nhi\r\n0\r\n\r\n",
        "-2\r\nhi\r\n0\r\n\r\n",
        " 2\r\nhi\r\n0\r\n\r\n",
        "2 \r\nhi\r\n0\r\n\r\n",
        "2\t\r\nhi\r\n0\r\n\r\n",
        "2 ;a\r\nhi\r\n0\r\n\r\n",
        "2\nhi\n0\n\n",
        "2\r\nhi\n0\r\n\r\n",
        "2\r\nhi0\r\n\r\n",
        "2\r\nhix\r\n0\r\n\r\n",
        "2\r\r\nhi\r\n0\r\n\r\n",
        "2;\nhi\r\n0\r\n\r\n",
        "2;a\nb\r\nhi\r\n0\r\n\r\n",
        "2;a\rb\r\nhi\r\n0\r\n\r\n",
        "2;a=\"\n\"\r\nhi\r\n0\r\n\r\n",
        "2;\0\r\nhi\r\n0\r\n\r\n",
        "2,2\r\nhi\r\n0\r\n\r\n",
        "2_0\r\nhi\r\n0\r\n\r\n",
        "g\r\nhi\r\n0\r\n\r\n",
        "\r\nhi\r\n0\r\n\r\n",
        "00000000000000002\r\nhi\r\n0\r\n\r\n",
        "10000000000000002\r\nhi\r\n0\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX: y\0\r\n\r\n",
        "0\r\n\n",
    ];
    let script =
        |body: &str| refused_request(body, post("Transfer-Encoding: chunked\r\n", &format!("{body}{SMUGGLED}")));
    Stage::new().play(bodies.map(script));
}

#[test]
fn what_follows_a_body_is_the_next_request_and_only_that() {
    let then_get = |name: &str, first: String, seen: String| {
        script(name)
            .client(format!("{first}{}", get("X: second\r\n")))
            .reaches_upstream(seen)
            .upstream(OK)
            .reaches_client(OK_RELAYED)
            .reaches_same_upstream(passed_get("X: second\r\n"))
            .upstream(OK)
            .reaches_client(OK_RELAYED)
    };
    let fields = format!("Content-Length: {}\r\n", SMUGGLED.len());
    Stage::new().play([
        then_get("a request in a body of known length", post(&fields, SMUGGLED), passed_post("", SMUGGLED)),
        then_get(
            "a body of a GET",
            request("GET /", "Content-Length: 2\r\n", "hi"),
            passed("GET /", "", "Content-Length: 2\r\n", "hi"),
        ),
        then_get("an empty chunked body", post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), passed_post("", "")),
        then_get(
            "a coding in odd letters and white space",
            post("tRANSFER-eNCODING: \t CHUNKED \t\r\n", "2;a=\"\\\"\";b\r\nhi\r\n00\r\nX: y\r\n\r\n"),
            passed_post("", "hi"),
        ),
        then_get("no length", request("POST /", "", ""), passed("POST /", "", "", "")),
        then_get(
            "names with underscores are no framing",
            post("Content_Length: 5\r\nTransfer_Encoding: chunked\r\n", ""),
            passed("POST /", "", "", ""),
        ),
    ]);
}

#[test]
fn an_upgrade_that_the_upstream_declines_opens_no_tunnel() {
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    Stage::new().play([script("declined")
        .client(format!("{}{}", get(upgrade), get("X: second\r\n")))
        .reaches_upstream(passed("GET /", "", "Connection: upgrade\r\nUpgrade: websocket\r\n", ""))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .reaches_upstream(passed_get("X: second\r\n"))
        .upstream(OK)
        .reaches_client(OK_RELAYED)]);
}

#[test]
fn a_body_that_the_client_was_not_asked_for_is_not_waited_for() {
    let head =
        format!("POST / HTTP/1.1\r\nHost: {}\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n", "b.example");
    Stage::new().play([
        script("0.CL by Expect").client(&head).reaches_client(refused(404)).closed(),
        script("with the body sent").client(format!("{head}{SMUGGLED}")).reaches_client(refused(404)).closed().once(),
    ]);
}
