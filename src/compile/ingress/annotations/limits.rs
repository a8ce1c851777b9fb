//! Annotations about how much a client may ask for.

use std::sync::Arc;

use super::table::Effect::Honoured;
use super::table::{Guard, Row, both, ours};
use super::value::{NETWORKS, Refusal, Value};
use super::{Settings, template};
use crate::ir::{LimitBy, Networks, Pace, RateLimits};

const COUNT: &str = "write a whole number; 0 = no limit";
const KIBIBYTES: &str = "write a whole number of KiB; 0 = no limit";
/// The default of `limit-burst-multiplier`.
const BURST: u32 = 5;
/// The default status over a limit, as in ingress-nginx.
const STATUS: u16 = 503;

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    per_second: Option<u32>,
    per_minute: Option<u32>,
    burst: Option<u32>,
    at_once: Option<u32>,
    connections: Option<u32>,
    /// `limit-scope: cluster`, with the annotation that says it.
    pub(in crate::compile) shared: Option<Arc<str>>,
    exempt: Option<Networks>,
    exempt_formerly: Option<Networks>,
    /// `limit-by`, or `limit-conn-zone-variable` of the ConfigMap.
    pub(in crate::compile) by: Option<LimitBy>,
    /// KiB a second.
    pace: Option<u32>,
    /// KiB.
    pace_after: Option<u32>,
    /// `limit-req-status-code` of the ConfigMap.
    pub(in crate::compile) rate_status: Option<u16>,
    /// `limit-conn-status-code` of the ConfigMap.
    pub(in crate::compile) at_once_status: Option<u16>,
}

pub(super) const ROWS: &[Row] = &[
    ours(
        "connections-per-client",
        Honoured(|value, to| value.count().map(|count| to.limits.connections = Some(count))),
    )
    .takes(COUNT)
    .guarding(Guard::Access)
    .for_ingress()
    .does("0", "connections of an address, of IPv6 of a /64; on one more requests get 503, and it is closed"),
    both("limit-allowlist", Honoured(|value, to| value.networks().map(|set| to.limits.exempt = Some(set))))
        .takes(NETWORKS)
        .guarding(Guard::Access)
        .for_ingress()
        .does("", "clients without limits"),
    both("limit-burst-multiplier", Honoured(burst))
        .takes("write a whole number, 1 or more")
        .for_ingress()
        .does("5", "so many times the rate may come at once, beside the request that is due"),
    ours("limit-by", Honoured(by))
        .takes("write client, route, or a text with variables, as in $http_x_user")
        .guarding(Guard::Access)
        .for_ingress()
        .does("client", "`client`: address, of IPv6 the /64; `route`: all together"),
    both("limit-connections", Honoured(|value, to| value.count().map(|count| to.limits.at_once = Some(count))))
        .takes(COUNT)
        .guarding(Guard::Access)
        .for_ingress()
        .does("0", "requests under way"),
    both("limit-rate", Honoured(|value, to| kibibytes(value).map(|rate| to.limits.pace = Some(rate))))
        .takes(KIBIBYTES)
        .does("0", "KiB a second for the body of each answer")
        .unlike("acts whatever `proxy-buffering` says"),
    both("limit-rate-after", Honoured(|value, to| kibibytes(value).map(|size| to.limits.pace_after = Some(size))))
        .takes(KIBIBYTES)
        .does("0", "KiB of an answer that go before `limit-rate` counts"),
    both("limit-rpm", Honoured(|value, to| value.count().map(|count| to.limits.per_minute = Some(count))))
        .takes(COUNT)
        .guarding(Guard::Access)
        .for_ingress()
        .does("0", "requests a minute"),
    both("limit-rps", Honoured(|value, to| value.count().map(|count| to.limits.per_second = Some(count))))
        .takes(COUNT)
        .guarding(Guard::Access)
        .for_ingress()
        .does("0", "requests a second"),
    ours("limit-scope", Honoured(scope))
        .takes("one of: replica, cluster")
        .guarding(Guard::Access)
        .for_ingress()
        .does("replica", "`cluster`: rates and `limit-connections` are divided by the number of ready replicas"),
    both("limit-whitelist", Honoured(|value, to| value.networks().map(|set| to.limits.exempt_formerly = Some(set))))
        .takes(NETWORKS)
        .guarding(Guard::Access)
        .for_ingress()
        .does("", "the older name of `limit-allowlist`, which goes before it"),
];

impl Said {
    /// How fast answers go, if that is limited.
    pub(in crate::compile) fn pace(&self) -> Option<Pace> {
        let octets = |kibibytes: u32| u64::from(kibibytes) << 10;
        let rate = self.pace.filter(|rate| *rate > 0)?;
        Some(Pace { rate: octets(rate), after: octets(self.pace_after.unwrap_or(0)) })
    }

    /// The limits, if there are any.
    pub(in crate::compile) fn filter(&self) -> Option<Arc<RateLimits>> {
        let Said {
            per_second,
            per_minute,
            burst,
            at_once,
            connections,
            shared,
            exempt,
            exempt_formerly,
            by,
            pace: _,
            pace_after: _,
            rate_status,
            at_once_status,
        } = self;
        let [per_second, per_minute, at_once, connections] =
            [per_second, per_minute, at_once, connections].map(|count| count.filter(|count| *count > 0));
        per_second.or(per_minute).or(at_once).or(connections)?;
        Some(Arc::new(RateLimits {
            per_second,
            per_minute,
            burst: burst.unwrap_or(BURST),
            at_once,
            connections,
            is_shared: shared.is_some(),
            exempt: exempt.as_ref().or(exempt_formerly.as_ref()).cloned(),
            by: by.clone().unwrap_or_default(),
            rate_status: rate_status.unwrap_or(STATUS),
            at_once_status: at_once_status.unwrap_or(STATUS),
        }))
    }
}

/// As in ingress-nginx, less than 0 means no limit.
fn kibibytes(value: &Value<'_>) -> Result<u32, Refusal> {
    let is_negative = value.plain()?.strip_prefix('-').is_some_and(|digits| digits.parse::<u32>().is_ok());
    if is_negative { Ok(0) } else { value.count() }
}

/// As in ingress-nginx, 0 and less mean the default.
fn burst(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    let is_negative = text.strip_prefix('-').is_some_and(|digits| digits.parse::<u32>().is_ok());
    let count = if is_negative { 0 } else { value.count()? };
    to.limits.burst = Some(if count == 0 { BURST } else { count });
    Ok(())
}

fn by(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.limits.by = Some(match value.word()?.as_str() {
        "client" => LimitBy::Client,
        "route" => LimitBy::Route,
        _ => limit_by(value)?,
    });
    Ok(())
}

/// A text with variables; the address alone is the client, whose IPv6 network counts.
pub(in crate::compile) fn limit_by(value: &Value<'_>) -> Result<LimitBy, Refusal> {
    Ok(match value.plain()? {
        "$binary_remote_addr" | "$remote_addr" => LimitBy::Client,
        text => LimitBy::Text(Arc::new(template::parse(text)?)),
    })
}

fn scope(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.limits.shared = match value.word()?.as_str() {
        "replica" => None,
        "cluster" => Some(Arc::clone(value.full)),
        _ => return Err(Refusal::Invalid("is neither replica nor cluster".to_owned())),
    };
    Ok(())
}
