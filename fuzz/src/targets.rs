//! The targets. Each takes any bytes and panics if a rule that must hold for all bytes does not.

use bytes::BytesMut;
use fairlead::compile::nginx;
use fairlead::compile::{Compiled, Resolved, compile, endpoints};
use fairlead::http1::{
    BodyLimits, Decoder, Fields, Framing, HeadLimits, HeadScan, RequestHead, ResponseHead, Step, Version, serialise,
};
use fairlead::ir::{AnswerAct, Filters, FixedContent, HostPattern, LARGEST_PATTERN, Part, PathPattern, Template};
use fairlead::live::Registry;
use fairlead::proxy::meter::{Breach, Meter};
use fairlead::proxy::proxy_header;
use fairlead::settings::{CompileOptions, Limits};
use fairlead::snapshot::{secret, yaml};
use fairlead::table::RoutingTable;
use fairlead::telemetry::Metrics;
use fairlead::uri;

use super::second;

/// A target by name.
pub type Target = fn(&[u8]);

/// Every target.
pub const ALL: &[(&str, Target)] = &[
    ("chunked", chunked),
    ("frame_meter", frame_meter),
    ("host", host),
    ("manifests", manifests),
    ("path", path),
    ("pattern", pattern),
    ("proxy_header", proxy_header),
    ("request_head", request_head),
    ("response_head", response_head),
    ("snippet", snippet),
];

/// A PROXY header asks for no more than a few kilobytes, and the addresses that it names are read the same from one that
/// is written anew.
pub fn proxy_header(data: &[u8]) {
    let mut length = 0;
    let told = loop {
        let Some(begin) = data.get(..length) else { return };
        match proxy_header::step(begin) {
            Err(proxy_header::Malformed) => return,
            Ok(proxy_header::Step::More(0)) => panic!("asks for nothing"),
            Ok(proxy_header::Step::More(more)) => length += more,
            Ok(proxy_header::Step::Done(told)) => break told,
        }
        assert!(length <= 4096, "asks for {length}");
    };
    let Some((from, to)) = told else { return };
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let line = format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
    assert_eq!(proxy_header::step(line.as_bytes()), Ok(proxy_header::Step::Done(told)), "{line}");
}

/// A request head that is taken is read the same by a strict second parser, and its end is found wherever it is split.
pub fn request_head(data: &[u8]) {
    let limits = HeadLimits::request(&Limits::default());
    let parse = |len| RequestHead::parse(&mut BytesMut::from(data), len);
    let Some(len) = head_end(data, &limits, |len| parse(len).is_ok()) else { return };
    let Ok(head) = parse(len) else { return };
    let raw = canonical(&data[..len]);
    let second = second::head::request(&raw);
    let second = second.unwrap_or_else(|| panic!("taken, but not by a strict parser: {head:?}"));
    assert_eq!(second.len, raw.len());
    assert_eq!(second.start[0], head.method.as_str().as_bytes());
    assert_eq!(second.start[1], head.part(head.target));
    assert_eq!(second.start[2], if head.version == Version::Http10 { b"HTTP/1.0" } else { b"HTTP/1.1" });
    assert_same_fields(&head.fields, &second.fields);
    assert_eq!(head.framing, framing(&second.body, Framing::None));
    let authority = head.part(head.authority);
    assert!(authority.is_empty() && head.version == Version::Http10 || uri::host::parse(authority).is_some());
    forwarded(&head);
}

/// What is sent upstream for `head` is read the same by a strict second parser: one Host, one framing or none, and of
/// the client's fields none that is for one hop only or that an upstream could take for another.
fn forwarded(head: &RequestHead) {
    let Ok(path) = uri::path::normalise(head.path()) else { return };
    let host = head.part(head.authority);
    let mut out = Vec::new();
    serialise::request_line(&mut out, head.method.as_str(), path.forward.as_bytes(), head.query(), false);
    serialise::field(&mut out, b"Host", host);
    serialise::fields(&mut out, &head.fields);
    serialise::framing(&mut out, head.framing);
    out.extend_from_slice(b"\r\n");
    let sent = second::head::request(&out).unwrap_or_else(|| panic!("sent, but not read: {}", out.escape_ascii()));
    assert_eq!(sent.len, out.len());
    assert_eq!(sent.start[2], b"HTTP/1.1");
    assert_eq!(sent.values("host").collect::<Vec<_>>(), [host]);
    assert_eq!(framing(&sent.body, Framing::None), head.framing);
    for name in ["connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect", "proxy", "x-real-ip"] {
        assert_eq!(sent.values(name).count(), 0, "{name}");
    }
    assert!(!sent.fields.iter().any(|(name, _)| name.contains(&b'_')));
}

