//! RFC 9110 7.6.1: what is meant for one hop stays there, in both directions.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

/// A request with these fields, of which those pass.
fn request_fields(name: &str, sent: &str, passed: &str) -> Script {
    script(name).client(get(sent)).reaches_upstream(passed_get(passed)).upstream(OK).reaches_client(OK_RELAYED)
}

#[test]
fn fields_that_connection_names_are_not_passed_to_the_upstream() {
    Stage::new().play([
        request_fields("one", "Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\n", "X-B: 2\r\n"),
        request_fields("in any case and order", "x-a: 1\r\nCONNECTION: foo, X-A\r\n", ""),
        request_fields("every line of it", "X-A: 1\r\nX-A: 2\r\nConnection: X-A\r\n", ""),
        request_fields("in two Connection lines", "Connection: a\r\nA: 1\r\nB: 2\r\nConnection: b\r\n", ""),
        request_fields("empty members", "Connection: ,, a ,\r\nA: 1\r\n", ""),
        request_fields(
            "authorization, if the client wants so",
            "Connection: authorization\r\nAuthorization: x\r\n",
            "",
        ),
        request_fields("a name we know but do not set", "Connection: user-agent\r\nUser-Agent: x\r\n", ""),
        request_fields(
            "conditions",
            "Connection: if-none-match, range\r\nIf-None-Match: *\r\nRange: bytes=0-1\r\n",
            "",
        ),
        request_fields("for caches", "Connection: cache-control\r\nCache-Control: no-cache\r\n", ""),
        request_fields("referer", "Connection: referer\r\nReferer: http://x/\r\n", ""),
        request_fields("a name that is not there", "Connection: nothing\r\nA: 1\r\n", "A: 1\r\n"),
    ]);
}

#[test]
fn connection_cannot_take_away_what_we_need() {
    let body = |name: &str, options: &str| {
        let sent = post(&format!("Connection: {options}\r\nContent-Length: 2\r\n"), "hi");
        script(name).client(sent).reaches_upstream(passed_post("", "hi")).upstream(OK).reaches_client(OK_RELAYED)
    };
    Stage::new().play([
        body("Host", "host"),
        body("Content-Length", "content-length"),
        body("what we add", "x-forwarded-for, x-request-id, x-real-ip, x-forwarded-proto, x-scheme"),
        script("Transfer-Encoding")
            .client(post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"))
            .reaches_upstream(passed_post("", "hi"))
            .upstream(OK)
            .reaches_client(OK_RELAYED),
    ]);
}

#[test]
fn fields_for_one_hop_are_not_passed_to_the_upstream() {
    let fields = ["Connection: keep-alive", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers"];
    let more = ["HTTP2-Settings: AAMAAABk", "Upgrade: websocket", "Trailer: X-A", "TE: gzip"];
    let alone = fields.iter().chain(&more).map(|field| request_fields(field, &format!("{field}\r\n"), ""));
    Stage::new().play(alone.collect::<Vec<_>>());
}

#[test]
fn fields_that_a_client_may_not_set_are_replaced_or_dropped() {
    Stage::new().play([
        request_fields("Proxy", "Proxy: http://evil/\r\n", ""),
        request_fields("underscore", "X_Forwarded_For: 1\r\nContent_Length: 5\r\nA_B: 1\r\n", ""),
        request_fields("forwarded", "Forwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n", ""),
        request_fields("client certificate", "SSL-Client-Verify: SUCCESS\r\nssl-client-cert: x\r\n", ""),
    ]);
}

#[test]
fn fields_for_one_hop_are_not_passed_to_the_client() {
    let answer = |name: &str, sent: &str, passed: &str| {
        script(name)
            .client(get(""))
            .reaches_upstream(passed_get(""))
            .upstream(format!("HTTP/1.1 200 OK\r\n{sent}Content-Length: 2\r\n\r\nok"))
            .reaches_client(relayed("200 OK", passed, "Content-Length: 2\r\n", "ok"))
    };
    Stage::new().play([
        answer("named", "Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\n", "X-B: 2\r\n"),
        answer("named behind", "X-A: 1\r\nConnection: close, x-a\r\n", ""),
        answer("Keep-Alive", "Keep-Alive: timeout=5\r\nConnection: keep-alive\r\n", ""),
        answer("Proxy-Connection", "Proxy-Connection: keep-alive\r\n", ""),
        answer("Upgrade offered", "Upgrade: h2c\r\nConnection: upgrade\r\n", ""),
        answer("TE", "TE: trailers\r\n", ""),
        answer("Server and what is for nginx", "Server: secret/1.0\r\nX-Accel-Redirect: /x\r\n", ""),
        answer(
            "Set-Cookie twice, in order",
            "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
            "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
        ),
        answer("Content-Length named", "Connection: content-length\r\n", ""),
    ]);
}
