//! Times, sizes and retries of a route: the settings of its Ingress over the limits.

use std::time::Duration;

use super::annotations::Settings;
use crate::compile::ground::Ground;
use crate::ir::{BodyLimit, Policy, Retry, RetryOn, Timeouts};
use crate::settings::Limits;

/// Attempts in all (`proxy-next-upstream-tries`).
const TRIES: u32 = 3;

/// The policy of a route whose Ingress sets nothing.
pub(in crate::compile) fn default_policy(ground: &Ground) -> Policy {
    policy(&ground.base, &ground.options.limits)
}

/// The policy of the routes of an Ingress with these settings. A stream of gRPC has no length that would mean anything.
pub(super) fn policy(settings: &Settings, limits: &Limits) -> Policy {
    let read = settings.read_timeout.unwrap_or(limits.response_head_time);
    let send = settings.send_timeout.unwrap_or(limits.upstream_write_stall);
    let tunnel_idle = settings.read_timeout.max(settings.send_timeout).unwrap_or(limits.tunnel_idle);
    let is_grpc = settings.backend.protocol.as_ref().is_some_and(|told| told.value.is_grpc);
    Policy {
        timeouts: Timeouts {
            connect: settings.connect_timeout.unwrap_or(limits.connect_time),
            read,
            send,
            tunnel_idle: settings.tunnel_idle_timeout.unwrap_or(tunnel_idle),
            total: settings.request_timeout,
        },
        body_limit: BodyLimit { bytes: if is_grpc { 0 } else { settings.body_size.unwrap_or(limits.body.0) } },
        body_min_rate: settings.body_min_rate.unwrap_or(limits.body_min_rate),
        buffer_request: settings.buffer_request.unwrap_or(true),
        retry: Retry {
            on: retry_on(settings),
            tries: settings.retry_tries.unwrap_or(TRIES),
            timeout: settings.retry_timeout.unwrap_or(Duration::ZERO),
        },
        upgrade: settings.upgrade.unwrap_or_default(),
        request_trailers: settings.request_trailers.unwrap_or(false),
        http10: settings.http10.unwrap_or(false),
        is_grpc,
        cache: settings.cache.caching(),
        compress: settings.compress.compression(),
        pace: settings.limits.pace(),
        trace: settings.traces.tracing(),
        sticky: settings.backend.affinity.is_some(),
    }
}

/// The policy of connections that are passed on unopened. Times that are set for requests are not theirs.
pub(super) fn of_passthrough(settings: &Settings, limits: &Limits) -> Policy {
    let plain = policy(&Settings::default(), limits);
    let tunnel_idle = settings.tunnel_idle_timeout.unwrap_or(limits.tunnel_idle);
    Policy { timeouts: Timeouts { tunnel_idle, ..plain.timeouts }, ..plain }
}

fn retry_on(settings: &Settings) -> RetryOn {
    let usual = || RetryOn { error: true, timeout: true, ..RetryOn::default() };
    let mut on = settings.retry_on.clone().unwrap_or_else(usual);
    on.non_idempotent |= settings.retry_any_method && on != RetryOn::default();
    on
}
