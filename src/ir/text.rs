//! The short text form of a configuration: what goldens, `check` and `/api/v1/config` print.
//!
//! One line for a route, with only what differs from a route that nobody set anything for. The same configuration is
//! always the same bytes.

mod backend;
mod edits;
mod filters;
mod globals;
mod mutual;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use super::{
    Backend, BackendId, BodyLimit, Caching, Compression, Config, EndpointSets, EndpointSource, Filters, HostRedirect,
    Pace, Policy, Problem, Rejected, Retry, RetryOn, Route, Speech, Target, Timeouts, Tracing, Upgrade, VirtualHost,
};

/// What the text form needs to know besides the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// Port of the listener in clear text, if there is one.
    pub http_port: Option<u16>,
    /// Port of the TLS listener, if there is one.
    pub https_port: Option<u16>,
    /// The filters that every route has without being told.
    pub filters: &'a Filters,
    /// The policy of a route that nobody set anything for.
    pub policy: &'a Policy,
}

impl Form<'_> {
    /// Listeners, hosts with their routes, backends, certificates and rejected entries, each section only if it has
    /// something in it. Ends with a line end unless empty.
    pub fn config(&self, config: &Config) -> String {
        let mut out = String::new();
        if !config.hosts.is_empty() {
            section(&mut out, &self.listeners());
        }
        for host in config.hosts.values() {
            let _ = writeln!(out, "  {}", self.headline(host, config));
            table(&mut out, "    ", host.routes.iter().map(|route| self.route(route, &config.backends)).collect());
        }
        let globals = globals::lines(&config.globals);
        if !globals.is_empty() {
            section(&mut out, "globals");
            table(&mut out, "  ", globals);
        }
        if !config.backends.is_empty() {
            section(&mut out, "backends");
            table(&mut out, "  ", config.backends.values().map(|backend| describe(backend)).collect());
        }
        if !config.certificates.is_empty() || config.default_certificate.is_some() {
            section(&mut out, "certificates");
            let own = config.certificates.iter().map(|(host, certificate)| (host.to_string(), certificate));
            let default = config.default_certificate.iter().map(|certificate| ("default".to_owned(), certificate));
            let line = |(host, certificate): (String, &Arc<super::Certificate>)| {
                vec![host, certificate.origin.to_string(), format!("serial {}", certificate.serial)]
            };
            table(&mut out, "  ", own.chain(default).map(line).collect());
        }
        if !config.rejected.is_empty() {
            section(&mut out, "rejected");
            table(&mut out, "  ", config.rejected.iter().map(|rejected| reject(rejected)).collect());
        }
        out
    }

    fn listeners(&self) -> String {
        let http = self.http_port.map(|port| format!("http :{port}"));
        let https = self.https_port.map(|port| format!("https :{port}"));
        http.into_iter().chain(https).collect::<Vec<_>>().join(", ")
    }

    /// `a.example  also=b.example,~^c  app-root=/x`, or where the host sends everybody.
    fn headline(&self, host: &VirtualHost, config: &Config) -> String {
        let mut line = host.host.to_string();
        let aliases: Vec<_> = config.aliases.of(&host.host).map(|alias| alias.to_string()).collect();
        if !aliases.is_empty() {
            let _ = write!(line, "  also={}", aliases.join(","));
        }
        if let Some(route) = &host.passthrough {
            let _ = write!(line, "  passthrough={}", passed_on(route, self.policy));
        }
        if let Some(tls) = &host.tls {
            let _ = write!(line, "  {}", mutual::host(tls));
        }
        if let Some(auth) = &host.client_auth {
            let _ = write!(line, "  {}", mutual::client(auth));
        }
        match host.redirect.as_deref() {
            None => {}
            Some(HostRedirect::Moved { to, status, http_port, https_port }) => {
                let _ = write!(line, "  → {status} {to}:{http_port}, {to}:{https_port}");
            }
            Some(HostRedirect::Root(path)) => {
                let _ = write!(line, "  app-root={path}");
            }
        }
        line
    }

    fn route(&self, route: &Route, backends: &BTreeMap<BackendId, Arc<Backend>>) -> Vec<String> {
        let implicit = if route.implicit { " (implicit)" } else { "" };
        let target = match &route.target {
            Target::Backend(id) => format!("→ {id}"),
            Target::Closed(reason) => format!("→ 503 {reason}"),
            Target::NotFound => "→ 404".to_owned(),
        };
        let mut words = Vec::new();
        filters::words(&mut words, &route.filters, self.filters);
        policy(&mut words, &route.policy, self.policy);
        if let Target::Backend(id) = &route.target
            && let Some(backend) = backends.get(id)
            && let Some(Speech { protocol, tls }) = route.speech.as_deref().or(backend.unsaid.as_ref())
            && (*protocol != backend.protocol || *tls != backend.tls)
        {
            words.push(format!("speaks={}", protocol.as_str()));
            mutual::backend(&mut words, tls.as_deref());
        }
        vec![format!("{}{implicit}", route.path), target, words.join(" "), route.origin.object.to_string()]
    }
}