/// A response head that is taken is read the same by a strict second parser. The first octet says whether it answers a
/// HEAD request.
pub fn response_head(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let to_head = first % 2 == 1;
    let limits = HeadLimits::response(&Limits::default());
    let parse = |len| ResponseHead::parse(&mut BytesMut::from(data), len, to_head);
    let Some(len) = head_end(data, &limits, |len| parse(len).is_ok()) else { return };
    let Ok(head) = parse(len) else { return };
    let second = second::head::response(&data[..len]);
    let second = second.unwrap_or_else(|| panic!("taken, but not by a strict parser: {head:?}"));
    assert_eq!(second.len, len);
    assert_eq!(second.start[1], head.status.to_string().as_bytes());
    assert_same_fields(&head.fields, &second.fields);
    let has_no_body = to_head || head.status < 200 || head.status == 204 || head.status == 304;
    let wanted = if has_no_body { Framing::None } else { framing(&second.body, Framing::UntilClose) };
    assert_eq!(head.framing, wanted);
}

/// A chunked body is taken if and only if the second reader takes it, with the same bytes and trailers, and wherever it
/// is split. The first octet says how.
pub fn chunked(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let whole = decode(data, data.len());
    assert_eq!(decode(data, usize::from(*first).max(1)), whole, "split every {first}");
    assert_eq!(decode(data, 1), whole, "one by one");
    let limits = BodyLimits::from(&Limits::default());
    let sizes = second::body::Sizes {
        line: limits.chunk_line,
        extensions: limits.chunk_extensions,
        trailers: limits.trailers,
        fields: limits.trailer_fields,
    };
    assert_eq!(whole, second::body::chunked(data, &sizes));
}

/// A path has the forms that the slow reference gives it, and normalising them changes nothing.
pub fn path(data: &[u8]) {
    let forms = uri::path::normalise(data).ok().map(|path| (path.forward.into_owned(), path.matching.into_owned()));
    let reference = std::str::from_utf8(data).ok().and_then(second::path::forms);
    assert_eq!(forms, reference);
    let Some((forward, matching)) = forms else { return };
    assert_eq!(second::path::forms(&forward), Some((forward.clone(), matching.clone())));
    assert_eq!(second::path::forms(&matching), Some((matching.clone(), matching)));
}

/// A host that is taken has only octets that no parser reads as anything but a name and a port.
pub fn host(data: &[u8]) {
    let Some(host) = uri::host::parse(data) else { return };
    let text = data.iter().map(|octet| char::from(*octet)).collect::<String>();
    let rest = text.strip_prefix(host.name);
    let rest = rest.unwrap_or_else(|| panic!("the name {:?} is not the start of {text:?}", host.name));
    let port = rest.strip_prefix(':').unwrap_or(rest);
    assert!(port.len() < rest.len() || rest.is_empty());
    assert!(port.chars().all(|char| char.is_ascii_digit()));
    assert_eq!(port.parse().ok(), host.port);
    let is_name = |char: char| char.is_ascii_alphanumeric() || "-._~".contains(char);
    if host.name.starts_with('[') {
        let address = host.name.trim_start_matches('[').trim_end_matches(']');
        assert!(address.parse::<std::net::Ipv6Addr>().is_ok());
    } else {
        assert!(!host.name.is_empty() && host.name.chars().all(is_name));
    }
    let lookup = uri::host::lookup(host.name);
    assert!(!lookup.is_empty() && !lookup.contains(|char: char| char.is_ascii_uppercase()));
}

/// Frames are judged the same however they come in, and as the second reader judges them. The first octet says how they
/// come.
pub fn frame_meter(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let limits = Limits { h2_control_frames: 3, h2_resets: 2, ..Limits::default() };
    let now = std::time::Instant::now();
    let feed = |size: usize| {
        let mut meter = Meter::new(&limits);
        data.chunks(size.max(1)).find_map(|piece| meter.feed(piece, now).err())
    };
    let whole = feed(data.len());
    assert_eq!(feed(usize::from(*first)), whole, "in pieces of {first}");
    assert_eq!(feed(1), whole, "one by one");
    let wanted = second::frames::first_breach(data, limits.h2_control_frames, limits.h2_resets);
    let breach = whole.map(|breach| match breach {
        Breach::ControlFrames => "control",
        Breach::EmptyContinuation => "continuation",
        Breach::Resets => "resets",
    });
    assert_eq!(breach, wanted);
}

