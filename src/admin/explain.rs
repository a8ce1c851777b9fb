//! Why a request goes where it goes: the real match with its decisions, the near misses, and what was never considered.
//!
//! The admin API and `fairlead explain --manifests` both answer from here. What is decided is `table::decide`, which every
//! request of the proxy goes through; `table::explain` adds why its look-up found what it found.

mod blame;
mod canary;
mod endpoints;
mod entry;
mod passthrough;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use bytes::BytesMut;
use http::Method;

use super::Listener;
use super::shape::{self, Answer, Explanation, Lost, Origin, Rejected, Route, Step};
use crate::filter;
use crate::http1::{Framing, METHOD_REFUSED, Refusal, RequestHead, is_refused};
use crate::proxy::rehearsal::{self, Choice, Seen};
use crate::table::{self, Decision, Outcome, RouteRef, RoutingTable, Target, decide};
use crate::uri;

/// More routes that lost are counted only: a host may have thousands.
const MOST_LOST: usize = 20;

/// The request to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// As given, for the first line of the text form.
    pub url: String,
    /// Whether it comes over TLS.
    pub is_tls: bool,
    /// Name in the Host field, as received, without port.
    pub host: String,
    /// Port in the Host field, when one is written.
    pub port: Option<u16>,
    /// Path as received, without query.
    pub path: String,
    /// Query as received, with its `?`; empty when there is none.
    pub query: String,
    /// Its header fields but Host, in order.
    pub fields: Vec<(String, String)>,
    /// The client's address: the far end of the connection.
    pub client: IpAddr,
}

impl Request {
    /// The request that a client makes of a URL. `Err` is one line that says what is wrong with it.
    pub fn new(method: &str, url: &str) -> Result<Request, String> {
        let wrong = |why: &str| format!("{url:?} is not a URL that can be asked: {why}");
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("write it as http://host/path"))?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("the scheme is http or https")),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = uri::host::parse(authority.as_bytes()).ok_or_else(|| wrong("the host is not one"))?;
        let target = target.split('#').next().unwrap_or_default();
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        if method.is_empty() || !method.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
            return Err(format!("{method:?} is not a method"));
        }
        Ok(Request {
            method: method.to_owned(),
            url: url.to_owned(),
            is_tls,
            host: host.name.to_owned(),
            port: host.port,
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            query: query.to_owned(),
            fields: Vec::new(),
            client: Ipv4Addr::LOCALHOST.into(),
        })
    }

    /// The request with one more header field; Host takes the place of the URL's host. `Err` is one line that says what is
    /// wrong with it.
    pub fn with(mut self, name: &str, value: &str) -> Result<Request, String> {
        let (name, value) = (name.trim(), value.trim());
        let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("{name:?} is not the name of a header field"));
        }
        if value.contains(|letter: char| letter.is_control() && letter != '\t') {
            return Err(format!("the value of {name} holds a control character"));
        }
        if name.eq_ignore_ascii_case("content-length") && value.bytes().any(|octet| !octet.is_ascii_digit()) {
            return Err(format!("Content-Length {value:?} is no length in bytes"));
        }
        if name.eq_ignore_ascii_case("host") {
            let moved = Request::new(&self.method, &with_host(&self.url, value))?;
            return Ok(Request { fields: self.fields, client: self.client, ..moved });
        }
        self.fields.push((name.to_owned(), value.to_owned()));
        Ok(self)
    }

    /// The head that such a request has over HTTP/1.1.
    fn head(&self) -> Result<RequestHead, Refusal> {
        let Request { method, host, path, query, .. } = self;
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let fields: String = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("{method} {path}{query} HTTP/1.1\r\nHost: {host}{port}\r\n{fields}\r\n");
        RequestHead::parse(&mut BytesMut::from(&*text), text.len())
    }
}

/// The URL as a request with this Host field would have it.
fn with_host(url: &str, host: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let target = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default();
    format!("{scheme}://{host}{target}")
}

