//! Annotations about how endpoints are judged: active and passive checks, the panic threshold, slow start, the limit of
//! requests in flight.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::table::Effect::Honoured;
use super::table::{Row, ours};
use super::value::{Refusal, Value};
use super::{CheckProtocol, Settings};
use crate::ir::PassiveCheck;
use crate::settings::suggest::nearest;
use crate::settings::units::show_duration;
use crate::uri;

const INTERVAL: &str = "write a time from 100ms to 1h, as in 250ms, 5s, 1m";
const TIMEOUT: &str = "write a time from 10ms to 60s, as in 250ms, 2s";
const COUNT: &str = "write a whole number, 1 or more";
const SHARE: &str = "write a share of the endpoints, 0% to 100%";
/// The keys of `passive-health`.
const KEYS: [&str; 4] = ["consecutive", "eject", "max-ejected", "on"];
/// No ejection is longer, so none begins with more.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);
/// Oftener, checks would be load; more seldom, they would be no help.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// A check that hangs keeps a place that others wait for.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
/// Whatever warms up does so within an hour.
const LONGEST_START: Duration = Duration::from_secs(3600);

pub(super) const ROWS: &[Row] = &[
    ours("health-check-expected-status", Honoured(expected_status))
        .takes("write statuses and ranges from 100 to 599, as in 200-299, 404")
        .and_on_services()
        .for_port()
        .does("200-399", ""),
    ours(
        "health-check-healthy-threshold",
        Honoured(|value, to| value.number(1..=u32::MAX).map(|count| to.backend.check_rise = Some(value.told(count)))),
    )
    .takes(COUNT)
    .and_on_services()
    .for_port()
    .does("2", "successes in a row"),
    ours("health-check-host", Honoured(host))
        .takes("write a host name, with a port if need be")
        .and_on_services()
        .for_port()
        .does("", "the endpoint's address if not set"),
    ours(
        "health-check-interval",
        Honoured(|value, to| between(value, INTERVALS).map(|time| to.backend.check_interval = Some(value.told(time)))),
    )
    .takes(INTERVAL)
    .and_on_services()
    .for_port()
    .does("5s", "± 10 %"),
    ours("health-check-path", Honoured(path))
        .takes("write an absolute path, as in /healthz, without white space and #")
        .and_on_services()
        .for_port()
        .does("", "turns checks on"),
    ours("health-check-port", Honoured(port))
        .takes("write a port, 1 to 65535")
        .and_on_services()
        .for_port()
        .does("", "the endpoint's if not set"),
    ours("health-check-protocol", Honoured(protocol))
        .takes("one of: http, https, tcp, grpc")
        .and_on_services()
        .for_port()
        .does(
            "",
            "as `backend-protocol` if not set; `tcp` and `grpc` turn checks on without a path; TLS is as for requests",
        ),
    ours(
        "health-check-timeout",
        Honoured(|value, to| between(value, TIMEOUTS).map(|time| to.backend.check_timeout = Some(value.told(time)))),
    )
    .takes(TIMEOUT)
    .and_on_services()
    .for_port()
    .does("2s", "never longer than the interval"),
    ours(
        "health-check-unhealthy-threshold",
        Honoured(|value, to| value.number(1..=u32::MAX).map(|count| to.backend.check_fall = Some(value.told(count)))),
    )
    .takes(COUNT)
    .and_on_services()
    .for_port()
    .does("3", "failures in a row"),
    ours("max-in-flight", Honoured(max_in_flight))
        .takes("write a whole number, or off")
        .and_on_services()
        .for_port()
        .does("off", "requests in flight to a Service port"),
    ours(
        "panic-threshold",
        Honoured(|value, to| value.percent().map(|percent| to.backend.panic_threshold = Some(value.told(percent)))),
    )
    .takes(SHARE)
    .and_on_services()
    .for_port()
    .does("50%", "when fewer endpoints are in use all are"),
    ours("passive-health", Honoured(passive))
        .takes("write off, or some of consecutive=5, eject=10s, max-ejected=50%, on=5xx")
        .and_on_services()
        .for_port()
        .does("consecutive=5, eject=10s, max-ejected=50%", "the first ejection `5m` at most"),
    ours("slow-start", Honoured(slow_start))
        .takes("write a time, as in 30s, or off")
        .and_on_services()
        .for_port()
        .does("off", "in which the weight of a new endpoint grows from 10 to 100 %, `1h` at most"),
];

fn expected_status(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let mut ranges = Vec::new();
    for part in value.list()? {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (status(first)?, status(last)?);
        if first > last {
            let why = "has a range that ends before it begins".to_owned();
            return Err(Refusal::Mistaken(why, format!("did you mean {last}-{first}?")));
        }
        ranges.push((first, last));
    }
    ranges.sort_unstable();
    let mut apart: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match apart.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => apart.push((first, last)),
        }
    }
    to.backend.check_expected = Some(value.told(apart.into()));
    Ok(())
}

