//! Services that are asked who may come in, backends that answer errors, and what is changed on the way.

use super::filters::{Echo, ask, field, nginx, serving, status};
use crate::bed::service;

fn url(echo: &Echo) -> String {
    format!("http://127.0.0.1:{}/verify?of=$http_x_user", echo.address.port())
}

#[test]
fn a_request_goes_on_when_the_service_says_so_with_what_it_says() {
    let web = Echo::start("");
    let auth = Echo::start("X-User: ann\r\nSet-Cookie: session=1\r\n");
    let auth_url = url(&auth);
    let pairs = [("auth-url", &*auth_url), ("auth-response-headers", "X-User, X-Groups")];
    let bed = serving(&web, &nginx(&pairs), "");
    let lines = "X-User: eve\r\nX-Groups: admin\r\nCookie: a=b\r\n";
    let answer = ask(&bed, "POST /x?y=1", &format!("{lines}Content-Length: 0\r\n"));
    assert_eq!((status(&answer), field(&answer, "Set-Cookie")), (200, Some("session=1")));
    let asked = auth.heads().remove(0);
    assert!(asked.starts_with("GET /verify?of=eve HTTP/1.1\r\nHost: 127.0.0.1\r\n"), "{asked}");
    for (name, value) in [
        ("X-Original-URL", "http://a.example/x?y=1"),
        ("X-Original-Method", "POST"),
        ("X-Auth-Request-Redirect", "/x?y=1"),
        ("X-Sent-From", "nginx-ingress-controller"),
        ("Cookie", "a=b"),
    ] {
        assert_eq!(field(&asked, name), Some(value), "{asked}");
    }
    assert_eq!(field(&asked, "Content-Length"), None);
    let sent = web.heads().remove(0);
    assert_eq!((field(&sent, "X-User"), field(&sent, "X-Groups")), (Some("ann"), None), "what a client says of itself");
}

#[test]
fn a_client_says_nothing_of_itself_under_a_name_that_a_back_end_takes_for_the_services() {
    let web = Echo::start("");
    let auth = Echo::start("");
    let auth_url = url(&auth);
    let pairs = [
        ("auth-url", &*auth_url),
        ("auth-response-headers", "X-User"),
        ("configuration-snippet", "more_clear_input_headers \"X-Role-*\";"),
    ];
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: global}\n\
               data: {enable-underscores-in-headers: 'true'}\n---\n";
    let bed = serving(&web, &nginx(&pairs), map);
    let lines = "X_User: eve\r\nx-user: eve\r\nX_Role_Of: admin\r\nX_Other: 1\r\n";
    assert_eq!(status(&ask(&bed, "GET /", lines)), 200);
    let sent = web.heads().remove(0);
    assert!(!sent.contains("eve") && !sent.contains("admin"), "{sent}");
    assert_eq!(field(&sent, "X_Other"), Some("1"), "{sent}");
}

#[test]
fn the_service_judges_the_path_that_the_back_end_gets() {
    let (web, auth) = (Echo::start(""), Echo::start(""));
    let bed = serving(&web, &nginx(&[("auth-url", &url(&auth))]), "");
    for (sent, served) in [
        ("/public/%2e%2e/admin?x=/../y", "/admin?x=/../y"),
        ("/public/../%61dmin", "/admin"),
        ("/a%2Fb//c%20d", "/a%2Fb//c%20d"),
        ("/%2f/", "/%2f/"),
    ] {
        assert_eq!(status(&ask(&bed, &format!("GET {sent}"), "")), 200);
        let (asked, got) = (auth.heads().remove(0), web.heads().remove(0));
        assert_eq!(field(&asked, "X-Original-URL"), Some(&*format!("http://a.example{served}")), "{sent}");
        assert!(got.starts_with(&format!("GET {served} HTTP/1.1\r\n")), "{sent}: {got}");
    }
}

