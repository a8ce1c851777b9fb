//! What was said about a Service port into how its endpoints are chosen and judged. What contradicts itself is told.

use std::sync::Arc;

use super::claim::{BackendFacts, problem};
use super::ingress::annotations::{CheckProtocol, Way, shorten};
use super::said::{Decided, Word};
use crate::ir::{ActiveCheck, Algorithm, Balancing, Probe, Problem, Protocol, Reason, Severity};
use crate::settings::CompileOptions;
use crate::settings::units::show_duration;

/// `upstream-hash-by-subset-size`.
const SUBSET_SIZE: u16 = 3;

const CHOOSE: &str = "remove one of the two";
const TURN_ON: &str = "set health-check-path, or health-check-protocol: tcp or grpc";

/// How endpoints that speak `protocol` are chosen and judged.
pub(super) fn balancing(
    said: &Decided<'_>,
    protocol: Protocol,
    options: &CompileOptions,
    problems: &mut Vec<Problem>,
) -> Balancing {
    let default = Balancing::default();
    Balancing {
        algorithm: algorithm(said, problems),
        prefer_zone: or(&said.prefer_zone, options.topology_aware),
        active: active(said, protocol, problems),
        passive: said.passive.map_or(default.passive, |word| word.value.clone()),
        panic_threshold: or(&said.panic_threshold, default.panic_threshold),
        slow_start: or(&said.slow_start, default.slow_start),
        max_in_flight: or(&said.max_in_flight, default.max_in_flight),
    }
}

/// What is said of a Service whose zones count for nothing, as nobody says anything about `locality`.
pub(super) fn unheeded(facts: &BackendFacts, said: &Decided<'_>, options: &CompileOptions) -> Option<Problem> {
    let (service, written) = facts.traffic.as_ref()?;
    if said.prefer_zone.is_some() || options.topology_aware {
        return None;
    }
    Some(problem(
        service,
        Severity::Info,
        Reason::ServiceSettingIgnored,
        "spec.trafficDistribution",
        format!("trafficDistribution {} has no effect: endpoints of all zones get requests", shorten(written)),
        "to stay in our zone set the annotation fairlead.dev/locality: prefer on the Ingress, or \
         --enable-topology-aware-routing",
    ))
}

fn or<T: Copy>(word: &Option<Word<'_, T>>, default: T) -> T {
    word.as_ref().map_or(default, |word| *word.value)
}

/// `hash-by` asks for a hash without `load-balance: hash`; beside another `load-balance` the weaker of the two is told, and
/// of two that are equally strong `load-balance`, as ingress-nginx has it.
fn algorithm(said: &Decided<'_>, problems: &mut Vec<Problem>) -> Algorithm {
    let mut by = said.hash_by;
    let mut algorithm = Algorithm::default();
    match (said.way, by) {
        (Some(Word { value: Way::Plain(plain), rank, .. }), Some(hash)) if rank < hash.rank => {
            let why = format!("contradicts load-balance: {}, which serves", plain.as_str());
            problems.push(hash.told(Reason::AnnotationInvalid, &why, CHOOSE));
            by = None;
            algorithm = plain.clone();
        }
        (Some(way @ Word { value: Way::Plain(plain), .. }), Some(_)) => {
            let why = format!("{} contradicts hash-by; hash serves", plain.as_str());
            problems.push(way.told(Reason::AnnotationInvalid, &why, "write hash, or remove hash-by"));
        }
        (Some(Word { value: Way::Plain(plain), .. }), None) => algorithm = plain.clone(),
        (Some(way @ Word { value: Way::Hash, .. }), None) => {
            let why = format!("hash has no text to hash; the default, {}, serves", algorithm.as_str());
            problems.push(way.told(Reason::AnnotationInvalid, &why, "set hash-by, as in hash-by: $request_uri"));
        }
        (Some(Word { value: Way::Hash, .. }) | None, _) => {}
    }
    let subset = said.subset.filter(|word| *word.value);
    if let (Some(subset), None) = (subset, by) {
        let why = "has no effect where no text is hashed";
        problems.push(subset.told(Reason::AnnotationIgnored, why, "set upstream-hash-by or hash-by, or remove it"));
    }
    if let (Some(size), None) = (said.subset_size, subset) {
        let why = "has no effect without upstream-hash-by-subset";
        problems.push(size.told(Reason::AnnotationIgnored, why, "set upstream-hash-by-subset: true, or remove it"));
    }
    match (by, subset) {
        (Some(by), None) => Algorithm::Hash(Arc::clone(by.value)),
        (Some(by), Some(_)) => {
            Algorithm::HashSubset { by: Arc::clone(by.value), size: or(&said.subset_size, SUBSET_SIZE) }
        }
        (None, _) => algorithm,
    }
}

