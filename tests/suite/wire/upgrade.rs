//! RFC 9110 7.8: no protocol switch that the client did not ask for, and no tunnel before the 101.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

const ASK: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

fn passed_upgrade(token: &str) -> String {
    passed("GET /", "", &format!("Connection: upgrade\r\nUpgrade: {token}\r\n"), "")
}

#[test]
fn bytes_flow_both_ways_after_the_101() {
    Stage::new().play([
        script("both ways")
            .client(get(ASK))
            .reaches_upstream(passed_upgrade("websocket"))
            .upstream(SWITCH)
            .reaches_client(SWITCH)
            .client("ping\r\n\r\n")
            .reaches_same_upstream("ping\r\n\r\n")
            .upstream("pong\0")
            .reaches_client("pong\0")
            .upstream_closes()
            .closed(),
        script("bytes right behind the head and the 101")
            .client(format!("{}early", get(ASK)))
            .reaches_upstream(passed_upgrade("websocket"))
            .upstream(format!("{SWITCH}first"))
            .reaches_client(format!("{SWITCH}first"))
            .reaches_same_upstream("early"),
        script("the client ends")
            .client(get(ASK))
            .reaches_upstream(passed_upgrade("websocket"))
            .upstream(SWITCH)
            .reaches_client(SWITCH)
            .client_ends()
            .upstream_is_dropped(),
    ]);
}

#[test]
fn bytes_behind_the_head_are_held_until_the_101() {
    Stage::new().play([script("held")
        .client(format!("{}GET /admin HTTP/1.1\r\nHost: a.example\r\n\r\n", get(ASK)))
        .reaches_upstream(passed_upgrade("websocket"))
        .upstream("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        .reaches_client(relayed("403 Forbidden", "", "Content-Length: 2\r\n", "no"))
        .reaches_upstream(passed("GET /admin", "", "", ""))
        .upstream(OK)
        .reaches_client(OK_RELAYED)]);
}

#[test]
fn an_upgrade_uses_a_fresh_connection_that_is_not_used_again() {
    Stage::new().play([script("fresh")
        .client(get(""))
        .reaches_upstream(passed_get(""))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .client(get(ASK))
        .reaches_upstream(passed_upgrade("websocket"))
        .upstream(OK)
        .reaches_client(OK_RELAYED)
        .upstream_is_dropped()]);
}

/// The request goes on without its Upgrade.
fn ignored(name: &str, head: &str, body: &str, seen: &str, answer: &str) -> Script {
    script(name).client(format!("{head}{body}")).reaches_upstream(seen).upstream(OK).reaches_client(answer)
}

#[test]
fn an_upgrade_that_may_not_be_is_not_passed_on() {
    let tokens = ["h2c", "H2C", "HTTP/2.0", "http/1.1", "TLS/1.0", "tls/1.2, HTTP/1.1", "h2c, TLS/1.0"];
    let mut scripts: Vec<Script> = tokens
        .iter()
        .map(|token| {
            let fields =
                format!("Connection: upgrade, http2-settings\r\nUpgrade: {token}\r\nHTTP2-Settings: AAMAAABk\r\n");
            ignored(token, &get(&fields), "", &passed_get(""), OK_RELAYED)
        })
        .collect();
    let old = "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let with_body = post(&format!("{ASK}Content-Length: 2\r\n"), "hi");
    let chunked = post(&format!("{ASK}Transfer-Encoding: chunked\r\n"), "2\r\nhi\r\n0\r\n\r\n");
    scripts.push(ignored("HTTP/1.0", old, "", &passed_get(""), OK_CLOSE));
    scripts.push(ignored("not named by Connection", &get("Upgrade: websocket\r\n"), "", &passed_get(""), OK_RELAYED));
    scripts.push(ignored("Connection only", &get("Connection: upgrade\r\n"), "", &passed_get(""), OK_RELAYED));
    scripts.push(ignored("with a body", &with_body, "", &passed_post("", "hi"), OK_RELAYED));
    scripts.push(ignored("with a chunked body", &chunked, "", &passed_post("", "hi"), OK_RELAYED));
    Stage::new().play(scripts);
}

#[test]
fn a_101_that_was_not_asked_for_is_502() {
    let answer = |name: &str, ask: &str, seen: String, switch: &str| {
        script(name)
            .client(get(ask))
            .reaches_upstream(seen)
            .upstream(switch)
            .reaches_client(failed(502))
            .upstream_is_dropped()
    };
    let other = SWITCH.replace("websocket", "other");
    let none = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    Stage::new().play([
        answer("no upgrade asked", "", passed_get(""), SWITCH),
        answer(
            "h2c asked, not passed on",
            "Connection: upgrade\r\nUpgrade: h2c\r\n",
            passed_get(""),
            &SWITCH.replace("websocket", "h2c"),
        ),
        answer("another protocol", ASK, passed_upgrade("websocket"), &other),
        answer("no protocol", ASK, passed_upgrade("websocket"), none),
    ]);
}