#[test]
fn what_the_service_refuses_is_refused_and_its_faults_let_nobody_in() {
    let web = Echo::start("");
    for (says, lines, expected, name, value) in [
        ("401 No", "WWW-Authenticate: Bearer\r\n", 401, "WWW-Authenticate", Some("Bearer")),
        ("403 No", "", 403, "Location", None),
        ("302 Found", "Location: /\r\n", 500, "Location", None),
        ("500 Broken", "", 500, "Location", None),
        ("404 None", "", 500, "Location", None),
    ] {
        let auth = Echo::answering(says, lines, "no");
        let bed = serving(&web, &nginx(&[("auth-url", &url(&auth))]), "");
        let answer = ask(&bed, "GET /", "");
        assert_eq!((status(&answer), field(&answer, name)), (expected, value), "{says}");
        assert!(web.heads().is_empty(), "{says}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bed = serving(&web, &nginx(&[("auth-url", &format!("http://127.0.0.1:{closed}/"))]), "");
    assert_eq!(status(&ask(&bed, "GET /", "")), 500, "nobody answers");
    for wrong in [
        "auth.example/verify",
        "ftp://auth.example",
        "http://$remote_addr/verify",
        "http://$host$remote_addr/verify",
        "http://a..b/",
        "http://a.example/$nothing",
    ] {
        let bed = serving(&web, &nginx(&[("auth-url", wrong)]), "");
        assert_eq!(status(&ask(&bed, "GET /", "")), 503, "{wrong}");
    }
    let bed = serving(&web, &nginx(&[("auth-url", "http://$host/verify")]), "");
    assert_eq!(status(&ask(&bed, "GET /", "")), 500, "nobody is at the host of the rule");
    for (name, value) in
        [("auth-method", "GETX"), ("auth-response-headers", "a b;"), ("auth-proxy-set-headers", "missing")]
    {
        let auth = Echo::start("");
        let bed = serving(&web, &nginx(&[("auth-url", &url(&auth)), (name, value)]), "");
        assert_eq!(status(&ask(&bed, "GET /", "")), 503, "{name}");
    }
    assert!(web.heads().is_empty());
}

#[test]
fn who_is_not_known_is_sent_to_sign_in() {
    let web = Echo::start("");
    let auth = Echo::answering("401 No", "", "no");
    for (more, location) in [
        (&[("auth-signin", "https://$host/start")][..], "https://a.example/start?rd=http://a.example%2Fx%3Fy%3D1"),
        (&[("auth-signin", "https://s.example/?a=b")], "https://s.example/?a=b&rd=http://a.example%2Fx%3Fy%3D1"),
        (&[("auth-signin", "https://s.example/?rd=$escaped_request_uri")], "https://s.example/?rd=%2Fx%3Fy%3D1"),
        (
            &[("auth-signin", "https://s.example/"), ("auth-signin-redirect-param", "to")],
            "https://s.example/?to=http://a.example%2Fx%3Fy%3D1",
        ),
    ] {
        let auth_url = url(&auth);
        let pairs = [&[("auth-url", &*auth_url)], more].concat();
        let answer = ask(&serving(&web, &nginx(&pairs), ""), "GET /x?y=1", "");
        assert_eq!((status(&answer), field(&answer, "Location")), (302, Some(location)));
    }
    let auth_url = url(&auth);
    let bed = serving(&web, &nginx(&[("auth-url", &*auth_url), ("auth-signin", "a b;")]), "");
    let answer = ask(&bed, "GET /", "");
    assert_eq!((status(&answer), field(&answer, "Location")), (401, None), "what is no URL is left out");
}

#[test]
fn the_word_of_the_service_is_remembered_by_its_key() {
    let web = Echo::start("");
    let auth = Echo::start("");
    let auth_url = url(&auth);
    let pairs = [("auth-url", &*auth_url), ("auth-cache-key", "$http_x_user"), ("auth-cache-duration", "200 1h")];
    let bed = crate::bed::Bed::with(
        &(service("web", &[web.address]) + &crate::bed::ingress("web", "a.example", "/", "web", &nginx(&pairs))),
        fairlead::settings::Limits::default(),
        2,
        None,
    );
    // Each of them is a connection, of either worker.
    for user in ["ann", "bob"].into_iter().cycle().take(24) {
        assert_eq!(status(&ask(&bed, "GET /", &format!("X-User: {user}\r\n"))), 200);
    }
    assert_eq!((auth.heads().len(), web.heads().len()), (2, 24));
}

#[test]
fn answers_may_be_remembered_by_user() {
    let (web, auth) = (Echo::start(""), Echo::start(""));
    let url = format!("http://127.0.0.1:{}/", auth.address.port());
    let pairs = [("auth-url", &*url), ("auth-cache-key", "$remote_user$http_authorization")];
    let bed = serving(&web, &nginx(&pairs), "");
    let mut count = 0;
    // ann:a, ann:b
    for (basic, asked) in [("YW5uOmE=", 1), ("YW5uOmE=", 1), ("YW5uOmI=", 2), ("YW5uOmE=", 2)] {
        assert_eq!(status(&ask(&bed, "GET /", &format!("Authorization: Basic {basic}\r\n"))), 200);
        count += auth.heads().len();
        assert_eq!(count, asked, "{basic}");
    }
}

#[test]
fn another_backend_answers_errors_and_where_there_is_no_endpoint() {
    let web = Echo::answering("404 Not Found", "", "theirs");
    let pages = Echo::answering("200 OK", "X-Page: yes\r\n", "sorry");
    let more = service("pages", &[pages.address]);
    let errors = [("custom-http-errors", "404, 503"), ("default-backend", "pages")];
    let bed = serving(&web, &nginx(&errors), &more);
    let answer = ask(&bed, "GET /missing", "Accept: text/css\r\n");
    assert_eq!((status(&answer), field(&answer, "X-Page")), (200, Some("yes")), "its status counts");
    let told = pages.heads().remove(0);
    assert!(told.starts_with("GET / HTTP/1.1\r\n"), "{told}");
    for (name, value) in [
        ("X-Code", "404"),
        ("X-Format", "text/css"),
        ("X-Original-URI", "/missing"),
        ("X-Namespace", "default"),
        ("X-Ingress-Name", "web"),
        ("X-Service-Name", "web"),
        ("X-Service-Port", "http"),
    ] {
        assert_eq!(field(&told, name), Some(value), "{told}");
    }
    web.connections();
    for _ in 0..5 {
        ask(&bed, "GET /missing", "");
    }
    assert!(web.connections() <= 1, "the connection of an answer that is replaced is used again");
    let own = [errors[0], errors[1], ("disable-proxy-intercept-errors", "true")];
    assert!(ask(&serving(&web, &nginx(&own), &more), "GET /", "").ends_with("theirs"), "the backend's own passes");
    let closed = [("custom-http-errors", "403"), errors[1], ("allowlist-source-range", "10.0.0.0/8")];
    let answer = ask(&serving(&web, &nginx(&closed), &more), "GET /", "");
    assert_eq!((status(&answer), field(&answer, "X-Page")), (403, Some("yes")), "a refusal stays one");
    pages.heads();
    let empty =
        service("web", &[]) + &crate::bed::ingress("web", "a.example", "/", "web", &nginx(&[errors[1]])) + &more;
    let answer = ask(&crate::bed::Bed::start(&empty), "GET /x?y", "");
    assert!(answer.ends_with("sorry"), "{answer}");
    let told = pages.heads().remove(0);
    assert!(told.starts_with("GET /x?y HTTP/1.1\r\n"), "{told}");
    assert_eq!(field(&told, "X-Code"), Some("503"));
}

#[test]
fn fields_are_changed_on_the_way() {
    let web = Echo::start(
        "Location: http://internal/x\r\nSet-Cookie: a=b; Domain=internal; Path=/app/\r\nX-Frame-Options: no\r\n",
    );
    let set = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: set}\ndata: {X-Frame-Options: DENY}\n---\n";
    let allowed = |names: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: global}}\n\
             data: {{global-allowed-response-headers: '{names}'}}\n---\n{set}"
        )
    };
    let map = &*allowed("x-frame-options");
    let pairs = [
        ("upstream-vhost", "in.$host"),
        ("connection-proxy-header", "close"),
        ("custom-headers", "set"),
        ("proxy-cookie-domain", "internal a.example"),
        ("proxy-cookie-path", "/app/ /"),
        ("proxy-redirect-from", "http://internal/"),
        ("proxy-redirect-to", "https://a.example/"),
    ];
    let bed = serving(&web, &nginx(&pairs), map);
    let answer = ask(&bed, "GET /", "");
    assert_eq!(field(&answer, "Location"), Some("https://a.example/x"));
    assert_eq!(field(&answer, "Set-Cookie"), Some("a=b; Domain=a.example; Path=/"));
    assert_eq!(answer.matches("X-Frame-Options: DENY").count(), 1);
    assert!(!answer.contains("X-Frame-Options: no"), "{answer}");
    let sent = web.heads().remove(0);
    assert_eq!((field(&sent, "Host"), field(&sent, "X-Forwarded-Host")), (Some("in.a.example"), Some("a.example")));
    assert_eq!(field(&sent, "Connection"), Some("close"));
    for (to, location) in [
        ("$scheme://$http_host/$service_name/", "http://a.example/web/x"),
        ("https://$hots/", "http://internal/x"),
        ("b{c", "http://internal/x"),
    ] {
        let pairs = [("proxy-redirect-from", "http://internal/"), ("proxy-redirect-to", to)];
        let answer = ask(&serving(&web, &nginx(&pairs), ""), "GET /", "");
        assert_eq!(field(&answer, "Location"), Some(location), "{to}");
    }
    web.heads();
    let bed = serving(&web, &nginx(&[("custom-headers", "missing")]), "");
    assert_eq!(status(&ask(&bed, "GET /", "")), 503, "they may be what protects a page");
    for (map, why) in [(set, "no list allows none"), (&*allowed("X-Other"), "another one is listed")] {
        let bed = serving(&web, &nginx(&[("custom-headers", "set")]), map);
        assert_eq!(status(&ask(&bed, "GET /", "")), 503, "{why}");
    }
}

