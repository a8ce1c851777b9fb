//! What nginx's own words in annotations and in the ConfigMap do to requests, and which of them close paths.

use super::filters::{Echo, ask, field, nginx, serving, status};
use crate::bed::{Bed, ingress, service};

/// An annotation whose value is in double quotes, for texts with apostrophes and several lines.
fn quoted(name: &str, text: &str) -> String {
    format!("nginx.ingress.kubernetes.io/{name}: {text:?}")
}

fn location(echo: &Echo, text: &str) -> Bed {
    serving(echo, &quoted("configuration-snippet", text), "")
}

fn global(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: global}}\ndata: {{{data}}}\n---\n")
}

fn count(answer: &str, line: &str) -> usize {
    answer.split("\r\n\r\n").next().unwrap().lines().filter(|own| *own == line).count()
}

#[test]
fn fields_of_answers_are_set_cleared_hidden_and_added() {
    let web = Echo::start("X-Frame-Options: own\r\nX-Powered-By: php\r\nX-A: own\r\n");
    for (text, present, absent) in [
        ("more_set_headers \"X-Frame-Options: DENY\";", &["X-Frame-Options: DENY"][..], &["X-Frame-Options: own"][..]),
        ("more_set_headers 'X-B: 1' 'X-C: 2';", &["X-B: 1", "X-C: 2"], &[]),
        ("more_set_headers \"X-A:\";", &[], &["X-A: own"]),
        ("more_set_headers -s '404 500' \"X-B: 1\";", &["X-A: own"], &["X-B: 1"]),
        ("more_set_headers -s 200 \"X-B: 1\";", &["X-B: 1"], &[]),
        ("more_set_headers -t 'text/html' \"X-B: 1\";", &[], &["X-B: 1"]),
        ("more_clear_headers X-Powered-By \"X-A\";", &["X-Frame-Options: own"], &["X-Powered-By: php", "X-A: own"]),
        ("more_clear_headers 'X-*';", &[], &["X-Powered-By: php", "X-A: own", "X-Frame-Options: own"]),
        ("proxy_hide_header X-A;", &["X-Powered-By: php"], &["X-A: own"]),
        ("add_header X-A mine;", &["X-A: own", "X-A: mine"], &[]),
        ("add_header X-A \"\";", &["X-A: own"], &["X-A: "]),
        (
            "# a comment;\r\nmore_set_headers \"X-Host: $host\";\r\nadd_header X-Way '$scheme:$request_uri' always;\r\n",
            &["X-Host: a.example", "X-Way: http:/x?y=1"],
            &[],
        ),
        (
            "more_set_headers \"X-Of: $namespace/$ingress_name/$service_name/$service_port\"",
            &["X-Of: default/web/web/http"],
            &[],
        ),
    ] {
        let answer = ask(&location(&web, text), "GET /x?y=1", "");
        assert_eq!(status(&answer), 200, "{text}");
        for line in present {
            assert_eq!(count(&answer, line), 1, "{line} by {text}: {answer}");
        }
        for line in absent {
            assert_eq!(count(&answer, line), 0, "{line} by {text}: {answer}");
        }
    }
}

#[test]
fn answers_of_the_proxy_itself_have_them_too_but_for_those_that_nginx_leaves_out() {
    let web = Echo::start("");
    let text = "more_set_headers \"X-A: 1\";\nadd_header X-B 2;\nadd_header X-C 3 always;\nreturn 404;";
    let answer = ask(&location(&web, text), "GET /", "");
    assert_eq!((status(&answer), count(&answer, "X-A: 1"), count(&answer, "X-C: 3")), (404, 1, 1), "{answer}");
    assert_eq!(count(&answer, "X-B: 2"), 0, "{answer}");
    let id = ask(&location(&web, "more_set_headers \"X-Id: $request_id\";"), "GET /", "X-Request-ID: abc-1\r\n");
    assert_eq!(field(&id, "X-Id"), Some("abc-1"));
}

