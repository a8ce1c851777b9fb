//! Filters in the short text form.

use super::edits;
use crate::ir::{
    Access, AccessRule, AuthCache, Cors, ErrorPages, External, Filters, FixedContent, FixedReply, LimitBy, Mirror,
    Origins, RateLimits, Redirect, SignIn, TlsRedirect,
};

/// What differs from the filters of a route that nobody set anything for.
pub(super) fn words(words: &mut Vec<String>, filters: &Filters, plain: &Filters) {
    let Filters {
        tls_redirect,
        hsts,
        slash_redirect,
        rewrite,
        reply,
        redirect,
        cors,
        limits,
        access,
        fallback,
        errors,
        mirror,
        request,
        response,
        is_silent,
    } = filters;
    if *tls_redirect != plain.tls_redirect {
        words.push(tls_redirect.as_ref().map_or("no-ssl-redirect".to_owned(), to_tls));
    }
    if *hsts != plain.hsts {
        words.push(hsts.as_ref().map_or("no-hsts".to_owned(), |hsts| format!("hsts={:?}", hsts.value)));
    }
    words.extend(slash_redirect.map(|_| "slash-redirect".to_owned()));
    if let Some(rewrite) = rewrite {
        words.push(format!("{}={rewrite}", if rewrite.is_redirect { "rewrite-redirect" } else { "rewrite" }));
        words.extend(rewrite.prefix.as_ref().map(|prefix| format!("forwarded-prefix={prefix}")));
    }
    words.extend(reply.as_deref().map(|FixedReply { status, content }| match content {
        FixedContent::Page => format!("reply={status}"),
        FixedContent::Location(url) => format!("reply={status}:{url}"),
        FixedContent::Text { text, media_type } => format!("reply={status}:{media_type}:{:?}", text.to_string()),
    }));
    words.extend(redirect.as_deref().map(|Redirect { status, location, completes }| {
        format!("redirect={status}:{}{location}", if *completes { "//host" } else { "" })
    }));
    words.extend(cors.as_deref().map(|cors| format!("cors={}", of_cors(cors))));
    words.extend(limits.as_deref().map(|limits| format!("limit={}", of_limits(limits))));
    if let Some(access) = access {
        self::access(words, access);
    }
    words.extend(fallback.as_ref().map(|backend| format!("else={backend}")));
    words.extend(errors.as_deref().map(|ErrorPages { statuses, backend, intercepts }| {
        let own = if *intercepts { "" } else { ";own" };
        format!("errors={}:{backend}{own}", join(statuses))
    }));
    words.extend(mirror.as_deref().map(|Mirror { backend, host, target, has_body }| {
        let own =
            if backend.service.name.ends_with(&host.to_string()) { String::new() } else { format!(";host {host}") };
        format!("mirror={backend}{target}{own}{}", if *has_body { "" } else { ";no body" })
    }));
    words.extend(request.iter().flat_map(|edits| edits::of_requests(edits)));
    words.extend(response.iter().flat_map(|edits| edits::of_answers(edits)));
    words.extend(is_silent.then(|| "no-log".to_owned()));
}

fn to_tls(redirect: &TlsRedirect) -> String {
    let TlsRedirect { status, port, only_from: _, keeps_slash } = redirect;
    let status = if *status == 308 { String::new() } else { format!("={status}") };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("ssl-redirect{status}{port}{}", if *keeps_slash { "/" } else { "" })
}

