//! The grammar of values that annotations do not have.

use std::sync::Arc;
use std::time::Duration;

use crate::compile::ingress::annotations::{Refusal, Value, shorten};
use crate::ir::{Pattern, Regex};
use crate::settings::units;
use crate::uri::token::is_token;

pub(super) const NUMBER: &str = "write a whole number";
pub(super) const PATHS: &str = "write paths with commas between, as in /a,/b";
pub(super) const TIME: &str = "write a time, as in 60, 250ms, 10s, 5m, 1h";

/// A time longer than 0; a bare number is seconds.
pub(super) fn time(value: &Value<'_>) -> Result<Duration, Refusal> {
    match time_or_zero(value)? {
        Duration::ZERO => Err(Refusal::Invalid("is no time at all".to_owned())),
        time => Ok(time),
    }
}

/// A time, 0 included.
pub(super) fn time_or_zero(value: &Value<'_>) -> Result<Duration, Refusal> {
    units::duration(value.plain()?).map_err(|_| Refusal::Invalid("is not a time".to_owned()))
}

/// Paths by comma.
pub(super) fn paths(value: &Value<'_>) -> Result<Box<[Arc<str>]>, Refusal> {
    let wrong = |part: &&str| Refusal::Invalid(format!("has {:?}, which does not begin with /", shorten(part)));
    let parts = value.list()?;
    let read = parts.iter().map(|part| if part.starts_with('/') { Ok(Arc::from(*part)) } else { Err(wrong(part)) });
    read.collect()
}

/// A text that is compared as a whole, in any letter case, or an expression behind `~`, and behind `~*` in any letter case.
pub(super) fn pattern(part: &str) -> Result<Pattern, Refusal> {
    let expression = match part.strip_prefix("~*") {
        // The letter case is a part of the text, by which expressions are told apart.
        Some(text) => format!("(?i){}", text.trim_start()),
        None => match part.strip_prefix('~') {
            Some(text) => text.trim_start().to_owned(),
            None => return Ok(Pattern::Text(part.into())),
        },
    };
    let wrong = |why| Refusal::Invalid(format!("has {:?}, which is no regular expression: {why}", shorten(part)));
    Regex::new(&expression, false).map(Pattern::Regex).map_err(wrong)
}

/// A name of a header field (RFC 9110 5.1).
pub(super) fn is_field_name(text: &str) -> bool {
    text.len() <= 256 && is_token(text.as_bytes())
}

/// Names of header fields by comma, in lower case.
pub(super) fn field_names(value: &Value<'_>, set: impl FnOnce(Box<[Arc<str>]>)) -> Result<(), Refusal> {
    let (names, others): (Vec<&str>, Vec<&str>) = value.list()?.into_iter().partition(|part| is_field_name(part));
    let wrong = others.first().map(|part| format!("has {:?}, which is no name of a field", shorten(part)));
    match wrong {
        Some(why) if names.is_empty() => return Err(Refusal::Invalid(why)),
        _ => set(names.into_iter().map(|name| Arc::from(name.to_ascii_lowercase())).collect()),
    }
    match wrong {
        Some(why) => Err(Refusal::Ignored(format!("{why}; the others count"), "mend it, or leave it out")),
        None => Ok(()),
    }
}
