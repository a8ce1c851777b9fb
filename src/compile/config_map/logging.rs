//! Keys about the access log.

use std::sync::Arc;

use super::Read;
use super::table::{Row, sets};
use super::value::pattern;
use crate::compile::ingress::annotations::SWITCH;
use crate::compile::ingress::annotations::{Refusal, Value, shorten};
use crate::ir::{Escape, LineFormat, LogPart, Pattern};
use crate::settings::suggest::did_you_mean;

/// Variables that nginx has under two names, or whose values are the same here. The head of an answer is not counted.
const ALIASES: [(&str, &str); 14] = [
    ("bytes_sent", "body_bytes_sent"),
    ("content_length", "http_content_length"),
    ("content_type", "http_content_type"),
    ("document_uri", "uri"),
    ("pass_access_scheme", "scheme"),
    ("pass_port", "server_port"),
    ("pass_server_port", "server_port"),
    ("proxy_host", "proxy_upstream_name"),
    ("proxy_protocol_addr", "remote_addr"),
    ("query_string", "args"),
    ("realip_remote_addr", "remote_addr"),
    ("request_id", "req_id"),
    ("server_name", "host"),
    ("the_real_ip", "remote_addr"),
];

/// Where the access log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Stdout,
}

const PLACES: &str = "write /dev/stdout, or off";

pub(super) const ROWS: &[Row] = &[
    sets(
        "access-log-path",
        "/var/log/nginx/access.log",
        |value, to| place(value, |place| to.log.place = Some(place)),
        PLACES,
        "`off` and `/dev/null` write no access log; it goes nowhere but to standard output",
    ),
    sets(
        "disable-access-log",
        "false",
        |value, to| value.boolean().map(|is| to.log.is_off |= is),
        SWITCH,
        "write no access log",
    ),
    sets(
        "disable-http-access-log",
        "false",
        |value, to| value.boolean().map(|is| to.log.is_off |= is),
        SWITCH,
        "the same",
    ),
    sets(
        "enable-access-log-for-default-backend",
        "false",
        |value, to| value.boolean().map(|is| to.log.unrouted = is),
        SWITCH,
        "`true`: requests for hosts that no Ingress speaks for are logged too",
    ),
    sets(
        "http-access-log-path",
        "",
        |value, to| place(value, |place| to.log.http_place = Some(place)),
        PLACES,
        "the same as `access-log-path`, and goes before it",
    ),
    sets(
        "log-format-escape-json",
        "false",
        |value, to| value.boolean().map(|is| to.log.json = is),
        SWITCH,
        "escape values as in JSON",
    ),
    sets(
        "log-format-escape-none",
        "false",
        |value, to| value.boolean().map(|is| to.log.raw = is),
        SWITCH,
        "escape nothing",
    ),
    sets(
        "log-format-upstream",
        "",
        format,
        "write text and variables, as in $remote_addr [$time_local] \"$request\" $status",
        "the line of the access log, in the place of `--log-format`; its variables stand below",
    ),
    sets(
        "skip-access-log-urls",
        "",
        skipped,
        "write paths with commas between, as in /a,/b?c; ~ before a regular expression",
        "requests that are not logged: path and query as they are sent, in any letter case, or behind `~` an expression that is found in them",
    ),
];

/// What can stand in `log-format-upstream`, in the order of the alphabet.
pub(super) fn variables() -> Vec<String> {
    let named = LogPart::NAMES.iter().copied().chain(ALIASES.iter().map(|(alias, _)| *alias)).map(str::to_owned);
    let mut all: Vec<_> = named.chain(LogPart::BEGINNINGS.iter().map(|begin| format!("{begin}NAME"))).collect();
    all.sort_unstable();
    all
}

/// What the keys say.
#[derive(Default)]
pub(super) struct Said {
    is_off: bool,
    place: Option<Place>,
    http_place: Option<Place>,
    unrouted: bool,
    json: bool,
    raw: bool,
    parts: Option<Box<[LogPart]>>,
    skipped: Box<[Pattern]>,
}

