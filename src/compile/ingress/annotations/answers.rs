//! Annotations about what is changed in answers, and who answers in place of errors.

use std::sync::Arc;

use super::table::Effect::Honoured;
use super::table::{Guard, Row, both, nginx};
use super::value::{Refusal, Value, is_of_url};
use super::{Settings, template};
use crate::compile::said::Told;
use crate::ir::{Kind, Template};

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `default-backend`: a Service of the namespace.
    pub(in crate::compile) default_backend: Option<Told<Arc<str>>>,
    /// `custom-http-errors`, sorted.
    pub(in crate::compile) statuses: Option<Told<Box<[u16]>>>,
    /// `disable-proxy-intercept-errors`.
    pub(in crate::compile) passes_errors: Option<bool>,
    /// `custom-headers`: a ConfigMap, as written.
    pub(in crate::compile) fields: Option<Told<Arc<str>>>,
    /// `proxy-cookie-domain`.
    pub(in crate::compile) cookie_domain: Option<Swap>,
    /// `proxy-cookie-path`.
    pub(in crate::compile) cookie_path: Option<Swap>,
    /// `proxy-redirect-from`.
    pub(in crate::compile) location_from: Option<Arc<str>>,
    /// `proxy-redirect-to`.
    pub(in crate::compile) location_to: Option<Template>,
    /// `enable-access-log: false`.
    pub(in crate::compile) is_silent: Option<bool>,
    /// `upstream-vhost`.
    pub(in crate::compile) host: Option<Template>,
    /// `connection-proxy-header`: close; else keep-alive.
    pub(in crate::compile) closes: Option<bool>,
}

/// What is written in the place of what.
pub(in crate::compile) type Swap = (Arc<str>, Arc<str>);

const SWAP: &str = "write off, or two words: what stands there, and what is to stand there";

pub(super) const ROWS: &[Row] = &[
    both("connection-proxy-header", Honoured(connection))
        .takes("one of: close, keep-alive")
        .does("", "`Connection` for the back end"),
    both("custom-headers", Honoured(custom_headers))
        .takes("write the name of a ConfigMap, as name or namespace/name")
        .guarding(Guard::Access)
        .names_anywhere(Kind::ConfigMap)
        .medium()
        .does(
            "",
            "fields for every answer, errors too, in place of the back end's; the key \
         `global-allowed-response-headers` of the [ConfigMap](config-map.md) must list their names. They go before the key `add-headers` and HSTS, and CORS before them; the ConfigMap may be of \
         any namespace",
        ),
    both("custom-http-errors", Honoured(statuses))
        .takes("write statuses from 400 to 599, as in 404, 503")
        .does(
            "",
            "answers with these statuses are replaced by one of `default-backend`, else of \
         `--default-backend-service`",
        )
        .unlike(
            "an answer below 400 never takes the place of a refusal (401, 403, 429, 503 of ours); where nobody answers in place \
             of errors they pass as they are, and are no 404",
        ),
    both("default-backend", Honoured(default_backend))
        .takes("write the name of a Service of the namespace")
        .does("", "answers where the back end has no endpoint"),
    both(
        "disable-proxy-intercept-errors",
        Honoured(|value, to| value.boolean().map(|is| to.answers.passes_errors = Some(is))),
    )
    .takes("one of: true, false")
    .does("false", "`true`: only our own errors are replaced"),
    both("enable-access-log", Honoured(|value, to| value.boolean().map(|is| to.answers.is_silent = Some(!is))))
        .takes("one of: true, false")
        .does("true", "write the access log"),
    both("proxy-cookie-domain", Honoured(|value, to| swap(value).map(|swap| to.answers.cookie_domain = swap)))
        .takes(SWAP)
        .medium()
        .does("off", "changes `Domain` of the back end's cookies"),
    both("proxy-cookie-path", Honoured(|value, to| swap(value).map(|swap| to.answers.cookie_path = swap)))
        .takes(SWAP)
        .medium()
        .does("off", "changes how `Path` of the back end's cookies begins"),
    both("proxy-redirect-from", Honoured(location_from))
        .takes("write off, default, or how the backend's Location begins")
        .medium()
        .does("off", "how `Location` and `Refresh` of the back end begin"),
    both("proxy-redirect-to", Honoured(location_to))
        .takes("write how Location is to begin, as in https://a.example/x/")
        .medium()
        .does("off", "how they are to begin; may have the variables of `auth-url`"),
    nginx("upstream-vhost", Honoured(host))
        .takes("write a host name, as in web.internal")
        .does("", "`Host` for the back end; may have variables"),
];

fn connection(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.answers.closes = match value.word()?.as_str() {
        "close" => Some(true),
        "keep-alive" => Some(false),
        _ => return Err(Refusal::Invalid("is neither close nor keep-alive".to_owned())),
    };
    Ok(())
}

fn custom_headers(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.answers.fields = Some(value.told(value.plain()?.into()));
    Ok(())
}

fn statuses(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let (mut statuses, mut wrong) = (Vec::new(), false);
    let least = if value.is_key() { 300 } else { 400 };
    for part in value.parts()?.into_iter().filter(|part| !part.is_empty()) {
        match part.parse() {
            Ok(status) if (least..600).contains(&status) => statuses.push(status),
            _ => wrong = true,
        }
    }
    let why = || format!("has a part that is no status from {least} to 599");
    // Of keys the others count, as in ingress-nginx.
    if wrong && (statuses.is_empty() || !value.is_key()) {
        return Err(Refusal::Invalid(why()));
    }
    statuses.sort_unstable();
    statuses.dedup();
    to.answers.statuses = Some(value.told(statuses.into()));
    match wrong {
        true => Err(Refusal::Ignored(format!("{}; the others count", why()), "mend it, or leave it out")),
        false => Ok(()),
    }
}

/// A label of RFC 1035, as names of Services are.
fn default_backend(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    let is_inner = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    if text.len() > 63 || !text.bytes().all(is_inner) || text.starts_with('-') || text.ends_with('-') {
        return Err(Refusal::Invalid("is no name of a Service".to_owned()));
    }
    to.answers.default_backend = Some(value.told(text.into()));
    Ok(())
}

fn swap(value: &Value<'_>) -> Result<Option<Swap>, Refusal> {
    let words: Vec<&str> = value.words()?.collect();
    match words.as_slice() {
        ["off"] => Ok(None),
        [from, to] if is_plain(from) && is_plain(to) => Ok(Some(((*from).into(), (*to).into()))),
        _ => Err(Refusal::Invalid("is not two words".to_owned())),
    }
}

fn location_from(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.answers.location_from = match value.plain()? {
        "off" | "default" => None,
        text if text.bytes().all(is_of_url) => Some(text.into()),
        _ => return Err(not_of_url()),
    };
    Ok(())
}

fn location_to(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.answers.location_to = match value.plain()? {
        "off" | "default" => None,
        text => {
            let template = template::read(text)?;
            if !template.texts().all(|text| text.bytes().all(is_of_url)) {
                return Err(not_of_url());
            }
            Some(template)
        }
    };
    Ok(())
}

fn not_of_url() -> Refusal {
    Refusal::Invalid("has a character that is not right there".to_owned())
}

/// Visible ASCII without variables and without what would end a part of a field.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_graphic() && !b"$;,\"~".contains(&octet))
}

fn host(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if text.bytes().any(|octet| !octet.is_ascii_graphic() || b"/?#@\";".contains(&octet)) {
        return Err(Refusal::Invalid("is no host".to_owned()));
    }
    to.answers.host = Some(template::read(text)?);
    Ok(())
}
