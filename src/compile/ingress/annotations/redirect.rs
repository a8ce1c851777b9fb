//! Annotations about redirects, paths and hosts.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Row, both, ours};
use super::value::{Refusal, SWITCH, Value};
use crate::ir::Redirect;

const PERMANENT: RangeInclusive<u32> = 300..=308;
const TEMPORAL: RangeInclusive<u32> = 300..=307;

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `ssl-redirect`.
    pub(in crate::compile) tls: Option<bool>,
    /// `force-ssl-redirect`.
    pub(in crate::compile) force_tls: Option<bool>,
    /// `preserve-trailing-slash`.
    pub(in crate::compile) keeps_slash: Option<bool>,
    /// `use-port-in-redirects`.
    pub(in crate::compile) has_port: Option<bool>,
    /// `trailing-slash-redirect`.
    pub(in crate::compile) slash: Option<bool>,
    permanent: Option<Arc<str>>,
    permanent_status: Option<u16>,
    temporal: Option<Arc<str>>,
    temporal_status: Option<u16>,
    relative: Option<bool>,
}

pub(super) const ROWS: &[Row] = &[
    both("force-ssl-redirect", Honoured(|value, to| value.boolean().map(|is| to.redirects.force_tls = Some(is))))
        .takes(SWITCH)
        .medium()
        .does("false", "redirect without a `tls` section too, and whatever port the client names"),
    both("permanent-redirect", Honoured(permanent))
        .takes("write a URL or a path, as in https://b.example/new")
        .medium()
        .does("", "where every request is redirected; the query stays behind"),
    both(
        "permanent-redirect-code",
        Honoured(|value, to| status(value, PERMANENT).map(|code| to.redirects.permanent_status = Some(code))),
    )
    .takes("write a status from 300 to 308")
    .does("301", ""),
    both(
        "preserve-trailing-slash",
        Honoured(|value, to| value.boolean().map(|is| to.redirects.keeps_slash = Some(is))),
    )
    .takes(SWITCH)
    .medium()
    .does("false", "the redirect to https keeps a slash at the end, which is cut off else"),
    both("relative-redirects", Honoured(|value, to| value.boolean().map(|is| to.redirects.relative = Some(is))))
        .takes(SWITCH)
        .does("false", "a path in `permanent-redirect` is sent as it is, without scheme and host before it"),
    both("ssl-redirect", Honoured(|value, to| value.boolean().map(|is| to.redirects.tls = Some(is))))
        .takes(SWITCH)
        .does(
            "true",
            "redirect to https where an Ingress of the host has a `tls` section; for folders not where the client names a \
             port that is neither 80 nor ours",
        ),
    both("temporal-redirect", Honoured(temporal))
        .takes("write a URL, as in https://b.example/new")
        .medium()
        .does("", "likewise; goes before the other"),
    both(
        "temporal-redirect-code",
        Honoured(|value, to| status(value, TEMPORAL).map(|code| to.redirects.temporal_status = Some(code))),
    )
    .takes("write a status from 300 to 307")
    .does("302", ""),
    ours("trailing-slash-redirect", Honoured(|value, to| value.boolean().map(|is| to.redirects.slash = Some(is))))
        .takes(SWITCH)
        .does(
            "false",
            "a request for `p` where only the prefix `p/` takes it is redirected there (301); `true` with \
         `--controller-class k8s.io/ingress-nginx`",
        ),
    both("use-port-in-redirects", Honoured(|value, to| value.boolean().map(|is| to.redirects.has_port = Some(is))))
        .takes(SWITCH)
        .does("false", "the redirect to https names our https port where that is not 443; `true` for folders")
        .unlike("only the redirect to https names the port"),
];

impl Said {
    /// The redirect of every request, if one is asked for.
    pub(in crate::compile) fn filter(&self) -> Option<Arc<Redirect>> {
        let (location, status) = match (&self.temporal, &self.permanent) {
            (Some(location), _) => (location, self.temporal_status.unwrap_or(302)),
            (None, Some(location)) => (location, self.permanent_status.unwrap_or(301)),
            (None, None) => return None,
        };
        let completes = location.starts_with('/') && !self.relative.unwrap_or(false);
        Some(Arc::new(Redirect { status, location: Arc::clone(location), completes }))
    }
}

fn permanent(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = location(value)?;
    let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if !text.starts_with('/') && !begins("http://") && !begins("https://") {
        return Err(Refusal::Mistaken(
            "is neither a URL nor a path".to_owned(),
            format!("write https://{text} or /{text}"),
        ));
    }
    to.redirects.permanent = Some(text.into());
    Ok(())
}

fn temporal(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = location(value)?;
    if !text.starts_with("http") {
        return Err(Refusal::Mistaken(
            "is no URL".to_owned(),
            format!("write https://{}", text.trim_start_matches('/')),
        ));
    }
    to.redirects.temporal = Some(text.into());
    Ok(())
}

/// A text of the characters that ingress-nginx takes in the target of a redirect, and escapes.
fn location<'a>(value: &Value<'a>) -> Result<&'a str, Refusal> {
    let text = value.plain()?;
    let is_taken = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~/:,?&=%#".contains(&octet);
    match text.bytes().all(is_taken) {
        true => Ok(text),
        false => Err(Refusal::Invalid("has a character that a redirect must not have".to_owned())),
    }
}

fn status(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u16, Refusal> {
    value.number(range).map(|status| status as u16)
}
