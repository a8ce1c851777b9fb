//! Keys about connections, of clients and to back ends.

use super::Read;
use super::table::{Row, sets};
use super::value::{NUMBER, TIME, time, time_or_zero};
use crate::compile::ingress::annotations::SWITCH;
use crate::compile::ingress::annotations::{Refusal, Value};
use crate::settings::units;

pub(super) const ROWS: &[Row] = &[
    sets(
        "client-body-timeout",
        "60",
        |value, to| time(value).map(|time| to.globals.clients.body_gap = Some(time)),
        TIME,
        "longest gap between two reads of a request body",
    ),
    sets(
        "client-header-timeout",
        "10",
        |value, to| time(value).map(|time| to.globals.clients.head_time = Some(time)),
        TIME,
        "longest wait for a whole request head",
    ),
    sets(
        "http2-max-concurrent-streams",
        "128",
        |value, to| value.number(1..=65_535).map(|most| to.globals.clients.streams = Some(most)),
        "write a whole number from 1 to 65535",
        "streams of a connection of HTTP/2 at the same time; new connections only",
    ),
    sets(
        "keep-alive",
        "75",
        |value, to| time_or_zero(value).map(|time| to.globals.clients.keep_alive = Some(time)),
        TIME,
        "how long a client's connection may be idle; `0`: it takes one request",
    ),
    sets(
        "keep-alive-requests",
        "10000",
        |value, to| value.number(1..=u32::MAX).map(|most| to.globals.clients.requests = Some(most.into())),
        NUMBER,
        "requests on a client's connection, ± 10 %",
    ),
    sets(
        "large-client-header-buffers",
        "4 16k",
        header_buffers,
        "write a number and a size, as in 4 32k",
        "the size is the longest line of a request head, if it is more than 16 KiB; the number has no effect",
    ),
    sets(
        "retry-non-idempotent",
        "false",
        |value, to| value.boolean().map(|is| to.base.retry_any_method = is),
        SWITCH,
        "try requests of any method again, as if `proxy-next-upstream` had `non_idempotent`",
    ),
    sets(
        "upstream-keepalive-connections",
        "320",
        |value, to| value.count().map(|most| to.globals.pool.connections = usize::try_from(most).ok()),
        NUMBER,
        "idle connections to back ends that a worker keeps; `0`: none",
    ),
    sets(
        "upstream-keepalive-requests",
        "10000",
        |value, to| value.number(1..=u32::MAX).map(|most| to.globals.pool.requests = Some(most.into())),
        NUMBER,
        "requests on a connection to a back end",
    ),
    sets(
        "upstream-keepalive-time",
        "1h",
        |value, to| time(value).map(|time| to.globals.pool.age = Some(time)),
        TIME,
        "how old such a connection may become",
    ),
    sets(
        "upstream-keepalive-timeout",
        "60",
        |value, to| time(value).map(|time| to.globals.pool.idle = Some(time)),
        TIME,
        "how long it may be idle",
    ),
    sets(
        "use-http2",
        "true",
        |value, to| value.boolean().map(|is| to.globals.clients.no_http2 = !is),
        SWITCH,
        "HTTP/2 to clients, by ALPN and by prior knowledge",
    ),
    sets(
        "worker-shutdown-timeout",
        "240s",
        |value, to| time(value).map(|time| to.globals.drain = Some(time)),
        TIME,
        "longest wait for open requests and tunnels while draining, if `--drain-timeout` is not given",
    ),
];

fn header_buffers(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    let wrong = || Refusal::Invalid("is not a number and a size".to_owned());
    let (count, size) = value.plain()?.split_once(' ').ok_or_else(wrong)?;
    count.parse::<u32>().map_err(|_| wrong())?;
    to.globals.clients.line = Some(units::size(size.trim()).map_err(|_| wrong())?);
    Ok(())
}
