//! Annotations of an Ingress that takes a share of the requests of another one.

use std::sync::Arc;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Row, both};
use super::value::{Refusal, Value, too_small};
use crate::compile::said::Told;
use crate::ir::{CanaryRule, HeaderTest, Regex};
use crate::uri::token::is_token;

/// Totals below this count as this.
const LEAST_TOTAL: u32 = 100;

pub(super) const ROWS: &[Row] = &[
    both("affinity-canary-behavior", Honoured(behavior))
        .takes("one of: sticky, legacy")
        .for_ingress()
        .and_on_canaries()
        .does(
            "sticky",
            "`sticky`: the cookie of the mainline remembers the choice, also when the endpoint that it names is gone; \
         `legacy`: it does not, and the canary gives none out",
        ),
    both("canary", Honoured(|value, to| value.boolean().map(|is| to.canary.is_canary = Some(value.told(is)))))
        .takes("one of: true, false")
        .for_ingress()
        .and_on_canaries()
        .does("false", "the Ingress takes a share of the requests of another one"),
    both("canary-by-cookie", Honoured(cookie))
        .takes("write the name of a cookie")
        .for_ingress()
        .and_on_canaries()
        .medium()
        .does("", "its values `always` and `never` decide"),
    both("canary-by-header", Honoured(header))
        .takes("write the name of a header field, as in X-Canary")
        .for_ingress()
        .and_on_canaries()
        .medium()
        .does("", "its values `always` and `never` decide"),
    both("canary-by-header-pattern", Honoured(pattern))
        .takes("write a regular expression")
        .for_ingress()
        .and_on_canaries()
        .medium()
        .does("", "in place of a value; with letter case and without anchors"),
    both("canary-by-header-value", Honoured(header_value))
        .takes("write the value that the field has to have")
        .for_ingress()
        .and_on_canaries()
        .medium()
        .does("", "decides for the canary; then the words mean nothing"),
    both("canary-weight", Honoured(weight))
        .takes("write a whole number, 0 or more")
        .for_ingress()
        .and_on_canaries()
        .does("0", "so many requests of `canary-weight-total`; more than that are all"),
    both("canary-weight-total", Honoured(total))
        .takes("write a whole number, 100 or more")
        .for_ingress()
        .and_on_canaries()
        .does("100", "a total below 100 is 100"),
];

/// What an Ingress says about being a canary.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `canary`.
    pub(in crate::compile) is_canary: Option<Told<bool>>,
    /// `affinity-canary-behavior: legacy`: its requests are nothing that a cookie remembers.
    pub(in crate::compile) is_legacy: bool,
    header: Option<Arc<str>>,
    value: Option<Arc<str>>,
    pattern: Option<HeaderTest>,
    cookie: Option<Arc<str>>,
    weight: u32,
    /// The full name of the annotation that says it.
    weight_said: Option<Arc<str>>,
    total: u32,
    /// Annotations that mean something on a canary only, by their full names.
    said: Vec<Arc<str>>,
}

impl Said {
    /// Which requests it takes. `None` = it is no canary.
    pub(in crate::compile) fn rule(&self) -> Option<CanaryRule> {
        self.is_canary.as_ref().filter(|told| told.value)?;
        let test = match (&self.value, &self.pattern) {
            (Some(value), _) => HeaderTest::Value(Arc::clone(value)),
            (None, Some(pattern)) => pattern.clone(),
            (None, None) => HeaderTest::Word,
        };
        Some(CanaryRule {
            header: self.header.clone().map(|name| (name, test)),
            cookie: self.cookie.clone(),
            weight: self.weight,
            total: self.total(),
        })
    }

    /// The annotation of a weight that is more than the total, by its full name, and the total.
    pub(super) fn too_heavy(&self) -> Option<(&Arc<str>, u32)> {
        let total = self.total();
        self.weight_said.as_ref().filter(|_| self.is_one() && self.weight > total).map(|full| (full, total))
    }

    fn total(&self) -> u32 {
        self.total.max(LEAST_TOTAL)
    }

    /// The annotations that mean nothing, as it is no canary.
    pub(super) fn idle(&self) -> &[Arc<str>] {
        if self.is_one() { &[] } else { &self.said }
    }

    /// Whether it is a canary.
    pub(super) fn is_one(&self) -> bool {
        self.is_canary.as_ref().is_some_and(|told| told.value)
    }
}

fn note(value: &Value<'_>, to: &mut Settings) {
    to.canary.said.push(Arc::clone(value.full));
}

/// The Ingress beside which a canary stands has nothing to do with it, so a right word says nothing there.
fn behavior(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.canary.is_legacy = match value.word()?.as_str() {
        "legacy" => true,
        "sticky" => false,
        _ => return Err(Refusal::Invalid("is neither sticky nor legacy".to_owned())),
    };
    Ok(())
}

/// A token (RFC 9110 5.6.2), as names of fields and cookies are.
fn token<'a>(value: &Value<'a>) -> Result<&'a str, Refusal> {
    let text = value.plain()?;
    if text.len() > 255 || !is_token(text.as_bytes()) {
        return Err(Refusal::Invalid("is no such name".to_owned()));
    }
    Ok(text)
}

fn cookie(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    note(value, to);
    to.canary.cookie = Some(token(value)?.into());
    Ok(())
}

fn header(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    note(value, to);
    // A variable of nginx has an underscore in the place of a hyphen, and a field with underscores would not be passed on.
    to.canary.header = Some(token(value)?.to_ascii_lowercase().replace('_', "-").into());
    Ok(())
}

fn header_value(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    note(value, to);
    to.canary.value = Some(value.plain()?.into());
    Ok(())
}

/// One that cannot be compiled makes everybody who has the field stay with the mainline, as in ingress-nginx.
fn pattern(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    note(value, to);
    to.canary.pattern = Some(HeaderTest::Broken);
    let invalid = |why: String| Refusal::Invalid(format!("is no regular expression here: {why}"));
    to.canary.pattern = Some(HeaderTest::Pattern(Regex::new(value.plain()?, false).map_err(invalid)?));
    Ok(())
}

fn weight(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    note(value, to);
    // What is more than the total is all of it, however much that is.
    to.canary.weight = u32::try_from(value.whole()?).unwrap_or(u32::MAX);
    to.canary.weight_said = Some(Arc::clone(value.full));
    Ok(())
}

fn total(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    note(value, to);
    let total = value.count()?;
    if total < LEAST_TOTAL {
        return Err(too_small(LEAST_TOTAL));
    }
    to.canary.total = total;
    Ok(())
}
