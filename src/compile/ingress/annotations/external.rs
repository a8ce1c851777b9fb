//! Annotations about asking another service who may come in.

use std::sync::Arc;
use std::time::Duration;

use super::table::Effect::Honoured;
use super::table::{Guard, Row, both, nginx, tunes_nothing};
use super::value::{Refusal, SWITCH, Value, is_of_url, shorten};
use super::{Settings, template};
use crate::compile::config_map;
use crate::compile::said::Told;
use crate::ir::{AuthMethod, Kind, Part, Template};
use crate::settings::units;
use crate::uri;

const KEPT: &str = "remove it; connections to the service are always kept";
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `auth-url`.
    pub(in crate::compile) url: Option<Told<Url>>,
    /// `auth-method`.
    pub(in crate::compile) method: Option<AuthMethod>,
    /// `auth-signin`.
    pub(in crate::compile) sign_in: Option<Template>,
    /// `auth-signin-redirect-param`.
    pub(in crate::compile) parameter: Option<Arc<str>>,
    /// `auth-response-headers`.
    pub(in crate::compile) fields: Box<[Arc<str>]>,
    /// `auth-request-redirect`.
    pub(in crate::compile) redirect: Option<Template>,
    /// `auth-proxy-set-headers`: a ConfigMap, as written.
    pub(in crate::compile) sends: Option<Told<Arc<str>>>,
    /// `auth-snippet`: fields for the service.
    pub(in crate::compile) lines: Vec<(Arc<str>, Template)>,
    /// `auth-cache-key`.
    pub(in crate::compile) cache_key: Option<Template>,
    /// `auth-cache-duration`.
    pub(in crate::compile) cache_times: Option<Times>,
    /// `auth-always-set-cookie`.
    pub(in crate::compile) always_cookies: bool,
    /// `enable-global-auth: false`: without an `auth-url` nobody is asked.
    pub(in crate::compile) not_global: bool,
}

/// Statuses with how long an answer with one of them is remembered.
pub(in crate::compile) type Times = Box<[(Box<[u16]>, Duration)]>;

/// A URL whose path and query may have variables.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::compile) struct Url {
    /// `https`.
    pub(in crate::compile) is_tls: bool,
    /// In lower case; an IPv6 address in its brackets.
    pub(in crate::compile) host: UrlHost,
    /// As written, or that of the scheme.
    pub(in crate::compile) port: u16,
    /// Path and query.
    pub(in crate::compile) target: Template,
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::compile) enum UrlHost {
    /// A name or an address.
    Named(Arc<str>),
    /// That of the rule whose paths are guarded, with a text before and one behind it.
    OfRule(Arc<str>, Arc<str>),
}

impl UrlHost {
    /// The host, for a rule with the host `own`.
    pub(in crate::compile) fn of(&self, own: Option<&str>) -> Option<Arc<str>> {
        match self {
            UrlHost::Named(host) => Some(Arc::clone(host)),
            UrlHost::OfRule(before, behind) => own.map(|own| format!("{before}{own}{behind}").into()),
        }
    }
}