fn active(said: &Decided<'_>, protocol: Protocol, problems: &mut Vec<Problem>) -> Option<ActiveCheck> {
    let Some(probe) = probe(said, protocol, problems) else {
        let why = "has no effect where nothing is checked";
        unused(&said.check_host, why, TURN_ON, problems);
        unused(&said.check_expected, why, TURN_ON, problems);
        unused(&said.check_port, why, TURN_ON, problems);
        unused(&said.check_interval, why, TURN_ON, problems);
        unused(&said.check_timeout, why, TURN_ON, problems);
        unused(&said.check_fall, why, TURN_ON, problems);
        unused(&said.check_rise, why, TURN_ON, problems);
        return None;
    };
    let interval = or(&said.check_interval, ActiveCheck::INTERVAL);
    // A check that still waits when the next is due would put two questions to one endpoint.
    let timeout = or(&said.check_timeout, ActiveCheck::TIMEOUT).min(interval);
    if let Some(word) = said.check_timeout.filter(|word| *word.value > interval) {
        let shown = show_duration(interval);
        let why = format!("is longer than health-check-interval; {shown} serves");
        let hint = format!("write {shown} or less, or a longer health-check-interval");
        problems.push(word.told(Reason::AnnotationInvalid, &why, &hint));
    }
    Some(ActiveCheck {
        probe,
        port: said.check_port.map(|word| *word.value),
        interval,
        timeout,
        fall: or(&said.check_fall, ActiveCheck::FALL),
        rise: or(&said.check_rise, ActiveCheck::RISE),
    })
}

/// Which question is put to endpoints that speak `spoken`, if any. `tcp` and `grpc` ask for no path; where both are said the
/// weaker is told, and of two that are equally strong the path. Where no protocol is said it is that of the endpoints.
fn probe(said: &Decided<'_>, spoken: Protocol, problems: &mut Vec<Problem>) -> Option<Probe> {
    let is_grpc = said.protocol.is_some_and(|word| word.value.is_grpc);
    let of_path = if spoken.is_tls() { CheckProtocol::Https } else { CheckProtocol::Http };
    let protocol = match (said.check_protocol, said.check_path) {
        (None, None) => return None,
        (None, Some(path)) if is_grpc => {
            let why = "the endpoints speak gRPC, which has no such path; health-check-protocol: grpc serves";
            let hint = format!("write health-check-protocol: grpc instead, or {} beside it", of_path.as_str());
            problems.push(path.told(Reason::AnnotationInvalid, why, &hint));
            CheckProtocol::Grpc
        }
        (None, Some(_)) => of_path,
        (Some(word), None) if word.value.asks_for_a_path() => {
            let why = format!("{} asks for a path and none is set, so nothing is checked", word.value.as_str());
            problems.push(word.told(Reason::AnnotationIgnored, &why, "set health-check-path, as in /healthz"));
            return None;
        }
        (Some(word), Some(path)) if !word.value.asks_for_a_path() && path.rank < word.rank => {
            let why = format!("{} contradicts health-check-path; {} serves", word.value.as_str(), of_path.as_str());
            problems.push(word.told(
                Reason::AnnotationInvalid,
                &why,
                "write http or https, or remove health-check-path",
            ));
            of_path
        }
        (Some(word), Some(path)) if !word.value.asks_for_a_path() => {
            let protocol = word.value.as_str();
            let why = format!("contradicts health-check-protocol: {protocol}, which asks for no path and serves");
            let hint = "remove it, or write health-check-protocol: http or https";
            problems.push(path.told(Reason::AnnotationInvalid, &why, hint));
            *word.value
        }
        (Some(word), _) => {
            // Another port may well speak otherwise, and what takes both has no right word.
            let is_of_endpoints = said.check_port.is_none() && spoken != Protocol::Auto;
            if is_of_endpoints && word.value.asks_for_a_path() && *word.value != of_path {
                let (asks, speak) = if spoken.is_tls() { ("in clear text", "TLS") } else { ("over TLS", "clear text") };
                let why = format!("{} asks {asks}, and the endpoints speak {speak}", word.value.as_str());
                let hint = format!("write {}, or set health-check-port if another port is meant", of_path.as_str());
                problems.push(word.told(Reason::AnnotationInvalid, &why, &hint));
            }
            *word.value
        }
    };
    let host = said.check_host.map(|word| Arc::clone(word.value));
    if !protocol.asks_for_a_path() {
        let why = format!("has no effect beside health-check-protocol: {}", protocol.as_str());
        unused(&said.check_expected, &why, "remove it", problems);
        if protocol == CheckProtocol::Tcp {
            unused(&said.check_host, &why, "remove it", problems);
        }
    }
    Some(match (protocol, said.check_path) {
        (CheckProtocol::Grpc, _) => Probe::Grpc { is_tls: spoken.is_tls(), host },
        (CheckProtocol::Http | CheckProtocol::Https, Some(path)) => Probe::Http {
            is_tls: protocol == CheckProtocol::Https,
            path: Arc::clone(path.value),
            host,
            expected: said.check_expected.map_or_else(|| ActiveCheck::EXPECTED.into(), |word| word.value.clone()),
        },
        (CheckProtocol::Tcp | CheckProtocol::Http | CheckProtocol::Https, _) => Probe::Tcp,
    })
}

fn unused<T>(word: &Option<Word<'_, T>>, why: &str, hint: &str, problems: &mut Vec<Problem>) {
    problems.extend(word.as_ref().map(|word| word.told(Reason::AnnotationIgnored, why, hint)));
}
