//! RFC 9110 15.2: interim answers go to clients that know them, and are never taken for the answer.

use super::script::{Script, script};
use super::stage::Stage;
use super::text::*;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";

fn asked(name: &str, version: &str, answer: &str) -> Script {
    let head = format!("GET / HTTP/{version}\r\nHost: a.example\r\n\r\n");
    script(name).client(head).reaches_upstream(passed_get("")).upstream(answer)
}

#[test]
fn interim_answers_go_to_http_1_1_clients() {
    let processing = "HTTP/1.1 102 Processing\r\n\r\n";
    let named = "HTTP/1.1 103 Early Hints\r\nConnection: x-a\r\nX-A: 1\r\nServer: s\r\nLink: </a.css>\r\n\r\n";
    Stage::new().play([
        asked("103", "1.1", &format!("{HINT}{OK}")).reaches_client(format!("{HINT}{OK_RELAYED}")),
        asked("two", "1.1", &format!("{HINT}{processing}{OK}"))
            .reaches_client(format!("{HINT}{processing}{OK_RELAYED}")),
        asked("without what is for one hop", "1.1", &format!("{named}{OK}"))
            .reaches_client(format!("{HINT}{OK_RELAYED}")),
        asked("at once", "1.1", HINT).reaches_client(HINT).upstream(OK).reaches_client(OK_RELAYED),
        asked("with a length", "1.1", &format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n{OK}"))
            .reaches_client(format!("HTTP/1.1 103 Early Hints\r\n\r\n{OK_RELAYED}")),
    ]);
}

#[test]
fn interim_answers_do_not_go_to_http_1_0_clients() {
    Stage::new().play([asked("103", "1.0", &format!("{HINT}{OK}")).reaches_client(OK_CLOSE).closed()]);
}

#[test]
fn the_seventeenth_interim_answer_is_dropped() {
    let many = asked("20", "1.1", &format!("{}{OK}", HINT.repeat(20)));
    Stage::new().play([many.reaches_client(format!("{}{OK_RELAYED}", HINT.repeat(16))).once()]);
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    Stage::new().play([
        asked("closed behind it", "1.1", HINT).reaches_client(HINT).upstream_closes().reaches_client(failed(502)),
        asked("garbage behind it", "1.1", &format!("{HINT}garbage\r\n\r\n"))
            .reaches_client(format!("{HINT}{}", failed(502))),
    ]);
}
