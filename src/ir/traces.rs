//! What is set of traces. It is read and checked; nothing acts on it yet.

use std::sync::Arc;
use std::time::Duration;

use super::Template;

/// The spans of one route (`enable-opentelemetry`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tracing {
    /// The trace of the client is gone on with (`opentelemetry-trust-incoming-span`).
    pub trusts: bool,
    /// What a span is called (`opentelemetry-operation-name`); `None`: by the route.
    pub name: Option<Arc<Template>>,
}

/// Where spans go, and how many of them. `None`: not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traces {
    /// `otlp-collector-host`.
    pub host: Option<Arc<str>>,
    /// `otlp-collector-port`.
    pub port: Option<u16>,
    /// `otel-service-name`.
    pub service: Option<Arc<str>>,
    /// `otel-sampler`.
    pub sampler: Option<Sampler>,
    /// `otel-sampler-ratio`, from 0 to 1.
    pub ratio: Option<f64>,
    /// `otel-sampler-parent-based` is `false`.
    pub ignores_parent: bool,
    /// `otel-max-queuesize`.
    pub queue: Option<u32>,
    /// `otel-schedule-delay-millis`.
    pub delay: Option<Duration>,
    /// `otel-max-export-batch-size`.
    pub batch: Option<u32>,
}

/// `otel-sampler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// No trace.
    AlwaysOff,
    /// Every trace.
    AlwaysOn,
    /// A share of them, by their ids.
    TraceIdRatioBased,
}

impl Sampler {
    /// The word of the key.
    pub fn as_str(self) -> &'static str {
        match self {
            Sampler::AlwaysOff => "AlwaysOff",
            Sampler::AlwaysOn => "AlwaysOn",
            Sampler::TraceIdRatioBased => "TraceIdRatioBased",
        }
    }
}
