//! Keys about redirects to https, and about telling browsers to insist on it.

use std::sync::Arc;

use super::Read;
use super::table::{Row, sets};
use super::value::{NUMBER, PATHS, paths};
use crate::compile::ingress::annotations::SWITCH;
use crate::compile::ingress::annotations::{Refusal, Value};

pub(super) const ROWS: &[Row] = &[
    sets("hsts", "true", |value, to| value.boolean().map(|is| to.keys.hsts.is_on = is), SWITCH, MEANING),
    sets(
        "hsts-include-subdomains",
        "true",
        |value, to| value.boolean().map(|is| to.keys.hsts.subdomains = is),
        SWITCH,
        "`includeSubDomains` in it",
    ),
    sets(
        "hsts-max-age",
        "31536000",
        |value, to| value.count().map(|seconds| to.keys.hsts.max_age = seconds),
        NUMBER,
        "`max-age` in it, seconds",
    ),
    sets(
        "hsts-preload",
        "false",
        |value, to| value.boolean().map(|is| to.keys.hsts.preload = is),
        SWITCH,
        "`preload` in it",
    ),
    sets("http-redirect-code", "308", redirect_code, "one of: 301, 302, 307, 308", "status of redirects to https"),
    sets(
        "no-auth-locations",
        ACME,
        |value, to| paths(value).map(|paths| to.keys.no_auth = paths),
        PATHS,
        "nobody has to log in for paths of Ingresses that begin so",
    ),
    sets(
        "no-tls-redirect-locations",
        ACME,
        |value, to| paths(value).map(|paths| to.keys.no_tls_redirect = paths),
        PATHS,
        "paths of Ingresses that begin so are not redirected to https",
    ),
];

const MEANING: &str =
    "`Strict-Transport-Security` on answers over TLS, unless the certificate is one of our own making";

/// Where certificate authorities look for their challenges.
pub(super) const ACME: &str = "/.well-known/acme-challenge";

/// What `Strict-Transport-Security` says.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::compile) struct Hsts {
    is_on: bool,
    max_age: u32,
    subdomains: bool,
    preload: bool,
}

impl Default for Hsts {
    fn default() -> Hsts {
        Hsts { is_on: true, max_age: 31_536_000, subdomains: true, preload: false }
    }
}

impl Hsts {
    /// The value of the field; `None` = it is not sent.
    pub(in crate::compile) fn value(&self) -> Option<Arc<str>> {
        let Hsts { is_on, max_age, subdomains, preload } = self;
        let part = |is: &bool, text| if *is { text } else { "" };
        let (subdomains, preload) = (part(subdomains, "; includeSubDomains"), part(preload, "; preload"));
        is_on.then(|| format!("max-age={max_age}{subdomains}{preload}").into())
    }
}

fn redirect_code(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    to.keys.redirect_code = match value.count()? {
        code @ (301 | 302 | 307 | 308) => u16::try_from(code).unwrap_or(308),
        _ => return Err(Refusal::Invalid("is no status of a redirect".to_owned())),
    };
    Ok(())
}
