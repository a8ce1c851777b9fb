//! Annotations about traces: read and checked, and kept for the spans that are not sent yet.

use std::sync::Arc;

use super::Settings;
use super::table::{Row, both, reads};
use super::template;
use super::value::{Refusal, SWITCH, Value};
use crate::ir::{Template, Tracing};

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `enable-opentelemetry`.
    is_on: Option<bool>,
    /// `opentelemetry-trust-incoming-span`.
    trusts: Option<bool>,
    /// `opentelemetry-operation-name`.
    name: Option<Arc<Template>>,
}

/// What is missing.
pub(in crate::compile) const MISSING: &str = "no spans are sent";

pub(super) const ROWS: &[Row] = &[
    both("enable-opentelemetry", reads(|value, to| value.boolean().map(|is| to.traces.is_on = Some(is)), MISSING))
        .takes(SWITCH)
        .does("false", ""),
    both("opentelemetry-operation-name", reads(name, MISSING)).takes("write letters, digits, _ and -").medium(),
    both(
        "opentelemetry-trust-incoming-span",
        reads(|value, to| value.boolean().map(|is| to.traces.trusts = Some(is)), MISSING),
    )
    .takes(SWITCH)
    .does("true", ""),
];

fn name(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    let is_key = !value.full.contains('/');
    let is_fit = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-');
    // The key of the ConfigMap may have variables, as in HTTP $request_method.
    if !is_key && !text.bytes().all(is_fit) {
        return Err(Refusal::Invalid("has another character".to_owned()));
    }
    to.traces.name = Some(Arc::new(template::read(text)?));
    Ok(())
}

impl Said {
    /// What routes have of it.
    pub(in crate::compile) fn tracing(&self) -> Option<Arc<Tracing>> {
        let Said { is_on, trusts, name } = self;
        is_on.unwrap_or(false).then(|| Arc::new(Tracing { trusts: trusts.unwrap_or(true), name: name.clone() }))
    }
}
