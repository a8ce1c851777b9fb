//! Annotations about who may come in.

use std::sync::Arc;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Guard, Row, both};
use super::value::{NETWORKS, Refusal, Value};
use crate::ir::{Access, AccessRule, Basic, External, Networks, SignIn};

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `allowlist-source-range`.
    pub(super) allowed: Option<Networks>,
    /// `whitelist-source-range`, its older name.
    pub(super) allowed_formerly: Option<Networks>,
    /// `denylist-source-range`.
    pub(super) denied: Option<Networks>,
    /// `satisfy: any`.
    pub(super) any: Option<bool>,
}

pub(super) const ROWS: &[Row] = &[
    both("allowlist-source-range", Honoured(|value, to| value.networks().map(|set| to.access.allowed = Some(set))))
        .takes(NETWORKS)
        .guarding(Guard::Access)
        .medium()
        .does("", "others get 403"),
    both("denylist-source-range", Honoured(|value, to| value.networks().map(|set| to.access.denied = Some(set))))
        .takes(NETWORKS)
        .guarding(Guard::Access)
        .medium()
        .does("", "these get 403, whatever the other list says"),
    both("satisfy", Honoured(satisfy))
        .takes("one of: all, any")
        .guarding(Guard::Access)
        .does("all", "`any`: of addresses, password and service one is enough"),
    both(
        "whitelist-source-range",
        Honoured(|value, to| value.networks().map(|set| to.access.allowed_formerly = Some(set))),
    )
    .takes(NETWORKS)
    .guarding(Guard::Access)
    .medium()
    .does("", "the older name of `allowlist-source-range`, which goes before it"),
];

impl Said {
    /// The filter, if anything is asked for.
    pub(in crate::compile) fn filter(
        &self,
        basic: Option<Arc<Basic>>,
        external: Option<Arc<External>>,
        sign_in: Option<Arc<SignIn>>,
        rules: Vec<AccessRule>,
    ) -> Option<Arc<Access>> {
        let Said { allowed, allowed_formerly, denied, any } = self;
        let allowed = allowed.as_ref().or(allowed_formerly.as_ref()).cloned();
        if allowed.is_none() && denied.is_none() && rules.is_empty() && basic.is_none() && external.is_none() {
            return None;
        }
        let any = any.unwrap_or(false);
        Some(Arc::new(Access { denied: denied.clone(), allowed, rules: rules.into(), basic, external, sign_in, any }))
    }
}

fn satisfy(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.access.any = match value.word()?.as_str() {
        "all" => Some(false),
        "any" => Some(true),
        _ => return Err(Refusal::Invalid("is neither all nor any".to_owned())),
    };
    Ok(())
}