/// What `table` answers to `request`, and why. Endpoints are those of this moment.
pub fn explain(table: &RoutingTable, listeners: &[Listener], request: &Request) -> Explanation {
    let host = uri::host::lookup(&request.host);
    let mut story = Explanation {
        status: 0,
        answer: Answer::Refused,
        route: None,
        backend: None,
        endpoints: Vec::new(),
        steps: Vec::new(),
        lost: Vec::new(),
        more_lost: 0,
        rejected: rejected(table, &host),
    };
    let Some(listener) = listener(&mut story, listeners, request) else { return story };
    if let Some(route) = table.passthrough(&host).filter(|_| request.is_tls) {
        passthrough::explain(&mut story, table, listener, &host, route);
        return story;
    }
    if Method::from_bytes(request.method.as_bytes()).is_ok_and(|method| is_refused(&method)) {
        story.status = METHOD_REFUSED.status;
        tell(&mut story, "method", format!("{} is not for a reverse proxy", request.method));
        return story;
    }
    let mut head = match request.head() {
        Ok(head) => head,
        Err(refusal) => {
            story.status = refusal.status;
            tell(&mut story, "request", format!("refused: {}", refusal.why));
            return story;
        }
    };
    rehearsal::prepare(&table.globals().requests, &mut head);
    let head = head;
    let socket = rehearsal::peer(table, request.client, listener.port, &request.host, request.is_tls);
    let seen = table.globals().trust.as_ref().and_then(|trust| rehearsal::seen(trust, &socket, &head));
    tell_client(&mut story, request, seen.as_ref());
    let (peer, forwarded_host) = match &seen {
        None => (&socket, None),
        Some(Seen { peer, host, .. }) => (peer, *host),
    };
    let asked = filter::Request { forwarded_host, ..peer.request(&head) };
    let uninvited = rehearsal::unasked(table, peer, &asked);
    let (path, routed) = match decide(table, &asked) {
        Decision::Health => {
            story.status = 200;
            story.answer = Answer::Replied;
            tell(&mut story, "host", format!("no rule for host {host}, so /healthz asks how the proxy is"));
            return story;
        }
        Decision::Blocked(reply) => {
            story.status = reply.status;
            story.answer = Answer::Replied;
            tell(&mut story, "host", "a list of the ConfigMap that holds for every host names the client".to_owned());
            return story;
        }
        Decision::BadPath(fault) => {
            story.status = 400;
            tell(&mut story, "path", format!("refused: {fault}"));
            return story;
        }
        Decision::Redirected(path, reply) => {
            let trace = table::explain(table, &host, &path.matching);
            let told = trace.steps.into_iter().filter(|step| step.stage == "host");
            story.steps.extend(told.map(|step| Step { stage: step.stage.to_owned(), text: step.text }));
            match uninvited {
                Some(uninvited) => without_certificate(&mut story, uninvited),
                None => replied(&mut story, &reply),
            }
            return story;
        }
        Decision::NoRoute(path) => (path, None),
        Decision::Routed { at, route, path, outcome } => (path, Some((at, route, outcome))),
    };
    let trace = table::explain(table, &host, &path.matching);
    story.steps.extend(trace.steps.into_iter().map(|step| Step { stage: step.stage.to_owned(), text: step.text }));
    let route_at = |at: RouteRef| Route::new(listener, table.host_of(at), &table.route(at).rule);
    let written = |at: RouteRef| !matches!(table.route(at).target, Target::NotFound);
    let mut lost = trace.lost.into_iter().filter(|lost| written(lost.route));
    let listed = lost.by_ref().take(MOST_LOST);
    story.lost = listed.map(|lost| Lost { route: route_at(lost.route), why: lost.why }).collect();
    story.more_lost = lost.count();
    let Some((at, route, outcome)) = routed else {
        match uninvited {
            Some(uninvited) => without_certificate(&mut story, uninvited),
            None => story.status = 404,
        }
        return story;
    };
    story.route = written(at).then(|| route_at(at));
    if let Some(uninvited) = uninvited {
        without_certificate(&mut story, uninvited);
        tell_instead(&mut story, route);
        return story;
    }
    let answered = filter::Answered { head: Some(&head), way: peer.way(), has_server: false };
    let fields = filter::fields(None, Some(&route.rule.filters), answered, &|_| asked);
    let fields = fields.iter().map(|field| format!("set {}: {} on the answer", field.name, field.value.escape_ascii()));
    let fields: Vec<String> = fields.collect();
    if let (Outcome::TooLarge, Framing::Length(length)) = (&outcome, head.framing) {
        let limit = route.body_limit();
        tell(&mut story, "filters", format!("a body of {length} bytes is longer than proxy-body-size, {limit} bytes"));
    }
    let is_judged = match &outcome {
        Outcome::Backend { backend, .. } => !route.is_nowhere(backend),
        Outcome::NotFound => true,
        Outcome::Closed(_) | Outcome::Replied(_) | Outcome::TooLarge => false,
    };
    if is_judged {
        let entry = entry::judge(route, &asked);
        entry.told.into_iter().for_each(|told| tell(&mut story, "filters", told));
        if let Some((status, is_redirect)) = entry.ends {
            story.status = status;
            story.answer = if is_redirect { Answer::Replied } else { Answer::Refused };
            tell_instead(&mut story, route);
            return story;
        }
    }
    finish(&mut story, route, outcome, &asked, fields);
    tell_instead(&mut story, route);
    story
}