/// Any text compiles to a table that answers, twice to the same.
pub fn manifests(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let snapshot = yaml::read(text, "fuzz.yaml").into_snapshot();
    let options = CompileOptions::default();
    let compiled = compile(&snapshot, &options);
    assert_eq!(compiled, compile(&snapshot, &options));
    let (registry, metrics) = (Registry::new(1), Metrics::new(1, true));
    for (id, backend) in &*compiled.config.backends {
        let (set, _) = endpoints(&snapshot, backend, &Resolved::default());
        registry.set_endpoints(id, &set);
    }
    CERTIFICATE.with(|certificate| {
        let table = RoutingTable::build(&compiled.config, None, &registry, &metrics, certificate);
        for (at, host, route) in table.routes() {
            assert_eq!(table.host_of(at), host);
            assert!(compiled.config.hosts.contains_key(host));
            assert!(std::sync::Arc::ptr_eq(&table.route(at).rule, &route.rule));
        }
        for host in ["", "a.example", "b.a.example"] {
            for path in ["/", "/a", "/a/b"] {
                let _route = table.find(host, path).map(|at| table.route(at));
            }
            let _certificate = table.certificate(Some(host));
        }
    });
}

/// A line with a path of a rule as a regular expression, one with a request path, and one with a host of a rule: the
/// expression takes what its automaton takes, its beginning takes no less, and the table finds the first that matches.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let [written, path, host] = std::array::from_fn(|_| lines.next().unwrap_or_default());
    let beginning = PathPattern::beginning(written);
    assert!(written.starts_with(beginning.start()));
    if let Ok(pattern) = PathPattern::new(written) {
        let is_taken = pattern.matches(path);
        assert_eq!(pattern.groups(path).is_some(), is_taken);
        assert!(!is_taken || beginning.matches(path), "{written:?} takes {path:?}, its beginning does not");
        assert!(pattern.cost() <= LARGEST_PATTERN);
    }
    let compiled = compiled(&[
        ("a", host, written, "use-regex", "true"),
        ("b", "a.example", written, "use-regex", "true"),
        ("c", "a.example", "/plain", "server-alias", host),
    ]);
    let (registry, metrics) = (Registry::new(1), Metrics::new(1, true));
    CERTIFICATE.with(|certificate| {
        let table = RoutingTable::build(&compiled.config, None, &registry, &metrics, certificate);
        let Some(own) = compiled.config.hosts.get(&HostPattern::Exact("a.example".into())) else { return };
        let Ok(request) = uri::path::normalise(path.as_bytes()) else { return };
        let first = own.routes.iter().find(|route| route.path.matches(&request.matching));
        let found = table.find("a.example", &request.matching).map(|at| &table.route(at).rule);
        let is_regex = own.routes.iter().all(|route| route.path.kind.sign() == '~');
        assert!(!is_regex || first == found, "{written:?} on {path:?}");
        let name = uri::host::lookup(host);
        let is_meant = |pattern: &HostPattern| *pattern == HostPattern::Exact(name.as_ref().into());
        if let Some(pattern) = compiled.config.hosts.keys().find(|pattern| is_meant(pattern)) {
            assert!(pattern.matches(&name) && table.owns_host(&name), "{host:?}");
        }
    });
}

/// A text in nginx's words is read the same when what was read is printed; as a snippet it closes its path, or sets nothing
/// but fields that are clean.
pub fn snippet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(statements) = nginx::parse(text) {
        let print =
            |statements: &[nginx::Statement]| statements.iter().map(|one| format!("{one}\n")).collect::<String>();
        let printed = print(&statements);
        if printed.len() <= nginx::LONGEST {
            let again = nginx::parse(&printed).unwrap_or_else(|fault| panic!("{fault:?} in {printed:?}"));
            assert_eq!(print(&again), printed);
        }
    }
    for name in ["auth-snippet", "configuration-snippet", "server-snippet"] {
        let compiled =
            compiled(&[("a", "a.example", "/", name, text), ("b", "a.example", "/b", "auth-url", "http://b.example")]);
        let routes = compiled.config.hosts.values().flat_map(|host| &host.routes);
        routes.for_each(|route| assert_clean(&route.filters));
    }
}

