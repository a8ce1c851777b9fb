//! Keys about whose word is taken for who the client is.

use std::time::Duration;

use super::table::{Row, sets};
use super::value::{TIME, is_field_name, time};
use super::{Read, field};
use crate::compile::claim::problem;
use crate::compile::ingress::annotations::{NETWORKS, SWITCH};
use crate::compile::ingress::annotations::{Refusal, Value};
use crate::ir::networks::network;
use crate::ir::{Networks, Object, Problem, ProxyProtocol, Reason, Severity, Trust};
use std::sync::Arc;

/// Longest wait for the whole PROXY header.
const HEADER_TIME: Duration = Duration::from_secs(5);
const FORWARDED_FOR: &str = "x-forwarded-for";

/// What the keys say.
#[derive(Default)]
pub(super) struct Said {
    networks: Option<Networks>,
    forwarded: bool,
    real_ip: bool,
    full_chain: bool,
    field: Option<Arc<str>>,
    host_field: Option<Arc<str>>,
    proxy_protocol: bool,
    header_time: Option<Duration>,
}

pub(super) const ROWS: &[Row] = &[
    sets(
        "compute-full-forwarded-for",
        "false",
        |value, to| value.boolean().map(|is| to.forwarding.full_chain = is),
        SWITCH,
        "with `use-forwarded-headers`: send the whole list of `X-Forwarded-For` on, and the peer behind it",
    ),
    sets(
        "enable-real-ip",
        "false",
        |value, to| value.boolean().map(|is| to.forwarding.real_ip = is),
        SWITCH,
        "believe peers in `proxy-real-ip-cidr` which address a client has",
    ),
    sets(
        "forwarded-for-header",
        "X-Forwarded-For",
        |value, to| field_name(value).map(|name| to.forwarding.field = Some(name)),
        "write the name of a header field",
        "the field in which they say it; the right-most address outside of `proxy-real-ip-cidr` is the client's",
    ),
    sets(
        "forwarded-host-header",
        "X-Forwarded-Host",
        |value, to| field_name(value).map(|name| to.forwarding.host_field = Some(name)),
        "write the name of a header field",
        "with `use-forwarded-headers`: the field in which they say which host the client asked for",
    ),
    sets(
        "proxy-protocol-header-timeout",
        "5s",
        |value, to| time(value).map(|time| to.forwarding.header_time = Some(time)),
        TIME,
        "longest wait for the PROXY header",
    ),
    sets(
        "proxy-real-ip-cidr",
        "0.0.0.0/0,::/0",
        believed,
        NETWORKS,
        "peers that are believed, if one of the other keys says so; with the default all are",
    ),
    sets(
        "use-forwarded-headers",
        "false",
        |value, to| value.boolean().map(|is| to.forwarding.forwarded = is),
        SWITCH,
        "as `enable-real-ip`, and `X-Forwarded-Proto`, `-Host`, `-Port` and `-Prefix` too",
    ),
    sets(
        "use-proxy-protocol",
        "false",
        |value, to| value.boolean().map(|is| to.forwarding.proxy_protocol = is),
        SWITCH,
        "connections begin with a PROXY header (version 1 or 2), on both ports; those that do not are closed",
    ),
];

/// A list that cannot be read believes nobody: whoever forges an address must not come in by a typing error.
fn believed(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    let read = value.networks();
    to.forwarding.networks = Some(read.as_ref().map_or_else(|_| Networks::default(), Networks::clone));
    read.map(drop)
}

fn field_name(value: &Value<'_>) -> Result<Arc<str>, Refusal> {
    let text = value.plain()?;
    if !is_field_name(text) {
        return Err(Refusal::Invalid("is no name of a header field".to_owned()));
    }
    Ok(text.to_ascii_lowercase().into())
}

/// Puts what is said together.
pub(super) fn finish(read: &mut Read, object: &Arc<Object>) {
    let Said { networks, forwarded, real_ip, full_chain, field, host_field, proxy_protocol, header_time } =
        std::mem::take(&mut read.forwarding);
    let is_open = networks.is_none() || networks == Some(everybody());
    let networks = networks.unwrap_or_else(everybody);
    read.globals.proxy_protocol =
        proxy_protocol.then(|| ProxyProtocol { networks: networks.clone(), time: header_time.unwrap_or(HEADER_TIME) });
    if (forwarded || real_ip) && is_open {
        read.problems
            .push(trusts_everybody(object, if forwarded { "use-forwarded-headers" } else { "enable-real-ip" }));
    }
    read.globals.trust = (forwarded || real_ip).then(|| {
        Arc::new(Trust {
            networks,
            field: field.unwrap_or_else(|| FORWARDED_FOR.into()),
            host_field: host_field.unwrap_or_else(|| Trust::HOST_FIELD.into()),
            forwarded,
            full_chain,
        })
    });
}

fn everybody() -> Networks {
    Networks::new(["0.0.0.0/0", "::/0"].into_iter().filter_map(network))
}

fn trusts_everybody(object: &Arc<Object>, key: &str) -> Problem {
    problem(
        object,
        Severity::Warning,
        Reason::ForwardedHeadersTrustEveryone,
        field(key),
        format!("{key} is on and proxy-real-ip-cidr holds every address, so any client can say that it is another"),
        "set proxy-real-ip-cidr to the addresses of the proxies before this one",
    )
}