pub(super) const ROWS: &[Row] = &[
    both("auth-always-set-cookie", Honoured(|value, to| value.boolean().map(|is| to.external.always_cookies = is)))
        .takes(SWITCH)
        .guarding(Guard::Authentication)
        .does(
            "false",
            "`true`: cookies of the service go to the client whatever the back end answers, and with refusals",
        ),
    nginx("auth-cache-duration", Honoured(|value, to| times(value).map(|times| to.external.cache_times = Some(times))))
        .takes("write statuses and a time, as in 200 202 401 5m")
        .guarding(Guard::Authentication)
        .medium()
        .does(
            "200 202 401 5m",
            "which words of the service are remembered, and how long; a time alone is for 200, 301 and 302",
        ),
    nginx("auth-cache-key", Honoured(|value, to| cache_key(value).map(|key| to.external.cache_key = Some(key))))
        .takes("write variables, letters, digits, - and _, as in $cookie_session")
        .medium()
        .does("", "requests with the same one on the same path get the same word for a while"),
    both("auth-keepalive", tunes_nothing(KEPT)),
    both("auth-keepalive-requests", tunes_nothing(KEPT)),
    both("auth-keepalive-share-vars", tunes_nothing(KEPT)),
    both("auth-keepalive-timeout", tunes_nothing(KEPT)),
    both("auth-method", Honoured(|value, to| method(value, &mut to.external)))
        .takes("one of: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        .guarding(Guard::Authentication)
        .does("GET", "method to ask with"),
    both("auth-proxy-set-headers", Honoured(sends))
        .takes("write the name of a ConfigMap")
        .guarding(Guard::Authentication)
        .names(Kind::ConfigMap)
        .medium()
        .does("", "fields for the service, whose texts may have variables"),
    nginx("auth-request-redirect", Honoured(|value, to| text(value).map(|text| to.external.redirect = Some(text))))
        .takes("write a text with variables, as in $scheme://$host$request_uri")
        .guarding(Guard::Authentication)
        .medium()
        .does("$request_uri", "text of `X-Auth-Request-Redirect`"),
    both("auth-response-headers", Honoured(|value, to| fields(value, &mut to.external)))
        .takes("write names of header fields, as in X-User, X-Groups")
        .guarding(Guard::Authentication)
        .medium()
        .does("", "fields of the service's answer that the back end gets, in place of the client's"),
    nginx("auth-signin", Honoured(|value, to| address(value).map(|text| to.external.sign_in = Some(text))))
        .takes("write a URL, as in https://$host/oauth2/start")
        .high()
        .does("", "where a client is sent (302) that would get 401"),
    both("auth-signin-redirect-param", Honoured(|value, to| parameter(value, &mut to.external)))
        .takes("write the name of an argument, as in rd")
        .medium()
        .does("rd", "argument that says where the client wanted to go"),
    nginx("auth-url", Honoured(|value, to| url(value).map(|url| to.external.url = Some(value.told(url)))))
        .takes("write a URL, as in http://auth.example/verify")
        .guarding(Guard::Authentication)
        .high()
        .does(
            "",
            "a service that is asked about each request; the path and query may have the variables below. In the \
         place of the host may stand `$host`, `$http_host`, `$best_http_host` or `$server_name`, each the host of the \
         rule, which must be one name",
        ),
    both("enable-global-auth", Honoured(|value, to| value.boolean().map(|is| to.external.not_global = !is)))
        .takes(SWITCH)
        .does("true", "`false`: without `auth-url` nobody is asked, not even the service of `global-auth-url`"),
];

/// A text with variables or without.
pub(in crate::compile) fn text(value: &Value<'_>) -> Result<Template, Refusal> {
    template::read(value.plain()?)
}

/// A text with variables, and letters, digits, `-` and `_` between them.
fn cache_key(value: &Value<'_>) -> Result<Template, Refusal> {
    let template = template::lasting(text(value)?)?;
    let is_fit = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    if template.texts().any(|text| !text.bytes().all(is_fit)) {
        return Err(Refusal::Invalid("has a character that a key must not have".to_owned()));
    }
    Ok(template)
}

/// A URL, whole or a path, whose every part may have variables.
pub(in crate::compile) fn address(value: &Value<'_>) -> Result<Template, Refusal> {
    let template = template::read(value.plain()?)?;
    if template.texts().any(|text| text.bytes().any(|octet| !is_of_url(octet) && !b"%+#".contains(&octet))) {
        return Err(Refusal::Invalid("has a character that a URL must not have".to_owned()));
    }
    Ok(template)
}

/// `http://` or `https://`, a host, which may be that of the rule, and a path and query that may have variables. A variable
/// right behind the host must be one that begins with a slash.
pub(in crate::compile) fn url(value: &Value<'_>) -> Result<Url, Refusal> {
    let text = value.plain()?;
    let wrong = |why: &str| Refusal::Invalid(why.to_owned());
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("is no URL"))?;
    let is_tls = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err(wrong("is no URL of http or https")),
    };
    let (own, rest) = own_host(rest);
    let (authority, target) = rest.split_at(rest.find(['/', '?', '$']).unwrap_or(rest.len()));
    let is_whole = target.starts_with('$');
    if target.contains(['#', ' ', '"']) {
        return Err(wrong("has a character that a URL must not have"));
    }
    let begins = target.starts_with('/') || is_whole;
    let target = template::read(&if begins { target.to_owned() } else { format!("/{target}") })?;
    if is_whole && !matches!(target.parts.first(), Some(Part::Path | Part::Uri)) {
        let hint = "write the host, or $host for that of the rule".to_owned();
        return Err(Refusal::Mistaken("has a variable in its host".to_owned(), hint));
    }
    // Any name will do to see whether the whole is a host.
    let whole = own.map(|before| format!("{before}host{authority}"));
    let host = uri::host::parse(whole.as_deref().unwrap_or(authority).as_bytes());
    let host = host.filter(|host| !host.name.contains("..")).ok_or_else(|| wrong("has no right host"))?;
    let name = uri::host::lookup(host.name);
    let behind = own.and_then(|before| name.strip_prefix(&format!("{}host", before.to_ascii_lowercase())));
    Ok(Url {
        is_tls,
        host: match (own, behind) {
            (Some(before), Some(behind)) => UrlHost::OfRule(before.to_ascii_lowercase().into(), behind.into()),
            _ => UrlHost::Named(name.as_ref().into()),
        },
        port: host.port.unwrap_or(if is_tls { 443 } else { 80 }),
        target,
    })
}

