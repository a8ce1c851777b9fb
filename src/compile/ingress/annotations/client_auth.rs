//! Annotations about certificates of clients.

use std::sync::Arc;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Guard, Row, both};
use super::value::{Refusal, Value};
use crate::compile::said::Told;
use crate::ir::{ClientMode, Kind, Regex};

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `auth-tls-secret`, as written.
    pub(in crate::compile) secret: Option<Told<Arc<str>>>,
    /// `auth-tls-verify-client`.
    pub(in crate::compile) mode: Option<Told<ClientMode>>,
    /// `auth-tls-verify-depth`.
    pub(in crate::compile) depth: Option<Told<u32>>,
    /// `auth-tls-error-page`.
    pub(in crate::compile) error_page: Option<Told<Arc<str>>>,
    /// `auth-tls-match-cn`.
    pub(in crate::compile) subject: Option<Told<Regex>>,
    /// `auth-tls-pass-certificate-to-upstream`.
    pub(in crate::compile) passes_certificate: Option<Told<bool>>,
    /// There is an `auth-tls-secret`, right or wrong.
    pub(in crate::compile) is_asked: bool,
    /// A value that guards is wrong, so that nobody can be judged: its annotation.
    pub(in crate::compile) broken: Option<Arc<str>>,
}

pub(super) const ROWS: &[Row] = &[
    both("auth-tls-error-page", Honoured(error_page))
        .takes("write a URL, as in https://a.example/no-certificate")
        .guarding(Guard::Clients)
        .for_host()
        .high()
        .does("", "clients are sent there (302) that would get 400"),
    both("auth-tls-match-cn", Honoured(subject))
        .takes("write CN= and a regular expression, as in CN=(ann|bob)")
        .guarding(Guard::Clients)
        .for_host()
        .high()
        .does("", "must be found in the subject (RFC 2253), else 403"),
    both(
        "auth-tls-pass-certificate-to-upstream",
        Honoured(|value, to| value.boolean().map(|is| to.client_auth.passes_certificate = Some(value.told(is)))),
    )
    .takes("one of: true, false")
    .for_host()
    .does("false", "`true`: `ssl-client-cert` is the certificate, as PEM escaped like a part of a URL"),
    both(
        "auth-tls-secret",
        Honoured(|value, to| value.plain().map(|name| to.client_auth.secret = Some(value.told(name.into())))),
    )
    .takes("write the name of a Secret")
    .guarding(Guard::Clients)
    .names(Kind::Secret)
    .for_host()
    .medium()
    .does("", "the CAs of clients (`ca.crt`) and perhaps what they took back (`ca.crl`)"),
    both("auth-tls-verify-client", Honoured(mode))
        .takes("one of: on, off, optional, optional_no_ca")
        .for_host()
        .medium()
        .does(
            "on",
            "`optional`: may be missing, must not be bad; `optional_no_ca`: may be of an unknown CA; `off`: \
         not asked for",
        ),
    both(
        "auth-tls-verify-depth",
        Honoured(|value, to| value.count().map(|depth| to.client_auth.depth = Some(value.told(depth)))),
    )
    .takes("write a whole number; 0 = none between the client's certificate and the CA's")
    .for_host()
    .does("1", "certificates that may stand between the client's and the CA's"),
];

fn mode(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let mode = match value.plain()? {
        "on" => ClientMode::On,
        "off" => ClientMode::Off,
        "optional" => ClientMode::Optional,
        "optional_no_ca" => ClientMode::OptionalNoCa,
        _ => return Err(Refusal::Invalid("is none of the words".to_owned())),
    };
    to.client_auth.mode = Some(value.told(mode));
    Ok(())
}

fn error_page(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if text.starts_with('@') {
        let why = "is a location of nginx, of which there are none; clients get 400".to_owned();
        return Err(Refusal::Ignored(why, "write a URL"));
    }
    let is_url = ["http://", "https://", "/"].iter().any(|start| text.starts_with(start));
    if !is_url || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(Refusal::Invalid("is no URL".to_owned()));
    }
    to.client_auth.error_page = Some(value.told(text.into()));
    Ok(())
}

fn subject(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if !text.starts_with("CN=") {
        return Err(Refusal::Mistaken("does not begin with CN=".to_owned(), format!("write CN={text}")));
    }
    let invalid = |why: String| Refusal::Invalid(format!("is no regular expression here: {why}"));
    to.client_auth.subject = Some(value.told(Regex::new(text, false).map_err(invalid)?));
    Ok(())
}
