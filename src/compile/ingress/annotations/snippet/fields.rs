//! Names and values of header fields in statements: what may stand there, and who may set what.

use std::sync::Arc;

use super::reading::{Unread, variables};
use super::words;
use crate::compile::config_map;
use crate::ir::{AnswerAct, AnswerRule, Part, Template};

/// The longest value, in octets.
const LONGEST: usize = 4096;

/// `Name: value`; the value may be empty.
pub(super) struct Header<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

/// What stands before the header fields of a statement of headers-more, and these.
pub(super) struct Options<'a> {
    statuses: Box<[u16]>,
    types: Box<[Arc<str>]>,
    /// `-r`.
    pub(super) only_present: bool,
    pub(super) headers: Vec<&'a str>,
}

impl Options<'_> {
    pub(super) fn rule(&self, name: &str, act: AnswerAct) -> AnswerRule {
        AnswerRule { name: name.into(), act, statuses: self.statuses.clone(), types: self.types.clone() }
    }
}

/// Reads the words of a statement; `known` are the options that are understood.
pub(super) fn options<'a>(words: &'a [String], known: &str) -> Result<Options<'a>, Unread> {
    let (mut statuses, mut types, mut only_present, mut headers) = (Vec::new(), Vec::new(), false, Vec::new());
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if !word.starts_with('-') {
            headers.push(word.as_str());
            continue;
        }
        let is_known = known.split(' ').any(|option| option == word);
        match word.as_str() {
            "-s" if is_known => {
                for status in rest.next().map(String::as_str).unwrap_or_default().split_ascii_whitespace() {
                    match status.parse() {
                        Ok(status @ 100..=599) => statuses.push(status),
                        _ => return Err(Unread::new("has a status that is none", words::SET)),
                    }
                }
            }
            "-t" if is_known => {
                for media_type in rest.next().map(String::as_str).unwrap_or_default().split_ascii_whitespace() {
                    if !is_media_type(media_type) {
                        return Err(Unread::new("has a media type that is none", words::SET));
                    }
                    types.push(media_type.into());
                }
            }
            "-r" if is_known => only_present = true,
            _ => return Err(Unread::new("has an option that is not understood", words::SET)),
        }
    }
    if headers.is_empty() {
        return Err(Unread::new("names no field", words::SET));
    }
    statuses.sort_unstable();
    statuses.dedup();
    Ok(Options { statuses: statuses.into(), types: types.into(), only_present, headers })
}

/// Whether the text is `type/subtype` (RFC 9110 8.3.1), perhaps with parameters.
pub(super) fn is_media_type(text: &str) -> bool {
    let is_part = |octet: u8| octet.is_ascii_alphanumeric() || b"-+.;=_ ".contains(&octet);
    let parts = text.split_once('/');
    text.len() <= 256
        && parts.is_some_and(|(kind, rest)| {
            !kind.is_empty() && !rest.is_empty() && kind.bytes().chain(rest.bytes()).all(is_part)
        })
}

/// A header field in one word.
pub(super) fn header(text: &str) -> Result<Header<'_>, Unread> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    Ok(Header { name: self::name(name.trim())?, value: value.trim() })
}

/// A name of a header field, as annotations take them.
pub(super) fn name(text: &str) -> Result<&str, Unread> {
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
    match (1..=256).contains(&text.len()) && text.bytes().all(is_token) {
        true => Ok(text),
        false => Err(Unread::new("has a name that no header field has", words::SET)),
    }
}

/// A name, or a beginning and a star.
pub(super) fn pattern(text: &str) -> Result<&str, Unread> {
    let text = text.trim().trim_end_matches(':');
    name(text.strip_suffix('*').unwrap_or(text))?;
    if config_map::is_ours(text) {
        return Err(Unread::new("names a field that only the proxy writes", words::HIDE));
    }
    Ok(text)
}

/// Refuses to set a field of answers that says how they are framed or coded.
pub(super) fn of_answers(name: &str) -> Result<(), Unread> {
    let is_ours = ["content-encoding", "date"].iter().any(|own| name.eq_ignore_ascii_case(own));
    match is_ours || config_map::is_ours(name) {
        true => Err(Unread::new("names a field that only the proxy writes", words::SET)),
        false => Ok(()),
    }
}

/// Refuses to set a field of requests that says how they are framed, or who a client is: back ends believe what it says.
pub(super) fn of_requests(name: &str, value: &str) -> Result<(), Unread> {
    const OURS: [&str; 11] = [
        "forwarded",
        "proxy",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-forwarded-scheme",
        "x-original-forwarded-for",
        "x-original-forwarded-host",
        "x-real-ip",
        "x-scheme",
    ];
    let lower = name.to_ascii_lowercase().replace('_', "-");
    let is_ours = config_map::is_ours(&lower) || OURS.contains(&lower.as_str()) || lower == "x-request-id";
    // Where an application stands its author says, and no client.
    let is_clients = lower == "x-forwarded-prefix" && value.contains('$');
    match is_ours || is_clients {
        true => Err(Unread::new("names a field that only the proxy writes", TRUST)),
        false => Ok(()),
    }
}

const TRUST: &str = "use-forwarded-headers of the ConfigMap, where a proxy before this one is to be believed";

/// Whether the proxy sends just that without being told.
pub(super) fn is_sent_anyway(name: &str, value: &str) -> bool {
    const HOST: &[&str] = &["$best_http_host", "$host", "$http_host"];
    const SCHEME: &[&str] = &["$pass_access_scheme", "$scheme"];
    const SAME: [(&str, &[&str]); 12] = [
        ("connection", &["", "$connection_upgrade", "keep-alive", "upgrade"]),
        ("host", HOST),
        ("proxy", &[""]),
        ("upgrade", &["$http_upgrade", "websocket"]),
        ("x-forwarded-for", &["$full_x_forwarded_for", "$proxy_add_x_forwarded_for", "$remote_addr", "$the_real_ip"]),
        ("x-forwarded-host", HOST),
        ("x-forwarded-port", &["$pass_port", "$pass_server_port", "$server_port"]),
        ("x-forwarded-proto", SCHEME),
        ("x-forwarded-scheme", SCHEME),
        ("x-real-ip", &["$remote_addr", "$the_real_ip"]),
        ("x-request-id", &["$req_id", "$request_id"]),
        ("x-scheme", SCHEME),
    ];
    let value = value.to_ascii_lowercase();
    let is_same = |(own, values): &(&str, &[&str])| own.eq_ignore_ascii_case(name) && values.contains(&value.as_str());
    SAME.iter().any(is_same)
}

/// Whether the field says how the client came.
pub(super) fn is_scheme(name: &str) -> bool {
    ["x-forwarded-proto", "x-forwarded-scheme", "x-scheme"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// What is said of a field that is sent anyway.
pub(super) fn anyway() -> Unread {
    Unread::needless("asks for what is sent anyway", "nothing; it can go")
}

/// A value of a header field: printable ASCII with variables.
pub(super) fn text(value: &str) -> Result<Template, Unread> {
    let is_plain = |octet: u8| octet == b'\t' || (b' '..=b'~').contains(&octet);
    if value.len() > LONGEST || !value.bytes().all(is_plain) {
        return Err(Unread::new("has a value that is longer than 4 KiB or not printable ASCII", words::SET));
    }
    let template = variables(value)?;
    debug_assert!(template.parts.iter().all(|part| !matches!(part, Part::Text(text) if text.contains(['\r', '\n']))));
    Ok(template)
}
