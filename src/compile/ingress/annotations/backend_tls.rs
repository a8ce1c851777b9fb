//! Annotations about TLS towards backends.

use std::sync::Arc;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Guard, Row, both, nginx};
use super::value::{Refusal, Value};
use crate::compile::ciphers;
use crate::compile::said::Told;
use crate::ir::{Cipher, Kind};

const SWITCH: &str = "one of: on, off";

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `proxy-ssl-secret`, as written.
    pub(in crate::compile) secret: Option<Told<Arc<str>>>,
    /// `proxy-ssl-verify`.
    pub(in crate::compile) verify: Option<Told<bool>>,
    /// `proxy-ssl-verify-depth`.
    pub(in crate::compile) depth: Option<Told<u32>>,
    /// `proxy-ssl-name`.
    pub(in crate::compile) name: Option<Told<Arc<str>>>,
    /// `proxy-ssl-server-name`.
    pub(in crate::compile) sends_name: Option<Told<bool>>,
    /// `proxy-ssl-protocols`: 1.2 and 1.3.
    pub(in crate::compile) versions: Option<Told<(bool, bool)>>,
    /// `proxy-ssl-ciphers`.
    pub(in crate::compile) ciphers: Option<Told<Box<[Cipher]>>>,
}

pub(super) const ROWS: &[Row] = &[
    both("proxy-ssl-ciphers", Honoured(ciphers))
        .takes("write OpenSSL's names with colons between them: suites with ECDHE and AES-GCM or ChaCha20")
        .for_ingress()
        .medium()
        .does("", "suites of TLS 1.2, as OpenSSL names them")
        .unlike("suites without ECDHE and AEAD are not offered"),
    nginx("proxy-ssl-name", Honoured(name)).takes("write a DNS name").for_ingress().high().does(
        "",
        "the name to verify and to send; else the external name of an ExternalName, else \
         `SERVICE.NAMESPACE.svc`",
    ),
    both("proxy-ssl-protocols", Honoured(protocols))
        .takes("write TLSv1.2, TLSv1.3 or both")
        .for_ingress()
        .does("TLSv1.2 TLSv1.3", "versions that are offered"),
    both(
        "proxy-ssl-secret",
        Honoured(|value, to| value.plain().map(|name| to.backend_tls.secret = Some(value.told(name.into())))),
    )
    .takes("write the name of a Secret")
    .guarding(Guard::Access)
    .names(Kind::Secret)
    .for_ingress()
    .medium()
    .does("", "what is shown to the back end (`tls.crt`, `tls.key`), or whom to believe (`ca.crt`), or both"),
    both(
        "proxy-ssl-server-name",
        Honoured(|value, to| value.on_off().map(|is| to.backend_tls.sends_name = Some(value.told(is)))),
    )
    .takes(SWITCH)
    .for_ingress()
    .does("off", "`on`: the name is sent (SNI); so it is to an ExternalName and to the service of `auth-url`"),
    both(
        "proxy-ssl-verify",
        Honoured(|value, to| value.on_off().map(|is| to.backend_tls.verify = Some(value.told(is)))),
    )
    .takes(SWITCH)
    .for_ingress()
    .does("off", "`on`: only certificates of `ca.crt` are taken, and only for the name"),
    both(
        "proxy-ssl-verify-depth",
        Honoured(|value, to| value.count().map(|depth| to.backend_tls.depth = Some(value.told(depth)))),
    )
    .takes("write a whole number; 0 = none between the backend's certificate and the CA's")
    .for_ingress()
    .does("1", "certificates that may stand between the back end's and the CA's"),
];

fn name(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let name = value.plain()?.to_ascii_lowercase();
    if rustls_pki_types::ServerName::try_from(name.as_str()).is_err() {
        return Err(Refusal::Invalid("is no DNS name".to_owned()));
    }
    to.backend_tls.name = Some(value.told(name.into()));
    Ok(())
}

fn protocols(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let (mut tls12, mut tls13) = (false, false);
    for word in value.words()? {
        match word {
            "TLSv1.2" => tls12 = true,
            "TLSv1.3" => tls13 = true,
            "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => {}
            _ => return Err(Refusal::Invalid("has a word that is none of the list".to_owned())),
        }
    }
    if !tls12 && !tls13 {
        return Err(Refusal::Invalid("has no version that is spoken".to_owned()));
    }
    to.backend_tls.versions = Some(value.told((tls12, tls13)));
    Ok(())
}

fn ciphers(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    ciphers::take(value, |suites| to.backend_tls.ciphers = ciphers::unless_all(suites).map(|suites| value.told(suites)))
}