#[test]
fn whoever_comes_in_by_another_rule_says_nothing_in_the_place_of_the_service() {
    let web = Echo::start("");
    let auth = Echo::start("X-User: ann\r\n");
    let auth_url = url(&auth);
    let pairs = [
        ("auth-url", &*auth_url),
        ("auth-response-headers", "X-User"),
        ("satisfy", "any"),
        ("allowlist-source-range", "127.0.0.0/8"),
    ];
    assert_eq!(status(&ask(&serving(&web, &nginx(&pairs), ""), "GET /", "X-User: eve\r\n")), 200);
    assert_eq!(field(&web.heads().remove(0), "X-User"), None);
    assert!(auth.heads().is_empty());
}

#[test]
fn a_cookie_of_the_service_is_for_one_client() {
    let web = Echo::start("");
    let auth = Echo::start("Set-Cookie: session=1\r\n");
    let auth_url = url(&auth);
    let bed = serving(&web, &nginx(&[("auth-url", &*auth_url), ("auth-cache-key", "$http_x_user")]), "");
    for _ in 0..3 {
        assert_eq!(status(&ask(&bed, "GET /", "")), 200);
    }
    assert_eq!(auth.heads().len(), 3, "an answer with a cookie is not remembered");
}

#[test]
fn nobody_sets_what_frames_a_message() {
    let (web, auth) = (Echo::start(""), Echo::start(""));
    let auth_url = url(&auth);
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: set}\ndata: {Transfer-Encoding: chunked}\n---\n";
    for pairs in [
        [("auth-url", &*auth_url), ("auth-proxy-set-headers", "set")],
        [("auth-url", &*auth_url), ("auth-response-headers", "X-User, Content-Length")],
        [("auth-url", &*auth_url), ("custom-headers", "set")],
    ] {
        assert_eq!(status(&ask(&serving(&web, &nginx(&pairs), map), "GET /", "")), 503, "{pairs:?}");
    }
    assert!(web.heads().is_empty() && auth.heads().is_empty());
}

