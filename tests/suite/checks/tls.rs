//! Checks of back ends over TLS: who we are and whom we believe is as for requests.

use std::net::SocketAddr;

use rustls::version::TLS13;

use super::back_end::{Health, grpcs};
use super::until;
use crate::bed::{Bed, ingress, service};
use crate::exchange::authority::{Authority, TlsEcho, secret, server};

const NGINX: &str = "nginx.ingress.kubernetes.io/";
const OURS: &str = "fairlead.dev/";

/// A Service whose endpoints are checked once while a test runs.
fn manifests(addresses: &[SocketAddr], pairs: &[(&str, &str, &str)], secrets: &str) -> String {
    let once = [(OURS, "health-check-interval", "1h")];
    let pair = |(prefix, name, value): &(&str, &str, &str)| format!("{prefix}{name}: '{value}'");
    let annotations = once.iter().chain(pairs).map(pair).collect::<Vec<_>>().join(", ");
    service("web", addresses) + &ingress("web", "a.example", "/", "web", &annotations) + secrets
}

/// What is thought of an endpoint after one check, and why.
fn judged(address: SocketAddr, pairs: &[(&str, &str, &str)], secrets: &str) -> (&'static str, String) {
    let bed = Bed::start(&manifests(&[address], pairs, secrets));
    until("it is checked", || bed.last_check(address).is_some());
    bed.standing(address)
}

/// Our certificates and the authorities that are believed.
fn secrets(root: &Authority) -> String {
    let own = root.client("proxy");
    secret("own", &[("tls.crt", &own.pem), ("tls.key", &own.key_pem), ("ca.crt", &root.pem)])
        + &secret("other", &[("ca.crt", &Authority::root("other").pem)])
}

const SOUND: (&str, &str) = ("ready", "");
const NO_SESSION: (&str, &str) = ("unhealthy", "TLS handshake failed");
/// The server does not take us. What is seen of that first is chance: TLS 1.3 says it when the handshake is over on our side.
const REFUSED: (&str, &str) = ("unhealthy", "");

#[track_caller]
fn assert_judged(found: &(&str, String), expected: (&str, &str), pairs: &[(&str, &str, &str)]) {
    let found = (found.0, if expected == REFUSED { "" } else { &*found.1 });
    assert_eq!(found, expected, "{pairs:?}");
}

#[test]
fn a_check_of_a_tls_back_end_speaks_tls_as_requests_do() {
    let root = Authority::root("root");
    let secrets = secrets(&root);
    let open = TlsEcho::start(&root.server("web.default.svc"), None, &[&TLS13]);
    let closed = TlsEcho::start(&root.server("web.default.svc"), Some((&root, false)), &[&TLS13]);
    let (path, https) = ((OURS, "health-check-path", "/check"), (NGINX, "backend-protocol", "HTTPS"));
    let [own, other] = ["own", "other"].map(|name| (NGINX, "proxy-ssl-secret", name));
    let (verify, sent) = ((NGINX, "proxy-ssl-verify", "on"), (NGINX, "proxy-ssl-server-name", "on"));
    let misnamed = (NGINX, "proxy-ssl-name", "secret.example");
    let written = (OURS, "health-check-protocol", "https");
    for (echo, pairs, expected, name) in [
        (&open, &[path, https][..], SOUND, None),
        (&open, &[path, https, written], SOUND, None),
        (&open, &[path, https, own, verify], SOUND, None),
        (&open, &[path, https, own, verify, sent], SOUND, Some("web.default.svc")),
        (&open, &[path, https, other, verify], NO_SESSION, None),
        (&open, &[path, https, own, verify, misnamed], NO_SESSION, None),
        (&closed, &[path, https], REFUSED, None),
        (&closed, &[path, https, own], SOUND, None),
        (&closed, &[path, https, own, written], SOUND, None),
    ] {
        assert_judged(&judged(echo.address, pairs, &secrets), expected, pairs);
        let names: Vec<_> = echo.seen().into_iter().map(|seen| seen.name).collect();
        let asked = if expected == SOUND { vec![name.map(str::to_owned)] } else { Vec::new() };
        assert_eq!(names, asked, "{pairs:?}");
    }
}

#[test]
fn a_grpc_check_of_a_tls_back_end_is_a_call_over_tls() {
    let root = Authority::root("root");
    let secrets = secrets(&root);
    let at = |health, clients| grpcs(health, server(&root.server("web"), clients, &[&TLS13]));
    let (serving, failing) = (at(Health::Says(1, "0"), None), at(Health::Says(2, "0"), None));
    let closed = at(Health::Says(1, "0"), Some((&root, false)));
    let (grpc, grpcs) = ((OURS, "health-check-protocol", "grpc"), (NGINX, "backend-protocol", "GRPCS"));
    let (own, path) = ((NGINX, "proxy-ssl-secret", "own"), (OURS, "health-check-path", "/check"));
    for (address, pairs, expected) in [
        (serving, &[grpc, grpcs][..], SOUND),
        (serving, &[path, grpcs], SOUND),
        (failing, &[grpc, grpcs], ("unhealthy", "NOT_SERVING")),
        (closed, &[grpc, grpcs], REFUSED),
        (closed, &[grpc, grpcs, own], SOUND),
    ] {
        assert_judged(&judged(address, pairs, &secrets), expected, pairs);
    }
}

#[test]
fn another_identity_restarts_no_check() {
    let root = Authority::root("root");
    let [first, last] = ["web", "web"].map(|name| TlsEcho::start(&root.server(name), None, &[&TLS13]));
    let pairs = [(OURS, "health-check-path", "/check"), (NGINX, "backend-protocol", "HTTPS")];
    let renamed =
        |name| [&pairs[..], &[(NGINX, "proxy-ssl-server-name", "on"), (NGINX, "proxy-ssl-name", name)]].concat();
    let mut bed = Bed::start(&manifests(&[first.address], &pairs, ""));
    until("it is checked", || bed.last_check(first.address).is_some());
    for name in ["a.example", "b.example", "c.example"] {
        bed.apply(&manifests(&[first.address], &renamed(name), ""));
    }
    bed.apply(&manifests(&[first.address, last.address], &renamed("c.example"), ""));
    until("a new endpoint is checked, so all changes are known", || bed.last_check(last.address).is_some());
    assert_eq!(first.seen().len(), 1);
    assert_eq!(last.seen()[0].name.as_deref(), Some("c.example"));
}
