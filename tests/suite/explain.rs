//! `explain` against the proxy: what it says of a URL is what a client gets.

use std::net::SocketAddr;
use std::time::Duration;

use fairlead::admin::Listener;
use fairlead::admin::explain::{Request, explain};
use tokio::net::TcpStream;

use crate::bed::{Bed, ingress, service};
use crate::clients::{H1, tls};
use crate::exchange::plain::talk;
use crate::origin::Origin;

/// A host with TLS and no rule for its root.
const SECURE: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: secure}
spec:
  tls: [{hosts: [s.example]}]
  rules:
  - host: s.example
    http:
      paths:
      - {path: /app, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
---
";

/// Method, URL, status. `HTTP` and `HTTPS` stand for the ports of the listeners.
const ASKED: [(&str, &str, u16); 25] = [
    ("GET", "http://a.example/app", 200),
    ("GET", "http://A.Example./app/x?y=1", 200),
    ("PUT", "http://a.example:HTTP/app//x", 200),
    ("GET", "http://a.example/%61pp", 200),
    ("GET", "http://a.example/application", 404),
    ("GET", "http://a.example/", 404),
    ("GET", "http://a.example/app/%zz", 400),
    ("GET", "http://a.example/../app", 400),
    ("GET", "http://a.example/healthz", 404),
    ("GET", "http://other.example/healthz", 200),
    ("POST", "http://127.0.0.1/healthz", 200),
    ("GET", "http://other.example//healthz", 404),
    ("GET", "http://other.example/%68ealthz", 404),
    ("GET", "http://other.example/healthz/", 404),
    ("GET", "http://other.example/", 404),
    ("TRACE", "http://a.example/app", 405),
    ("CONNECT", "http://other.example/healthz", 405),
    ("GET", "http://closed.example/", 503),
    ("GET", "http://empty.example/", 503),
    ("GET", "http://s.example/app", 308),
    ("GET", "http://s.example/", 308),
    ("GET", "http://s.example:HTTP/else", 308),
    ("GET", "http://s.example/healthz", 308),
    ("GET", "https://s.example:HTTPS/app", 200),
    ("GET", "https://s.example/", 404),
];

#[test]
fn explain_says_what_the_proxy_answers() {
    let origin = Origin::start("web");
    let bed = Bed::start(
        &[
            service("web", &[origin.address]),
            service("empty", &[]),
            ingress("web", "a.example", "/app", "web", ""),
            ingress("closed", "closed.example", "/", "nothing", ""),
            ingress("empty", "empty.example", "/", "empty", ""),
            SECURE.to_owned(),
        ]
        .concat(),
    );
    let listeners =
        [Listener { name: "http", port: bed.http.port() }, Listener { name: "https", port: bed.https.port() }];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (method, url, status) in ASKED {
        let url = url.replace("HTTPS", &bed.https.port().to_string()).replace("HTTP", &bed.http.port().to_string());
        let request = Request::new(method, &url).unwrap();
        let told = explain(&bed.table(), &listeners, &request);
        let answer = async { tokio::time::timeout(Duration::from_secs(20), ask(&bed, method, &url)).await };
        let answered = runtime.block_on(answer).expect("the proxy answers");
        assert_eq!((told.status, answered), (status, status), "{method} {url}\n{}", told.text(&request));
    }
}

/// What the proxy answers to the request that a client makes of `url`.
async fn ask(bed: &Bed, method: &str, url: &str) -> u16 {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, target) = rest.split_at(rest.find('/').unwrap());
    if scheme == "https" {
        let name = authority.split(':').next().unwrap();
        return H1::new(tls(bed.https, name, b"http/1.1").await).request(method, authority, target, b"").await.0;
    }
    H1::new(TcpStream::connect(bed.http).await.unwrap()).request(method, authority, target, b"").await.0
}

