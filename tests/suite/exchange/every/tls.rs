//! TLS to clients.

use fairlead::settings::CompileOptions;
use rustls::version::{TLS12, TLS13};

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::service;
use crate::clients::shake;
use crate::exchange::authority::{Authority, TlsEcho};
use crate::exchange::filters::Echo;
use crate::exchange::passthrough::shown;

/// A back end in clear text, and one that shows a certificate for `web.example`.
pub(super) struct Tls {
    web: Echo,
    own: TlsEcho,
}

pub(super) const ROWS: &[Row<Tls>] = &[
    row("ssl-ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305", "RC4")
        .shows(&["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]),
    row("ssl-passthrough", "true", "yes").shows(&["certificate of the back end"]).seen(|_, asked| {
        let is_theirs = shown(asked.https, &asked.place.host).contains("web.example");
        format!("certificate of {}\n", if is_theirs { "the back end" } else { "ours" })
    }),
    // The client's first.
    row("ssl-prefer-server-ciphers", "false", "no").shows(&["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]),
];

impl Subject for Tls {
    fn serve(&self, row: &Row<Self>, place: &Place, annotations: &str) -> String {
        let address = if row.name == "ssl-passthrough" { self.own.address } else { self.web.address };
        service(&place.name, &[address]) + &place.ingress(annotations)
    }

    fn see(&self, asked: &Asked) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let suite = runtime.block_on(shake(asked.https, &asked.place.host, &[&TLS12])).unwrap();
        format!("{suite:?}\n")
    }

    fn flags(&self, options: &mut CompileOptions) {
        options.ssl_passthrough = true;
    }
}

#[test]
fn tls_to_clients() {
    let root = Authority::root("root");
    let own = TlsEcho::start(&root.server("web.example"), None, &[&TLS12, &TLS13]);
    check(ROWS, &Tls { web: Echo::start(""), own });
}