/// Puts what is said together.
pub(super) fn finish(read: &mut Read) {
    let Said { is_off, place, http_place, unrouted, json, raw, parts, skipped } = std::mem::take(&mut read.log);
    let is_off = is_off || http_place.or(place) == Some(Place::Nowhere);
    // Of both the second counts, as in nginx's template.
    let escape = match (json, raw) {
        (_, true) => Escape::Raw,
        (true, false) => Escape::Json,
        (false, false) => Escape::Hex,
    };
    let is_default = parts.is_none() && escape != Escape::Hex;
    let parts = if is_default { Some(parts_of(DEFAULT).0) } else { parts };
    let format = parts.map(|parts| LineFormat::new(parts, escape));
    let log = crate::ir::Logging { is_off, format, is_default, unrouted, skipped };
    read.globals.access_log = (log != Default::default()).then(|| Arc::new(log));
}

/// Reads where the log goes. The default of ingress-nginx is a link to standard output in its image.
fn place(value: &Value<'_>, set: impl FnOnce(Place)) -> Result<(), Refusal> {
    set(match value.plain()? {
        "off" | "/dev/null" => Place::Nowhere,
        "/dev/stdout" | "/var/log/nginx/access.log" => Place::Stdout,
        other => {
            let why = format!("the access log goes to standard output, not to {:?}", shorten(other));
            return Err(Refusal::Ignored(why, "let the container runtime collect standard output"));
        }
    });
    Ok(())
}

/// `log-format-upstream` where it is not set.
const DEFAULT: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \
                       \"$http_user_agent\" $request_length $request_time [$proxy_upstream_name] \
                       [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length \
                       $upstream_response_time $upstream_status $req_id";

/// Reads the text of a line. A variable that is none costs itself, not the line.
fn format(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    // A line of the log is one line, on how many it may be written.
    let text = value.text.lines().map(str::trim_ascii).collect::<Vec<_>>().join(" ");
    let (parts, unknown) = parts_of(Value { text: &text, ..*value }.plain()?);
    to.log.parts = Some(parts);
    let Some(name) = unknown else { return Ok(()) };
    let near = did_you_mean(&name, LogPart::NAMES.iter().copied());
    let near = near.map(|near| format!("; did you mean ${near}?")).unwrap_or_default();
    let why = format!("${} is no variable here and is written as -{near}", shorten(&name));
    Err(Refusal::Ignored(why, "use a variable that there is; the rest of the line is written"))
}

/// The parts of a line, and the first variable that is none.
fn parts_of(mut rest: &str) -> (Box<[LogPart]>, Option<String>) {
    let mut parts = Vec::new();
    let mut unknown = None;
    while let Some((before, after)) = rest.split_once('$') {
        push(&mut parts, before);
        let inner = after.strip_prefix('{');
        let begin = inner.unwrap_or(after);
        let end = begin.bytes().position(|octet| !octet.is_ascii_alphanumeric() && octet != b'_');
        let (name, behind) = begin.split_at_checked(end.unwrap_or(begin.len())).unwrap_or((begin, ""));
        rest = if inner.is_some() { behind.strip_prefix('}').unwrap_or(behind) } else { behind };
        let lower = name.to_ascii_lowercase();
        let known = ALIASES.iter().find(|(alias, _)| *alias == lower).map_or(&*lower, |(_, name)| *name);
        match LogPart::named(known) {
            Some(part) => parts.push(part),
            None => {
                push(&mut parts, "-");
                unknown = unknown.or(Some(lower));
            }
        }
    }
    push(&mut parts, rest);
    (parts.into(), unknown)
}

/// Reads which requests are not logged. An entry that is wrong costs itself, not the others.
fn skipped(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    let mut skipped = Vec::new();
    let mut wrong = None;
    for part in value.list()? {
        let read = match part.starts_with(['/', '~']) {
            true => pattern(part),
            false => Err(Refusal::Invalid(format!("has {:?}, which begins neither with / nor with ~", shorten(part)))),
        };
        match read {
            Ok(pattern) => skipped.push(pattern),
            Err(refusal) => wrong = wrong.or(Some(refusal)),
        }
    }
    to.log.skipped = skipped.into();
    match wrong {
        None => Ok(()),
        Some(Refusal::Invalid(why)) => {
            Err(Refusal::Ignored(format!("{why}; the others are skipped"), "mend it, or leave it out"))
        }
        Some(other) => Err(other),
    }
}

fn push(parts: &mut Vec<LogPart>, text: &str) {
    if !text.is_empty() {
        parts.push(LogPart::Text(text.into()));
    }
}
