//! Texts with variables, as `upstream-hash-by` has them. Which variables there are is decided here, so that none is left to
//! be looked up while a request is served.

use super::value::Refusal;
use crate::compile::config_map;
use crate::ir::{Part, Template};
use crate::settings::suggest::nearest;

/// Variables that are one thing of the request.
const WHOLE: [&str; 12] = [
    "remote_addr",
    "binary_remote_addr",
    "request_uri",
    "escaped_request_uri",
    "uri",
    "args",
    "is_args",
    "query_string",
    "host",
    "http_host",
    "request_method",
    "scheme",
];
/// Further ones that a wrong name may mean.
const FURTHER: [&str; 7] =
    ["hostname", "msec", "remote_user", "request_id", "server_port", "server_protocol", "time_iso8601"];
/// Beginnings of variables whose rest is a name.
const NAMED: [&str; 3] = ["arg_", "cookie_", "http_"];
/// Beginnings that are written in their place.
const MISNAMED: [(&str, &str); 3] = [("header_", "http_"), ("headers_", "http_"), ("query_", "arg_")];
/// Variables of nginx that say the same as one of ours, or nearly.
const OTHERS: [(&str, &str); 1] = [("realip_remote_addr", "remote_addr")];

/// Variables of one text: each may stand for as much as a client sends, in every request.
pub(in crate::compile) const MOST_VARIABLES: usize = 32;

/// Reads `$arg_id` and `${arg_id}` in a text by which requests are told apart. A text without a variable is refused: it would
/// be the same for every request. So is one with the time in it: it would be another for every request.
pub(in crate::compile) fn parse(text: &str) -> Result<Template, Refusal> {
    let template = read(text)?;
    if template.parts.iter().all(|part| matches!(part, Part::Text(_) | Part::Hostname)) {
        let near = nearest_variable(text.trim_matches(['{', '}']));
        let why = "has no variable, so it is the same for every request".to_owned();
        return Err(Refusal::Mistaken(why, format!("did you mean ${near}?")));
    }
    lasting(template)
}

/// The text, if requests can have it in common: not if the time is in it.
pub(in crate::compile) fn lasting(template: Template) -> Result<Template, Refusal> {
    let Some(part) = template.parts.iter().find(|part| part.is_of_the_moment()) else { return Ok(template) };
    let why = format!("has {part}, which no two requests have in common");
    let hint = "leave it out; write what requests that belong together have in common";
    Err(Refusal::Mistaken(why, hint.to_owned()))
}

/// Reads a text with variables or without.
pub(in crate::compile) fn read(text: &str) -> Result<Template, Refusal> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        if !before.is_empty() {
            parts.push(Part::Text(before.into()));
        }
        let (name, behind) = name(after)?;
        if parts.iter().filter(|part| !matches!(part, Part::Text(_))).count() == MOST_VARIABLES {
            return Err(Refusal::Invalid(format!("has more than {MOST_VARIABLES} variables")));
        }
        parts.push(variable(name).ok_or_else(|| unknown(name))?);
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    Ok(Template { parts: parts.into() })
}

/// The text of a header field, as a ConfigMap has it, with variables or without. `None` if it is no header field.
pub(in crate::compile) fn field_text(name: &str, text: &str) -> Option<Template> {
    read(field_value(name, text)?).ok()
}

/// The same, taken as it stands.
pub(in crate::compile) fn field_value<'a>(name: &str, text: &'a str) -> Option<&'a str> {
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
    let is_name = (1..=256).contains(&name.len()) && name.bytes().all(is_token);
    let text = text.trim();
    let is_text = text.len() <= 4096 && text.bytes().all(|octet| octet == b'\t' || (b' '..=b'~').contains(&octet));
    (is_name && is_text && !config_map::is_ours(name)).then_some(text)
}

/// The name behind a dollar sign, and what stands behind the name.
pub(super) fn name(after: &str) -> Result<(&str, &str), Refusal> {
    let nameless = || {
        let hint = "write a variable behind it, as in $request_uri, or leave it out";
        Refusal::Mistaken("has a $ without a name".to_owned(), hint.to_owned())
    };
    let inner = after.strip_prefix('{');
    let begin = inner.unwrap_or(after);
    let end = begin.bytes().position(|octet| !octet.is_ascii_alphanumeric() && octet != b'_').unwrap_or(begin.len());
    let (name, behind) = begin.split_at_checked(end).filter(|(name, _)| !name.is_empty()).ok_or_else(nameless)?;
    if inner.is_none() {
        return Ok((name, behind));
    }
    let unclosed = || Refusal::Mistaken("has a { without a }".to_owned(), format!("write ${{{name}}}"));
    Ok((name, behind.strip_prefix('}').ok_or_else(unclosed)?))
}

/// The part of the request that a variable means. Letter case is that of nginx: it does not matter.
fn variable(name: &str) -> Option<Part> {
    let lower = name.to_ascii_lowercase();
    let named = |begin: &str| lower.strip_prefix(begin).filter(|rest| !rest.is_empty());
    Some(match lower.as_str() {
        "remote_addr" | "binary_remote_addr" | "the_real_ip" => Part::Address,
        "proxy_add_x_forwarded_for" => Part::ForwardedFor,
        "remote_user" => Part::User,
        "request_uri" => Part::Uri,
        "escaped_request_uri" => Part::EscapedUri,
        "is_args" => Part::QueryMark,
        "uri" | "document_uri" => Part::Path,
        "args" | "query_string" => Part::Query,
        "host" | "server_name" => Part::Host,
        "server_port" | "pass_port" | "pass_server_port" => Part::Port,
        "request_method" => Part::Method,
        "scheme" | "pass_access_scheme" => Part::Scheme,
        "namespace" => Part::Namespace,
        "ingress_name" => Part::IngressName,
        "service_name" => Part::ServiceName,
        "service_port" => Part::ServicePort,
        "location_path" => Part::RulePath,
        "request_id" | "req_id" => Part::RequestId,
        "proxy_upstream_name" | "proxy_host" => Part::UpstreamName,
        "best_http_host" => Part::Authority,
        "server_protocol" => Part::Protocol,
        "hostname" => Part::Hostname,
        "msec" => Part::Msec,
        "time_iso8601" => Part::TimeIso,
        _ => match (named("arg_"), named("cookie_"), named("http_")) {
            // Names of arguments and cookies have letter case, and it is the author's.
            (Some(rest), _, _) => Part::Argument(ending(name, rest).into()),
            (_, Some(rest), _) => Part::Cookie(ending(name, rest).into()),
            (_, _, Some(rest)) => Part::Field(rest.replace('_', "-").into()),
            (None, None, None) => return None,
        },
    })
}