/// Annotations of one Ingress for each host, and what is global.
const GUARDED: [(&str, &str); 8] = [
    ("list", "allowlist-source-range: 192.0.2.0/24"),
    ("deny", "denylist-source-range: 127.0.0.1"),
    ("any", "allowlist-source-range: 192.0.2.0/24, ANN/satisfy: any, ANN/auth-type: basic, ANN/auth-secret: users"),
    ("basic", "auth-type: basic, ANN/auth-secret: users"),
    // Without a service that is asked nobody is sent to sign in.
    ("signin", "auth-type: basic, ANN/auth-secret: users, ANN/auth-signin: 'https://in.example/start'"),
    ("cors", "enable-cors: 'true', ANN/cors-allow-origin: 'https://b.example'"),
    ("small", "proxy-body-size: 1k"),
    ("main", "proxy-body-size: 1m"),
];

const GLOBAL: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: global}
data: {enable-real-ip: 'true', proxy-real-ip-cidr: 127.0.0.0/8, block-user-agents: bad, ssl-redirect: 'false'}
---
apiVersion: v1
kind: Secret
metadata: {name: users}
stringData: {auth: 'ann:{PLAIN}secret'}
---
";

/// Header fields, by name and value.
type Pairs = &'static [(&'static str, &'static str)];

/// Host, method, fields, status, and for some who answers.
const FIELDS: [(&str, &str, Pairs, u16, &str); 19] = [
    ("list", "GET", &[], 403, ""),
    ("list", "GET", &[("X-Forwarded-For", "192.0.2.9")], 200, "web"),
    ("list", "GET", &[("X-Forwarded-For", "192.0.2.9, 198.51.100.1")], 403, ""),
    ("deny", "GET", &[], 403, ""),
    ("deny", "GET", &[("X-Forwarded-For", "127.0.0.9")], 200, "web"),
    ("deny", "GET", &[("User-Agent", "bad")], 403, ""),
    ("any", "GET", &[], 401, ""),
    ("any", "GET", &[("X-Forwarded-For", "192.0.2.9")], 200, "web"),
    ("any", "GET", &[("Authorization", "Basic YW5uOnNlY3JldA==")], 200, "web"),
    ("basic", "GET", &[("Authorization", "Basic Ym9iOnNlY3JldA==")], 401, ""),
    ("basic", "GET", &[("Authorization", "Bearer x")], 401, ""),
    // Without auth-url nobody is sent anywhere, as in ingress-nginx.
    ("signin", "GET", &[], 401, ""),
    ("cors", "OPTIONS", &[("Origin", "https://b.example"), ("Access-Control-Request-Method", "PUT")], 204, ""),
    ("cors", "GET", &[("Origin", "https://c.example")], 200, "web"),
    ("small", "POST", &[("Content-Length", "2000")], 413, ""),
    ("small", "POST", &[("Content-Length", "2"), ("Transfer-Encoding", "chunked")], 400, ""),
    ("main", "GET", &[("X-Canary", "always")], 200, "other"),
    ("main", "GET", &[("X-Canary", "never"), ("Cookie", "c=always")], 200, "web"),
    ("main", "GET", &[("Cookie", "c=always")], 200, "other"),
];

#[test]
fn what_a_client_is_and_sends_decides_in_explain_as_in_the_proxy() {
    const PREFIX: &str = "nginx.ingress.kubernetes.io";
    let (web, other) = (Origin::start("web"), Origin::start("other"));
    let mut manifests = [GLOBAL, &service("web", &[web.address]), &service("other", &[other.address])].concat();
    for (name, annotations) in GUARDED {
        let annotations = format!("{PREFIX}/{}", annotations.replace("ANN", PREFIX));
        manifests += &ingress(name, &format!("{name}.example"), "/", "web", &annotations);
    }
    let canary = format!("{PREFIX}/canary: 'true', {PREFIX}/canary-by-header: X-Canary, {PREFIX}/canary-by-cookie: c");
    manifests += &ingress("canary", "main.example", "/", "other", &canary);
    let bed = Bed::start(&manifests);
    let listeners = [Listener { name: "http", port: bed.http.port() }];
    for (host, method, fields, status, answers) in FIELDS {
        let url = format!("http://{host}.example/");
        let request = fields
            .iter()
            .try_fold(Request::new(method, &url).unwrap(), |request, (name, value)| request.with(name, value));
        let request = request.unwrap();
        let told = explain(&bed.table(), &listeners, &request);
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("{method} / HTTP/1.1\r\nHost: {host}.example\r\nConnection: close\r\n{lines}\r\n");
        let answered = talk(bed.http, &text);
        let code: u16 = answered.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!((told.status, code), (status, status), "{host} {fields:?}\n{}{answered}", told.text(&request));
        if !answers.is_empty() {
            assert!(answered.contains(answers), "{host} {fields:?}: {answered}");
            let backend = format!("default/{answers}:http over");
            let is_told = told.steps.iter().any(|step| step.stage == "backend" && step.text.starts_with(&backend));
            assert!(is_told, "{host} {fields:?}\n{}", told.text(&request));
        }
    }
}

