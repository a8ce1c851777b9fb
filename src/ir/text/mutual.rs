//! Words for TLS towards backends and for client certificates.

use crate::ir::{BackendTls, ClientAuth, Demand, HostTls, Verified};

/// `sni=a.example verify=1 CA depth=2 shows=shop/tls`.
pub(super) fn backend(words: &mut Vec<String>, tls: Option<&BackendTls>) {
    let Some(tls) = tls else { return };
    let BackendTls { certificate, verified, name, sends_name, no_tls12, no_tls13, ciphers } = tls;
    if let Some(name) = name {
        words.push(format!("{}={name}", if *sends_name { "sni" } else { "name" }));
    }
    if let Some(Verified { by, depth }) = verified {
        words.push(format!("verify={by} depth={depth}"));
    }
    words.extend(certificate.as_ref().map(|certificate| format!("shows={}", certificate.origin)));
    words.extend(no_tls12.then(|| "no-tls12".to_owned()));
    words.extend(no_tls13.then(|| "no-tls13".to_owned()));
    if let Some(ciphers) = ciphers {
        let names: Vec<_> = ciphers.iter().map(|cipher| cipher.name).collect();
        words.push(format!("ciphers={}", names.join(":")));
    }
}

/// `ciphers=A:B client-order`.
pub(super) fn host(tls: &HostTls) -> String {
    let HostTls { ciphers, client_order } = tls;
    let names = |ciphers: &[crate::ir::Cipher]| ciphers.iter().map(|cipher| cipher.name).collect::<Vec<_>>().join(":");
    let ciphers = ciphers.as_deref().map(|ciphers| format!("ciphers={}", names(ciphers)));
    ciphers.into_iter().chain(client_order.then(|| "client-order".to_owned())).collect::<Vec<_>>().join(" ")
}

/// `client-certificate=on;1 CA;depth 1;CN=a;→ https://a.example/`.
pub(super) fn client(auth: &ClientAuth) -> String {
    let ClientAuth { demand, error_page, subject, passes_certificate } = auth;
    let mut parts = match demand.as_deref() {
        None => vec!["403".to_owned()],
        Some(Demand { by, mode, depth }) => {
            vec![mode.as_str().to_owned(), by.to_string(), format!("depth {depth}")]
        }
    };
    parts.extend(subject.as_ref().map(|subject| subject.as_str().to_owned()));
    parts.extend(error_page.as_ref().map(|page| format!("→ {page}")));
    parts.extend(passes_certificate.then(|| "passed on".to_owned()));
    format!("client-certificate={}", parts.join(";"))
}