/// Who the client is, where header fields tell of another one than the far end of the connection.
fn tell_client(story: &mut Explanation, request: &Request, seen: Option<&Seen<'_>>) {
    let hop = request.client.to_canonical();
    let is_forwarded = |(name, _): &(String, String)| {
        let name = name.to_ascii_lowercase();
        name.starts_with("x-forwarded-") || name == "x-real-ip" || name == "forwarded"
    };
    match seen {
        Some(Seen { peer, host, .. }) => {
            let mut told = Vec::new();
            if peer.client() != hop {
                told.push(format!("the client is {}", peer.client()));
            }
            if peer.is_https() != request.is_tls {
                told.push(format!("it came over {}", peer.scheme()));
            }
            if let Some(host) = host {
                told.push(format!("it asked for {}", host.escape_ascii()));
            }
            if !told.is_empty() {
                tell(story, "client", format!("{hop} is believed: {}", told.join(", ")));
            }
        }
        None if request.fields.iter().any(is_forwarded) => {
            tell(story, "client", format!("{hop} is not believed, so what it says of other clients is removed"));
        }
        None => {}
    }
}

/// What a client gets that shows no certificate.
fn without_certificate(story: &mut Explanation, (status, location): (u16, Option<String>)) {
    let location_text = location.as_ref().map(|location| format!(" to {location}")).unwrap_or_default();
    tell(
        story,
        "filters",
        format!("answer {status}{location_text}: the host asks for a certificate, and none is shown"),
    );
    story.status = status;
    story.answer = if location.is_some() { Answer::Replied } else { Answer::Refused };
}

/// Who answers in place of an error of ours.
fn tell_instead(story: &mut Explanation, route: &table::Route) {
    let Some(errors) = &route.rule.filters.errors else { return };
    let is_ours = matches!(story.answer, Answer::Refused | Answer::Replied);
    if is_ours && errors.statuses.binary_search(&story.status).is_ok() {
        tell(story, "filters", format!("{} answers in its place (custom-http-errors)", errors.backend));
    }
}

/// The listener that the request comes to; `None` when none has its scheme.
fn listener<'l>(story: &mut Explanation, listeners: &'l [Listener], request: &Request) -> Option<&'l Listener> {
    let scheme = if request.is_tls { "https" } else { "http" };
    let of_scheme = || listeners.iter().filter(|listener| listener.is_tls() == request.is_tls);
    let named = of_scheme().find(|listener| Some(listener.port) == request.port);
    let Some(listener) = named.or_else(|| of_scheme().next()) else {
        tell(story, "listener", format!("{scheme} is switched off, so nobody answers"));
        return None;
    };
    let text = match request.port.filter(|_| named.is_none()) {
        // It may be the port of a mapping in front of us, so the story goes on.
        Some(port) => format!("{listener}, if something leads port {port} there: no {scheme} listener has that port"),
        None => listener.to_string(),
    };
    tell(story, "listener", text);
    Some(listener)
}

