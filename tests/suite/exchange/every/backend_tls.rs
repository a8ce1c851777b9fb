//! TLS towards back ends.

use rustls::version::{TLS12, TLS13};

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::authority::{Authority, Seen, TlsEcho, secret};

/// The back end shows a certificate for `web.example`, of an authority below the root.
pub(super) struct BackendTls {
    root: Authority,
    web: TlsEcho,
}

/// Spoken over TLS.
const fn tls(name: &'static str, right: &'static str, wrong: &'static str) -> Row<BackendTls> {
    row(name, right, wrong).beside(&[("backend-protocol", "HTTPS")])
}

pub(super) const ROWS: &[Row<BackendTls>] = &[
    tls("proxy-ssl-ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305", "RC4")
        .beside(&[("backend-protocol", "HTTPS"), ("proxy-ssl-protocols", "TLSv1.2")])
        .shows(&["> TLS 1.2 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]),
    tls("proxy-ssl-name", "other.example", "not a name")
        .beside(&[("backend-protocol", "HTTPS"), ("proxy-ssl-server-name", "on")])
        .shows(&["name other.example\n"]),
    tls("proxy-ssl-protocols", "TLSv1.2", "TLSv1.1").shows(&["> TLS 1.2 "]),
    tls("proxy-ssl-secret", "own", "missing").shows(&["> TLS ", ", a certificate, "]).closes("503", "SecretNotFound"),
    tls("proxy-ssl-server-name", "on", "yes").shows(&["name NAME.default.svc\n"]),
    // Nobody of that name answers.
    tls("proxy-ssl-verify", "on", "true")
        .beside(&[("backend-protocol", "HTTPS"), ("proxy-ssl-secret", "ca"), ("proxy-ssl-name", "other.example")])
        .shows(&["< HTTP/1.1 502 ", "!> "]),
    tls("proxy-ssl-verify-depth", "0", "-1")
        .beside(&[
            ("backend-protocol", "HTTPS"),
            ("proxy-ssl-secret", "ca"),
            ("proxy-ssl-verify", "on"),
            ("proxy-ssl-name", "web.example"),
        ])
        .shows(&["< HTTP/1.1 502 ", "!> "]),
];

impl Subject for BackendTls {
    fn objects(&self) -> String {
        let own = self.root.client("proxy");
        secret("own", &[("tls.crt", &own.pem), ("tls.key", &own.key_pem)])
            + &secret("ca", &[("ca.crt", &self.root.pem)])
    }

    fn serve(&self, _: &Row<Self>, place: &Place, annotations: &str) -> String {
        service(&place.name, &[self.web.address]) + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        let mut view = asked.view(&asked.answer(), &[]);
        for (Seen { name, has_certificate, is_tls13 }, suite) in self.web.seen().into_iter().zip(self.web.suites()) {
            let version = if is_tls13 { "1.3" } else { "1.2" };
            let certificate = if has_certificate { "a certificate" } else { "no certificate" };
            let name = name.unwrap_or_else(|| "-".to_owned());
            view += &asked.marked('>', &format!("TLS {version} {suite}, {certificate}, name {name}"));
        }
        view
    }
}

#[test]
fn tls_towards_back_ends() {
    let root = Authority::root("root");
    let own = root.below("below").server("web.example");
    let web = TlsEcho::start(&own, Some((&root, true)), &[&TLS12, &TLS13]);
    check(ROWS, &BackendTls { root, web });
}
