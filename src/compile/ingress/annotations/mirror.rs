//! Annotations about copies of requests for another service.

use super::table::Effect::Honoured;
use super::table::{Row, both, nginx};
use super::value::{Refusal, Value};
use super::{Settings, Url, UrlHost, external, template};
use crate::compile::said::Told;
use crate::ir::Template;

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `mirror-target`.
    pub(in crate::compile) target: Option<Told<Url>>,
    /// `mirror-host`.
    pub(in crate::compile) host: Option<Told<Template>>,
    /// `mirror-request-body`.
    pub(in crate::compile) has_body: Option<bool>,
}

pub(super) const ROWS: &[Row] = &[
    both("mirror-host", Honoured(host))
        .takes("write a host name, as in copies.example")
        .for_ingress()
        .high()
        .does("", "`Host` of the copies, in place of the host of the target; may have variables"),
    both("mirror-request-body", Honoured(|value, to| value.on_off().map(|is| to.mirror.has_body = Some(is))))
        .takes("one of: on, off")
        .for_ingress()
        .does("on", "copies have the body")
        .unlike("a request whose body is longer than 64 KiB, or one of gRPC, is not copied"),
    nginx("mirror-target", Honoured(target))
        .takes("write a URL, as in http://copies.example$request_uri")
        .for_ingress()
        .high()
        .does("", "gets a copy of each request; path and query may have the variables of `auth-url`, the host may not")
        .unlike("a copy never holds up its client; a target without a path is asked for `/`"),
];

fn target(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let url = external::url(value)?;
    if matches!(url.host, UrlHost::OfRule(..)) {
        let hint = "write the host without variables".to_owned();
        return Err(Refusal::Mistaken("has a variable in its host".to_owned(), hint));
    }
    to.mirror.target = Some(value.told(url));
    Ok(())
}

fn host(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if text.bytes().any(|octet| octet.is_ascii_whitespace() || b"/?#@\";,<>".contains(&octet)) {
        return Err(Refusal::Invalid("is no host".to_owned()));
    }
    to.mirror.host = Some(value.told(template::read(text)?));
    Ok(())
}