/// Nothing that is set on requests or answers can end a field.
fn assert_clean(filters: &Filters) {
    let is_name = |name: &str| {
        let name = name.strip_suffix('*').unwrap_or(name);
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    let is_text = |template: &Template| {
        let is_clean = |text: &str| text.bytes().all(|octet| octet == b'\t' || (b' '..=b'~').contains(&octet));
        template.parts.iter().all(|part| if let Part::Text(text) = part { is_clean(text) } else { true })
    };
    let (mut names, mut texts) = (Vec::new(), Vec::new());
    if let Some(edits) = &filters.request {
        texts.extend(&edits.host);
        for (name, text) in &edits.fields {
            names.push(name);
            texts.push(text);
        }
        for edit in &edits.input {
            names.push(&edit.name);
            texts.extend(&edit.value);
        }
    }
    for rule in filters.response.iter().flat_map(|edits| &edits.rules) {
        names.push(&rule.name);
        if let AnswerAct::Add(text) | AnswerAct::Set(text) = &rule.act {
            texts.push(text);
        }
    }
    if let Some(FixedContent::Location(text)) = filters.reply.as_ref().map(|reply| &reply.content) {
        texts.push(text);
    }
    for external in filters.access.iter().filter_map(|access| access.external.as_ref()) {
        for (name, text) in &external.sends {
            names.push(name);
            texts.push(text);
        }
    }
    assert!(names.iter().all(|name| is_name(name)), "{names:?}");
    assert!(texts.iter().all(|text| is_text(text)), "{texts:?}");
}

/// Ingresses with a host, a path and one annotation each, compiled.
fn compiled(ingresses: &[(&str, &str, &str, &str, &str)]) -> Compiled {
    let mut manifests = String::new();
    for (name, host, path, annotation, value) in ingresses {
        let [host, path, value] = [host, path, value].map(|text| quoted(text));
        manifests += &format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, annotations: \
             {{nginx.ingress.kubernetes.io/{annotation}: {value}}}}}\nspec: {{rules: [{{host: {host}, http: {{paths: \
             [{{path: {path}, pathType: ImplementationSpecific, backend: {{service: {{name: web, port: {{number: \
             80}}}}}}}}]}}}}]}}\n---\n"
        );
    }
    compile(&yaml::read(&manifests, "fuzz.yaml").into_snapshot(), &CompileOptions::default())
}

/// A text as YAML reads it back.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|char| match char {
        '"' | '\\' => format!("\\{char}"),
        ' '..='~' => char.to_string(),
        _ => format!("\\U{:08X}", u32::from(char)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

thread_local! {
    /// Made once: making a key takes longer than all the rest.
    static CERTIFICATE: std::sync::Arc<fairlead::ir::Certificate> =
        std::sync::Arc::new(secret::self_made(1_790_000_000).unwrap_or_else(|why| panic!("{why}")));
}

/// The end of the head in `data`, which must be the same however `data` comes in. A head that comes in one piece may
/// leave a bare LF to the tokeniser, since a CR that no LF follows stands beside it; then that must refuse it.
fn head_end(data: &[u8], limits: &HeadLimits, is_taken: impl Fn(usize) -> bool) -> Option<usize> {
    let whole = HeadScan::default().advance(data, limits);
    let mut scan = HeadScan::default();
    let mut stepwise = Ok(None);
    for end in 1..=data.len() {
        stepwise = scan.advance(&data[..end], limits);
        if !matches!(stepwise, Ok(None)) {
            break;
        }
    }
    if let (Ok(Some(end)), Err(_)) = (whole, stepwise) {
        assert!(!is_taken(end));
        return None;
    }
    assert_eq!(whole.ok(), stepwise.ok());
    whole.ok().flatten()
}

/// The tolerance that we allow taken out: an empty line before the request, and versions that count as 1.1.
fn canonical(head: &[u8]) -> Vec<u8> {
    let mut head = head.strip_prefix(b"\r\n").unwrap_or(head).to_vec();
    let line_end = head.iter().position(|octet| *octet == b'\r').unwrap_or(head.len());
    if line_end >= 8 && &head[line_end - 8..line_end - 1] == b"HTTP/1." && head[line_end - 1] != b'0' {
        head[line_end - 1] = b'1';
    }
    head
}

fn assert_same_fields(fields: &Fields, second: &[second::head::Field]) {
    let fields: Vec<_> = fields.iter().map(|(_, name, value)| (name.to_vec(), value.to_vec())).collect();
    assert_eq!(fields, second);
}

fn framing(body: &second::head::Body, unsaid: Framing) -> Framing {
    match body {
        second::head::Body::Unsaid => unsaid,
        second::head::Body::Length(length) => Framing::Length(*length),
        second::head::Body::Chunked => Framing::Chunked,
    }
}

/// The body in `data`, its trailers and the octets it took, when `data` comes in pieces of `size`.
fn decode(data: &[u8], size: usize) -> Option<(Vec<u8>, Vec<second::head::Field>, usize)> {
    let mut decoder = Decoder::new(Framing::Chunked, BodyLimits::from(&Limits::default()));
    let mut buffer = BytesMut::new();
    let mut body = Vec::new();
    let mut used = 0;
    for piece in data.chunks(size.max(1)) {
        buffer.extend_from_slice(piece);
        used += piece.len();
        loop {
            match decoder.next(&mut buffer).ok()? {
                Step::NeedMore => break,
                Step::Data(data) => body.extend_from_slice(&data),
                Step::End(trailers) => {
                    let fields = trailers.iter().flat_map(|fields| fields.iter());
                    let fields = fields.map(|(_, name, value)| (name.to_vec(), value.to_vec())).collect();
                    return Some((body, fields, used - buffer.len()));
                }
            }
        }
    }
    None
}