/// What happens on the route: what a filter answers, or the fields it sets, the backend and its endpoints.
fn finish(
    story: &mut Explanation,
    route: &table::Route,
    outcome: Outcome<'_>,
    request: &filter::Request<'_>,
    fields: Vec<String>,
) {
    if let Outcome::Replied(reply) = outcome {
        return replied(story, &reply);
    }
    fields.into_iter().for_each(|field| tell(story, "filters", field));
    let mut backend = match outcome {
        Outcome::Backend { backend, rewritten } => {
            if let Some(rewritten) = rewritten {
                let filter::Rewritten { path, query, prefix } = &*rewritten;
                tell(story, "filters", format!("send {path}{} upstream", query.escape_ascii()));
                if let Some(prefix) = prefix {
                    tell(story, "filters", format!("send X-Forwarded-Prefix: {} upstream", prefix.escape_ascii()));
                }
            }
            backend
        }
        Outcome::Closed(reason) => {
            tell(story, "backend", format!("closed: {reason}"));
            story.status = 503;
            return;
        }
        Outcome::TooLarge => {
            story.status = 413;
            return;
        }
        Outcome::Replied(_) | Outcome::NotFound => {
            story.status = 404;
            return;
        }
    };
    let named = backend;
    if let Some(fallback) = route.aside.as_ref().and_then(|aside| aside.fallback.as_ref())
        && backend.live.endpoints.load().candidates.is_empty()
    {
        tell(story, "backend", format!("{} has no endpoint, so default-backend answers", backend.settings.id));
        backend = fallback;
    }
    let choice = rehearsal::consider(backend, request);
    if let Choice::Canary(canary) = choice {
        let why = canary::why(backend, canary, &choice, request);
        tell(story, "backend", format!("the canary of {} takes it {why}", backend.settings.id));
        backend = &canary.backend;
    }
    story.backend = Some(backend.settings.id.to_string()).filter(|_| backend.settings.id != named.settings.id);
    let (id, protocol, balance) =
        (&backend.settings.id, backend.settings.protocol, &backend.settings.balancing.algorithm);
    let cookie = backend.settings.affinity.as_ref().map(|affinity| &affinity.cookie.name);
    let kept = cookie.map(|name| format!("; who has the cookie {name} stays at its endpoint")).unwrap_or_default();
    tell(story, "backend", format!("{id} over {}, {}{kept}", protocol.as_str(), balance.as_str()));
    if let (Some(canary), Choice::Draw(_) | Choice::Main) = (&backend.canary, &choice) {
        let mut text = format!("its canary {} takes requests by {}", canary.backend.settings.id, canary.rule);
        if matches!(choice, Choice::Main) {
            text = format!("{text}, but not this one, {}", canary::why(backend, canary, &choice, request));
        }
        tell(story, "backend", text);
    }
    let set = backend.live.endpoints.load();
    story.endpoints = shape::endpoints(backend, &set);
    let told = endpoints::tell(backend, &set, &story.endpoints, rehearsal::pinned(backend, request.head));
    if let Choice::Draw(canary) = choice {
        let canary = &canary.backend;
        let set = canary.live.endpoints.load();
        // Who has a cookie of one of the two leaves nothing to a draw.
        let others = endpoints::tell(canary, &set, &shape::endpoints(canary, &set), None);
        for (of, told) in [(backend, told), (canary, others)] {
            let id = &of.settings.id;
            told.into_iter().for_each(|text| tell(story, "endpoint", format!("{id}: {text}")));
        }
    } else {
        told.into_iter().for_each(|text| tell(story, "endpoint", text));
    }
    (story.status, story.answer) =
        if set.candidates.is_empty() { (503, Answer::Refused) } else { (200, Answer::Routed) };
}

/// What a filter answers.
fn replied(story: &mut Explanation, reply: &filter::Reply) {
    let location = reply.fields.iter().find(|(name, _)| *name == "Location");
    let location = location.map(|(_, value)| format!(" to {}", String::from_utf8_lossy(value))).unwrap_or_default();
    tell(story, "filters", format!("answer {}{location}", reply.status));
    story.status = reply.status;
    story.answer = Answer::Replied;
}

fn tell(story: &mut Explanation, stage: &str, text: String) {
    story.steps.push(Step { stage: stage.to_owned(), text });
}

