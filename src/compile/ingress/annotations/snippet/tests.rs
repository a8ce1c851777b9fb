//! What becomes of usual and hostile snippets.

use super::*;
use crate::ir::AnswerAct;

fn read(text: &str) -> Reading {
    Reading::of(text, Level::Location, true)
}

#[test]
fn a_statement_is_done_left_out_or_refused() {
    for (text, done, left, refused) in [
        ("more_set_headers \"X-A: 1\";", 1, 0, false),
        ("more_set_headers \"X-A: 1\" \"X-B: 2\"; add_header X-C 3;", 2, 0, false),
        ("more_set_headers -a \"X-A: 1\";", 0, 1, false),
        ("more_set_headers -s 4xx \"X-A: 1\";", 0, 1, false),
        ("more_set_headers -t \"text html\" \"X-A: 1\";", 0, 1, false),
        ("more_set_headers -s 200;", 0, 1, false),
        ("more_set_headers;", 0, 1, false),
        ("more_set_headers \"X A: 1\";", 0, 1, false),
        ("more_set_headers \"X-A: \u{e9}\";", 0, 1, false),
        ("more_set_headers \"X-A: $nothing\";", 0, 1, false),
        ("more_set_headers \"X-A: $\";", 0, 1, false),
        ("more_set_headers \"Host: x\" ;", 0, 1, false),
        ("more_clear_headers '*';", 0, 1, false),
        ("more_clear_headers Transfer-Encoding;", 0, 1, false),
        ("add_header X-A;", 0, 1, false),
        ("add_header X-A 1 never;", 0, 1, false),
        ("add_header Content-Length 1 always;", 0, 1, false),
        ("add_header Content-Encoding gzip;", 0, 1, false),
        ("more_set_headers 'Date: never';", 0, 1, false),
        ("proxy_hide_header;", 0, 1, false),
        ("proxy_hide_header \"X-A\\r\\n\";", 0, 1, false),
        ("proxy_set_header Content-Length 1;", 0, 1, false),
        ("proxy_ssl_crl /etc/ssl/crl.pem;", 0, 0, true),
        ("proxy_set_header ssl-client-verify SUCCESS;", 0, 1, false),
        ("proxy_set_header ssl_client_verify SUCCESS;", 0, 1, false),
        ("proxy_set_header X_Forwarded_For 192.0.2.1;", 0, 1, false),
        ("proxy_set_header X-Forwarded-Prefix /app;", 1, 0, false),
        ("proxy_set_header X-Forwarded-Prefix $http_x_forwarded_prefix;", 0, 1, false),
        ("proxy_set_header Host \"a b\";", 0, 1, false),
        ("proxy_read_timeout;", 0, 1, false),
        ("gzip maybe;", 0, 1, false),
        ("default_type text/plain;", 0, 1, false),
        ("allow all; deny 10.0.0.0/8; deny ::1;", 2, 0, false),
        ("deny 10.0.0.0/33;", 0, 0, true),
        ("deny all extra;", 0, 0, true),
        ("DENY all;", 0, 0, true),
        ("return 200 ok more;", 0, 0, true),
        ("return 99;", 0, 0, true),
        ("return 600;", 0, 0, true),
        ("return 301;", 0, 0, true),
        ("return 301 \"https://a.example/ x\";", 0, 0, true),
        ("return 301 https://a.example/$nothing;", 0, 0, true),
        ("return 200 $nothing;", 0, 0, true),
        ("return +403;", 0, 0, true),
        ("allow all; { deny all; }", 0, 0, true),
    ] {
        let found = read(text);
        assert_eq!(
            (found.done.len(), found.left.len(), found.refused.is_some()),
            (done, left, refused),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn line_ends_of_any_kind_part_statements_and_lines_are_quoted() {
    for end in ["\n", "\r\n", "\r"] {
        let found = read(&["more_set_headers 'X-A: 1';", "deny all;", "if ($a) { }"].join(end));
        assert_eq!(found.rules.access.len(), 1);
        let line = if end == "\r" { "line 1" } else { "line 3, \"if ($a) { }\"" };
        assert!(found.refused.unwrap().place.starts_with(line), "{end:?}");
    }
}

#[test]
fn what_is_not_understood_leaves_nothing_of_the_snippet_behind() {
    for unknown in [Unknown::Judged, Unknown::Ignored, Unknown::Refused] {
        for place in [Place::Annotation, Place::Key] {
            let found = conclude(read("more_set_headers 'X-A: 1'; gzip on; internal;"), "x", place, unknown);
            assert_eq!((found.rules, found.typed.len(), found.told.len()), (Rules::default(), 0, 1));
            let closes = unknown == Unknown::Refused || (unknown, place) == (Unknown::Judged, Place::Annotation);
            assert_eq!(found.closes, closes, "{unknown:?} {place:?}");
        }
    }
}

#[test]
fn what_was_to_be_sent_is_not_left_to_clients_to_say() {
    for text in [
        "proxy_set_header X-User $upstream_addr;",
        "more_set_input_headers 'X-User: $upstream_addr';",
        "more_set_input_headers -t text/html 'X-User: ann';",
        "more_clear_input_headers -s 200 X-User;",
    ] {
        let found = read(text);
        assert_eq!(found.rules.input.len(), 1, "{text}");
        assert_eq!((&*found.rules.input[0].name, &found.rules.input[0].value), ("X-User", &None), "{text}");
    }
}

#[test]
fn what_is_sent_anyway_is_no_warning() {
    for text in [
        "proxy_set_header Host $host;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header Connection \"upgrade\";",
        "proxy_set_header X-Request-ID $req_id;",
    ] {
        let found = read(text);
        assert!(found.left.iter().all(|left| left.severity == Severity::Info) && found.left.len() == 1, "{text}");
        assert_eq!(found.rules, Rules::default());
    }
}

#[test]
fn what_takes_too_much_of_every_request_is_refused() {
    let fields = |count| (0..count).map(|place| format!("more_set_headers 'X-{place}: 1';\n")).collect::<String>();
    let variables = |count| format!("add_header X-{count} '{}';\n", "$uri".repeat(count));
    let input = |count| "more_set_input_headers -r 'X-A: 1';\n".repeat(count);
    for (text, refused) in [
        (fields(128), None),
        (fields(129), Some("more than 128 fields")),
        (input(128), None),
        (input(129), Some("more than 128 fields")),
        (variables(32).repeat(4), None),
        (variables(32).repeat(4) + &variables(1), Some("more than 128 variables")),
        (variables(32).repeat(3) + &format!("return 200 '{}';", "$uri".repeat(33)), Some("more than 32 variables")),
    ] {
        let why = read(&text).refused.map(|left| left.why);
        assert_eq!(why.is_some(), refused.is_some(), "{text}: {why:?}");
        assert!(why.unwrap_or_default().ends_with(refused.unwrap_or_default()), "{text}");
    }
}

#[test]
fn many_problems_are_told_as_a_few() {
    let text = "proxy_foo 1;\n".repeat(1_000);
    let found = conclude(read(&text), "x", Place::Annotation, Unknown::Judged);
    assert_eq!(found.told.len(), 1);
    assert!(found.told[0].2.len() < 1_000, "{}", found.told[0].2);
}

#[test]
fn statuses_and_types_go_with_the_field() {
    let found = read("more_set_headers -s '500 404' -s 404 -t 'text/html text/plain' 'X-A: $host';");
    let rule = &found.rules.answers[0];
    assert_eq!(&*rule.statuses, [404, 500]);
    assert_eq!(rule.types.len(), 2);
    assert!(matches!(rule.act, AnswerAct::Set(_)));
}
