//! Annotations about cross-origin requests.

use std::sync::Arc;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Row, both};
use super::value::{Refusal, SWITCH, Value, shorten};
use crate::ir::{Cors, OriginPattern, Origins};

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    is_on: Option<bool>,
    origins: Option<Origins>,
    methods: Option<Arc<str>>,
    headers: Option<Arc<str>>,
    credentials: Option<bool>,
    expose: Option<Arc<str>>,
    max_age: Option<Arc<str>>,
}

pub(super) const ROWS: &[Row] = &[
    both("cors-allow-credentials", Honoured(|value, to| value.boolean().map(|is| to.cors.credentials = Some(is))))
        .takes(SWITCH)
        .for_ingress()
        .does("true", "`Access-Control-Allow-Credentials`"),
    both("cors-allow-headers", Honoured(|value, to| names(value, b"").map(|text| to.cors.headers = Some(text))))
        .takes("write names of header fields, as in X-User, Content-Type")
        .for_ingress()
        .medium()
        .does(Cors::HEADERS, "`Access-Control-Allow-Headers`"),
    both("cors-allow-methods", Honoured(|value, to| methods(value).map(|text| to.cors.methods = Some(text))))
        .takes("write methods, as in GET, POST")
        .for_ingress()
        .medium()
        .does(Cors::METHODS, "`Access-Control-Allow-Methods`"),
    both("cors-allow-origin", Honoured(origins))
        .takes("write *, or origins, as in https://a.example, https://*.b.example:8443")
        .for_ingress()
        .medium()
        .does("*", "the first label of a host may be `*`; what is no origin matches nothing"),
    both("cors-expose-headers", Honoured(|value, to| names(value, b"*").map(|text| to.cors.expose = Some(text))))
        .takes("write *, or names of header fields, as in X-Total, X-Page")
        .for_ingress()
        .medium()
        .does("", "`Access-Control-Expose-Headers`"),
    both(
        "cors-max-age",
        Honoured(|value, to| value.integer().map(|seconds| to.cors.max_age = Some(seconds.to_string().into()))),
    )
    .takes("write whole seconds, as in 600; -1: not at all")
    .for_ingress()
    .medium()
    .does(Cors::MAX_AGE, "`Access-Control-Max-Age`: how long a browser remembers a preflight"),
    both("enable-cors", Honoured(|value, to| value.boolean().map(|is| to.cors.is_on = Some(is))))
        .takes(SWITCH)
        .for_ingress()
        .does("false", "switches the rest on"),
];

impl Said {
    /// The filter, if it is switched on.
    pub(in crate::compile) fn filter(&self) -> Option<Arc<Cors>> {
        let Said { is_on, origins, methods, headers, credentials, expose, max_age } = self;
        if *is_on != Some(true) {
            return None;
        }
        let text = |said: &Option<Arc<str>>, default: &str| said.as_ref().map_or_else(|| default.into(), Arc::clone);
        Some(Arc::new(Cors {
            origins: origins.clone().unwrap_or(Origins::Any),
            methods: text(methods, Cors::METHODS),
            headers: text(headers, Cors::HEADERS),
            credentials: credentials.unwrap_or(true),
            expose: expose.clone(),
            max_age: text(max_age, Cors::MAX_AGE),
        }))
    }
}

/// The origins of the list. One that is none matches nothing; it never becomes all of them.
fn origins(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let parts = value.plain()?.split(',').map(str::trim).filter(|part| !part.is_empty());
    let (mut patterns, mut wrong) = (Vec::new(), None);
    let mut is_any = false;
    for part in parts {
        match pattern(part) {
            _ if part == "*" => is_any = true,
            Some(pattern) => patterns.push(pattern),
            None => wrong = wrong.or(Some(part)),
        }
    }
    to.cors.origins = Some(if is_any { Origins::Any } else { Origins::Listed(patterns.into()) });
    let Some(part) = wrong else { return Ok(()) };
    let why = format!("{:?} is no origin, so it matches none", shorten(part));
    Err(Refusal::Ignored(why, "write scheme, host and, if there is one, port, as in https://a.example:8443"))
}

/// `scheme://host`, with a port or not, the first label perhaps `*`; or `null`.
fn pattern(text: &str) -> Option<OriginPattern> {
    let lower = text.to_ascii_lowercase();
    let whole = |text: &str| OriginPattern { start: text.into(), rest: None };
    if lower == "null" {
        return Some(whole(&lower));
    }
    let (scheme, host) = lower.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet));
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0 && !port.starts_with('+')));
    let (label, rest) = name.strip_prefix('*').map_or((None, name), |rest| (Some(()), rest));
    let is_inner = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    let is_name = !rest.is_empty()
        && rest.bytes().all(is_inner)
        && (label.is_none() || (rest.starts_with('.') && rest.len() > 1));
    if !is_scheme || !is_port || !is_name {
        return None;
    }
    Some(match label {
        None => whole(&lower),
        Some(()) => {
            OriginPattern { start: format!("{scheme}://").into(), rest: host.strip_prefix('*').map(Into::into) }
        }
    })
}

fn methods(value: &Value<'_>) -> Result<Arc<str>, Refusal> {
    text(value, "is no list of methods", |octet| octet.is_ascii_alphabetic() || b", ".contains(&octet))
}

/// Names of fields, with further octets that are right.
fn names(value: &Value<'_>, more: &[u8]) -> Result<Arc<str>, Refusal> {
    let is_part = |octet: u8| octet.is_ascii_alphanumeric() || b"-_, ".contains(&octet) || more.contains(&octet);
    text(value, "is no list of header fields", is_part)
}

fn text(value: &Value<'_>, why: &str, is_part: impl Fn(u8) -> bool) -> Result<Arc<str>, Refusal> {
    let text = value.plain()?;
    if text.bytes().all(is_part) { Ok(text.into()) } else { Err(Refusal::Invalid(why.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (text, start, rest) in [
            ("https://A.example", "https://a.example", None),
            ("http://localhost:3000", "http://localhost:3000", None),
            ("capacitor://localhost", "capacitor://localhost", None),
            ("https://*.b.example:8443", "https://", Some(".b.example:8443")),
            ("null", "null", None),
        ] {
            let expected = OriginPattern { start: start.into(), rest: rest.map(Into::into) };
            assert_eq!(pattern(text), Some(expected), "{text}");
        }
        for text in [
            "a.example",
            "https://",
            "https://*",
            "https://*.",
            "https://a*.b",
            "https://a/",
            "https://a:x",
            "://a",
            "",
        ] {
            assert_eq!(pattern(text), None, "{text}");
        }
    }
}
