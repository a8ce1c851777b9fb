//! Annotations about the response cache.

use std::sync::Arc;
use std::time::Duration;

use super::table::Effect::Honoured;
use super::table::{Row, ours};
use super::value::{Refusal, Value};
use super::{Settings, template};
use crate::ir::{Caching, Template};

const DURATION: &str = "write a duration, as in 10s, 5m, 1h";

pub(super) const ROWS: &[Row] = &[
    ours("cache", Honoured(|value, to| value.on_off().map(|is| to.cache.is_on = is)))
        .takes("one of: on, off")
        .does("off", "keep answers"),
    ours("cache-key", Honoured(key))
        .takes("write a text with variables, as in $args, $arg_NAME, $cookie_NAME, $http_NAME")
        .does("", "in place of the query"),
    ours("cache-max-object", Honoured(max_object))
        .takes("write digits with k, m or g, as in 8m")
        .does("1m", "size of the longest body that is kept"),
    ours(
        "cache-stale-if-error",
        Honoured(|value, to| value.duration().map(|time| to.cache.stale_if_error = Some(time))),
    )
    .takes(DURATION)
    .does("", "how long past its own time an answer stands in for a back end that fails"),
    ours("cache-status", Honoured(|value, to| value.boolean().map(|is| to.cache.status = is)))
        .takes("one of: true, false")
        .does("false", "send `Cache-Status` (RFC 9211)"),
    ours("cache-ttl", Honoured(|value, to| value.duration().map(|time| to.cache.ttl = Some(time))))
        .takes(DURATION)
        .does("", "for which an answer is fresh that does not say so"),
];

/// What an Ingress says about the cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    is_on: bool,
    is_broken: bool,
    key: Option<Arc<Template>>,
    max_object: Option<u64>,
    stale_if_error: Option<Duration>,
    status: bool,
    ttl: Option<Duration>,
}

impl Said {
    /// What is cached, if anything is.
    pub(in crate::compile) fn caching(&self) -> Option<Arc<Caching>> {
        let Said { is_on, is_broken, key, max_object, stale_if_error, status, ttl } = self;
        (*is_on && !*is_broken).then(|| {
            Arc::new(Caching {
                key: key.clone(),
                ttl: *ttl,
                max_object: max_object.unwrap_or(Caching::MAX_OBJECT),
                stale_if_error: *stale_if_error,
                status: *status,
            })
        })
    }
}

/// A key that is wrong turns the cache off: without what it was meant to tell apart, one client could get what is another's.
fn key(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    match value.plain().and_then(template::parse) {
        Ok(template) => to.cache.key = Some(Arc::new(template)),
        Err(refusal) => {
            to.cache.is_broken = true;
            return Err(match refusal {
                Refusal::Invalid(why) => Refusal::Invalid(format!("{why}; nothing is cached")),
                Refusal::Mistaken(why, hint) => Refusal::Mistaken(format!("{why}; nothing is cached"), hint),
                ignored @ Refusal::Ignored(..) => ignored,
            });
        }
    }
    Ok(())
}

fn max_object(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    match value.size()? {
        0 => return Err(Refusal::Invalid("is no size at all".to_owned())),
        size => to.cache.max_object = Some(size),
    }
    Ok(())
}