fn rejected(table: &RoutingTable, host: &str) -> Vec<Rejected> {
    let of_host = table.config().rejected.iter().filter(|rejected| rejected.host.matches(host));
    of_host.map(|one| Rejected { origin: Origin::new(&one.origin), why: one.why.clone() }).collect()
}

impl Explanation {
    /// The text form: the answer in one line, then why, what lost, and what was not considered.
    pub fn text(&self, request: &Request) -> String {
        let mut out = format!("{} {} → ", request.method, request.url);
        match self.status {
            0 => out.push_str("no answer"),
            status => out.push_str(&status.to_string()),
        }
        match &self.route {
            None if self.status == 404 => out.push_str(" no route"),
            None => {}
            Some(route) => {
                let answers = self.backend.clone().unwrap_or_else(|| target(route));
                let _ = write!(out, " {answers} ({}, {})", object(&route.origin), path(route));
            }
        }
        out.push_str("\nwhy:\n");
        let width = self.steps.iter().map(|step| step.stage.len()).max().unwrap_or(0);
        for step in &self.steps {
            let _ = writeln!(out, "  {:width$}  {}", step.stage, step.text);
        }
        if !self.lost.is_empty() {
            out.push_str("lost:\n");
        }
        let rows: Vec<_> = self.lost.iter().map(|lost| (path(&lost.route), target(&lost.route), lost)).collect();
        let widths = (width_of(rows.iter().map(|row| &row.0)), width_of(rows.iter().map(|row| &row.1)));
        for (path, target, lost) in &rows {
            let origin = object(&lost.route.origin);
            let _ = writeln!(out, "  {path:0$}  {target:1$}  {origin}: {2}", widths.0, widths.1, lost.why);
        }
        if self.more_lost > 0 {
            let _ = writeln!(out, "  and {} more", self.more_lost);
        }
        if !self.rejected.is_empty() {
            out.push_str("not considered:\n");
        }
        for rejected in &self.rejected {
            let field = if rejected.origin.field.is_empty() { "" } else { " " };
            let _ = writeln!(out, "  {}{field}{}: {}", object(&rejected.origin), rejected.origin.field, rejected.why);
        }
        out
    }
}

fn width_of<'a>(texts: impl Iterator<Item = &'a String>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

/// What stands behind a route: `shop/web:http`, or why it is closed.
fn target(route: &Route) -> String {
    match (&route.backend, &route.closed) {
        (Some(backend), _) => backend.clone(),
        (None, Some(reason)) => format!("closed by {reason}"),
        (None, None) => "nothing".to_owned(),
    }
}

/// `^ /api`, as in the short text form.
fn path(route: &Route) -> String {
    let sign = match &*route.kind {
        "exact" => '=',
        "regex" => '~',
        _ => '^',
    };
    format!("{sign} {}", route.path)
}

/// `ingress shop/web`.
fn object(origin: &Origin) -> String {
    let separator = if origin.namespace.is_empty() { "" } else { "/" };
    format!("{} {}{separator}{}", origin.kind.to_ascii_lowercase(), origin.namespace, origin.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_field_takes_the_place_of_the_authority() {
        assert_eq!(with_host("https://127.0.0.1:8443/x?y", "a.example"), "https://a.example/x?y");
        assert_eq!(with_host("http://127.0.0.1", "a.example"), "http://a.example");
        assert_eq!(with_host("nonsense", "a.example"), "nonsense");
    }

    #[test]
    fn a_url_becomes_the_request_a_client_makes_of_it() {
        for (url, is_tls, host, path, query) in [
            ("http://a.example", false, "a.example", "/", ""),
            ("HTTPS://A.example:8443/x%2Fy?q=1#f", true, "A.example", "/x%2Fy", "?q=1"),
            ("http://[::1]:80?q", false, "[::1]", "/", "?q"),
        ] {
            let request = Request::new("GET", url).unwrap();
            let parts = (request.is_tls, &*request.host, &*request.path, &*request.query);
            assert_eq!(parts, (is_tls, host, path, query), "{url}");
        }
        for url in ["a.example/", "ftp://a/", "http:///x", "http://user@a/", "http://a:port/"] {
            assert!(Request::new("GET", url).unwrap_err().contains(url), "{url}");
        }
        assert!(Request::new("G T", "http://a/").is_err());
    }
}