#[test]
fn what_a_client_says_cannot_end_a_field() {
    let web = Echo::start("");
    let bed = location(&web, "more_set_headers \"X-A: $http_x_a\"; proxy_set_header X-B \"<$http_x_a>\";");
    let answer = ask(&bed, "GET /", "X-A: a\u{e9}\t b  \r\n");
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("X-A: a\u{e9}\t b\r\n"), "{answer:?}");
    assert_eq!(field(&web.heads().remove(0), "X-B"), Some("<a\u{e9}\t b>"));
}

#[test]
fn fields_of_requests_are_set_and_taken_away() {
    let web = Echo::start("");
    for (text, sent, value) in [
        ("proxy_set_header X-User ann;", "X-User", Some("ann")),
        ("proxy_set_header X-User \"\";", "X-User", None),
        ("proxy_set_header X-User $remote_addr;", "X-User", Some("127.0.0.1")),
        ("grpc_set_header X-User ann;", "X-User", Some("ann")),
        ("more_set_input_headers 'X-User: ann';", "X-User", Some("ann")),
        ("more_set_input_headers -r 'X-User: ann';", "X-User", Some("ann")),
        ("more_set_input_headers -r 'X-Other: ann';", "X-Other", None),
        ("more_set_input_headers 'X-User: ann'; more_set_input_headers 'X-User: bob';", "X-User", Some("bob")),
        ("more_clear_input_headers X-User;", "X-User", None),
        ("more_clear_input_headers 'X-U*';", "X-User", None),
        ("proxy_set_header Host in.example;", "Host", Some("in.example")),
        ("proxy_set_header X-Forwarded-For $http_x_user;", "X-Forwarded-For", Some("127.0.0.1")),
        ("proxy_set_header X-Real-IP 192.0.2.1;", "X-Real-IP", Some("127.0.0.1")),
        ("proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";", "Connection", None),
        // What cannot be said is not left to the client to say.
        ("proxy_set_header X-User $remote_user;", "X-User", None),
        ("more_set_input_headers 'X-User: $ssl_client_s_dn';", "X-User", None),
        ("more_set_input_headers -t text/html 'X-User: ann';", "X-User", None),
    ] {
        let answer = ask(&location(&web, text), "GET /", "X-User: eve\r\n");
        assert_eq!(status(&answer), 200, "{text}");
        assert_eq!(field(&web.heads().remove(0), sent), value, "{text}");
    }
}

#[test]
fn a_return_answers_before_redirects_and_guards() {
    let web = Echo::start("");
    for (text, code, location, body) in [
        ("return 403;", 403, None, Some("403 Forbidden")),
        ("return 418;", 418, None, None),
        ("return 204;", 204, None, None),
        ("return 200 'hello $host\\n';", 200, None, Some("hello a.example\n")),
        ("return 301 https://b.example$request_uri;", 301, Some("https://b.example/old?x=1"), None),
        ("return 308 /new;", 308, Some("http://a.example/new"), None),
        ("return https://b.example/;", 302, Some("https://b.example/"), None),
        ("return 302 \"$scheme://$host/x?of=$http_x_a\";", 302, Some("http://a.example/x?of=b%0Ac%23"), None),
        ("return 410; return 200;", 410, None, None),
    ] {
        let more = [
            ("permanent-redirect", "https://c.example"),
            ("force-ssl-redirect", "true"),
            ("denylist-source-range", "127.0.0.1"),
        ];
        let annotations = format!("{}, {}", quoted("configuration-snippet", text), nginx(&more));
        let answer = ask(&serving(&web, &annotations, ""), "GET /old?x=1", "X-A: b%0Ac#\r\n");
        assert_eq!((status(&answer), field(&answer, "Location")), (code, location), "{text}");
        assert!(body.is_none_or(|body| answer.contains(body)), "{text}: {answer}");
    }
    let answer = ask(&location(&web, "default_type text/plain; return 200 ok;"), "GET /", "");
    assert_eq!(
        (field(&answer, "Content-Type"), answer.ends_with("\r\n\r\nok")),
        (Some("text/plain"), true),
        "{answer}"
    );
    assert!(web.heads().is_empty());
}

#[test]
fn a_preflight_is_answered_before_a_return() {
    let web = Echo::start("");
    let annotations =
        format!("{}, {}", quoted("configuration-snippet", "return 403;"), nginx(&[("enable-cors", "true")]));
    let bed = serving(&web, &annotations, "");
    assert_eq!(status(&ask(&bed, "OPTIONS /", "Origin: https://b.example\r\n")), 204);
    assert_eq!(status(&ask(&bed, "GET /", "Origin: https://b.example\r\n")), 403);
}

#[test]
fn the_first_rule_that_holds_a_client_decides() {
    let web = Echo::start("");
    for (text, more, code) in [
        ("deny all;", "", 403),
        ("allow all;", "", 200),
        ("allow 127.0.0.1; deny all;", "", 200),
        ("deny 127.0.0.0/8; allow all;", "", 403),
        ("deny all; allow 127.0.0.1;", "", 403),
        ("allow 10.0.0.0/8;", "", 200),
        ("allow 10.0.0.0/8; deny all;", "", 403),
        ("deny all;", "allowlist-source-range: 127.0.0.1", 200),
        ("allow all;", "allowlist-source-range: 10.0.0.0/8", 403),
        ("allow all;", "denylist-source-range: 127.0.0.1", 403),
        ("deny all; return 200 ok;", "", 200),
        ("deny nobody;", "", 503),
        ("allow unix:;", "", 503),
    ] {
        let more = if more.is_empty() { String::new() } else { format!(", nginx.ingress.kubernetes.io/{more}") };
        let bed = serving(&web, &(quoted("configuration-snippet", text) + &more), "");
        assert_eq!(status(&ask(&bed, "GET /", "")), code, "{text}{more}");
    }
}

#[test]
fn a_list_that_says_nothing_of_a_client_is_not_enough_where_one_rule_is() {
    let web = Echo::start("");
    let users =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: users}\nstringData: {auth: \"ann:{PLAIN}secret\"}\n---\n";
    for (name, value, code) in [
        ("denylist-source-range", "10.0.0.0/8", 401),
        ("denylist-source-range", "127.0.0.1", 401),
        ("allowlist-source-range", "127.0.0.1", 200),
        ("configuration-snippet", "allow 127.0.0.1;", 200),
        ("configuration-snippet", "allow 10.0.0.0/8;", 401),
    ] {
        let pairs = [("auth-type", "basic"), ("auth-secret", "users"), ("satisfy", "any"), (name, value)];
        assert_eq!(status(&ask(&serving(&web, &nginx(&pairs), users), "GET /", "")), code, "{name}: {value}");
    }
}

#[test]
fn words_that_only_tune_are_left_out_and_others_close_the_path() {
    let web = Echo::start("X-A: own\r\n");
    for (text, code) in [
        ("", 200),
        ("# nothing\r\n", 200),
        ("proxy_foo bar; gzip_types text/css; access_log off; sub_filter a b; proxy_read_timeout 3600s;", 200),
        ("more_set_headers \"X-A: $no_such\";", 200),
        ("more_set_headers \"Content-Length: 1\";", 200),
        ("more_set_headers \"Transfer-Encoding: chunked\" \"X A: 1\";", 200),
        ("add_header X-A one two three;", 200),
        ("more_set_headers \"X-A: a\\r\\nX-B: b\";", 200),
        ("if ($host = a.example) { return 403; }", 503),
        ("satisfy any;", 503),
        ("set $a b;", 503),
        ("rewrite ^/a /b permanent;", 503),
        ("location /x { deny all; }", 503),
        ("auth_basic \"no\";", 503),
        ("access_by_lua_block { ngx.exit(403) }", 503),
        ("limit_req zone=a;", 503),
        ("return 444;", 503),
        ("return 301 javascript:alert(1);", 503),
        ("return 302 //evil.example;", 503),
        ("return;", 503),
        ("proxy_pass http://other;", 503),
        ("more_set_headers \"X-A: 1\"; deny all", 403),
        ("more_set_headers \"X-A: 1; deny all;", 503),
        ("more_set_headers \"X-A: 1\" }", 503),
        ("}", 503),
    ] {
        let answer = ask(&location(&web, text), "GET /", "");
        assert_eq!(status(&answer), code, "{text}");
        assert_eq!(field(&answer, "X-B"), None, "{text}");
        if code == 200 {
            assert_eq!(count(&answer, "X-A: own"), 1, "{text}");
        }
    }
}

#[test]
fn a_snippet_of_a_host_acts_on_the_paths_of_all_its_ingresses() {
    let web = Echo::start("");
    let first = |text: &str| {
        let first = ingress("zz", "a.example", "/first", "web", &quoted("server-snippet", text));
        let own = quoted("configuration-snippet", "more_set_headers \"X-A: path\"; add_header X-C path;");
        let listed = nginx(&[("allowlist-source-range", "127.0.0.1")]);
        service("web", &[web.address])
            + &first
            + &ingress("mm", "a.example", "/second", "web", &own)
            + &ingress("ll", "a.example", "/listed", "web", &listed)
            + &ingress("kk", "b.example", "/", "web", "")
            + &ingress("aa", "a.example", "/third", "web", &quoted("server-snippet", "more_set_headers \"X-B: no\";"))
    };
    let on = |bed: &Bed, path: &str| ask(bed, &format!("GET {path}"), "");
    let bed = Bed::start(&first("more_set_headers \"X-A: host\" \"X-B: $service_name\"; add_header X-C host;"));
    for (path, lines) in [
        ("/first", ["X-A: host", "X-B: web", "X-C: host"]),
        ("/second", ["X-A: path", "X-B: web", "X-C: path"]),
        ("/third", ["X-A: host", "X-B: web", "X-C: host"]),
    ] {
        let answer = on(&bed, path);
        assert!(lines.iter().all(|line| count(&answer, line) == 1), "{path}: {answer}");
    }
    let answer = on(&bed, "/nowhere");
    assert_eq!((status(&answer), count(&answer, "X-A: host"), count(&answer, "X-C: host")), (404, 1, 0), "{answer}");
    let other =
        crate::exchange::plain::talk(bed.http, "GET / HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n");
    assert_eq!((status(&other), field(&other, "X-A")), (200, None));

    let bed = Bed::start(&first("deny all;"));
    for (path, code) in [("/first", 403), ("/second", 403), ("/listed", 200), ("/nowhere", 403)] {
        assert_eq!(status(&on(&bed, path)), code, "{path}: a path with lists of its own forgets those of the host");
    }
    let bed = Bed::start(&first("return 301 https://new.example$request_uri;"));
    for path in ["/first", "/second", "/listed", "/nowhere"] {
        let answer = on(&bed, path);
        let expected = format!("https://new.example{path}");
        assert_eq!((status(&answer), field(&answer, "Location")), (301, Some(&*expected)), "{path}");
    }
    let bed = Bed::start(&first("if ($host = x) { return 403; }"));
    for (path, code) in [("/first", 503), ("/second", 200), ("/nowhere", 404)] {
        assert_eq!(status(&on(&bed, path)), code, "{path}: what is not understood closes the paths of its Ingress");
    }
}

#[test]
fn the_service_that_is_asked_gets_the_fields_and_the_method_of_its_snippet() {
    let (web, auth) = (Echo::start(""), Echo::start(""));
    let url = format!("http://127.0.0.1:{}/", auth.address.port());
    for (text, code, name, value) in [
        ("proxy_set_header My-Custom-Header '42';", 200, "My-Custom-Header", Some("42")),
        (
            "proxy_set_header X-Forwarded-Host $http_host; proxy_method POST;",
            200,
            "X-Forwarded-Host",
            Some("a.example"),
        ),
        ("proxy_set_header X-Forwarded-For 192.0.2.9;", 200, "X-Forwarded-For", Some("127.0.0.1")),
        ("proxy_set_header X-Forwarded-Proto $scheme;", 200, "X-Forwarded-Proto", Some("http")),
        ("proxy_set_header X-Scheme $scheme;", 200, "X-Scheme", Some("http")),
        ("proxy_pass_request_headers on; proxy_pass_request_body off; proxy_set_header X-B 1;", 200, "X-B", Some("1")),
        ("proxy_pass_request_headers off;", 503, "X-A", None),
        ("proxy_pass_request_body on;", 503, "X-A", None),
        ("proxy_set_header X-A $no_such;", 200, "X-A", None),
        ("if ($a) { return 200; }", 503, "X-A", None),
        ("return 200;", 503, "X-A", None),
    ] {
        let annotations = format!("{}, {}", quoted("auth-snippet", text), nginx(&[("auth-url", &url)]));
        let answer = ask(&serving(&web, &annotations, ""), "GET /", "X-A: eve\r\n");
        assert_eq!(status(&answer), code, "{text}");
        let Some(asked) = auth.heads().pop() else {
            assert_eq!(code, 503, "{text}");
            continue;
        };
        assert_eq!(field(&asked, name), value, "{text}: {asked}");
        assert_eq!(asked.starts_with("POST"), text.contains("POST"), "{text}");
    }
    web.heads();
    let bed = serving(&web, &quoted("auth-snippet", "proxy_set_header My-Custom-Header 42;"), "");
    assert_eq!(status(&ask(&bed, "GET /", "")), 200, "nobody is asked");
    assert_eq!(field(&web.heads().remove(0), "My-Custom-Header"), None);
}

#[test]
fn a_service_may_be_asked_with_the_method_of_the_client() {
    let (web, auth) = (Echo::start(""), Echo::start(""));
    let url = format!("http://127.0.0.1:{}/", auth.address.port());
    let own = quoted("auth-snippet", "proxy_method $request_method;");
    let of_all = global(&format!("global-auth-url: '{url}', global-auth-snippet: 'proxy_method $request_method;'"));
    let named = nginx(&[("auth-url", &url), ("auth-method", "PUT")]);
    for (annotations, map, methods) in [
        (format!("{own}, {}", nginx(&[("auth-url", &url)])), "", ["POST", "GET"]),
        (String::new(), &*of_all, ["POST", "GET"]),
        (format!("{own}, {named}"), "", ["PUT", "PUT"]),
    ] {
        let bed = serving(&web, &annotations, map);
        for (method, expected) in ["POST", "GET"].into_iter().zip(methods) {
            assert_eq!(status(&ask(&bed, &format!("{method} /"), "")), 200, "{annotations}");
            let asked = auth.heads().pop().unwrap();
            assert!(asked.starts_with(&format!("{expected} / ")), "{annotations}: {asked}");
        }
    }
}

#[test]
fn the_config_map_says_what_becomes_of_what_is_not_understood() {
    let web = Echo::start("");
    for (data, text, code, value) in [
        ("", "more_set_headers \"X-A: 1\";", 200, Some("1")),
        ("allow-snippet-annotations: \"true\"", "more_set_headers \"X-A: 1\";", 200, Some("1")),
        ("allow-snippet-annotations: \"false\"", "more_set_headers \"X-A: 1\";", 200, None),
        ("allow-snippet-annotations: \"false\"", "deny all;", 503, None),
        ("snippets: ignore", "more_set_headers \"X-A: 1\"; if ($a) { return 403; }", 200, None),
        ("snippets: ignore", "more_set_headers \"X-A: 1\"; deny all;", 403, Some("1")),
        ("snippets: refuse", "more_set_headers \"X-A: 1\"; proxy_foo 1;", 503, None),
        ("snippets: refuse", "more_set_headers \"X-A: 1\";", 200, Some("1")),
        ("snippets: perhaps", "if ($a) { return 403; }", 503, None),
    ] {
        let bed = serving(&web, &quoted("configuration-snippet", text), &global(data));
        let answer = ask(&bed, "GET /", "");
        assert_eq!((status(&answer), field(&answer, "X-A")), (code, value), "{data}: {text}");
    }
    for (name, data, code) in [
        ("enable-modsecurity: 'true'", "", 503),
        ("enable-modsecurity: 'true'", "snippets: ignore", 200),
        ("modsecurity-snippet: 'SecRuleEngine On'", "snippets: ignore", 200),
        ("stream-snippet: 'server { }'", "", 503),
        ("enable-owasp-core-rules: 'true'", "", 503),
    ] {
        let bed = serving(&web, &format!("nginx.ingress.kubernetes.io/{name}"), &global(data));
        assert_eq!(status(&ask(&bed, "GET /", "")), code, "{name} {data}");
    }
    let bed = serving(&web, "", &global("enable-modsecurity: \"true\", snippets: ignore"));
    assert_eq!(status(&ask(&bed, "GET /", "")), 200);
    assert_eq!(status(&ask(&serving(&web, "", &global("enable-modsecurity: \"true\"")), "GET /", "")), 503);
}

#[test]
fn snippets_of_the_config_map_act_on_every_host_and_path() {
    let web = Echo::start("");
    let own = quoted("configuration-snippet", "more_set_headers \"X-L: own\" \"X-O: own\";");
    let own = format!("{own}, {}", quoted("server-snippet", "more_set_headers \"X-S: own\" \"X-P: own\";"));
    for (data, code, lines) in [
        ("location-snippet: 'more_set_headers \"X-L: all\";'", 200, &["X-L: all", "X-O: own"][..]),
        ("server-snippet: 'more_set_headers \"X-S: all\";'", 200, &["X-S: all", "X-P: own", "X-O: own"]),
        ("http-snippet: 'more_set_headers \"X-S: all\" \"X-H: all\";'", 200, &["X-S: own", "X-H: all"]),
        ("server-snippet: 'deny all;'", 403, &["X-S: own"]),
        ("http-snippet: 'deny 127.0.0.1;'", 403, &["X-S: own"]),
        ("http-snippet: 'map $a $b { default 1; }'", 200, &["X-S: own"]),
        ("server-snippet: 'if ($a) { return 403; }'", 200, &["X-S: own"]),
        ("server-snippet: 'if ($a) { return 403; }', snippets: refuse", 503, &[]),
        ("location-snippet: 'proxy_read_timeout 5s; return 403;'", 403, &["X-L: own"]),
    ] {
        let answer = ask(&serving(&web, &own, &global(data)), "GET /", "");
        assert_eq!(status(&answer), code, "{data}");
        assert!(lines.iter().all(|line| count(&answer, line) == 1), "{data}: {answer}");
    }
    let bed = serving(&web, "", &global("server-snippet: 'return 503;'"));
    assert_eq!(status(&ask(&bed, "GET /", "")), 503);
}

#[test]
fn the_service_of_all_gets_the_fields_of_its_snippet() {
    let (web, auth) = (Echo::start(""), Echo::start(""));
    let url = format!("global-auth-url: 'http://127.0.0.1:{}/'", auth.address.port());
    let bed =
        serving(&web, "", &global(&format!("{url}, global-auth-snippet: 'proxy_set_header My-Custom-Header 42;'")));
    assert_eq!(status(&ask(&bed, "GET /", "")), 200);
    assert_eq!(field(&auth.heads().remove(0), "My-Custom-Header"), Some("42"));
    assert_eq!(field(&web.heads().remove(0), "My-Custom-Header"), None);
}

#[test]
fn an_answer_that_a_back_end_gives_to_one_is_not_kept_for_another() {
    let web = Echo::start("Cache-Control: max-age=60\r\n");
    let cached = format!(
        "{}, fairlead.dev/cache: 'on'",
        quoted("configuration-snippet", "proxy_set_header X-For $cookie_user;")
    );
    let bed = serving(&web, &cached, "");
    for user in ["ann", "bob", "ann"] {
        assert_eq!(status(&ask(&bed, "GET /", &format!("Cookie: user={user}\r\n"))), 200);
    }
    let told: Vec<_> = web.heads().iter().map(|head| field(head, "X-For").unwrap().to_owned()).collect();
    assert_eq!(told, ["ann", "bob"]);
}