fn status(text: &str) -> Result<u16, Refusal> {
    match text.trim().parse() {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err(Refusal::Invalid("has a part that is no status".to_owned())),
    }
}

fn host(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if text.len() > 255 || uri::host::parse(text.as_bytes()).is_none() {
        return Err(Refusal::Invalid("is no host name".to_owned()));
    }
    to.backend.check_host = Some(value.told(text.into()));
    Ok(())
}

fn path(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if !text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'#') {
        return Err(Refusal::Invalid("is no path".to_owned()));
    }
    if !text.starts_with('/') {
        return Err(match text.split_once("://") {
            Some((_, rest)) => Refusal::Mistaken("is a URL".to_owned(), format!("write {}", path_of(rest))),
            None => Refusal::Mistaken("does not begin with a slash".to_owned(), format!("write /{text}")),
        });
    }
    to.backend.check_path = Some(value.told(text.into()));
    Ok(())
}

/// The path, and what follows it, of a URL without its scheme.
fn path_of(rest: &str) -> String {
    match rest.find(['/', '?']).and_then(|at| rest.get(at..)) {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(query) => format!("/{query}"),
        None => "/".to_owned(),
    }
}

fn port(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let port = value.number(1..=u16::MAX.into())?;
    to.backend.check_port = u16::try_from(port).ok().map(|port| value.told(port));
    Ok(())
}

fn protocol(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let protocol = match value.word()?.as_str() {
        "grpc" => CheckProtocol::Grpc,
        "http" => CheckProtocol::Http,
        "https" => CheckProtocol::Https,
        "tcp" => CheckProtocol::Tcp,
        _ => return Err(Refusal::Invalid("is not spoken in checks".to_owned())),
    };
    to.backend.check_protocol = Some(value.told(protocol));
    Ok(())
}

fn max_in_flight(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let limit = if value.word()? == "off" { 0 } else { value.count()? };
    to.backend.max_in_flight = Some(value.told(limit));
    Ok(())
}

fn slow_start(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let time = if value.word()? == "off" { Duration::ZERO } else { value.duration_or_zero()? };
    if time > LONGEST_START {
        return Err(Refusal::Mistaken("is longer than any start".to_owned(), "write 1h or less".to_owned()));
    }
    to.backend.slow_start = Some(value.told(time));
    Ok(())
}

fn passive(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    if value.word()? == "off" {
        to.backend.passive = Some(value.told(None));
        return Ok(());
    }
    let mut check = PassiveCheck::default();
    let mut seen = Vec::new();
    for part in value.list()? {
        let (key, text) = part.split_once('=').unwrap_or((part, ""));
        let (key, part) = (key.trim_end(), value.part(text.trim_start()));
        if part.text.is_empty() && KEYS.contains(&key) {
            return Err(Refusal::Invalid(format!("has {key} without a value")));
        }
        if seen.contains(&key) {
            return Err(Refusal::Mistaken(format!("says {key} twice"), "say it once".to_owned()));
        }
        seen.push(key);
        match key {
            "consecutive" => check.consecutive = part.number(1..=u32::MAX).map_err(|refusal| refusal.of(key))?,
            "eject" => check.eject = ejection(&part).map_err(|refusal| refusal.of(key))?,
            "max-ejected" => check.max_ejected = part.percent().map_err(|refusal| refusal.of(key))?,
            "on" if part.text == "5xx" => check.on_5xx = true,
            "on" => return Err(Refusal::Mistaken("has another on than 5xx".to_owned(), "write on=5xx".to_owned())),
            _ => {
                let near = nearest(key, KEYS).first().copied().unwrap_or("consecutive");
                let hint = format!("did you mean {near}? one of: {}", KEYS.join(", "));
                return Err(Refusal::Mistaken("has a key that is none".to_owned(), hint));
            }
        }
    }
    to.backend.passive = Some(value.told(Some(check)));
    Ok(())
}

fn between(value: &Value<'_>, times: RangeInclusive<Duration>) -> Result<Duration, Refusal> {
    let time = value.duration_or_zero()?;
    let (least, most) = (show_duration(*times.start()), show_duration(*times.end()));
    if time < *times.start() {
        return Err(Refusal::Mistaken("is too short".to_owned(), format!("write {least} or more")));
    }
    if time > *times.end() {
        return Err(Refusal::Mistaken("is too long".to_owned(), format!("write {most} or less")));
    }
    Ok(time)
}

fn ejection(value: &Value<'_>) -> Result<Duration, Refusal> {
    let time = value.duration()?;
    if time > LONGEST_EJECTION {
        return Err(Refusal::Mistaken("is longer than any ejection".to_owned(), "write 5m or less".to_owned()));
    }
    Ok(time)
}