fn of_cors(cors: &Cors) -> String {
    let Cors { origins, methods, headers, credentials, expose, max_age } = cors;
    let origins = match origins {
        Origins::Any => "*".to_owned(),
        Origins::Listed(patterns) => {
            let text = |(start, rest): (&str, Option<&str>)| match rest {
                None => start.to_owned(),
                Some(rest) => format!("{start}*{rest}"),
            };
            let texts = patterns.iter().map(|pattern| text((&pattern.start, pattern.rest.as_deref())));
            texts.collect::<Vec<_>>().join(",")
        }
    };
    let mut text = origins;
    if **methods != *Cors::METHODS {
        text.push_str(&format!(";methods={methods:?}"));
    }
    if **headers != *Cors::HEADERS {
        text.push_str(&format!(";headers={headers:?}"));
    }
    if !*credentials {
        text.push_str(";no-credentials");
    }
    if let Some(expose) = expose {
        text.push_str(&format!(";expose={expose:?}"));
    }
    if **max_age != *Cors::MAX_AGE {
        text.push_str(&format!(";age={max_age}s"));
    }
    text
}

fn of_limits(limits: &RateLimits) -> String {
    let RateLimits {
        per_second,
        per_minute,
        burst,
        at_once,
        connections,
        is_shared,
        exempt,
        by,
        rate_status,
        at_once_status,
    } = limits;
    let mut parts = Vec::new();
    parts.extend(per_second.map(|count| format!("{count}/s")));
    parts.extend(per_minute.map(|count| format!("{count}/m")));
    if per_second.or(*per_minute).is_some() {
        parts.push(format!("burst {burst}x"));
        parts.push(rate_status.to_string());
    }
    parts.extend(at_once.map(|count| format!("{count} at once;{at_once_status}")));
    parts.extend(connections.map(|count| format!("{count} connections")));
    parts.extend(is_shared.then(|| "of all replicas".to_owned()));
    parts.extend(exempt.as_ref().map(|networks| format!("not {networks}")));
    match by {
        LimitBy::Client => {}
        LimitBy::Route => parts.push("by route".to_owned()),
        LimitBy::Text(text) => parts.push(format!("by {text}")),
    }
    parts.join(";")
}

fn access(words: &mut Vec<String>, access: &Access) {
    let Access { denied, allowed, rules, basic, external, sign_in, any } = access;
    words.extend(denied.as_ref().map(|networks| format!("deny={networks}")));
    words.extend(allowed.as_ref().map(|networks| format!("allow={networks}")));
    if !rules.is_empty() {
        let rule = |AccessRule { allows, clients }: &AccessRule| {
            let clients = clients.as_ref().map_or("all".to_owned(), |clients| clients.to_string());
            format!("{}:{clients}", if *allows { "allow" } else { "deny" })
        };
        words.push(format!("rules={}", rules.iter().map(rule).collect::<Vec<_>>().join(";")));
    }
    words.extend(basic.as_ref().map(|basic| format!("auth={};{:?}", basic.challenge, basic.users)));
    words.extend(external.as_deref().map(|external| format!("ask={}", of_external(external))));
    words.extend(
        sign_in
            .as_deref()
            .map(|SignIn { url, argument }| format!("sign-in={url}{}", argument.as_deref().unwrap_or_default())),
    );
    words.extend(any.then(|| "satisfy=any".to_owned()));
}

fn of_external(external: &External) -> String {
    let External { backend, host, target, method, fields, redirect, sends, always_cookies, cache } = external;
    let mut parts = vec![format!("{backend}{target}")];
    if !backend.service.name.ends_with(&**host) {
        parts.push(format!("host {host}"));
    }
    parts.extend(method.as_ref().map(|method| method.to_string()));
    if !fields.is_empty() {
        parts.push(format!("gives {}", fields.join(",")));
    }
    parts.extend(redirect.as_ref().map(|redirect| format!("redirect {redirect}")));
    parts.extend(sends.iter().map(|(name, value)| format!("{name}: {value}")));
    parts.extend(always_cookies.then(|| "cookies always".to_owned()));
    parts.extend(cache.as_ref().map(|AuthCache { key, times }| {
        let times = times.iter().map(|(statuses, time)| format!("{}:{time:?}", join(statuses)));
        format!("cached by {key} {}", times.collect::<Vec<_>>().join(","))
    }));
    parts.join(";")
}

pub(super) fn join(statuses: &[u16]) -> String {
    statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}