fn ending<'a>(name: &'a str, lower: &str) -> &'a str {
    name.get(name.len().saturating_sub(lower.len())..).unwrap_or_default()
}

fn unknown(name: &str) -> Refusal {
    Refusal::Mistaken(
        format!("has ${name}, which is no variable"),
        format!(
            "did you mean ${}? right are ${} and $arg_NAME, $cookie_NAME, $http_NAME",
            nearest_variable(name),
            WHOLE.join(", $")
        ),
    )
}

fn nearest_variable(name: &str) -> String {
    let lower: String = name.to_ascii_lowercase().chars().take(64).collect();
    if let Some((_, same)) = OTHERS.iter().find(|(other, _)| *other == lower) {
        return (*same).to_owned();
    }
    if let Some(right) =
        MISNAMED.iter().find_map(|(begin, right)| Some(format!("{right}{}", lower.strip_prefix(begin)?)))
    {
        return right;
    }
    // `$cookies_id` is nearest to `$cookie_id`.
    let rest = lower.split_once('_').map(|(_, rest)| rest).filter(|rest| !rest.is_empty());
    let named: Vec<String> = rest.iter().flat_map(|rest| NAMED.map(|begin| format!("{begin}{rest}"))).collect();
    let all = WHOLE.into_iter().chain(FURTHER).chain(named.iter().map(String::as_str));
    nearest(&lower, all).first().map_or_else(|| "request_uri".to_owned(), |near| (*near).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<Part> {
        read(text).ok().unwrap().parts.into()
    }

    #[test]
    fn variables_are_read_with_and_without_braces() {
        for (name, part) in [
            ("remote_addr", Part::Address),
            ("binary_remote_addr", Part::Address),
            ("request_uri", Part::Uri),
            ("uri", Part::Path),
            ("args", Part::Query),
            ("query_string", Part::Query),
            ("host", Part::Host),
            ("HOST", Part::Host),
            ("server_name", Part::Host),
            ("http_host", Part::Field("host".into())),
            ("best_http_host", Part::Authority),
            ("pass_port", Part::Port),
            ("the_real_ip", Part::Address),
            ("proxy_add_x_forwarded_for", Part::ForwardedFor),
            ("request_method", Part::Method),
            ("scheme", Part::Scheme),
            ("arg_userId", Part::Argument("userId".into())),
            ("cookie_Session", Part::Cookie("Session".into())),
            ("http_X_User_ID", Part::Field("x-user-id".into())),
            ("server_protocol", Part::Protocol),
            ("hostname", Part::Hostname),
        ] {
            assert_eq!(parts(&format!("${name}")), std::slice::from_ref(&part));
            assert_eq!(parts(&format!("a-${{{name}}}b")), [Part::Text("a-".into()), part, Part::Text("b".into())]);
        }
        assert_eq!(parts("$host$uri"), [Part::Host, Part::Path]);
        let timed = [Part::Text("t=".into()), Part::Msec];
        assert_eq!(read("t=${msec}").ok().unwrap().parts[..], timed);
        assert_eq!(parse("${host}-$arg_a x").ok().unwrap().to_string(), "$host-$arg_a x");
    }

    #[test]
    fn a_text_has_so_many_variables_at_most() {
        assert_eq!(parts(&"$uri".repeat(MOST_VARIABLES)).len(), MOST_VARIABLES);
        let Err(Refusal::Invalid(why)) = parse(&"$uri".repeat(MOST_VARIABLES + 1)) else { panic!("more are taken") };
        assert_eq!(why, "has more than 32 variables");
    }

    #[test]
    fn what_is_no_variable_is_refused_with_the_nearest_that_is() {
        assert!(parse("x-$hostname").is_err(), "the same for every request");
        for (text, hint) in [
            ("$request_url", "did you mean $request_uri?"),
            ("$remote_address", "did you mean $remote_addr?"),
            ("$header_x_user", "did you mean $http_x_user?"),
            ("$cookies_id", "did you mean $cookie_id?"),
            ("$realip_remote_addr", "did you mean $remote_addr?"),
            ("$http_", "did you mean $host?"),
            ("request_uri", "did you mean $request_uri?"),
            ("", "did you mean $"),
            ("$", "write a variable behind it"),
            ("a$-b", "write a variable behind it"),
            ("${}", "write a variable behind it"),
            ("${host", "write ${host}"),
            ("${ho st}", "write ${ho}"),
            ("$host_name", "did you mean $hostname?"),
            ("$uri$msec", "leave it out"),
            ("$host$time_iso8601", "leave it out"),
        ] {
            let Err(Refusal::Mistaken(_, told)) = parse(text) else { panic!("{text} is taken") };
            assert!(told.starts_with(hint), "{text}: {told}");
        }
    }
}