/// The section of problems, each with what to do on a second line; empty without any.
pub fn problems(problems: &[Problem]) -> String {
    let mut out = String::new();
    if !problems.is_empty() {
        section(&mut out, "problems");
    }
    for Problem { object, severity, reason, field, message, hint } in problems {
        let place = if field.is_empty() { String::new() } else { format!("{field}: ") };
        let _ = writeln!(out, "  {object}  {} {reason}  {place}{message}", severity.as_str());
        let _ = writeln!(out, "      {hint}");
    }
    out
}

/// The section of endpoints by backend; empty without any backend.
pub fn endpoints(sets: &EndpointSets) -> String {
    let mut out = String::new();
    if !sets.is_empty() {
        section(&mut out, "endpoints");
    }
    for (id, set) in sets {
        let _ = writeln!(out, "  {id}");
        let line = |endpoint: &super::Endpoint| {
            let weight = if endpoint.weight == 1 { String::new() } else { format!("weight={} ", endpoint.weight) };
            let key = endpoint.key.map(|key| format!("key={} ", hex(&key))).unwrap_or_default();
            let role = match endpoint {
                super::Endpoint { draining: true, .. } => "draining",
                super::Endpoint { elsewhere: true, .. } => "elsewhere",
                _ => "",
            };
            let pod = endpoint.pod.as_deref().unwrap_or_default();
            vec![endpoint.address.to_string(), pod.to_owned(), format!("{weight}{key}{role}")]
        };
        let unready = set.unready.iter();
        let unready = unready.map(|one| vec![one.address.to_string(), String::new(), one.why().to_owned()]);
        table(&mut out, "    ", set.endpoints.iter().map(line).chain(unready).collect());
    }
    out
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn describe(backend: &Backend) -> Vec<String> {
    let Backend { id, protocol, tls, unsaid: _, balancing, affinity, canary, source, origin: _ } = backend;
    let source = match source {
        EndpointSource::Fixed(address) => format!("service {address}"),
        EndpointSource::None => "nowhere".to_owned(),
        EndpointSource::Slices { port_name, target_port, prefer_ipv6 } => {
            let port = match (port_name.is_empty(), target_port) {
                (false, Some(number)) => format!("{port_name} or {number}"),
                (false, None) => port_name.to_string(),
                (true, Some(number)) => format!("unnamed or {number}"),
                (true, None) => "unnamed".to_owned(),
            };
            let family = if *prefer_ipv6 { ", IPv6 first" } else { "" };
            format!("slices, port {port}{family}")
        }
        EndpointSource::Dns { name, port, allow_loopback: _ } => format!("dns {name}, port {port}"),
    };
    let mut words = Vec::new();
    mutual::backend(&mut words, tls.as_deref());
    backend::balancing(&mut words, balancing);
    backend::affinity(&mut words, affinity.as_ref());
    words.extend(canary.as_ref().map(|canary| {
        let legacy = if affinity.is_some() && canary.affinity.is_none() { ";legacy" } else { "" };
        format!("canary={}({}{legacy})", canary.backend, canary.rule)
    }));
    vec![id.to_string(), protocol.as_str().to_owned(), balancing.algorithm.as_str().to_owned(), source, words.join(" ")]
}

/// `shop/web:443;tunnel-idle=5s`, or why nobody gets it.
fn passed_on(route: &Route, plain: &Policy) -> String {
    let target = match &route.target {
        Target::Backend(id) => id.to_string(),
        Target::Closed(reason) => reason.to_string(),
        Target::NotFound => "nobody".to_owned(),
    };
    let idle = route.policy.timeouts.tunnel_idle;
    let idle = (idle != plain.timeouts.tunnel_idle).then(|| format!(";tunnel-idle={idle:?}"));
    target + &idle.unwrap_or_default()
}

fn reject(rejected: &Rejected) -> Vec<String> {
    let Rejected { host, path, origin, why } = rejected;
    let path = path.as_deref().unwrap_or_default();
    vec![host.to_string(), path.to_owned(), format!("{}: {why}", origin.object)]
}

fn policy(words: &mut Vec<String>, policy: &Policy, plain: &Policy) {
    let Policy {
        timeouts,
        body_limit,
        body_min_rate,
        buffer_request,
        retry,
        upgrade,
        request_trailers,
        http10,
        is_grpc,
        compress,
        cache,
        pace,
        trace,
        sticky,
    } = policy;
    let Timeouts { connect, read, send, tunnel_idle, total } = timeouts;
    let times = [
        ("connect", connect, &plain.timeouts.connect),
        ("read", read, &plain.timeouts.read),
        ("send", send, &plain.timeouts.send),
        ("tunnel-idle", tunnel_idle, &plain.timeouts.tunnel_idle),
    ];
    words.extend(
        times.iter().filter(|(_, time, plain)| time != plain).map(|(name, time, _)| format!("{name}={time:?}")),
    );
    if let Some(total) = total {
        words.push(format!("total={total:?}"));
    }
    if *body_limit != plain.body_limit {
        words.push(format!("body={}", Size(body_limit)));
    }
    if *body_min_rate != plain.body_min_rate {
        words.push(format!("min-rate={body_min_rate}"));
    }
    if *buffer_request != plain.buffer_request {
        words.push(if *buffer_request { "buffered" } else { "unbuffered" }.to_owned());
    }
    if *retry != plain.retry {
        words.push(retried(retry));
    }
    if *upgrade != plain.upgrade {
        let upgrade = match upgrade {
            Upgrade::Any => "any",
            Upgrade::Off => "off",
            Upgrade::Websocket => "websocket",
        };
        words.push(format!("upgrade={upgrade}"));
    }
    if *request_trailers != plain.request_trailers {
        words.push(if *request_trailers { "trailers=pass" } else { "trailers=drop" }.to_owned());
    }
    if *http10 != plain.http10 {
        words.push(if *http10 { "http/1.0" } else { "http/1.1" }.to_owned());
    }
    if *is_grpc != plain.is_grpc {
        words.push("grpc".to_owned());
    }
    if *compress != plain.compress {
        words.push(compressed(compress.as_deref()));
    }
    if *cache != plain.cache {
        words.push(cache.as_deref().map_or("cache=off".to_owned(), cached));
    }
    if *pace != plain.pace {
        let size = |octets: u64| Size(&BodyLimit { bytes: octets }).to_string();
        let after = |pace: &Pace| if pace.after == 0 { String::new() } else { format!(" after {}", size(pace.after)) };
        words.push(match pace {
            Some(pace) => format!("rate={}/s{}", size(pace.rate), after(pace)),
            None => "rate=unlimited".to_owned(),
        });
    }
    if *trace != plain.trace {
        words.push(trace.as_deref().map_or("trace=off".to_owned(), traced));
    }
    if *sticky != plain.sticky {
        words.push("sticky".to_owned());
    }
}

/// `trace=checkout;own`: what a span is called, and that the trace of the client is not gone on with.
fn traced(trace: &Tracing) -> String {
    let Tracing { trusts, name } = trace;
    let name = name.as_ref().map(|name| name.to_string()).unwrap_or_default();
    let own = (!trusts).then(|| "own".to_owned());
    let words: Vec<_> = Some(name).filter(|name| !name.is_empty()).into_iter().chain(own).collect();
    if words.is_empty() { "trace".to_owned() } else { format!("trace={}", words.join(";")) }
}

/// `cache(key="$args" ttl=10s max=1m stale-if-error=60s status)`: only what differs from the defaults.
fn cached(cache: &Caching) -> String {
    let Caching { key, ttl, max_object, stale_if_error, status } = cache;
    let mut words = Vec::new();
    words.extend(key.as_ref().map(|key| format!("key=\"{key}\"")));
    words.extend(ttl.map(|time| format!("ttl={time:?}")));
    if *max_object != Caching::MAX_OBJECT {
        words.push(format!("max={}", Size(&BodyLimit { bytes: *max_object })));
    }
    words.extend(stale_if_error.map(|time| format!("stale-if-error={time:?}")));
    words.extend(status.then(|| "status".to_owned()));
    if words.is_empty() { "cache".to_owned() } else { format!("cache({})", words.join(" ")) }
}

/// `compress=br:4,gzip:1(min=1000)`: codings in order, each with its level and what else differs from the defaults.
fn compressed(compress: Option<&Compression>) -> String {
    let Some(compress) = compress else { return "compress=off".to_owned() };
    let plain = Compression::default();
    let coding = |coding: &super::Coding| {
        let (own, plain) = (compress.tuning(*coding), plain.tuning(*coding));
        let mut words = Vec::new();
        words.extend((own.min_length != plain.min_length).then(|| format!("min={}", own.min_length)));
        words.extend((own.types != plain.types).then(|| format!("types={}", own.types.join(","))));
        let agents = compress.gzip_disabled.as_ref().filter(|_| *coding == super::Coding::Gzip);
        words.extend(agents.map(|agents| format!("not={:?}", agents.as_str())));
        let words = words.join(" ");
        if words.is_empty() { format!("{coding}:{}", own.level) } else { format!("{coding}:{}({words})", own.level) }
    };
    format!("compress={}", compress.codings.iter().map(coding).collect::<Vec<_>>().join(","))
}

/// `retry=error,timeout,http_503 tries=3 retry-time=10s`.
fn retried(retry: &Retry) -> String {
    let Retry { on, tries, timeout } = retry;
    let RetryOn { error, timeout: on_timeout, invalid_header, non_idempotent, statuses } = on;
    let named = [
        ("error", *error),
        ("timeout", *on_timeout),
        ("invalid_header", *invalid_header),
        ("non_idempotent", *non_idempotent),
    ];
    let named = named.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| (*name).to_owned());
    let on: Vec<String> = named.chain(statuses.iter().map(|status| format!("http_{status}"))).collect();
    let on = if on.is_empty() { "off".to_owned() } else { on.join(",") };
    let time = if *timeout == Duration::ZERO { String::new() } else { format!(" retry-time={timeout:?}") };
    format!("retry={on} tries={tries}{time}")
}

struct Size<'a>(&'a BodyLimit);

impl fmt::Display for Size<'_> {
    /// `8m`, as annotations write it; `unlimited` for 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.bytes;
        if bytes == 0 {
            return f.write_str("unlimited");
        }
        match [(30, "g"), (20, "m"), (10, "k")].iter().find(|(shift, _)| bytes.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{}{unit}", bytes >> shift),
            None => bytes.fmt(f),
        }
    }
}

fn section(out: &mut String, title: &str) {
    // Writing to a String cannot fail; so everywhere here.
    let _ = writeln!(out, "{title}");
}

/// Rows with their columns below each other, two spaces apart, without trailing space.
fn table(out: &mut String, indent: &str, rows: Vec<Vec<String>>) {
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            let _ = write!(line, "{cell}{:1$}", "", width - cell.chars().count() + 2);
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
