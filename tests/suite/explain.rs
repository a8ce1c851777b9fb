//! `explain` against the proxy: what it says of a URL is what a client gets.

use std::time::Duration;

use fairlead::admin::Listener;
use fairlead::admin::explain::{Request, explain};
use tokio::net::TcpStream;

use crate::bed::{Bed, ingress, service};
use crate::clients::{H1, tls};
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
