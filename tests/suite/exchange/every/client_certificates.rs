//! Certificates of clients.

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::exchange::authority::{Authority, Connection, Identity, client, secret};
use crate::exchange::filters::Echo;

pub(super) struct Clients {
    web: Echo,
    root: Authority,
    ann: Identity,
    below: Identity,
}

const CA: &[(&str, &str)] = &[("auth-tls-secret", "default/ca")];

pub(super) const ROWS: &[Row<Clients>] = &[
    row("auth-tls-error-page", "https://b.example/sorry", "sorry")
        .beside(CA)
        .shows(&["< HTTP/1.1 302 ", "< Location: https://b.example/sorry\n"])
        .closes("403", "AccessRuleBroken"),
    row("auth-tls-match-cn", "CN=bob", "CN=(")
        .beside(CA)
        .shows(&["< HTTP/1.1 403 ", "= client certificate unauthorized\n"])
        .closes("403", "AccessRuleBroken")
        .seen(Clients::as_ann),
    row("auth-tls-pass-certificate-to-upstream", "true", "yes")
        .beside(CA)
        .shows(&["> ssl-client-cert: -----BEGIN"])
        .seen(Clients::as_ann),
    row("auth-tls-secret", "default/ca", "default/missing")
        .shows(&["< HTTP/1.1 400 ", "!> "])
        .closes("403", "SecretNotFound"),
    row("auth-tls-verify-client", "optional", "maybe")
        .beside(CA)
        .shows(&["< HTTP/1.1 200 ", "> ssl-client-verify: NONE\n"]),
    row("auth-tls-verify-depth", "0", "deep")
        .beside(CA)
        .shows(&["< HTTP/1.1 400 "])
        .seen(|subject, asked| subject.get(asked, Some(&subject.below))),
];

impl Clients {
    fn as_ann(&self, asked: &Asked) -> String {
        self.get(asked, Some(&self.ann))
    }

    fn get(&self, asked: &Asked, identity: Option<&Identity>) -> String {
        let host = &asked.place.host;
        let answer = Connection::new(asked.https, &client(identity), host).get(host, "/");
        asked.view(&answer, &[('>', &self.web)])
    }
}

impl Subject for Clients {
    fn objects(&self) -> String {
        secret("ca", &[("ca.crt", &self.root.pem)])
    }

    fn serve(&self, _: &Row<Self>, place: &Place, annotations: &str) -> String {
        service(&place.name, &[self.web.address]) + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        self.get(asked, None)
    }
}

#[test]
fn certificates_of_clients() {
    let root = Authority::root("root");
    let (ann, below) = (root.client("ann"), root.below("below").client("ann"));
    check(ROWS, &Clients { web: Echo::start(""), root, ann, below });
}