#[test]
fn a_guarded_path_that_cannot_be_read_does_not_fall_to_a_wider_one() {
    let web = Echo::start("");
    let guarded = crate::bed::ingress(
        "admin",
        "a.example",
        "/admin(/.*)?",
        "web",
        &nginx(&[("allowlist-source-range", "10.0.0.0/8")]),
    );
    let bed = serving(&web, &nginx(&[("use-regex", "true")]), &guarded);
    assert_eq!(status(&ask(&bed, "GET /other", "")), 200);
    web.heads();
    assert_ne!(status(&ask(&bed, "GET /admin/x", "")), 200);
    assert!(web.heads().is_empty());
}

#[test]
fn a_challenge_goes_along_with_the_page_in_its_place() {
    let web = Echo::start("");
    let pages = Echo::answering("401 No", "", "sorry");
    let more = service("pages", &[pages.address])
        + "apiVersion: v1\nkind: Secret\nmetadata: {name: users}\nstringData: {auth: \"ann:{PLAIN}secret\"}\n---\n";
    let pairs =
        [("auth-type", "basic"), ("auth-secret", "users"), ("custom-http-errors", "401"), ("default-backend", "pages")];
    let answer = ask(&serving(&web, &nginx(&pairs), &more), "GET /", "Authorization: Basic eDp5\r\n");
    assert_eq!((status(&answer), field(&answer, "WWW-Authenticate")), (401, Some("Basic realm=\"\"")));
    assert!(answer.ends_with("sorry"));
    assert_eq!(field(&pages.heads().remove(0), "Authorization"), None);
}