#[test]
fn a_port_that_no_listener_has_is_told() {
    let bed = Bed::with("", Default::default(), 1, None);
    let listeners = [Listener { name: "http", port: 8080 }, Listener { name: "https", port: 8443 }];
    for (url, text) in [
        ("http://a.example/", "http:8080"),
        ("http://a.example:8080/", "http:8080"),
        ("https://a.example:8443/", "https:8443"),
        ("http://a.example:8443/", "http:8080, if something leads port 8443 there: no http listener has that port"),
    ] {
        let told = explain(&bed.table(), &listeners, &Request::new("GET", url).unwrap());
        assert_eq!((&*told.steps[0].stage, &*told.steps[0].text), ("listener", text), "{url}");
    }
}

/// A slice of a Service with one endpoint and what is said of it.
fn slice(service: &str, at: SocketAddr, conditions: &str) -> String {
    let (ip, port) = (at.ip(), at.port());
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {service}-{port}, labels: {{kubernetes.io/service-name: {service}}}}}\naddressType: IPv4\nports: [{{name: http, port: {port}, protocol: TCP}}]\nendpoints: [{{addresses: [\"{ip}\"], conditions: {{{conditions}}}, targetRef: {{kind: Pod, name: p{port}, uid: u{port}}}}}]\n---\n"
    )
}

/// What explain says at one stage of `GET http://a.example/` with these header fields.
fn texts(bed: &Bed, stage: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let listeners = [Listener { name: "http", port: bed.http.port() }];
    let request = Request::new("GET", "http://a.example/").unwrap();
    let request = fields.iter().try_fold(request, |request, (name, value)| request.with(name, value)).unwrap();
    let told = explain(&bed.table(), &listeners, &request);
    told.steps.into_iter().filter(|step| step.stage == stage).map(|step| step.text).collect()
}

#[test]
fn the_endpoint_that_a_cookie_names_gets_the_request_also_while_it_drains() {
    const TERMINATING: &str = "ready: false, serving: true, terminating: true";
    let (one, two) = (Origin::start("one"), Origin::start("two"));
    let manifests = |conditions: &str, others: &[&Origin]| {
        let others = others.iter().map(|other| slice("web", other.address, "ready: true"));
        [service("web", &[]), ingress("web", "a.example", "/", "web", "fairlead.dev/affinity: cookie")].concat()
            + &slice("web", one.address, conditions)
            + &others.collect::<String>()
    };
    let mut bed = Bed::start(&manifests("ready: true", &[]));
    let ask = |bed: &Bed, line: &str| {
        talk(bed.http, &format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{line}\r\n"))
    };
    let given = ask(&bed, "");
    let cookie = given.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap().split(';').next().unwrap();
    let fields = [("Cookie", cookie)];
    assert_eq!(texts(&bed, "endpoint", &fields), [format!("the cookie names {}, which gets it", one.address)]);

    bed.apply(&manifests(TERMINATING, &[&two]));
    assert!(ask(&bed, &format!("Cookie: {cookie}\r\n")).contains("one"), "it serves who it has");
    let (one_at, two_at) = (one.address, two.address);
    let told = [format!("the cookie names {one_at}, which gets it"), format!("without the cookie {two_at}")];
    assert_eq!(texts(&bed, "endpoint", &fields), told);
    assert_eq!(texts(&bed, "endpoint", &[]), [format!("{two_at}"), format!("not {one_at}, draining")]);

    bed.apply(&manifests("ready: false, serving: false, terminating: true", &[&two]));
    assert!(ask(&bed, &format!("Cookie: {cookie}\r\n")).contains("two"));
    let gone = ["the cookie names an endpoint that is gone", &format!("{two_at}")].map(str::to_owned);
    let told = texts(&bed, "endpoint", &fields);
    assert_eq!(told, [&gone[..], &[format!("not {one_at}, terminating and not serving")]].concat());
}

#[test]
fn an_endpoint_that_fails_is_named_with_its_failures_also_when_it_is_used_all_the_same() {
    let mut origins = [Origin::start("one"), Origin::start("two")].map(Some);
    let at = origins.each_ref().map(|origin| origin.as_ref().unwrap().address);
    let slices: String = at.iter().map(|at| slice("web", *at, "ready: true")).collect();
    let annotations = "fairlead.dev/affinity: cookie, fairlead.dev/panic-threshold: 0%, fairlead.dev/passive-health: max-ejected=100%";
    let manifests = service("web", &[]) + &ingress("web", "a.example", "/", "web", annotations) + &slices;
    let bed = Bed::start(&manifests);
    let ask =
        |line: &str| talk(bed.http, &format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{line}\r\n"));
    // A cookie of each, and with it requests to one that is not there any more.
    let kept = |who: &str| loop {
        let given = ask("");
        if given.contains(&format!("\r\n\r\n{who}")) {
            let cookie = given.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
            return cookie.split(';').next().unwrap().to_owned();
        }
    };
    let cookies = ["one", "two"].map(kept);
    let fail = |which: usize| {
        let line = format!("Cookie: {}\r\n", cookies[which]);
        let is_aside = || bed.standing(at[which]).0 == "ejected";
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while !is_aside() {
            assert!(std::time::Instant::now() < until, "{:?}", bed.standing(at[which]));
            ask(&line);
        }
        bed.standing(at[which]).1
    };
    origins[0] = None;
    let why = [fail(0)];
    let fields = [("Cookie", cookies[0].as_str())];
    let [one, two] = at.map(|at| at.to_string());
    let told = [format!("the cookie names {one}"), two.clone(), format!("not {one}, ejected: {}", why[0])];
    assert_eq!(texts(&bed, "endpoint", &fields), told);

    origins[1] = None;
    let why = [&why[0], &fail(1)];
    let listeners = [Listener { name: "http", port: bed.http.port() }];
    let told = explain(&bed.table(), &listeners, &Request::new("GET", "http://a.example/").unwrap());
    assert_eq!(told.status, 200, "that is what is tried");
    let told = [
        format!("one of {one}, {two}"),
        "every endpoint fails; all of them are used all the same, since to try one is better than to answer 503"
            .to_owned(),
        format!("{one} is ejected: {}", why[0]),
        format!("{two} is ejected: {}", why[1]),
    ];
    let found = texts(&bed, "endpoint", &[]);
    let sorted = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    // Of the two addresses either may be the lower.
    assert_eq!(sorted(found[1..].to_vec()), sorted(told[1..].to_vec()), "{found:?}");
}

#[test]
fn explain_says_what_decides_between_a_backend_and_its_canary_and_who_answers() {
    const PREFIX: &str = "nginx.ingress.kubernetes.io";
    const RULE: &str = "header=x-c;cookie=c;";
    let (web, next) = (Origin::start("web"), Origin::start("next"));
    let manifests = |weight: &str, main: &str, canary: &str| {
        let rule = format!("{PREFIX}/canary-by-header: X-C, {PREFIX}/canary-by-cookie: c");
        let rule = format!("{PREFIX}/canary: 'true', {rule}, {PREFIX}/canary-weight: '{weight}'");
        [service("web", &[]), service("next", &[])].concat()
            + &slice("web", web.address, main)
            + &slice("next", next.address, canary)
            + &ingress("main", "a.example", "/", "web", &format!("{PREFIX}/affinity: cookie"))
            + &ingress("canary", "a.example", "/", "next", &rule)
    };
    let (ready, serving) = ("ready: true", "ready: false, serving: true");
    let mut bed = Bed::start(&manifests("100", ready, ready));
    let [of_web, of_next] = ["0", "100"].map(|weight| {
        bed.apply(&manifests(weight, ready, ready));
        let given = talk(bed.http, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        let cookie = given.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
        cookie.split(';').next().unwrap().to_owned()
    });
    let session = "by the session cookie INGRESSCOOKIE of the client";
    for (weight, main, canary, fields, answers, why) in [
        ("0", ready, ready, ("X-C", "always"), "next", "by the field x-c"),
        ("100", ready, ready, ("X-C", "never"), "web", "by the field x-c"),
        ("0", ready, ready, ("Cookie", "c=always"), "next", "by the cookie c"),
        ("100", ready, ready, ("Cookie", "c=never"), "web", "by the cookie c"),
        ("0", ready, ready, ("X-C", "other"), "web", "by its weight, 0 of 100"),
        ("100", ready, ready, ("X-C", "other"), "next", "by its weight, 100 of 100"),
        ("0", ready, ready, ("Cookie", &of_next), "next", session),
        ("100", ready, ready, ("Cookie", &of_web), "web", session),
        ("100", ready, serving, ("X-C", "always"), "web", "since none of its endpoints is ready"),
        ("100", ready, "ready: false, serving: false", ("X-C", "always"), "web", "since it has no endpoint"),
    ] {
        bed.apply(&manifests(weight, main, canary));
        let line = format!("{}: {}\r\n", fields.0, fields.1);
        let answered = talk(bed.http, &format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{line}\r\n"));
        assert!(answered.contains(&format!("\r\n\r\n{answers}")), "{fields:?} {weight}: {answered}");
        let listeners = [Listener { name: "http", port: bed.http.port() }];
        let request = Request::new("GET", "http://a.example/").unwrap().with(fields.0, fields.1).unwrap();
        let told = explain(&bed.table(), &listeners, &request);
        let text = told.text(&request);
        let first = format!("GET http://a.example/ → 200 default/{answers}:http (ingress default/main, ^ /)\n");
        assert!(text.starts_with(&first), "{text}");
        let is_next = answers == "next";
        assert_eq!(told.backend.as_deref(), is_next.then_some("default/next:http"));
        let line = match is_next {
            true => format!("the canary of default/web:http takes it {why}\n"),
            false => {
                format!("its canary default/next:http takes requests by {RULE}{weight}/100, but not this one, {why}\n")
            }
        };
        assert!(text.contains(&line), "{line} in\n{text}");
    }
    bed.apply(&manifests("50", ready, ready));
    assert_eq!(texts(&bed, "backend", &[])[1], format!("its canary default/next:http takes requests by {RULE}50/100"));
    let either = [format!("default/web:http: {}", web.address), format!("default/next:http: {}", next.address)];
    assert_eq!(texts(&bed, "endpoint", &[]), either, "a draw decides");
    assert_eq!(texts(&bed, "endpoint", &[("X-C", "always")]), [next.address.to_string()]);
}

#[test]
fn the_first_line_names_who_stands_in_for_a_service_without_endpoints() {
    let origin = Origin::start("spare");
    let annotations = "nginx.ingress.kubernetes.io/default-backend: spare";
    let bed = Bed::start(
        &[
            service("web", &[]),
            service("spare", &[origin.address]),
            ingress("web", "a.example", "/", "web", annotations),
        ]
        .concat(),
    );
    let request = Request::new("GET", "http://a.example/").unwrap();
    let told = explain(&bed.table(), &[Listener { name: "http", port: bed.http.port() }], &request).text(&request);
    let first = "GET http://a.example/ → 200 default/spare:http (ingress default/web, ^ /)\n";
    assert!(told.starts_with(first), "{told}");
}
