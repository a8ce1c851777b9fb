//! Annotations about keeping a client at its endpoint by a cookie.

use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Row, both};
use super::value::{Refusal, SWITCH, Value};
use crate::compile::said::{BackendSettings, Told};
use crate::ir::SameSite;
use crate::uri::token::is_token;

const SECONDS: &str = "write whole seconds, 0 or more; under fairlead.dev/ also 10s, 5m, 1h";

pub(super) const ROWS: &[Row] = &[
    both("affinity", Honoured(affinity)).takes("one of: cookie").for_port().does("", "keeps a client at its endpoint"),
    both("affinity-mode", Honoured(mode))
        .takes("one of: balanced, persistent")
        .for_port()
        .medium()
        .does("balanced", "how long")
        .unlike_for("balanced", "no session moves when endpoints are added: it is as `persistent`"),
    both(
        "session-cookie-change-on-failure",
        Honoured(|value, to| value.boolean().map(|is| to.backend.cookie_change_on_failure = Some(value.told(is)))),
    )
    .takes(SWITCH)
    .for_port()
    .does("false", "a client whose endpoint fails gets another for good"),
    both(
        "session-cookie-conditional-samesite-none",
        Honoured(|value, to| value.boolean().map(|is| to.backend.cookie_conditional_none = Some(value.told(is)))),
    )
    .takes(SWITCH)
    .for_port()
    .does("false", "leave `SameSite=None` out for browsers that misread it"),
    both("session-cookie-domain", Honoured(domain))
        .takes("write a domain, as in example.com")
        .for_port()
        .medium()
        .does("", "`Domain`"),
    both(
        "session-cookie-expires",
        Honoured(|value, to| seconds(value).map(|seconds| to.backend.cookie_expires = Some(value.told(seconds)))),
    )
    .takes(SECONDS)
    .for_port()
    .medium()
    .does("", "`Expires`, from the answer on"),
    both(
        "session-cookie-max-age",
        Honoured(|value, to| seconds(value).map(|seconds| to.backend.cookie_max_age = Some(value.told(seconds)))),
    )
    .takes(SECONDS)
    .for_port()
    .medium()
    .does("", "`Max-Age`"),
    both("session-cookie-name", Honoured(name))
        .takes("write letters, digits and hyphens, as in INGRESSCOOKIE")
        .for_port()
        .medium()
        .does("INGRESSCOOKIE", ""),
    both("session-cookie-path", Honoured(path))
        .takes("write an absolute path, as in /, without white space and ;")
        .for_port()
        .medium()
        .does("", "the path of the route if not set, of a regular expression the text that it begins with"),
    both("session-cookie-samesite", Honoured(same_site))
        .takes("one of: None, Lax, Strict")
        .for_port()
        .does("", "`SameSite`"),
    both(
        "session-cookie-secure",
        Honoured(|value, to| value.boolean().map(|is| to.backend.cookie_secure = Some(value.told(is)))),
    )
    .takes(SWITCH)
    .for_port()
    .does("", "where the request came over TLS, if not set"),
];

/// Takes out what is said of a cookie that is not asked for; the full names of the annotations.
pub(super) fn take_idle(said: &mut BackendSettings) -> impl Iterator<Item = Arc<str>> {
    fn take<T>(told: &mut Option<Told<T>>, is_idle: bool) -> Option<Arc<str>> {
        told.take_if(|_| is_idle).map(|told| told.annotation)
    }
    let is_idle = said.affinity.is_none();
    let idle = [
        take(&mut said.cookie_name, is_idle),
        take(&mut said.cookie_path, is_idle),
        take(&mut said.cookie_domain, is_idle),
        take(&mut said.cookie_expires, is_idle),
        take(&mut said.cookie_max_age, is_idle),
        take(&mut said.cookie_same_site, is_idle),
        take(&mut said.cookie_conditional_none, is_idle),
        take(&mut said.cookie_secure, is_idle),
        take(&mut said.cookie_change_on_failure, is_idle),
    ];
    idle.into_iter().flatten()
}

fn affinity(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    if value.word()? != "cookie" {
        let hint = "write cookie; for the client's address write load-balance: ip_hash".to_owned();
        return Err(Refusal::Mistaken("keeps no client at its endpoint".to_owned(), hint));
    }
    to.backend.affinity = Some(value.told(()));
    Ok(())
}

/// The two are one here: a client stays as long as its endpoint lives.
fn mode(value: &Value<'_>, _: &mut Settings) -> Result<(), Refusal> {
    match value.word()?.as_str() {
        "balanced" | "persistent" => Ok(()),
        _ => Err(Refusal::Invalid("is neither balanced nor persistent".to_owned())),
    }
}

/// A token of RFC 9110, as RFC 6265 has it for the name of a cookie.
fn name(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if text.len() > 255 || !is_token(text.as_bytes()) {
        return Err(Refusal::Invalid("is no name of a cookie".to_owned()));
    }
    to.backend.cookie_name = Some(value.told(text.into()));
    Ok(())
}

fn path(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if !text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b';') {
        return Err(Refusal::Invalid("is no path of a cookie".to_owned()));
    }
    if !text.starts_with('/') {
        return Err(Refusal::Mistaken("does not begin with a slash".to_owned(), format!("write /{text}")));
    }
    to.backend.cookie_path = Some(value.told(text.into()));
    Ok(())
}

fn domain(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    let labels = text.strip_prefix('.').unwrap_or(text);
    let is_inner = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_inner);
    if text.len() > 253 || !labels.split('.').all(is_label) {
        return Err(Refusal::Invalid("is no domain".to_owned()));
    }
    to.backend.cookie_domain = Some(value.told(text.into()));
    Ok(())
}

fn same_site(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let same_site = match value.word()?.as_str() {
        "none" => SameSite::None,
        "lax" => SameSite::Lax,
        "strict" => SameSite::Strict,
        _ => return Err(Refusal::Invalid("is none of the words".to_owned())),
    };
    to.backend.cookie_same_site = Some(value.told(same_site));
    Ok(())
}

fn seconds(value: &Value<'_>) -> Result<u32, Refusal> {
    let time = value.duration_or_zero()?;
    // A part of a second must not become none: that would delete the cookie.
    let seconds = u32::try_from(time.as_secs() + u64::from(time.subsec_nanos() > 0));
    seconds.map_err(|_| {
        let most = Duration::from_secs(u32::MAX.into()).as_secs();
        Refusal::Mistaken("is too long".to_owned(), format!("write {most} or less"))
    })
}