/// What stands before a variable that means the host of the request, if one stands in the host of a URL, and what stands
/// behind it.
fn own_host(rest: &str) -> (Option<&str>, &str) {
    const OWN: [&str; 4] = ["host", "http_host", "best_http_host", "server_name"];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let split = rest.get(..end).and_then(|authority| authority.split_once('$'));
    let found = split.and_then(|(before, _)| {
        let after = rest.get(before.len() + 1..)?;
        let (name, behind) = template::name(after).ok()?;
        OWN.iter().any(|own| name.eq_ignore_ascii_case(own)).then_some((Some(before), behind))
    });
    found.unwrap_or((None, rest))
}

/// A method to ask with.
pub(in crate::compile) fn method(value: &Value<'_>, to: &mut Said) -> Result<(), Refusal> {
    let text = value.plain()?;
    let known = METHODS.iter().find(|method| **method == text);
    let method = known.ok_or_else(|| Refusal::Invalid("is no method to ask with".to_owned()))?;
    to.method = Some(AuthMethod::Named((*method).into()));
    Ok(())
}

/// The name of an argument.
pub(in crate::compile) fn parameter(value: &Value<'_>, to: &mut Said) -> Result<(), Refusal> {
    let text = value.plain()?;
    if !text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet)) {
        return Err(Refusal::Invalid("is no name of an argument".to_owned()));
    }
    to.parameter = Some(text.into());
    Ok(())
}

/// Names of fields that may be taken over.
pub(in crate::compile) fn fields(value: &Value<'_>, to: &mut Said) -> Result<(), Refusal> {
    let mut names = Vec::new();
    for name in value.plain()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet)) {
            return Err(Refusal::Invalid(format!("has {:?}, which is no name of a header field", shorten(name))));
        }
        if config_map::is_ours(name) {
            let hint = format!("leave {name} out; the proxy writes it");
            return Err(Refusal::Mistaken(format!("has {name}, which is no field to take over"), hint));
        }
        names.push(name.into());
    }
    to.fields = names.into();
    Ok(())
}

fn sends(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.external.sends = Some(value.told(value.plain()?.into()));
    Ok(())
}

/// `[statuses] time, …`: a number with a unit of nginx.
pub(in crate::compile) fn times(value: &Value<'_>) -> Result<Times, Refusal> {
    let wrong =
        |part: &str| Refusal::Invalid(format!("has {:?}, which is no list of statuses and a time", shorten(part)));
    let mut all = Vec::new();
    for part in value.plain()?.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (statuses, time) = part.rsplit_once(char::is_whitespace).unwrap_or(("", part));
        let statuses: Option<Box<[u16]>> = statuses.split_ascii_whitespace().map(status).collect();
        match (statuses, nginx_time(time)) {
            (Some(statuses), Some(time)) if statuses.is_empty() => all.push((UNSAID.into(), time)),
            (Some(statuses), Some(time)) => all.push((statuses, time)),
            _ => return Err(wrong(part)),
        }
    }
    Ok(if all.is_empty() { default_times() } else { all.into() })
}

/// Whose word is remembered where a time stands alone (`proxy_cache_valid` of nginx).
const UNSAID: [u16; 3] = [200, 301, 302];

fn status(text: &str) -> Option<u16> {
    text.parse().ok().filter(|status| text.len() == 3 && (100..600).contains(status))
}

/// `500ms`, `5m`; a number without a unit is no time, and may be a status.
fn nginx_time(text: &str) -> Option<Duration> {
    let end = text.bytes().position(|octet| !octet.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let number: u64 = number.parse().ok()?;
    let is_short = |time: &Duration| *time <= units::LONGEST;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)).filter(is_short),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "M" => 30 * 86_400,
        "y" => 365 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs).filter(is_short)
}

/// What `auth-cache-duration` is where it is not written.
pub(in crate::compile) fn default_times() -> Times {
    [(Box::from([200, 202, 401]), Duration::from_secs(300))].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nginxs_units() {
        for (text, time) in
            [("5m", Some(300)), ("30s", Some(30)), ("1h", Some(3_600)), ("2d", Some(172_800)), ("x", None)]
        {
            assert_eq!(nginx_time(text), time.map(Duration::from_secs), "{text}");
        }
        assert_eq!(nginx_time("250ms"), Some(Duration::from_millis(250)));
        for text in ["", "5 m", "-1", "5x", "m", "200", "34866y", "580000000000y", "18446744073709551615ms"] {
            assert_eq!(nginx_time(text), None, "{text}");
        }
    }
}
