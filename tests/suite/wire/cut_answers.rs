//! RFC 9112 8: an answer that breaks off looks broken to the client.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nhello";

fn asked(name: &str, version: &str, answer: &str) -> Script {
    let head = format!("GET / HTTP/{version}\r\nHost: a.example\r\n\r\n");
    script(name).client(head).reaches_upstream(passed_get("")).upstream(answer)
}

#[test]
fn a_cut_answer_of_known_length_ends_short() {
    let head = relayed("200 OK", "", "Content-Length: 10\r\n", "hello");
    Stage::new().play([
        asked("closed", "1.1", LENGTH).reaches_client(&head).upstream_closes().closed(),
        asked("reset", "1.1", LENGTH).reaches_client(&head).upstream_resets().closed(),
        asked("without any body", "1.1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            .reaches_client(relayed("200 OK", "", "Content-Length: 10\r\n", ""))
            .upstream_closes()
            .closed(),
    ]);
}

#[test]
fn a_cut_chunked_answer_has_no_last_chunk() {
    let head = relayed("200 OK", "", "Transfer-Encoding: chunked\r\n", "{chunks:hello}");
    let bad = |name: &str, more: &str| asked(name, "1.1", CHUNKED).reaches_client(&head).upstream(more).closed();
    Stage::new().play([
        asked("closed", "1.1", CHUNKED).reaches_client(&head).upstream_closes().closed(),
        asked("reset", "1.1", CHUNKED).reaches_client(&head).upstream_resets().closed(),
        asked("in the last chunk", "1.1", &format!("{CHUNKED}0\r\n")).reaches_client(&head).upstream_closes().closed(),
        bad("a bad size", "x\r\n"),
        bad("a bare line feed", "1\na"),
        bad("a bad trailer", "0\r\nX : y\r\n\r\n"),
        bad("a size out of range", "10000000000000000\r\n"),
    ]);
}

#[test]
fn a_cut_chunked_answer_is_reset_for_a_client_that_knows_only_the_end() {
    let head = relayed("200 OK", "", "Connection: close\r\n", "hello");
    Stage::new().play([
        asked("closed", "1.0", CHUNKED).reaches_client(&head).upstream_closes().reset(),
        asked("malformed", "1.0", CHUNKED).reaches_client(&head).upstream("x\r\n").reset(),
    ]);
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole_only_after_a_clean_end() {
    let chunked = relayed("200 OK", "", "Transfer-Encoding: chunked\r\n", "{chunks:hello}");
    let plain = relayed("200 OK", "", "Connection: close\r\n", "hello");
    Stage::new().play([
        asked("whole", "1.1", UNTIL_CLOSE).reaches_client(&chunked).upstream_closes().reaches_client("0\r\n\r\n"),
        asked("whole for 1.0", "1.0", UNTIL_CLOSE).reaches_client(&plain).upstream_closes().closed(),
        asked("reset", "1.1", UNTIL_CLOSE).reaches_client(&chunked).upstream_resets().closed(),
        asked("reset for 1.0", "1.0", UNTIL_CLOSE).reaches_client(&plain).upstream_resets().reset(),
        asked("empty", "1.1", "HTTP/1.1 200 OK\r\n\r\n")
            .reaches_client(relayed("200 OK", "", "Transfer-Encoding: chunked\r\n", ""))
            .upstream_closes()
            .reaches_client("0\r\n\r\n"),
    ]);
}
