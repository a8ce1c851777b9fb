//! Words for how the endpoints of a backend are chosen, judged and kept to: only what differs from the default.

use std::fmt::Display;
use std::time::Duration;

use crate::ir::{ActiveCheck, Affinity, Algorithm, Balancing, Cookie, PassiveCheck, Probe};

/// `by="$request_uri" check=http:/healthz interval=1s panic-threshold=30%`.
pub(super) fn balancing(words: &mut Vec<String>, balancing: &Balancing) {
    let Balancing { algorithm, prefer_zone, active, passive, panic_threshold, slow_start, max_in_flight } = balancing;
    let plain = Balancing::default();
    match algorithm {
        Algorithm::Hash(by) => words.push(format!("by={:?}", by.to_string())),
        Algorithm::HashSubset { by, size } => words.push(format!("by={:?} subset={size}", by.to_string())),
        Algorithm::LeastConn
        | Algorithm::RoundRobin
        | Algorithm::Random
        | Algorithm::RandomTwo
        | Algorithm::Ewma
        | Algorithm::IpHash => {}
    }
    if *prefer_zone {
        words.push("locality=prefer".to_owned());
    }
    if let Some(check) = active {
        self::active(words, check);
    }
    match passive {
        None => words.push("passive=off".to_owned()),
        Some(check) => self::passive(words, check),
    }
    differs(words, "panic-threshold", panic_threshold, &plain.panic_threshold, |percent| format!("{percent}%"));
    differs(words, "slow-start", slow_start, &plain.slow_start, |time| format!("{time:?}"));
    differs(words, "max-in-flight", max_in_flight, &plain.max_in_flight, u32::to_string);
}

fn differs<T: PartialEq>(words: &mut Vec<String>, name: &str, value: &T, plain: &T, show: impl Fn(&T) -> String) {
    if value != plain {
        words.push(format!("{name}={}", show(value)));
    }
}

fn active(words: &mut Vec<String>, check: &ActiveCheck) {
    let ActiveCheck { probe, port, interval, timeout, fall, rise } = check;
    let (probe, host, expected): (_, _, &[_]) = match probe {
        Probe::Tcp => ("tcp".to_owned(), None, &[]),
        Probe::Http { is_tls, path, host, expected } => {
            (format!("{}:{path}", if *is_tls { "https" } else { "http" }), host.as_ref(), expected)
        }
        Probe::Grpc { is_tls, host } => ((if *is_tls { "grpcs" } else { "grpc" }).to_owned(), host.as_ref(), &[]),
    };
    words.push(format!("check={probe}"));
    words.extend(host.map(|host| format!("host={host}")));
    words.extend(port.map(|port| format!("port={port}")));
    if !expected.is_empty() && *expected != ActiveCheck::EXPECTED {
        let range = |&(first, last): &(u16, u16)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        words.push(format!("expected={}", expected.iter().map(range).collect::<Vec<_>>().join(",")));
    }
    differs(words, "interval", interval, &ActiveCheck::INTERVAL, |time| format!("{time:?}"));
    differs(words, "timeout", timeout, &ActiveCheck::TIMEOUT.min(*interval), |time| format!("{time:?}"));
    differs(words, "unhealthy-threshold", fall, &ActiveCheck::FALL, u32::to_string);
    differs(words, "healthy-threshold", rise, &ActiveCheck::RISE, u32::to_string);
}

fn passive(words: &mut Vec<String>, check: &PassiveCheck) {
    let PassiveCheck { consecutive, eject, max_ejected, on_5xx } = check;
    let plain = PassiveCheck::default();
    let mut keys = Vec::new();
    differs(&mut keys, "consecutive", consecutive, &plain.consecutive, u32::to_string);
    differs(&mut keys, "eject", eject, &plain.eject, |time| format!("{time:?}"));
    differs(&mut keys, "max-ejected", max_ejected, &plain.max_ejected, |percent| format!("{percent}%"));
    if *on_5xx {
        keys.push("on=5xx".to_owned());
    }
    if !keys.is_empty() {
        words.push(format!("passive={}", keys.join(",")));
    }
}

/// `cookie=INGRESSCOOKIE max-age=3600`.
pub(super) fn affinity(words: &mut Vec<String>, affinity: Option<&Affinity>) {
    let Some(affinity) = affinity else { return };
    // The tag follows from the identity.
    let Affinity { tag: _, cookie } = affinity;
    let Cookie { name, path, domain, expires, max_age, same_site, conditional_none, secure, change_on_failure } =
        &**cookie;
    fn set(words: &mut Vec<String>, name: &str, value: Option<impl Display>) {
        words.extend(value.map(|value| format!("{name}={value}")));
    }
    set(words, "cookie", Some(name));
    set(words, "path", path.as_ref());
    set(words, "domain", domain.as_ref());
    let seconds = |seconds: &u32| format!("{:?}", Duration::from_secs((*seconds).into()));
    set(words, "expires", expires.as_ref().map(seconds));
    set(words, "max-age", max_age.as_ref().map(seconds));
    set(words, "samesite", same_site.map(|same_site| same_site.as_str()));
    for (name, is_on) in [
        ("conditional-samesite-none", *conditional_none),
        ("secure", *secure == Some(true)),
        ("change-on-failure", *change_on_failure),
    ] {
        if is_on {
            words.push(name.to_owned());
        }
    }
}
