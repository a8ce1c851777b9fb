//! The admin address: what is served and why, as JSON, and one page that shows it.

use std::net::IpAddr;

use http::header::{CONTENT_SECURITY_POLICY, HOST, HeaderValue};
use http::{Request, StatusCode};

use super::answer::{Answered, error, is_read, json, plain, refuse_method};
use super::lists::Filter;
use super::{View, explain, lists};
use crate::{ir, uri};

/// Answers one request on the admin address.
pub(super) fn answer<B>(view: &View, request: &Request<B>) -> Answered {
    if !is_local_name(request) {
        let text = "the Host of a request to this address must be an IP address or localhost";
        return error(StatusCode::FORBIDDEN, text);
    }
    let path = request.uri().path();
    if !PATHS.contains(&path) {
        return error(StatusCode::NOT_FOUND, &format!("no such path; there are {}", PATHS.join(", ")));
    }
    if !is_read(request.method()) {
        return refuse_method();
    }
    let query = request.uri().query().unwrap_or_default();
    match path {
        "/api/v1/routes" => filtered(query, |filter| json(StatusCode::OK, &lists::routes(view, filter))),
        "/api/v1/backends" => filtered(query, |filter| json(StatusCode::OK, &lists::backends(view, filter))),
        "/api/v1/certificates" => filtered(query, |filter| json(StatusCode::OK, &lists::certificates(view, filter))),
        "/api/v1/problems" => filtered(query, |filter| json(StatusCode::OK, &lists::problems(view, filter))),
        "/api/v1/explain" => explained(view, query),
        "/api/v1/config" => {
            plain(StatusCode::OK, "text/plain; charset=utf-8", (view.short_text)(view.table.load().config()))
        }
        _ => {
            let mut page = plain(StatusCode::OK, "text/html; charset=utf-8", &include_bytes!("dashboard.html")[..]);
            let policy =
                "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'";
            page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
            page
        }
    }
}

const PATHS: [&str; 7] = [
    "/",
    "/api/v1/backends",
    "/api/v1/certificates",
    "/api/v1/config",
    "/api/v1/explain",
    "/api/v1/problems",
    "/api/v1/routes",
];

/// A page of another site can make a browser ask us under that site's name (DNS rebinding), never under one of these.
pub(super) fn is_local_name<B>(request: &Request<B>) -> bool {
    let is_local = |name: &[u8]| {
        uri::host::parse(name).is_some_and(|host| {
            let literal = host.name.trim_start_matches('[').trim_end_matches(']');
            literal.parse::<IpAddr>().is_ok() || *uri::host::lookup(host.name) == *"localhost"
        })
    };
    let target = request.uri().authority().is_none_or(|authority| is_local(authority.as_str().as_bytes()));
    let mut hosts = request.headers().get_all(HOST).iter();
    target && hosts.next().is_some_and(|host| is_local(host.as_bytes())) && hosts.next().is_none()
}

fn filtered(query: &str, answer: impl FnOnce(&Filter) -> Answered) -> Answered {
    match pairs(query, ["namespace", "host"]) {
        Ok([namespace, host]) => answer(&Filter { namespace, host }),
        Err(why) => error(StatusCode::BAD_REQUEST, &why),
    }
}

fn explained(view: &View, query: &str) -> Answered {
    // A header field may be there several times, all else once.
    let (fields, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| pair.starts_with("header="));
    let request =
        pairs(&others.join("&"), ["url", "method", "client", "header"]).and_then(|[url, method, client, _]| {
            let url = url.ok_or("url is missing; write it as ?url=http%3A%2F%2Fhost%2Fpath")?;
            let mut request = explain::Request::new(method.as_deref().unwrap_or("GET"), &url)?;
            if let Some(client) = client {
                request.client = client.parse().map_err(|_| format!("client {client:?} is not an IP address"))?;
            }
            fields.into_iter().filter_map(|pair| pair.strip_prefix("header=")).try_fold(request, |request, field| {
                let field = decode(field).ok_or("the value of header is not percent-encoded UTF-8")?;
                let (name, value) =
                    field.split_once(':').ok_or_else(|| format!("header {field:?} is not NAME: VALUE"))?;
                request.with(name, value)
            })
        });
    match request {
        Ok(request) => {
            let problems = view.problems.load();
            let told = explain::explain(&view.table.load(), &view.listeners, &request);
            json(StatusCode::OK, &told.blame(problems.iter().map(|standing| &standing.problem)))
        }
        Err(why) => error(StatusCode::BAD_REQUEST, &why),
    }
}

/// The values of `names` in a query; an empty value is as none. `Err` says what is wrong.
fn pairs<const N: usize>(query: &str, names: [&str; N]) -> Result<[Option<String>; N], String> {
    let mut values = [const { None }; N];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = names.iter().position(|known| *known == name).and_then(|at| values.get_mut(at));
        let slot = known.ok_or_else(|| format!("{name:?} is not asked here; there are {}", names.join(", ")))?;
        let value = decode(value).ok_or_else(|| format!("the value of {name} is not percent-encoded UTF-8"))?;
        *slot = Some(value).filter(|value| !value.is_empty());
    }
    Ok(values)
}

/// Percent-decoding (RFC 3986 2.1). A `+` stays one: it is part of a URL, and no name holds a space.
fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(rest.next())? << 4 | digit(rest.next())?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The short text form of a configuration, as the compiler's goldens print it.
pub type ShortText = Box<dyn Fn(&ir::Config) -> String + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_and_unknown_keys_refused() {
        let ask = |query| pairs(query, ["url", "method"]);
        let url = Some("http://a/?b=c&d+e".to_owned());
        assert_eq!(ask("url=http%3A%2F%2Fa%2F%3fb%3Dc%26d+e&method="), Ok([url, None]));
        assert_eq!(ask(""), Ok([None, None]));
        for (query, part) in [("uri=x", "\"uri\""), ("url=%4", "url"), ("url=%zz", "url"), ("url=%ff", "url")] {
            assert!(ask(query).unwrap_err().contains(part), "{query}");
        }
    }

    #[test]
    fn only_names_that_no_foreign_site_has_are_local() {
        for (host, expected) in [
            ("127.0.0.1:10246", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("[::1]:10246", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_local_name(&Request::builder().header(HOST, host).body(()).unwrap()), expected, "{host}");
        }
        assert!(!is_local_name(&Request::builder().body(()).unwrap()), "no Host");
        let absolute = Request::builder().uri("http://evil.example/").header(HOST, "127.0.0.1").body(()).unwrap();
        assert!(!is_local_name(&absolute));
        let two = Request::builder().header(HOST, "127.0.0.1").header(HOST, "evil.example").body(()).unwrap();
        assert!(!is_local_name(&two));
    }
}
