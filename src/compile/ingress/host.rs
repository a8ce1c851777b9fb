//! Hosts of rules into host patterns.

use std::net::Ipv4Addr;

use crate::ir::HostPattern;
use crate::uri;

/// The pattern of a rule's host; none or an empty one is any host. `Err` is why it is none, with what to do.
pub(super) fn parse(written: Option<&str>) -> Result<HostPattern, (&'static str, &'static str)> {
    let written = written.unwrap_or_default();
    if written.is_empty() {
        return Ok(HostPattern::Any);
    }
    let host = uri::host::lookup(written);
    if &*host == "*" {
        return Err(("is no host name", "leave the host out to mean any host"));
    }
    if host.contains(':') {
        return Err(("has a port or is an address", "write the name alone; one listener serves all hosts"));
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return Err(("is an address", "leave the host out to mean any host"));
    }
    let (name, is_wildcard) = match host.strip_prefix("*.") {
        Some(suffix) => (suffix, true),
        None => (&*host, false),
    };
    if name.contains('*') {
        return Err(("has a star inside", "a star stands for the first label only, as in *.example.com"));
    }
    if host.len() > 253 || !name.split('.').all(is_label) {
        return Err(("is no DNS name", "write letters, digits, hyphens and dots"));
    }
    Ok(if is_wildcard { HostPattern::Wildcard(name.into()) } else { HostPattern::Exact(name.into()) })
}

/// A label of RFC 1123 in lower case.
fn is_label(label: &str) -> bool {
    let is_inner = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_patterns() {
        for (written, pattern) in [
            ("a.example", HostPattern::Exact("a.example".into())),
            ("A.Example.", HostPattern::Exact("a.example".into())),
            ("localhost", HostPattern::Exact("localhost".into())),
            ("xn--bcher-kva.example", HostPattern::Exact("xn--bcher-kva.example".into())),
            ("*.example", HostPattern::Wildcard("example".into())),
            ("", HostPattern::Any),
        ] {
            assert_eq!(parse(Some(written)), Ok(pattern), "{written}");
        }
        assert_eq!(parse(None), Ok(HostPattern::Any));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        for written in [
            "*",
            "*.",
            "a.*.example",
            "*a.example",
            "a.example:80",
            "10.0.0.1",
            "::1",
            "a b",
            "a_b.example",
            "-a",
            "a-",
            "a..b",
            "ä.example",
            ".",
            &long,
        ] {
            assert!(parse(Some(written)).is_err(), "{written}");
        }
    }
}
