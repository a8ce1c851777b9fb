//! Keys about traces: read and checked, and kept for the spans that are not sent yet.

use std::time::Duration;

use super::Read;
use super::table::{Row, reads};
use super::value::NUMBER;
use crate::compile::ingress::annotations::{Refusal, SWITCH, Value};
use crate::ir::Sampler;

pub(super) const ROWS: &[Row] = &[
    reads(
        "otel-max-export-batch-size",
        "512",
        |value, to| value.number(1..=u32::MAX).map(|most| to.globals.traces.batch = Some(most)),
        NUMBER,
        "spans that are sent at once",
    ),
    reads(
        "otel-max-queuesize",
        "2048",
        |value, to| value.number(1..=u32::MAX).map(|most| to.globals.traces.queue = Some(most)),
        NUMBER,
        "spans that may wait",
    ),
    reads(
        "otel-sampler",
        "AlwaysOn",
        sampler,
        "one of: AlwaysOff, AlwaysOn, TraceIdRatioBased",
        "which traces are sent",
    ),
    reads(
        "otel-sampler-parent-based",
        "true",
        |value, to| value.boolean().map(|is| to.globals.traces.ignores_parent = !is),
        SWITCH,
        "what the client says of its trace goes before that",
    ),
    reads(
        "otel-sampler-ratio",
        "0.01",
        ratio,
        "write a share from 0 to 1, as in 0.01",
        "the share of TraceIdRatioBased",
    ),
    reads(
        "otel-schedule-delay-millis",
        "5000",
        |value, to| value.count().map(|millis| to.globals.traces.delay = Some(Duration::from_millis(millis.into()))),
        NUMBER,
        "milliseconds between two sendings",
    ),
    reads(
        "otel-service-name",
        "nginx",
        |value, to| value.plain().map(|name| to.globals.traces.service = Some(name.into())),
        "write a name",
        "what this is called in traces",
    ),
    reads("otlp-collector-host", "", host, "write a DNS name or an address", "where spans are sent"),
    reads(
        "otlp-collector-port",
        "4317",
        |value, to| value.number(1..=65_535).map(|port| to.globals.traces.port = u16::try_from(port).ok()),
        "write a port",
        "its port",
    ),
];

fn sampler(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    const ALL: [Sampler; 3] = [Sampler::AlwaysOff, Sampler::AlwaysOn, Sampler::TraceIdRatioBased];
    let text = value.plain()?;
    let found = ALL.into_iter().find(|sampler| sampler.as_str().eq_ignore_ascii_case(text));
    to.globals.traces.sampler = Some(found.ok_or_else(|| Refusal::Invalid("is none of the words".to_owned()))?);
    Ok(())
}

fn ratio(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    match value.plain()?.parse() {
        Ok(ratio @ 0.0..=1.0) => to.globals.traces.ratio = Some(ratio),
        _ => return Err(Refusal::Invalid("is no share from 0 to 1".to_owned())),
    }
    Ok(())
}

fn host(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    let text = value.plain()?;
    if rustls_pki_types::ServerName::try_from(text).is_err() {
        return Err(Refusal::Invalid("is neither a DNS name nor an address".to_owned()));
    }
    to.globals.traces.host = Some(text.into());
    Ok(())
}
