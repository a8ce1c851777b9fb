//! Keys about who may come in at all.

use std::sync::Arc;

use super::Read;
use super::table::{Row, guarding, sets};
use super::value::pattern;
use crate::compile::ingress::annotations::{NETWORKS, SWITCH};
use crate::compile::ingress::annotations::{Refusal, Value, limit_by};
use crate::ir::Pattern;

const PATTERNS: &str =
    "write texts with commas between; ~ before a regular expression, ~* where letter case does not matter";

pub(super) const ROWS: &[Row] = &[
    guarding(
        "block-cidrs",
        |value, to| value.networks().map(|networks| to.blocked.clients = Some(networks)),
        NETWORKS,
        "clients that get 403 on every host",
    ),
    guarding(
        "block-referers",
        |value, to| patterns(value).map(|patterns| to.blocked.referers = patterns),
        PATTERNS,
        "values of `Referer` that get 403 on every host",
    ),
    guarding(
        "block-user-agents",
        |value, to| patterns(value).map(|patterns| to.blocked.agents = patterns),
        PATTERNS,
        "values of `User-Agent` that get 403 on every host",
    ),
    sets(
        "allow-cross-namespace-resources",
        "false",
        |value, to| value.boolean().map(|is| to.keys.crosses_namespaces = is),
        SWITCH,
        "Ingresses may name Secrets and ConfigMaps of other namespaces; `custom-headers` may in any case",
    ),
    sets(
        "limit-conn-status-code",
        "503",
        |value, to| status(value).map(|code| to.base.limits.at_once_status = Some(code)),
        STATUS,
        "status over `limit-connections`",
    ),
    sets(
        "limit-conn-zone-variable",
        "$binary_remote_addr",
        |value, to| limit_by(value).map(|by| to.base.limits.by = Some(by)),
        "write a text with variables, as in $http_x_user",
        "who counts as one client of limits, where an Ingress does not say `limit-by`",
    ),
    sets(
        "limit-req-status-code",
        "503",
        |value, to| status(value).map(|code| to.base.limits.rate_status = Some(code)),
        STATUS,
        "status over `limit-rps` and `limit-rpm`; 429 says best what it is",
    ),
];

const STATUS: &str = "write a status from 400 to 599";

fn status(value: &Value<'_>) -> Result<u16, Refusal> {
    let code = value.number(400..=599)?;
    u16::try_from(code).map_err(|_| Refusal::Invalid("is no status".to_owned()))
}

pub(super) fn finish(read: &mut Read) {
    let blocked = std::mem::take(&mut read.blocked);
    read.globals.blocked = (blocked != Default::default()).then(|| Arc::new(blocked));
}

fn patterns(value: &Value<'_>) -> Result<Box<[Pattern]>, Refusal> {
    value.list()?.iter().map(|part| pattern(part)).collect()
}
